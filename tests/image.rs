//! Images, with the real `qemu-img`.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ozr::distro::Arch;
use ozr::error::{Kind, kind_of};
use ozr::formats::hardware::Hardware;
use ozr::formats::make::{self, Order, Original};
use ozr::image::output::OutputPaths;
use ozr::image::set::From;
use ozr::image::{disk, installed, qemu_img};
use ozr::machine::{DiskFormat, Firmware};
use ozr::options::{Compress, Format};
use ozr::state::OwnedDir;
use ozr::state::work_dir::WorkDir;

const MIB: u64 = 1 << 20;

/// The size of the guest's disk.
const SIZE: u64 = 200 * MIB;

/// Runs a program and returns what it said; it must succeed.
fn run(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{errors}"
    );
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes what a guest would have written: some data here and there, some zeroes.
fn write_as_a_guest(disk: &Path) {
    for command in [
        "write -P 0x5a 0 3M",
        "write -P 0xa5 100M 2M",
        "write -z 150M 4M",
    ] {
        run(
            "qemu-io",
            &["-f", "qcow2", "-c", command, text(disk)],
            Path::new("."),
        );
    }
}

/// The program that reads disks.
const OZR: &str = env!("CARGO_BIN_EXE_ozr");

struct Build {
    work: WorkDir,
    disk: fs::File,
}

/// What is to become of a build's disk.
struct Target {
    paths: OutputPaths,
    format: Format,
    compress: Compress,
    force: bool,
}

impl Build {
    async fn new(output: &Path) -> Self {
        let work = WorkDir::take(output, "image", "test").unwrap();
        let disk = disk::create(work.dir(), &[SIZE], true).await.unwrap();
        let disk = disk.into_iter().next().unwrap();
        write_as_a_guest(&work.join(&disk::name(0)));
        work.dir()
            .replace("console.log", b"a line of the console\n")
            .unwrap();
        work.dir().replace("kickstart.ks", b"poweroff\n").unwrap();
        Build { work, disk }
    }

    /// The path of the disk.
    fn path(&self) -> PathBuf {
        self.work.join(&disk::name(0))
    }

