//! The files that a check looks at: those named, and those in folders that were named.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::input;
use crate::check::subject;
use crate::diagnostic::{Diagnostic, Severity};

/// A file to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file, or `-`.
    pub path: PathBuf,
    /// It was found in a folder, not named.
    pub walked: bool,
}

/// The files of `paths` in their order, those of a folder by name: `*.ks`, `*.tdl`, and `*.cfg`
/// that look like kickstarts. Hidden files and folders are left out, and links to folders are not
/// followed; links to files are where they stay in the folder that was named. Whoever can make a
/// pull request can make a link, and findings show lines of what it leads to.
pub fn files(paths: &[PathBuf]) -> Vec<Result<Found, Diagnostic>> {
    let mut found = Vec::new();
    for path in paths {
        if input::is_stdin(path) || !path.is_dir() {
            found.push(Ok(Found {
                path: path.clone(),
                walked: false,
            }));
        } else {
            folder(path, &mut found);
        }
    }
    found
}

fn folder(folder: &Path, found: &mut Vec<Result<Found, Diagnostic>>) {
    let Ok(root) = folder.canonicalize() else {
        return found.push(Err(unreadable(folder, "it is gone")));
    };
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    let entries = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(visible);
    for entry in entries {
        match entry {
            Ok(entry) if entry.path_is_symlink() && leads_out(&entry, &root) => {
                let named = ["ks", "tdl", "cfg"].map(Some);
                if named.contains(&entry.path().extension().and_then(|ending| ending.to_str())) {
                    let why = "it is a link that leads out of the folder: name the file itself";
                    found.push(Err(unreadable(entry.path(), why)));
                }
            }
            Ok(entry) if is_meant(&entry) => {
                let path = entry.into_path();
                // `a.ks` rather than `./a.ks`.
                let path = path.strip_prefix(".").map(PathBuf::from).unwrap_or(path);
                found.push(Ok(Found { path, walked: true }));
            }
            Ok(_) => {}
            Err(error) => {
                let why = error.io_error();
                let why = why.map_or_else(|| error.to_string(), ToString::to_string);
                found.push(Err(unreadable(error.path().unwrap_or(folder), &why)));
            }
        }
    }
}

fn unreadable(path: &Path, why: &str) -> Diagnostic {
    let name = path.display().to_string();
    Diagnostic::of_file(Severity::Error, &name, format!("it cannot be read: {why}"))
}

/// Whether a link leads to a file outside of the folder `root`, or nowhere; one to a folder is left
/// out anyway.
fn leads_out(entry: &DirEntry, root: &Path) -> bool {
    match entry.path().canonicalize() {
        Ok(real) => !real.is_dir() && !real.starts_with(root),
        Err(_) => false,
    }
}

fn is_meant(entry: &DirEntry) -> bool {
    // A link to a file counts, one to a folder or a device does not.
    if !entry.path().is_file() {
        return false;
    }
    match entry.path().extension().and_then(|ending| ending.to_str()) {
        Some("ks" | "tdl") => true,
        Some("cfg") => input::read(entry.path(), "file")
            .is_ok_and(|bytes| subject::looks_like_kickstart(&String::from_utf8_lossy(&bytes))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let kickstart = "lang en_US\ntimezone Etc/UTC\n";
        write("b.ks", "");
        write("a/z.ks", "");
        write("a/c.tdl", "");
        write("a/ks.cfg", kickstart);
        write("setup.cfg", "[metadata]\nname = x\n");
        write(".git/x.ks", "");
        write(".hidden.ks", "");
        write("notes.txt", kickstart);
        let link = |to: &std::path::Path, name: &str| {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        };
        link(dir.path(), "loop.ks");
        link(std::path::Path::new("a/z.ks"), "inside.ks");
        link(std::path::Path::new("nowhere"), "broken.ks");
        let names: Vec<String> = files(&[dir.path().to_path_buf(), PathBuf::from("-")])
            .into_iter()
            .map(|found| {
                let found = found.unwrap();
                assert_eq!(found.walked, !input::is_stdin(&found.path));
                let path = found.path.strip_prefix(dir.path()).unwrap_or(&found.path);
                path.display().to_string()
            })
            .collect();
        assert_eq!(
            names,
            ["a/c.tdl", "a/ks.cfg", "a/z.ks", "b.ks", "inside.ks", "-"]
        );
    }

    #[test]
    fn links_that_lead_out_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("repository");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(dir.path().join("secret"), "lang en_US\ntimezone UTC\n").unwrap();
        for name in ["a.ks", "b.cfg", "c.tdl"] {
            std::os::unix::fs::symlink("../secret", inside.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("../secret", inside.join("other")).unwrap();
        let found = files(&[inside]);
        assert_eq!(found.len(), 3, "{found:?}");
        for unreadable in found {
            assert!(unreadable.unwrap_err().message.contains("leads out"));
        }
    }
}
