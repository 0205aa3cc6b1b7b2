//! Is it stuck, or merely late? Judged by progress: each step of an install has a limit for how
//! long it may go without any.
//!
//! Progress is a new phase, a package, a byte downloaded, a task done, a new line, and a guest
//! that writes to its disk or receives something. A line that was there already is none
//! (dracut repeats its complaints for ever), and neither are the dots after `Starting automated
//! install`, one a second, which the console leaves out.

use std::collections::VecDeque;
use std::time::Duration;

use super::phases::Phase;
use super::signal::Signal;

/// A part of an install that has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A phase.
    Phase(Phase),
    /// The medium is compared with its checksum.
    MediaCheck,
    /// rpm checks the transaction, and says nothing until it is done.
    PreparingTransaction,
}

impl Default for Step {
    fn default() -> Self {
        Step::Phase(Phase::PoweredOn)
    }
}

impl Step {
    /// What goes on, to follow "while" in a sentence.
    pub fn doing(self) -> &'static str {
        match self {
            Step::Phase(phase) => phase.doing(),
            Step::MediaCheck => "checking the installation medium",
            Step::PreparingTransaction => "preparing the package transaction",
        }
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// How much longer everything takes without hardware acceleration. A TCG guest runs 5 to 20 times
/// slower; of the limits above, waiting for a mirror is not slower at all.
pub const TCG_FACTOR: u32 = 6;

/// Counters that grow by less than this in an [`INTERVAL`] say nothing, however long they do: a
/// journal, ARP, DHCP, some hundred bytes a second of broadcast on a bridge. It is 4 KiB a second; a
/// mirror that is slower has package managers give up (dnf's `minrate`: 1,000 bytes a second).
const NOTEWORTHY_BYTES: u64 = 256 * 1024;

/// By what time growth is judged: longer than a pause between two bursts of a transfer.
const INTERVAL: Duration = minutes(1);

/// How many different lines are remembered, to know a repeated one.
const REMEMBERED: usize = 64;

/// The limits, of every step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The limit of every step where a user has set one (`--stall-limit`).
    pub everywhere: Option<Duration>,
    /// Whether the guest has no hardware acceleration: the usual limits are longer then.
    pub emulated: bool,
}

impl Limits {
    /// How long a step may go without progress.
    pub fn of(&self, step: Step) -> Duration {
        if let Some(limit) = self.everywhere {
            return limit;
        }
        let limit = minutes(match step {
            // Firmware and kernel speak within seconds; PXE ROMs and a TPM may come first.
            Step::Phase(Phase::PoweredOn) => 3,
            // A kernel that probes absent hardware waits for its timeouts, of 30 to 120 s.
            Step::Phase(Phase::Kernel) => 5,
            // dracut gives up after 180 s without the network or the kickstart, and starts over
            // once; curl fetches up to 1 GiB of second stage without a word.
            Step::Phase(Phase::Initramfs) => 30,
            // 12 GB of DVD at 10 MB/s, shown on one line that is drawn over and over.
            Step::MediaCheck => 30,
            // A unit of systemd waits for its device for 90 s, and a chain of them for some times
            // that.
            Step::Phase(Phase::Stage2) => 10,
            // Anaconda scans the disks and waits for the network (`inst.waitfornet`) before its
            // first words.
            Step::Phase(Phase::Installer) => 10,
            // The dots: package metadata are loaded, dependencies solved, disks scanned. Slow
            // mirrors take minutes; an install that hangs here hangs for ever (anaconda issue 953).
            Step::Phase(Phase::Preparing) => 15,
            // mkfs and discard of large disks, wiping of old metadata.
            Step::Phase(Phase::Storage) => 15,
            // A line comes every 2 s while bytes come; dnf tries each of some mirrors for 30 s, ten
            // times.
            Step::Phase(Phase::Downloading) => 15,
            // rpm's check of some thousand packages, and of the room for them, is silent.
            Step::PreparingTransaction => 15,
            // One package: kernel-core makes an initramfs, selinux-policy compiles, glibc-all-
            // langpacks is large.
            Step::Phase(Phase::Packages) => 15,
            // grub2-install and grub2-mkconfig, which scans all disks for other systems.
            Step::Phase(Phase::BootLoader) => 10,
            // SELinux labels of the whole system, among others.
            Step::Phase(Phase::Configuring) => 20,
            // dracut for each kernel, without a line.
            Step::Phase(Phase::BuildingInitramfs) => 20,
            // The author's scripts say nothing on the console, and may fetch and compile for long.
            Step::Phase(Phase::PostScripts) => 60,
            // systemd waits 90 s for each unit that does not stop.
            Step::Phase(Phase::ShuttingDown) => 10,
        });
        limit * if self.emulated { TCG_FACTOR } else { 1 }
    }
}

