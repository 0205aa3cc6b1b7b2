//! Looks into a finished image without booting it: ext4 file systems by `debugfs`, as any user.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root file system of an image.
pub struct Disk {
    // Holds the raw copy that `debugfs` reads.
    _dir: tempfile::TempDir,
    raw: PathBuf,
    offset: u64,
}

fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Disk {
    /// Opens the image's root: its only ext4 file system, found by its magic number.
    pub fn open(image: &Path) -> Disk {
        use std::os::unix::fs::FileExt;

        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("disk.raw");
        output(
            Command::new("qemu-img")
                .args(["convert", "-O", "raw"])
                .args([image, &raw]),
        );
        // Partitions begin at whole MiB. The first superblock of a file system says that it is the
        // one of block group 0; its copies elsewhere in the file system do not.
        let file = std::fs::File::open(&raw).unwrap();
        let mib = file.metadata().unwrap().len() >> 20;
        let offset = (0..mib)
            .map(|mib| mib << 20)
            .find(|start| {
                let mut superblock = [0; 1024];
                file.read_exact_at(&mut superblock, start + 1024).is_ok()
                    && superblock[56..58] == [0x53, 0xef]
                    && superblock[90..92] == [0, 0]
            })
            .expect("the image has an ext4 file system");
        Disk {
            _dir: dir,
            raw,
            offset,
        }
    }

    fn debugfs(&self, request: &str) -> std::process::Output {
        Command::new("/usr/sbin/debugfs")
            .args(["-R", request])
            .arg(format!("{}?offset={}", self.raw.display(), self.offset))
            .output()
            .unwrap()
    }

    /// The file's bytes, if it is there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.exists(path)
            .then(|| self.debugfs(&format!("cat \"{path}\"")).stdout)
    }

    /// The file's text; panics if it is not there.
    pub fn text(&self, path: &str) -> String {
        let bytes = self
            .read(path)
            .unwrap_or_else(|| panic!("{path} is not in the image"));
        String::from_utf8(bytes).unwrap()
    }

    /// Whether something of that path is there.
    pub fn exists(&self, path: &str) -> bool {
        !self.stat(path).is_empty()
    }

    /// What `debugfs` says of the path ("Mode:  0644", "User:     0"), empty if it is not there.
    pub fn stat(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.debugfs(&format!("stat \"{path}\"")).stdout).into_owned()
    }

    /// The names in a directory.
    pub fn list(&self, path: &str) -> Vec<String> {
        // Lines are /inode/mode/uid/gid/name/size/.
        String::from_utf8_lossy(&self.debugfs(&format!("ls -p \"{path}\"")).stdout)
            .lines()
            .filter_map(|line| line.split('/').nth(5).map(str::to_string))
            .filter(|name| !name.is_empty() && name != "." && name != "..")
            .collect()
    }
}
