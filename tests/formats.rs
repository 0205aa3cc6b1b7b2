//! The formats, each read by somebody else's reader and compared with the disk that it was made of.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::importers::TAKEN;

const MIB: u64 = 1 << 20;

/// The size of the disk: no whole MiB, so that what is rounded up is seen.
const SIZE: u64 = 200 * MIB + 3 * 512;

/// The program.
const OZR: &str = env!("CARGO_BIN_EXE_ozr");

/// All that `--format` takes.
const ALL: &str = "qcow2,raw,raw.zst,raw.xz,azure,gcp,aws,vmdk,ova,ovirt,vagrant-libvirt,vagrant-virtualbox,vagrant-vmware,vagrant-hyperv,containerdisk";

/// A directory with a plain disk `disk.raw`.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let site = Site {
            dir: tempfile::tempdir().unwrap(),
        };
        let disk = fs::File::create(site.path("disk.raw")).unwrap();
        disk.set_len(SIZE).unwrap();
        // Text that packs, bytes that do not, a block of them alone, and the disk's very end.
        let text = "the quick brown fox jumps over the lazy dog\n".repeat(50_000);
        disk.write_all_at(text.as_bytes(), 3 * MIB + 4096).unwrap();
        let mut state = 7_u64;
        let noise: Vec<u8> = (0..3 * MIB)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        disk.write_all_at(&noise, 64 * MIB - 512).unwrap();
        disk.write_all_at(b"alone", 150 * MIB + 70_000).unwrap();
        disk.write_all_at(b"end", SIZE - 3).unwrap();
        write_table(&disk);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.dir.path())
            .output();
        output.unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Runs a program that must succeed; what it said.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {said}{errors}"
        );
        said
    }

    /// Runs a line of shell, which must succeed; what it said.
    fn shell(&self, line: &str) -> String {
        self.run("bash", &["-euo", "pipefail", "-c", line])
    }

    fn convert(&self, arguments: &[&str]) -> String {
        self.run(OZR, &[&["convert"], arguments].concat())
    }

    /// The disk in this image is ours; it may be longer by zeroes.
    fn assert_same(&self, format: &str, image: &str) {
        let compare = ["compare", "-f", "raw", "-F", format, "disk.raw", image];
        self.run("qemu-img", &compare);
    }

    /// What `qemu-img info` says of an image.
    fn info(&self, format: &str, image: &str) -> serde_json::Value {
        let said = self.run("qemu-img", &["info", "--output=json", "-f", format, image]);
        serde_json::from_str(&said).unwrap()
    }

    /// Unpacks an archive into a new directory.
    fn unpack(&self, archive: &str) -> String {
        let into = format!("{archive}.d");
        fs::create_dir(self.path(&into)).unwrap();
        self.run("tar", &["-xf", archive, "-C", &into]);
        into
    }

    /// The names in an archive, in their order.
    fn names(&self, archive: &str) -> Vec<String> {
        let names = self.run("tar", &["-tf", archive]);
        names.lines().map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }
}

/// A GPT with a BIOS boot partition and an EFI system partition, and boot code.
fn write_table(disk: &fs::File) {
    let mut start = vec![0_u8; 34 * 512];
    start[0] = 0xeb;
    start[446 + 4] = 0xee;
    start[510..512].copy_from_slice(&[0x55, 0xaa]);
    start[512..520].copy_from_slice(b"EFI PART");
    start[512 + 72] = 2;
    start[512 + 80] = 128;
    start[512 + 84] = 128;
    start[1024..1040].copy_from_slice(b"Hah!IdontNeedEFI");
    let esp = [
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
    ];
    start[1152..1168].copy_from_slice(&esp);
    disk.write_all_at(&start, 0).unwrap();
}

