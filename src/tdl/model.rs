//! A template after every check.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use url::{Host, Url};

use crate::diagnostic::Diagnostic;
use crate::distro::{Arch, Release};
use crate::secrets::Secret;

/// A whole template.
#[derive(Debug, Clone)]
pub struct Template {
    /// Name of the guest and of the image ([`super::check_name`] holds).
    pub name: String,
    /// What it is, in the author's words.
    pub description: Option<String>,
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
    /// Sizes of the disks in bytes, at most [`super::QCOW2_MAX`], the system's first; `None` means the
    /// default.
    pub disks: Vec<Option<u64>>,
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
    /// release does not have, an ISO image that would have to be changed.
    pub fn release(&self) -> Result<&Release, &[Diagnostic]> {
        self.release.as_ref().map_err(Vec::as_slice)
    }

    /// Makes it install another release than its name says: that of its tree.
    pub fn set_release(&mut self, release: Release) {
        self.release = Ok(release);
    }

    /// The contents of files and commands, each with what it belongs to and its name.
    pub fn payloads(&self) -> impl Iterator<Item = (&'static str, &str, &Payload)> {
        let files = self.files.iter().map(|f| ("file", &*f.path, &f.content));
        let before = self.precommands.iter();
        let before = before.map(|c| ("precommand", &*c.name, &c.script));
        let after = self.commands.iter();
        let after = after.map(|c| ("command", &*c.name, &c.script));
        files.chain(before).chain(after)
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
    /// Other addresses of the same tree (http, https).
    pub mirrors: Vec<SourceUrl>,
    /// More kernel options for the installer, on one line.
    pub kernelparam: Option<String>,
    /// Password of root, for built-in kickstarts.
    pub rootpw: Option<Secret>,
    /// Product key. Only Windows has one.
    pub key: Option<Secret>,
    /// `<icicle>`: a command that prints a line for each line of `rpm -qa`.
    pub extra_command: Option<String>,
}

impl Os {
    /// The addresses of the tree, what it is called first; none of an ISO image.
    pub fn tree_addresses(&self) -> Vec<Url> {
        let Install::Url(tree) = &self.install else {
            return Vec::new();
        };
        let all = std::iter::once(tree).chain(&self.mirrors);
        all.map(|address| address.url().clone()).collect()
    }
}

/// `<install>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// A tree on a mirror (http, https, ftp, file, nfs).
    Url(SourceUrl),
    /// An ISO image.
    Iso(IsoInstall),
}

impl Install {
    /// All addresses in it.
    pub fn addresses(&self) -> impl Iterator<Item = &SourceUrl> {
        let (first, second) = match self {
            Install::Url(url) => (Some(url), None),
            Install::Iso(iso) => (
                match &iso.address {
                    IsoAddress::Url(url) => Some(url),
                    IsoAddress::Path(_) => None,
                },
                iso.sum.as_ref().map(|(_, list)| list),
            ),
        };
        first.into_iter().chain(second)
    }
}

/// `<install type='iso'>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsoInstall {
    /// Where the image is.
    pub address: IsoAddress,
    /// The kind of its checksum, and the list that has it (http, https, ftp, file).
    pub sum: Option<(&'static str, SourceUrl)>,
}

/// Where an ISO image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IsoAddress {
    /// At an address (http, https, ftp, file).
    Url(SourceUrl),
    /// In a file; a relative path counts from the template's directory.
    Path(PathBuf),
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

/// An address as its author wrote it, known to parse. `Debug` and `Display` hide its password.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    text: String,
    url: Url,
    span: Range<usize>,
}

