//! What a template adds to a kickstart, and which of it can be put into one at all.

use anyhow::bail;

use super::luks::Filled;
use crate::error::{Kind, failure};
use crate::input;
use crate::secrets::Secret;

/// Everything that a template adds. The build fills it from the template; this module does not
/// know the template language.
#[derive(Debug, Clone, Default)]
pub struct Additions {
    /// Package repositories, for the installation and for the image.
    pub repositories: Vec<Repository>,
    /// Packages, globs (`php-*`) and groups (`@development`), installed by the installer itself.
    pub packages: Vec<String>,
    /// Scripts before the files, in the order in which they run.
    pub precommands: Vec<Script>,
    /// Files, written in this order.
    pub files: Vec<FileAddition>,
    /// Scripts after the files, in the order in which they run.
    pub commands: Vec<Script>,
    /// Addresses in the author's text that are not the author's; not to be left in the image.
    pub replaced: Vec<Replaced>,
    /// Passphrases in the author's text that are not the author's; not to be left in the image.
    pub filled: Vec<Filled>,
    /// Root's password, hashed, if it is not in the author's text.
    pub root_password: Option<Secret>,
    /// The one-time mark that the last `%post` prints on the console: 16 to 128 letters, digits
    /// and dashes.
    pub mark: String,
}

/// An address that stands in the place of the author's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What the guest is given: plain characters.
    pub address: String,
    /// What the author wrote.
    pub author: String,
}

/// A package repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its name, any text on one line.
    pub name: String,
    /// Where the guest reaches it during the build (a relay of ours, perhaps).
    pub base_url: String,
    /// The address that stays in the image.
    pub image_url: String,
    /// Packages must be signed (`gpgcheck=1`).
    pub signed: bool,
    /// The `.repo` file stays in the image.
    pub persisted: bool,
    /// The server's certificate is checked.
    pub sslverify: bool,
}

/// A script, which may be any kind of content: with `#!` in front, and as a program, the kernel
/// runs it; anything else is run by `bash` where there is one, as Oz had it (by ssh, so by
/// root's shell). It runs as root in the image with root's HOME and a plain PATH, in /root, with
/// nothing to read; any exit status but 0 fails the installation.
#[derive(Debug, Clone)]
pub struct Script {
    /// The name under which a failure is reported.
    pub name: String,
    /// Its content.
    pub body: Body,
}

/// A file for the image.
#[derive(Debug, Clone)]
pub struct FileAddition {
    /// Absolute path in the image.
    pub path: String,
    /// Its content.
    pub body: Body,
}

/// A content and how it reaches the guest.
#[derive(Debug, Clone)]
pub enum Body {
    /// Fetched by the guest.
    Url {
        /// Where.
        url: String,
        /// SHA-256 in lower-case hexadecimal.
        sha256: String,
        /// Size in bytes.
        size: u64,
    },
    /// Carried in the kickstart itself.
    Embedded(Vec<u8>),
}

/// The most that may be embedded in one kickstart, in bytes: in base64 it is a third more, and
/// the installer holds the text several times in its memory.
pub const MAX_EMBEDDED: usize = 16 << 20;

/// Whether the character ends a line for anybody who reads a kickstart, or is otherwise no text.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

impl Script {
    /// `command "NAME"`, with a name that cannot garble a console.
    pub fn describe(&self, kind: &str) -> String {
        let name: String = self
            .name
            .chars()
            .map(|c| if is_unprintable(c) { ' ' } else { c })
            .collect();
        format!("{kind} \"{name}\"")
    }
}

impl Additions {
    /// The names of the repositories, in order.
    pub fn names_of_repositories(&self) -> impl Iterator<Item = &str> {
        let all = self.repositories.iter();
        all.map(|repository| repository.name.as_str())
    }

    /// Checks everything that could break the kickstart or the guest.
    ///
    /// # Errors
    /// [`Kind::Input`], naming the first entry that cannot be used and why.
    pub fn check(&self) -> anyhow::Result<()> {
        let mark_ok = (16..=128).contains(&self.mark.len())
            && self
                .mark
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !mark_ok {
            bail!("the completion mark must be 16 to 128 letters, digits and dashes");
        }
        for repository in &self.repositories {
            check_repository(repository)?;
        }
        for package in &self.packages {
            check_package(package)?;
        }
        for file in &self.files {
            check_path(&file.path)?;
        }
        let mut embedded = 0;
        for (what, body) in self.bodies() {
            match body {
                Body::Embedded(bytes) => embedded += bytes.len(),
                Body::Url { url, sha256, .. } => {
                    if url.is_empty() || url.chars().any(|c| !c.is_ascii_graphic()) {
                        bail!("the URL of {what} has characters that no URL has");
                    }
                    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                        bail!("the sha256 of {what} is not one");
                    }
                }
            }
        }
        if embedded > MAX_EMBEDDED {
            return refused(format!(
                "the template's files and commands hold {embedded} bytes, and at most {MAX_EMBEDDED} fit into a kickstart; use `--deliver http`"
            ));
        }
        Ok(())
    }

    /// All contents in the order in which they are used, with what they are for.
    pub fn bodies(&self) -> impl Iterator<Item = (String, &Body)> {
        let before = self
            .precommands
            .iter()
            .map(|s| (s.describe("precommand"), &s.body));
        let files = self
            .files
            .iter()
            .map(|f| (format!("file {}", f.path), &f.body));
        let after = self
            .commands
            .iter()
            .map(|s| (s.describe("command"), &s.body));
        before.chain(files).chain(after)
    }
}

