//! The work on the machine that boots a medium: finds the image, chooses the disk, writes it as `ozr write`
//! does, and switches the machine off.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;

use super::choice::{self, Found};
use super::job::{Job, PLACE};
use crate::disk::bytes::is_zero;
use crate::error::{Classify, Kind, fail};
use crate::metal;
use crate::metal::copy::{self, Job as Write};
use crate::metal::open::{self, Address};
use crate::metal::papers::Paper;
use crate::metal::source::Source;
use crate::metal::target::Candidate;
use crate::metal::usage::BlockDevice;
use crate::mirror::MirrorOptions;
use crate::printable;
use crate::ui::event::Reporter;
use crate::ui::printer::{Color, Printer, Verbosity};

/// The first argument of the process that works on the machine. No user gives it.
const VERB: &str = "--deploy";

/// Where the medium is mounted, and downloads are noted.
const MEDIUM: &str = "/run/ozr-medium";
const CACHE: &str = "/run/ozr-cache";

/// How long the medium and the disks may take to be there: a controller with many disks spins them up one
/// after the other; a stick is seen after seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long no disk may have come before the choice is made.
const QUIET: Duration = Duration::from_secs(3);

/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(500);

/// Where an ISO 9660 file system has its first descriptor, and in it its type and label (ECMA-119, 8.4).
const DESCRIPTOR: u64 = 32768;
const DESCRIPTOR_BEGIN: &[u8] = b"\x01CD001";
const LABEL: std::ops::Range<usize> = 40..72;

/// Begins of names of devices that are no disks: made of others, of memory, for discs.
const NO_DISKS: [&str; 9] = ["dm-", "fd", "loop", "md", "mtd", "nbd", "ram", "sr", "zram"];

/// The beginning and the end of a disk that is empty is zero, each for so long, in bytes.
const EMPTY: u64 = 1 << 20;

/// What the process is asked that works on the machine; none if it is asked something else. Returns if the
/// work could not be done.
pub fn asked(mut arguments: impl Iterator<Item = OsString>) -> Option<Result<()>> {
    (arguments.next()? == VERB).then(work)
}

fn work() -> Result<()> {
    let reporter = Reporter::new(Arc::new(Printer::new(Verbosity::Normal, Color::Never)));
    let bytes = fs::read(PLACE)
        .context("reading what is to be done")
        .kind(Kind::Host)?;
    let mut job: Job = serde_json::from_slice(&bytes)
        .context("reading what is to be done")
        .kind(Kind::Host)?;
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let address = job.told_by(&cmdline);
    let done = deploy(&job, address.as_deref(), &reporter);
    let last = match &done {
        Ok(path) => format!("{path} holds the image, and was read back"),
        Err(error) => {
            format!("the image was not put on this machine: {error:#}")
        }
    };
    say_everywhere(&last);
    done?;
    let then = match job.reboot {
        true => RebootCommand::Restart,
        false => RebootCommand::PowerOff,
    };
    rustix::fs::sync();
    rustix::system::reboot(then)
        .context("switching the machine off")
        .kind(Kind::Host)
}

/// Says it on every console: the kernel shows there what is critical.
fn say_everywhere(text: &str) {
    for line in text.lines() {
        let line = printable::line(line);
        // There are no other ears.
        let _ = fs::write("/dev/kmsg", format!("<2>ozr: {line}\n"));
    }
}

fn deploy(job: &Job, address: Option<&str>, reporter: &Reporter) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting threads")
        .kind(Kind::Host)?;
    // Before the disk is chosen: what is mounted is in use.
    let image = match address {
        Some(_) => PathBuf::new(),
        None => find_medium(job, reporter)?.join(&job.image),
    };
    let path = choose(job, reporter)?;
    let paper = Some(Paper {
        sha256: job.sha256.clone(),
        from: "the medium".to_owned(),
    });
    let candidate = Candidate::look(Path::new(&path), false)?;
    let (source, expected) = match address {
        Some(url) => {
            let address = Address::with(url, MirrorOptions::new(CACHE))?;
            open::address(address, paper, &runtime, reporter)?
        }
        None => {
            let file = File::open(&image)
                .with_context(|| format!("opening {}", image.display()))
                .kind(Kind::Host)?;
            let length = file.metadata().kind(Kind::Host)?.len();
            let name = job.image.clone();
            // The digest is looked at while it comes, not before: discs are slow.
            let source = Source::stream(name, file, Some(length), Kind::Host);
            (source.kind(Kind::Host)?, paper)
        }
    };
    let target = candidate.claim()?;
    let write = Write {
        source,
        expected,
        grow: job.grow,
    };
    let written = copy::write(&target, write, reporter);
    runtime.shutdown_background();
    written?.tell(&target.name, reporter);
    Ok(path)
}

