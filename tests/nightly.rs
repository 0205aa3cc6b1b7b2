//! Builds of the same image night after night: what is known of those before.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support;
use crate::support::repository::Packing;
use crate::support::site::{Site, bootable, run};

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

/// The path of a list of the repository at `/os` on the mirror.
fn list(site: &Site, ending: &str) -> String {
    let paths = site.mirror.paths();
    let mut lists = paths
        .into_iter()
        .filter(|path| path.starts_with("/os/repodata/"));
    lists.find(|path| path.ends_with(ending)).unwrap()
}

/// Publishes the repository at `/os` with another list of packages, as createrepo_c would.
fn republish(site: &Site, packages: &str) {
    let path = list(site, "primary.xml.gz");
    let packed = Packing::Gzip.pack(packages.as_bytes());
    let digest = ozr::hex::sha256(&packed);
    site.mirror.remove(&path);
    site.mirror
        .put(&format!("/os/repodata/{digest}-primary.xml.gz"), packed);
    let files = site.mirror.files();
    let (_, repomd) = files
        .iter()
        .find(|(path, _)| path == "/os/repodata/repomd.xml")
        .unwrap();
    let text = String::from_utf8(repomd.body.to_vec()).unwrap();
    let (before, rest) = text.split_once("<data type=\"primary\">").unwrap();
    let (_, after) = rest.split_once("</data>").unwrap();
    let text = format!(
        "{before}<data type=\"primary\"><checksum type=\"sha256\">{digest}</checksum>\
         <location href=\"repodata/{digest}-primary.xml.gz\"/><open-size>{}</open-size></data>{after}",
        packages.len()
    );
    site.mirror.put("/os/repodata/repomd.xml", text);
}

/// A package for the list.
fn entry(name: &str, version: &str, relations: &str) -> String {
    format!(
        "<package type=\"rpm\"><name>{name}</name><arch>noarch</arch>\
         <version epoch=\"0\" ver=\"{version}\" rel=\"1\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">{:064x}</checksum>\
         <location href=\"Packages/{name}.rpm\"/><format>{relations}</format></package>",
        name.len()
    )
}

