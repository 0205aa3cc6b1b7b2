//! `ozr verify --for`, inside: a system that suits no importer and one that suits them all, in every format that
//! ozr makes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::importers::TAKEN;
use serde_json::Value;

const OZR: &str = env!("CARGO_BIN_EXE_ozr");

/// The formats that are made.
const FORMATS: &str = "azure,gcp,raw,vmdk,ova,ovirt,vagrant-libvirt,vagrant-virtualbox,vagrant-vmware,vagrant-hyperv,containerdisk,qcow2";

/// The files for each importer; gzip makes the last one.
fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    TAKEN.into_iter().chain([("kubevirt", "i.qcow2.gz")])
}

/// Drivers of every machine, of its disk and of its network card.
const DISKS: [&str; 8] = [
    "hv_vmbus",
    "hv_storvsc",
    "virtio_scsi",
    "nvme",
    "vmw_pvscsi",
    "virtio_blk",
    "ahci",
    "mptspi",
];
const CARDS: [&str; 6] = ["hv_netvsc", "virtio_net", "gve", "ena", "vmxnet3", "e1000"];

/// What a kernel unpacks, with these modules, behind microcode.
fn initramfs(modules: &[&str]) -> Vec<u8> {
    let archive = |names: &[String]| {
        let mut archive = Vec::new();
        for name in names {
            let entry = cpio::newc::Builder::new(name).mode(0o100_644);
            archive = entry.write(archive, 0).finish().unwrap();
        }
        cpio::newc::trailer(archive).unwrap()
    };
    let names: Vec<String> = modules
        .iter()
        .map(|name| {
            format!(
                "usr/lib/modules/5.14/kernel/drivers/{}.ko.xz",
                name.replace('_', "-")
            )
        })
        .collect();
    let mut whole = archive(&["early_cpio".to_owned()]);
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole.extend(zstd::encode_all(archive(&names).as_slice(), 3).unwrap());
    whole
}

