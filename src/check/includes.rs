//! The texts that a kickstart includes, found on this host.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::language::{Included, Includes};

/// Largest included text, in bytes; real ones have a few kilobytes.
pub const MAX_BYTES: u64 = 16 << 20;

/// Directories that, in a kickstart, are those of the installer and not of this host: a `%pre`
/// writes there what is included.
const OF_THE_INSTALLER: [&str; 4] = ["/tmp/", "/run/", "/mnt/", "/var/tmp/"];

/// Fetches the text behind a URL, or says why not.
pub type Fetch<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Follows includes as the installer's parser does: a relative path from the working directory,
/// then from the directory of the text that names it.
#[derive(Default)]
pub struct Files<'a> {
    /// Fetches URLs; without it they are not followed.
    pub fetch: Option<Fetch<'a>>,
    /// Real paths of directories; files elsewhere are not read. Empty: all are.
    within: Vec<PathBuf>,
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
        let real = |directory: &Path| directory.canonicalize().ok();
        Files {
            fetch,
            within: [Path::new("."), own].into_iter().filter_map(real).collect(),
        }
    }

    fn may_read(&self, path: &Path) -> bool {
        self.within.is_empty()
            || path
                .canonicalize()
                .is_ok_and(|real| self.within.iter().any(|within| real.starts_with(within)))
    }
}

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

impl Includes for Files<'_> {
    fn find(&self, target: &str, from: &str) -> Included {
        if target.contains("://") {
            return match self.fetch {
                None => Included::NotFollowed,
                Some(fetch) => found(target.to_string(), fetch(target)),
            };
        }
        if OF_THE_INSTALLER.iter().any(|of| target.starts_with(of)) {
            return Included::Missing("it is a file of the installer's".to_string());
        }
        let beside = Path::new(from)
            .parent()
            .unwrap_or(Path::new(""))
            .join(target);
        let places = [PathBuf::from(target), beside];
        let Some(path) = places.iter().find(|place| place.exists()) else {
            return Included::Missing("there is no such file".to_string());
        };
        if !self.may_read(path) {
            let message = "it is neither below the working directory nor below the kickstart's own";
            return Included::Missing(message.to_string());
        }
        found(path.display().to_string(), read(path))
    }
}

fn found(name: String, text: Result<String, String>) -> Included {
    match text {
        Ok(text) => Included::Text { name, text },
        Err(reason) => Included::Missing(reason),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let open = || -> std::io::Result<Option<Vec<u8>>> {
        // Reading a pipe or a device could take for ever.
        if !path.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match open() {
        Err(error) => Err(error.to_string()),
        Ok(None) => Err("it is no regular file".to_string()),
        Ok(Some(bytes)) if bytes.len() as u64 > MAX_BYTES => {
            Err(format!("it is larger than {} MiB", MAX_BYTES >> 20))
        }
        Ok(Some(bytes)) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string()),
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
        let reading = Reading::new(&text, &name, Version::Rhel(9), &Files::default());
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
        let missing: Vec<&str> = reading
            .missing
            .iter()
            .map(|missing| missing.include.target.as_str())
            .collect();
        assert_eq!(missing, ["nowhere.ks", "/tmp/x"]);
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
        assert!(matches!(find("part.ks"), Included::Text { .. }));
        let secret = secret.display().to_string();
        for target in ["../secret", "link", "/proc/self/environ", &secret] {
            assert!(matches!(find(target), Included::Missing(_)), "{target}");
        }
        let anywhere = Files::default().find("../secret", &main.display().to_string());
        assert!(matches!(anywhere, Included::Text { .. }));
    }

    #[test]
    fn circles_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ks");
        let text = "%include a.ks\n%include a.ks\n";
        std::fs::write(&path, text).unwrap();
        let name = path.display().to_string();
        let reading = Reading::new(text, &name, Version::Fedora(43), &Files::default());
        assert!(
            reading
                .findings
                .iter()
                .any(|f| f.message.contains("circles"))
        );
        assert!(reading.texts.len() <= 200);
    }
}
