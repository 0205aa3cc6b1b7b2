//! Images, with the real `qemu-img`.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ozr::error::{Kind, kind_of};
use ozr::image::finalize::{self, Sidecars};
use ozr::image::output::OutputPaths;
use ozr::image::{disk, installed, qemu_img};
use ozr::options::{Compress, Format};
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

struct Build {
    work: WorkDir,
    disk: PathBuf,
    console_log: PathBuf,
    kickstart: PathBuf,
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
        let disk = work.join("disk.qcow2");
        disk::create(&disk, SIZE).await.unwrap();
        write_as_a_guest(&disk);
        let console_log = work.join("console.log");
        fs::write(&console_log, "a line of the console\n").unwrap();
        let kickstart = work.join("kickstart.ks");
        fs::write(&kickstart, "poweroff\n").unwrap();
        Build {
            work,
            disk,
            console_log,
            kickstart,
        }
    }

    async fn finish(&self, target: &Target) -> anyhow::Result<PathBuf> {
        let image =
            finalize::finish(self.work.path(), &self.disk, target.format, target.compress).await?;
        let manifest = format!("{{\"sha256\": \"{}\"}}\n", image.sha256);
        let company = Sidecars {
            manifest: &manifest,
            domain_xml: "<domain/>\n",
            console_log: &self.console_log,
            kickstart: &self.kickstart,
        };
        image.publish(&target.paths, &company, target.force)?;
        Ok(target.paths.image.clone())
    }
}

fn target(output: &Path, format: Format, compress: Compress, force: bool) -> Target {
    Target {
        paths: OutputPaths::new(Some(output), "image", format.name(), None, None).unwrap(),
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
        fs::copy(&build.disk, &reference).unwrap();
        let disk_inode = fs::metadata(&build.disk).unwrap().ino();

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
        let info = qemu_img::info(&image, format).await.unwrap();
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
            (Format::Qcow2, compression) => {
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
        let sums = format!("image.{}.sha256", format.name());
        let verified = run("sha256sum", &["-c", &sums], output.path());
        assert_eq!(verified, format!("image.{}: OK\n", format.name()));
        let names: Vec<String> = listing(output.path()).into_iter().map(|f| f.0).collect();
        assert_eq!(
            names,
            [
                "image.console.log".to_owned(),
                "image.manifest.json".to_owned(),
                format!("image.{}", format.name()),
                sums,
                "image.served.ks".to_owned(),
                "image.xml".to_owned(),
            ]
        );
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
    run("sha256sum", &["-c", "image.qcow2.sha256"], output.path());
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
            text(&build.disk),
        ],
        output.path(),
    );
    fs::remove_file(&random).unwrap();
    let partial = build.work.path().join("image.qcow2");
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
    run("sha256sum", &["-c", "image.qcow2.sha256"], output.path());
}

#[tokio::test]
async fn a_disk_that_stands_on_another_is_no_image() {
    let output = tempfile::tempdir().unwrap();
    let build = Build::new(output.path()).await;
    let base = output.path().join("base.qcow2");
    qemu_img::create(&base, Format::Qcow2, SIZE).await.unwrap();
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
            text(&build.disk),
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
    let missing = output.path().join("missing.qcow2");
    let error = qemu_img::info(&missing, Format::Qcow2).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("qemu-img info --output=json -f qcow2"),
        "{error}"
    );
    assert!(error.contains("No such file or directory"), "{error}");
}

/// Writes a partition table of an empty partition and one that begins at 4 MiB.
fn write_table(disk: &Path, gpt: bool) {
    use std::os::unix::fs::FileExt;

    let disk = fs::File::options().write(true).open(disk).unwrap();
    let put = |at: u64, bytes: &[u8]| disk.write_all_at(bytes, at).unwrap();
    put(510, &[0x55, 0xaa]);
    if !gpt {
        for (entry, start) in [2048_u32, 8192].into_iter().enumerate() {
            let at = 446 + 16 * entry as u64;
            put(at + 4, &[0x83]);
            put(at + 8, &start.to_le_bytes());
        }
        return;
    }
    put(446 + 4, &[0xee]);
    put(446 + 8, &1_u32.to_le_bytes());
    put(512, b"EFI PART");
    put(512 + 72, &2_u64.to_le_bytes());
    put(512 + 80, &128_u32.to_le_bytes());
    put(512 + 84, &128_u32.to_le_bytes());
    for (entry, start) in [2048_u64, 8192].into_iter().enumerate() {
        let at = 1024 + 128 * entry as u64;
        put(at, &[0xaf; 16]);
        put(at + 32, &start.to_le_bytes());
    }
}

/// A disk as an installer leaves it: a partition table, an empty partition, a system.
#[test]
fn the_installers_logs_are_read_from_the_disk() {
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
        let options = [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-E",
            "offset=4194304",
            "-d",
            "root",
        ];
        let mut arguments = options.to_vec();
        arguments.extend(["disk.raw", "57344k"]);
        run("mke2fs", &arguments, dir.path());
        write_table(&raw, table == "gpt");
        let convert = ["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"];
        run("qemu-img", &convert, dir.path());
        let mut found = installed::logs(&dir.path().join("disk.qcow2")).unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<&str> = found.iter().map(|log| log.name.as_str()).collect();
        assert_eq!(names, ["anaconda.log", "storage.log"], "{table}");
        assert_eq!(found[0].content, b"what happened\n");
        assert!(found[1].content == vec![b'x'; 3 << 20]);
    }
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.qcow2");
    run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", text(&empty), "64M"],
        dir.path(),
    );
    assert_eq!(installed::logs(&empty).unwrap(), []);
    assert!(installed::logs(Path::new("/dev/null")).is_err());
}
