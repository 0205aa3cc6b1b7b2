//! How many guests run at a time: builds that start together wait for each other here, so that
//! two dozen nightly builds do not push their host out of memory.
//!
//! Every build with a guest has a file in the state directory, locked while the guest runs. Builds
//! of one state directory count each other.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::lock_file::{Access, Asked, LockFile};
use super::owned_dir::{OwnedDir, found, is_refusal};
use crate::ui::event::Reporter;

/// Name of the slots' directory in the state directory.
const DIRECTORY: &str = "guests";

/// Name of the lock that whoever counts holds for a moment.
const COUNTING: &str = ".counting";

/// How long another may count: it takes milliseconds, unless that process is stopped.
const COUNTING_LIMIT: Duration = Duration::from_secs(60);

/// How often a build that waits counts again. Guests run for minutes; this costs nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// The share of the host's memory that guests may have together, in percent: the rest is for the
/// host itself, QEMU's own needs (some hundred MiB a guest) and the page cache of their disks.
const MEMORY_PERCENT: u64 = 85;

/// The longest text of a slot that is read: a number.
const MAX_TEXT: u64 = 32;

/// What a build asks for.
#[derive(Debug, Clone, Copy)]
pub struct SlotRequest {
    /// Memory of its guest in MiB.
    pub memory_mib: u64,
    /// How many guests may run, this one among them; as many as fit into memory if not given.
    pub at_most: Option<u32>,
}

/// What is to be counted, and against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    guests: u32,
    memory_mib: u64,
}

/// The right to run a guest, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    dir: OwnedDir,
    id: String,
    _lock: LockFile,
}

impl Slot {
    /// Waits until there is room for a guest of the build `id`, as long as other guests take.
    /// Cancel safe.
    ///
    /// # Errors
    /// The state directory cannot be written, or another process keeps it from being counted.
    pub async fn take(
        state_dir: &Path,
        id: &str,
        request: SlotRequest,
        reporter: &Reporter,
    ) -> anyhow::Result<Slot> {
        let path = state_dir.join(DIRECTORY);
        let counting = || format!("counting the guests in {}", path.display());
        let dir = OwnedDir::create(&path, 0o700).with_context(counting)?;
        let host_mib = host_memory_mib();
        let mut told = false;
        loop {
            let lock = LockFile::take(&dir, COUNTING, Access::Exclusive, COUNTING_LIMIT, || {});
            let lock = lock.await.with_context(counting)?;
            let load = count(&dir).with_context(counting)?;
            if has_room(load, request, host_mib) {
                let slot = LockFile::take_own(&dir, id).and_then(|slot| {
                    slot.write(request.memory_mib.to_string().as_bytes())?;
                    Ok(slot)
                });
                let (id, slot) = (id.to_owned(), slot.with_context(counting)?);
                drop(lock);
                return Ok(Slot {
                    dir,
                    id,
                    _lock: slot,
                });
            }
            drop(lock);
            if !told {
                told = true;
                reporter.step(format!(
                    "waiting for room: {} guests with {} MiB run",
                    load.guests, load.memory_mib
                ));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Whoever counts next removes what stays.
        let _ = self.dir.remove_file(&self.id);
    }
}

/// Removes what dead builds left, as those that count do, unless somebody counts now.
///
/// # Errors
/// It cannot be removed.
pub fn remove_dead(state_dir: &Path) -> anyhow::Result<()> {
    let path = state_dir.join(DIRECTORY);
    let remove = || -> io::Result<()> {
        let dir = OwnedDir::open(&path)?;
        match LockFile::try_take(&dir, COUNTING, Access::Exclusive)? {
            Some(_counting) => count(&dir).map(drop),
            None => Ok(()),
        }
    };
    // Nothing is there where nobody has ever counted.
    found(remove())
        .map(drop)
        .with_context(|| format!("counting the guests in {}", path.display()))
}

/// The host's memory in MiB.
fn host_memory_mib() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)) >> 20
}

/// The memory in MiB that guests may have together.
pub fn memory_for_guests() -> u64 {
    host_memory_mib().saturating_mul(MEMORY_PERCENT) / 100
}

/// Counts what runs, and removes what dead builds left.
fn count(dir: &OwnedDir) -> io::Result<Load> {
    let mut load = Load {
        guests: 0,
        memory_mib: 0,
    };
    for name in dir.names()? {
        let Some(name) = name.to_str().filter(|name| *name != COUNTING) else {
            continue;
        };
        let asked = match LockFile::ask(dir, name, Access::Exclusive) {
            // No slot of ours.
            Err(error) if is_refusal(&error) => continue,
            other => other?,
        };
        match asked {
            Asked::Missing => {}
            Asked::Taken(_lock) => dir.remove_file(name)?,
            Asked::Held => {
                load.guests += 1;
                let memory = dir.read(name, MAX_TEXT).unwrap_or_default();
                let memory = std::str::from_utf8(&memory).ok();
                load.memory_mib += memory.and_then(|text| text.parse().ok()).unwrap_or(0);
            }
        }
    }
    Ok(load)
}

/// Whether one more may run. A first one always may: it was asked for.
fn has_room(load: Load, wish: SlotRequest, host_mib: u64) -> bool {
    if load.guests == 0 {
        return true;
    }
    let few = wish.at_most.is_none_or(|at_most| load.guests < at_most);
    let needed = load.memory_mib.saturating_add(wish.memory_mib);
    few && needed <= host_mib / 100 * MEMORY_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(memory_mib: u64, at_most: Option<u32>) -> SlotRequest {
        SlotRequest {
            memory_mib,
            at_most,
        }
    }

    #[test]
    fn number_and_memory_are_limits_but_for_the_first() {
        let load = |guests, memory_mib| Load { guests, memory_mib };
        let room = |load, wish| has_room(load, wish, 10_000);
        assert!(room(load(0, 0), wish(20_000, Some(1))));
        assert!(room(load(1, 4_000), wish(4_500, None)));
        assert!(!room(load(1, 4_000), wish(4_501, None)));
        assert!(room(load(2, 100), wish(100, Some(3))));
        assert!(!room(load(3, 100), wish(100, Some(3))));
        assert!(!room(load(1, u64::MAX), wish(1, None)));
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back_or_was_left_by_the_dead() {
        let state = tempfile::tempdir().unwrap();
        let take = |id: &'static str| {
            let dir = state.path().to_path_buf();
            async move {
                let wish = wish(1, Some(1));
                Slot::take(&dir, id, wish, &Reporter::silent())
                    .await
                    .unwrap()
            }
        };
        let first = take("first").await;
        let second = tokio::spawn(take("second"));
        let dir = state.path().join(DIRECTORY);
        let load = count(&OwnedDir::open(&dir).unwrap()).unwrap();
        assert_eq!((load.guests, load.memory_mib), (1, 1));
        drop(first);
        let second = second.await.unwrap();
        // As after kill -9: the file is there, and nobody holds its lock.
        std::fs::write(dir.join("dead"), "1").unwrap();
        drop(second);
        let third = take("third").await;
        assert!(!dir.join("dead").exists());
        drop(third);
        let left: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [COUNTING]);
    }
}