#[test]
fn every_format_holds_the_disk_as_others_read_it() {
    let site = Site::new();
    let said = site.convert(&[
        "disk.raw",
        "--name",
        "i",
        "--format",
        ALL,
        "--release",
        "Rocky-9",
    ]);
    // One path for each image, block maps and texts left out.
    let endings: Vec<&str> = said
        .lines()
        .map(|line| line.rsplit_once("/i.").unwrap().1)
        .collect();
    assert_eq!(endings[..4], ["qcow2", "raw", "raw.zst", "raw.xz"]);
    assert_eq!(endings.len(), 14, "raw is aws's, too: {endings:?}");

    // Plain images and disks.
    site.assert_same("qcow2", "i.qcow2");
    let info = site.info("qcow2", "i.qcow2");
    assert_eq!(info["format-specific"]["data"]["compat"], "1.1");
    assert_eq!(info["cluster-size"], 65536);
    site.run("cmp", &["disk.raw", "i.raw"]);
    let raw = fs::metadata(site.path("i.raw")).unwrap();
    assert!(raw.blocks() * 512 < 6 * MIB, "{} blocks", raw.blocks());
    assert_eq!(raw.permissions().mode() & 0o777, 0o600);
    site.shell("zstd -dqc i.raw.zst | cmp - disk.raw");
    site.shell("xz -dc i.raw.xz | cmp - disk.raw");
    site.run("bmaptool", &["-q", "copy", "i.raw", "copy"]);
    site.run("cmp", &["disk.raw", "copy"]);
    let map = site.read("i.raw.bmap");
    assert!(map.contains(&format!("<ImageSize> {SIZE} ")), "{map}");

    // Azure: whole MiB, and a footer.
    assert_eq!(site.size("i.vhd"), 201 * MIB + 512);
    site.assert_same("vpc", "i.vhd");
    assert_eq!(site.info("vpc", "i.vhd")["virtual-size"], 201 * MIB);

    // Google: GNU's old format, one sparse member, whole GiB.
    site.run("gzip", &["-t", "i.tar.gz"]);
    let magic = "import gzip; print(gzip.open('i.tar.gz').read(512)[257:265])";
    assert_eq!(site.run("python3", &["-c", magic]), "b'ustar  \\x00'\n");
    assert_eq!(site.names("i.tar.gz"), ["disk.raw"]);
    let into = site.unpack("i.tar.gz");
    assert_eq!(site.size(&format!("{into}/disk.raw")), 1 << 30);
    site.assert_same("raw", &format!("{into}/disk.raw"));
    let member = "import tarfile; m = tarfile.open('i.tar.gz').getmembers(); print(m[0].type, m[0].issparse())";
    assert_eq!(site.run("python3", &["-c", member]), "b'S' True\n");

    // VMware's disk, as its readers check it.
    site.assert_same("vmdk", "i.vmdk");
    site.run("qemu-img", &["check", "-q", "-f", "vmdk", "i.vmdk"]);
    let info = site.info("vmdk", "i.vmdk");
    let details = &info["format-specific"]["data"];
    assert_eq!(details["create-type"], "streamOptimized");
    assert_eq!(details["extents"][0]["compressed"], true);
    let descriptor = site.shell("head -c 4096 i.vmdk | tail -c +513 | tr -d '\\0'");
    for line in [
        "ddb.adapterType = \"lsilogic\"",
        "ddb.toolsVersion = \"2147483647\"",
        "ddb.virtualHWVersion = \"18\"",
    ] {
        assert!(descriptor.contains(line), "{descriptor}");
    }

    packages(&site);
    for (name, line) in [
        ("i.CHECKSUM", "sha256sum -c --quiet i.CHECKSUM"),
        ("i.aws.sh", "shellcheck -s sh -e SC2154 i.aws.sh"),
    ] {
        assert!(site.path(name).exists());
        site.shell(line);
    }
    assert!(!site.path(".i.ozr").exists());
}

