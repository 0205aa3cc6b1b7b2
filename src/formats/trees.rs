//! Archives of the files of the system that is on a disk. The files are read once for all of them, by the
//! process that reads disks ([`crate::image::files`]).

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::digested::Digested;
use super::facts::Facts;
use super::packed::{Codec, Packed};
use super::pax::{self, Style};
use super::pool::Pool;
use super::tarball::{Form, Tarball};
use super::wsl;
use crate::disk::tree;
use crate::error::{Kind, fail};
use crate::image::files::{Entry, Files, is_of};
use crate::options::Format;

/// What archives leave out, and whose readers want it left out. `rootfs` is the whole system.
const LEFT_OUT: [(&str, &[Format]); 22] = [
    ("/dev/*", ALL_BUT_ROOTFS),
    ("/proc/*", ALL_BUT_ROOTFS),
    ("/run/*", ALL_BUT_ROOTFS),
    ("/sys/*", ALL_BUT_ROOTFS),
    ("/tmp/*", ALL_BUT_ROOTFS),
    // The disk that the system was on.
    ("/etc/fstab", ALL_BUT_ROOTFS),
    ("/etc/crypttab", ALL_BUT_ROOTFS),
    // Which disks LVM may look at: those of the machine that the system was installed on.
    ("/etc/lvm/devices/*", ALL_BUT_ROOTFS),
    // The arguments of kernels that are added, with the root that there was.
    ("/etc/kernel/cmdline", ALL_BUT_ROOTFS),
    ("/boot/loader", &[Format::Liveimg]),
    ("/boot/grub2/device.map", &[Format::Liveimg]),
    ("/boot/grub2/grub.cfg", &[Format::Liveimg]),
    ("/boot/grub2/grubenv", &[Format::Liveimg]),
    ("/boot/efi/EFI/*/grub.cfg", &[Format::Liveimg]),
    ("/boot/efi/EFI/*/grubenv", &[Format::Liveimg]),
    ("/boot/efi/loader", &[Format::Liveimg]),
    // Kernels are those of Windows or of the host.
    ("/boot/*", &[Format::Wsl, Format::Oci]),
    ("/usr/lib/modules/*", &[Format::Wsl, Format::Oci]),
    ("/etc/resolv.conf", &[Format::Wsl, Format::Oci]),
    // What has hashes of passwords; the first is added without.
    ("/etc/shadow", &[Format::Wsl]),
    ("/etc/shadow-", &[Format::Wsl]),
    ("/etc/gshadow-", &[Format::Wsl]),
];

/// Most bytes of holes that are written out where they are not kept: 256 GiB, which takes minutes and some
/// hundred MiB. A system's own, as the list of logins of a user of a large number, are smaller.
const MOST_FILLED: u64 = 256 << 30;

const ALL_BUT_ROOTFS: &[Format] = &[Format::Liveimg, Format::Wsl, Format::Oci];

/// What one of these formats leaves out: names of a file on both sides are files of their own in all of them.
pub fn apart(formats: &[Format]) -> Vec<String> {
    let is_left_out = |by: &[Format]| by.iter().any(|format| formats.contains(format));
    let patterns = LEFT_OUT.iter().filter(|(_, by)| is_left_out(by));
    patterns.map(|(pattern, _)| (*pattern).to_owned()).collect()
}

/// How names and attributes are written for who reads a format.
fn style(format: Format) -> Style {
    Style {
        // The installer's tar leaves out `./etc/machine-id` and the like by these names.
        top: match format {
            Format::Rootfs | Format::Liveimg => "./",
            _ => "",
        },
        // There is no SELinux below Windows, and containers are labelled by who runs them.
        labels: matches!(format, Format::Rootfs | Format::Liveimg),
        // OCI's image specification advises against them ("layer", file types).
        holes: format != Format::Oci,
    }
}

/// An archive that is written.
pub struct Archive {
    /// What it is.
    pub format: Format,
    style: Style,
    tarball: Tarball<Digested<Packed<Digested<BufWriter<File>>>>>,
    /// Of the member that is written: its size, how far it is written, and where its data belongs.
    size: u64,
    at: u64,
    data: VecDeque<Range<u64>>,
    /// Bytes of holes so far that are written out.
    filled: u64,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archive({})", self.format.name())
    }
}

/// A finished archive.
#[derive(Debug)]
pub struct Finished {
    /// What it is.
    pub format: Format,
    /// The SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// The same of what is packed in it, of a layer.
    pub unpacked_sha256: String,
    /// The bytes of its file.
    pub size: u64,
    /// How long it took.
    pub lasted: Duration,
}

