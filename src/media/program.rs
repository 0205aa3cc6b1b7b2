//! ozr itself, to run in an initramfs of any release: its file, the libraries that it is linked with, and
//! the loader that knows them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::reader::OWN_PROGRAM;
use crate::process;

/// Makes the loader name what it would load, and end (ld.so(8)).
const TRACE: &str = "LD_TRACE_LOADED_OBJECTS";

/// What older C libraries load to find names, without being linked with it (glibc before 2.34).
const LOADED_LATER: [&str; 2] = ["libnss_dns.so.2", "libnss_files.so.2"];

/// A file, by its name in the initramfs.
pub struct Part {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// All of it.
///
/// # Errors
/// A file cannot be read.
pub async fn own() -> Result<Vec<Part>> {
    let mut list = process::command(OWN_PROGRAM);
    list.env(TRACE, "1");
    // A program that is linked with nothing does not know the variable; its words name no libraries.
    let list = process::output(&mut list).await.unwrap_or_default();
    let mut libraries = libraries(&String::from_utf8_lossy(&list));
    let of_libc = libraries.iter().find(|(name, _)| name == "libc.so.6");
    if let Some(directory) = of_libc.and_then(|(_, path)| path.parent()) {
        let later = LOADED_LATER.map(|name| (name.to_owned(), directory.join(name)));
        libraries.extend(later.into_iter().filter(|(_, path)| path.is_file()));
    }
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    let mut parts = vec![Part {
        name: "ozr/ozr".to_owned(),
        bytes: read(Path::new(OWN_PROGRAM))?,
    }];
    for (name, path) in libraries {
        parts.push(Part {
            name: format!("ozr/lib/{name}"),
            bytes: read(&path)?,
        });
    }
    Ok(parts)
}

/// Names and paths in what the loader lists: `NAME => PATH (ADDRESS)`, and its own path.
fn libraries(list: &str) -> Vec<(String, PathBuf)> {
    let library = |line: &str| {
        let line = line.trim();
        let line = line.rsplit_once(" (0x").map_or(line, |(line, _)| line);
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        let name = Path::new(name).file_name()?.to_str()?;
        path.starts_with('/')
            .then(|| (name.to_owned(), PathBuf::from(path)))
    };
    list.lines().filter_map(library).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_from_other_words() {
        let list = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n\
            \tlibgone.so.2 => not found\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\
            usage: ozr\n";
        let expected = [
            ("libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1"),
            ("ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2"),
        ];
        let expected = expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        assert_eq!(libraries(list), expected);
    }
}