/// Watches for progress.
#[derive(Debug, Default)]
pub struct StallWatch {
    limits: Limits,
    step: Step,
    since: Duration,
    /// The counters when the interval began, and when that was.
    counted: (u64, u64),
    counted_since: Duration,
    last_step: Option<(u64, u8)>,
    lines: VecDeque<String>,
}

impl StallWatch {
    /// Of a guest that was just started.
    pub fn new(limits: Limits) -> Self {
        StallWatch {
            limits,
            ..StallWatch::default()
        }
    }

    /// The step that is going on.
    pub fn step(&self) -> Step {
        self.step
    }

    /// When the install counts as stuck, if nothing comes before.
    pub fn deadline(&self) -> Duration {
        self.since.saturating_add(self.limits.of(self.step))
    }

    /// The limit, if it is exceeded.
    pub fn exceeded(&self, now: Duration) -> Option<Duration> {
        (self.deadline() <= now).then(|| self.limits.of(self.step))
    }

    /// A signal came, when the install was (or now is) in `phase`.
    pub fn signal(&mut self, now: Duration, signal: &Signal, phase: Phase) {
        let step = match signal {
            Signal::MediaCheck => Step::MediaCheck,
            Signal::Phase(Phase::Packages)
                if phase == Phase::Packages && self.step != Step::Phase(Phase::Packages) =>
            {
                Step::PreparingTransaction
            }
            Signal::Package { .. } => Step::Phase(Phase::Packages),
            // Until the phase changes.
            _ if self.step == Step::MediaCheck && phase <= Phase::Initramfs => self.step,
            _ if self.step == Step::PreparingTransaction && phase == Phase::Packages => self.step,
            _ => Step::Phase(phase),
        };
        let counted = match signal {
            Signal::Download { percent, bytes, .. } => Some((bytes.unwrap_or(0), *percent)),
            Signal::Package {
                done, verifying, ..
            } => Some((*done, u8::from(*verifying))),
            Signal::Copied { percent } => Some((0, *percent)),
            Signal::Tasks { done, .. } => Some((*done, 0)),
            _ => None,
        };
        if step != self.step || (counted.is_some() && counted != self.last_step) {
            self.step = step;
            self.since = now;
            self.last_step = counted;
        }
    }

