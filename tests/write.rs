//! `ozr write`: to loop devices where there are some, else to files; with sgdisk and sfdisk as other
//! readers of what was written.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support;
use crate::support::mirror::{Mirror, noise, sha256};

const MIB: usize = 1 << 20;

/// What a disk holds before: nothing of it may be seen afterwards.
const OLD: u8 = 0xff;

/// How a disk begins whose image is not whole.
const MARK: &[u8] = b"ozr: the image on this disk is not whole.";

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Whether what containers may not do was done; it must be where everything is to be tested.
fn tried(command: &mut Command) -> bool {
    let done = command.output().is_ok_and(|out| out.status.success());
    assert!(
        done || std::env::var_os("OZR_TEST_ALL").is_none(),
        "{command:?}"
    );
    done
}

/// Whether a program is there; it must be where everything is to be tested.
fn has(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).output().is_ok();
    assert!(
        found || std::env::var_os("OZR_TEST_ALL").is_none(),
        "{program} is not installed"
    );
    found
}

/// An image of 16 MiB with a GPT and two partitions, noise in the second one, and much that is zero.
fn image(directory: &Path) -> PathBuf {
    let path = directory.join("web.raw");
    let file = File::create(&path).unwrap();
    file.set_len(16 * MIB as u64).unwrap();
    let mut sfdisk = Command::new("sfdisk")
        .arg("--quiet")
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let table = b"label: gpt\nsize=4M, type=U\nsize=8M, type=L\n";
    sfdisk.stdin.take().unwrap().write_all(table).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    file.write_all_at(&noise(1, 2 * MIB), 6 * MIB as u64)
        .unwrap();
    // A boot loader's core, before the first partition.
    file.write_all_at(b"core", 40 * 512).unwrap();
    path
}

/// A disk full of old contents: a loop device, or a file where there are none.
struct Disk {
    file: PathBuf,
    device: Option<String>,
}

impl Disk {
    fn new(directory: &Path, size: usize) -> Disk {
        Disk::with(directory, size, &[])
    }

    fn with(directory: &Path, size: usize, options: &[&str]) -> Disk {
        let file = directory.join("disk");
        fs::write(&file, vec![OLD; size]).unwrap();
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show"]).args(options).arg(&file);
        let made = losetup.output().ok().filter(|out| out.status.success());
        let device = made.map(|out| String::from_utf8(out.stdout).unwrap().trim().to_owned());
        assert!(
            device.is_some() || std::env::var_os("OZR_TEST_ALL").is_none() || !support::is_root(),
            "there are no loop devices"
        );
        Disk { file, device }
    }

    fn path(&self) -> &str {
        let file = self.file.to_str().unwrap();
        self.device.as_deref().unwrap_or(file)
    }

