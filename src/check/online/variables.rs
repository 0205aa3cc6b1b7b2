//! Addresses as they stand in kickstarts and templates, with their variables filled in.

use std::net::Ipv4Addr;

use url::{Host, Url};

use crate::distro::{Arch, Product, Release};
use crate::language::Version;
use crate::machine::UserNetwork;

/// What variables stand for.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The release that the template installs.
    pub release: Option<Release>,
    /// The version of the kickstart language, where that is all that is known.
    pub version: Option<Version>,
    /// The guest's architecture.
    pub arch: Option<Arch>,
    /// The guest's network, if it is on user networking.
    pub user_network: Option<UserNetwork>,
}

/// Why there is no address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untried {
    /// It means something only in the guest (`file:`, `nfs:`, a path): nothing to say of it.
    GuestOnly,
    /// It cannot be tried from here; why.
    Unknown(String),
    /// It is no address at all; why.
    Wrong(String),
}

/// Values of `$infra`: the CentOS mirror list counts them and gives the same answer to all.
const INFRA: &str = "stock";

impl Known {
    /// The major and minor version, and whether it is a Fedora.
    pub fn expected(&self) -> Option<(u32, Option<u32>, bool)> {
        match (self.release, self.version) {
            (Some(release), _) => Some((
                release.major(),
                release.minor(),
                release.product() == Product::Fedora,
            )),
            (None, Some(Version::Rhel(major))) => Some((u32::from(major), None, false)),
            (None, Some(Version::Fedora(number))) => Some((u32::from(number), None, true)),
            (None, None) => None,
        }
    }

    /// The name of what is expected, for messages.
    pub fn name(&self) -> String {
        match (self.release, self.version) {
            (Some(release), _) => release.to_string(),
            (None, Some(version)) => version.to_string(),
            (None, None) => "the release".to_string(),
        }
    }

    /// What `$releasever` may be: the installer takes its own version (`9.4`), dnf in the image
    /// the major one, and CentOS Stream had `8-stream`.
    fn release_versions(&self) -> Vec<String> {
        let Some((major, minor, _)) = self.expected() else {
            return Vec::new();
        };
        let mut versions = vec![major.to_string()];
        if let Some(minor) = minor {
            versions.push(format!("{major}.{minor}"));
        }
        if self.is_stream() {
            versions.push(format!("{major}-stream"));
        }
        versions
    }

    fn is_stream(&self) -> bool {
        self.release.map(Release::product) == Some(Product::CentOsStream)
    }

