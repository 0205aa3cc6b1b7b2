//! How many guests run at a time: builds that start together wait for each other here, so that
//! two dozen nightly builds do not push their host out of memory.
//!
//! Every build with a guest has a file in the state directory, locked while the guest runs; the
//! kernel gives the lock back however the build ends. Builds of one state directory count each
//! other.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

use crate::ui::event::Reporter;

/// Name of the slots' directory in the state directory.
const DIRECTORY: &str = "guests";

/// Name of the lock that whoever counts holds for a moment.
const COUNTING: &str = ".counting";

/// How often a build that waits counts again. Guests run for minutes; this costs nothing.
const INTERVAL: Duration = Duration::from_millis(500);

/// The share of the host's memory that guests may have together, in percent: the rest is for the
/// host itself, QEMU's own needs (some hundred MiB a guest) and the page cache of their disks.
const MEMORY_PERCENT: u64 = 85;

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
    path: PathBuf,
    _lock: File,
}

impl Slot {
    /// Waits until there is room for a guest of the build `id`. Cancel safe.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub async fn take(
        state_dir: &Path,
        id: &str,
        wish: SlotRequest,
        reporter: &Reporter,
    ) -> anyhow::Result<Slot> {
        let dir = state_dir.join(DIRECTORY);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("creating {}", dir.display()))?;
        let host_mib = host_memory_mib();
        let mut told = false;
        loop {
            let taken = try_take(&dir, id, wish, host_mib)
                .with_context(|| format!("counting the guests in {}", dir.display()))?;
            let load = match taken {
                Ok(slot) => return Ok(slot),
                Err(load) => load,
            };
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
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes what dead builds left. Those that count do it, too.
pub fn sweep(state_dir: &Path) {
    let dir = state_dir.join(DIRECTORY);
    let counting = OpenOptions::new().write(true).open(dir.join(COUNTING));
    // Without it nobody has ever counted.
    let Ok(counting) = counting else {
        return;
    };
    if flock(&counting, FlockOperation::LockExclusive).is_ok() {
        let _ = count(&dir);
    }
}

/// The host's memory in MiB.
fn host_memory_mib() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)) >> 20
}

/// Takes a slot if there is room, or tells what runs.
fn try_take(
    dir: &Path,
    id: &str,
    wish: SlotRequest,
    host_mib: u64,
) -> anyhow::Result<Result<Slot, Load>> {
    let open = |path: &Path| {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    };
    let counting = open(&dir.join(COUNTING))?;
    // Held for the few files that are looked at here, never while somebody waits.
    flock(&counting, FlockOperation::LockExclusive)?;
    let load = count(dir)?;
    if !has_room(load, wish, host_mib) {
        return Ok(Err(load));
    }
    let path = dir.join(id);
    let mut lock = open(&path)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    write!(lock, "{}", wish.memory_mib)?;
    Ok(Ok(Slot { path, _lock: lock }))
}

/// Counts what runs, and removes what does not any more.
fn count(dir: &Path) -> anyhow::Result<Load> {
    let mut load = Load {
        guests: 0,
        memory_mib: 0,
    };
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == COUNTING) {
            continue;
        }
        // It may have ended since the directory was read.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_file(&path);
            continue;
        }
        load.guests += 1;
        let memory = std::fs::read_to_string(&path).unwrap_or_default();
        load.memory_mib += memory.parse().unwrap_or(0);
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
        assert!(
            try_take(&dir, "third", wish(1, Some(1)), 10_000)
                .unwrap()
                .is_err_and(|load| load.guests == 1 && load.memory_mib == 1)
        );
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