/// Mounts the medium, once it is there.
fn find_medium(job: &Job, reporter: &Reporter) -> Result<PathBuf> {
    reporter.step(format!("looking for the medium {}", job.label));
    let begun = Instant::now();
    loop {
        let devices = BlockDevice::all();
        let paths = devices.iter().map(BlockDevice::path);
        if let Some(path) = paths.into_iter().find(|path| is_labelled(path, &job.label)) {
            fs::create_dir_all(MEDIUM).kind(Kind::Host)?;
            let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
            rustix::mount::mount(&path, MEDIUM, "iso9660", flags, None)
                .with_context(|| format!("mounting {}", path.display()))
                .kind(Kind::Host)?;
            return Ok(PathBuf::from(MEDIUM));
        }
        if begun.elapsed() > PATIENCE {
            fail!(
                Kind::Host,
                "the medium {} is not found: its drive needs a driver that the installer does not have, or it was taken out",
                job.label
            );
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Whether a device begins with an ISO 9660 file system of that label.
fn is_labelled(path: &Path, label: &str) -> bool {
    let mut descriptor = [0; 2048];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut descriptor, DESCRIPTOR));
    read.is_ok()
        && descriptor.starts_with(DESCRIPTOR_BEGIN)
        && String::from_utf8_lossy(&descriptor[LABEL]).trim_end() == label
}

/// The disk, once no more of them come.
fn choose(job: &Job, reporter: &Reporter) -> Result<String> {
    reporter.step("looking for the disk");
    let begun = Instant::now();
    let (mut names, mut since) = (BTreeSet::new(), Instant::now());
    loop {
        let devices = disks();
        let now: BTreeSet<PathBuf> = devices.iter().map(BlockDevice::path).collect();
        if now != names {
            (names, since) = (now, Instant::now());
        }
        if since.elapsed() >= QUIET {
            let found: Vec<Found> = devices.iter().map(look).collect();
            let named = job.disk.as_ref().map(|disk| (disk, find(disk, &found)));
            let is_there = match named {
                Some((_, disk)) => disk.is_some(),
                None => found.iter().any(|disk| disk.fits(job)),
            };
            // Controllers can be slow.
            if is_there || begun.elapsed() > PATIENCE {
                return match named {
                    Some((disk, None)) => {
                        fail!(Kind::Input, "this machine has no disk {disk}")
                    }
                    named => {
                        let named = named.and_then(|(_, found)| found);
                        let chosen = choice::choose(job, &found, named).map(str::to_owned);
                        chosen.kind(Kind::Input)
                    }
                };
            }
        }
        std::thread::sleep(INTERVAL);
    }
}

/// The disk that a path leads to.
fn find<'a>(disk: &str, found: &'a [Found]) -> Option<&'a Found> {
    let path = fs::canonicalize(disk).ok()?;
    found.iter().find(|each| Path::new(&each.path) == path)
}

/// The disks of the machine.
fn disks() -> Vec<BlockDevice> {
    let all = BlockDevice::all().into_iter();
    let is_disk = |device: &BlockDevice| {
        let name = device.name();
        device.disk().is_none() && !NO_DISKS.iter().any(|begin| name.starts_with(begin))
    };
    all.filter(is_disk).collect()
}

fn look(device: &BlockDevice) -> Found {
    let number = |file: &str| {
        let text = device.says(file).unwrap_or_default();
        text.parse::<u64>().unwrap_or(0)
    };
    let path = device.path();
    // sysfs counts in 512 bytes, whatever the disk does.
    let size = number("size") * 512;
    let mut used = false;
    let obstacle = match device.obstacle() {
        _ if size == 0 => Some("there is no medium in it".to_owned()),
        _ if number("ro") != 0 => Some("it is read-only".to_owned()),
        Ok(None) => match is_empty(&path, size) {
            Ok(empty) => {
                used = !empty;
                None
            }
            Err(error) => Some(format!("it cannot be read ({error})")),
        },
        Ok(obstacle) => obstacle,
        Err(error) => Some(format!("{error:#}")),
    };
    let (model, serial) = device.about();
    let about: Vec<String> = [model, serial].into_iter().flatten().collect();
    Found {
        path: path.display().to_string(),
        about: about.join(" "),
        size,
        sector: number("queue/logical_block_size"),
        removable: number("removable") != 0,
        obstacle,
        used,
    }
}

/// Whether nothing is on a disk: zeroes, or what a write of ozr's left that was cut.
fn is_empty(path: &Path, size: u64) -> io::Result<bool> {
    let file = File::open(path)?;
    let length = EMPTY.min(size);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, size - length)?;
    if !is_zero(&bytes) {
        return Ok(false);
    }
    file.read_exact_at(&mut bytes, 0)?;
    let after_mark = metal::after_mark(&bytes);
    Ok(is_zero(after_mark.unwrap_or(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_disk_is_zero_at_both_ends_or_one_of_a_cut_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let size = 4 * EMPTY;
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        assert!(is_empty(&path, size).unwrap());
        for at in [0, 600, EMPTY - 1, size - EMPTY, size - 1] {
            file.write_all_at(&[1], at).unwrap();
            assert!(!is_empty(&path, size).unwrap(), "{at}");
            file.write_all_at(&[0], at).unwrap();
        }
        // Its file systems lie behind, but nobody finds them.
        file.write_all_at(&[1], 2 * EMPTY).unwrap();
        assert!(is_empty(&path, size).unwrap());
        let mut marked = vec![0; 512];
        assert!(metal::after_mark(&marked).is_none());
        let target = crate::metal::target::Candidate::look(&path, true).unwrap();
        target.claim().unwrap().mark().unwrap();
        File::open(&path)
            .unwrap()
            .read_exact_at(&mut marked, 0)
            .unwrap();
        assert_eq!(metal::after_mark(&marked), Some(&[][..]));
        assert!(is_empty(&path, size).unwrap());
    }

    #[test]
    fn the_medium_is_known_by_its_label() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disc");
        let mut bytes = vec![0; DESCRIPTOR as usize + 2048];
        let at = DESCRIPTOR as usize;
        bytes[at..at + 6].copy_from_slice(DESCRIPTOR_BEGIN);
        bytes[at + LABEL.start..at + LABEL.end].fill(b' ');
        bytes[at + LABEL.start..][..5].copy_from_slice(b"OZR_1");
        fs::write(&path, &bytes).unwrap();
        assert!(is_labelled(&path, "OZR_1"));
        assert!(!is_labelled(&path, "OZR_12"));
        assert!(!is_labelled(Path::new("/none"), "OZR_1"));
    }
}
