//! Files of the system that an image holds: what is known of them, and their contents.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::reader::{self, Image, Question};
use crate::disk::device::Device;
use crate::disk::system::System;
use crate::disk::tree::{Kind, Metadata};
use crate::disk::volumes::Volumes;
use crate::hex;

/// The attribute that holds a file's SELinux label, which ends with a zero byte.
const LABEL: &str = "security.selinux";

/// What is asked of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// What is known of a file; of a link, of the link itself.
    Stat(PathBuf),
    /// A file's content, links followed.
    Read {
        /// The file.
        path: PathBuf,
        /// The most bytes that it may have.
        most: u64,
    },
    /// The SHA-256 of a file's content, links followed.
    Digest(PathBuf),
    /// The entries of a directory, links followed.
    List(PathBuf),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// There is no such file.
    Missing,
    /// What is known of a file.
    Stat(Entry),
    /// A file's content.
    Content(#[serde(with = "super::base64")] Vec<u8>),
    /// A file's digest, in hexadecimal.
    Digest(String),
    /// A directory's entries, sorted by their names.
    Entries(Vec<Entry>),
    /// It cannot be told, and why.
    Unknown(String),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path as it was asked for, or its name in the directory; bytes that are no UTF-8 replaced.
    pub path: String,
    /// What is known of it.
    pub metadata: Metadata,
    /// Where it leads, if it is a link.
    pub target: Option<String>,
    /// Its SELinux label, if it has one.
    pub label: Option<String>,
}

/// Answers about files of the system on disks that no guest uses, in the order of the requests: of
/// some hundred at once, for each call starts a process. Asks `program`, [`reader::OWN_PROGRAM`].
///
/// # Errors
/// An image cannot be read, or they hold no system that can be read.
pub async fn look(
    program: &Path,
    images: &[Image<'_>],
    requests: Vec<Request>,
) -> anyhow::Result<Vec<Answer>> {
    reader::ask(program, images, &Question::Look(requests)).await
}

/// The same, in this process.
///
/// # Errors
/// A disk cannot be read, or they hold no system that can be read.
pub(super) fn answers(disks: &[Device], requests: &[Request]) -> anyhow::Result<Vec<Answer>> {
    let mut system = System::find(Volumes::find(disks)?)?;
    let answers = requests.iter().map(|request| {
        answer(&mut system, request).unwrap_or_else(|why| Answer::Unknown(format!("{why:#}")))
    });
    Ok(answers.collect())
}

fn answer(system: &mut System, request: &Request) -> anyhow::Result<Answer> {
    Ok(match request {
        Request::Stat(path) => stat(system, path, path)?.map_or(Answer::Missing, Answer::Stat),
        Request::Read { path, most } => match system.find_file(path)? {
            Some(_) => Answer::Content(system.read(path, *most)?),
            None => Answer::Missing,
        },
        Request::Digest(path) => match system.find_file(path)? {
            Some((place, _)) => Answer::Digest(digest(system, &place)?),
            None => Answer::Missing,
        },
        Request::List(path) => {
            let Some(names) = system.read_dir(path)? else {
                return Ok(Answer::Missing);
            };
            let entries = names
                .iter()
                .map(|name| stat(system, &path.join(name), name));
            let entries: anyhow::Result<Vec<_>> = entries.collect();
            Answer::Entries(entries?.into_iter().flatten().collect())
        }
    })
}

/// The digest of a file that is where no link leads.
fn digest(system: &mut System, place: &Path) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let length = system.read_at(place, at, &mut buffer)?;
        if length == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..length]);
        at += length as u64;
    }
}

/// What is known of a file that the answer names so; none if there is none.
fn stat(system: &mut System, path: &Path, named: &Path) -> anyhow::Result<Option<Entry>> {
    let Some(metadata) = system.metadata(path)? else {
        return Ok(None);
    };
    let attributes = system.attributes(path)?;
    let label = attributes.into_iter().find(|(name, _)| name == LABEL);
    let label = label.map(|(_, value)| String::from_utf8_lossy(&value).into_owned());
    let target = match metadata.kind {
        Kind::Link => Some(system.read_link(path)?.to_string_lossy().into_owned()),
        _ => None,
    };
    Ok(Some(Entry {
        path: named.to_string_lossy().into_owned(),
        metadata,
        target,
        label: label.map(|label| label.trim_end_matches('\0').to_owned()),
    }))
}
