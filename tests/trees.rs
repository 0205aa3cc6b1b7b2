//! Archives of the files of a system, unpacked by GNU tar and compared with what the kernel has of the same
//! file system (fixtures/trees/files), of which ozr had no part.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use crate::support;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const OZR: &str = env!("CARGO_BIN_EXE_ozr");

/// What GNU tar keeps everything with.
const EVERYTHING: [&str; 4] = ["--xattrs", "--xattrs-include=*", "--acls", "--selinux"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn succeeds(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Runs the script in a mount name space that ends with it.
fn files(arguments: &[&str]) -> String {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount").arg(fixture("trees/files"));
    succeeds(unshare.args(arguments))
}

fn convert(image: &Path, formats: &str, into: &Path) -> Output {
    let mut ozr = Command::new(OZR);
    ozr.arg("convert").arg(image).args(["--format", formats]);
    ozr.arg("--output-dir").arg(into).output().unwrap()
}

/// A disk of a file system, what the kernel says of it, and archives of it.
struct Site {
    dir: tempfile::TempDir,
    said: String,
}

impl Site {
    fn new(kind: &str, formats: &str) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.raw");
        let list = dir.path().join("list");
        let (image_text, list) = (image.to_str().unwrap(), list.to_str().unwrap());
        files(&["make", kind, image_text, list]);
        let made = convert(&image, formats, dir.path());
        let said = String::from_utf8(made.stderr).unwrap();
        assert!(made.status.success(), "{said}");
        Site { dir, said }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn list(&self, name: &str) -> Vec<String> {
        let bytes = std::fs::read(self.path(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    /// Compares the file system with what tar has unpacked; the mebibytes of files with holes.
    fn compare(&self, archive: &str) -> u64 {
        let (archive, list) = (self.path(archive), self.path("unpacked"));
        let mut arguments = vec!["unpack", &archive, &list];
        arguments.extend(EVERYTHING);
        let blocks = files(&arguments);
        let (expected, found) = (self.list("list"), self.list("unpacked"));
        for (line, expected) in found.iter().zip(&expected) {
            assert_eq!(line, expected);
        }
        assert_eq!(found.len(), expected.len());
        assert!(expected.len() > 400, "files, digests, attributes and ACLs");
        blocks.trim().parse().unwrap()
    }
}

fn everything_is_as_the_kernel_has_it(kind: &str) {
    if !support::is_root() {
        return;
    }
    let site = Site::new(kind, "rootfs");
    let mib = site.compare("disk.rootfs.tar.gz");
    // Of a thousand.
    assert!(mib < 60, "{mib} MiB");
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "disk.CHECKSUM"])
        .current_dir(site.dir.path())
        .output();
    assert!(sums.unwrap().status.success());
    // Twice the same.
    let again = tempfile::tempdir().unwrap();
    assert!(
        convert(&site.dir.path().join("disk.raw"), "rootfs", again.path())
            .status
            .success()
    );
    assert_eq!(
        std::fs::read(again.path().join("disk.rootfs.tar.gz")).unwrap(),
        std::fs::read(site.path("disk.rootfs.tar.gz")).unwrap()
    );
}

#[test]
fn every_file_of_an_ext4_is_as_the_kernel_has_it() {
    everything_is_as_the_kernel_has_it("ext4");
}

#[test]
fn every_file_of_an_xfs_is_as_the_kernel_has_it() {
    everything_is_as_the_kernel_has_it("xfs");
}

#[test]
fn every_file_of_a_btrfs_is_as_the_kernel_has_it() {
    everything_is_as_the_kernel_has_it("btrfs");
}

/// The type, mode, owner, size and name that tar lists for each member.
fn members(archive: &Path) -> BTreeMap<String, String> {
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--quoting-style=escape", "-tvf"]);
    let list = succeeds(tar.arg(archive).env("LC_ALL", "C"));
    let member = |line: &str| {
        let mut rest = line;
        let mut fields = Vec::new();
        for _ in 0..5 {
            let (field, more) = rest.trim_start().split_once(' ')?;
            fields.push(field);
            rest = more;
        }
        let name = rest.split(" -> ").next()?.split(" link to ").next()?;
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        Some((name, fields[..3].join(" ")))
    };
    list.lines().map(|line| member(line).unwrap()).collect()
}

/// File systems of several kinds at their places, as the fixture's script mounted them.
#[test]
fn file_systems_lie_together_as_fstab_says() {
    for name in ["lvm", "btrfs"] {
        let dir = tempfile::tempdir().unwrap();
        let image = fixture(&format!("disks/{name}.qcow2"));
        let made = convert(&image, "rootfs", dir.path());
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{said}");
        let members = members(&dir.path().join(format!("{name}.rootfs.tar.gz")));
        let list = std::fs::read(fixture(&format!("disks/{name}.list.zst"))).unwrap();
        let list = String::from_utf8(zstd::decode_all(list.as_slice()).unwrap()).unwrap();
        let mut seen = 0;
        for line in list.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [path, kind, mode, uid, gid, size] = fields[..6] else {
                panic!("{line}");
            };
            // Names that tar writes in its own way, and what cannot be read and need not be there.
            if path.contains(['\\', 'ä']) || path.starts_with("/srv/") {
                continue;
            }
            if path.contains("lost+found") || kind == "special" {
                continue;
            }
            let member = members.get(&format!(".{}", path.trim_end_matches('/')));
            let member = member.unwrap_or_else(|| panic!("{path} is missing"));
            let [modes, owner, length] = member.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{member}");
            };
            assert_eq!(owner, format!("{uid}/{gid}"), "{path}");
            let letter = match kind {
                "file" => ['-', 'h'],
                "directory" => ['d', 'd'],
                _ => ['l', 'l'],
            };
            assert!(modes.starts_with(letter), "{path}: {modes}");
            let bits = u32::from_str_radix(mode, 8).unwrap();
            assert_eq!(
                modes.chars().nth(1) == Some('r'),
                bits & 0o400 != 0,
                "{path}"
            );
            if modes.starts_with('-') {
                assert_eq!(length, size, "{path}");
            }
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
        if name == "lvm" {
            assert!(said.contains("note: /srv is left out"), "{said}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_leaves_nothing() {
    for (name, why) in [
        ("mbr", "/secret cannot be read"),
        ("killed", "was not unmounted"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = fixture(&format!("disks/{name}.qcow2"));
        let made = convert(&image, "qcow2,rootfs,liveimg", dir.path());
        assert_eq!(made.status.code(), Some(2), "{name}");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("--read-disk"), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// The kickstart has what the image has, is accepted by every installer, and its %pre finds the archive
/// and the disk.
#[test]
#[ignore = "long"]
fn the_kickstart_installs_the_archive() {
    if crate::support::is_left_out() {
        return;
    }
    if !support::is_root() {
        return;
    }
    let site = Site::new("ext4", "liveimg,rootfs");
    let archive = site.path("disk.liveimg.tar.gz");
    let kickstart = std::fs::read_to_string(site.path("disk.liveimg.ks")).unwrap();
    for line in [
        "lang de_DE.UTF-8",
        "keyboard de-nodeadkeys",
        "timezone Europe/Berlin --utc",
        "rootpw --iscrypted $6$salt$hash/of.it",
        "firewall --use-system-defaults",
        "reqpart --add-boot",
        "bootloader --boot-drive=$disk --append=\"console=ttyS0,115200 net.ifnames=0\"",
    ] {
        assert!(
            kickstart.lines().any(|there| there == line),
            "{line}\n{kickstart}"
        );
    }
    assert!(kickstart.contains("part / --fstype=ext4 "), "{kickstart}");
    let digest = succeeds(Command::new("sha256sum").arg(&archive));
    let digest = digest.split(' ').next().unwrap();
    assert!(kickstart.contains(&format!("--checksum={digest}\n")));
    let said = &site.said;
    assert!(said.contains("no boot loader for UEFI"), "{said}");
    for release in ["RHEL-7", "RHEL-8", "RHEL-9", "RHEL-10", "Fedora-42"] {
        let mut check = Command::new(OZR);
        check.args(["check", "--release", release]);
        succeeds(check.arg(site.path("disk.liveimg.ks")));
    }
    // The disk's own tables and the like are not in it; the names are those that anaconda leaves out by.
    let names = members(Path::new(&archive));
    for name in [".", "./boot/vmlinuz-5.14.0", "./etc/passwd", "./dev"] {
        assert!(names.contains_key(name), "{name}");
    }
    for name in ["./etc/fstab", "./kinds/socket"] {
        assert!(!names.contains_key(name), "{name}");
    }
    // Names on both sides of what is left out are whole files.
    assert!(members(Path::new(&site.path("disk.rootfs.tar.gz"))).contains_key("./etc/fstab"));
    finds_archive_and_disk(&site, &kickstart);
}

/// Runs %pre with a command line and disks of our own.
fn finds_archive_and_disk(site: &Site, kickstart: &str) {
    let (_, script) = kickstart.split_once("%pre --erroronfail\n").unwrap();
    let script = script.split_once("%end").unwrap().0;
    let top = site.path("machine");
    let needed = script.lines().next().unwrap().strip_prefix("needed_mib=");
    let needed: u64 = needed.unwrap().parse().unwrap();
    let run = |cmdline: &str, disks: &[(&str, u64, &str)]| {
        let _ = std::fs::remove_dir_all(&top);
        std::fs::create_dir_all(&top).unwrap();
        let write = |name: &str, text: &str| {
            let path = Path::new(&top).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/cmdline", cmdline);
        write(
            "proc/mounts",
            "/dev/sdz1 /run/install/repo iso9660 ro 0 0\n",
        );
        write("dev/console", "");
        write("tmp/x", "");
        for (name, mib, removable) in disks {
            write(&format!("sys/block/{name}/size"), &(mib * 2048).to_string());
            write(&format!("sys/block/{name}/removable"), removable);
            write(&format!("sys/block/{name}/ro"), "0");
        }
        let mut here = script.to_owned();
        for place in ["/proc/", "/sys/", "/dev/console", "/tmp/ozr"] {
            here = here.replace(&format!(" {place}"), &format!(" {top}{place}"));
        }
        let status = Command::new("bash").arg("-c").arg(&here).status().unwrap();
        let said = std::fs::read_to_string(Path::new(&top).join("dev/console")).unwrap();
        let made = std::fs::read_to_string(Path::new(&top).join("tmp/ozr-liveimg.ks"));
        (status.success(), made.unwrap_or(said))
    };
    let disks = [
        ("nvme0n1", 4 * needed, "0"),
        ("sda", needed + 1, "0"),
        ("sdb", needed - 1, "0"),
        ("sdc", needed + 1, "1"),
        ("sdz", needed, "0"),
        ("loop0", needed, "0"),
    ];
    let (done, made) = run("a inst.ks=http://h:8/d/my.ks?x quiet", &disks[1..]);
    assert!(done, "{made}");
    assert!(
        made.contains("liveimg --url=http://h:8/d/disk.liveimg.tar.gz "),
        "{made}"
    );
    assert!(made.contains("ignoredisk --only-use=sda\n"), "{made}");
    let (_, made) = run("ozr.image=file:///x.tar ozr.disk=/dev/vda", &disks);
    assert!(made.contains("--url=file:///x.tar "), "{made}");
    assert!(made.contains("--boot-drive=vda "), "{made}");
    for (cmdline, disks, why) in [
        ("quiet", &disks[..], "ozr.image=URL"),
        ("inst.ks=http://h/my.ks", &disks[2..], "no disk of"),
        ("inst.ks=http://h/my.ks", &disks[..], "nvme0n1 and sda have"),
    ] {
        let (done, said) = run(cmdline, disks);
        assert!(!done && said.contains(why), "{said}");
    }
}

#[test]
fn a_distribution_for_wsl_has_what_it_needs_and_no_more() {
    if !support::is_root() {
        return;
    }
    let site = Site::new("xfs", "wsl");
    let archive = site.path("disk.wsl");
    let names = members(Path::new(&archive));
    // What WSL's page says of each.
    for (name, modes, owner) in [
        ("etc/wsl.conf", "-rw-r--r--", "0/0"),
        ("etc/wsl-distribution.conf", "-rw-r--r--", "0/0"),
        ("usr/libexec/wsl-first-start", "-rwxr-xr-x", "0/0"),
        ("etc/systemd/system/tmp.mount", "lrwxrwxrwx", "0/0"),
        (
            "etc/systemd/user/systemd-tmpfiles-setup.service",
            "lrwxrwxrwx",
            "0/0",
        ),
        // The image's own stays.
        (
            "etc/systemd/system/NetworkManager.service",
            "-rw-r--r--",
            "0/0",
        ),
        ("etc/shadow", "----------", "0/0"),
        ("boot", "drwxr-xr-x", "0/0"),
    ] {
        let member = names
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        assert!(
            member.starts_with(&format!("{modes} {owner} ")),
            "{name}: {member}"
        );
    }
    for name in [
        "etc/fstab",
        "etc/resolv.conf",
        "boot/vmlinuz-5.14.0",
        "usr/lib/modules/5.14.0",
        "./etc",
        "etc/systemd/system/systemd-resolved.service",
    ] {
        assert!(!names.contains_key(name), "{name}");
    }
    let text =
        |name: &str| succeeds(Command::new("tar").args(["-xOf", &archive, "--no-wildcards", name]));
    assert_eq!(
        text("etc/shadow"),
        "root:*:19000:0:99999:7:::\nbin:*:19000::::::\n"
    );
    assert_eq!(
        text("etc/wsl-distribution.conf"),
        "[oobe]\ncommand = /usr/libexec/wsl-first-start\ndefaultUid = 1000\ndefaultName = disk\n"
    );
    assert_eq!(text("etc/wsl.conf"), "[boot]\nsystemd=true\n");
    let first_start = site.path("first-start");
    std::fs::write(&first_start, text("usr/libexec/wsl-first-start")).unwrap();
    succeeds(Command::new("sh").args(["-n", &first_start]));
    // What WSL's own list is looked at for is right; the disk's system has no programs.
    let verified = Command::new(env!("CARGO_BIN_EXE_ozr"))
        .args(["verify", "--for", "wsl", &archive])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{said}");
    let of_programs = ["/bin/bash", "/bin/sh", "/sbin/init"];
    let mut warnings = said.lines().filter(|line| line.starts_with("warning"));
    assert!(
        warnings.all(|line| of_programs.iter().any(|program| line.contains(program))),
        "{said}"
    );
    // The whole of it is one gzip member.
    succeeds(Command::new("gzip").args(["--test", "--suffix", ".wsl", &archive]));
}

#[test]
#[ignore = "long"]
fn a_container_image_is_unpacked_by_others() {
    if crate::support::is_left_out() {
        return;
    }
    if !support::is_root() {
        return;
    }
    let site = Site::new("btrfs", "oci,rootfs");
    let archive = format!("oci-archive:{}", site.path("disk.oci.tar"));
    let inspected = succeeds(Command::new("skopeo").args(["inspect", "--config", &archive]));
    let config: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "9.4");
    assert_eq!(labels["org.opencontainers.image.title"], "disk");
    assert_eq!(config["config"]["Cmd"][0], "/bin/bash");
    assert!(config["history"][0]["comment"].is_string());
    let directory = site.path("layout");
    succeeds(Command::new("skopeo").args([
        "copy",
        "--quiet",
        &archive,
        &format!("oci:{directory}:tag"),
    ]));
    // umoci compares digests of what is packed and of what is in it.
    let bundle = site.path("bundle");
    let image = format!("{directory}:tag");
    succeeds(Command::new("umoci").args(["unpack", "--image", &image, &bundle]));
    let sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let mut shell = Command::new("sh");
    shell.args(["-c", sums]).env("LC_ALL", "C");
    let found = succeeds(shell.current_dir(Path::new(&bundle).join("rootfs")));
    let left_out = [
        "./boot/",
        "./usr/lib/modules/",
        "./etc/fstab",
        "./etc/resolv.conf",
    ];
    let list = site.list("list");
    let files = list.iter().filter(|line| {
        let digest = line.split("  ./").next().unwrap_or_default();
        digest.trim_start_matches('\\').len() == 64
            && !left_out.iter().any(|name| line.contains(name))
    });
    let files: Vec<&String> = files.collect();
    assert!(files.len() > 30, "{}", files.len());
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found, files);
    let capability = Command::new("getfattr")
        .args(["--only-values", "-n", "security.capability"])
        .arg(Path::new(&bundle).join("rootfs/attributes/caps"))
        .output()
        .unwrap();
    assert!(capability.stdout.starts_with(&[1, 0, 0, 2]));
}

/// File systems that no kernel would have made: names that would be other paths, a directory that leads back
/// to itself, a file that says it has a terabyte.
#[test]
fn a_hostile_file_system_ends_with_an_error() {
    type Harm = (&'static str, fn(&Path), &'static str);
    let harms: [Harm; 3] = [
        (
            "a name",
            |image| {
                let mut bytes = std::fs::read(image).unwrap();
                let name = b"a-name-XXX-that-is-none";
                let at = bytes.windows(name.len()).position(|at| at == name);
                bytes[at.unwrap() + 7..][..3].copy_from_slice(b"../");
                std::fs::write(image, bytes).unwrap();
            },
            "is no name of a file",
        ),
        (
            "a loop",
            |image| debugfs(image, "link /names /names/below/loop"),
            "leads back to itself",
        ),
        (
            "a size",
            |image| {
                debugfs(
                    image,
                    "set_inode_field /usr/lib/os-release size 1099511627776",
                )
            },
            "holes of more than",
        ),
    ];
    for (what, harm, why) in harms {
        let dir = tempfile::tempdir().unwrap();
        let (top, image) = (dir.path().join("top"), dir.path().join("disk.raw"));
        for directory in ["etc", "usr/lib", "names/below"] {
            std::fs::create_dir_all(top.join(directory)).unwrap();
        }
        for (file, text) in [
            ("etc/fstab", "/dev/vda / ext4 defaults 0 0\n"),
            ("usr/lib/os-release", "ID=rocky\n"),
            ("names/a-name-XXX-that-is-none", "x\n"),
        ] {
            std::fs::write(top.join(file), text).unwrap();
        }
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-O", "^metadata_csum", "-d"]);
        succeeds(mke2fs.args([&top, &image]).arg("16M"));
        let out = dir.path().join("out");
        assert!(convert(&image, "rootfs", &out).status.success(), "{what}");
        std::fs::remove_dir_all(&out).unwrap();
        harm(&image);
        let made = convert(&image, "rootfs,oci", &out);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(said.contains(why), "{what}: {said}");
        assert_eq!(made.status.code(), Some(2), "{what}");
        let left = std::fs::read_dir(&out).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{what}");
    }
}

fn debugfs(image: &Path, request: &str) {
    let mut debugfs = Command::new("/usr/sbin/debugfs");
    succeeds(debugfs.args(["-w", "-R", request]).arg(image));
}