    fn write(&self, arguments: &[&str]) -> Command {
        let mut ozr = Command::new(env!("CARGO_BIN_EXE_ozr"));
        ozr.args(["write", "--yes"]).stdin(Stdio::null());
        if self.device.is_none() {
            ozr.arg("--to-file");
        }
        ozr.args(arguments).arg(self.path());
        ozr
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut file = File::open(self.path()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// It says that it is not whole, and nobody finds a partition on it.
    fn assert_marked(&self) {
        let bytes = self.bytes();
        assert!(bytes[27..].starts_with(MARK));
        assert_eq!(bytes[510..512], [0x55, 0xaa]);
        assert!(bytes[512..MIB].iter().all(|byte| *byte == 0));
        assert!(bytes[bytes.len() - 512..].iter().all(|byte| *byte == 0));
        let told = run("sfdisk", &["--dump", self.path()]);
        assert!(!told.contains("start="), "{told}");
    }

    /// It holds the image, with a table that others find sound and made for this disk.
    fn assert_holds(&self, image: &Path) {
        let (bytes, image) = (self.bytes(), fs::read(image).unwrap());
        let end = image.len() - 33 * 512;
        assert!(bytes[MIB..end] == image[MIB..end], "the contents differ");
        assert_eq!(bytes[40 * 512..][..4], *b"core");
        let told = run("sgdisk", &["--verify", self.path()]);
        assert!(told.contains("No problems found"), "{told}");
        run("sfdisk", &["--verify", self.path()]);
        let sectors = (bytes.len() / 512) as u64;
        let protected = u32::from_le_bytes(bytes[458..462].try_into().unwrap());
        assert_eq!(u64::from(protected), sectors - 1);
        assert!(bytes[bytes.len() - 512..].starts_with(b"EFI PART"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            let _ = Command::new("losetup").args(["--detach", device]).status();
        }
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[track_caller]
fn assert_done(out: &Output) {
    assert!(out.status.success(), "{}", said(out));
}

#[track_caller]
fn assert_refused(out: &Output, status: i32, words: &[&str]) {
    let said = said(out);
    assert_eq!(out.status.code(), Some(status), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no error in {said}"));
    for word in words {
        assert!(error.contains(word), "{word}: {said}");
    }
}

fn tools() -> bool {
    [("sfdisk", "-v"), ("sgdisk", "-V"), ("qemu-img", "-V")]
        .iter()
        .all(|(program, argument)| has(program, argument))
}

#[test]
fn every_form_of_an_image_is_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let raw = image(directory.path());
    let name = raw.to_str().unwrap();
    let qcow2 = directory.path().join("web.qcow2");
    let qcow2 = qcow2.to_str().unwrap();
    run("qemu-img", &["convert", "-c", "-O", "qcow2", name, qcow2]);
    let mut forms = vec![name.to_owned(), qcow2.to_owned()];
    for (program, end) in [("zstd", "zst"), ("xz", "xz"), ("gzip", "gz")] {
        if has(program, "--version") {
            run(program, &["-q", "-k", name]);
            forms.push(format!("{name}.{end}"));
        }
    }
    for form in forms {
        let disk = Disk::new(directory.path(), 40 * MIB);
        let out = disk.write(&[&form]).output().unwrap();
        assert_done(&out);
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), disk.path());
        disk.assert_holds(&raw);
    }
    let disk = Disk::new(directory.path(), 16 * MIB);
    let mut stream = disk.write(&["-"]);
    assert_done(&stream.stdin(File::open(&raw).unwrap()).output().unwrap());
    disk.assert_holds(&raw);
}

#[test]
fn the_last_partition_grows_to_the_end() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let raw = image(directory.path());
    let disk = Disk::new(directory.path(), 40 * MIB + 3 * 512);
    let out = disk
        .write(&["--grow", raw.to_str().unwrap()])
        .output()
        .unwrap();
    assert_done(&out);
    assert!(said(&out).contains("partition 2 has grown from 8.0 MiB to 34.0 MiB"));
    disk.assert_holds(&raw);
    let told = run("sfdisk", &["--dump", disk.path()]);
    assert!(
        told.contains("start=       10240, size=       69632"),
        "{told}"
    );
}

#[test]
fn a_digest_that_is_wrong_is_known_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let raw = image(directory.path());
    let name = raw.to_str().unwrap();
    let right = sha256(&fs::read(&raw).unwrap());
    let wrong = "0".repeat(64);
    let disk = Disk::new(directory.path(), 20 * MIB);
    let papers = [
        ("web.raw.sha256", format!("{wrong}  web.raw\n")),
        ("CHECKSUM", format!("SHA256 (web.raw) = {wrong}\n")),
        (
            "web.manifest.json",
            format!(r#"{{"image":{{"file":"web.raw","sha256":"{wrong}"}}}}"#),
        ),
    ];
    for (paper, text) in &papers {
        let paper = directory.path().join(paper);
        fs::write(&paper, text).unwrap();
        let out = disk.write(&[name]).output().unwrap();
        assert_refused(&out, 2, &[&right, &wrong, paper.to_str().unwrap()]);
        fs::remove_file(paper).unwrap();
    }
    let out = disk.write(&["--sha256", &wrong, name]).output().unwrap();
    assert_refused(&out, 2, &["--sha256"]);
    assert!(disk.bytes().iter().all(|byte| *byte == OLD));
    let paper = directory.path().join("web.raw.sha256");
    fs::write(paper, format!("{right}  web.raw\n")).unwrap();
    let out = disk.write(&[name]).output().unwrap();
    assert_done(&out);
    assert!(!said(&out).contains("nothing says"), "{}", said(&out));
}

#[test]
fn a_stream_that_is_wrong_or_cut_leaves_a_disk_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let raw = image(directory.path());
    let disk = Disk::new(directory.path(), 20 * MIB);
    let wrong = "0".repeat(64);
    let mut stream = disk.write(&["--sha256", &wrong, "-"]);
    let out = stream.stdin(File::open(&raw).unwrap()).output().unwrap();
    assert_refused(&out, 2, &[&wrong, "does not boot", "write it again"]);
    disk.assert_marked();
    let cut = directory.path().join("cut");
    fs::write(&cut, &fs::read(&raw).unwrap()[..9 * MIB]).unwrap();
    let mut stream = disk.write(&["-"]);
    let out = stream.stdin(File::open(&cut).unwrap()).output().unwrap();
    assert_refused(&out, 2, &["cut short", "9437184", "does not boot"]);
    disk.assert_marked();
    // Of a file that is seen before.
    let other = Disk::new(directory.path(), 20 * MIB);
    let out = other.write(&[cut.to_str().unwrap()]).output().unwrap();
    assert_refused(&out, 2, &["cut short"]);
    assert!(other.bytes().iter().all(|byte| *byte == OLD));
    if has("zstd", "--version") {
        run("zstd", &["-q", raw.to_str().unwrap()]);
        let packed = raw.with_extension("raw.zst");
        let whole = fs::read(&packed).unwrap();
        fs::write(&packed, &whole[..whole.len() - 100]).unwrap();
        let out = disk.write(&[packed.to_str().unwrap()]).output().unwrap();
        assert_refused(&out, 2, &["web.raw.zst", "does not boot"]);
        disk.assert_marked();
    }
}

/// Gives so much of an image to a write from standard input.
fn fed(disk: &Disk, image: &[u8], bytes: usize) -> Child {
    let mut child = disk
        .write(&["-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(&image[..bytes])
        .unwrap();
    child
}

#[test]
fn a_write_that_is_killed_leaves_no_disk_that_boots() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let raw = image(directory.path());
    let bytes = fs::read(&raw).unwrap();
    let mut marked = 0;
    // While it comes, each time after one MiB more of what is not only zeroes; and at its end.
    for point in 0..14_u64 {
        let disk = Disk::new(directory.path(), 20 * MIB);
        let all = point >= 7;
        let mut child = fed(
            &disk,
            &bytes,
            if all {
                bytes.len()
            } else {
                (2 + 2 * point as usize) * MIB
            },
        );
        match all {
            false => {
                while !disk.bytes()[27..].starts_with(MARK) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            true => {
                drop(child.stdin.take());
                std::thread::sleep(Duration::from_millis((point - 7) * 15));
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let now = disk.bytes();
        if now.iter().all(|byte| *byte == OLD) || now[512..].starts_with(b"EFI PART") {
            // Nothing was written yet, or all of it.
            assert!(all);
            if now[0] != OLD {
                disk.assert_holds(&raw);
            }
        } else if now[27..].starts_with(MARK) {
            marked += 1;
            let told = run("sfdisk", &["--dump", disk.path()]);
            assert!(!told.contains("start="), "{told}");
        } else {
            // Killed while the beginning was emptied: the end is empty already.
            assert!(now[now.len() - 512..].iter().all(|byte| *byte == 0));
        }
        // What a killed write left is in no later one's way.
        if point == 3 {
            assert_done(&disk.write(&[raw.to_str().unwrap()]).output().unwrap());
            disk.assert_holds(&raw);
        }
    }
    assert!(marked >= 7, "{marked}");
}

#[test]
fn an_interrupted_write_says_what_the_disk_is() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let bytes = fs::read(image(directory.path())).unwrap();
    for signal in ["INT", "TERM"] {
        let disk = Disk::new(directory.path(), 20 * MIB);
        let mut child = fed(&disk, &bytes, 8 * MIB);
        // Whoever feeds it goes on: an image that ends here would be cut short.
        let feeder = child.stdin.take();
        while !disk.bytes()[27..].starts_with(MARK) {
            std::thread::sleep(Duration::from_millis(5));
        }
        support::kill(signal, child.id());
        let out = child.wait_with_output().unwrap();
        drop(feeder);
        assert_refused(&out, 130, &["interrupted", disk.path(), "does not boot"]);
        disk.assert_marked();
    }
}

#[test]
fn an_image_comes_from_an_address_with_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() || !has("zstd", "--version") {
        return;
    }
    let raw = image(directory.path());
    run("zstd", &["-q", "-k", raw.to_str().unwrap()]);
    let packed = fs::read(raw.with_extension("raw.zst")).unwrap();
    let mirror = Mirror::start();
    mirror.put("/i/web.raw.zst", packed.clone());
    let checksum = format!("SHA256 (web.raw.zst) = {}\n", sha256(&packed));
    mirror.put("/i/CHECKSUM", checksum);
    let url = mirror.url("/i/web.raw.zst").to_string();
    let write = |disk: &Disk, url: &str| {
        let mut ozr = disk.write(&[url]);
        let home = directory.path().join("home");
        ozr.env("XDG_CACHE_HOME", &home).env("HOME", &home);
        ozr.output().unwrap()
    };
    let disk = Disk::new(directory.path(), 20 * MIB);
    let out = write(&disk, &url);
    assert_done(&out);
    assert!(!said(&out).contains("nothing says"), "{}", said(&out));
    disk.assert_holds(&raw);
    // Others' bytes under that name.
    let mut other = fs::read(&raw).unwrap();
    other[7 * MIB] ^= 1;
    mirror.put("/i/web.raw.zst", zstd::encode_all(&other[..], 1).unwrap());
    let out = write(&disk, &url);
    assert_refused(&out, 4, &["CHECKSUM", "does not boot"]);
    disk.assert_marked();
    let none = mirror.url("/i/none.raw").to_string();
    assert_refused(&write(&disk, &none), 4, &["none.raw"]);
}

#[test]
fn what_is_no_disk_or_too_small_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() {
        return;
    }
    let raw = image(directory.path());
    let name = raw.to_str().unwrap();
    let ozr = |arguments: &[&str]| {
        let mut ozr = Command::new(env!("CARGO_BIN_EXE_ozr"));
        ozr.arg("write").args(arguments).stdin(Stdio::null());
        ozr.output().unwrap()
    };
    let file = directory.path().join("file");
    fs::write(&file, vec![OLD; 10 * MIB]).unwrap();
    let file = file.to_str().unwrap();
    assert_refused(
        &ozr(&["--yes", name, file]),
        2,
        &["no block device", "--to-file"],
    );
    assert_refused(&ozr(&["--yes", name, "/dev/null"]), 2, &["no block device"]);
    assert_refused(&ozr(&["--yes", name, "/none"]), 2, &["/none"]);
    let small = ozr(&["--yes", "--to-file", name, file]);
    assert_refused(&small, 2, &["too small", "6291456 bytes too few"]);
    assert_refused(
        &ozr(&["--to-file", name, file]),
        2,
        &["no terminal", "--yes"],
    );
    assert_refused(&ozr(&["--yes", "--to-file", file, file]), 2, &["both"]);
    assert!(fs::read(file).unwrap().iter().all(|byte| *byte == OLD));
    // A stream tells its size by its partition table.
    let mut stream = Command::new(env!("CARGO_BIN_EXE_ozr"));
    stream.args(["write", "--yes", "--to-file", "-", file]);
    let out = stream.stdin(File::open(&raw).unwrap()).output().unwrap();
    assert_refused(&out, 2, &["too small", "6291456 bytes too few"]);
    assert!(fs::read(file).unwrap().iter().all(|byte| *byte == OLD));
    let vmdk = directory.path().join("a.vmdk");
    fs::write(&vmdk, [b"KDMV".as_slice(), &[0; 100]].concat()).unwrap();
    let out = ozr(&["--yes", "--to-file", vmdk.to_str().unwrap(), file]);
    assert_refused(&out, 2, &["vmdk", "qemu-img convert"]);
}

#[test]
fn disks_in_use_are_refused_by_who_uses_them() {
    let directory = tempfile::tempdir().unwrap();
    if !tools() || !support::is_root() {
        return;
    }
    let raw = image(directory.path());
    let name = raw.to_str().unwrap();
    let disk = Disk::new(directory.path(), 20 * MIB);
    let Some(device) = disk.device.clone() else {
        return;
    };
    let refused = |words: &[&str]| assert_refused(&disk.write(&[name]).output().unwrap(), 2, words);
    // Mounted.
    run("mkfs.ext4", &["-q", "-F", &device]);
    let at = directory.path().join("a b");
    fs::create_dir(&at).unwrap();
    let at = at.to_str().unwrap();
    if Command::new("mount")
        .args([&device, at])
        .status()
        .unwrap()
        .success()
    {
        refused(&[&device, "is mounted on", at, "umount"]);
        run("umount", &[at]);
    }
    // Swap space.
    run("mkswap", &[&device]);
    if Command::new("swapon")
        .arg(&device)
        .status()
        .unwrap()
        .success()
    {
        refused(&[&device, "swap space", "swapoff"]);
        run("swapoff", &[&device]);
    }
    // A part of another device, where the kernel has a mapper of devices.
    let mapper = fs::read_to_string("/proc/devices")
        .unwrap()
        .contains("device-mapper");
    let mapped = format!("ozr-test-{}", std::process::id());
    let table = format!("0 2048 linear {device} 0");
    let mut dmsetup = Command::new("dmsetup");
    dmsetup.args(["create", &mapped, "--table", &table]);
    if mapper && tried(&mut dmsetup) {
        refused(&[&device, &mapped, "dmsetup remove"]);
        run("dmsetup", &["remove", &mapped]);
    }
    // What a loop device is made of, which the kernel would let both be written.
    let looped = run("losetup", &["--find", "--show", &device]);
    let looped = looped.trim();
    refused(&[&device, looped, "losetup -d"]);
    run("losetup", &["--detach", looped]);
    // Open by somebody who wants to be alone.
    let flags = rustix::fs::OFlags::EXCL | rustix::fs::OFlags::RDWR;
    let held = rustix::fs::open(&device, flags, rustix::fs::Mode::empty()).unwrap();
    refused(&[&device, "is in use"]);
    drop(held);
    assert_done(&disk.write(&[name]).output().unwrap());
    drop(disk);
    // Read-only; of other sectors.
    let disk = Disk::with(directory.path(), 20 * MIB, &["--read-only"]);
    let out = disk.write(&[name]).output().unwrap();
    assert_refused(&out, 2, &["read-only", "--setrw"]);
    drop(disk);
    let disk = Disk::with(directory.path(), 20 * MIB, &["--sector-size", "4096"]);
    if disk.device.is_some() {
        let out = disk.write(&[name]).output().unwrap();
        assert_refused(&out, 2, &["512", "4096"]);
    }
}

/// The disk of this machine, with an image that is too large for any: should it not be refused for what
/// it is, it is for its size.
#[test]
fn the_disk_that_the_system_runs_on_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let source = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let dash = fields.iter().position(|field| *field == "-")?;
        (fields[4] == "/").then(|| fields[dash + 2].to_owned())
    });
    let Some(source) = source.filter(|source| Path::new(source).exists()) else {
        return;
    };
    let image = directory.path().join("huge.raw");
    File::create(&image).unwrap().set_len(1 << 43).unwrap();
    let mut ozr = Command::new(env!("CARGO_BIN_EXE_ozr"));
    ozr.args(["write", "--yes", image.to_str().unwrap(), &source]);
    let out = ozr.stdin(Stdio::null()).output().unwrap();
    // A partition is refused as such.
    let words: &[&str] = match said(&out).contains("is a partition") {
        true => &["name its disk"],
        false => &["this system runs on", "(/ is"],
    };
    assert_refused(&out, 2, words);
}
