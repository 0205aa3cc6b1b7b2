//! The kickstart that the guest gets: the author's text, byte for byte, and what the template
//! adds, in one block at its end.

use std::fmt::Write as _;

use super::additions::Additions;
use super::outline::{EndAction, Item, Outline, SourceKind};
use super::scan::BYTE_ORDER_MARK;
use super::script;
use crate::error::{Kind, fail, failure};

/// What the installer's names of the template's repositories begin with: it keeps them apart from the
/// author's, and from those that the installer finds in the tree.
pub const ID_PREFIX: &str = "ozr-";

/// First line of the block at the end. No regular expression characters: `sed` looks for it.
pub const BLOCK_LINE: &str = "# ozr: from here on added from the template";

/// A kickstart for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The text.
    pub text: String,
    /// What the user should know: what was changed or appended, and why. One sentence each.
    pub notes: Vec<String>,
    /// A `%post` at the end prints the completion mark.
    pub prints_mark: bool,
}

/// The author's text, untouched: nothing is added, and no mark will come.
pub fn verbatim(user: &str) -> Composed {
    Composed {
        text: user.to_string(),
        notes: Vec::new(),
        prints_mark: false,
    }
}

/// Adds to `user`, whose scan is `outline`, what the template adds.
///
/// # Errors
/// [`Kind::Input`] where something cannot be put into a kickstart; see [`Additions::check`].
pub fn compose(user: &str, outline: &Outline, additions: &Additions) -> anyhow::Result<Composed> {
    additions.check()?;
    if outline.items.iter().any(|i| matches!(i, Item::Broken(_))) {
        return Err(failure(
            Kind::Input,
            "the kickstart has lines that cannot be understood, so nothing can be added to it; correct them or use --verbatim",
        ));
    }
    let mut notes = Vec::new();
    let author = user.strip_prefix(BYTE_ORDER_MARK).unwrap_or(user);
    if author.len() != user.len() {
        notes.push(
            "the byte order mark at the start of the kickstart was left out: the installer takes it for part of the first command".to_string(),
        );
    }
    let mut text = author.to_string();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if matches!(outline.items.last(), Some(Item::Section(section)) if !section.closed) {
        // RHEL 6 lets a section end with the file.
        text.push_str("%end\n");
    }
    let block_offset = text.len();
    text.push_str(BLOCK_LINE);
    text.push('\n');

    let ids = script::repository_ids(additions.names_of_repositories());
    for (repository, id) in additions.repositories.iter().zip(&ids) {
        // `check` has refused URLs with quotes.
        let url = &repository.base_url;
        let _ = write!(text, "repo --name=\"{ID_PREFIX}{id}\" --baseurl=\"{url}\"");
        text.push_str(if repository.sslverify {
            "\n"
        } else {
            " --noverifyssl\n"
        });
    }
    if let Some(note) = ending_note(outline) {
        notes.push(note);
        text.push_str("poweroff\n");
    }
    push_password(&mut text, &mut notes, outline, additions);
    push_packages(&mut text, &mut notes, outline, additions)?;
    if let Some(section) = script::deliver_section(additions) {
        text.push_str(&section);
    }
    text.push_str(&script::apply_section(additions));
    let section = script::finish_section(additions, author.len(), block_offset);
    text.push_str(&section);
    Ok(Composed {
        text,
        notes,
        prints_mark: true,
    })
}

/// Why `poweroff` has to be appended, if it has to.
fn ending_note(outline: &Outline) -> Option<String> {
    let Some(ending) = outline.ending() else {
        let seen = if outline.has_includes() {
            "outside of its includes the kickstart has"
        } else {
            "the kickstart has"
        };
        return Some(format!(
            "{seen} no `poweroff`, `shutdown` or `reboot`, so the installer would wait for ever: `poweroff` was appended"
        ));
    };
    let line = ending.command.line;
    if ending.action == EndAction::Halt {
        return Some(format!(
            "`halt` in line {line} of the kickstart would leave the installer waiting: `poweroff` was appended, and overrides it"
        ));
    }
    ending.kexec.then(|| {
        format!(
            "`reboot --kexec` in line {line} of the kickstart would start the installed system in the build's guest: `poweroff` was appended, and overrides it"
        )
    })
}

