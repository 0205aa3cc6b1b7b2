//! What is served.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::access::Resource;
use super::relay::Upstream;
use super::routes::{self, Route};

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
        let base = routes::relay_name(name).unwrap_or_else(|| "repository".to_owned());
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