    async fn finish(&self, target: &Target) -> anyhow::Result<PathBuf> {
        let own = Some(disk::name(0));
        let original = Original::open(self.disk.try_clone()?, DiskFormat::Qcow2, own).await?;
        let order = Order {
            formats: vec![target.format],
            compress: target.compress,
            name: "image".to_owned(),
            devices: vec!["vda".to_owned()],
            file: target.paths.image_name(),
            hardware: Hardware {
                release: None,
                arch: Arch::X86_64,
                firmware: Firmware::Bios,
                vcpus: 1,
                memory_mib: 1024,
            },
        };
        let work = self.work.dir();
        let conversion = make::make(work, vec![original], &order).await?;
        let manifest = format!("{{\"sha256\": \"{}\"}}\n", conversion.files[0].sha256);
        let paths = &target.paths;
        let beside: [(From<'_>, &Path); 4] = [
            (From::Text("<domain/>\n"), &paths.xml),
            (From::File("console.log"), &paths.console_log),
            (From::File("kickstart.ks"), &paths.kickstart),
            (From::Text(&manifest), &paths.manifest),
        ];
        let checksums = conversion.checksums(paths);
        conversion.publish(work, paths, &beside, &checksums, target.force)?;
        Ok(target.paths.image.clone())
    }
}

fn target(output: &Path, format: Format, compress: Compress, force: bool) -> Target {
    Target {
        paths: OutputPaths::new(Some(output), "image", &[format], None, None).unwrap(),
        format,
        compress,
        force,
    }
}

/// The directory's files with their inodes and contents' lengths.
fn listing(directory: &Path) -> Vec<(String, u64, u64)> {
    let mut all: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, metadata.ino(), metadata.len())
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn every_format_holds_the_guests_disk_and_its_checksum_verifies() {
    for (format, compression) in [
        (Format::Qcow2, Compress::None),
        (Format::Qcow2, Compress::Zstd),
        (Format::Qcow2, Compress::Zlib),
        (Format::Raw, Compress::None),
    ] {
        let output = tempfile::tempdir().unwrap();
        let build = Build::new(output.path()).await;
        let reference = output.path().join("reference.qcow2");
        fs::copy(build.path(), &reference).unwrap();
        let disk_inode = build.disk.metadata().unwrap().ino();

        let target = target(output.path(), format, compression, false);
        let image = build.finish(&target).await.unwrap();
        drop(build);
        assert_eq!(
            image,
            output.path().join(format!("image.{}", format.name()))
        );

        run(
            "qemu-img",
            &[
                "compare",
                "-f",
                "qcow2",
                "-F",
                format.name(),
                text(&reference),
                text(&image),
            ],
            output.path(),
        );
        let driver = match format {
            Format::Raw => DiskFormat::Raw,
            _ => DiskFormat::Qcow2,
        };
        let file = fs::File::open(&image).unwrap();
        let info = qemu_img::info(&file, driver).await.unwrap();
        assert!(info.is_standalone());
        assert_eq!(info.virtual_size, SIZE);
        let metadata = fs::metadata(&image).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(metadata.blocks() * 512 < 16 * MIB, "{format:?} is not thin");
        match (format, compression) {
            (Format::Raw, _) => assert_eq!(metadata.len(), SIZE),
            (Format::Qcow2, Compress::None) => {
                assert_eq!(metadata.ino(), disk_inode, "renamed, not copied");
            }
            (_, compression) => {
                run(
                    "qemu-img",
                    &["check", "-q", "-f", "qcow2", text(&image)],
                    output.path(),
                );
                assert!(
                    metadata.len() < 2 * MIB,
                    "not compressed: {}",
                    metadata.len()
                );
                let details = info.format_specific.unwrap().data;
                assert_eq!(
                    details.compression_type.as_deref(),
                    Some(compression.name())
                );
            }
        }
        fs::remove_file(reference).unwrap();
        run("sha256sum", &["-c", "image.CHECKSUM"], output.path());
        let names: Vec<String> = listing(output.path()).into_iter().map(|f| f.0).collect();
        let mut expected = vec![
            "image.CHECKSUM".to_owned(),
            "image.console.log".to_owned(),
            "image.manifest.json".to_owned(),
            "image.served.ks".to_owned(),
            "image.xml".to_owned(),
        ];
        expected.extend(
            format
                .endings()
                .iter()
                .map(|ending| format!("image.{ending}")),
        );
        expected.sort();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn an_image_is_replaced_only_by_force() {
    let output = tempfile::tempdir().unwrap();
    let first = target(output.path(), Format::Qcow2, Compress::None, false);
    Build::new(output.path())
        .await
        .finish(&first)
        .await
        .unwrap();
    let before = listing(output.path());

    let build = Build::new(output.path()).await;
    let error = build.finish(&first).await.unwrap_err();
    assert_eq!(kind_of(&error), Some(Kind::Input));
    drop(build);
    assert_eq!(listing(output.path()), before, "{error}");

    let forced = target(output.path(), Format::Qcow2, Compress::Zstd, true);
    Build::new(output.path())
        .await
        .finish(&forced)
        .await
        .unwrap();
    run("sha256sum", &["-c", "image.CHECKSUM"], output.path());
    let after = listing(output.path());
    assert_eq!(after.len(), before.len());
    assert!(
        before.iter().zip(&after).all(|(old, new)| old.1 != new.1),
        "all are new"
    );
}

#[tokio::test]
async fn a_build_that_is_dropped_in_the_middle_leaves_the_old_set_alone() {
    let output = tempfile::tempdir().unwrap();
    let target = target(output.path(), Format::Qcow2, Compress::Zlib, true);
    Build::new(output.path())
        .await
        .finish(&target)
        .await
        .unwrap();
    let before = listing(output.path());

    let build = Build::new(output.path()).await;
    // Enough that compressing it takes a while, of bytes that do not compress.
    let random = output.path().join(".random");
    run(
        "dd",
        &[
            "if=/dev/urandom",
            "of=.random",
            "bs=1M",
            "count=128",
            "status=none",
        ],
        output.path(),
    );
    run(
        "qemu-img",
        &[
            "convert",
            "-n",
            "-f",
            "raw",
            "-O",
            "qcow2",
            text(&random),
            text(&build.path()),
        ],
        output.path(),
    );
    fs::remove_file(&random).unwrap();
    let partial = build.work.path().join("new.qcow2");
    {
        let mut finishing = Box::pin(build.finish(&target));
        loop {
            tokio::select! {
                biased;
                done = &mut finishing => panic!("finished before it was interrupted: {done:?}"),
                () = tokio::task::yield_now() => {}
            }
            if fs::metadata(&partial).is_ok_and(|file| file.len() > MIB) {
                break;
            }
        }
    }
    drop(build);
    assert_eq!(listing(output.path()), before);
    run("sha256sum", &["-c", "image.CHECKSUM"], output.path());
}

#[tokio::test]
async fn a_disk_that_stands_on_another_is_no_image() {
    let output = tempfile::tempdir().unwrap();
    let build = Build::new(output.path()).await;
    let base = output.path().join("base.qcow2");
    let out = OwnedDir::open(output.path()).unwrap();
    let created = qemu_img::create(&out, "base.qcow2", SIZE).await;
    created.unwrap();
    run(
        "qemu-img",
        &[
            "rebase",
            "-u",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            text(&base),
            text(&build.path()),
        ],
        output.path(),
    );
    let target = target(output.path(), Format::Qcow2, Compress::None, false);
    let error = build.finish(&target).await.unwrap_err();
    assert!(error.to_string().contains("needs another file"), "{error}");
    assert!(!target.paths.image.exists());
}

#[tokio::test]
async fn a_failing_qemu_img_is_quoted() {
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("none.qcow2");
    fs::write(&path, "no image").unwrap();
    let info = qemu_img::info(&fs::File::open(&path).unwrap(), DiskFormat::Qcow2).await;
    let error = info.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("qemu-img info --output=json -f qcow2"),
        "{error}"
    );
    assert!(error.contains("not in qcow2 format"), "{error}");
}

/// Writes a partition table of an empty partition and one that begins at 4 MiB.
fn write_table(disk: &Path, gpt: bool) {
    use std::os::unix::fs::FileExt;

    let disk = fs::File::options().write(true).open(disk).unwrap();
    let put = |at: u64, bytes: &[u8]| disk.write_all_at(bytes, at).unwrap();
    // Where they begin, and how long they are, in sectors.
    let partitions = [(2048_u64, 6144_u64), (8192, 114_688)];
    put(510, &[0x55, 0xaa]);
    if !gpt {
        for (at, (start, size)) in [446, 462].into_iter().zip(partitions) {
            put(at + 4, &[0x83]);
            put(at + 8, &(start as u32).to_le_bytes());
            put(at + 12, &(size as u32).to_le_bytes());
        }
        return;
    }
    put(446 + 4, &[0xee]);
    put(446 + 8, &1_u32.to_le_bytes());
    let sum = |bytes: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum().to_le_bytes()
    };
    let mut entries = [0; 128 * 128];
    for (entry, (start, size)) in entries.chunks_mut(128).zip(partitions) {
        entry[..16].fill(0xaf);
        entry[32..40].copy_from_slice(&start.to_le_bytes());
        entry[40..48].copy_from_slice(&(start + size - 1).to_le_bytes());
    }
    put(1024, &entries);
    let mut header = [0; 92];
    header[..8].copy_from_slice(b"EFI PART");
    header[12] = 92;
    header[72] = 2;
    header[80] = 128;
    header[84] = 128;
    header[88..].copy_from_slice(&sum(&entries));
    let sum = sum(&header);
    header[16..20].copy_from_slice(&sum);
    put(512, &header);
}

/// A qcow2 image of a raw disk.
fn as_qcow2(raw: &Path) -> fs::File {
    let qcow2 = raw.with_extension("qcow2");
    run(
        "qemu-img",
        &["convert", "-O", "qcow2", text(raw), text(&qcow2)],
        Path::new("/"),
    );
    fs::File::open(qcow2).unwrap()
}

/// Somebody moves the work directory away, and puts one of his own there.
#[tokio::test]
async fn a_work_directory_that_was_exchanged_is_not_published() {
    let output = tempfile::tempdir().unwrap();
    for (format, compress) in [
        (Format::Qcow2, Compress::None),
        (Format::Qcow2, Compress::Zstd),
    ] {
        let build = Build::new(output.path()).await;
        let (path, moved) = (build.work.path().to_owned(), output.path().join("moved"));
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        for name in ["disk.qcow2", "image.qcow2", "console.log", "kickstart.ks"] {
            fs::write(path.join(name), "evil").unwrap();
        }
        let target = target(output.path(), format, compress, true);
        let image = build.finish(&target).await.unwrap();
        run(
            "qemu-img",
            &["check", "-q", "-f", "qcow2", text(&image)],
            output.path(),
        );
        let log = fs::read_to_string(&target.paths.console_log).unwrap();
        assert_eq!(log, "a line of the console\n");
        drop(build);
        // Nothing in what is not ours was removed either.
        assert!(path.join("disk.qcow2").exists());
        fs::remove_dir_all(&path).unwrap();
        fs::remove_dir_all(&moved).unwrap();
    }
}

/// A guest that finished, and a disk without anything in it.
#[tokio::test]
async fn a_disk_without_contents_is_told_from_one_that_holds_something() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("disk.raw");
    let used = async || {
        let disk = as_qcow2(&raw);
        installed::has_contents(Path::new(OZR), std::slice::from_ref(&disk))
            .await
            .unwrap()
    };
    fs::File::create(&raw).unwrap().set_len(64 * MIB).unwrap();
    assert!(!used().await, "nothing at all");
    for table in ["gpt", "mbr"] {
        write_table(&raw, table == "gpt");
        assert!(!used().await, "{table}: only a table");
    }
    mkfs(&raw);
    assert!(used().await, "a partition with a file system");
    run(
        "mke2fs",
        &["-q", "-F", "-t", "ext2", text(&raw)],
        dir.path(),
    );
    assert!(used().await, "a file system without a table");
}

