//! What is encrypted (LUKS 1 and 2), read with a passphrase.
//!
//! Deriving a key may take a GiB of memory and seconds: it is done once ([`keys`]), by a process that reads
//! no file system; those that do are given the keys ([`Device::with_keys`]).

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::device::Device;
use super::luks_header::{self, SECTOR};
use super::luks_slot::{self, Budget, Mode};
use super::volumes::Volumes;
use crate::hex;

/// How [`super::contents`] calls it.
pub const KIND: &str = "crypto_LUKS";

/// Memory that deriving a key may take, in bytes.
pub const MOST_MEMORY: u64 = (luks_slot::MOST_MEMORY as u64) << 10;

/// How deep what is encrypted may lie in what is encrypted.
const DEPTH: usize = 2;

/// Most volumes that a passphrase is tried on.
const MOST_VOLUMES: usize = 32;

/// Most bytes that are decrypted at once.
const MOST_BYTES: usize = 64 << 10;

/// What opens something encrypted. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What tells it, as the header has it, in hexadecimal digits.
    of: String,
    key: Vec<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(...)")
    }
}

/// What passphrases open.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Keys {
    /// The keys.
    pub keys: Vec<Key>,
    /// What stays closed, and why: a sentence for each.
    pub closed: Vec<String>,
}

/// What is encrypted on disks and opened by one of the passphrases, also where it lies in another.
///
/// # Errors
/// A disk cannot be read.
pub fn keys(disks: &[Device], passphrases: &[String]) -> Result<Keys> {
    let mut budget = Budget::new();
    let mut found = Keys::default();
    for _ in 0..DEPTH {
        let known: Arc<[Key]> = found.keys.as_slice().into();
        let with_keys = |disk: &Device| disk.clone().with_keys(Arc::clone(&known));
        let disks: Vec<Device> = disks.iter().map(with_keys).collect();
        let volumes = Volumes::find(&disks)?;
        let closed = |volume: &&super::volumes::Volume| {
            volume.is_encrypted() && volume.device.is_ok() && volumes.opened(volume).is_none()
        };
        let closed = volumes.all.iter().filter(closed).take(MOST_VOLUMES);
        let mut more = Vec::new();
        found.closed.clear();
        for volume in closed {
            let Ok(device) = &volume.device else { continue };
            match key(device, passphrases, &mut budget) {
                Ok(Some(key)) => more.push(key),
                Ok(None) => found
                    .closed
                    .push(format!("no passphrase opens {}", volume.name())),
                Err(why) => found.closed.push(format!("{}: {why:#}", volume.name())),
            }
        }
        if more.is_empty() {
            break;
        }
        found.keys.extend(more);
    }
    Ok(found)
}

fn key(device: &Device, passphrases: &[String], budget: &mut Budget) -> Result<Option<Key>> {
    let header = luks_header::read(device)?;
    let mut untried = None;
    for passphrase in passphrases {
        match header.key(device, passphrase.as_bytes(), budget) {
            Ok(Some(key)) => {
                let of = hex::encode(&header.digest.value);
                return Ok(Some(Key { of, key }));
            }
            Ok(None) => {}
            Err(why) => untried = Some(why),
        }
    }
    untried.map_or(Ok(None), Err)
}

/// What lies in something encrypted; none if its device has no key of it.
///
/// # Errors
/// Its header is broken, or of a kind that is not read.
pub(super) fn open(device: &Device) -> Result<Option<Device>> {
    if device.keys().is_empty() {
        return Ok(None);
    }
    let header = luks_header::read(device)?;
    let of = hex::encode(&header.digest.value);
    let Some(key) = device.keys().iter().find(|key| key.of == of) else {
        return Ok(None);
    };
    let key = key.key.clone();
    let mode = Mode::of(&header.cipher, key.len())?;
    let room = device.size().checked_sub(header.start);
    let room = room.context("its data lie beyond the end")?;
    let size = header.size.unwrap_or(room);
    ensure!(size <= room, "its data end beyond the end");
    let data = device.part(header.start, size);
    let (sector, tweak) = (header.sector, header.tweak);
    let size = size - size % sector;
    let opened = Device::new(size, move |at, into| {
        let mut done = 0;
        let mut buffer = Vec::new();
        while done < into.len() {
            let start = (at + done as u64) / sector * sector;
            let skip = (at + done as u64 - start) as usize;
            let wanted = (skip + into.len() - done).next_multiple_of(sector as usize);
            buffer.resize(wanted.min(MOST_BYTES), 0);
            data.read(start, &mut buffer)?;
            let number = tweak.wrapping_add(start / SECTOR);
            mode.decrypt(&key, &mut buffer, number, sector)?;
            let length = (buffer.len() - skip).min(into.len() - done);
            into[done..done + length].copy_from_slice(&buffer[skip..skip + length]);
            done += length;
        }
        Ok(())
    });
    Ok(Some(opened.with_keys(Arc::clone(device.keys()))))
}