/// One image, and what would and would not be another reason to build it.
#[test]
#[ignore = "long"]
fn an_image_is_kept_until_something_else_would_come_of_it() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("again") else {
        return;
    };
    let kickstart = bootable("%packages\ncorp-agent\n%end\n%post\ndnf clean all || true\n%end\n")
        .replace(
            "text\n",
            &format!(
                "text\nrepo --name=corp --baseurl={}\n",
                site.guest_url("/custom/")
            ),
        );
    let install = |more: &[&str]| {
        let mut command = site.install(&kickstart);
        command
            .args(["--if-changed", "--keep-builds", "2"])
            .args(more);
        run(command)
    };
    let outcome = install(&[]);
    outcome.assert_done();
    assert!(
        outcome
            .stderr
            .contains("changed: there is no image with a manifest"),
        "{}",
        outcome.stderr
    );
    // The links lead to what bears the build's date and id.
    let image = PathBuf::from(outcome.stdout.trim());
    let link = site.output("qcow2");
    let kept = image.file_name().unwrap().to_str().unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new(kept));
    assert!(kept.starts_with(&format!("{}-20", site.name)), "{kept}");
    for ending in ["CHECKSUM", "manifest.json", "provenance.json", "xml"] {
        assert!(site.output(ending).is_symlink(), "{ending}");
    }
    let sums = Command::new("sha256sum")
        .args(["-c", "--quiet"])
        .arg(site.output("CHECKSUM"))
        .current_dir(site.out())
        .status();
    assert!(sums.unwrap().success());
    let manifest = || -> Value {
        serde_json::from_slice(&std::fs::read(site.output("manifest.json")).unwrap()).unwrap()
    };
    let built = manifest();
    assert_eq!(
        built["fingerprint"]["unknown"],
        json!([]),
        "{}",
        built["fingerprint"]
    );
    let candidates = built["fingerprint"]["candidates"].as_array().unwrap().len();
    assert!(
        candidates >= built["packages"].as_array().unwrap().len(),
        "{candidates}"
    );

    // An unchanged night.
    site.mirror.forget();
    let report = site.path("report.xml");
    let outcome = install(&["--report", &format!("junit={}", report.display())]);
    outcome.assert_done();
    assert_eq!(outcome.stdout.trim(), image.display().to_string());
    assert!(
        outcome.stderr.contains("nothing has changed"),
        "{}",
        outcome.stderr
    );
    assert_eq!(manifest(), built);
    let mut asked: Vec<String> = site
        .mirror
        .requests()
        .into_iter()
        .map(|request| format!("{} {}", request.path, request.status))
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            "/custom/repodata/repomd.xml 304",
            "/os/.treeinfo 200",
            "/os/repodata/repomd.xml 304"
        ]
    );
    let events = site.events();
    let kept = events
        .iter()
        .find(|event| event["event"] == "kept")
        .unwrap();
    assert_eq!(kept["id"], built["build_id"]);
    assert_eq!(
        events
            .iter()
            .filter(|event| event["event"] == "build-started")
            .count(),
        1
    );
    assert!(
        std::fs::read_to_string(&report)
            .unwrap()
            .contains("nothing has changed")
    );

    // What would come of a build, without one.
    let ask = |kickstart: &str, more: &[&str]| -> (i32, Value) {
        let kickstart = site.write("asked.ks", kickstart);
        let mut command = site.ozr();
        command
            .args(["needs-rebuild", "template.tdl", "-k"])
            .arg(kickstart);
        command.args([
            "--output-dir",
            "out",
            "--cache-dir",
            "cache",
            "--state-dir",
            "state",
            "--no-seal",
            "--json",
            "--keep-builds",
            "2",
            "--vcpus",
            "2",
        ]);
        command
            .args(["--memory", &site.memory.to_string()])
            .args(more);
        let outcome = run(command);
        let json = serde_json::from_str(&outcome.stdout);
        (
            outcome.status,
            json.unwrap_or_else(|_| panic!("{}", outcome.stderr)),
        )
    };
    let reasons = |(status, answer): (i32, Value)| -> Vec<String> {
        let reasons = answer["reasons"].as_array().unwrap().iter();
        let reasons: Vec<String> = reasons
            .map(|one| {
                format!(
                    "{}: {}",
                    one["kind"].as_str().unwrap(),
                    one["text"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(status, i32::from(reasons.is_empty()), "{reasons:?}");
        assert_eq!(answer["rebuild"], !reasons.is_empty());
        reasons
    };
    assert_eq!(reasons(ask(&kickstart, &[])), [""; 0]);
    assert_eq!(
        reasons(ask(&format!("{kickstart}# x\n"), &[])),
        ["input: the kickstart is another"]
    );
    assert_eq!(
        reasons(ask(&kickstart, &["--disk", "5G"])),
        ["input: --disk is new"]
    );
    assert_eq!(
        reasons(ask(
            &kickstart.replace("dnf clean all", "dnf -y update"),
            &[]
        ))
        .len(),
        2,
        "what it fetches is not known"
    );
    let password = site.write("password", "secret\n");
    let source = format!("file:{}", password.display());
    assert_eq!(
        reasons(ask(&kickstart, &["--root-password", &source])),
        ["input: a password is another"]
    );

    // The repository, another day.
    let path = list(&site, "primary.xml.gz");
    let file = site
        .mirror
        .files()
        .into_iter()
        .find(|(other, _)| *other == path)
        .unwrap()
        .1;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&file.body[..]), &mut text)
        .unwrap();
    let with = |entry: &str| text.replace("</metadata>", &format!("{entry}</metadata>"));
    let requires =
        |name: &str| format!("<rpm:requires><rpm:entry name=\"{name}\"/></rpm:requires>");
    republish(&site, &with(&entry("unrelated", "1", &requires("bash"))));
    assert_eq!(reasons(ask(&kickstart, &[])), [""; 0]);
    let in_base = |reason: &str| vec![format!("package: {reason}")];
    republish(&site, &with(&entry("setup", "99", "")));
    let found = reasons(ask(&kickstart, &[]));
    assert!(
        found.len() == 1 && found[0].contains("→ 99-1 in anaconda"),
        "{found:?}"
    );
    republish(
        &site,
        &with(&entry(
            "better",
            "1",
            "<rpm:obsoletes><rpm:entry name=\"which\"/></rpm:obsoletes>",
        )),
    );
    assert_eq!(
        reasons(ask(&kickstart, &[])),
        in_base("better 1-1 is new in anaconda: it is to take the place of which")
    );
    republish(
        &site,
        &with(&entry(
            "extra",
            "1",
            "<rpm:supplements><rpm:entry name=\"bash\"/></rpm:supplements>",
        )),
    );
    assert_eq!(
        reasons(ask(&kickstart, &[])),
        in_base("extra 1-1 is new in anaconda: it is to come along with bash")
    );
    republish(&site, &text);
    assert_eq!(reasons(ask(&kickstart, &[])), [""; 0]);
    site.mirror.remove("/custom/repodata/repomd.xml");
    let found = reasons(ask(&kickstart, &[]));
    assert!(
        found[0].starts_with("unknown: the repository") && found[0].contains("could not be asked"),
        "{found:?}"
    );

    // The image, and what lies beside it.
    site.mirror
        .put_directory("/custom", &support::tree::tree().unwrap().join("custom"));
    assert_eq!(reasons(ask(&kickstart, &[])), [""; 0]);
    // Touched, and the same.
    let opened = std::fs::File::options().write(true).open(&image).unwrap();
    opened.set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(reasons(ask(&kickstart, &[])), [""; 0]);
    std::fs::remove_file(site.output("served.ks")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&opened, b"x", 4096).unwrap();
    let found = reasons(ask(&kickstart, &[]));
    assert!(
        found[0].starts_with("image: the served kickstart"),
        "{found:?}"
    );
    assert!(
        found[1].ends_with("is not the image that was built"),
        "{found:?}"
    );

    // What is not ozr's is replaced with --force only.
    std::fs::remove_file(site.output("manifest.json")).unwrap();
    let mut command = site.install(&kickstart);
    command.arg("--if-changed");
    run(command).assert_failed(2, &["exists already: use --force"]);
}