/// `i.*` in a directory: a disk with a system and a swap partition, in every format.
fn images(directory: &Path, suits: bool) {
    let root = directory.join("root");
    let put = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put(
        "etc/os-release",
        b"ID=rocky\nVERSION_ID=9.4\nPRETTY_NAME=\"Rocky Linux 9.4\"\n",
    );
    let (fstab, options, modules, cards) = match suits {
        true => (
            "UUID=1-2 / ext4 defaults 0 0\n/dev/sdb1 /data xfs nofail 0 0\n",
            "root=UUID=1-2 ro console=ttyS0",
            &DISKS[..],
            &CARDS[..],
        ),
        false => (
            "/dev/vda1 / ext4 defaults 0 0\n",
            "root=/dev/vda1 ro",
            &["dm_mod"][..],
            &[][..],
        ),
    };
    put("etc/fstab", fstab.as_bytes());
    put(
        "boot/loader/entries/a.conf",
        format!("title R\nlinux /vmlinuz-5.14\noptions {options}\n").as_bytes(),
    );
    put("boot/vmlinuz-5.14", b"kernel");
    put("boot/initramfs-5.14.img", &initramfs(modules));
    let list = |names: &[&str]| -> String {
        names
            .iter()
            .map(|name| format!("kernel/drivers/{name}.ko.xz:\n"))
            .collect()
    };
    put("usr/lib/modules/5.14/modules.dep", list(cards).as_bytes());
    put(
        "usr/lib/modules/5.14/modules.builtin",
        b"kernel/drivers/ext4.ko\n",
    );
    let script = "mke2fs -q -t ext4 -d root part 40M 2>/dev/null
        truncate -s 64M disk.raw
        printf 'label: dos\nstart=2048,size=81920,type=83,bootable\nstart=83968,type=82\n' | sfdisk -q disk.raw
        printf '\\353\\376' | dd of=disk.raw conv=notrunc status=none
        dd if=part of=disk.raw bs=512 seek=2048 conv=notrunc,sparse status=none
        [ $1 = true ] || { truncate -s 10M swap; mkswap -q swap; dd if=swap of=disk.raw bs=512 seek=83968 conv=notrunc,sparse status=none; }
        \"$2\" convert disk.raw --name i --format \"$3\"
        gzip -kn i.qcow2";
    let mut bash = Command::new("bash");
    bash.args(["-euc", script, "bash", &suits.to_string(), OZR, FORMATS]);
    let output = bash.current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn verify(directory: &Path, importer: &str, file: &str) -> Output {
    let mut command = Command::new(OZR);
    command.args(["verify", "--for", importer, "--format", "json", file]);
    command.current_dir(directory).output().unwrap()
}

/// The rules that found something, each once, and all messages.
fn rules(output: &Output) -> (Vec<String>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let findings = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ids = findings.filter_map(|finding| Some(finding["id"].as_str()?.to_owned()));
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids.dedup();
    (ids, text)
}

#[test]
fn what_suits_no_importer_is_found_in_every_format() {
    let site = tempfile::tempdir().unwrap();
    images(site.path(), false);
    for (importer, file) in files() {
        let output = verify(site.path(), importer, file);
        let (ids, text) = rules(&output);
        // Warnings alone.
        assert_eq!(
            output.status.code(),
            Some(0),
            "{file} for {importer}: {text} {output:?}"
        );
        let mut wanted = vec!["VF101", "VF102", "VF103", "VF104"];
        match file {
            // VirtualBox' disks are of many kinds, VMware's desktop products' cards, too.
            "i.virtualbox.box" => wanted.retain(|id| *id != "VF101"),
            "i.vmware.box" => wanted.retain(|id| *id != "VF102"),
            _ => {}
        }
        if ["azure", "aws", "gcp"].contains(&importer) {
            wanted.push("VF105");
        }
        if importer == "azure" {
            wanted.push("VF107");
        }
        assert_eq!(ids, wanted, "{file} for {importer}: {text}");
    }
    let strict = Command::new(OZR)
        .args(["verify", "--for", "aws", "--strict", "i.raw"])
        .current_dir(site.path())
        .output()
        .unwrap();
    assert_eq!(strict.status.code(), Some(2));
    let said = String::from_utf8_lossy(&strict.stderr);
    for says in [
        "[VF101]",
        "lacks nvme",
        "/dev/vda1",
        "the kernel 5.14 has no ena",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn what_suits_all_importers_is_left_alone() {
    let site = tempfile::tempdir().unwrap();
    images(site.path(), true);
    for (importer, file) in files() {
        let (ids, text) = rules(&verify(site.path(), importer, file));
        assert_eq!(ids, [""; 0], "{file} for {importer}: {text}");
        let unknown = ["not looked at", "drivers in the initramfs"];
        assert!(
            !unknown.iter().any(|words| text.contains(words)),
            "{file} for {importer}: {text}"
        );
    }
}

/// The root of a system for WSL, packed by `tar`, with these changes made first by a shell in it.
fn distribution(directory: &Path, changes: &str, name: &str) -> Output {
    let script = format!(
        "rm -rf tree; mkdir -p tree/etc/systemd/system tree/usr/bin tree/usr/lib/systemd/system/sysinit.target.wants tree/usr/lib/wsl
        cd tree; ln -s usr/bin bin; ln -s bin usr/sbin; ln -s /usr/sbin sbin
        echo x > usr/bin/bash; ln -s bash usr/bin/sh; ln -s ../lib/systemd/systemd usr/bin/init; echo x > usr/lib/systemd/systemd
        printf '[oobe]\\ncommand = /usr/lib/wsl/first -x\\ndefaultUid = 1000\\ndefaultName = d\\n' > etc/wsl-distribution.conf
        printf '[boot]\\nsystemd=true\\n' > etc/wsl.conf
        echo 'root:x:0:0:root:/root:/bin/bash' > etc/passwd; echo 'root:*:1::::::' > etc/shadow
        echo x > usr/lib/wsl/first; chmod 755 usr/lib/wsl/first; chmod 644 etc/*.conf etc/passwd
        ln -s ../tmp.mount usr/lib/systemd/system/sysinit.target.wants/tmp.mount; ln -s /dev/null etc/systemd/system/tmp.mount
        {changes}
        tar --numeric-owner --owner=0 --group=0 -c . | gzip > ../{name}"
    );
    let made = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(directory)
        .status();
    assert!(made.unwrap().success(), "{changes}");
    let mut ozr = Command::new(OZR);
    ozr.args(["verify", "--for", "wsl", name])
        .current_dir(directory);
    ozr.output().unwrap()
}

#[test]
fn what_wsl_wants_of_a_distribution() {
    let directory = tempfile::tempdir().unwrap();
    let look = |changes: &str, name: &str| {
        let output = distribution(directory.path(), changes, name);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (status, said) = look("", "d.wsl");
    assert_eq!(status, Some(0), "{said}");
    assert!(
        !said.contains("warning") && !said.contains("note:"),
        "{said}"
    );
    assert!(look("", "d.tar.gz").1.contains("does not end in .wsl"));
    for (changes, words) in [
        (
            "rm etc/wsl-distribution.conf",
            "there is no /etc/wsl-distribution.conf",
        ),
        (
            "sed -i s/defaultName/defaultname2/ etc/wsl-distribution.conf",
            "oobe.defaultname2",
        ),
        (
            "sed -i s/1000/me/ etc/wsl-distribution.conf",
            "oobe.defaultUid is me",
        ),
        (
            "rm usr/lib/wsl/first",
            "/usr/lib/wsl/first, which is not in the archive",
        ),
        ("chmod 644 usr/lib/wsl/first", "which cannot be run"),
        ("chmod 600 etc/wsl.conf", "/etc/wsl.conf has the mode 600"),
        ("rm usr/bin/init", "there is no /sbin/init"),
        (
            "echo '[shortcut]\nicon = /i.ico' >> etc/wsl-distribution.conf",
            "shortcut.icon is /i.ico",
        ),
        ("echo a:x:0:0::: > etc/passwd", "the user 0 is not root"),
        ("rm etc/passwd", "there is no /etc/passwd"),
        (
            "echo 'a:$6$a$b:1::::::' >> etc/shadow",
            "the hash of a password, that of a",
        ),
        ("rm usr/bin/sh", "there is no /bin/sh"),
        ("ln -sf sh usr/bin/bash", "there is no /bin/bash"),
        ("echo x > etc/resolv.conf", "/etc/resolv.conf"),
        ("rm etc/systemd/system/tmp.mount", "tmp.mount is enabled"),
        ("echo = > etc/wsl.conf", "/etc/wsl.conf cannot be read"),
    ] {
        let (status, said) = look(changes, "d.wsl");
        assert_eq!(status, Some(0), "{changes}: {said}");
        assert!(
            said.contains("warning") && said.contains(words),
            "{changes}: {said}"
        );
    }
    // What cannot be unpacked is refused.
    let whole = fs::read(directory.path().join("d.wsl")).unwrap();
    let damaged = directory.path().join("cut.wsl");
    for (bytes, words) in [
        (&whole[..whole.len() / 2], "cannot be read to its end"),
        (&b"MSWIM"[..], "a plain file, and WSL takes a tar archive"),
    ] {
        fs::write(&damaged, bytes).unwrap();
        let output = Command::new(OZR)
            .args(["verify", "--for", "wsl"])
            .arg(&damaged)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