/// A superblock that makes its reader ask for more memory than there is.
#[tokio::test]
async fn a_hostile_file_system_costs_a_process_that_nobody_needs() {
    use std::os::unix::fs::FileExt;

    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("disk.raw");
    fs::File::create(&raw).unwrap().set_len(64 * MIB).unwrap();
    write_table(&raw, false);
    mkfs(&raw);
    let disk = fs::File::options().write(true).open(&raw).unwrap();
    let superblock = 4 * MIB + 1024;
    // 2^32 blocks in groups of one: the file system's features say that checksums need not fit.
    for (at, bytes) in [
        (0x04, &[0xff; 4][..]),
        (0x20, &[1, 0, 0, 0]),
        (0x64, &[0; 4]),
    ] {
        disk.write_all_at(bytes, superblock + at).unwrap();
    }
    let disk = as_qcow2(&raw);
    let error = installed::logs(Path::new(OZR), std::slice::from_ref(&disk), &[])
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("was killed by signal"),
        "{error:#}"
    );
    assert!(
        installed::has_contents(Path::new(OZR), std::slice::from_ref(&disk))
            .await
            .unwrap()
    );
}

/// Makes an ext4 file system of the directory `root` beside the disk, if there is one, in the second
/// partition.
fn mkfs(raw: &Path) {
    let dir = raw.parent().unwrap();
    let mut arguments = vec!["-q", "-F", "-t", "ext4", "-E", "offset=4194304"];
    if dir.join("root").exists() {
        arguments.extend(["-d", "root"]);
    }
    arguments.extend([text(raw), "57344k"]);
    run("mke2fs", &arguments, dir);
}

