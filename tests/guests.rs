//! Guests that some images need: several disks. Through the real thing: installed,
//! sealed, booted, and read by others.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use support::site::{Site, kickstart, run};

/// The kickstart of the tests with another layout of the disks.
fn laid_out(layout: &str, more: &str) -> String {
    let text = kickstart(more);
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

#[test]
fn a_system_on_two_disks_is_sealed_booted_and_published_whole() {
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
    site.assert_clean(
        &outcome,
        &[
            "qcow2",
            "vdb.qcow2",
            "ova",
            "xml",
            "manifest.json",
            "provenance.json",
            "console.log",
            "served.ks",
            "CHECKSUM",
            "boot-test",
        ],
    );
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
    let mut again = site.ozr();
    again
        .args(["boot-test", "--accel", "tcg", "--output-dir"])
        .arg(site.path("home"));
    again.arg("--state-dir").arg(site.path("state")).arg(&first);
    run(again).assert_done();

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
