//! A template after every check.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::distro::{Arch, Release};

pub use super::url::SourceUrl;

/// A text that is never printed: `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Not for logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// A whole template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Name of the guest and of the image ([`super::name::check`] holds).
    pub name: String,
    /// What to install, and from where.
    pub os: Os,
    /// Packages beyond those of the kickstart, in order.
    pub packages: Vec<Package>,
    /// Package repositories; names are unique.
    pub repositories: Vec<Repository>,
    /// Files to put into the image; paths are unique.
    pub files: Vec<File>,
    /// Commands to run before packages and files, in the order in which they run.
    pub precommands: Vec<Command>,
    /// Commands to run last, in the order in which they run.
    pub commands: Vec<Command>,
    /// Size of the disk in bytes, at most [`super::size::QCOW2_MAX`]; `None` means the default.
    pub disk_size: Option<u64>,
    /// What was accepted, but is probably not what its author expects.
    pub warnings: Vec<Diagnostic>,
    pub(super) release: Result<Release, Vec<Diagnostic>>,
}

impl Template {
    /// The release that the template installs.
    ///
    /// # Errors
    /// Why ozr cannot install it although the language allows it, each with its place in the
    /// template: an operating system or release that ozr does not know, an architecture that the
    /// release does not have, an installation from an ISO image.
    pub fn release(&self) -> Result<&Release, &[Diagnostic]> {
        self.release.as_ref().map_err(Vec::as_slice)
    }
}

/// `<os>`.
#[derive(Debug, Clone)]
pub struct Os {
    /// Name as written, such as `Rocky-9`; [`Template::release`] knows what it means.
    pub name: String,
    /// Version as written.
    pub version: String,
    /// Architecture of the guest.
    pub arch: Arch,
    /// Where the installer comes from.
    pub install: Install,
    /// More kernel options for the installer, on one line.
    pub kernelparam: Option<String>,
    /// Password of root, for built-in kickstarts.
    pub rootpw: Option<Secret>,
    /// Product key. Only Windows has one.
    pub key: Option<Secret>,
}

/// `<install>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// A tree on a mirror (http, https, ftp, file, nfs).
    Url(SourceUrl),
    /// An ISO image, which ozr cannot install from.
    Iso,
}

/// `<package>`. Oz reads its children and uses none of them; they are only checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name, group (`@core`) or anything else that the package manager takes.
    pub name: String,
    /// Where its name stands in the template, in bytes.
    pub span: Range<usize>,
}

/// `<repository>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Name as written.
    pub name: String,
    /// Base address (http, https, ftp, file).
    pub url: SourceUrl,
    /// Whether packages must be signed.
    pub signed: bool,
    /// Whether the image keeps the repository.
    pub persisted: bool,
    /// Whether the server's certificate is checked.
    pub sslverify: bool,
}

impl Repository {
    /// The name as an identifier that dnf and yum accept (letters, digits and `-_.:`), also the
    /// stem of its file in `/etc/yum.repos.d`. Unique in a template.
    pub fn id(&self) -> String {
        self.name
            .chars()
            .map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | ':' => c,
                _ => '_',
            })
            .collect()
    }
}

/// `<file>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute path in the image.
    pub path: String,
    /// Its contents.
    pub content: Payload,
}

/// `<command>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Name, for messages. One line, may be empty.
    pub name: String,
    /// Text for the shell, or a script with its own `#!` line.
    pub script: Payload,
}

/// Contents of a file or a command.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// Contents that stand in the template.
    Inline(Vec<u8>),
    /// A file on this host; a relative path counts from the template's directory.
    Local(PathBuf),
    /// A file on a server (http, https), to be fetched when it is needed.
    Remote(SourceUrl),
}

impl Payload {
    /// The path of a local payload, for a template in the directory `base`.
    pub fn local_path(&self, base: &Path) -> Option<PathBuf> {
        match self {
            Payload::Local(path) => Some(base.join(path)),
            Payload::Inline(_) | Payload::Remote(_) => None,
        }
    }
}

/// Shows the length, not the contents: those may be secret, and long.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Payload::Local(path) => write!(f, "Local({})", path.display()),
            Payload::Remote(url) => write!(f, "Remote({url})"),
        }
    }
}
