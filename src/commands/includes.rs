//! The files that kickstarts include, read from this host.

use std::path::{Path, PathBuf};

use super::input;
use crate::kickstart::scan;
use crate::language::{Included, Includes};

/// Finds included files as pykickstart does (3.78, `parser.py`): from the current directory, then
/// from the directory of the file that includes them. Nothing outside of the current directory
/// and that of the checked file is read: what is included is shown in messages, and a kickstart
/// may come from anybody.
#[derive(Debug)]
pub struct FromDisk {
    roots: Vec<PathBuf>,
}

impl FromDisk {
    /// The files that the kickstart at `path` may include.
    pub fn of(path: &Path) -> FromDisk {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let roots = [Path::new("."), directory];
        FromDisk {
            roots: roots
                .iter()
                .filter_map(|root| root.canonicalize().ok())
                .collect(),
        }
    }

    fn is_allowed(&self, path: &Path) -> bool {
        path.canonicalize()
            .is_ok_and(|real| self.roots.iter().any(|root| real.starts_with(root)))
    }
}

impl Includes for FromDisk {
    fn find(&self, target: &str, from: &str) -> Included {
        // Addresses are for `--online`.
        if target.contains("://") {
            return Included::NotFollowed;
        }
        let target = Path::new(target);
        if target.is_absolute() {
            return Included::Missing("it is a file of the guest".to_string());
        }
        let beside = Path::new(from)
            .parent()
            .unwrap_or(Path::new(""))
            .join(target);
        let candidates = [target.to_path_buf(), beside];
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            return Included::Missing("there is no such file".to_string());
        };
        if !self.is_allowed(path) {
            return Included::Missing(
                "it is outside of the current directory and of the kickstart's own".to_string(),
            );
        }
        let name = path.display().to_string();
        let bytes = match input::read(path, "included file") {
            Ok(bytes) => bytes,
            Err(error) => return Included::Missing(format!("{error:#}")),
        };
        match scan::decode(bytes, &name) {
            Ok(text) => Included::Text { name, text },
            Err(finding) => Included::Missing(finding.message.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_the_kickstart_are_found_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("ks");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("part.ks"), "text\n").unwrap();
        std::fs::write(dir.path().join("secret"), "s3cret\n").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        let main = inside.join("main.ks");
        let includes = FromDisk::of(&main);
        let find = |target: &str| includes.find(target, &main.display().to_string());
        assert_eq!(
            find("part.ks"),
            Included::Text {
                name: inside.join("part.ks").display().to_string(),
                text: "text\n".to_string()
            }
        );
        assert_eq!(find("https://example.com/a.ks"), Included::NotFollowed);
        let secret = dir.path().join("secret").display().to_string();
        for target in [
            "../secret",
            "link",
            "absent.ks",
            "/proc/self/environ",
            ".",
            &secret,
        ] {
            assert!(matches!(find(target), Included::Missing(_)), "{target}");
        }
    }
}
