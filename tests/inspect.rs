//! `ozr inspect`: an image that is made here, with the RPM database of fixtures/packages in it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// A system, on an ext4 that takes the whole disk.
fn image(directory: &Path) -> PathBuf {
    let root = directory.join("root");
    let put = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put(
        "etc/os-release",
        "ID=\"rocky\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"\n\
         CPE_NAME=\"cpe:/o:rocky:rocky:9::baseos\"\n",
    );
    put(
        "etc/fstab",
        "UUID=11111111-2222-3333-4444-555555555555 / ext4 defaults 0 0\n\
         /dev/mapper/luks-home /home xfs defaults 0 0\n",
    );
    put("etc/hostname", "web\u{1b}[31m.example.org\n");
    put(
        "etc/selinux/config",
        "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
    );
    put(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nbin:x:1:1:bin:/bin:/sbin/nologin\n\
         admin:x:1000:1000::/srv/admin:/bin/bash\n",
    );
    put(
        "etc/shadow",
        "root:!!:19000::::::\nadmin:$6$secret$digest:19000::::::\n",
    );
    put(
        "srv/admin/.ssh/authorized_keys",
        "# mine\nssh-ed25519 AAAA a\nssh-ed25519 AAAB b\n",
    );
    put("usr/lib/modules/5.14.0-427.el9.x86_64/modules.dep", "");
    put("usr/lib/modules/5.14.0-1.el9.x86_64/left-over", "");
    put("boot/vmlinuz-5.14.0-427.el9.x86_64", "kernel");
    put(
        "boot/grub2/grubenv",
        "# GRUB Environment Block\nkernelopts=root=UUID=1 ro\n",
    );
    put(
        "boot/loader/entries/a.conf",
        "title Rocky\nlinux /boot/vmlinuz-5.14.0-427.el9.x86_64\noptions $kernelopts quiet\n",
    );
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(
        "/usr/lib/systemd/system/sshd.service",
        wants.join("sshd.service"),
    )
    .unwrap();
    symlink(
        "/usr/lib/systemd/system/multi-user.target",
        root.join("etc/systemd/system/default.target"),
    )
    .unwrap();
    for (name, to) in [
        ("rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite"),
        ("history.sqlite", "var/lib/dnf/history.sqlite"),
        ("history.sqlite-wal", "var/lib/dnf/history.sqlite-wal"),
    ] {
        let packed = fs::read(fixture(&format!("packages/{name}.zst"))).unwrap();
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    }
    // As yum has it, in a directory for each package.
    let yum = "var/lib/yum/yumdb/e/1c5d-epoch-zero-2.0~rc1-3.el9-noarch/from_repo";
    put(yum, "base");
    let disk = directory.join("rocky-9.raw");
    fs::File::create(&disk).unwrap().set_len(32 << 20).unwrap();
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-L", "root", "-d", "root"])
        .args(["-U", "11111111-2222-3333-4444-555555555555", "rocky-9.raw"])
        .current_dir(directory)
        .status();
    assert!(made.unwrap().success());
    disk
}

fn inspect(arguments: &[&str], image: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ozr"))
        .arg("inspect")
        .args(arguments)
        .arg(image)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn an_image_is_described_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    assert_eq!(
        stdout(&inspect(&[], &image)),
        "\
system       Rocky Linux 9.4 (Blue Onyx)
hostname     web\\u{1b}[31m.example.org
disk         32.0 MiB, no partition table
             ext4 LABEL=root UUID=11111111-2222-3333-4444-555555555555
mounts       / ext4 on the disk
             /home: not read: /dev/mapper/luks-home is not on the disk
kernels      5.14.0-427.el9.x86_64, no initramfs
boot entries /boot/vmlinuz-5.14.0-427.el9.x86_64 root=UUID=1 ro quiet
boots to     multi-user.target
SELinux      enforcing, targeted
users        root (0) /bin/bash: no password
             admin (1000) /bin/bash: a password, 2 SSH keys
enabled      sshd.service
packages     5, 48.2 KiB of files
             epoch-two-2:5.14.0-427.13.1.el9_4.x86_64
             epoch-zero-2.0~rc1-3.el9.noarch
             gpg-pubkey-b5536c08-6b0ca521
             large-1.2.3^git4-1.el9.x86_64
             small-1.0-1.noarch
"
    );
    let json = stdout(&inspect(&["--format", "json"], &image));
    assert!(!json.contains("secret"), "a password's digest");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let packages = value["system"]["packages"].as_array().unwrap();
    assert_eq!(packages[0]["epoch"], 2);
    let from = packages.iter().map(|package| &package["repository"]);
    let from: Vec<_> = from.map(|repository| repository.as_str()).collect();
    assert_eq!(
        from,
        // The key is from no repository; what was installed again is from where it was then.
        [
            Some("BaseOS"),
            Some("base"),
            None,
            Some("updates"),
            Some("anaconda")
        ]
    );
    assert_eq!(value["system"]["users"][1]["password"], "set");
    // The same from qcow2, in each of its packings.
    for packing in ["zlib", "zstd"] {
        let packed = directory.path().join(format!("{packing}.qcow2"));
        let made = Command::new("qemu-img")
            .args(["convert", "-c", "-O", "qcow2", "-o"])
            .arg(format!("compression_type={packing}"))
            .args([&image, &packed])
            .status();
        assert!(made.unwrap().success());
        assert_eq!(stdout(&inspect(&["--format", "json"], &packed)), json);
    }
}

#[test]
fn what_is_no_image_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let refused = |image: &Path, format: &str| {
        let output = inspect(&["--format", format], image);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&file("a.vmdk", b"KDMV and more"), "human");
    assert!(said.contains("vmdk images are not read"), "{said}");
    let said = refused(&file("empty", b""), "human");
    assert!(said.contains("the image is empty"), "{said}");
    let said = refused(Path::new("/nowhere/x.raw"), "json");
    assert!(said.contains("No such file"), "{said}");
    let luks = [b"LUKS\xba\xbe".as_slice(), &[0; 1 << 16]].concat();
    let luks = file("luks.raw", &luks);
    let said = refused(&luks, "spdx");
    assert!(said.contains("it is encrypted (LUKS)"), "{said}");
    let text = stdout(&inspect(&[], &luks));
    assert!(
        text.contains("crypto_LUKS") && text.contains("not read"),
        "{text}"
    );
}

/// Programs of others say whether they are what they claim to be.
#[test]
fn descriptions_for_scanners_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    for format in ["spdx", "cyclonedx"] {
        let text = stdout(&inspect(&["--format", format], &image));
        assert!(
            text.contains(
                "pkg:rpm/rocky/epoch-zero@2.0~rc1-3.el9?arch=noarch&distro=rocky-9.4&epoch=0&upstream=epoch-zero-2.0~rc1-3.el9.src.rpm"
            ),
            "{text}"
        );
        let name = if format == "spdx" {
            "a.spdx.json"
        } else {
            "a.cdx.json"
        };
        fs::write(directory.path().join(name), text).unwrap();
    }
    let python = std::env::var("OZR_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let checked = Command::new(&python)
        .arg(fixture("sbom/check"))
        .args(["a.spdx.json", "a.cdx.json"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    if said.contains("ModuleNotFoundError") && std::env::var_os("OZR_TEST_ALL").is_none() {
        eprintln!("skipped: {python} lacks cyclonedx-python-lib or spdx-tools");
        return;
    }
    assert!(checked.status.success(), "{said}");
}
