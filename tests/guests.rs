//! Guests that some images need: several disks, encrypted ones, Secure Boot, a TPM,
//! network cards. Through the real thing: installed,
//! sealed, booted, and read by others.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support;
use crate::support::daemon;
use crate::support::disk::Disk;
use crate::support::guest::Guest;
use crate::support::site::{Outcome, Site, bootable, kickstart, run};

/// The kickstart of the tests with another layout of the disks.
fn laid_out(layout: &str, more: &str) -> String {
    let text = bootable(more);
    let usual = "reqpart\npart / --fstype=ext4 --size=2048 --grow\n";
    assert!(text.contains(usual), "{text}");
    text.replace(usual, layout)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What a program of others says.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// `ozr customize` of the machine that a domain's XML describes: by its name, where libvirt can be told of it.
fn customized_by_name(site: &Site, xml: &Path) -> Outcome {
    let turn = daemon::turn();
    let daemon = daemon::start();
    let mut customize = site.ozr();
    customize.args(["customize", "template.tdl"]);
    match &daemon {
        Some(_) => {
            daemon::virsh(&["define", xml.to_str().unwrap()]);
            customize.arg(&site.name)
        }
        None => customize.arg(xml),
    };
    customize.args(["--state-dir", "state", "--cache-dir", "cache"]);
    customize.args(["--memory", "2048", "--vcpus", "1"]);
    let outcome = run(customize);
    if daemon.is_some() {
        daemon::virsh(&["undefine", "--nvram", &site.name]);
    }
    drop((daemon, turn));
    outcome
}

/// A boot test of an image that is there; what it sees goes elsewhere.
fn boot_test(site: &Site, image: &Path) -> Command {
    let mut command = site.ozr();
    command
        .args(["boot-test", "--accel", "tcg", "--vcpus", "1"])
        .arg("--output-dir")
        .arg(site.path("home"))
        .arg("--state-dir")
        .arg(site.path("state"))
        .arg(image);
    command
}

#[test]
#[ignore = "long"]
fn a_system_on_two_disks_is_sealed_booted_and_published_whole() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("disks") else {
        return;
    };
    // The template has two, of which the second is that of every site's.
    site.additions = "<disk><size>1T</size></disk>".to_owned();
    // What is sealed lies on both.
    let layout = "ignoredisk --only-use=vda,vdb\n\
        part / --fstype=ext4 --size=2048 --grow --ondisk=vda\n\
        part /var --fstype=ext4 --size=1024 --ondisk=vdb\n";
    let plant = "%post --erroronfail\nmkdir -p /var/lib/systemd\necho s > /var/lib/systemd/random-seed\n\
        echo mine > /var/mark\n%end\n";
    let text = laid_out(layout, plant);
    let mut command = site.install(&text);
    command.args(["--disk", "3G", "--format", "qcow2,ova", "--seal"]);
    command.args(["--boot-test", "--serve-ports", "1024-65535"]);
    let outcome = run(command);
    outcome.assert_done();
    let (first, second) = (site.output("qcow2"), site.output("vdb.qcow2"));
    site.assert_built(&outcome, &["qcow2", "vdb.qcow2", "ova", "boot-test"]);
    let printed = [&first, &site.output("ova"), &second];
    let printed: Vec<String> = printed.map(|path| path.display().to_string()).into();
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), printed);
    output(
        "sh",
        &[
            "-c",
            &format!(
                "cd {} && sha256sum -c --quiet *.CHECKSUM",
                site.out().display()
            ),
        ],
    );
    for image in [&first, &second] {
        output(
            "qemu-img",
            &["check", "-q", "-f", "qcow2", image.to_str().unwrap()],
        );
    }

    // Who reads the manifest learns of both, and that all of the seal was looked at.
    let manifest = json(&site.output("manifest.json"));
    let sizes: Vec<_> = manifest["disks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|disk| {
            (
                disk["device"].as_str().unwrap(),
                disk["size"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(sizes, [("vda", 3 << 30), ("vdb", 4 << 30)]);
    let images = manifest["images"].as_array().unwrap();
    let disks: Vec<_> = images
        .iter()
        .map(|image| image["disk"].as_u64().unwrap())
        .collect();
    assert_eq!(disks, [1, 1, 2]);
    assert!(
        manifest["seal"]["unproved"].is_null(),
        "{}",
        manifest["seal"]
    );

    // The domain has both, for libvirt's own schema, too.
    let xml = site.output("xml");
    output("virt-xml-validate", &[xml.to_str().unwrap(), "domain"]);
    let text = std::fs::read_to_string(&xml).unwrap();
    for part in ["dev=\"vda\"", "dev=\"vdb\"", ".vdb.qcow2\""] {
        assert!(text.contains(part), "{part} is not in {text}");
    }

    // The appliance has both, and its descriptor's digests hold.
    let ova = site.output("ova");
    let names = output("tar", &["-tf", ova.to_str().unwrap()]);
    assert_eq!(
        names.lines().filter(|name| name.ends_with(".vmdk")).count(),
        2,
        "{names}"
    );
    let ovf = names.lines().next().unwrap();
    let ovf = output("tar", &["-xOf", ova.to_str().unwrap(), ovf]);
    for part in [
        format!("ovf:capacity=\"{}\"", 3_u64 << 30),
        format!("ovf:capacity=\"{}\"", 4_u64 << 30),
        "<rasd:ElementName>Hard disk 2</rasd:ElementName>".to_owned(),
    ] {
        assert!(ovf.contains(&part), "{part} is not in {ovf}");
    }

    // Both are read as one system; a further boot test finds the second by itself.
    let mut inspect = site.ozr();
    inspect
        .args(["inspect", "--format", "json"])
        .args([&first, &second]);
    let inspected = run(inspect);
    inspected.assert_done();
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["more_disks"].as_array().unwrap().len(), 1);
    let mounts = inspected["system"]["mounts"].as_array().unwrap();
    let var = mounts.iter().find(|mount| mount["at"] == "/var").unwrap();
    assert_eq!(var["on"], "partition 1 of disk 2", "{mounts:?}");
    run(boot_test(&site, &first)).assert_done();

    // What a template adds goes onto both, in their places; how they were served once is no news of them any more.
    site.additions = "<disk><size>1T</size></disk>\n<files><file name='/etc/one'>1</file>\
        <file name='/var/two'>2</file></files>"
        .to_owned();
    site.write_template();
    assert!(site.output("served.ks").exists());
    let outcome = customized_by_name(&site, &xml);
    outcome.assert_done();
    assert_eq!(outcome.stdout.lines().count(), 2, "{}", outcome.stdout);
    assert_eq!(Disk::open(&first).text("/etc/one"), "1");
    assert_eq!(Disk::open(&second).text("/two"), "2");
    assert!(!site.output("served.ks").exists());

    // The set is one: none of it is replaced unless all of it may be.
    std::fs::remove_file(&first).unwrap();
    let before = std::fs::read(site.output("CHECKSUM")).unwrap();
    let mut command = site.install(&laid_out(layout, ""));
    command.args(["--disk", "3G"]);
    run(command).assert_failed(2, &["vdb.qcow2", "--force"]);
    assert_eq!(std::fs::read(site.output("CHECKSUM")).unwrap(), before);
}

#[test]
fn disks_that_cannot_be_are_refused_before_anything_is_done() {
    let site = Site::bare("nodisks");
    let refused = |options: &[&str], layout: &str, words: &[&str]| {
        let mut command = site.install(&laid_out(layout, ""));
        command.args(options);
        run(command).assert_failed(2, words);
    };
    let usual = "part / --fstype=ext4 --size=2048 --grow\n";
    refused(
        &["--disk", "4G", "--disk", "x.qcow2"],
        usual,
        &["--disk", "digit"],
    );
    refused(&["--disk", "1MiB"], usual, &["holds no system"]);
    let many: Vec<&str> = ["--disk", "1G"].repeat(5);
    refused(
        &[many, vec!["-b", "ide"]].concat(),
        usual,
        &["5 disks", "4"],
    );
    refused(
        &[
            "--disk",
            "4G",
            "--disk",
            "1G",
            "--format",
            "vagrant-libvirt",
        ],
        usual,
        &["vagrant-libvirt", "one disk"],
    );
    // The kickstart names the disks that there are, and no others.
    refused(
        &["--disk", "4G"],
        "part / --size=2048 --ondisk=vdb\n",
        &["KS110", "`vda`"],
    );
    refused(
        &["--disk", "4G", "--disk", "1G"],
        "part / --size=2048 --ondisk=vdc\n",
        &["KS110", "`vda` to `vdb`"],
    );
}

/// Every character that a shell, Python's shlex, `sed` or a terminal could trip over.
const PASSPHRASE: &str = "it's \"a\" \\ t\u{fc}r #1 $x";

/// The root is encrypted, and the kickstart does not say with what.
const ENCRYPTED: &str = "part /boot --fstype=ext4 --size=512\n\
    part / --fstype=ext4 --size=2048 --grow --encrypted # not here\n";

#[test]
#[ignore = "long"]
fn an_encrypted_system_is_sealed_boots_and_its_passphrase_is_nowhere() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("luks") else {
        return;
    };
    let plant =
        "%post --erroronfail\necho secret > /root/.bash_history\necho mine > /etc/motd\n%end\n";
    let mut command = site.install(&laid_out(ENCRYPTED, plant));
    command
        .env("OZR_TEST_PASSPHRASE", PASSPHRASE)
        .args(["--luks-passphrase", "env:OZR_TEST_PASSPHRASE"])
        .args(["--seal", "--boot-test"]);
    let outcome = run(command);
    outcome.assert_done();
    site.assert_built(&outcome, &["qcow2", "boot-test"]);

    // What says anything says nothing of it, whatever a program makes of its characters.
    let mut said = outcome.stdout.clone() + &outcome.stderr;
    for event in site.events() {
        said += &event.to_string();
    }
    for ending in ["xml", "manifest.json", "console.log", "served.ks"] {
        said += &std::fs::read_to_string(site.output(ending)).unwrap();
    }
    for entry in std::fs::read_dir(site.output("boot-test")).unwrap() {
        said += &String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap());
    }
    for part in ["t\u{fc}r", "t\\u00fcr", "t%C3%BCr"] {
        assert!(!said.contains(part), "{part} was said");
    }
    let served = std::fs::read_to_string(site.output("served.ks")).unwrap();
    let line = served.lines().find(|line| line.contains("--encrypted"));
    assert!(line.unwrap().starts_with("part *** / "), "{served}");

    // What was read offline was read with the passphrase: all is proved, and the packages are known.
    let manifest = json(&site.output("manifest.json"));
    assert_eq!(manifest["seal"]["unproved"], Value::Null, "{manifest}");
    assert!(manifest["seal"]["items"].as_array().unwrap().len() > 5);
    assert!(!manifest["packages"].as_array().unwrap().is_empty());
    let verify = |more: &[&str]| {
        let mut command = site.ozr();
        command.env("OZR_TEST_PASSPHRASE", PASSPHRASE);
        command.args(["verify", "--format", "json"]);
        command.args(more).arg(site.output("qcow2"));
        run(command)
    };
    let outcome = verify(&["--luks-passphrase", "env:OZR_TEST_PASSPHRASE"]);
    outcome.assert_done();
    assert!(
        outcome
            .stdout
            .contains("packages are those of the manifest"),
        "{}",
        outcome.stdout
    );
    let outcome = verify(&[]);
    outcome.assert_done();
    assert!(
        outcome.stdout.contains("no passphrase of it is known"),
        "{}",
        outcome.stdout
    );
    assert_eq!(
        json(&site.output("boot-test/boot-test.json"))["passed"],
        true
    );
    let image = site.output("qcow2");
    let mut guest = Guest::boot(&image, false);
    guest.answer("Please enter passphrase for disk", PASSPHRASE);
    guest.log_in("root", "test-only");
    assert_eq!(guest.run("cat /etc/motd"), "mine");
    for gone in [
        "/root/.bash_history",
        "/root/original-ks.cfg",
        "/root/anaconda-ks.cfg",
        "/var/log/anaconda",
    ] {
        assert_eq!(
            guest.run(&format!("[ -e {gone} ] && echo there")),
            "",
            "{gone}"
        );
    }
    drop(guest);

    // Without the passphrase, or with another, the test says what the boot waits for.
    let other = site.write("other", "wrong passphrase\n");
    for source in [None, Some(format!("file:{}", other.display()))] {
        let mut command = boot_test(&site, &image);
        if let Some(source) = source {
            command.args(["--luks-passphrase", &source]);
        }
        let outcome = run(command);
        outcome.assert_failed(1, &["(passphrase-asked)", "--luks-passphrase"]);
    }
}

