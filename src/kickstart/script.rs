//! The shell text of the `%post` sections that `ozr` adds.
//!
//! Three sections: `deliver` brings contents into the target (in the installer), `apply` uses
//! them (in the target), `finish` cleans the installer's kickstart and prints the mark. The
//! functions are the files in `shell/`; here are the calls, with everything quoted.
//!
//! No content of anybody's is ever pasted into a section: a line of it that starts with `%end`
//! or `%include` would end the section or be replaced, because the installer looks for those in
//! script bodies too. What is written here is printable ASCII.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::additions::{Additions, Body, Repository, Script};
use super::compose::BLOCK_LINE;
use super::luks;
use super::ssh_keys::PublicKey;
use crate::hex;

/// First line of the body of every section that is added. The kept copies in `/root` are
/// written by pykickstart, which drops comments between sections but keeps bodies as they are.
pub const SECTION_MARK: &str = "# ozr: added from the template, removed from the kept copies";

/// Ends an embedded content; not a word of base64's alphabet.
pub const EMBEDDED_END: &str = "--ozr-end--";

/// Base64 characters in a line, as MIME has it: no installer's line buffer minds.
const EMBEDDED_LINE: usize = 76;

const DELIVER: &str = include_str!("shell/deliver.sh");
const APPLY: &str = include_str!("shell/apply.sh");
const PACKAGES: &str = include_str!("shell/packages.sh");
const FINISH: &str = include_str!("shell/finish.sh");

/// A word for a POSIX shell that means exactly `text`, in printable ASCII.
///
/// `text` must not end with a line end (command substitution takes it away).
pub fn quote(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("\"$(printf '");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._- ".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            // Three digits always, so that a digit that follows is not taken along.
            let _ = write!(quoted, "\\{byte:03o}");
        }
    }
    quoted.push_str("')\"");
    quoted
}

/// A name that is a legal repository id for yum and dnf, and a legal file name.
pub fn repository_id(name: &str) -> String {
    let id: String = name
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.:".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    // A leading dot would hide the file, a leading dash reads as an option somewhere.
    match id.strip_prefix(['.', '-']) {
        Some(rest) => format!("_{rest}"),
        None => id,
    }
}

/// The ids of the repositories, in order and all different.
pub fn repository_ids<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for name in names {
        let id = repository_id(name);
        let mut unique = id.clone();
        let mut number = 2;
        while ids.iter().any(|taken| taken.eq_ignore_ascii_case(&unique)) {
            unique = format!("{id}-{number}");
            number += 1;
        }
        ids.push(unique);
    }
    ids
}

/// Directory for the contents in the target: new, and not guessable by a script that runs
/// before.
fn stage_name(additions: &Additions) -> String {
    let digest = hex::sha256(format!("stage {}", additions.mark));
    format!(".ozr-{}", &digest[..16])
}

/// The section that brings the contents, if there are any.
pub fn deliver_section(additions: &Additions) -> Option<String> {
    additions.bodies().next()?;
    let mut text = open_section("%post --nochroot");
    let _ = writeln!(text, "stage_name={}", stage_name(additions));
    push_delivery(&mut text, additions);
    text.push_str("exit 0\n%end\n");
    Some(text)
}

/// What brings the contents.
fn push_delivery(text: &mut String, additions: &Additions) {
    text.push_str(DELIVER);
    for (index, (what, body)) in additions.bodies().enumerate() {
        let what = quote(&what);
        match body {
            Body::Url { url, sha256, size } => {
                let sha256 = sha256.to_ascii_lowercase();
                let url = quote(url);
                let _ = writeln!(text, "fetch body-{index} {url} {sha256} {size} {what}");
            }
            Body::Embedded(bytes) => {
                let _ = writeln!(text, "decode body-{index} <<'{EMBEDDED_END}'");
                push_base64(text, bytes);
                let sha256 = hex::sha256(bytes);
                let size = bytes.len();
                let _ = writeln!(
                    text,
                    "{EMBEDDED_END}\ncheck body-{index} {sha256} {size} {what}"
                );
            }
        }
    }
}

fn push_base64(text: &mut String, bytes: &[u8]) {
    // 57 bytes are 76 characters; whole groups of three need no padding in between.
    for chunk in bytes.chunks(EMBEDDED_LINE / 4 * 3) {
        STANDARD.encode_string(chunk, text);
        text.push('\n');
    }
}

/// The section that does the work in the target, in Oz's order: repositories, precommands,
/// files, commands (the packages are the installer's work, and before all of this).
pub fn apply_section(additions: &Additions) -> String {
    let mut text = open_section("%post");
    let _ = writeln!(text, "stage_name={}", stage_name(additions));
    text.push_str(APPLY);
    let ids = repository_ids(additions.names_of_repositories());
    push_work(&mut text, additions, &ids, "");
    push_scrub(&mut text, &ids, restoring(additions));
    text.push_str("exit 0\n%end\n");
    text
}

