//! Reading what users, templates and kickstarts name: bounded in size and time, never a device. And
//! "did you mean ...": known words that are close to one that is not known.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, openat};
use serde::{Deserialize, Serialize};

use crate::error::{Classify, Kind};

/// Largest template or kickstart that is read, in bytes. Files of 16 MiB may stand in a template
/// in base64, several of them; what is larger is an image, named by mistake.
const MAX_INPUT: u64 = 256 << 20;

/// How long an input may say nothing: a FIFO without a writer, a hanging network file system.
/// What writes into a pipe (`-k <(...)`) has begun by then.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// How long an input may take as a whole, however often it says something.
const LONGEST_READ: Duration = Duration::from_secs(600);

/// File systems whose files are made by the kernel when they are read (linux/magic.h): proc,
/// sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2, selinuxfs. Some never end, some hold
/// secrets of the process that reads them.
const PSEUDO: [u64; 8] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
    0xf97c_ff8c,
];

/// The name that messages give to a path.
pub fn display_name(path: &Path) -> String {
    if is_stdin(path) {
        "<stdin>".to_string()
    } else {
        path.display().to_string()
    }
}

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads a whole file or pipe, or standard input for `-`.
///
/// # Errors
/// Input: it is not there, cannot be read, is no file or pipe, is larger than any template or
/// kickstart, or says nothing for 30 s.
pub fn read(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    read_bounded(path, MAX_INPUT)
        .with_context(|| format!("reading the {what} {}", display_name(path)))
        .kind(Kind::Input)
}

/// Reads a whole file or pipe of at most `limit` bytes, or standard input for `-`.
///
/// # Errors
/// As for [`read`], without the name.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let path = path.to_path_buf();
    let open = move || match is_stdin(&path) {
        true => Ok(Box::new(io::stdin()) as Box<dyn Read>),
        false => Ok(Box::new(open(&path)?) as Box<dyn Read>),
    };
    read_all(open, limit, LONGEST_SILENCE)
}

/// Opens and reads on a thread of its own, for either may never return.
fn read_all(
    open: impl FnOnce() -> io::Result<Box<dyn Read>> + Send + 'static,
    limit: u64,
    silence: Duration,
) -> io::Result<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("input".to_string())
        .spawn(move || {
            if let Err(error) = open().and_then(|source| send_all(source, &sender)) {
                let _ = sender.send(Err(error));
            }
        })?;
    let end = Instant::now() + LONGEST_READ;
    let mut bytes = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(silence.min(left)) {
            Ok(chunk) => bytes.extend(chunk?),
            Err(RecvTimeoutError::Disconnected) => return Ok(bytes),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = silence.as_secs();
                let message = match left.is_zero() {
                    true => "it did not end within 10 minutes".to_string(),
                    false => format!("nothing came for {seconds} s: a pipe needs a writer"),
                };
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
        if bytes.len() as u64 > limit {
            let message = format!("it is larger than {} MiB", limit >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
    }
}

fn send_all(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            // Nobody listens any more: it was too large, or took too long.
            Ok(count) if sender.send(Ok(buffer[..count].to_vec())).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens an image: a file or a disk. Anything else would be waited for, or has no places to read from.
///
/// # Errors
/// It is not there, cannot be read, or is something else.
pub fn open_image(path: &Path) -> io::Result<File> {
    open_or_disk(path, false)
}

/// The first `most` bytes of an image, or of what says which images there are: a file or a pipe.
///
/// # Errors
/// As for [`read_bounded`].
pub fn read_head(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let path = path.to_path_buf();
    let open = move || Ok(Box::new(open_or_disk(&path, true)?.take(most)) as Box<dyn Read>);
    read_all(open, most, LONGEST_SILENCE)
}

fn open_or_disk(path: &Path, pipes: bool) -> io::Result<File> {
    let handle = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&handle)?.st_mode) != FileType::BlockDevice {
        check(&handle, pipes)?;
    }
    reopen(&handle)
}

/// Opens a file or a pipe. What it is is looked at before it is opened: opening alone may change a
/// device, or never return.
fn open(path: &Path) -> io::Result<File> {
    let handle = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    check(&handle, true)?;
    reopen(&handle)
}

fn reopen(handle: &OwnedFd) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// Refuses what is not to be read.
fn check(file: &impl AsFd, pipes: bool) -> io::Result<()> {
    let stat = fstat(file)?;
    let refuse = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    match FileType::from_raw_mode(stat.st_mode) {
        // The kernel's types for the number differ by architecture.
        FileType::RegularFile if PSEUDO.contains(&(fstatfs(file)?.f_type as u64 & 0xffff_ffff)) => {
            refuse("it is made by the kernel, as all below /proc and /sys: name a file")
        }
        FileType::RegularFile => Ok(()),
        FileType::Fifo if pipes => Ok(()),
        // An empty input, as everywhere.
        FileType::CharacterDevice if pipes && is_null(stat.st_rdev) => Ok(()),
        FileType::Directory => refuse("it is a directory: name a file"),
        FileType::BlockDevice | FileType::CharacterDevice => refuse("it is a device: name a file"),
        _ => refuse("it is no regular file"),
    }
}

