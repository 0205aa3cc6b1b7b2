//! `ozr media`: what is made, and machines that are given an image by it: BIOS and UEFI, from a disc and from
//! the network, on SATA and NVMe disks of another size than the image's.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::guest::Guest;
use crate::support::mirror::{Mirror, Tree, noise, sha256};
use crate::support::site::{Site, bootable, run};
use crate::support::small::{Then, boot_sector};

const MIB: u64 = 1 << 20;

/// What the machine says when it is done.
const DONE: &str = "holds the image, and was read back";

/// Everything that media are made with; it must be there where everything is to be tested.
fn tools() -> bool {
    let says = |program: &str, argument: &str| {
        let said = Command::new(program).arg(argument).output();
        said.is_ok_and(|out| out.status.success())
    };
    let grub = ["grub-mkimage", "grub2-mkimage"];
    let there =
        says("xorriso", "-version") && grub.iter().any(|program| says(program, "--version"));
    assert!(
        there || std::env::var_os("OZR_TEST_ALL").is_none(),
        "xorriso or grub-mkimage is not installed"
    );
    there
}

/// `ozr media`, with a home of its own. Without what debuggers want: it goes into each medium.
fn media(directory: &Path, arguments: &[&str]) -> Output {
    let program = directory.join("ozr");
    if !program.exists() {
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_ozr"));
        assert!(strip.status().unwrap().success());
    }
    let home = directory.join("home");
    let mut ozr = Command::new(program);
    ozr.arg("media").args(arguments).stdin(Stdio::null());
    ozr.current_dir(directory);
    ozr.env("XDG_CACHE_HOME", &home).env("HOME", &home);
    ozr.output().unwrap()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[track_caller]
fn assert_done(out: &Output, path: &Path) {
    assert!(out.status.success(), "{}", said(out));
    let printed = String::from_utf8_lossy(&out.stdout);
    assert_eq!(printed.trim(), path.to_str().unwrap());
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

/// A place with an image of 16 MiB without partitions, and a tree that is none.
fn bare() -> (tempfile::TempDir, Mirror) {
    let directory = tempfile::tempdir().unwrap();
    let image = File::create(directory.path().join("web.raw")).unwrap();
    image.set_len(16 * MIB).unwrap();
    image.write_all_at(&noise(1, 5000), 3 * MIB).unwrap();
    let mirror = Mirror::start();
    Tree::new(100_000).serve(&mirror);
    (directory, mirror)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The files of the archive that is packed behind an initrd: names, and the content of one.
fn behind(initrd: &[u8], length: usize, wanted: &str) -> (Vec<String>, Vec<u8>) {
    use std::io::Read;
    let start = length.next_multiple_of(4);
    let mut plain = Vec::new();
    let mut packed = flate2::read::GzDecoder::new(&initrd[start..]);
    packed.read_to_end(&mut plain).unwrap();
    let (mut names, mut content, mut rest) = (Vec::new(), Vec::new(), plain.as_slice());
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            return (names, content);
        }
        let name = reader.entry().name().to_owned();
        if name == wanted {
            reader.read_to_end(&mut content).unwrap();
        }
        names.push(name);
        rest = reader.finish().unwrap();
    }
}

#[test]
fn a_disc_and_a_directory_hold_what_boots_by_bios_and_uefi() {
    if !tools() {
        return;
    }
    let (directory, mirror) = bare();
    let at = |name: &str| directory.path().join(name);
    let tree = mirror.url("/tree").to_string();
    let options = [
        "--overwrite",
        "--disk",
        "/dev/sda",
        "--append",
        "console=ttyS0",
    ];
    let out = media(
        directory.path(),
        &[&options[..], &["--tree", &tree, "web.raw", "web.iso"]].concat(),
    );
    assert_done(&out, &at("web.iso"));
    assert!(said(&out).contains("/dev/sda is written, whatever is on it is lost"));
    let xorriso = |arguments: &[&str]| {
        let mut xorriso = Command::new("xorriso");
        let out = xorriso
            .args(["-indev", "web.iso"])
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let boots = xorriso(&["-report_el_torito", "plain", "-report_system_area", "plain"]);
    for word in ["BIOS  y", "UEFI  y", "grub2-mbr", "GPT"] {
        assert!(boots.contains(word), "{word}: {boots}");
    }
    xorriso(&["-osirrox", "on", "-extract", "/", "disc"]);
    let kernel = fs::read(at("disc/vmlinuz")).unwrap();
    assert_eq!(kernel, Tree::new(100_000).kernel);
    let menu = text(&at("disc/boot/grub/grub.cfg"));
    assert!(menu.contains("linux /vmlinuz quiet"), "{menu}");
    assert!(menu.contains(" console=ttyS0\n"), "{menu}");
    let initrd = fs::read(at("disc/initrd.img")).unwrap();
    let (names, job) = behind(&initrd, 100_000, "ozr/job.json");
    for name in [
        "ozr",
        "ozr/ozr",
        "ozr/run",
        "ozr/lib/libc.so.6",
        "usr/lib/dracut/hooks/cmdline/00-ozr.sh",
    ] {
        assert!(names.iter().any(|each| each == name), "{name}: {names:?}");
    }
    // Newer initramfs have a link there: a directory would take its place.
    assert!(!names.iter().any(|name| name == "usr/lib/dracut/hooks"));
    let job: serde_json::Value = serde_json::from_slice(&job).unwrap();
    let packed = fs::read(at("disc/image.raw.zst")).unwrap();
    assert_eq!(job["sha256"], sha256(&packed));
    assert_eq!(job["size"], 16 * MIB);
    assert_eq!(
        (&job["disk"], &job["overwrite"]),
        (&"/dev/sda".into(), &true.into())
    );
    let plain = zstd::decode_all(&packed[..]).unwrap();
    assert!(plain == fs::read(at("web.raw")).unwrap());

    // The tree's own boot loader, which Secure Boot takes; an image that is packed stays as it is.
    let (shim, grub) = (noise(8, 1000), noise(9, 2000));
    mirror.put("/tree/EFI/BOOT/BOOTX64.EFI", shim.clone());
    mirror.put("/tree/EFI/BOOT/grubx64.efi", grub.clone());
    mirror.put("/tree/EFI/BOOT/grub.cfg", "linuxefi /vmlinuz\n");
    fs::write(at("web-9.raw.zst"), &packed).unwrap();
    let address = "http://10.0.0.1/web/";
    let options = ["--tree", &tree, "--pxe", address, "web-9.raw.zst", "pxe"];
    assert_done(&media(directory.path(), &options), &at("pxe"));
    assert_eq!(fs::read(at("pxe/bootx64.efi")).unwrap(), shim);
    assert_eq!(fs::read(at("pxe/grubx64.efi")).unwrap(), grub);
    assert_eq!(fs::read(at("pxe/web-9.raw.zst")).unwrap(), packed);
    assert_eq!(fs::read(at("web-9.raw.zst")).unwrap(), packed);
    let image = "rd.neednet=1 ip=dhcp ozr.image=http://10.0.0.1/web/web-9.raw.zst\n";
    let menu = text(&at("pxe/grub.cfg"));
    assert!(menu.contains("linuxefi $place/vmlinuz quiet"), "{menu}");
    assert!(menu.contains(image), "{menu}");
    let script = text(&at("pxe/boot.ipxe"));
    assert!(script.contains(image), "{script}");
    assert!(at("pxe/grub.0").is_file());
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert!(
        !left.iter().any(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".ozr")
        }),
        "{left:?}"
    );
}