#[test]
fn a_passphrase_that_is_not_there_is_asked_for_before_anything_is_done() {
    let site = Site::bare("noluks");
    let refused = |options: &[&str], words: &[&str]| {
        let mut command = site.install(&laid_out(ENCRYPTED, ""));
        command.args(options);
        run(command).assert_failed(2, words);
    };
    refused(&[], &["KS109", "--luks-passphrase file:PATH"]);
    refused(
        &["--luks-passphrase", "env:OZR_NOT_SET"],
        &["$OZR_NOT_SET is not there"],
    );
    refused(
        &["--luks-passphrase", "file:/nowhere"],
        &["/nowhere cannot be read"],
    );
    refused(&["--luks-passphrase", "env:HOME", "--verbatim"], &["KS109"]);
    // What people write in the place of its place is not repeated.
    let mut command = site.install(&laid_out(ENCRYPTED, ""));
    command.args(["--luks-passphrase", "hunter2"]);
    let outcome = run(command);
    outcome.assert_failed(2, &["file:PATH"]);
}

/// An install for UEFI, whose boot loader the stand-in has signed.
const ON_UEFI: &str = "reqpart\npart / --fstype=ext4 --size=2048 --grow\n";

/// Changes a byte of the signed boot loader in a plain image.
fn tamper(image: &Path) {
    use std::os::unix::fs::FileExt;

    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(image)
        .unwrap();
    let mark = b"UEFI SHIM\n$Version: ";
    let mut block = vec![0; 1 << 20];
    let found = (0..file.metadata().unwrap().len() >> 20).find_map(|mib| {
        file.read_at(&mut block, mib << 20).unwrap();
        let at = block.windows(mark.len()).position(|bytes| bytes == mark)?;
        Some((mib << 20) + at as u64)
    });
    file.write_all_at(b"x", found.expect("the shim is in the image"))
        .unwrap();
}

