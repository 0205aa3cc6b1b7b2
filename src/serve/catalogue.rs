//! What is served, and what a request's target names of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::access::Resource;
use super::relay::Upstream;

/// The name under which [`Server::add`](super::Server::add) takes the kickstart.
pub const KICKSTART_NAME: &str = "ks.cfg";
/// The name under which [`Server::add_relay`](super::Server::add_relay) takes the install tree.
pub const TREE_NAME: &str = "tree";

/// What a served file consists of.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// A regular file, opened at each request.
    File(PathBuf),
}

/// A file with what is said about it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) content_type: String,
}

/// What a route leads to.
pub(super) enum Target {
    Item(Item),
    Relay(Arc<dyn Upstream>, String),
}

/// Everything that is served, by where it is found.
#[derive(Default)]
pub(super) struct Catalogue {
    kickstart: Option<Item>,
    files: HashMap<u64, Item>,
    tree: Option<Arc<dyn Upstream>>,
    repositories: HashMap<String, Arc<dyn Upstream>>,
}

impl Catalogue {
    /// Adds a file; gives its path below the token. A second kickstart replaces the first.
    pub(super) fn add(&mut self, item: Item) -> String {
        if item.name == KICKSTART_NAME {
            self.kickstart = Some(item);
            return KICKSTART_NAME.to_owned();
        }
        let id = self.files.len() as u64 + 1;
        self.files.insert(id, item);
        format!("files/{id}")
    }

    /// Adds a relay; gives its path below the token, with a slash at its end. A second tree
    /// replaces the first; a second repository of a name gets a name of its own.
    pub(super) fn add_relay(&mut self, name: &str, upstream: Arc<dyn Upstream>) -> String {
        if name == TREE_NAME {
            self.tree = Some(upstream);
            return "tree/".to_owned();
        }
        let base = relay_name(name).unwrap_or_else(|| "repository".to_owned());
        let mut free = base.clone();
        let mut number = 2;
        while self.repositories.contains_key(&free) {
            free = format!("{base}-{number}");
            number += 1;
        }
        let path = format!("repo/{free}/");
        self.repositories.insert(free, upstream);
        path
    }

    /// What lies at `route`, and what it is called in records.
    pub(super) fn find(&self, route: Route) -> Option<(Target, Resource)> {
        match route {
            Route::Kickstart => {
                let item = self.kickstart.clone()?;
                Some((Target::Item(item), Resource::Kickstart))
            }
            Route::File(id) => {
                let item = self.files.get(&id)?.clone();
                let resource = Resource::File(item.name.clone());
                Some((Target::Item(item), resource))
            }
            Route::Tree(path) => relay(self.tree.as_ref()?, TREE_NAME.to_owned(), path),
            Route::Repository { name, path } => relay(self.repositories.get(&name)?, name, path),
        }
    }
}

fn relay(upstream: &Arc<dyn Upstream>, name: String, path: String) -> Option<(Target, Resource)> {
    let target = Target::Relay(Arc::clone(upstream), path.clone());
    Some((target, Resource::Relay { name, path }))
}

/// What a target names. Whether it exists, the catalogue knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/TOKEN/ks.cfg`
    Kickstart,
    /// `/TOKEN/files/ID`
    File(u64),
    /// `/TOKEN/tree/PATH`
    Tree(String),
    /// `/TOKEN/repo/NAME/PATH`
    Repository {
        /// The relay's name.
        name: String,
        /// The path below it: percent-encoded, no `/` in front, no `.`, `..` or empty segment
        /// (but maybe a `/` at its end).
        path: String,
    },
}

/// The route of `target`, if it lies below the unguessable path and plays no tricks.
pub fn route(target: &str, token: &str) -> Option<Route> {
    let (given, rest) = target.strip_prefix('/')?.split_once('/')?;
    if !same(given.as_bytes(), token.as_bytes()) {
        return None;
    }
    let (first, rest) = match rest.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (rest, None),
    };
    match (first, rest) {
        ("ks.cfg", None) => Some(Route::Kickstart),
        ("files", Some(id)) => file_id(id).map(Route::File),
        ("tree", rest) => clean(rest.unwrap_or_default()).map(Route::Tree),
        ("repo", Some(rest)) => {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            let name = relay_name(name).filter(|clean| clean == name)?;
            let path = clean(path)?;
            Some(Route::Repository { name, path })
        }
        _ => None,
    }
}

/// Compares without telling by its duration how much is right.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len() && openssl::memcmp::eq(given, expected)
}

fn file_id(text: &str) -> Option<u64> {
    // One spelling for each number.
    let id = text.parse().ok()?;
    (format!("{id}") == text).then_some(id)
}

