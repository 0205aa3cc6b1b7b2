//! What a running build knows of itself at this moment, for whoever asks it from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::host::{Accel, Guest};
use crate::watch::phases::Phase;
use crate::watch::progress::{Counted, Progress};

/// The stage before a guest runs: libvirt, the installer's files, the disk. The stages while it
/// runs are the [phases](crate::watch::phases::Phase).
pub const GETTING_READY: &str = "getting-ready";

/// The stage in which a guest could start, and other builds' guests leave it no room.
pub const WAITING: &str = "waiting-for-room";

/// The stage after the guest: the disk becomes the image.
pub const FINISHING: &str = "finishing-image";

/// The state of a running build; cheap to clone, every clone is of the same build.
#[derive(Debug, Clone)]
pub struct Live(Arc<Mutex<State>>);

/// What a build says of itself.
#[derive(Debug, Clone)]
pub struct State {
    /// When the build began.
    pub started: Instant,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// [`GETTING_READY`], [`WAITING`], the name of a phase, or [`FINISHING`].
    pub phase: &'static str,
    /// How much of the install is done. Never decreases within an attempt.
    pub percent: u8,
    /// Packages installed, of how many, once that is known.
    pub packages: Option<Counted>,
    /// What runs the guest's CPUs, once there is a guest.
    pub accel: Option<Accel>,
    /// The guest. It is the attempt's: nobody else keeps it.
    pub guest: Weak<Guest>,
}

impl Default for Live {
    fn default() -> Self {
        Live(Arc::new(Mutex::new(State {
            started: Instant::now(),
            attempt: 1,
            phase: GETTING_READY,
            percent: 0,
            packages: None,
            accel: None,
            guest: Weak::new(),
        })))
    }
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is true now.
    pub fn now(&self) -> State {
        self.state().clone()
    }

    /// Another attempt begins, from the start.
    pub fn attempt(&self, number: u32) {
        let mut state = self.state();
        *state = State {
            started: state.started,
            attempt: number,
            phase: GETTING_READY,
            percent: 0,
            packages: None,
            accel: None,
            guest: Weak::new(),
        };
    }

    /// All is ready, and the guest starts as soon as others' let it.
    pub fn waiting(&self) {
        self.state().phase = WAITING;
    }

    /// A guest was started.
    pub fn guest(&self, guest: &Arc<Guest>, accel: Accel) {
        let mut state = self.state();
        state.guest = Arc::downgrade(guest);
        state.accel = Some(accel);
        state.phase = Phase::PoweredOn.name();
    }

    /// The install has come this far: `percent` as it is told everywhere.
    pub fn progress(&self, progress: &Progress, percent: u8) {
        let mut state = self.state();
        state.phase = progress.phase().name();
        state.percent = percent;
        state.packages = progress.packages();
    }

    /// The guest is done, and its disk becomes the image.
    pub fn finishing(&self) {
        let mut state = self.state();
        state.phase = FINISHING;
        // 100 is a build that has ended, which says nothing any more.
        state.percent = 99;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::read;

    #[test]
    fn another_attempt_begins_from_the_start() {
        let live = Live::default();
        let began = live.now().started;
        let mut progress = Progress::default();
        for signal in read::console("Installing a.noarch (3/10)") {
            progress.signal(Duration::from_secs(1), &signal);
        }
        live.progress(&progress, 43);
        let now = live.now();
        assert_eq!((now.phase, now.attempt), ("packages", 1));
        assert_eq!(now.packages.map(|packages| packages.done), Some(3));
        assert_eq!(now.percent, 43);
        live.finishing();
        assert_eq!((live.now().phase, live.now().percent), (FINISHING, 99));
        live.attempt(2);
        let now = live.now();
        assert_eq!((now.phase, now.attempt), (GETTING_READY, 2));
        assert_eq!((now.percent, now.packages), (0, None));
        assert_eq!(now.started, began);
    }
}
