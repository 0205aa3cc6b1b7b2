//! The process that reads a disk.
//!
//! Whatever a disk holds was written by its guest, and file systems are intricate: a superblock can
//! ask for more memory than there is, which ends a process. So a process of its own reads it
//! ([`answer_to`]: `ozr` started once more), within bounds of memory and time; what it
//! cannot read is not known, and no more.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::look::{self, Request};
use super::seal;
use super::{configuration, files, installed};
use crate::disk::device::Device;
use crate::disk::image_file;
use crate::disk::luks::{self, Key, Keys};
use crate::disk::system::System;
use crate::disk::volumes::Volumes;
use crate::inspect::{self, Inspection, drivers};
use crate::packages::{changelog, origin};
use crate::process;
use crate::secrets::Secret;

/// The program that reads disks: this one, whatever its file has become.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The first argument of the process that reads disks; what is asked follows ([`Asked`]), and the first
/// disk is its standard input. No user gives it.
const VERB: &str = "--read-disk";

/// Memory of the process that reads, in bytes: the largest logs as they are and in its answer, and a
/// file system's tables.
const MOST_MEMORY: u64 = 384 << 20;

/// The environment variable of that process that has what opens encrypted disks ([`Opening`]): others may read the
/// arguments of a process, and not this.
const OPENING: &str = "OZR_DISK_KEYS";

/// What is asked of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Whether there is a partition with contents, or a file system.
    Contents,
    /// What the passphrases open that are given.
    Keys,
    /// The installer's logs.
    Logs,
    /// Files of the installed system.
    Look(Vec<Request>),
    /// What the image is.
    Inspect,
    /// Its partitions, and what they hold.
    Storage,
    /// From which repositories the packages are.
    Origins,
    /// What the packages of these names say of their changes.
    Changelogs(BTreeSet<String>),
    /// The files of its configuration.
    Configuration,
    /// Where the drivers of its kernels are, of these names.
    Drivers(Vec<String>),
    /// What of these items of sealing is not taken out.
    Unsealed(BTreeSet<String>),
    /// All files, those on either side of these patterns apart: the one answer that is a stream
    /// ([`files::read`]).
    Files(Vec<String>),
}

impl Question {
    /// How long the process may compute. A disk of 20 logs takes some hundredths of a second.
    fn most_cpu(&self) -> Duration {
        match self {
            Question::Contents | Question::Logs | Question::Storage => Duration::from_secs(5),
            Question::Look(_) | Question::Unsealed(_) | Question::Origins => {
                Duration::from_secs(20)
            }
            // Some initramfs are unpacked.
            Question::Inspect
            | Question::Drivers(_)
            | Question::Changelogs(_)
            | Question::Configuration => Duration::from_secs(60),
            // As much as its budget of work takes on a slow machine.
            Question::Keys => Duration::from_secs(300),
            // 10 TiB at the speed of a slow machine.
            Question::Files(_) => Duration::from_secs(6 * 60 * 60),
        }
    }

    /// How long it may take in all, on a disk that is slow.
    fn patience(&self) -> Duration {
        4 * self.most_cpu()
    }

    /// How much memory the process may have, in bytes.
    fn most_memory(&self) -> u64 {
        match self {
            Question::Keys => MOST_MEMORY + luks::MOST_MEMORY,
            _ => MOST_MEMORY,
        }
    }

    /// Writes the answer about the disks of a machine, as JSON, in this process.
    ///
    /// # Errors
    /// A disk cannot be read, or nobody reads the answer.
    pub fn answer(&self, disks: &[Device], out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = match self {
            Question::Files(apart) => return files::write(disks, apart, out),
            Question::Keys => bail!("no passphrase was given"),
            Question::Contents => serde_json::to_vec(&installed::is_used(disks)?),
            Question::Logs => serde_json::to_vec(&installed::find_logs(disks)?),
            Question::Inspect => serde_json::to_vec(&inspect::look(disks)?),
            Question::Storage => serde_json::to_vec(&inspect::storage(disks)?),
            Question::Drivers(names) => serde_json::to_vec(&drivers::look(disks, names)?),
            Question::Look(requests) => serde_json::to_vec(&look::answers(disks, requests)?),
            Question::Unsealed(items) => serde_json::to_vec(&seal::prove(disks, items)?),
            Question::Origins => serde_json::to_vec(&origin::of(&mut system(disks)?)?),
            Question::Changelogs(names) => {
                serde_json::to_vec(&changelog::of(&mut system(disks)?, names)?)
            }
            Question::Configuration => serde_json::to_vec(&configuration::of(&mut system(disks)?)?),
        };
        out.write_all(&answer?)?;
        Ok(out.flush()?)
    }
}

fn system(disks: &[Device]) -> anyhow::Result<System> {
    System::find(Volumes::find(disks)?)
}

/// The image of a disk that no guest uses.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Its file.
    pub file: &'a File,
    /// The image that it was laid on, if it is an overlay in qcow2.
    pub below: Option<&'a Path>,
    /// What opens the encrypted on the disks of its machine.
    pub keys: &'a [Key],
}

impl<'a> Image<'a> {
    /// Images that stand on no others, of which nothing encrypted is read.
    pub fn all(files: &'a [File]) -> Vec<Image<'a>> {
        Image::opened(files, &[])
    }

    /// Images that stand on no others, with what opens the encrypted on them.
    pub fn opened(files: &'a [File], keys: &'a [Key]) -> Vec<Image<'a>> {
        let below = None;
        let images = files.iter().map(|file| Image { file, below, keys });
        images.collect()
    }
}