/// `name` as it stands in a relay's URL: other characters than letters, digits, `.`, `_` and
/// `-` become `-`. `None` if nothing is left that can stand in a path.
pub(super) fn relay_name(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '-',
        })
        .take(64)
        .collect();
    (!name.is_empty() && !name.starts_with('.')).then_some(name)
}

/// Checks a path below a relay and writes it in one way.
///
/// Empty segments are left out: anaconda appends `/.treeinfo` to the URL as it was given
/// (dracut/anaconda-lib.sh), so a URL with a slash at its end makes two. A query, a segment
/// that is or decodes to `.` or `..`, an encoded slash, backslash, percent sign or control
/// character, and a broken encoding are refused.
fn clean(path: &str) -> Option<String> {
    let mut cleaned = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        // What is no encoding keeps its percent sign, which is refused.
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        let harmful = |byte: &u8| byte.is_ascii_control() || b"/\\%".contains(byte);
        if decoded == b"." || decoded == b".." || decoded.iter().any(harmful) {
            return None;
        }
        if !cleaned.is_empty() {
            cleaned.push('/');
        }
        push_segment(&mut cleaned, segment)?;
    }
    if !cleaned.is_empty() && path.ends_with('/') {
        cleaned.push('/');
    }
    Some(cleaned)
}

/// Keeps what RFC 3986 allows in a segment, encodings included (some mirrors know `+` only as
/// `%2B`), and encodes the rest, such as the `^` of RPM versions.
fn push_segment(cleaned: &mut String, segment: &str) -> Option<()> {
    for c in segment.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%".contains(c) => cleaned.push(c),
            '?' | '#' => return None,
            c if c.is_ascii_graphic() => cleaned.push_str(&format!("%{:02X}", u32::from(c))),
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn at(rest: &str) -> Option<Route> {
        route(&format!("/{TOKEN}{rest}"), TOKEN)
    }

    #[test]
    fn what_is_there() {
        let repository = |name: &str, path: &str| {
            let (name, path) = (name.to_owned(), path.to_owned());
            Some(Route::Repository { name, path })
        };
        assert_eq!(at("/ks.cfg"), Some(Route::Kickstart));
        assert_eq!(at("/files/12"), Some(Route::File(12)));
        assert_eq!(at("/tree"), Some(Route::Tree(String::new())));
        assert_eq!(at("/tree/"), Some(Route::Tree(String::new())));
        assert_eq!(
            at("/tree//.treeinfo"),
            Some(Route::Tree(".treeinfo".into()))
        );
        assert_eq!(at("/repo/a"), repository("a", ""));
        assert_eq!(at("/repo/a/repodata/"), repository("a", "repodata/"));
        assert_eq!(
            at("/repo/a-1/P//libstdc%2b+-1~b^2.rpm"),
            repository("a-1", "P/libstdc%2b+-1~b%5E2.rpm")
        );
        assert_eq!(at("/tree/...x"), Some(Route::Tree("...x".into())));
    }

    #[test]
    fn tricks_lead_nowhere() {
        let tricks = [
            "",
            "/",
            "//ks.cfg",
            "/ks.cfg/",
            "/ks.cfg?x",
            "/ks%2ecfg",
            "/./ks.cfg",
            "/x/../ks.cfg",
            "/files/",
            "/files/01",
            "/files/+1",
            "/files/1/2",
            "/files/99999999999999999999999",
            "/repo/",
            "/repo",
            "/repo/../x",
            "/repo/%2e%2e/x",
            "/tree/..",
            "/tree/../x",
            "/tree/a/../../x",
            "/tree/%2e%2e/x",
            "/tree/.%2E/x",
            "/tree/%2E",
            "/tree/a%2fb",
            "/tree/a%2Fb",
            "/tree/a%5cb",
            "/tree/a%00b",
            "/tree/a%0d%0aX:y",
            "/tree/%252e%252e/x",
            "/tree/%",
            "/tree/%4",
            "/tree/%zz",
            "/tree/a?b",
            "/TREE/x",
        ];
        for trick in tricks {
            assert_eq!(at(trick), None, "{trick}");
        }
        for target in ["/ks.cfg", "//ks.cfg", "/", "", "/0123/ks.cfg"] {
            assert_eq!(route(target, TOKEN), None, "{target}");
        }
        let upper = format!("/{}/ks.cfg", TOKEN.to_uppercase());
        assert_eq!(route(&upper, TOKEN), None);
        assert_eq!(route(&format!("//{TOKEN}/ks.cfg"), TOKEN), None);
    }
}