fn check_repository(repository: &Repository) -> anyhow::Result<()> {
    let name = &repository.name;
    if name.trim().is_empty() || name.chars().any(is_unprintable) {
        return refused(format!(
            "repository name {name:?} is empty or holds control characters; give it a name on one line"
        ));
    }
    for url in [&repository.base_url, &repository.image_url] {
        let odd =
            |c: char| is_unprintable(c) || c.is_whitespace() || matches!(c, '"' | '\'' | '\\');
        if !url.contains("://") || url.chars().any(odd) {
            return refused(format!(
                "the URL of repository {name:?} is not one; write it as `https://host/path/`, with %20 for a space"
            ));
        }
    }
    Ok(())
}

/// A package line of `%packages`: `#` would cut it, `-` in front would exclude, `%` would be a
/// section, a space would make it two things.
fn check_package(package: &str) -> anyhow::Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+-:~^*?[]()/@".contains(c);
    let starts_well =
        package.starts_with(|c: char| c.is_ascii_alphanumeric() || "@_*[/".contains(c));
    if !starts_well || package == "@" || !package.chars().all(legal) {
        return refused(format!(
            "package name {package:?} cannot be installed; a name holds letters, digits and . _ + - : ~ ^ * ? [ ] ( ) /, or is @GROUP"
        ));
    }
    Ok(())
}

fn check_path(path: &str) -> anyhow::Result<()> {
    let unprintable = path.chars().any(is_unprintable);
    let unprintable = unprintable.then_some("the file's path holds what cannot be printed");
    match unprintable.or_else(|| input::path_problem(path)) {
        Some(why) => refused(format!("file name {path:?} cannot be used: {why}")),
        None => Ok(()),
    }
}

fn refused(message: String) -> anyhow::Result<()> {
    Err(failure(Kind::Input, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    fn is_refused(result: anyhow::Result<()>) -> bool {
        result.is_err_and(|error| kind_of(&error) == Some(Kind::Input))
    }

    #[test]
    fn package_names() {
        for good in [
            "vim",
            "@core",
            "@^minimal-environment",
            "php-*",
            "glibc.i686",
            "a-1:2.3~rc1-4",
            "perl(Foo::Bar)",
            "libstdc++",
            "/usr/bin/x",
        ] {
            check_package(good).unwrap();
        }
        for bad in [
            "",
            "-vim",
            "%end",
            "a b",
            "a\nb",
            "vim#",
            "@",
            "a\u{2028}%end",
            "ünï",
            "a;b",
            "a$b",
            "#x",
            "a\"b",
        ] {
            assert!(is_refused(check_package(bad)), "{bad:?}");
        }
    }

    #[test]
    fn paths() {
        for good in ["/etc/motd", "/a b/'c\"$(d)`/ü", "/-x", "//etc//motd"] {
            check_path(good).unwrap();
        }
        let long = format!("/{}", "a".repeat(256));
        for bad in [
            "",
            "etc/motd",
            "/",
            "/etc/",
            "/a/../b",
            "/a\nb",
            "/a\u{2028}b",
            "/a\0",
            &long,
        ] {
            assert!(is_refused(check_path(bad)), "{bad:?}");
        }
    }

    #[test]
    fn repositories() {
        let repository = |name: &str, url: &str| Repository {
            name: name.into(),
            base_url: url.into(),
            image_url: url.into(),
            signed: true,
            persisted: true,
            sslverify: true,
        };
        check_repository(&repository("my repo (ü) 'x'", "http://m/$releasever/%20/")).unwrap();
        for (name, url) in [
            ("", "http://m/"),
            ("a\nb", "http://m/"),
            ("a", "m"),
            ("a", "http://m/a b"),
            ("a", "http://m/\"x"),
        ] {
            assert!(
                is_refused(check_repository(&repository(name, url))),
                "{name:?} {url:?}"
            );
        }
    }

    #[test]
    fn too_much_to_embed() {
        let mut additions = Additions {
            mark: "m".repeat(32),
            ..Additions::default()
        };
        additions.files.push(FileAddition {
            path: "/a".into(),
            body: Body::Embedded(vec![0; MAX_EMBEDDED]),
        });
        additions.check().unwrap();
        additions.files.push(additions.files[0].clone());
        assert!(is_refused(additions.check()));
    }
}
