//! A file that a build is writing: what is there, and then what comes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// How far back the last lines are looked for, in bytes: two hundred lines are a tenth of it.
const MAX_TAIL: u64 = 256 * 1024;

/// A file that is followed. Once it is open it may be renamed or removed; another one under its
/// name takes its place when it has been read to its end.
#[derive(Debug)]
pub struct Follower {
    /// The first one that is there is the file.
    paths: Vec<PathBuf>,
    /// How many of the last lines that are there are wanted; all of them without a number.
    tail: Option<usize>,
    open: Option<(File, PathBuf)>,
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// There is no file yet.
    NoFile,
    /// Nothing came since the last time.
    Nothing,
    /// So many bytes at the beginning are left out.
    Skipped(u64),
    /// The next bytes.
    Bytes(Vec<u8>),
    /// Another file is there, and is read from its beginning.
    Another,
}

impl Follower {
    /// Follows the first of the files that will be there, from its last `tail` lines on.
    pub fn new(paths: Vec<PathBuf>, tail: Option<usize>) -> Follower {
        Follower {
            paths,
            tail,
            open: None,
        }
    }

    /// What there is to read now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self) -> std::io::Result<News> {
        let Some((file, path)) = &mut self.open else {
            return self.begin();
        };
        let mut bytes = vec![0; PIECE];
        let length = file.read(&mut bytes)?;
        if length > 0 {
            bytes.truncate(length);
            return Ok(News::Bytes(bytes));
        }
        let ours = file.metadata()?;
        let named = std::fs::symlink_metadata(path)
            .is_ok_and(|named| (named.dev(), named.ino()) != (ours.dev(), ours.ino()));
        if named {
            self.open = None;
            self.tail = None;
            return match self.begin()? {
                News::NoFile => Ok(News::Nothing),
                _ => Ok(News::Another),
            };
        }
        Ok(News::Nothing)
    }

    fn begin(&mut self) -> std::io::Result<News> {
        for path in &self.paths {
            let mut file = match open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let skipped = match self.tail {
                Some(lines) => skip(&mut file, lines)?,
                None => 0,
            };
            self.open = Some((file, path.clone()));
            return Ok(match skipped {
                0 => News::Nothing,
                skipped => News::Skipped(skipped),
            });
        }
        Ok(News::NoFile)
    }
}

/// Opens a file in a directory that may be another user's, when root looks: no link, no pipe that
/// would be waited for.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("it is no file")),
    }
}

/// Goes to the last `lines` lines; how many bytes are before them.
fn skip(file: &mut File, lines: usize) -> std::io::Result<u64> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(MAX_TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.by_ref().take(MAX_TAIL).read_to_end(&mut end)?;
    let at = from + last_lines(&end, lines, from == 0) as u64;
    file.seek(SeekFrom::Start(at))
}

/// Where the last `lines` lines of a text begin. A line whose beginning is not in the text is left
/// out if there is another one.
fn last_lines(text: &[u8], lines: usize, whole: bool) -> usize {
    let ends = text.iter().enumerate().rev();
    let mut begins = ends
        .filter(|(at, byte)| **byte == b'\n' && at + 1 < text.len())
        .map(|(at, _)| at + 1);
    let mut first = None;
    for _ in 0..lines {
        match begins.next() {
            Some(begin) => first = Some(begin),
            None if whole => return 0,
            None => break,
        }
    }
    first.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines() {
        for (text, lines, whole, at) in [
            ("", 2, true, 0),
            ("a", 2, true, 0),
            ("a\nb\nc\n", 2, true, 2),
            ("a\nb\nc", 2, true, 2),
            ("a\nb\nc\n", 3, true, 0),
            ("a\nb\nc\n", 9, true, 0),
            ("cut\nb\nc\n", 9, false, 4),
            ("one line that was cut", 9, false, 0),
            ("\n\n\n", 2, true, 1),
        ] {
            assert_eq!(last_lines(text.as_bytes(), lines, whole), at, "{text:?}");
        }
    }

    fn text(news: News) -> String {
        match news {
            News::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_followed_through_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let [raw, other] = ["raw", "other"].map(|name| dir.path().join(name));
        let mut follower = Follower::new(vec![raw.clone(), other.clone()], Some(2));
        let mut news = || follower.next().unwrap();
        assert_eq!(news(), News::NoFile);
        let mut file = File::create(&other).unwrap();
        file.write_all(b"a\nb\nc\n").unwrap();
        assert_eq!(news(), News::Skipped(2));
        assert_eq!(text(news()), "b\nc\n");
        assert_eq!(news(), News::Nothing);
        file.write_all(b"d").unwrap();
        assert_eq!(text(news()), "d");
        // It is renamed, and written on.
        std::fs::rename(&other, dir.path().join("kept")).unwrap();
        file.write_all(b"e").unwrap();
        assert_eq!(text(news()), "e");
        assert_eq!(news(), News::Nothing);
        std::fs::remove_file(dir.path().join("kept")).unwrap();
        assert_eq!(news(), News::Nothing);
        // The next attempt's, whole.
        std::fs::write(&other, "1\n2\n3\n").unwrap();
        file.write_all(b"f").unwrap();
        assert_eq!(text(news()), "f");
        assert_eq!(news(), News::Another);
        assert_eq!(text(news()), "1\n2\n3\n");
    }

    #[test]
    fn only_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(open(&link).is_err());
        assert!(open(dir.path()).is_err());
    }
}
