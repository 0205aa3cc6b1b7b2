//! Addresses of install trees and files: what is supported, how they are joined and shown.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use url::{Host, Url};

use super::fault::Fault;

/// Where a file is, by how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `http` or `https`.
    Web(Url),
    /// A file of this host.
    Local(PathBuf),
}

impl Location {
    /// How `url` is reached.
    ///
    /// # Errors
    /// A scheme that is not supported, or a `file` address of another host.
    pub fn of(url: &Url) -> Result<Location, Fault> {
        match url.scheme() {
            "http" | "https" => Ok(Location::Web(url.clone())),
            "file" => url
                .to_file_path()
                .map(Location::Local)
                .map_err(|()| Fault::Address {
                    url: shown(url),
                    reason: "names another host; write `file:///path`".to_string(),
                }),
            other => Err(Fault::Address {
                url: shown(url),
                reason: format!("has the scheme `{other}`; http, https and file are supported"),
            }),
        }
    }
}

/// Checks the address of a tree. Its files are found by appending their paths, as anaconda does
/// (dracut/anaconda-lib.sh), which a query or fragment would spoil.
pub fn check_tree(url: &Url) -> Result<(), Fault> {
    Location::of(url)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::Address {
            url: shown(url),
            reason: "has a `?` or `#` part, so the installer could not append to it".to_string(),
        });
    }
    Ok(())
}

/// The address of a file by its path in the tree. The path is a file's name as it is, so
/// everything that means something in a URL is escaped; `.` and `..` parts are dropped.
pub fn join(tree: &Url, path: &str) -> Url {
    let mut url = tree.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

/// The address with a slash at its end, so that it is a directory.
pub fn with_slash(base: &Url) -> Url {
    let mut url = base.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", base.path()));
    }
    url
}

/// A place given relative to a tree, perhaps beside it, on the same server.
pub fn beside(base: &Url, path: &str) -> Option<Url> {
    let url = with_slash(base).join(&format!("{path}/")).ok()?;
    (url.origin() == base.origin() && url.scheme() == base.scheme()).then_some(url)
}

/// An address as it may be shown and stored: without user, password, query and fragment, any of
/// which may be a secret.
pub fn shown(url: &Url) -> String {
    let mut shown = public(url);
    if shown.query().is_some() {
        shown.set_query(Some("…"));
    }
    // `Url` would show the sign escaped.
    shown.as_str().replace("?%E2%80%A6", "?…")
}

/// The address without user and password, for cache keys.
pub fn public(url: &Url) -> Url {
    let mut public = url.clone();
    // These fail for addresses without a host, which cannot hold credentials either.
    let _ = public.set_username("");
    let _ = public.set_password(None);
    public.set_fragment(None);
    public
}

/// A path below an address, as it is written: a mirror may tell `%2B` from `+`.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// How far an address is seen, from the whole network to this host alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// The internet.
    Global,
    /// A private network (RFC 1918, RFC 6598, RFC 4193).
    Private,
    /// The link (RFC 3927, RFC 4291), where clouds have their metadata services.
    Link,
    /// This host.
    Loopback,
}

