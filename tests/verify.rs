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