    fn value(&self, name: &str, release_version: Option<&str>) -> Option<String> {
        let arch = |i386: &str, armv7l: &str| {
            self.arch.map(|arch| match arch {
                Arch::I386 => i386.to_string(),
                Arch::Armv7l => armv7l.to_string(),
                other => other.name().to_string(),
            })
        };
        match name {
            "releasever" => release_version.map(str::to_string),
            "releasever_major" => self.expected().map(|(major, _, _)| major.to_string()),
            // As rpm and dnf name them (dnf/rpm/__init__.py, `_BASEARCH_MAP`).
            "basearch" => arch("i386", "armhfp"),
            "arch" => arch("i686", "armv7hl"),
            "infra" => Some(INFRA.to_string()),
            // Rocky's type of release: empty but for its test releases.
            "rltype" => Some(String::new()),
            "stream" if self.is_stream() => {
                let (major, _, _) = self.expected()?;
                Some(format!("{major}-stream"))
            }
            "contentdir" => match self.release.map(Release::product) {
                Some(Product::Rocky) => Some("pub/rocky".to_string()),
                Some(Product::CentOs | Product::CentOsStream) => Some("centos".to_string()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Where an address of the guest's leads from here: what it reaches by this host's address in its
/// network listens on the loopback.
pub fn seen_from_here(url: &Url, network: Option<UserNetwork>) -> Url {
    let mut seen = url.clone();
    if network.is_some_and(|network| names(url, network)) {
        // It fails for addresses without a host only.
        let _ = seen.set_ip_host(Ipv4Addr::LOCALHOST.into());
    }
    seen
}

/// Whether an address is one of this host in a network of user networking.
pub fn names(url: &Url, network: UserNetwork) -> bool {
    url.host() == Some(Host::Ipv4(network.host()))
}

/// The addresses that `text` may mean: more than one where `$releasever` leaves a choice.
/// `local` says whether `file:` is a directory of this host.
///
/// # Errors
/// Why there is none to try.
pub fn resolve(text: &str, known: &Known, local: bool) -> Result<Vec<Url>, Untried> {
    if let Some(marker) = marker(text) {
        return Err(replaced_first(marker));
    }
    let versions = if text.contains("$releasever") || text.contains("${releasever") {
        known.release_versions()
    } else {
        Vec::new()
    };
    let mut choices: Vec<Option<&str>> = versions.iter().map(|v| Some(v.as_str())).collect();
    if choices.is_empty() {
        choices.push(None);
    }
    let mut urls = Vec::new();
    for version in choices {
        let url = parse(&substitute(text, known, version)?, local)?;
        if names(&url, UserNetwork::USUAL) && known.user_network.is_none() {
            let host = UserNetwork::USUAL.host();
            let why = format!("{host} is this host as only a guest sees it");
            return Err(Untried::Unknown(why));
        }
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    Ok(urls)
}

fn replaced_first(mark: &str) -> Untried {
    Untried::Unknown(format!(
        "it holds `{mark}`, which something else is to replace first"
    ))
}

fn parse(text: &str, local: bool) -> Result<Url, Untried> {
    let Some((scheme, _)) = text.split_once("://") else {
        // `nfs:host:/path`, `hd:sda1:/path`, and registries' names for containers.
        return Err(match text.split_once(':') {
            Some(_) => Untried::GuestOnly,
            None if text.starts_with('/') => Untried::GuestOnly,
            None => match placeholder(text) {
                Some(word) => replaced_first(word),
                None => Untried::Wrong("it names no scheme such as `https://`".to_string()),
            },
        });
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {}
        "file" if local => {}
        "file" | "nfs" | "hd" | "cdrom" | "oci" | "docker" | "registry" => {
            return Err(Untried::GuestOnly);
        }
        "ftp" => {
            return Err(Untried::Unknown(
                "ozr asks http, https and file, not ftp".to_string(),
            ));
        }
        other => return Err(Untried::Wrong(format!("the scheme `{other}` is not known"))),
    }
    Url::parse(text).map_err(|error| Untried::Wrong(format!("{error}")))
}

/// Fills in `$name` and `${name}`.
fn substitute(text: &str, known: &Known, version: Option<&str>) -> Result<String, Untried> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, behind) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            Some(braced) => braced,
            None => {
                let end = after
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(after.len());
                after.split_at(end)
            }
        };
        match known.value(name, version) {
            Some(value) => filled.push_str(&value),
            None => {
                return Err(Untried::Unknown(format!(
                    "nothing says what `${name}` stands for"
                )));
            }
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A part of a path in capitals (`REPLACE_ME`, `DATESTAMP`), as build systems mark what they fill
/// in. Only for texts that are no addresses as they are: `BOOT` and `EFI` stand in good ones.
fn placeholder(text: &str) -> Option<&str> {
    text.split('/').find(|part| {
        let capitals = part.chars().filter(char::is_ascii_uppercase).count();
        let is_mark = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_-".contains(c);
        capitals >= 3 && part.chars().all(is_mark)
    })
}

/// A mark of a template language: `{{ x }}` and `{% x %}` (Jinja), `@X@` (autoconf,
/// kickstart-tests), `<% x %>`, `%(x)s`, a shell's `$(x)`.
pub fn marker(text: &str) -> Option<&str> {
    for open in ["{{", "{%", "<%", "%(", "$("] {
        if let Some(at) = text.find(open) {
            let end = text[at..]
                .find(|c: char| c == '/' || c.is_whitespace())
                .map_or(text.len(), |end| at + end);
            return Some(&text[at..end.max(at + open.len())]);
        }
    }
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let after = &rest[at + 1..];
        let end = after.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        match end {
            Some(end) if end > 0 && after[end..].starts_with('@') => {
                return Some(&rest[at..at + end + 2]);
            }
            _ => rest = after,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, version: &str) -> Known {
        Known {
            release: Some(Release::from_names(name, version).unwrap()),
            version: None,
            arch: Some(Arch::X86_64),
            user_network: None,
        }
    }

    fn urls(text: &str, known: &Known) -> Vec<String> {
        let urls = resolve(text, known, false).unwrap_or_else(|why| panic!("{text}: {why:?}"));
        urls.into_iter().map(String::from).collect()
    }

    #[test]
    fn variables_are_filled_in() {
        let rocky = known("Rocky-9", "9.4");
        assert_eq!(
            urls("http://m/$releasever/${basearch}/os/", &rocky),
            ["http://m/9/x86_64/os/", "http://m/9.4/x86_64/os/"]
        );
        assert_eq!(
            urls(
                "http://m/ml?arch=$basearch&repo=B-$releasever$rltype",
                &known("Rocky-9", "9")
            ),
            ["http://m/ml?arch=x86_64&repo=B-9"]
        );
        assert_eq!(
            urls("http://m/$stream/", &known("CentOS-Stream-9", "9")),
            ["http://m/9-stream/"]
        );
        let kickstart = Known {
            release: None,
            version: Some(Version::Fedora(43)),
            arch: Some(Arch::Armv7l),
            user_network: None,
        };
        assert_eq!(
            urls("http://m/$releasever/$basearch", &kickstart),
            ["http://m/43/armhfp"]
        );
    }

    #[test]
    fn what_cannot_be_tried_is_told_from_what_is_wrong() {
        let nothing = Known {
            release: None,
            version: None,
            arch: None,
            user_network: None,
        };
        for text in [
            "http://m/$releasever/",
            "http://m/$basearch/",
            "http://$mirror/",
            "http://{{ mirror }}/",
            "@KSTEST_URL@",
            "http://m/@ARCH@/x",
            "http://m/$(uname -m)/",
            "http://10.0.2.2:8000/ks.cfg",
            "ftp://m/x",
            "REPLACE_ME",
            "mirror.example/DATESTAMP/os",
        ] {
            assert!(
                matches!(resolve(text, &nothing, false), Err(Untried::Unknown(_))),
                "{text}"
            );
        }
        for text in [
            "file:///run/install/repo",
            "/tmp/x",
            "nfs:h:/x",
            "hd:sda1:/x",
        ] {
            assert_eq!(
                resolve(text, &nothing, false),
                Err(Untried::GuestOnly),
                "{text}"
            );
        }
        for text in ["mirror/os", "http://", "gopher://h/", "http://h:99999/"] {
            assert!(
                matches!(resolve(text, &nothing, false), Err(Untried::Wrong(_))),
                "{text}"
            );
        }
        assert!(resolve("file:///srv/tree", &nothing, true).is_ok());
        assert!(resolve("http://a@b.example@c/", &nothing, true).is_ok());
    }
}