fn is_null(device: u64) -> bool {
    (rustix::fs::major(device), rustix::fs::minor(device)) == (1, 3)
}

/// Directories below which files may be read that somebody else's text names.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<PathBuf>);

/// Why a file below [`Roots`] was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// It lies below none of them, or a link leads out.
    #[error("it lies outside of what may be read")]
    Outside,
    /// It is not there, is no regular file, or cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Roots {
    /// The directories as they are now; those that are not there count for nothing.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Roots {
        let real = directories
            .into_iter()
            .filter_map(|directory| directory.canonicalize().ok());
        Roots(real.collect())
    }

    /// Where a path leads, through all links.
    ///
    /// # Errors
    /// It leads out, or nowhere; nothing is told of what is outside.
    pub fn find(&self, path: &Path) -> Result<PathBuf, NotOpened> {
        let path = std::path::absolute(path)?;
        let mut error = None;
        // What is not there is judged by the nearest directory that is.
        for ancestor in path.ancestors() {
            match ancestor.canonicalize() {
                Ok(real) if self.root_of(&real).is_none() => return Err(NotOpened::Outside),
                Ok(real) => return error.map_or(Ok(real), |error| Err(NotOpened::Io(error))),
                Err(found) => {
                    error.get_or_insert(found);
                }
            }
        }
        Err(NotOpened::Outside)
    }

    /// Opens a regular file; gives its real path, too.
    ///
    /// # Errors
    /// As for [`Roots::find`]; it is no regular file, or cannot be read.
    pub fn open(&self, path: &Path) -> Result<(File, PathBuf), NotOpened> {
        let real = self.find(path)?;
        let root = self.root_of(&real).ok_or(NotOpened::Outside)?;
        // The real path has no links: one that is there now was put there since.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = openat(CWD, root, flags, Mode::empty()).map_err(io::Error::from)?;
        for part in real.strip_prefix(root).unwrap_or(&real).components() {
            let Component::Normal(name) = part else {
                return Err(NotOpened::Outside);
            };
            at = openat(&at, name, flags, Mode::empty()).map_err(io::Error::from)?;
        }
        check(&at, false)?;
        Ok((reopen(&at)?, real))
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`Roots::open`]; it is too large.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, NotOpened> {
        let file = self.open(path)?.0;
        let open = move || Ok(Box::new(file) as Box<dyn Read>);
        Ok(read_all(open, limit, LONGEST_SILENCE)?)
    }

    fn root_of(&self, real: &Path) -> Option<&PathBuf> {
        self.0.iter().find(|root| real.starts_with(root))
    }
}

/// How similar two words must be (Jaro-Winkler, 0 to 1) to be worth a suggestion: clap suggests
/// from 0.7; names of releases differ in little, so they ask for a little more.
const MIN_SIMILARITY: f64 = 0.75;

/// The known word closest to `word`, if one is close.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    near(word, known, 1).first().copied()
}

/// Up to `limit` known words that are close to `word`, the closest first.
pub fn near<'a>(word: &str, known: &[&'a str], limit: usize) -> Vec<&'a str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    let mut found: Vec<(f64, &str)> = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&word, &known.to_lowercase()), *known))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
        .into_iter()
        .take(limit)
        .map(|(_, known)| known)
        .collect()
}

/// Longest path in bytes (Linux: PATH_MAX less its NUL).
const MAX_PATH: usize = 4095;

/// Longest name in a path, in bytes (Linux: NAME_MAX).
pub const MAX_NAME: usize = 255;

/// Why a path cannot be that of a file in the installed system.
pub fn path_problem(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("the file's path is not absolute")
    } else if path.contains(char::is_control) {
        Some("the file's path holds a control character")
    } else if path.split('/').any(|part| part == "..") {
        Some("the file's path holds `..`")
    } else if path.ends_with('/') || path.ends_with("/.") {
        Some("the file's path is that of a directory")
    } else if path.len() > MAX_PATH || path.split('/').any(|part| part.len() > MAX_NAME) {
        Some("the file's path, or a part of it, is longer than Linux allows")
    } else {
        None
    }
}

