//! Builds of the same image night after night: what is known of those before.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// What ozr says, with builds noted below a directory.
fn ozr(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ozr"))
        .args(arguments)
        .arg("--state-dir")
        .arg(directory.join("state"))
        .current_dir(directory)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A manifest with one package of this version.
fn manifest(id: &str, version: &str) -> Value {
    let digest = "0".repeat(64);
    let source = json!({ "file": "web.tdl", "sha256": digest });
    let file = json!({ "path": "vmlinuz", "sha256": digest, "verified": true });
    json!({
        "schema": 1, "ozr_version": "0", "build_id": id, "name": "web",
        "started": "2026-11-30T02:00:00Z", "finished": "2026-11-30T02:10:00Z",
        "template": source, "kickstart": source,
        "release": { "name": "Rocky-9", "version": "4", "arch": "x86_64", "installer": null },
        "tree": { "url": "http://m/", "kernel": file, "initrd": file },
        "image": { "file": "web.vhd", "format": "azure", "compression": "none", "size": 1,
            "virtual_size": 1, "sha256": digest },
        "seal": { "items": [], "left": [], "unproved": null },
        "storage": null, "images": [],
        "host": { "name": "h", "hypervisor": "q", "accelerator": "kvm", "vcpus": 1,
            "memory_mib": 1, "firmware": "bios" },
        "phases": [], "repositories": [], "findings": [], "notes": [],
        "packages": [{ "name": "web", "epoch": null, "version": version, "release": "1",
            "arch": "noarch", "size": 1, "vendor": null, "signing_key": null,
            "header_sha256": null, "repository": null, "source_rpm": null, "license": null,
            "summary": null, "built": null, "installed": null }],
    })
}

/// A build as the history has it, and its manifest.
fn build(directory: &Path, id: &str, day: u32, seconds: f64) -> Value {
    let path = directory.join(format!("web-{day}.manifest.json"));
    std::fs::write(&path, manifest(id, &day.to_string()).to_string()).unwrap();
    json!({
        "id": id, "name": "web", "seconds": 600.0, "verdict": "good", "message": null,
        "started": format!("2026-11-{day}T02:00:00Z"),
        "finished": format!("2026-11-{day}T02:10:00Z"),
        "accelerator": "kvm", "phases": { "packages": seconds }, "finishing": 1.0,
        "images": [{ "path": path.with_extension("vhd"), "size": 1048576 }], "manifest": path,
    })
}

#[test]
fn the_builds_of_a_name_are_shown_and_the_last_two_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut builds: Vec<Value> = (21..26)
        .map(|day| build(directory, &format!("{day}aaaaaaaaaa"), day, 100.0))
        .collect();
    builds[4]["phases"]["packages"] = json!(151.0);
    builds[3]["verdict"] = json!("download-failed");
    let history = directory.join("state/history");
    std::fs::create_dir_all(&history).unwrap();
    let about =
        json!({ "template": "web", "release": "r", "arch": "x86_64", "kickstart": "web.ks" });
    let document = json!({ "schema": 2, "about": about, "builds": builds });
    std::fs::write(history.join("a.json"), document.to_string()).unwrap();

    let output = ozr(directory, &["history", "web"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(
        text.contains("packages took 151.0 s, and 100.0 s as a rule"),
        "{text}"
    );
    let output = ozr(directory, &["history", "--last", "2", "--format", "json"]);
    let rows = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let of = |key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("verdict"), ["download-failed", "good"]);
    assert_eq!(of("kept"), [false, true]);
    assert_eq!(rows[1]["phases"][0]["slow"], true);

    // What failed has left nothing that could be compared.
    let output = ozr(directory, &["diff", "web"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(text.contains("up web: 23-1 → 25-1"), "{text}");
    // Another build has taken its place.
    std::fs::copy(
        directory.join("web-21.manifest.json"),
        directory.join("web-23.manifest.json"),
    )
    .unwrap();
    let output = ozr(directory, &["diff", "web"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("up web: 22-1 → 25-1"), "{text}");
    let output = ozr(directory, &["diff", "21aaaa", "web-25.manifest.json"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("up web: 21-1 → 25-1"), "{text}");

    for (arguments, says) in [
        (&["diff", "webb"][..], "did you mean `web`"),
        (&["diff", "web-25.manifest.json"], "name the other one"),
        (
            &["diff", "23aaaa", "web"],
            "nothing is left of the builds of `23aaaa`",
        ),
        (&["history", "db"], "no build is known that is called `db`"),
    ] {
        let output = ozr(directory, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            said(&output).contains(says),
            "{arguments:?}: {}",
            said(&output)
        );
    }
    // Others have no business there.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&history, std::fs::Permissions::from_mode(0o777)).unwrap();
    let output = ozr(directory, &["history"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}