impl Scope {
    /// The scope of an address.
    pub(super) fn of(address: IpAddr) -> Scope {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                if v4.is_loopback() || a == 0 {
                    Scope::Loopback
                } else if v4.is_link_local() || v4.is_multicast() || a >= 240 {
                    Scope::Link
                } else if v4.is_private()
                    || (a == 100 && b & 0xc0 == 64)
                    || (a, b & 0xfe) == (198, 18)
                {
                    Scope::Private
                } else {
                    Scope::Global
                }
            }
            IpAddr::V6(v6) => match v6.segments() {
                // Translated by a NAT64 (RFC 6052), or once meant to be (RFC 4291).
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
                    let bits = u32::from(high) << 16 | u32::from(low);
                    Scope::of(IpAddr::V4(Ipv4Addr::from_bits(bits)))
                }
                [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Scope::Link,
                [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Scope::Private,
                _ => Scope::Global,
            },
        }
    }

    /// The scope of an address whose host is written in numbers, or is this host by its name.
    pub(super) fn of_host(url: &Url) -> Option<Scope> {
        match url.host()? {
            Host::Ipv4(address) => Some(Scope::of(IpAddr::V4(address))),
            Host::Ipv6(address) => Some(Scope::of(IpAddr::V6(address))),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                let is_loopback = name == "localhost" || name.ends_with(".localhost");
                is_loopback.then_some(Scope::Loopback)
            }
        }
    }

    /// Whether a server here may redirect there: to the internet, or to where it is itself.
    pub(super) fn may_send_to(self, to: Scope) -> bool {
        to == Scope::Global || to == self || self == Scope::Loopback
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_scope() {
        for (text, scope) in [
            ("1.1.1.1", Scope::Global),
            ("100.63.0.1", Scope::Global),
            ("2001:db8::1", Scope::Global),
            ("10.0.0.1", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("192.168.1.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("fd00::1", Scope::Private),
            ("::ffff:10.0.0.1", Scope::Private),
            ("64:ff9b::a00:1", Scope::Private),
            ("169.254.169.254", Scope::Link),
            ("fe80::1", Scope::Link),
            ("224.0.0.1", Scope::Link),
            ("255.255.255.255", Scope::Link),
            ("127.0.0.1", Scope::Loopback),
            ("127.9.9.9", Scope::Loopback),
            ("0.0.0.0", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("::", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("::127.0.0.1", Scope::Loopback),
        ] {
            assert_eq!(Scope::of(text.parse().unwrap()), scope, "{text}");
        }
        for (address, scope) in [
            ("http://2130706433/", Some(Scope::Loopback)),
            ("http://0x7f.1/", Some(Scope::Loopback)),
            ("http://[::1]:8/", Some(Scope::Loopback)),
            ("http://localhost./", Some(Scope::Loopback)),
            ("http://x.LOCALHOST/", Some(Scope::Loopback)),
            ("http://10.1/", Some(Scope::Private)),
            ("http://localhost.example/", None),
        ] {
            assert_eq!(Scope::of_host(&url(address)), scope, "{address}");
        }
    }

    #[test]
    fn redirects_lead_outwards_or_stay() {
        let all = [Scope::Global, Scope::Private, Scope::Link, Scope::Loopback];
        let allowed = |from: Scope| all.map(|to| from.may_send_to(to));
        assert_eq!(allowed(Scope::Global), [true, false, false, false]);
        assert_eq!(allowed(Scope::Private), [true, true, false, false]);
        assert_eq!(allowed(Scope::Link), [true, false, true, false]);
        assert_eq!(allowed(Scope::Loopback), [true; 4]);
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn joins_with_and_without_a_slash() {
        for base in ["http://m/a/os", "http://m/a/os/"] {
            assert_eq!(
                join(&url(base), "images/pxeboot/vmlinuz").as_str(),
                "http://m/a/os/images/pxeboot/vmlinuz"
            );
        }
        assert_eq!(
            join(&url("http://m"), ".treeinfo").as_str(),
            "http://m/.treeinfo"
        );
        assert_eq!(join(&url("file:///srv/t"), "k").as_str(), "file:///srv/t/k");
    }

    #[test]
    fn repositories_beside_a_tree() {
        let base = Url::parse("http://u:p@m/9/BaseOS/x86_64/os").unwrap();
        for (path, expected) in [
            (".", Some("http://u:p@m/9/BaseOS/x86_64/os/")),
            (
                "../../../AppStream/x86_64/os",
                Some("http://u:p@m/9/AppStream/x86_64/os/"),
            ),
            ("Server", Some("http://u:p@m/9/BaseOS/x86_64/os/Server/")),
            ("//other/x", None),
        ] {
            let found = beside(&base, path).map(String::from);
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn joins_names_not_addresses() {
        let joined = join(&url("http://m/t/"), "a b/c?d#e%2f/../f");
        assert_eq!(joined.as_str(), "http://m/t/a%20b/c%3Fd%23e%252f/f");
    }

    #[test]
    fn shows_no_secret() {
        let secret = url("https://bob:s3cret@cdn.example/t/?token=s3cret#s3cret");
        assert_eq!(shown(&secret), "https://cdn.example/t/?…");
        assert_eq!(
            public(&secret).as_str(),
            "https://cdn.example/t/?token=s3cret"
        );
    }

    #[test]
    fn knows_its_schemes() {
        assert!(matches!(
            Location::of(&url("https://m/")),
            Ok(Location::Web(_))
        ));
        assert_eq!(
            Location::of(&url("file:///srv/a%20b")).unwrap(),
            Location::Local("/srv/a b".into())
        );
        for bad in ["ftp://m/", "nfs://m/x", "file://other/x"] {
            assert!(Location::of(&url(bad)).is_err(), "{bad}");
        }
        assert!(check_tree(&url("http://m/t?x")).is_err());
    }
}