/// A disk as an installer leaves it: a partition table, an empty partition, a system.
#[tokio::test]
async fn the_installers_logs_are_read_from_the_disk() {
    for table in ["gpt", "mbr"] {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("root/var/log/anaconda");
        fs::create_dir_all(&logs).unwrap();
        fs::write(logs.join("anaconda.log"), "what happened\n").unwrap();
        fs::write(logs.join("storage.log"), vec![b'x'; 3 << 20]).unwrap();
        fs::write(logs.join("no name"), "").unwrap();
        std::os::unix::fs::symlink("/etc/shadow", logs.join("link.log")).unwrap();
        let raw = dir.path().join("disk.raw");
        fs::File::create(&raw).unwrap().set_len(64 * MIB).unwrap();
        mkfs(&raw);
        write_table(&raw, table == "gpt");
        let disk = as_qcow2(&raw);
        let mut found = installed::logs(Path::new(OZR), std::slice::from_ref(&disk), &[])
            .await
            .unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<&str> = found.iter().map(|log| log.name.as_str()).collect();
        assert_eq!(names, ["anaconda.log", "storage.log"], "{table}");
        assert_eq!(found[0].content, b"what happened\n");
        assert!(found[1].content == vec![b'x'; 3 << 20]);
    }
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.raw");
    fs::File::create(&empty).unwrap().set_len(64 * MIB).unwrap();
    let logs = installed::logs(Path::new(OZR), &[as_qcow2(&empty)], &[]).await;
    assert_eq!(logs.unwrap(), []);
    let null = fs::File::open("/dev/null").unwrap();
    installed::logs(Path::new(OZR), &[null], &[])
        .await
        .unwrap_err();
}