/// The text that does all of it in an image that is there, for a shell in that: the contents come with it, and
/// the packages are installed by the image's own package manager, after the precommands (Oz's order).
pub fn in_place(additions: &Additions) -> String {
    let stage = stage_name(additions);
    let mut text = String::new();
    if additions.bodies().next().is_some() {
        let _ = write!(text, "(\nstage_name={stage}\nANA_INSTALL_PATH=/\n");
        push_delivery(&mut text, additions);
        text.push_str("exit 0\n) || return\n");
    }
    let _ = write!(text, "(\nstage_name={stage}\n{APPLY}{PACKAGES}");
    let ids = repository_ids(additions.names_of_repositories());
    let mut packages = String::new();
    if !additions.packages.is_empty() {
        let names = additions.packages.iter().map(|name| quote(name));
        let names = names.collect::<Vec<_>>().join(" ");
        packages = format!("install_packages {names}\n");
    }
    if let Some(hash) = &additions.root_password {
        let hash = quote(hash.reveal());
        let _ = writeln!(
            text,
            "usermod -p {hash} root || fail \"root's password could not be set\""
        );
    }
    push_work(&mut text, additions, &ids, &packages);
    text.push_str("exit 0\n)\n");
    text
}

/// The calls that do the work, with `packages` before the files.
fn push_work(text: &mut String, additions: &Additions, ids: &[String], packages: &str) {
    for (repository, id) in additions.repositories.iter().zip(ids) {
        push_repository(text, repository, id, &repository.base_url);
    }
    // The contents are numbered as `Additions::bodies` lists them.
    let precommands = additions.precommands.iter().map(|s| (s, "precommand"));
    let commands = additions.commands.iter().map(|s| (s, "command"));
    let run = |(script, kind): (&Script, &str)| ("run_script", script.describe(kind));
    let calls = precommands
        .map(run)
        .chain(
            additions
                .files
                .iter()
                .map(|f| ("install_file", f.path.clone())),
        )
        .chain(commands.map(run));
    let before_packages = additions.precommands.len();
    for (index, (function, argument)) in calls.enumerate() {
        if index == before_packages {
            text.push_str(packages);
        }
        let _ = writeln!(text, "{function} body-{index} {}", quote(&argument));
    }
    if additions.files.is_empty() && additions.commands.is_empty() {
        text.push_str(packages);
    }
    for (repository, id) in additions.repositories.iter().zip(ids) {
        if !repository.persisted {
            let _ = writeln!(text, "remove_repository {}", quote(id));
        } else if repository.image_url != repository.base_url {
            push_repository(text, repository, id, &repository.image_url);
        }
    }
}

/// What lets keys in as root, if there are any, as the installer's `sshkey` does it (anaconda 34,
/// pyanaconda/core/users.py, `set_user_ssh_key`): not all releases know that command, and none likes a second one.
pub fn root_keys(keys: &[PublicKey]) -> Option<Script> {
    let mut text = String::from("set -e\numask 077\nmkdir -p /root/.ssh\ncd /root/.ssh\n");
    for key in keys {
        let line = quote(&key.line);
        let _ = writeln!(text, "printf '%s\\n' {line} >>authorized_keys");
    }
    text.push_str("if command -v restorecon >/dev/null; then restorecon -R /root/.ssh; fi\n");
    let script = || Script {
        name: "keys of --ssh-key".to_owned(),
        body: Body::Embedded(text.into_bytes()),
    };
    (!keys.is_empty()).then(script)
}

fn push_repository(text: &mut String, repository: &Repository, id: &str, url: &str) {
    // Oz writes skip_if_unavailable=1, which hides a dead repository; here it is an error.
    let lines = [
        format!("[{id}]"),
        format!("name={}", repository.name.trim()),
        format!("baseurl={url}"),
        "enabled=1".to_string(),
        format!("gpgcheck={}", u8::from(repository.signed)),
        format!("sslverify={}", u8::from(repository.sslverify)),
    ];
    let _ = write!(text, "write_repository {}", quote(id));
    for line in lines {
        let _ = write!(text, " {}", quote(&line));
    }
    text.push('\n');
}