    /// A line came.
    pub fn line(&mut self, now: Duration, body: &str) {
        if self.lines.iter().any(|known| known == body) {
            return;
        }
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
        }
        self.lines.push_back(body.to_owned());
        self.since = now;
    }

    /// The guest's counters, in bytes.
    pub fn counters(&mut self, now: Duration, written: u64, received: u64) {
        let (written_then, received_then) = self.counted;
        let grown = written.saturating_sub(written_then);
        let grown = grown.saturating_add(received.saturating_sub(received_then));
        let intervals =
            now.saturating_sub(self.counted_since).as_secs_f64() / INTERVAL.as_secs_f64();
        let noteworthy = grown as f64 >= NOTEWORTHY_BYTES as f64 * intervals.max(1.0);
        if noteworthy {
            self.since = now;
        }
        if noteworthy || intervals >= 1.0 {
            self.counted = (written, received);
            self.counted_since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMULATED: Limits = Limits {
        everywhere: None,
        emulated: true,
    };

    /// The limit of the initramfs, in most tests the one that counts.
    fn initramfs() -> Duration {
        Limits::default().of(Step::Phase(Phase::Initramfs))
    }

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn package(done: u64) -> Signal {
        Signal::Package {
            done,
            total: 9,
            verifying: false,
        }
    }

    fn download(percent: u8) -> Signal {
        Signal::Download {
            percent,
            bytes: None,
            total: None,
        }
    }

    /// A watch in `phase`, entered at second 0.
    fn in_phase(phase: Phase) -> StallWatch {
        let mut watch = StallWatch::new(Limits::default());
        watch.signal(at(0), &Signal::Phase(phase), phase);
        watch
    }

    #[test]
    fn every_step_has_a_limit_unless_the_user_sets_one() {
        for step in Phase::ALL
            .iter()
            .copied()
            .map(Step::Phase)
            .chain([Step::MediaCheck, Step::PreparingTransaction])
        {
            let limit = Limits::default().of(step);
            assert!(limit >= at(180), "{step:?}");
            // A TCG guest runs 5 to 20 times slower.
            assert_eq!(EMULATED.of(step), limit * 6);
            for emulated in [false, true] {
                let set = Limits {
                    everywhere: Some(at(8)),
                    emulated,
                };
                assert_eq!(set.of(step), at(8));
            }
            assert!(!step.doing().is_empty());
        }
        let packages = Step::Phase(Phase::Packages);
        assert_eq!(EMULATED.of(packages), at(90 * 60));
    }

    /// 300 bytes of broadcast a second reach any threshold in the end.
    #[test]
    fn growth_is_judged_by_the_interval() {
        let mut watch = in_phase(Phase::Initramfs);
        for second in (0..7200).step_by(5) {
            watch.counters(at(second), 0, second * 300);
        }
        assert_eq!(watch.deadline(), initramfs());
        // A slow transfer is progress, and so is one that comes in bursts.
        for rate in [5000, 1_000_000] {
            let mut watch = in_phase(Phase::Initramfs);
            for second in (0..=600).step_by(5) {
                watch.counters(at(second), second * rate / 2, second * rate / 2);
            }
            assert!(
                watch.deadline() >= at(600) - INTERVAL + initramfs(),
                "{rate}"
            );
        }
        let mut watch = in_phase(Phase::Initramfs);
        watch.counters(at(40), 0, NOTEWORTHY_BYTES);
        assert_eq!(watch.deadline(), at(40) + initramfs());
        // Of a daemon that did not answer for long, what it counts is meant by the minute, too.
        watch.counters(at(40 + 1200), 0, 3 * NOTEWORTHY_BYTES);
        assert_eq!(watch.deadline(), at(40) + initramfs());
    }

    #[test]
    fn progress_in_each_phase_moves_the_deadline() {
        for (phase, signals) in [
            (Phase::Downloading, [download(1), download(2)]),
            (Phase::Packages, [package(1), package(2)]),
            (
                Phase::Storage,
                [
                    Signal::Tasks { done: 1, total: 9 },
                    Signal::Tasks { done: 2, total: 9 },
                ],
            ),
        ] {
            let mut watch = in_phase(phase);
            let limit = Limits::default().of(Step::Phase(phase));
            for (minute, signal) in [(1, &signals[0]), (2, &signals[1])] {
                watch.signal(at(minute * 60), signal, phase);
                assert_eq!(watch.deadline(), at(minute * 60) + limit, "{phase:?}");
            }
            // The same again is no progress.
            watch.signal(at(180), &signals[1], phase);
            assert_eq!(watch.deadline(), at(120) + limit, "{phase:?}");
            assert_eq!(watch.exceeded(at(119) + limit), None);
            assert_eq!(watch.exceeded(at(120) + limit), Some(limit));
        }
    }

    #[test]
    fn a_transaction_is_prepared_until_the_first_package() {
        let mut watch = in_phase(Phase::Downloading);
        watch.signal(at(1), &Signal::Phase(Phase::Packages), Phase::Packages);
        assert_eq!(watch.step(), Step::PreparingTransaction);
        watch.signal(at(2), &Signal::Tasks { done: 3, total: 9 }, Phase::Packages);
        assert_eq!(watch.step(), Step::PreparingTransaction);
        watch.signal(at(3), &package(1), Phase::Packages);
        assert_eq!(watch.step(), Step::Phase(Phase::Packages));
        watch.signal(at(4), &Signal::Phase(Phase::Packages), Phase::Packages);
        assert_eq!(watch.step(), Step::Phase(Phase::Packages));
    }

    #[test]
    fn a_media_check_lasts_until_the_next_phase() {
        let mut watch = in_phase(Phase::Initramfs);
        watch.signal(at(1), &Signal::MediaCheck, Phase::Initramfs);
        watch.signal(at(2), &Signal::Phase(Phase::Initramfs), Phase::Initramfs);
        assert_eq!(watch.step(), Step::MediaCheck);
        watch.signal(at(3), &Signal::Phase(Phase::Stage2), Phase::Stage2);
        assert_eq!(watch.step(), Step::Phase(Phase::Stage2));
    }

    #[test]
    fn only_new_lines_and_noteworthy_bytes_are_progress() {
        let mut watch = in_phase(Phase::Initramfs);
        for (second, line) in [
            (1, "waiting for a"),
            (2, "waiting for b"),
            (3, "waiting for a"),
        ] {
            watch.line(at(second), line);
        }
        assert_eq!(watch.deadline(), at(2) + initramfs());
        watch.counters(at(4), 1000, 1000);
        assert_eq!(watch.deadline(), at(2) + initramfs());
        watch.counters(at(5), 1000, NOTEWORTHY_BYTES);
        assert_eq!(watch.deadline(), at(5) + initramfs());
        // A counter that starts over (a reset guest) is none.
        watch.counters(at(6), 0, 0);
        assert_eq!(watch.deadline(), at(5) + initramfs());
    }
}
