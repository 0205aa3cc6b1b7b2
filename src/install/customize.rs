//! Customising an image that is there: what a template adds is added in the guest that seals
//! (`install::finish`), as `%post` would add it; the installer does not run.
//!
//! The image's own system is not booted: nothing that a first boot makes gets into it, and it need not have
//! a network, SSH or an agent. Commands run where those of an install run: in the system, with the installer's
//! kernel, as root.

use std::fs::{File, Metadata};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::attempt::Attempt;
use super::evidence;
use crate::error::{Classify, Kind, fail};
use crate::hex;
use crate::host;
use crate::image::output::OutputPaths;
use crate::image::{disk, qemu_img, set};
use crate::input;
use crate::machine::{DiskFormat, UserNetwork};
use crate::state::OwnedDir;
use crate::watch::cause::Cause;
use crate::watch::phases::Phase;
use crate::watch::verdict::Verdict;

/// What a kickstart is taken to say where none is read: nothing that would have to be remarked.
pub const NO_KICKSTART: &str = "poweroff\n%packages\n%end\n";

/// What is customised: the disks of a machine, the system's first.
#[derive(Debug)]
pub struct Base {
    disks: Vec<BaseDisk>,
}

/// One of its disks, at least one.
#[derive(Debug)]
struct BaseDisk {
    /// Its image, which is only read.
    file: File,
    /// Where that is.
    path: PathBuf,
    format: DiskFormat,
    /// The size that a guest sees, in bytes.
    size: u64,
    /// Which file it was, and when it was last written to.
    opened: Written,
}

/// A file's device and inode, its size, and when it was last written to.
type Written = (u64, u64, u64, (i64, i64));

fn written(file: &Metadata) -> Written {
    let when = (file.mtime(), file.mtime_nsec());
    (file.dev(), file.ino(), file.len(), when)
}

impl Base {
    /// Opens the images of a machine's disks.
    ///
    /// # Errors
    /// Input: one cannot be read, or stands on another file.
    pub async fn open(images: &[(PathBuf, DiskFormat)]) -> anyhow::Result<Base> {
        let mut disks = Vec::new();
        for (path, format) in images {
            let format = *format;
            let opened = BaseDisk::open(path, format).await;
            let looking = || format!("looking at {} as {}", path.display(), format.name());
            disks.push(opened.with_context(looking).kind(Kind::Input)?);
        }
        Ok(Base { disks })
    }

    /// Makes sure that what was made of the images may take their place: nobody has written to one since it was
    /// opened, and no QEMU has one now.
    ///
    /// # Errors
    /// Input: somebody did, or one has.
    pub async fn check_untouched(&self) -> anyhow::Result<()> {
        for disk in &self.disks {
            let path = disk.path.display();
            let now = std::fs::metadata(&disk.path);
            if !now.is_ok_and(|now| written(&now) == disk.opened) {
                fail!(
                    Kind::Input,
                    "{path} was changed while a copy of it was customised: it stays as it is now; start again when nobody else works on it"
                );
            }
            // Without `-U` it refuses what another process may write to.
            let used = || {
                format!(
                    "{path} was taken into use while a copy of it was customised: it stays as it is; shut its machine down and start again"
                )
            };
            let info = qemu_img::info(&disk.file, disk.format).await;
            info.with_context(used).kind(Kind::Input)?;
        }
        Ok(())
    }

    /// Where the images are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.disks.iter().map(|disk| disk.path.as_path())
    }

    /// The format of the first.
    pub fn format(&self) -> DiskFormat {
        self.disks
            .first()
            .map_or(DiskFormat::Raw, |disk| disk.format)
    }

    /// The sizes that a guest sees, in bytes.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.disks.iter().map(|disk| disk.size)
    }

    /// Copies the disks into a work directory, as those of its guest.
    ///
    /// # Errors
    /// If there is no room, or `qemu-img` fails.
    pub async fn copy(&self, work: &OwnedDir) -> anyhow::Result<Vec<File>> {
        let mut copies = Vec::new();
        for (number, disk) in self.disks.iter().enumerate() {
            copies.push(disk::copy_of(work, number, (&disk.file, disk.format)).await?);
        }
        Ok(copies)
    }
}

impl BaseDisk {
    async fn open(path: &Path, format: DiskFormat) -> anyhow::Result<BaseDisk> {
        let path = std::path::absolute(path)?;
        let file = input::open_image(&path)?;
        let opened = written(&file.metadata()?);
        let info = qemu_img::info(&file, format).await?;
        // One that names another file would let its guest read that file of this host.
        ensure!(
            info.is_standalone(),
            "it stands on another file: join them with `qemu-img convert`, and customise what comes out"
        );
        Ok(BaseDisk {
            file,
            opened,
            path,
            format,
            size: info.virtual_size,
        })
    }
}