impl SourceUrl {
    /// Reads an address with one of `schemes`, which stands at the bytes `span` of the template.
    ///
    /// # Errors
    /// One sentence that names the cause, without the address (it may hold a password).
    pub fn parse(text: &str, schemes: &[&str], span: &Range<usize>) -> Result<Self, String> {
        let allowed = || schemes.join(", ");
        if text.is_empty() {
            return Err("the URL is empty".to_string());
        }
        // The parser would drop tabs and line breaks and encode blanks without a word.
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("the URL holds white space".to_string());
        }
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => {
                format!("the URL names no scheme (one of {})", allowed())
            }
            other => format!("the URL does not parse: {other}"),
        })?;
        let scheme = url.scheme();
        if !schemes.contains(&scheme) {
            return Err(format!(
                "the URL's scheme `{scheme}` is not one of {}",
                allowed()
            ));
        }
        if !text[scheme.len()..].starts_with("://") {
            return Err(format!("the URL does not begin with `{scheme}://`"));
        }
        match url.host_str() {
            None | Some("") if scheme != "file" => {
                return Err("the URL names no host".to_string());
            }
            Some(host) if scheme == "file" && !host.is_empty() => {
                return Err("a file URL here needs an absolute path: file:///path".to_string());
            }
            _ => {}
        }
        Ok(Self {
            text: text.to_string(),
            url,
            span: span.clone(),
        })
    }

    /// The address as written, password included. Package managers replace `$releasever` and the
    /// like in it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed address, password included.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it stands in the template, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the address names the machine that looks at it (`localhost`, `127.0.0.0/8`, `::1`,
    /// the unspecified address), on any port.
    pub fn is_loopback(&self) -> bool {
        let ip = |ip: IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
        match self.url.host() {
            Some(Host::Ipv4(address)) => ip(address.into()),
            Some(Host::Ipv6(address)) => ip(address.into()),
            Some(Host::Domain(domain)) => {
                let domain = domain.trim_end_matches('.').to_ascii_lowercase();
                matches!(
                    domain.as_str(),
                    "localhost"
                        | "localhost.localdomain"
                        | "localhost4"
                        | "localhost6"
                        | "localhost4.localdomain4"
                        | "localhost6.localdomain6"
                ) || domain.ends_with(".localhost")
            }
            None => false,
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::mask(&self.text))
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// The path of a `file:` address as Oz reads it: host and path together, nothing decoded, so that
/// `file://./x` and `file://dir/x` are relative. `None` for other schemes and for an empty path.
pub fn local_path(text: &str) -> Option<PathBuf> {
    let rest = text
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("file:"))
        .map(|_| &text[5..])?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    // RFC 8089 calls this machine `localhost` or nothing.
    let path = match path.strip_prefix("localhost/") {
        Some(_) => &path["localhost".len()..],
        None => path,
    };
    (!path.is_empty()).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["http", "https", "ftp", "file"];

    #[test]
    fn addresses_that_parse() {
        for text in [
            "http://h/p",
            "HTTPS://h:8443/$releasever/$basearch/",
            "ftp://u:p@h/",
            "file:///mnt/tree",
            "http://[::1]:8080/",
        ] {
            assert_eq!(
                SourceUrl::parse(text, SCHEMES, &(0..0)).unwrap().as_str(),
                text
            );
        }
        for text in [
            "",
            "h/p",
            "/mnt",
            "http:h",
            "http://",
            "http://h h/",
            "http://h/\na",
            "gopher://h/",
            "http://h:99999/",
            "http://[::1/",
            "file://./x",
            "nfs://h/p",
        ] {
            assert!(SourceUrl::parse(text, SCHEMES, &(0..0)).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let url = SourceUrl::parse("http://u:s3cret@h/", SCHEMES, &(0..0)).unwrap();
        assert!(!format!("{url} {url:?}").contains("s3cret"));
        let error = SourceUrl::parse("http://u:s3cret@h:99999/", SCHEMES, &(0..0)).unwrap_err();
        assert!(!error.contains("s3cret"));
    }

    #[test]
    fn loopback_in_all_its_spellings() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.", true),
            ("localhost.localdomain:80", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("2130706433", true),
            ("0.0.0.0", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.example.org", false),
            ("mirror", false),
            ("128.0.0.1", false),
        ] {
            let url = SourceUrl::parse(&format!("http://{host}/"), SCHEMES, &(0..0)).unwrap();
            assert_eq!(url.is_loopback(), expected, "{host}");
        }
    }

    #[test]
    fn file_addresses_as_paths() {
        for (text, expected) in [
            ("file:///etc/motd", Some("/etc/motd")),
            ("file://./x%20y", Some("./x%20y")),
            ("FILE://dir/x", Some("dir/x")),
            ("file:x", Some("x")),
            ("file://localhost/x", Some("/x")),
            ("file://", None),
            ("http://h/", None),
            ("é", None),
        ] {
            assert_eq!(local_path(text), expected.map(PathBuf::from), "{text}");
        }
    }
}