#[test]
#[ignore = "long"]
fn an_image_for_secure_boot_boots_with_it_and_another_does_not() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("secure") else {
        return;
    };
    site.serve_packed_kernel();
    let mut command = site.install(&laid_out(ON_UEFI, ""));
    command.args(["--secure-boot", "--tpm", "--boot-test", "--format", "raw"]);
    let outcome = run(command);
    outcome.assert_done();
    site.assert_built(&outcome, &["raw", "raw.bmap", "boot-test"]);
    let console = std::fs::read_to_string(site.output("boot-test/uefi-1.console.log")).unwrap();
    for said in ["Secure boot enabled", "TPMEventLog="] {
        assert!(console.contains(said), "{said} is not in {console}");
    }
    let manifest = json(&site.output("manifest.json"));
    for (field, value) in [
        ("firmware", Value::from("uefi")),
        ("secure_boot", true.into()),
        ("tpm", true.into()),
    ] {
        assert_eq!(manifest["host"][field], value, "{field}");
    }
    let xml = site.output("xml");
    output("virt-xml-validate", &[xml.to_str().unwrap(), "domain"]);
    let text = std::fs::read_to_string(&xml).unwrap();
    for part in [
        "<feature enabled=\"yes\" name=\"enrolled-keys\"/>",
        "<smm state=\"on\"/>",
        "<tpm model=",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }

    // The firmware really looks: a boot loader of which a byte was changed is none. The manifest says how
    // the image is to be booted.
    let image = site.output("raw");
    tamper(&image);
    run(boot_test(&site, &image)).assert_failed(1, &["(nothing-bootable)"]);
}