/// What the shell in the guest is told before it reads `finish_inside.sh`: the network, and what to do.
pub fn prelude(script: &str) -> String {
    let UserNetwork(network) = host::user_network();
    // The addresses that QEMU's own DHCP server gives (net/slirp.c): the host's, a name server, the guest.
    let at = |number: u32| Ipv4Addr::from(u32::from(network) + number);
    let (gateway, names, own) = (at(2), at(3), at(15));
    let prefix = UserNetwork::PREFIX;
    format!(
        "customizing=yes\naddress={own}/{prefix}\ngateway={gateway}\nnameserver={names}\ncustomize() {{\n{script}}}\n"
    )
}

impl Attempt<'_> {
    /// Keeps what the template's commands printed; and says what failed, if something did.
    ///
    /// # Errors
    /// Host: it cannot be written.
    pub(super) fn customized(
        &self,
        output: &[String],
        failed: bool,
    ) -> anyhow::Result<Option<Box<Verdict>>> {
        let secrets = &self.handover.secrets;
        let lines = output.iter().map(|line| secrets.hide(line) + "\n");
        let text: String = lines.collect();
        self.place
            .work
            .dir()
            .replace(evidence::CONSOLE_LOG, text.as_bytes())
            .context("keeping what the commands printed")
            .kind(Kind::Host)?;
        if !failed {
            return Ok(None);
        }
        let said = output
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("ozr: "));
        let said = said.unwrap_or("what the template adds could not be added");
        let sentence = format!("{}: nothing was changed", secrets.hide(said));
        let last = output.len().saturating_sub(SHOWN);
        let console = output[last..].iter().map(|line| secrets.hide(line));
        let (phase, at) = (Phase::PostScripts, Duration::ZERO);
        let mut verdict = Verdict::new(Cause::ScriptFailed, sentence, phase, at, Vec::new());
        verdict.console = console.collect();
        Ok(Some(Box::new(verdict)))
    }
}

/// Most bytes of what lies beside an image that are read: a served kickstart has its files' contents in it.
const MOST_BESIDE: u64 = 64 << 20;

/// The served kickstart of the install that an image came from, where that image is about to be replaced by its
/// customised self and the provenance beside it says that the kickstart is the install's: it would pass for the
/// new image's.
pub fn outdated_kickstart(output: &OutputPaths) -> Option<&Path> {
    let read = |path| input::read_bounded(path, MOST_BESIDE).ok();
    let provenance: serde_json::Value = serde_json::from_slice(&read(&output.provenance)?).ok()?;
    let name = set::file_name(&output.kickstart);
    let mut subjects = provenance.get("subject")?.as_array()?.iter();
    let own = subjects.find(|subject| subject["name"] == name.as_str())?;
    let is_regular = output.kickstart.symlink_metadata().ok()?.is_file();
    let sha256 = hex::sha256(read(&output.kickstart)?);
    (is_regular && own["digest"]["sha256"] == sha256.as_str()).then_some(&*output.kickstart)
}

/// How many lines of a command's output a failure shows.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn images_that_others_work_on_are_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.qcow2");
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(&path)
            .arg("64M")
            .status();
        assert!(made.unwrap().success());
        let images = [(path.clone(), DiskFormat::Qcow2)];
        let base = Base::open(&images).await.unwrap();
        base.check_untouched().await.unwrap();
        let refused = async |base: &Base, words: &str| {
            let error = base.check_untouched().await.unwrap_err();
            assert_eq!(crate::error::kind_of(&error), Some(Kind::Input));
            assert!(format!("{error:#}").contains(words), "{error:#}");
        };

        // A program of QEMU's has it, and has written nothing yet.
        let mut machine = Command::new("qemu-io")
            .args(["-f", "qcow2"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It prompts when it has opened it.
        let mut prompt = [0; 1];
        std::io::Read::read_exact(machine.stdout.as_mut().unwrap(), &mut prompt).unwrap();
        refused(&base, "was taken into use").await;
        machine.kill().unwrap();
        machine.wait().unwrap();

        let base = Base::open(&images).await.unwrap();
        std::fs::write(dir.path().join("other"), std::fs::read(&path).unwrap()).unwrap();
        std::fs::rename(dir.path().join("other"), &path).unwrap();
        refused(&base, "was changed while").await;
    }
}
