//! What a machine is to do that boots a medium: decided when that is made.

use serde::{Deserialize, Serialize};

/// Where it is in the initramfs.
pub const PLACE: &str = "/ozr/job.json";

/// The word of the kernel's command line that says where the image is, in place of the medium.
pub const IMAGE_WORD: &str = "ozr.image=";

/// The word of the kernel's command line that names the disk.
pub const DISK_WORD: &str = "ozr.disk=";

/// The work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The medium's label (ISO 9660 volume identifier), by which it is found.
    pub label: String,
    /// The name of the image's file there.
    pub image: String,
    /// The SHA-256 of that file, in hexadecimal.
    pub sha256: String,
    /// The size of the disk in the image, in bytes.
    pub size: u64,
    /// Bytes of the sectors in which its partition table counts, if it has one.
    pub sector: Option<u64>,
    /// The path of the disk that is to hold it; none for the only one that can.
    pub disk: Option<String>,
    /// Whether what is on that disk may be lost.
    pub overwrite: bool,
    /// Whether the last partition is to end where the disk does.
    pub grow: bool,
    /// Whether the machine restarts afterwards; else it is switched off.
    pub reboot: bool,
}

impl Job {
    /// What the kernel's command line says otherwise: the disk, and the image's address.
    pub fn told_by(&mut self, cmdline: &str) -> Option<String> {
        let last = |word: &str| {
            let words = cmdline.split_ascii_whitespace();
            words.filter_map(|each| each.strip_prefix(word)).next_back()
        };
        if let Some(disk) = last(DISK_WORD) {
            self.disk = Some(disk.to_owned());
        }
        last(IMAGE_WORD).map(str::to_owned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A job for any empty disk of 1 MiB or more.
    pub fn job() -> Job {
        Job {
            label: "OZR_1".to_owned(),
            image: "web.raw.zst".to_owned(),
            sha256: "0".repeat(64),
            size: 1 << 20,
            sector: Some(512),
            disk: None,
            overwrite: false,
            grow: false,
            reboot: false,
        }
    }

    #[test]
    fn the_command_line_names_disk_and_address() {
        let mut job = job();
        assert_eq!(job.told_by("quiet xozr.disk=/dev/a"), None);
        assert_eq!(job.disk, None);
        let line = "quiet ozr.disk=/dev/sda ozr.image=http://h/i.raw.zst ozr.disk=/dev/sdb\n";
        assert_eq!(job.told_by(line).unwrap(), "http://h/i.raw.zst");
        assert_eq!(job.disk.unwrap(), "/dev/sdb");
    }
}