impl Archive {
    /// Begins one in an empty file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(format: Format, file: File, pool: &Pool) -> Result<Archive> {
        let file = Digested::new(BufWriter::with_capacity(1 << 20, file));
        let packed = Packed::begin(file, Codec::Gzip, pool)?;
        let packed = match format {
            Format::Oci => Digested::new(packed),
            _ => Digested::counting(packed),
        };
        Ok(Archive {
            format,
            style: style(format),
            tarball: Tarball::begin(packed, Form::Pax),
            size: 0,
            at: 0,
            data: VecDeque::new(),
            filled: 0,
        })
    }

    /// Whether a file belongs in it.
    fn keeps(&self, path: &Path) -> bool {
        let left_out = |(pattern, formats): &(&str, &[Format])| {
            formats.contains(&self.format) && is_of(pattern, path)
        };
        !LEFT_OUT.iter().any(left_out)
    }

    /// Begins a member; nothing if it has none of it.
    fn member(&mut self, entry: &Entry) -> Result<bool> {
        match self.keeps(entry.path.path()) {
            true => self.begin_member(entry),
            false => Ok(false),
        }
    }

    /// Adds a member that is none of the system's.
    fn add(&mut self, entry: &Entry, content: &[u8]) -> Result<()> {
        if self.begin_member(entry)? {
            self.data(content)?;
            self.end_member()?;
        }
        Ok(())
    }

    fn begin_member(&mut self, entry: &Entry) -> Result<bool> {
        let is_directory = entry.kind() == tree::Kind::Directory;
        let name = pax::member_name(self.style, entry.path.path(), is_directory);
        let Some(name) = name else {
            return Ok(false);
        };
        pax::begin(&mut self.tarball, entry, &name, self.style)?;
        if !self.style.holes {
            self.filled = self.filled.saturating_add(entry.size - entry.stored());
            if self.filled > MOST_FILLED {
                fail!(
                    Kind::Input,
                    "the files of the image have holes of more than {MOST_FILLED} bytes, up to {}, and {} cannot keep them: remove that file",
                    entry.path.path().display(),
                    self.format.name()
                );
            }
        }
        self.at = 0;
        self.size = entry.size;
        self.data = entry.data.iter().cloned().collect();
        Ok(true)
    }

    /// Adds data of the member that was begun.
    fn data(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.style.holes {
            return self.tarball.data(bytes);
        }
        while !bytes.is_empty() {
            let next = self.data.front().cloned();
            let range = next.context("a file has more data than it said")?;
            self.zeroes(range.start.saturating_sub(self.at))?;
            let some = bytes.len().min((range.end - self.at) as usize);
            self.tarball.data(&bytes[..some])?;
            self.at += some as u64;
            bytes = &bytes[some..];
            if self.at >= range.end {
                self.data.pop_front();
            }
        }
        Ok(())
    }

    fn zeroes(&mut self, mut count: u64) -> Result<()> {
        static ZEROES: [u8; 1 << 16] = [0; 1 << 16];
        self.at += count;
        while count > 0 {
            let some = count.min(ZEROES.len() as u64);
            self.tarball.data(&ZEROES[..some as usize])?;
            count -= some;
        }
        Ok(())
    }

    fn end_member(&mut self) -> Result<()> {
        if !self.style.holes {
            self.zeroes(self.size.saturating_sub(self.at))?;
        }
        self.tarball.end_member()
    }

    fn end(mut self, begun: Instant) -> Result<Finished> {
        let unpacked = self.tarball.end()?;
        let unpacked_sha256 = unpacked.sha256();
        unpacked.out.end()?;
        let file = unpacked.out.inner_mut();
        file.flush().context("writing an archive")?;
        Ok(Finished {
            format: self.format,
            sha256: file.sha256(),
            unpacked_sha256,
            size: file.length(),
            lasted: begun.elapsed(),
        })
    }
}

/// Writes archives of all files that come; what they are, and what is known of the system.
///
/// # Errors
/// The files end too early; an archive cannot be written.
pub fn write(
    files: &mut Files<'_>,
    mut archives: Vec<Archive>,
    (name, begun): (&str, Instant),
) -> Result<(Vec<Finished>, Facts)> {
    let mut facts = Facts::of(&files.beginning);
    while let Some(entry) = files.next_file()? {
        let wanted = facts.look(&entry);
        let mut into: Vec<&mut Archive> = Vec::with_capacity(archives.len());
        // What a socket is, is whoever listens.
        if entry.mode & 0o170_000 != 0o140_000 {
            for archive in &mut archives {
                if archive.member(&entry)? {
                    into.push(archive);
                }
            }
        }
        files.data(&entry, |bytes| {
            if wanted {
                facts.keep(&entry, bytes);
            }
            into.iter_mut().try_for_each(|archive| archive.data(bytes))
        })?;
        into.iter_mut()
            .try_for_each(|archive| archive.end_member())?;
    }
    for archive in &mut archives {
        if archive.format == Format::Wsl {
            for (entry, content) in wsl::added(&facts, name) {
                archive.add(&entry, &content)?;
            }
        }
    }
    let finished = archives.into_iter().map(|archive| archive.end(begun));
    Ok((finished.collect::<Result<_>>()?, facts))
}
