//! `ozr diff`: two images that are made here, with RPM databases that rpm made.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A package of a test's own.
fn rpm(directory: &Path, version: &str, changelog: &str) -> PathBuf {
    let spec = directory.join(format!("web-{version}.spec"));
    let text = format!(
        "Name: web\nVersion: {version}\nRelease: 1.el9\nSummary: x\nLicense: x\nBuildArch: noarch\n\
         %description\nx\n%files\n%changelog\n{changelog}"
    );
    fs::write(&spec, text).unwrap();
    let built = Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--define"])
        .arg(format!("_topdir {}", directory.display()))
        .arg(&spec)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    directory.join(format!("RPMS/noarch/web-{version}-1.el9.noarch.rpm"))
}

/// A system with a package, on an ext4 that takes the whole disk.
fn image(directory: &Path, name: &str, package: &Path, uuid: &str, motd: &str) -> PathBuf {
    let root = directory.join(name);
    let put = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put("etc/os-release", "ID=rocky\nVERSION_ID=9.4\n");
    put("etc/fstab", &format!("UUID={uuid} / ext4 defaults 0 0\n"));
    put("etc/motd", motd);
    let database = root.join("var/lib/rpm");
    fs::create_dir_all(&database).unwrap();
    let installed = Command::new("rpm")
        .args(["--define", "_db_backend sqlite", "--dbpath"])
        .arg(&database)
        .args(["--justdb", "--nodeps", "-i"])
        .arg(package)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&installed.stderr);
    assert!(installed.status.success(), "{said}");
    let disk = directory.join(format!("{name}.raw"));
    fs::File::create(&disk).unwrap().set_len(32 << 20).unwrap();
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-U", uuid, "-d"])
        .args([&root, &disk])
        .status();
    assert!(made.unwrap().success());
    disk
}

fn diff(arguments: &[&str], old: &Path, new: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ozr"))
        .arg("diff")
        .args(arguments)
        .args([old, new])
        .output()
        .unwrap()
}

const FIRST: &str = "* Mon Jan 01 2024 A <a@example.org> - 1.9-1\n- First\n";

#[test]
fn two_images_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let old = rpm(directory, "1.9", FIRST);
    let fixed =
        format!("* Tue Jan 02 2024 A <a@example.org> - 1.10-1\n- Fix CVE-2024-12345\n\n{FIRST}");
    let new = rpm(directory, "1.10", &fixed);
    let one = "11111111-2222-3333-4444-555555555555";
    let other = "99999999-2222-3333-4444-555555555555";
    let old = image(directory, "old", &old, one, "hello\n");
    let same = directory.join("same.raw");
    fs::copy(&old, &same).unwrap();
    let new = image(directory, "new", &new, other, "hello, world\n");

    let output = diff(&[], &old, &new);
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let expected = "\nPackages: 1 up (1 → 1)\n  up web: 1.9-1.el9 → 1.10-1.el9\n      CVE-2024-12345\n      \
                    - Fix CVE-2024-12345\n\nCVE ids in their changelogs\n  CVE-2024-12345\n\n\
                    Files of configuration\n  ~ /etc/motd\n";
    assert!(text.contains(expected), "{text}");
    // The UUID in fstab is another in each build.
    assert!(!text.contains("fstab"), "{text}");
    // What went before is not told again.
    assert!(!text.contains("First"), "{text}");

    let output = diff(&["--format", "json", "--exit-code"], &new, &old);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let step = &json["packages"]["downgraded"][0];
    assert_eq!(
        (&step["old"], &step["new"]),
        (&"1.10-1.el9".into(), &"1.9-1.el9".into())
    );

    let output = diff(&["--exit-code"], &old, &same);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines().next().unwrap().ends_with(": made of the same"),
        "{text}"
    );
}

#[test]
fn what_is_no_image_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let paper = directory.path().join("x.manifest.json");
    fs::write(&paper, "{}").unwrap();
    for (path, words) in [
        (paper.as_path(), "x.manifest.json: it is no manifest"),
        (
            Path::new("/nowhere.raw"),
            "reading /nowhere.raw: No such file",
        ),
        (Path::new("/dev/null"), "/dev/null"),
    ] {
        let output = diff(&[], path, path);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
    }
}
