//! What a running build knows of itself at this moment, for whoever asks it from outside.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::Status;
use crate::host::{Accel, Guest, Observer};
use crate::panics::lock;
use crate::state::register::BuildEntry;
use crate::watch::phases::Phase;
use crate::watch::progress::Progress;

/// The stage before a guest runs: libvirt, the installer's files, the disk. The stages while it
/// runs are the [phases](crate::watch::phases::Phase).
const GETTING_READY: &str = "getting-ready";

/// The stage in which a guest could start, and other builds' guests leave it no room.
const WAITING: &str = "waiting-for-room";

/// The stage in which the image is booted.
const BOOT_TEST: &str = "boot-test";

/// The stage after the guest: the disk becomes the image.
const FINISHING: &str = "finishing-image";

/// The state of a running build; cheap to clone, every clone is of the same build.
#[derive(Debug, Clone)]
pub struct Live(Arc<Mutex<Now>>);

/// What is true now, but for the time that has passed.
#[derive(Debug)]
struct Now {
    status: Status,
    began: Instant,
    guest: Option<Observer>,
}

impl Live {
    /// Of a build that begins, and installs `release`; the lines of its guest's console will be in
    /// `console`.
    pub fn new(entry: &BuildEntry, release: String, console: PathBuf) -> Self {
        let status = Status {
            id: entry.id.clone(),
            pid: entry.pid,
            name: entry.name.clone(),
            release,
            phase: GETTING_READY.to_owned(),
            percent: 0,
            packages: None,
            elapsed_seconds: 0,
            attempt: 1,
            connection: entry.connection.clone(),
            domain: entry.domain.clone(),
            accel: None,
            console,
        };
        Live(Arc::new(Mutex::new(Now {
            status,
            began: Instant::now(),
            guest: None,
        })))
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.0)
    }

    /// How far it is.
    pub fn status(&self) -> Status {
        let now = self.now();
        Status {
            elapsed_seconds: now.began.elapsed().as_secs(),
            ..now.status.clone()
        }
    }

    /// Its guest, while there is one.
    pub fn guest(&self) -> Option<Observer> {
        self.now().guest.clone()
    }

    /// Another attempt begins, from the start.
    pub fn attempt(&self, number: u32) {
        let mut now = self.now();
        now.guest = None;
        now.status = Status {
            attempt: number,
            phase: GETTING_READY.to_owned(),
            percent: 0,
            packages: None,
            accel: None,
            ..now.status.clone()
        };
    }

    /// All is ready, and the guest starts as soon as others' let it.
    pub fn waiting(&self) {
        WAITING.clone_into(&mut self.now().status.phase);
    }

    /// A guest was started.
    pub fn started(&self, guest: &Guest, accel: Accel) {
        let mut now = self.now();
        now.guest = Some(guest.observer());
        now.status.accel = Some(accel.to_string());
        Phase::PoweredOn.name().clone_into(&mut now.status.phase);
    }

    /// The install has come this far: `percent` as it is told everywhere.
    pub fn progress(&self, progress: &Progress, percent: u8) {
        let status = &mut self.now().status;
        progress.phase().name().clone_into(&mut status.phase);
        status.percent = percent;
        status.packages = progress.packages();
    }

    /// The guest of a boot test was started.
    pub fn testing(&self, guest: &Guest, accel: Accel) {
        let mut now = self.now();
        now.guest = Some(guest.observer());
        now.status.accel = Some(accel.to_string());
        BOOT_TEST.clone_into(&mut now.status.phase);
    }

    /// The guest of a boot test is gone.
    pub fn tested(&self) {
        self.now().guest = None;
    }

    /// The guest is done, and its disk becomes the image.
    pub fn finishing(&self) {
        let mut now = self.now();
        now.guest = None;
        FINISHING.clone_into(&mut now.status.phase);
        // 100 is a build that has ended, which says nothing any more.
        now.status.percent = 99;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::signal;

    #[test]
    fn another_attempt_begins_from_the_start() {
        let live = Live::new(&BuildEntry::example(), String::new(), PathBuf::new());
        let began = live.now().began;
        let mut progress = Progress::default();
        for signal in signal::of_line("Installing a.noarch (3/10)") {
            progress.signal(Duration::from_secs(1), &signal);
        }
        live.progress(&progress, 43);
        let now = live.status();
        assert_eq!((now.phase.as_str(), now.attempt), ("packages", 1));
        assert_eq!(now.packages.map(|packages| packages.done), Some(3));
        assert_eq!(now.percent, 43);
        live.finishing();
        assert_eq!(
            (live.status().phase.as_str(), live.status().percent),
            (FINISHING, 99)
        );
        live.attempt(2);
        let now = live.status();
        assert_eq!((now.phase.as_str(), now.attempt), (GETTING_READY, 2));
        assert_eq!((now.percent, now.packages), (0, None));
        assert_eq!(live.now().began, began);
    }
}
