//! The files that a check looks at: those named, and those in folders that were named.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::input;
use crate::check::subject;

/// A file to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file, or `-`.
    pub path: PathBuf,
    /// It was found in a folder, not named.
    pub walked: bool,
}

/// What cannot be looked at, and why.
#[derive(Debug)]
pub struct Unreadable {
    /// The file or folder.
    pub path: PathBuf,
    /// One sentence.
    pub message: String,
}

/// The files of `paths` in their order, those of a folder by name: `*.ks`, `*.tdl`, and `*.cfg`
/// that look like kickstarts. Hidden files and folders are left out, and links to folders are not
/// followed.
pub fn files(paths: &[PathBuf]) -> Vec<Result<Found, Unreadable>> {
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

fn folder(folder: &Path, found: &mut Vec<Result<Found, Unreadable>>) {
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    let entries = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(visible);
    for entry in entries {
        match entry {
            Ok(entry) if is_meant(&entry) => {
                let path = entry.into_path();
                // `a.ks` rather than `./a.ks`.
                let path = path.strip_prefix(".").map(PathBuf::from).unwrap_or(path);
                found.push(Ok(Found { path, walked: true }));
            }
            Ok(_) => {}
            Err(error) => found.push(Err(Unreadable {
                path: error.path().unwrap_or(folder).to_path_buf(),
                message: error
                    .io_error()
                    .map_or_else(|| error.to_string(), ToString::to_string),
            })),
        }
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
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop.ks")).unwrap();
        let names: Vec<String> = files(&[dir.path().to_path_buf(), PathBuf::from("-")])
            .into_iter()
            .map(|found| {
                let found = found.unwrap();
                assert_eq!(found.walked, !input::is_stdin(&found.path));
                let path = found.path.strip_prefix(dir.path()).unwrap_or(&found.path);
                path.display().to_string()
            })
            .collect();
        assert_eq!(names, ["a/c.tdl", "a/ks.cfg", "a/z.ks", "b.ks", "-"]);
    }
}
