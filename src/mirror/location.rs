//! Addresses of install trees and files: what is supported, how they are joined and shown.

use std::path::PathBuf;

use url::Url;

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

#[cfg(test)]
mod tests {
    use super::*;

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