/// Root's password: the installer takes the last `rootpw`.
fn push_password(
    text: &mut String,
    notes: &mut Vec<String>,
    outline: &Outline,
    additions: &Additions,
) {
    let Some(hash) = &additions.root_password else {
        return;
    };
    let before = outline.last("rootpw");
    notes.push(match before {
        Some(command) => format!(
            "`rootpw` in line {} of the kickstart is overridden: one with the password of --root-password was appended",
            command.line
        ),
        None => "a `rootpw` with the password of --root-password was appended".to_string(),
    });
    // Who is let in by SSH is another question than the password.
    let ssh = before.is_some_and(|command| command.has_flag("allow-ssh"));
    let ssh = if ssh { " --allow-ssh" } else { "" };
    let _ = writeln!(text, "rootpw --iscrypted{ssh} {}", hash.reveal());
}

fn push_packages(
    text: &mut String,
    notes: &mut Vec<String>,
    outline: &Outline,
    additions: &Additions,
) -> anyhow::Result<()> {
    if additions.packages.is_empty() {
        return Ok(());
    }
    if let Some((SourceKind::Image, command)) = outline.source() {
        fail!(
            Kind::Input,
            "the template lists packages, but `{}` in line {} of the kickstart installs a ready image, where the installer adds none; install them in a command of the template",
            command.name(),
            command.line
        );
    }
    let has_packages = outline
        .sections()
        .any(|section| section.kind == super::outline::SectionKind::Packages);
    if has_packages || outline.has_includes() {
        text.push_str("%packages\n");
    } else {
        // Without any %packages the installer takes its default environment; a list of ours
        // alone would silently make that a minimal system.
        notes.push(
            "the kickstart has no %packages, so the packages of the template are added to the release's default set".to_string(),
        );
        text.push_str("%packages --default\n");
    }
    for package in &additions.packages {
        text.push_str(package);
        text.push('\n');
    }
    text.push_str("%end\n");
    Ok(())
}

/// The line end that a text uses: that of its first line.
fn line_end(text: &str) -> &'static str {
    match text.find(['\n', '\r']) {
        Some(at) if text[at..].starts_with("\r\n") => "\r\n",
        _ => "\n",
    }
}