/// A disk of 1 MiB that begins as a disk does that can boot, and holds nothing.
fn write_empty_disk(image: &Path) {
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    std::fs::write(image, disk).unwrap();
}

#[test]
fn firmware_of_ones_own_starts_the_guest() {
    let site = Site::bare("firmware");
    let image = site.out().join("web.raw");
    write_empty_disk(&image);
    // A copy under a name that nobody else would choose.
    let code = site.path("own-code.fd");
    std::fs::copy("/usr/share/OVMF/OVMF_CODE_4M.fd", &code).unwrap();
    let boot_test = |code: &Path, vars: &str| {
        let mut command = site.ozr();
        command.args([
            "boot-test",
            "--accel",
            "tcg",
            "--memory",
            "256",
            "--state-dir",
        ]);
        command
            .arg(site.path("state"))
            .arg(&image)
            .arg("--firmware-code")
            .arg(code);
        command.args(["--firmware-vars", vars]);
        run(command)
    };
    let vars = "/usr/share/OVMF/OVMF_VARS_4M.fd";
    // It runs, and finds nothing on the disk.
    boot_test(&code, vars).assert_failed(1, &["(nothing-bootable)"]);
    boot_test(&code, "/nowhere").assert_failed(2, &["--firmware-vars: /nowhere cannot be read"]);
    boot_test(&site.out(), vars).assert_failed(2, &["--firmware-code", "is no firmware"]);
}

