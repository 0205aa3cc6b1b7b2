//! Follows an install through its phases. Never goes back: a text of an earlier phase that comes
//! again (anaconda has several of those) changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::phases::Phase;
use super::signal::Signal;
use super::verdict::seconds;

/// How long a phase took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PhaseTime {
    /// The phase.
    #[serde(rename = "name")]
    pub phase: Phase,
    /// When it began, since the guest was started.
    #[serde(serialize_with = "seconds")]
    pub began: Duration,
    /// How long it lasted, or has lasted so far.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub lasted: Duration,
}

/// The state of an install.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The phases that were seen, with when they began. Never empty.
    began: Vec<(Phase, Duration)>,
    /// What part of the current phase is done, from 0 to 1.
    part: f64,
    installer: Option<String>,
    packages: Option<Counted>,
    download: Option<Counted>,
}

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Done so far. Never decreases.
    pub done: u64,
    /// In all, as far as the installer knows; may grow.
    pub total: u64,
}

impl Counted {
    fn on(before: Option<Counted>, done: u64, total: u64) -> Option<Counted> {
        let done = before.map_or(done, |before| before.done.max(done));
        Some(Counted {
            done,
            total: total.max(done),
        })
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            began: vec![(Phase::PoweredOn, Duration::ZERO)],
            part: 0.0,
            installer: None,
            packages: None,
            download: None,
        }
    }
}

impl Progress {
    /// Takes a signal that came `now` after the guest was started; the new phase, if one began.
    pub fn signal(&mut self, now: Duration, signal: &Signal) -> Option<Phase> {
        match signal {
            Signal::Phase(phase) => self.enter(*phase, now),
            Signal::Started(what) => {
                self.installer = Some(what.clone());
                self.enter(Phase::Installer, now)
            }
            Signal::Download {
                percent,
                bytes,
                total,
                ..
            } => {
                if let (Some(bytes), Some(total)) = (bytes, total) {
                    self.download = Counted::on(self.download, *bytes, *total);
                }
                let entered = self.enter(Phase::Downloading, now);
                self.advance(Phase::Downloading, f64::from(*percent) / 100.0);
                entered
            }
            Signal::Package {
                done,
                total,
                verifying,
                ..
            } => {
                let entered = self.enter(Phase::Packages, now);
                if !verifying {
                    self.packages = Counted::on(self.packages, *done, *total);
                }
                // Verifying comes after installing and takes little time.
                let part = *done as f64 / *total as f64;
                let part = if *verifying {
                    0.95 + 0.05 * part
                } else {
                    0.95 * part
                };
                self.advance(Phase::Packages, part);
                entered
            }
            Signal::Copied { percent } => {
                let entered = self.enter(Phase::Packages, now);
                self.advance(Phase::Packages, f64::from(*percent) / 100.0);
                entered
            }
            Signal::MediaCheck => self.enter(Phase::Initramfs, now),
            Signal::PowerDown | Signal::Reboot | Signal::Halted | Signal::CannotPowerOff => {
                self.enter(Phase::ShuttingDown, now)
            }
            Signal::Tasks { .. }
            | Signal::Failure(_)
            | Signal::ScriptOutput
            | Signal::HasKickstart
            | Signal::Note => None,
        }
    }

    /// Something came from the console, whatever it says.
    pub fn spoke(&mut self, now: Duration) -> Option<Phase> {
        self.enter(Phase::Kernel, now)
    }

    fn enter(&mut self, phase: Phase, now: Duration) -> Option<Phase> {
        if phase <= self.phase() {
            return None;
        }
        self.began.push((phase, now));
        self.part = 0.0;
        Some(phase)
    }

    fn advance(&mut self, phase: Phase, part: f64) {
        if phase == self.phase() {
            self.part = self.part.max(part.clamp(0.0, 1.0));
        }
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        self.began
            .last()
            .map_or(Phase::PoweredOn, |(phase, _)| *phase)
    }

    /// What part of the current phase is done, from 0 to 1: stays 0 where nothing is counted.
    pub fn part(&self) -> f64 {
        self.part
    }

    /// How much of the install is done, in percent. Never decreases; 100 only means that the
    /// guest is gone, which this does not know, so at most 99.
    pub fn percent(&self) -> u8 {
        let phase = self.phase();
        let from = f64::from(phase.percent_at_start());
        let next = Phase::ALL
            .iter()
            .find(|next| **next > phase)
            .map_or(100.0, |next| f64::from(next.percent_at_start()));
        ((from + (next - from) * self.part) as u8).min(99)
    }

    /// The phases that were seen and how long each lasted, the last one until `now`.
    pub fn phases(&self, now: Duration) -> Vec<PhaseTime> {
        let ends = self.began.iter().skip(1).map(|(_, began)| *began);
        self.began
            .iter()
            .zip(ends.chain([now]))
            .map(|((phase, began), end)| PhaseTime {
                phase: *phase,
                began: *began,
                lasted: end.saturating_sub(*began),
            })
            .collect()
    }

    /// Packages installed, of how many.
    pub fn packages(&self) -> Option<Counted> {
        self.packages
    }

    /// Bytes of packages downloaded, of how many.
    pub fn download(&self) -> Option<Counted> {
        self.download
    }

    /// The installer's version and product, once it has named them.
    pub fn installer(&self) -> Option<&str> {
        self.installer.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::signal;

    #[test]
    fn an_install_goes_forward_only() {
        let mut progress = Progress::default();
        let mut last = 0;
        for (second, line) in [
            "Linux version 6.1",
            "Starting installer, one moment...",
            "Starting automated install...",
            "Configuring storage",
            "Downloading 10 RPMs, 1 MiB / 2 MiB (50%) done.",
            "Downloading 10 RPMs, 1 MiB / 4 MiB (25%) done.",
            "Installing a.noarch (1/10)",
            "Installing j.noarch (10/10)",
            "Installing a.noarch (1/12)",
            "Performing post-installation setup tasks",
            "Verifying a.noarch (1/10)",
            "Installing boot loader",
            "Configuring storage",
            "Running post-installation scripts",
            "[  99.0] reboot: Power down",
        ]
        .into_iter()
        .enumerate()
        {
            for signal in signal::of_line(line) {
                progress.signal(Duration::from_secs(second as u64), &signal);
            }
            assert!(progress.percent() >= last, "{line:?}");
            last = progress.percent();
        }
        assert_eq!(progress.phase(), Phase::ShuttingDown);
        assert_eq!(last, 99);
        let counted = |done, total| Some(Counted { done, total });
        assert_eq!(progress.packages(), counted(10, 12));
        assert_eq!(progress.download(), counted(1 << 20, 4 << 20));
        let phases = progress.phases(Duration::from_secs(20));
        let total: Duration = phases.iter().map(|p| p.lasted).sum();
        assert_eq!(total, Duration::from_secs(20), "phases leave no gap");
        let packages = phases.iter().find(|p| p.phase == Phase::Packages).unwrap();
        assert_eq!(packages.began, Duration::from_secs(6));
        assert_eq!(packages.lasted, Duration::from_secs(5));
    }
}