#[test]
fn what_no_medium_can_be_made_of_is_refused() {
    if !tools() {
        return;
    }
    let (directory, mirror) = bare();
    let at = |name: &str| directory.path().join(name);
    let tree = mirror.url("/tree").to_string();
    let refused = |arguments: &[&str], status, words: &[&str]| {
        assert_refused(&media(directory.path(), arguments), status, words);
        assert!(!at("web.iso").exists());
    };
    refused(&["web.raw", "web.iso"], 2, &["no manifest", "--tree"]);
    let with = |more: &[&str]| {
        [&["--tree", &tree], more]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    for (options, words) in [
        (vec!["--disk", "sda"], vec!["--disk sda", "/dev/sda"]),
        (vec!["--append", "a;b"], vec!["--append", "';'"]),
        (vec!["--pxe", "tftp://h/"], vec!["tftp://h/", "http"]),
        (vec!["--grow"], vec!["no partition table", "--grow"]),
        (
            vec!["--sha256", &"0".repeat(64)],
            vec!["--sha256", "should be"],
        ),
    ] {
        let mut arguments = with(&options);
        arguments.extend(["web.raw".to_owned(), "web.iso".to_owned()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&arguments, 2, &words);
    }
    refused(&["--tree", &tree, "-", "web.iso"], 2, &["standard input"]);
    let none = mirror.url("/none").to_string();
    refused(&["--tree", &none, "web.raw", "web.iso"], 4, &["none"]);
    let arm = text_of_tree().replace("x86_64", "aarch64");
    mirror.put("/arm/.treeinfo", arm);
    let arm = mirror.url("/arm").to_string();
    refused(
        &["--tree", &arm, "web.raw", "web.iso"],
        2,
        &["aarch64", "same architecture"],
    );
    // Names that are taken.
    fs::create_dir(at("pxe")).unwrap();
    let options = ["--tree", &tree, "--pxe", "http://h/", "web.raw", "pxe"];
    assert_refused(&media(directory.path(), &options), 2, &["exists already"]);
    fs::write(at("old.iso"), "old").unwrap();
    let options = ["--tree", &tree, "web.raw", "old.iso"];
    assert_refused(&media(directory.path(), &options), 2, &["--force"]);
    assert_eq!(text(&at("old.iso")), "old");
    let options = ["--force", "--tree", &tree, "web.raw", "old.iso"];
    assert_done(&media(directory.path(), &options), &at("old.iso"));
    assert!(fs::metadata(at("old.iso")).unwrap().len() > MIB);
}

fn text_of_tree() -> String {
    Tree::new(100_000).without_checksums().tree_info
}

/// What a disk is plugged into.
#[derive(Clone, Copy)]
enum Bus {
    Sata,
    Nvme,
}

/// A disk of so many MiB, all holes.
fn disk(site: &Site, name: &str, mib: u64) -> PathBuf {
    let path = site.path(name);
    File::create(&path).unwrap().set_len(mib * MIB).unwrap();
    path
}

/// What starts a machine.
#[derive(Clone, Copy)]
enum Firmware {
    Bios,
    Uefi,
    SecureBoot,
}
use Firmware::{Bios, SecureBoot, Uefi};

/// A machine with such disks, and what else these arguments say.
fn machine(firmware: Firmware, disks: &[(&Path, Bus)], more: &[&str]) -> Guest {
    let mut arguments = vec!["-no-reboot".to_owned()];
    for (number, (path, bus)) in disks.iter().enumerate() {
        let drive = format!("if=none,id=d{number},format=raw,file={}", path.display());
        let device = match bus {
            Bus::Sata => format!("ide-hd,drive=d{number},bus=ide.{number}"),
            Bus::Nvme => format!("nvme,drive=d{number},serial=n{number}"),
        };
        arguments.extend(["-drive".to_owned(), drive, "-device".to_owned(), device]);
    }
    arguments.extend(more.iter().map(|word| (*word).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match firmware {
        Bios => Guest::start(false, &arguments),
        Uefi => Guest::start(true, &arguments),
        SecureBoot => Guest::start_secured(&arguments),
    }
}

/// Debian's shim, signed by Microsoft, and its GRUB for discs, signed by Debian, as the tree's kernel is: what a
/// distribution's tree has below `EFI/BOOT`. None where they are not installed.
fn signed_loaders() -> Option<[(&'static str, Vec<u8>); 2]> {
    let read = |name, place: &str| Some((name, fs::read(place).ok()?));
    let shim = read("BOOTX64.EFI", "/usr/lib/shim/shimx64.efi.signed");
    let grub = "/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed";
    let both = shim.zip(read("grubx64.efi", grub));
    assert!(
        both.is_some() || std::env::var_os("OZR_TEST_ALL").is_none(),
        "shim-signed or grub-efi-amd64-signed is not installed"
    );
    both.map(|(shim, grub)| [shim, grub])
}

/// The machine has written this disk, whose partition table is now for its own size.
#[track_caller]
fn assert_written(machine: Guest, device: &str, disk: &Path) {
    let console = machine.watch_to_the_end();
    let done = format!("{device} {DONE}");
    assert!(console.contains(&done), "{console}");
    let told = Command::new("sfdisk")
        .arg("--verify")
        .arg(disk)
        .output()
        .unwrap();
    let told = format!("{}{}", said(&told), String::from_utf8_lossy(&told.stdout));
    assert!(told.contains("No errors detected"), "{told}");
    let file = File::open(disk).unwrap();
    let length = file.metadata().unwrap().len();
    let mut last = [0; 8];
    file.read_exact_at(&mut last, length - 512).unwrap();
    let mut first = [0; 8];
    file.read_exact_at(&mut first, 512).unwrap();
    // A GPT has its second header there; an MBR has none.
    assert_eq!(&first == b"EFI PART", &last == b"EFI PART");
}

/// A disk with a partition, whose boot sector asks for a login.
fn small() -> Vec<u8> {
    let mut disk = boot_sector(b"login: ", 1, Then::Hang);
    // Active, of Linux, 1,000 sectors from the 64th on.
    disk[446..450].copy_from_slice(&[0x80, 1, 2, 0]);
    disk[450..454].copy_from_slice(&[0x83, 16, 55, 0]);
    disk[454..458].copy_from_slice(&64_u32.to_le_bytes());
    disk[458..462].copy_from_slice(&1000_u32.to_le_bytes());
    disk
}

/// The image in the site's output directory, installed for this firmware and for machines of all kinds.
fn install(site: &Site, firmware: &str) -> PathBuf {
    let mut command = site.install(&bootable(""));
    command.args(["--portable", "--firmware", firmware]);
    let outcome = run(command);
    outcome.assert_done();
    let served = text(&site.output("served.ks"));
    assert!(served.contains("\ndracut-config-generic\n"), "{served}");
    site.output("qcow2")
}

#[test]
#[ignore = "long"]
fn a_machine_with_a_bios_is_given_the_image() {
    if crate::support::is_left_out() {
        return;
    }
    if !tools() {
        return;
    }
    let Some(site) = Site::new("metal-bios") else {
        return;
    };
    site.serve_packed_kernel();
    let image = install(&site, "bios");
    let out = site.out();
    let image = image.to_str().unwrap();
    // Kernel and initrd are of the tree that the manifest names.
    let iso = out.join("web.iso");
    let options = [
        "--grow",
        "--append",
        "console=ttyS0",
        image,
        iso.to_str().unwrap(),
    ];
    assert_done(&media(&site.path("."), &options), &iso);
    let cdrom = ["-boot", "d", "-cdrom", iso.to_str().unwrap()];
    let sata = disk(&site, "sata", 11 << 10);
    let disks = [(sata.as_path(), Bus::Sata)];
    assert_written(machine(Bios, &disks, &cdrom), "/dev/sda", &sata);
    machine(Bios, &disks, &["-snapshot"]).wait_for("login:");

    // Once more, without a boot loader, which is slow: something is on it now, and the medium was made for empty disks.
    let before = fs::metadata(&sata).unwrap().modified().unwrap();
    let disc = unpacked(&site, &iso);
    let direct = started_from(&disc, &disc.join("initrd.img"));
    let mut refused = machine(Bios, &disks, &[&strs(&direct)[..], &cdrom].concat());
    refused.wait_for("something is on /dev/sda");
    refused.wait_for("nothing more is done");
    drop(refused);
    assert_eq!(fs::metadata(&sata).unwrap().modified().unwrap(), before);

    // From the network, by iPXE and HTTP; with two disks that can hold it, and one that is meant. A small image
    // is enough here.
    let image = site.path("small.raw");
    fs::write(&image, small()).unwrap();
    let image = image.to_str().unwrap();
    let tree = site.mirror.url("/os").to_string();
    let directory = out.join("pxe");
    let address = site.guest_url("/pxe");
    let options = [
        "--tree",
        &tree,
        "--disk",
        "/dev/nvme0n1",
        "--pxe",
        &address,
        "--append",
        "console=ttyS0",
        image,
        directory.to_str().unwrap(),
    ];
    assert_done(&media(&site.path("."), &options), &directory);
    site.mirror.put_directory("/pxe", &directory);
    let nvme = disk(&site, "nvme", 13 << 10);
    let disks = [(sata.as_path(), Bus::Sata), (nvme.as_path(), Bus::Nvme)];
    let net = format!("user,id=net,bootfile={address}/boot.ipxe");
    let net = [
        "-netdev",
        &net,
        "-device",
        "virtio-net-pci,netdev=net,bootindex=1",
    ];
    assert_written(machine(Bios, &disks, &net), "/dev/nvme0n1", &nvme);
    assert_eq!(fs::metadata(&sata).unwrap().modified().unwrap(), before);
    machine(Bios, &[(&nvme, Bus::Nvme)], &["-snapshot"]).wait_for("login:");
}

#[test]
#[ignore = "long"]
fn a_machine_with_uefi_is_given_the_image() {
    if crate::support::is_left_out() {
        return;
    }
    if !tools() {
        return;
    }
    let Some(site) = Site::new("metal-uefi") else {
        return;
    };
    site.serve_packed_kernel();
    let image = install(&site, "uefi");
    let out = site.out();
    let image = image.to_str().unwrap();
    let iso = out.join("web.iso");
    let options = [
        "--append",
        "console=ttyS0 ignore_loglevel",
        image,
        iso.to_str().unwrap(),
    ];
    let signed = signed_loaders();
    for (name, bytes) in signed.iter().flatten() {
        let place = format!("/os/EFI/BOOT/{name}");
        site.mirror.put(&place, bytes.clone());
    }
    assert_done(&media(&site.path("."), &options), &iso);
    for (name, _) in signed.iter().flatten() {
        site.mirror.remove(&format!("/os/EFI/BOOT/{name}"));
    }
    let nvme = disk(&site, "nvme", 11 << 10);
    let disks = [(nvme.as_path(), Bus::Nvme)];
    // As a stick, by its partition table (plugged in where firmware reads quickly).
    let stick = format!(
        "if=none,id=stick,format=raw,snapshot=on,file={}",
        iso.display()
    );
    let stick = ["-drive", &stick, "-device", "ide-hd,drive=stick,bus=ide.3"];
    match signed {
        None => assert_written(machine(Uefi, &disks, &stick), "/dev/nvme0n1", &nvme),
        // Firmware verifies shim, shim GRUB, GRUB the kernel.
        Some(_) => {
            let mut machine = machine(SecureBoot, &disks, &stick);
            machine.wait_for("secureboot: Secure boot enabled");
            assert_written(machine, "/dev/nvme0n1", &nvme);
        }
    }
    machine(Uefi, &disks, &["-snapshot"]).wait_for("login:");

    // From the network, by TFTP and GRUB.
    let directory = out.join("pxe");
    let address = site.guest_url("/pxe");
    let place = directory.to_str().unwrap();
    let options = [
        "--grow",
        "--pxe",
        &address,
        "--append",
        "console=ttyS0",
        image,
        place,
    ];
    assert_done(&media(&site.path("."), &options), &directory);
    site.mirror.put_directory("/pxe", &directory);
    let sata = disk(&site, "sata", 13 << 10);
    let disks = [(sata.as_path(), Bus::Sata)];
    let net = format!("user,id=net,tftp={place},bootfile=bootx64.efi");
    let net = [
        "-netdev",
        &net,
        "-device",
        "virtio-net-pci,netdev=net,bootindex=1",
    ];
    assert_written(machine(Uefi, &disks, &net), "/dev/sda", &sata);
}

/// A program of this host with its libraries, to run in an initramfs as `/held/PROGRAM`.
fn carried(program: &str) -> Vec<(String, u32, Vec<u8>)> {
    let list = Command::new("ldd").arg(program).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let paths = list.split_whitespace().filter(|word| word.starts_with('/'));
    let mut files = vec![("held/".to_owned(), 0o755, Vec::new())];
    for path in paths.chain([program]) {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        files.push((format!("held/{name}"), 0o755, fs::read(path).unwrap()));
    }
    files
}

/// The files of a disc, in the site's directory.
fn unpacked(site: &Site, iso: &Path) -> PathBuf {
    let place = site.path("disc");
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-osirrox", "on", "-indev"]).arg(iso);
    xorriso.args(["-extract", "/"]).arg(&place);
    assert!(xorriso.output().unwrap().status.success());
    place
}

/// What starts the disc's kernel with this initrd, as its menu does.
fn started_from(disc: &Path, initrd: &Path) -> Vec<String> {
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let command_line = "console=ttyS0 quiet".to_owned();
    [
        ("-kernel", path(disc.join("vmlinuz"))),
        ("-initrd", path(initrd.to_path_buf())),
        ("-append", command_line),
    ]
    .into_iter()
    .flat_map(|(option, value)| [option.to_owned(), value])
    .collect()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A kernel with a device mapper, which this host's may lack.
#[test]
fn a_disk_that_a_mapped_device_stands_on_is_not_written() {
    const DMSETUP: &str = "/usr/sbin/dmsetup";
    if !tools() || !Path::new(DMSETUP).exists() {
        return;
    }
    let Some(site) = Site::new("metal-held") else {
        return;
    };
    site.serve_packed_kernel();
    let image = disk(&site, "web.raw", 16);
    let tree = site.mirror.url("/os").to_string();
    let iso = site.path("web.iso");
    let options = ["--overwrite", "--disk", "/dev/nvme0n1", "--tree", &tree];
    let files = [image.to_str().unwrap(), iso.to_str().unwrap()];
    let out = media(&site.path("."), &[&options[..], &files].concat());
    assert_done(&out, &iso);
    let disc = unpacked(&site, &iso);
    let hook = "modprobe dm-mod\n\
        for loader in /held/ld*; do\n\
            $loader --library-path /held /held/dmsetup create held --noudevsync \\\n\
                --table '0 2048 linear /dev/nvme0n1 0' >/dev/console 2>&1\n\
        done\n";
    let mut files = carried(DMSETUP);
    let place = "usr/lib/dracut/hooks/initqueue/settled/00-held.sh";
    files.push((place.to_owned(), 0o700, hook.into()));
    let files: Vec<ozr::initrd::InitrdFile<'_>> = files
        .iter()
        .map(|(name, mode, bytes)| (name.as_str(), *mode, bytes.as_slice()))
        .collect();
    let initrd = site.path("initrd.img");
    ozr::initrd::extend(&disc.join("initrd.img"), &initrd, &files).unwrap();
    let nvme = disk(&site, "nvme", 64);
    let boot = started_from(&disc, &initrd);
    let cdrom = ["-cdrom", iso.to_str().unwrap()];
    let disks = [(nvme.as_path(), Bus::Nvme)];
    let mut machine = machine(Bios, &disks, &[&strs(&boot)[..], &cdrom].concat());
    machine.wait_for("/dev/nvme0n1 is a part of the mapped device /dev/mapper/held");
    machine.wait_for("nothing more is done");
    drop(machine);
    assert!(fs::read(&nvme).unwrap().iter().all(|byte| *byte == 0));
}
