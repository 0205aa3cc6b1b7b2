//! Which disk of a machine is to hold the image. Nothing is guessed: the disk that is named, else the only one
//! that can.

use anyhow::{Result, bail};

use super::job::Job;
use crate::image::disk::human;

/// A disk of the machine, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: String,
    /// Model and serial number, where it tells them.
    pub about: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Bytes of its sectors.
    pub sector: u64,
    /// Whether it is a medium that is taken out (a stick, a card).
    pub removable: bool,
    /// Why it cannot be written, if it cannot: it is in use, or the medium itself.
    pub obstacle: Option<String>,
    /// Whether something is on it.
    pub used: bool,
}

impl Found {
    /// Why the image is not put there by itself.
    fn refusal(&self, job: &Job) -> Option<String> {
        if let Some(obstacle) = &self.obstacle {
            return Some(obstacle.clone());
        }
        if self.size < job.size {
            let (has, needed) = (human(self.size), human(job.size));
            return Some(format!("it has {has}, and the image needs {needed}"));
        }
        match job.sector {
            Some(sector) if sector != self.sector => Some(format!(
                "it has sectors of {} bytes, and the image is for sectors of {sector}",
                self.sector
            )),
            _ => None,
        }
    }

    /// Whether the image can be put there by itself, if what is on it does not matter.
    pub fn fits(&self, job: &Job) -> bool {
        !self.removable && self.refusal(job).is_none()
    }

    fn line(&self, what: &str) -> String {
        let Found { path, about, .. } = self;
        let comma = if about.is_empty() { "" } else { ", " };
        format!("\n    {path}: {}{comma}{about}: {what}", human(self.size))
    }
}

/// The path of the disk.
///
/// # Errors
/// None can hold the image, several can, or something is on it: what there is, and what to do.
pub fn choose<'a>(job: &Job, disks: &'a [Found], named: Option<&'a Found>) -> Result<&'a str> {
    let chosen = match named {
        Some(named) => named,
        None => only_one(job, disks)?,
    };
    if let Some(refusal) = chosen.refusal(job) {
        bail!("{} cannot hold the image: {refusal}", chosen.path);
    }
    if chosen.used && !job.overwrite {
        bail!(
            "something is on {} ({}), and this medium was made for empty disks: empty it (`wipefs -a`), or make the medium with --overwrite",
            chosen.path,
            human(chosen.size)
        );
    }
    Ok(&chosen.path)
}

fn only_one<'a>(job: &Job, disks: &'a [Found]) -> Result<&'a Found> {
    let fitting: Vec<&Found> = disks.iter().filter(|disk| disk.fits(job)).collect();
    match fitting[..] {
        [one] => Ok(one),
        [] => {
            let lines = disks.iter().map(|disk| {
                let refusal = disk.refusal(job);
                disk.line(refusal.as_deref().unwrap_or("it is removable"))
            });
            let lines: String = lines.collect();
            let lines = if lines.is_empty() {
                " it has none that the kernel knows".to_owned()
            } else {
                lines
            };
            bail!("no disk of this machine can hold the image:{lines}")
        }
        _ => {
            let what = |disk: &&Found| match disk.used {
                true => disk.line("something is on it"),
                false => disk.line("empty"),
            };
            let lines: String = fitting.iter().map(what).collect();
            bail!(
                "several disks can hold the image; name one: make the medium with --disk, or add ozr.disk=PATH to the kernel's command line:{lines}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::tests::job;
    use super::*;

    fn disk(path: &str, size: u64) -> Found {
        Found {
            path: path.to_owned(),
            about: String::new(),
            size,
            sector: 512,
            removable: false,
            obstacle: None,
            used: false,
        }
    }

    fn error(job: &Job, disks: &[Found]) -> String {
        choose(job, disks, None).unwrap_err().to_string()
    }

    #[test]
    fn the_only_disk_that_fits_is_taken() {
        let (mut stick, mut medium) = (disk("/dev/sdb", 4 << 20), disk("/dev/sdc", 4 << 20));
        stick.removable = true;
        medium.obstacle = Some("it is mounted".to_owned());
        let mut large = disk("/dev/sdd", 4 << 20);
        large.sector = 4096;
        let (small, right) = (disk("/dev/sda", 1 << 19), disk("/dev/nvme0n1", 2 << 20));
        let all = [small, stick, medium, large, right];
        assert_eq!(choose(&job(), &all, None).unwrap(), "/dev/nvme0n1");
        let none = error(&job(), &all[..4]);
        for word in [
            "/dev/sda: 512.0 KiB: it has",
            "removable",
            "mounted",
            "sectors of 4096",
        ] {
            assert!(none.contains(word), "{word}: {none}");
        }
        assert!(error(&job(), &[]).contains("it has none"));
    }

    #[test]
    fn nothing_is_guessed_and_nothing_is_lost_unasked() {
        let (first, mut second) = (disk("/dev/sda", 4 << 20), disk("/dev/sdb", 4 << 20));
        second.used = true;
        let all = [first, second.clone()];
        let several = error(&job(), &all);
        assert!(several.contains("/dev/sda: 4.0 MiB: empty"), "{several}");
        assert!(
            several.contains("/dev/sdb: 4.0 MiB: something"),
            "{several}"
        );
        let refused = choose(&job(), &all, Some(&second)).unwrap_err().to_string();
        assert!(refused.contains("something is on /dev/sdb"), "{refused}");
        let mut consent = job();
        consent.overwrite = true;
        assert_eq!(choose(&consent, &all, Some(&second)).unwrap(), "/dev/sdb");
        // Consent is for the disk that is meant, and for no other one.
        assert!(error(&consent, &all).contains("several disks"));
        second.size = 1;
        let small = choose(&consent, &all, Some(&second))
            .unwrap_err()
            .to_string();
        assert!(small.contains("the image needs 1.0 MiB"), "{small}");
    }
}