/// OVAs, boxes and the container image.
fn packages(site: &Site) {
    let capacity = SIZE.to_string();
    assert_eq!(site.names("i.ova"), ["i.ovf", "i.mf", "i.vmdk"]);
    let into = site.unpack("i.ova");
    site.run("cmp", &["i.vmdk", &format!("{into}/i.vmdk")]);
    let digests = r"sed -E 's/SHA256\((.*)\)= (.*)/\2  \1/' i.mf | sha256sum -c --quiet";
    site.shell(&format!("cd {into}; {digests}"));
    let ovf = site.xml(&format!("{into}/i.ovf"));
    assert_eq!(ovf("//@*[local-name()='capacity']"), capacity);
    assert_eq!(ovf("//*[local-name()='VirtualSystemType']"), "vmx-18");
    assert_eq!(ovf("//@*[local-name()='osType']"), "rockylinux_64Guest");
    let firmware =
        "//*[local-name()='Config'][@*[local-name()='key']='firmware']/@*[local-name()='value']";
    assert_eq!(ovf(firmware), "bios");

    let into = site.unpack("i.ovirt.ova");
    let names = site.names("i.ovirt.ova");
    assert_eq!((names.len(), names[0].as_str()), (2, "vm.ovf"));
    site.assert_same("qcow2", &format!("{into}/{}", names[1]));
    let ovf = site.xml(&format!("{into}/vm.ovf"));
    assert_eq!(ovf("//@*[local-name()='href']"), names[1]);
    assert_eq!(ovf("//@*[local-name()='capacity']"), capacity);

    for (provider, format, disk, metadata) in [
        ("libvirt", "qcow2", "box.img", "libvirt"),
        ("virtualbox", "vmdk", "i-disk001.vmdk", "virtualbox"),
        ("vmware", "vmdk", "i.vmdk", "vmware_desktop"),
        ("hyperv", "vhdx", "Virtual Hard Disks/i.vhdx", "hyperv"),
    ] {
        let into = site.unpack(&format!("i.{provider}.box"));
        site.assert_same(format, &format!("{into}/{disk}"));
        let json = site.read(&format!("{into}/metadata.json"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["provider"], metadata);
        if provider == "libvirt" {
            assert_eq!(json["virtual_size"], 1, "GiB, rounded up");
        }
        assert!(
            site.read(&format!("{into}/Vagrantfile"))
                .starts_with("Vagrant.configure")
        );
    }
    let ovf = site.xml("i.virtualbox.box.d/box.ovf");
    let uuid = ovf("//*[local-name()='Disk']/@*[local-name()='uuid']");
    assert_eq!(
        ovf("//*[local-name()='Image']/@uuid"),
        format!("{{{uuid}}}")
    );
    let descriptor = fs::read(site.path("i.vmdk")).unwrap();
    let descriptor = String::from_utf8_lossy(&descriptor[512..4096]).into_owned();
    assert!(descriptor.contains(&uuid), "the disk itself has it");
    let hyperv = site.xml("i.hyperv.box.d/Virtual Machines/box.xml");
    assert_eq!(hyperv("//subtype"), "0", "generation 1 for a BIOS");

    let inspected = site.run("skopeo", &["inspect", "oci-archive:i.containerdisk.tar"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Architecture"], "amd64");
    assert_eq!(inspected["Layers"].as_array().unwrap().len(), 1);
    let copy = ["copy", "-q", "oci-archive:i.containerdisk.tar", "dir:layer"];
    site.run("skopeo", &copy);
    let digest = inspected["Layers"][0].as_str().unwrap();
    let blob = format!("layer/{}", digest.trim_start_matches("sha256:"));
    site.run("tar", &["-xzf", &blob, "disk/i.qcow2"]);
    site.assert_same("qcow2", "disk/i.qcow2");
    let layer = site.shell("tar -xOf i.containerdisk.tar $(tar -tf i.containerdisk.tar | tail -1) | tar -tvz --numeric-owner");
    let file = layer.lines().find(|line| line.ends_with("disk/i.qcow2"));
    assert!(file.unwrap().starts_with("-r--r----- 107/107"), "{layer}");
}

impl Site {
    /// Asks a well-formed XML file by XPath.
    fn xml(&self, file: &str) -> impl Fn(&str) -> String + '_ {
        let file = file.to_owned();
        move |path: &str| {
            let path = format!("string({path})");
            let said = self.run("xmllint", &["--xpath", &path, &file]);
            said.trim_end().to_owned()
        }
    }
}

#[test]
fn disks_of_every_format_are_read() {
    let site = Site::new();
    for (format, file, options) in [
        ("qcow2", "a.qcow2", "compression_type=zstd"),
        ("vmdk", "a.vmdk", "subformat=streamOptimized"),
        ("vpc", "a.vhd", "subformat=fixed,force_size"),
        ("vhdx", "a.vhdx", "subformat=dynamic"),
    ] {
        let mut convert = vec!["convert", "-f", "raw", "-O", format, "-o", options];
        if format == "qcow2" {
            convert.push("-c");
        }
        convert.extend(["disk.raw", file]);
        site.run("qemu-img", &convert);
        // VHDs and VHDXs have whole MiB.
        site.convert(&[file, "--format", "raw,vmdk", "--name", "b", "--force"]);
        let compare = ["compare", "-f", "raw", "-F", "raw", "disk.raw", "b.raw"];
        site.run("qemu-img", &compare);
        site.assert_same("vmdk", "b.vmdk");
    }
}

#[test]
fn nothing_is_written_where_something_is_wrong() {
    let site = Site::new();
    fs::write(site.path("secret"), "s".repeat(4096)).unwrap();
    let url = "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"secret\"}}";
    let hostile = [
        "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", url, "h.qcow2", "1M",
    ];
    site.run("qemu-img", &hostile);
    let flat = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"secret\" 0\n";
    fs::write(site.path("h.vmdk"), flat).unwrap();
    fs::write(site.path("taken.vhd"), "precious").unwrap();
    fs::write(site.path("noise.qcow2"), "no image").unwrap();
    let before = site.shell("ls -A");
    for (arguments, status, says) in [
        (&["h.qcow2", "--format", "raw"][..], 2, "another file"),
        (&["h.vmdk", "--format", "raw"], 2, ""),
        (&["noise.qcow2", "--format", "raw"], 2, "qcow2"),
        (&["disk.raw", "--format", "raw"], 2, "the same file"),
        (
            &["disk.raw", "--format", "raw", "--force"],
            2,
            "the same file",
        ),
        (
            &["disk.raw", "--format", "azure", "--name", "taken"],
            2,
            "--force",
        ),
        (
            &["disk.raw", "--format", "gcp", "--compress", "zstd"],
            2,
            "--compress",
        ),
        (&["disk.raw", "--format", "vhs"], 2, "vhs"),
        (&["secret", "--format", "azure"], 2, "--from"),
        (&[".", "--format", "azure"], 2, "it is a directory"),
    ] {
        let output = site.command(OZR, &[&["convert"], arguments].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {errors}"
        );
        assert!(errors.contains(says), "{arguments:?}: {errors}");
        assert_eq!(site.shell("ls -A"), before, "{arguments:?}");
    }
    assert_eq!(site.read("taken.vhd"), "precious");
}

impl Site {
    /// What `ozr verify` says, and its status.
    fn verify(&self, importer: &str, file: &str) -> (Option<i32>, String) {
        let output = self.command(OZR, &["verify", "--for", importer, file]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }

    fn assert_refused(&self, importer: &str, file: &str, says: &str) {
        let (status, said) = self.verify(importer, file);
        assert_eq!(status, Some(2), "{file} for {importer}: {said}");
        assert!(said.contains(says), "{file} for {importer}: {said}");
    }
}

#[test]
fn importers_take_ours_and_say_what_is_wrong_with_others() {
    let site = Site::new();
    site.convert(&["disk.raw", "--name", "i", "--format", ALL]);
    for (importer, file) in TAKEN {
        let (status, said) = site.verify(importer, file);
        assert_eq!(status, Some(0), "{file} for {importer}: {said}");
    }
    // As the field makes them, each a mistake that somebody shipped (docs/formats.md).
    site.shell(
        "q='qemu-img convert -f raw disk.raw'
        $q -O vpc dynamic.vhd
        $q -O vpc -o subformat=fixed chs.vhd
        $q -O vpc -o subformat=fixed,force_size odd.vhd
        cp i.vhd sum.vhd; printf x | dd of=sum.vhd bs=1 seek=$((201 * 1024 * 1024 + 100)) conv=notrunc status=none
        head -c -512 i.vhd > nofooter.vhd
        cp disk.raw unbootable.raw; dd if=/dev/zero of=unbootable.raw bs=512 count=40 conv=notrunc status=none
        mkdir w; cp --sparse=always i.tar.gz.d/disk.raw w/ 2>/dev/null || truncate -s 1G w/disk.raw; dd if=disk.raw of=w/disk.raw conv=notrunc,sparse status=none
        tar --format=posix -C w -Sczf pax.tar.gz disk.raw
        mv w/disk.raw w/image.raw; tar --format=oldgnu -C w -Sczf name.tar.gz image.raw
        truncate -s 300M w/image.raw; mv w/image.raw w/disk.raw; tar --format=oldgnu -C w -Sczf size.tar.gz disk.raw
        head -c 300000 i.tar.gz > cut.tar.gz
        mkdir o; tar -xf i.ova -C o; $q -c -O vmdk o/rocky.vmdk; cp o/rocky.vmdk rocky.vmdk; mv o/rocky.vmdk o/i.vmdk
        tar --format=ustar -C o -cf rocky.ova i.ovf i.mf i.vmdk
        tar -xf i.ova -C o; tar --format=ustar -C o -cf order.ova i.vmdk i.mf i.ovf
        sed -i s/vmx-/bios-/ o/i.ovf; tar --format=ustar -C o -cf hardware.ova i.ovf i.mf i.vmdk
        mkdir b; tar -xf i.libvirt.box -C b; sed -i s/\\\"virtual_size\\\":1/\\\"virtual_size\\\":0/ b/metadata.json; tar -C b -czf size.box .
        rm b/box.img; tar -C b -czf empty.box .
        qemu-img create -q -f qcow2 -F raw -b disk.raw back.qcow2",
    );
    for (importer, file, says) in [
        ("azure", "dynamic.vhd", "dynamic VHD"),
        ("azure", "chs.vhd", "no whole MiB"),
        ("azure", "odd.vhd", "no whole MiB"),
        ("azure", "sum.vhd", "checksum of its footer"),
        ("azure", "nofooter.vhd", "a plain file"),
        ("azure", "i.qcow2", "qcow2"),
        ("aws", "unbootable.raw", "no partition table"),
        ("aws", "i.qcow2", "qcow2"),
        ("aws", "rocky.vmdk", "not streamOptimized"),
        ("gcp", "pax.tar.gz", "pax"),
        ("gcp", "name.tar.gz", "no disk.raw"),
        ("gcp", "size.tar.gz", "no whole GiB"),
        ("gcp", "cut.tar.gz", "cannot be read to its end"),
        ("gcp", "i.raw", "packed by gzip"),
        ("vmware", "rocky.vmdk", "monolithicSparse"),
        ("vmware", "rocky.ova", "not streamOptimized"),
        ("vmware", "rocky.ova", "has not the digest"),
        ("vmware", "order.ova", "begins with its descriptor"),
        ("vmware", "hardware.ova", "VMware's hardware"),
        ("vmware", "i.ovirt.ova", "no VMDK"),
        ("ovirt", "i.ova", "qcow2"),
        ("vagrant", "size.box", "virtual_size is 0 GiB"),
        ("vagrant", "empty.box", "no box.img"),
        ("vagrant", "i.ova", "no metadata.json"),
        ("kubevirt", "back.qcow2", "another file"),
        ("kubevirt", "i.ova", "oci-layout"),
    ] {
        site.assert_refused(importer, file, says);
    }
    let uefi = ["verify", "--for", "vmware", "--firmware", "uefi", "i.ova"];
    assert_eq!(
        site.command(OZR, &uefi).status.code(),
        Some(2),
        "it is a BIOS's"
    );
    let json = [
        "verify",
        "--for",
        "azure",
        "--format",
        "json",
        "dynamic.vhd",
    ];
    let json = String::from_utf8(site.command(OZR, &json).stdout).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["severity"], "error");
}

/// Damaged and hostile files end in a verdict, soon, and never in a defect.
#[test]
fn damaged_files_end_in_a_verdict() {
    let site = Site::new();
    site.convert(&["disk.raw", "--name", "i", "--format", ALL]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut state = 11_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    for (importer, name) in TAKEN {
        let importer =
            <ozr::verify::Importer as clap::ValueEnum>::from_str(importer, true).unwrap();
        let whole = fs::read(site.path(name)).unwrap();
        // Headers are at the beginning, footers at the end.
        let edge = 64 << 10;
        for round in 0..12_u64 {
            let mut bytes = whole[..whole.len().min(2 << 20)].to_vec();
            match round % 3 {
                0 => bytes.truncate(random(edge) as usize),
                1 => bytes.truncate(random(bytes.len() as u64) as usize),
                _ => {
                    for _ in 0..=round {
                        let at = random(bytes.len().min(edge as usize) as u64) as usize;
                        bytes[at] = random(256) as u8;
                    }
                }
            }
            fs::write(site.path("damaged"), &bytes).unwrap();
            let file = fs::File::open(site.path("damaged")).unwrap();
            let question = ozr::verify::Question {
                name,
                file: &file,
                firmware: None,
                passphrases: &[],
                program: std::path::Path::new(OZR),
            };
            let begun = std::time::Instant::now();
            // Findings or an error, either is a verdict.
            let _ = runtime.block_on(ozr::verify::verify(importer, &question));
            assert!(begun.elapsed().as_secs() < 20, "{name}, round {round}");
        }
    }
}
