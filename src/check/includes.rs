//! The texts that a kickstart includes, found on this host.

use std::path::{Path, PathBuf};

use crate::input::Roots;
use crate::kickstart::scan;
use crate::language::{Included, Includes};

/// Largest included text, in bytes; real ones have a few kilobytes.
pub const MAX_BYTES: u64 = 16 << 20;

/// Directories that, in a kickstart, are those of the installer and not of this host: a `%pre`
/// writes there what is included.
const OF_THE_INSTALLER: [&str; 4] = ["/tmp/", "/run/", "/mnt/", "/var/tmp/"];

/// Fetches the text behind a URL, if it can be had.
pub type Fetch<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Follows includes as the installer's parser does: a relative path from the working directory,
/// then from the directory of the text that names it.
pub struct Files<'a> {
    /// Fetches URLs; without it they are not followed.
    fetch: Option<Fetch<'a>>,
    /// Files elsewhere are not read.
    roots: Roots,
}

impl<'f> Files<'f> {
    /// The files that the kickstart at `path` may include when anybody may have written it: those
    /// below the working directory and below its own. What is included is shown in findings, so
    /// `%include /proc/self/environ` would show secrets to whoever reads a CI's log.
    pub fn near(path: &Path, fetch: Option<Fetch<'f>>) -> Files<'f> {
        let own = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Files {
            fetch,
            roots: Roots::new([PathBuf::from("."), own.to_path_buf()]),
        }
    }
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

impl Includes for Files<'_> {
    fn find(&self, target: &str, from: &str) -> Option<Included> {
        if target.contains("://") {
            let text = self.fetch?(target)?;
            let name = target.to_string();
            return Some(Included { name, text });
        }
        if OF_THE_INSTALLER.iter().any(|of| target.starts_with(of)) {
            return None;
        }
        let beside = Path::new(from).parent().unwrap_or(Path::new(""));
        let mut paths = [PathBuf::from(target), beside.join(target)].into_iter();
        paths.find_map(|path| {
            let bytes = self.roots.read(&path, MAX_BYTES).ok()?;
            let (name, text) = (path.display().to_string(), scan::decode(bytes));
            Some(Included { name, text })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Reading, Version};

    #[test]
    fn relative_files_are_found_beside_the_text_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        write("parts/disk.ks", "autopart\n%include deeper.ks\n");
        write("parts/deeper.ks", "bogus\n%include nowhere.ks\n");
        let name = write(
            "main.ks",
            "text\n%include parts/disk.ks\n%include /tmp/x\n%include http://h/x\n",
        );
        let text = std::fs::read_to_string(&name).unwrap();
        let reading = Reading::new(
            &text,
            &name,
            Version::Rhel(9),
            &Files::near(Path::new(&name), None),
        );
        let names: Vec<&str> = reading
            .commands
            .iter()
            .map(|entry| entry.command.name())
            .collect();
        assert_eq!(names, ["text", "autopart", "bogus"]);
        let finding = &reading.findings[0];
        assert!(finding.file.ends_with("parts/deeper.ks"), "{finding}");
        assert!(finding.notes[0].ends_with("parts/disk.ks:2"), "{finding}");
        assert!(finding.notes[1].ends_with("main.ks:2"), "{finding}");
        let texts: Vec<&str> = reading.texts.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(!reading.complete);
    }

    #[test]
    fn files_elsewhere_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("ks");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("part.ks"), "text\n").unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "s3cret\n").unwrap();
        std::os::unix::fs::symlink("../secret", own.join("link")).unwrap();
        let main = own.join("main.ks");
        let files = Files::near(&main, None);
        let find = |target: &str| files.find(target, &main.display().to_string());
        assert!(find("part.ks").is_some());
        let secret = secret.display().to_string();
        for target in ["../secret", "link", "/proc/self/environ", &secret] {
            assert_eq!(find(target), None, "{target}");
        }
    }

    #[test]
    fn circles_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ks");
        let text = "%include a.ks\n%include a.ks\n";
        std::fs::write(&path, text).unwrap();
        let name = path.display().to_string();
        let reading = Reading::new(
            text,
            &name,
            Version::Fedora(43),
            &Files::near(Path::new(&name), None),
        );
        assert!(
            reading
                .findings
                .iter()
                .any(|f| f.message.contains("circles"))
        );
        assert!(reading.texts.len() <= 200);
    }
}