/// What tells a file that was written to or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Its length in bytes.
    pub bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// Of what was looked at.
    pub fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::mknodat;

    use super::*;

    fn said<T>(result: Result<T, impl ToString>) -> String {
        result.map_or_else(|error| error.to_string(), |_| "read".to_string())
    }

    #[test]
    fn devices_and_what_the_kernel_makes_are_no_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _socket = UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        symlink("/proc/kmsg", &link).unwrap();
        for (path, words) in [
            (Path::new("/dev/zero"), "a device"),
            (Path::new("/proc/kmsg"), "made by the kernel"),
            (Path::new("/proc/self/environ"), "made by the kernel"),
            (Path::new("/sys/kernel/notes"), "made by the kernel"),
            (folder.path(), "a directory"),
            (&socket, "no regular file"),
            (&link, "made by the kernel"),
        ] {
            let said = said(read_bounded(path, 1 << 20));
            assert!(said.contains(words), "{}: {said}", path.display());
        }
        assert_eq!(read_bounded(Path::new("/dev/null"), 1).unwrap(), b"");
    }

    #[test]
    fn an_image_is_a_file_or_a_disk_and_nothing_that_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo.qcow2");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for (path, words) in [
            (&*fifo, "no regular file"),
            (Path::new("/dev/zero"), "a device"),
            (Path::new("/proc/self/environ"), "made by the kernel"),
            (folder.path(), "a directory"),
        ] {
            let said = said(open_image(path));
            assert!(said.contains(words), "{}: {said}", path.display());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "01234").unwrap();
        assert!(open_image(&file).is_ok());
        assert_eq!(read_head(&file, 3).unwrap(), b"012");
    }

    #[test]
    fn pipes_are_read_and_waited_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let alone = fifo.clone();
        let silence = Duration::from_millis(50);
        let open_it = move || Ok(Box::new(open(&alone)?) as Box<dyn Read>);
        assert!(said(read_all(open_it, 10, silence)).contains("needs a writer"));
        let roots = Roots::new([folder.path().to_path_buf()]);
        let refused = roots.read(&fifo, 10).unwrap_err().to_string();
        assert!(refused.contains("no regular file"), "{refused}");

        // As a shell's `<(...)`: an anonymous pipe by the name of its descriptor, whose writer
        // may have ended already.
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"text\n").unwrap();
        drop(writer);
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        assert_eq!(read_bounded(Path::new(&path), 10).unwrap(), b"text\n");
    }

    #[test]
    fn too_much_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(said(read_bounded(&path, 1 << 20)).contains("larger than 1 MiB"));
        assert_eq!(said(read_bounded(&path, (1 << 20) + 1)), "read");
    }

    #[test]
    fn nothing_outside_of_the_roots_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for directory in ["tree/in", "other", "secret"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        for file in ["tree/in/a", "other/b", "secret/c", "treeside"] {
            std::fs::write(at(file), file).unwrap();
        }
        symlink("in/a", at("tree/inside")).unwrap();
        symlink(at("other/b"), at("tree/listed")).unwrap();
        symlink("../secret/c", at("tree/out")).unwrap();
        symlink(at("secret"), at("tree/outdir")).unwrap();
        let roots = Roots::new([at("tree"), at("other"), at("not-there")]);
        for (name, content) in [
            ("tree/in/a", "tree/in/a"),
            ("tree/inside", "tree/in/a"),
            ("tree/listed", "other/b"),
            ("tree/in/../in/a", "tree/in/a"),
        ] {
            assert_eq!(
                roots.read(&at(name), 100).unwrap(),
                content.as_bytes(),
                "{name}"
            );
        }
        for name in [
            "secret/c",
            "tree/out",
            "tree/outdir/c",
            "tree/outdir/not-there",
            "tree/../secret/c",
            "treeside",
            "not-there",
            "/etc/shadow",
            "/proc/self/environ",
        ] {
            let result = roots.read(&at(name), 100);
            assert!(
                matches!(result, Err(NotOpened::Outside)),
                "{name}: {result:?}"
            );
        }
        for name in ["tree/none", "tree/in/none/none", "tree/in", "tree/in/a/x"] {
            let result = roots.read(&at(name), 100);
            assert!(
                matches!(result, Err(NotOpened::Io(_))),
                "{name}: {result:?}"
            );
        }
        let everything = Roots::new([PathBuf::from("/")]);
        let result = everything.read(Path::new("/proc/self/environ"), 100);
        assert!(said(result).contains("made by the kernel"));
    }

    #[test]
    fn close_words_are_found_and_others_are_not() {
        let known = ["name", "description", "os", "packages", "repositories"];
        assert_eq!(nearest("package", &known), Some("packages"));
        assert_eq!(nearest("Nmae", &known), Some("name"));
        assert_eq!(nearest("zzz", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), &known), None);
    }
}