fn push_scrub(text: &mut String, ids: &[String], replaced: String) {
    // A section whose first line is our mark, up to its %end; our repositories; our block.
    let mut expressions = vec![
        format!("/^{}$/,$d", BLOCK_LINE),
        "/^%post/{".to_string(),
        "N".to_string(),
        format!("/\\n{SECTION_MARK}$/!b"),
        ":skip".to_string(),
        "N".to_string(),
        "s/.*\\n//".to_string(),
        "/^%end/!b skip".to_string(),
        "d".to_string(),
        "}".to_string(),
    ];
    for id in ids {
        let id = id.replace('.', "\\.");
        expressions.push(format!("/^repo .*--name=\"\\{{0,1\\}}ozr-{id}[\" ]/d"));
    }
    if !replaced.is_empty() {
        expressions.push(replaced.clone());
    }
    for file in ["/root/anaconda-ks.cfg", "/root/original-ks.cfg"] {
        let _ = write!(text, "scrub {file}");
        for expression in &expressions {
            let _ = write!(text, " -e {}", quote(expression));
        }
        text.push('\n');
    }
    if !replaced.is_empty() {
        // Those of `repo --install`.
        let _ = writeln!(
            text,
            "for file in /etc/yum.repos.d/*.repo; do scrub \"$file\" -e {}; done",
            quote(&replaced)
        );
    }
}

/// A program for `sed` that gives the author's addresses back.
fn restoring(additions: &Additions) -> String {
    let mut program = String::new();
    for replaced in &additions.replaced {
        // What we gave has no such characters but dots, which match themselves.
        let author = replaced.author.replace('\\', "\\\\").replace('&', "\\&");
        let author = author.replace('|', "\\|");
        let _ = write!(program, "s|{}|{author}|g;", replaced.address);
    }
    program
}

/// A program for `sed`, which counts bytes, that takes out of the given kickstart what was filled in.
fn emptying(additions: &Additions) -> String {
    let filled = additions.filled.iter();
    let programs = filled.map(|filled| {
        let rest = filled.length - luks::OPTION.len();
        format!("{}s/{}.\\{{{rest}\\}}//;", filled.line, luks::OPTION)
    });
    programs.collect()
}

/// The last section. The author's text has `author_size` bytes, our block starts at
/// `block_offset` of the whole.
pub fn finish_section(additions: &Additions, author_size: usize, block_offset: usize) -> String {
    let mut text = open_section("%post --nochroot");
    let _ = writeln!(text, "author_size={author_size}");
    let _ = writeln!(text, "block_offset={block_offset}");
    let _ = writeln!(text, "block_line={}", quote(BLOCK_LINE));
    let restoring = emptying(additions) + &restoring(additions);
    let _ = writeln!(text, "restoring={}", quote(&restoring));
    text.push_str(FINISH);
    // In two halves: the mark must not be on the console because a script was traced there or
    // an error message quoted it. One write, so that nothing comes in between.
    let (head, tail) = additions.mark.split_at(additions.mark.len() / 2);
    let _ = writeln!(
        text,
        "printf '\\n%s%s\\n' {} {} >>/dev/console || fail 'cannot write to the console'",
        quote(head),
        quote(tail)
    );
    text.push_str("exit 0\n%end\n");
    text
}

fn open_section(header: &str) -> String {
    format!("{header} --erroronfail --interpreter=/bin/sh\n{SECTION_MARK}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_was_filled_in_is_taken_out_again() {
        let author = "# x\npart / --size=1 --encrypted # a 'b'\nautopart --encrypted\n";
        for passphrase in ["plain", "it's \"a\" \\ b", "tür .* $x #y"] {
            let (given, filled) = luks::fill(author, passphrase);
            let additions = Additions {
                filled,
                ..Additions::default()
            };
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), given).unwrap();
            let mut sed = Command::new("sed");
            sed.env("LC_ALL", "C").args(["-e", &emptying(&additions)]);
            let output = sed.arg(file.path()).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), author);
        }
    }

    #[test]
    fn every_shell_reads_quoted_words_alike() {
        let words = [
            "",
            "plain",
            "a b",
            "it's",
            "$HOME `id` \\n \"x\" !!",
            "ünï©ode 💡1",
            "--",
            "%s%d",
            "a\u{2028}%end",
            "tab\there",
            "*?[x]~",
        ];
        for shell in ["/bin/sh", "/bin/bash"] {
            for word in words {
                let quoted = quote(word);
                assert!(
                    quoted.bytes().all(|b| (b' '..=b'~').contains(&b)),
                    "{quoted}"
                );
                let output = Command::new(shell)
                    .args(["-c", &format!("printf '%s' {quoted}")])
                    .output()
                    .unwrap();
                assert_eq!(output.stdout, word.as_bytes(), "{shell} {quoted}");
            }
        }
    }

    #[test]
    fn ids_are_legal_and_different() {
        let repository = |name: &str| Repository {
            name: name.into(),
            base_url: "http://m/".into(),
            image_url: "http://m/".into(),
            signed: false,
            persisted: true,
            sslverify: false,
        };
        let additions = Additions {
            repositories: ["my repo", "my/repo", "MY_REPO", "../x", "-a", "ü"]
                .map(repository)
                .to_vec(),
            ..Additions::default()
        };
        assert_eq!(
            repository_ids(additions.names_of_repositories()),
            ["my_repo", "my_repo-2", "MY_REPO-3", "_._x", "_a", "_"]
        );
    }
}