#[test]
fn boards_that_cannot_be_are_refused_before_anything_is_done() {
    let site = Site::bare("noboard");
    let refused = |options: &[&str], words: &[&str]| {
        let mut command = site.install(&laid_out(ON_UEFI, ""));
        command.args(options);
        run(command).assert_failed(2, words);
    };
    refused(
        &["--secure-boot", "--firmware", "bios"],
        &["--secure-boot is UEFI's"],
    );
    refused(&["--secure-boot", "-b", "ide"], &["q35"]);
    refused(&["--firmware-code", "x"], &["--firmware-vars"]);
    // A host without swtpm says what is missing.
    let image = site.out().join("web.raw");
    write_empty_disk(&image);
    let programs = site.path("bin");
    std::fs::create_dir(&programs).unwrap();
    for name in ["qemu-img", "qemu-system-x86_64"] {
        let there = output("sh", &["-c", &format!("command -v {name}")]);
        std::os::unix::fs::symlink(there.trim(), programs.join(name)).unwrap();
    }
    let mut command = site.ozr();
    command.env("PATH", &programs).args([
        "boot-test",
        "--tpm",
        "--accel",
        "tcg",
        "--vcpus",
        "1",
        "--state-dir",
    ]);
    command.arg(site.path("state")).arg(&image);
    run(command).assert_failed(3, &["there is no swtpm here", "--tpm"]);
}

#[test]
#[ignore = "long"]
fn a_guest_has_all_its_network_cards() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("nics") else {
        return;
    };
    let second = "52:54:00:0a:0b:0c";
    // What the installer's own machine had.
    let more = "%post --erroronfail\ncat /sys/class/net/*/address > /etc/cards\n%end\n";
    let mut command = site.install(&kickstart(more));
    command.args(["-m", "52:54:00:0a:0b:01", "--network", "user"]);
    command.args(["--network", &format!("user,mac={second}")]);
    let outcome = run(command);
    outcome.assert_done();
    let cards = support::disk::Disk::open(&site.output("qcow2")).text("/etc/cards");
    for mac in ["52:54:00:0a:0b:01", second] {
        assert!(cards.contains(mac), "{mac} is not in {cards}");
    }
    let xml = site.output("xml");
    output("virt-xml-validate", &[xml.to_str().unwrap(), "domain"]);
    let text = std::fs::read_to_string(&xml).unwrap();
    for part in [second, "address=\"10.0.3.0\""] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn network_cards_that_cannot_be_are_refused_before_anything_is_done() {
    let site = Site::bare("nonics");
    let refused = |options: &[&str], words: &[&str]| {
        let mut command = site.install(&kickstart(""));
        command.args(options);
        run(command).assert_failed(2, words);
    };
    refused(
        &["--network", "user,speed=1"],
        &["NETWORK,mac=MAC,model=MODEL"],
    );
    refused(&["--network", "user"].repeat(9), &["9 network cards", "8"]);
    refused(
        &["--serve-address", "192.0.2.1"],
        &["--serve-address", "loopback"],
    );
}