/// A line to be inserted at byte `at` of a text, where a line begins or the text ends.
pub fn line_at(text: &str, at: usize, line: &str) -> String {
    let end = line_end(text);
    let starts_line = at == 0 || text[..at].ends_with(['\n', '\r', '\u{feff}']);
    if starts_line {
        format!("{line}{end}")
    } else {
        // The text has no line end at its end, and gets none.
        format!("{end}{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::additions::{Body, FileAddition, Repository, Script};
    use super::super::outline::{Command, SectionKind};
    use super::super::scan::scan;
    use super::*;
    use crate::secrets::Secret;

    fn additions() -> Additions {
        Additions {
            mark: "0123456789abcdef0123456789abcdef".into(),
            ..Additions::default()
        }
    }

    fn composed(user: &str, additions: &Additions) -> Composed {
        compose(user, &scan(user, "u.ks").unwrap(), additions).unwrap()
    }

    #[test]
    fn the_authors_text_stands_as_it_was() {
        for user in [
            "",
            "text\r\nreboot\r\n",
            "text",
            "%post\n x \n%end",
            "\n\n# ü\n",
        ] {
            let composed = composed(user, &additions());
            let rest = composed.text.strip_prefix(user).unwrap();
            assert!(rest.trim_start_matches('\n').starts_with(BLOCK_LINE));
        }
        let composed = composed("\u{feff}text\nreboot\n", &additions());
        assert!(composed.text.starts_with("text\nreboot\n"));
        assert_eq!(composed.notes.len(), 1, "{:?}", composed.notes);
    }

    #[test]
    fn the_installer_always_ends() {
        let table = [
            ("text\n", true),
            ("halt\n", true),
            ("poweroff\nhalt\n", true),
            ("reboot --kexec\n", true),
            ("halt\nreboot\n", false),
            ("shutdown\n", false),
            ("%include /tmp/x\n", true),
        ];
        for (user, appended) in table {
            let composed = composed(user, &additions());
            assert_eq!(composed.notes.len(), usize::from(appended), "{user}");
            let outline = scan(&composed.text, "c.ks").unwrap();
            assert_ne!(outline.ending().unwrap().action, EndAction::Halt, "{user}");
            assert!(!outline.ending().unwrap().kexec, "{user}");
        }
    }

    #[test]
    fn nasty_names_stay_what_they_are() {
        let nasty = "it's \"$(id)\" \\ %end 💡";
        let mut additions = additions();
        additions.packages = vec!["vim".into(), "@dev".into()];
        additions.repositories.push(Repository {
            name: nasty.into(),
            base_url: "http://m/#x/$releasever".into(),
            image_url: "http://n/".into(),
            signed: true,
            persisted: true,
            sslverify: false,
        });
        additions.files.push(FileAddition {
            path: format!("/{nasty}"),
            body: Body::Embedded(b"%end\n%include x\n".to_vec()),
        });
        additions.commands.push(Script {
            name: "%end\n%packages\u{2028}%end".into(),
            body: Body::Embedded(b"%post\n".to_vec()),
        });
        let composed = composed("poweroff\n%packages\n@core\n%end\n", &additions);
        assert!(composed.text.is_ascii());
        let outline = scan(&composed.text, "c.ks").unwrap();
        let kinds: Vec<SectionKind> = outline.sections().map(|s| s.kind).collect();
        use SectionKind::{Packages, Post};
        assert_eq!(kinds, [Packages, Packages, Post, Post, Post]);
        let repo: &Command = outline.last("repo").unwrap();
        assert_eq!(repo.option("baseurl"), Some("http://m/#x/$releasever"));
        assert!(repo.has_flag("noverifyssl"));
        assert!(!outline.has_includes());
        // The mark itself stands nowhere in the text.
        assert!(!composed.text.contains(&additions.mark));
    }

    #[test]
    fn default_packages_stay_the_default() {
        let mut additions = additions();
        additions.packages.push("vim".into());
        assert!(
            composed("reboot\n", &additions)
                .text
                .contains("%packages --default\nvim\n%end\n")
        );
        let with = composed("reboot\n%packages\n@core\n%end\n", &additions);
        assert!(with.text.contains("%packages\nvim\n%end\n"));
        let image = "liveimg --url=http://m/x.img\nreboot\n";
        let error = compose(image, &scan(image, "i.ks").unwrap(), &additions).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn roots_password_stands_last() {
        let mut additions = additions();
        additions.root_password = Some(Secret::new("$6$salt$hash"));
        for (user, flags, note) in [
            ("poweroff\n", "--iscrypted", "was appended"),
            (
                "rootpw x\npoweroff\n",
                "--iscrypted",
                "line 1 of the kickstart is overridden",
            ),
            (
                "poweroff\nrootpw --lock --allow-ssh\n",
                "--iscrypted --allow-ssh",
                "line 2 of",
            ),
        ] {
            let composed = composed(user, &additions);
            assert!(composed.text.starts_with(user));
            assert_eq!(composed.notes.len(), 1);
            assert!(composed.notes[0].contains(note), "{:?}", composed.notes);
            let line = format!("rootpw {flags} $6$salt$hash\n");
            assert!(composed.text.contains(&line), "{}", composed.text);
        }
    }

    #[test]
    fn broken_kickstarts_get_nothing() {
        let broken = "text 'x\n";
        let (outline, _) = super::super::scan::scan_all(broken, "b.ks");
        assert!(compose(broken, &outline, &additions()).is_err());
    }

    #[test]
    fn lines_end_as_the_text_does() {
        assert_eq!(line_at("a\r\nb\r\n", 3, "x"), "x\r\n");
        assert_eq!(line_at("a\nb", 3, "x"), "\nx");
        assert_eq!(line_at("", 0, "x"), "x\n");
        assert_eq!(line_at("\u{feff}", 3, "x"), "x\n");
    }
}