/// What the process that reads disks is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    question: Question,
    /// The image below the first disk, if that is an overlay.
    below: Option<PathBuf>,
    /// The other disks, each with the image below it.
    more: Vec<(PathBuf, Option<PathBuf>)>,
}

/// What opens encrypted disks, as [`OPENING`] has it.
#[derive(Default, Serialize, Deserialize)]
struct Opening {
    /// Of [`Question::Keys`].
    passphrases: Vec<String>,
    keys: Vec<Key>,
}

impl Opening {
    /// That of this process.
    fn given() -> anyhow::Result<Opening> {
        match std::env::var(OPENING) {
            Ok(text) => serde_json::from_str(&text).context("reading the keys"),
            Err(_) => Ok(Opening::default()),
        }
    }
}

/// The process that answers a question of the images of a machine's disks on its standard output.
///
/// # Errors
/// There is no image.
pub(super) fn command(
    program: &Path,
    images: &[Image<'_>],
    question: &Question,
) -> anyhow::Result<Command> {
    let (first, more) = images.split_first().context("there is no disk to read")?;
    // Our own descriptors, whatever the files' paths have come to mean.
    let ours = |file: &File| {
        let (pid, number) = (std::process::id(), file.as_raw_fd());
        PathBuf::from(format!("/proc/{pid}/fd/{number}"))
    };
    let asked = Asked {
        question: question.clone(),
        below: first.below.map(Path::to_owned),
        more: more
            .iter()
            .map(|image| (ours(image.file), image.below.map(Path::to_owned)))
            .collect(),
    };
    let mut command = process::command(program);
    command
        .arg(VERB)
        .arg(serde_json::to_string(&asked)?)
        .stdin(Stdio::from(first.file.try_clone()?));
    if !first.keys.is_empty() {
        give(&mut command, Vec::new(), first.keys)?;
    }
    Ok(command)
}

fn give(command: &mut Command, passphrases: Vec<String>, keys: &[Key]) -> anyhow::Result<()> {
    let keys = keys.to_vec();
    let opening = Opening { passphrases, keys };
    command.env(OPENING, serde_json::to_string(&opening)?);
    Ok(())
}

/// What the passphrases open on the images of a machine's disks; nothing is asked where there are none. Asks
/// `program`, [`OWN_PROGRAM`].
///
/// # Errors
/// An image cannot be read.
pub async fn keys(
    program: &Path,
    images: &[Image<'_>],
    passphrases: &[Secret],
) -> anyhow::Result<Keys> {
    if passphrases.is_empty() {
        return Ok(Keys::default());
    }
    let question = Question::Keys;
    let mut command = command(program, images, &question)?;
    let passphrases = passphrases.iter().map(|one| one.reveal().to_owned());
    give(&mut command, passphrases.collect(), &[])?;
    run(command, question.patience())
        .await
        .context("opening what is encrypted")
}

/// Asks `program`, [`OWN_PROGRAM`], of the images of a machine's disks, at least one.
///
/// # Errors
/// An image cannot be read, within the bounds that there are for it.
pub async fn ask<T: DeserializeOwned>(
    program: &Path,
    images: &[Image<'_>],
    question: &Question,
) -> anyhow::Result<T> {
    run(command(program, images, question)?, question.patience())
        .await
        .context("reading the guest's disk")
}

/// The answer of a process.
async fn run<T: DeserializeOwned>(mut command: Command, patience: Duration) -> anyhow::Result<T> {
    let answer = tokio::time::timeout(patience, process::own_output(&mut command)).await;
    let answer = answer
        .with_context(|| format!("no answer within {} s", patience.as_secs()))
        .and_then(|answer| answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

/// What the images are that no guest uses: the disks of one machine; `keys` open what is encrypted on them. Asks
/// `program`, [`OWN_PROGRAM`].
///
/// # Errors
/// One cannot be read.
pub async fn inspect(program: &Path, images: &[File], keys: &[Key]) -> anyhow::Result<Inspection> {
    ask(program, &Image::opened(images, keys), &Question::Inspect).await
}

/// Writes the answer of the process that reads the disk on its standard input, if these arguments are for
/// that.
///
/// # Errors
/// The disk cannot be read.
pub fn answer_to(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
) -> Option<anyhow::Result<()>> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != VERB {
        return None;
    }
    let asked = arguments.next()?.into_string().ok()?;
    let asked: Asked = serde_json::from_str(&asked).ok()?;
    let question = asked.question;
    let answer = || {
        for (resource, most) in [
            (Resource::Data, question.most_memory()),
            (Resource::Cpu, question.most_cpu().as_secs()),
            (Resource::Core, 0),
        ] {
            let (current, maximum) = (Some(most), Some(most));
            setrlimit(resource, Rlimit { current, maximum })?;
        }
        let open = |image: File, below: Option<PathBuf>| match below {
            Some(below) => image_file::open_overlay(image, File::open(below)?),
            None => image_file::open(image),
        };
        let opening = Opening::given()?;
        let keys: Arc<[Key]> = opening.keys.into();
        let first = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let mut disks = vec![open(first, asked.below)?];
        for (image, below) in asked.more {
            disks.push(open(File::open(image)?, below)?);
        }
        if question == Question::Keys {
            let found = luks::keys(&disks, &opening.passphrases)?;
            out.write_all(&serde_json::to_vec(&found)?)?;
            return Ok(out.flush()?);
        }
        let opened = |disk: Device| disk.with_keys(Arc::clone(&keys));
        let disks: Vec<Device> = disks.into_iter().map(opened).collect();
        question.answer(&disks, out)
    };
    Some(answer())
}
