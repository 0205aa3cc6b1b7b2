//! Brings together what the template adds: contents of files and commands, and how each gets to
//! the guest.

use std::path::Path;

use anyhow::Context;

use crate::hex;
use crate::kickstart::additions::{Additions, Body, FileAddition, Repository, Script};
use crate::mirror::{Mirror, shown};
use crate::serve::{Content, Server};
use crate::tdl::{Payload, Template};

/// Largest content of one file or command, in bytes (docs/template.md promises that much).
pub const MAX_CONTENT: u64 = 16 << 20;

/// A file or command of the template: its name and its content.
type Item = (String, Vec<u8>);

/// All contents of a template, read and fetched.
#[derive(Debug)]
pub struct Contents {
    precommands: Vec<Item>,
    files: Vec<Item>,
    commands: Vec<Item>,
    /// Addresses of what was fetched, without credentials, and the SHA-256 of each.
    pub fetched: Vec<(String, String)>,
}

impl Contents {
    /// Reads local contents (relative to `base`, the template's directory) and fetches remote ones.
    ///
    /// # Errors
    /// Input: a local file cannot be read or is too large. Mirror: a remote one.
    pub async fn gather(template: &Template, base: &Path, mirror: &Mirror) -> anyhow::Result<Self> {
        let precommands = template.precommands.iter().map(|c| (&c.name, &c.script));
        let files = template.files.iter().map(|f| (&f.path, &f.content));
        let commands = template.commands.iter().map(|c| (&c.name, &c.script));
        let mut fetched = Vec::new();
        let precommands = load_all("precommand", precommands, base, mirror, &mut fetched).await?;
        let files = load_all("file", files, base, mirror, &mut fetched).await?;
        let commands = load_all("command", commands, base, mirror, &mut fetched).await?;
        Ok(Contents {
            precommands,
            files,
            commands,
            fetched,
        })
    }

    /// The digests of all contents, with what each is.
    pub fn digests(&self) -> impl Iterator<Item = (String, String)> {
        [
            ("precommand", &self.precommands),
            ("file", &self.files),
            ("command", &self.commands),
        ]
        .into_iter()
        .flat_map(|(kind, items)| {
            // Names need not be different.
            let items = items.iter().enumerate();
            items.map(move |(number, (name, content))| {
                (
                    format!("{kind} {} `{name}`", number + 1),
                    hex::sha256(content),
                )
            })
        })
    }

    /// The commands, with their names.
    pub fn scripts(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.precommands.iter().chain(&self.commands);
        all.map(|(name, content)| (&**name, &**content))
    }

    /// What the kickstart composer takes: contents go through `server` if there is one, else into
    /// the kickstart itself.
    pub fn into_additions(
        self,
        template: &Template,
        repositories: Vec<Repository>,
        server: Option<&Server>,
    ) -> Additions {
        let body = |bytes: Vec<u8>, name: &str| match server {
            Some(server) => {
                let sha256 = hex::sha256(&bytes);
                let size = bytes.len() as u64;
                let content = Content::Bytes(bytes.into());
                let url = server.add(name, content, "application/octet-stream");
                let url = url.into();
                Body::Url { url, sha256, size }
            }
            None => Body::Embedded(bytes),
        };
        let scripts = |items: Vec<Item>| -> Vec<Script> {
            let script = |(name, bytes): Item| Script {
                body: body(bytes, &name),
                name,
            };
            items.into_iter().map(script).collect()
        };
        let file = |(path, bytes): Item| FileAddition {
            body: body(bytes, &path),
            path,
        };
        let packages = template.packages.iter();
        Additions {
            repositories,
            packages: packages.map(|package| package.name.clone()).collect(),
            precommands: scripts(self.precommands),
            files: self.files.into_iter().map(file).collect(),
            commands: scripts(self.commands),
            ..Additions::default()
        }
    }
}

/// Loads the contents of all files or commands, `kind` in messages, in their order.
async fn load_all(
    kind: &str,
    entries: impl Iterator<Item = (&String, &Payload)>,
    base: &Path,
    mirror: &Mirror,
    fetched: &mut Vec<(String, String)>,
) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for (name, payload) in entries {
        let what = format!("{kind} `{name}`");
        let content = load(payload, base, mirror, &what).await?;
        if let Payload::Remote(url) = payload {
            fetched.push((shown(url.url()), hex::sha256(&content)));
        }
        items.push((name.clone(), content));
    }
    Ok(items)
}

async fn load(
    payload: &Payload,
    base: &Path,
    mirror: &Mirror,
    what: &str,
) -> anyhow::Result<Vec<u8>> {
    match payload {
        Payload::Inline(bytes) => Ok(bytes.clone()),
        Payload::Local(path) => {
            let (mirror, path) = (mirror.clone(), base.join(path));
            let read = tokio::task::spawn_blocking(move || mirror.read_file(&path, MAX_CONTENT));
            let bytes = read.await.context("reading files")?;
            bytes.with_context(|| format!("the content of {what}"))
        }
        Payload::Remote(url) => mirror
            .fetch_bytes(url.url(), MAX_CONTENT)
            .await
            .with_context(|| format!("fetching the content of {what}")),
    }
}
