//! What lies beside an image and says what it is: as true as the image, the same for the same input, and
//! read by programs of others.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support;
use crate::support::crafted;
use crate::support::disk::Disk;
use crate::support::gnupg::Gnupg;
use crate::support::site::{Outcome, Site, bootable, kickstart, run};
use base64::Engine;
use serde_json::Value;

fn json(site: &Site, ending: &str) -> Value {
    let text = std::fs::read_to_string(site.output(ending)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The kickstart: a repository of its own, and a package of it.
fn with_a_repository(site: &Site) -> String {
    bootable("%packages\ncorp-agent\n%end\n").replace(
        "text\n",
        &format!(
            "text\nrepo --name=corp --baseurl={}\n",
            site.guest_url("/custom/")
        ),
    )
}

#[test]
#[ignore = "long"]
fn the_manifest_says_where_everything_is_from() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("papers") else {
        return;
    };
    // The stand-in's dnf keeps no history in the image, as anaconda's does.
    let packed = |name: &str| {
        let file = format!(
            "{}/fixtures/packages/{name}.zst",
            env!("CARGO_MANIFEST_DIR")
        );
        let content = zstd::decode_all(std::fs::read(file).unwrap().as_slice()).unwrap();
        base64::engine::general_purpose::STANDARD.encode(content)
    };
    site.additions = format!(
        "<repositories><repository name='more stuff'><url>{}</url><persisted>no</persisted></repository></repositories>\
         <files><file name='/var/lib/dnf/history.sqlite' type='base64'>{}</file>\
         <file name='/var/lib/dnf/history.sqlite-wal' type='base64'>{}</file></files>",
        site.guest_url("/custom/"),
        packed("history.sqlite"),
        packed("history.sqlite-wal"),
    );
    let mut command = site.install(&with_a_repository(&site));
    command.arg("--seal");
    let outcome = run(command);
    outcome.assert_done();
    let manifest = json(&site, "manifest.json");
    let from = |name: &str| {
        let packages = manifest["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap();
        assert_eq!(package["header_sha256"].as_str().unwrap().len(), 64);
        package["repository"].as_str()
    };
    // The history that was taken out of the image says so.
    assert_eq!(from("corp-agent"), Some("corp"));
    assert_eq!(from("bash"), None);
    assert!(!Disk::open(&site.output("qcow2")).exists("/var/lib/dnf/history.sqlite"));
    // Each as it was when the install began.
    let tree = support::tree::tree().unwrap();
    for (repository, (name, directory)) in
        manifest["repositories"].as_array().unwrap().iter().zip([
            ("anaconda", "os"),
            ("corp", "custom"),
            ("ozr-more_stuff", "custom"),
        ])
    {
        let repomd = std::fs::read(tree.join(directory).join("repodata/repomd.xml")).unwrap();
        assert_eq!(repository["name"], name);
        assert_eq!(
            repository["repomd_sha256"],
            ozr::hex::sha256(&repomd),
            "{name}"
        );
        let revision = format!(
            "<revision>{}</revision>",
            repository["revision"].as_str().unwrap()
        );
        assert!(
            String::from_utf8(repomd).unwrap().contains(&revision),
            "{name}"
        );
    }
    assert_eq!(manifest["repositories"].as_array().unwrap().len(), 3);
    let found = manifest["findings"].as_array().unwrap();
    assert!(
        found
            .iter()
            .any(|finding| finding["id"] == "KS140" && finding["file"] == "test.ks")
    );
    assert!(manifest["notes"].to_string().contains("software emulation"));
    assert_eq!(
        manifest["storage"]["partitions"][0]["filesystem"]["kind"],
        "ext4"
    );
}

/// Values that two builds of the same input do not share: times and durations, ids, and what derives from
/// them. Places in the JSON, `*` for the elements of an array.
const OWN: [(&str, &[&str]); 4] = [
    (
        "manifest.json",
        &[
            "build_id",
            "started",
            "finished",
            "image.size",
            "image.sha256",
            "storage.partitions.*.uuid",
            "storage.partitions.*.filesystem.uuid",
            "images.*.size",
            "images.*.allocated",
            "images.*.sha256",
            "images.*.seconds",
            "phases.*.seconds",
            "packages.*.installed",
        ],
    ),
    (
        "spdx.json",
        &[
            "creationInfo.created",
            "documentNamespace",
            "packages.*.checksums.*.checksumValue",
        ],
    ),
    (
        "cdx.json",
        &[
            "serialNumber",
            "metadata.timestamp",
            "metadata.component.hashes.*.content",
        ],
    ),
    (
        "provenance.json",
        &[
            "subject.*.digest.sha256",
            "predicate.runDetails.metadata.invocationId",
            "predicate.runDetails.metadata.startedOn",
            "predicate.runDetails.metadata.finishedOn",
        ],
    ),
];

/// All values of a document by their places, as the masks name them; and the same with array indices.
fn values(prefix: &str, place: &str, value: &Value, all: &mut BTreeMap<String, (String, Value)>) {
    let join = |prefix: &str, name: &str| match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                values(&join(prefix, name), &join(place, name), value, all);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let index = index.to_string();
                values(&join(prefix, "*"), &join(place, &index), value, all);
            }
        }
        value => {
            all.insert(place.to_owned(), (prefix.to_owned(), value.clone()));
        }
    }
}

fn program(name: &str, arguments: &[&str], dir: &Path) -> Output {
    Command::new(name)
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn succeeds(name: &str, arguments: &[&str], dir: &Path) -> Output {
    let output = program(name, arguments, dir);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    output
}

/// Keys of GnuPG and of SSH, in the site's directory.
struct Keys {
    gnupg: Gnupg,
}

impl Keys {
    fn make(site: &Site) -> Keys {
        let gnupg = Gnupg::make(&site.path("gpg"));
        let keys = Keys { gnupg };
        std::fs::write(
            site.path("key.asc"),
            keys.gpg(&["--armor", "--export"]).stdout,
        )
        .unwrap();
        std::fs::write(site.path("key.gpg"), keys.gpg(&["--export"]).stdout).unwrap();
        for name in ["ssh", "other"] {
            let file = site.path(name).display().to_string();
            succeeds(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", &file],
                Path::new("/"),
            );
        }
        let public = std::fs::read_to_string(site.path("ssh.pub")).unwrap();
        site.write("allowed", &format!("release@example.org {public}"));
        keys
    }

    fn gpg(&self, arguments: &[&str]) -> Output {
        self.gnupg.run(arguments)
    }
}

fn verify(site: &Site, arguments: &[&str], image: &Path) -> Outcome {
    let mut command = site.ozr();
    command.arg("verify").args(arguments).arg(image);
    run(command)
}

fn assert_refused(outcome: &Outcome, words: &[&str]) {
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    for word in words {
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
}

#[test]
#[ignore = "long"]
fn papers_are_signed_verified_and_the_same_for_the_same_input() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("signed") else {
        return;
    };
    let keys = Keys::make(&site);
    let path = with_cosign(&site);
    site.additions = "<description>A &amp; B</description>".to_owned();
    site.icicle = "rpm -qa --qf '%{NAME},%{EPOCH},%{SIGMD5}\\n'".to_owned();
    let text = bootable("");
    let install = |site: &Site| {
        let mut command = site.install(&text);
        command.args([
            "--seal",
            "-g",
            "--sbom",
            "spdx,cyclonedx",
            "--format",
            "qcow2,raw",
        ]);
        command.args(["--sign", "gpg:r@example.org", "--sign"]);
        command.arg(format!("ssh:{}", site.path("ssh").display()));
        command
            .args(["--sign", "cosign:kms://k"])
            .env("PATH", &path);
        command.arg("--force");
        command.env("GNUPGHOME", site.path("gpg"));
        run(command).assert_done();
    };
    install(&site);
    let out = site.out();
    let file = |ending: &str| format!("{}.{ending}", site.name);

    // Programs of others read them.
    succeeds("sha256sum", &["-c", &file("CHECKSUM")], &out);
    keys.gpg(&["--verify", &site.output("CHECKSUM").display().to_string()]);
    let provenance = site.output("provenance.json").display().to_string();
    keys.gpg(&["--verify", &format!("{provenance}.asc"), &provenance]);
    for paper in ["CHECKSUM", "provenance.json"] {
        let script = format!(
            "ssh-keygen -Y verify -f ../allowed -I release@example.org -n file -s {0}.sig < {0}",
            file(paper)
        );
        succeeds("sh", &["-c", &script], &out);
    }
    let python = std::env::var("OZR_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let check = format!(
        "{}/fixtures/sbom/check-provenance",
        env!("CARGO_MANIFEST_DIR")
    );
    let checked = program(&python, &[&check, &provenance], &out);
    let said = String::from_utf8_lossy(&checked.stderr);
    let may_lack = std::env::var_os("OZR_TEST_ALL").is_none();
    assert!(
        checked.status.success() || (may_lack && said.contains("ModuleNotFoundError")),
        "{said}"
    );
    for paper in ["CHECKSUM", "provenance.json"] {
        let bundle = json(&site, &format!("{paper}.sigstore.json"));
        let digest = ozr::hex::sha256(std::fs::read(site.output(paper)).unwrap());
        assert_eq!(bundle["of"], digest.as_str(), "{paper}");
    }
    // Every file but the checksums and signatures is a subject.
    let subjects = json(&site, "provenance.json");
    let subjects = subjects["subject"].as_array().unwrap();
    for entry in std::fs::read_dir(&out).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if ["CHECKSUM", "sig", "asc", "provenance.json", "sigstore.json"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            continue;
        }
        let subject = subjects
            .iter()
            .find(|subject| subject["name"] == name.as_str());
        let digest = ozr::hex::sha256(std::fs::read(out.join(&name)).unwrap());
        assert_eq!(subject.unwrap()["digest"]["sha256"], digest, "{name}");
    }
    let icicle = std::fs::read_to_string(site.output("icicle.xml")).unwrap();
    let begin =
        "<icicle>\n  <description>A &amp; B</description>\n  <packages>\n    <package name=\"";
    assert!(icicle.starts_with(begin), "{icicle}");
    assert!(icicle.contains("\n      <extra>bash,(none),"), "{icicle}");

    // And so does ozr.
    let key = |name: &str| site.path(name).display().to_string();
    let image = site.output("qcow2");
    for trusted in [
        format!("gpg:{}", key("key.asc")),
        format!("gpg:{}", key("key.gpg")),
        format!("ssh:{}", key("allowed")),
        format!("ssh:{}", key("ssh.pub")),
    ] {
        let outcome = verify(&site, &["--key", &trusted], &image);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .contains("packages are those of the manifest"),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome
                .stderr
                .contains("partitions are those of the manifest"),
            "{}",
            outcome.stderr
        );
    }
    assert_eq!(verify(&site, &[], &site.output("raw")).status, 0);
    let ours = format!("ssh:{}", key("allowed"));
    let other = format!("ssh:{}", key("other.pub"));
    let outcome = verify(&site, &["--key", &other], &image);
    assert_refused(
        &outcome,
        &[
            "CHECKSUM is not signed by a key that is trusted",
            "vouches for",
        ],
    );

    // The same input again.
    succeeds("cp", &["-a", "out", "twin"], &site.path("."));
    install(&site);
    let read = |dir: &str, ending: &str| {
        std::fs::read_to_string(site.path(dir).join(file(ending))).unwrap()
    };
    assert_eq!(read("out", "icicle.xml"), read("twin", "icicle.xml"));
    for (ending, own) in OWN {
        let [one, two] = ["out", "twin"].map(|dir| {
            let value = serde_json::from_str(&read(dir, ending)).unwrap();
            let mut all = BTreeMap::new();
            values("", "", &value, &mut all);
            all
        });
        assert!(
            one.keys().eq(two.keys()),
            "{ending}: they have other fields"
        );
        for (place, (mask, value)) in &one {
            let other = &two[place].1;
            assert!(
                value == other || own.contains(&mask.as_str()),
                "{ending}: {place} is {value}, and {other}"
            );
        }
        for mask in own {
            assert!(
                one.values().any(|(place, _)| place == mask),
                "{ending}: there is no {mask}"
            );
        }
    }

    // What is changed afterwards is found, by the paper that tells it.
    let manifest = read("out", "manifest.json");
    site.write(
        &format!("out/{}", file("manifest.json")),
        &manifest.replace("bash", "hash"),
    );
    let outcome = verify(&site, &[], &image);
    assert_refused(
        &outcome,
        &["manifest.json beside it is not the one", "was added"],
    );
    let outcome = verify(&site, &["--key", &ours], &image);
    assert_refused(&outcome, &["nothing that is signed vouches for"]);
    site.write(&format!("out/{}", file("manifest.json")), &manifest);
    assert_eq!(verify(&site, &["--key", &ours], &image).status, 0);
    std::fs::copy(site.path("twin").join(file("qcow2")), &image).unwrap();
    let outcome = verify(&site, &["--key", &ours], &image);
    assert_refused(
        &outcome,
        &[
            "its SHA-256 is",
            "its partitions are not those of the manifest",
        ],
    );
    std::fs::remove_file(site.output("CHECKSUM.sig")).unwrap();
    let outcome = verify(&site, &["--key", &ours], &image);
    assert_refused(
        &outcome,
        &["CHECKSUM is not signed by a key that is trusted: reading"],
    );
    let alone = site.path("alone.qcow2");
    std::fs::rename(&image, &alone).unwrap();
    assert_refused(&verify(&site, &[], &alone), &["nothing beside it says"]);
}

/// A signer that is there when it is tried, and fails when it is needed: a PATH with it in front.
fn with_a_failing_signer(site: &Site) -> String {
    std::fs::create_dir(site.path("bin")).unwrap();
    let gpg = site.write(
        "bin/gpg",
        "#!/bin/sh\ncase $* in *--clearsign*) echo 'no pinentry' >&2; exit 2;; esac\necho signed\n",
    );
    std::fs::set_permissions(&gpg, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "{}:{}",
        site.path("bin").display(),
        std::env::var("PATH").unwrap()
    )
}

#[test]
fn what_is_converted_is_signed() {
    let site = Site::bare("converted");
    let keys = Keys::make(&site);
    let disk = site.write("web.raw", &"disk ".repeat(50_000));
    let convert = |signers: &[&str]| {
        let mut command = site.ozr();
        command.args(["convert", "--format", "gcp,qcow2", "--output-dir"]);
        command.arg(site.out()).arg(&disk);
        for signer in signers {
            command.args(["--sign", signer]);
        }
        command.env("GNUPGHOME", site.path("gpg"));
        command
    };
    let ssh = format!("ssh:{}", site.path("ssh").display());
    run(convert(&["gpg:r@example.org", &ssh])).assert_done();
    let out = site.out();
    succeeds("sha256sum", &["-c", "web.CHECKSUM"], &out);
    let checksums = out.join("web.CHECKSUM").display().to_string();
    assert!(keys.gpg(&["--verify", &checksums]).status.success());
    let script = "ssh-keygen -Y verify -f ../allowed -I release@example.org -n file -s web.CHECKSUM.sig < web.CHECKSUM";
    succeeds("sh", &["-c", script], &out);
    // There is nothing else, and ozr reads it.
    let names = || {
        let names = std::fs::read_dir(&out).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let all = [
        "web.CHECKSUM",
        "web.CHECKSUM.sig",
        "web.qcow2",
        "web.tar.gz",
    ];
    assert_eq!(names(), all);
    for (key, status) in [("key.asc", 0), ("allowed", 0), ("other.pub", 2)] {
        let program = if key == "key.asc" { "gpg" } else { "ssh" };
        let key = format!("{program}:{}", site.path(key).display());
        let outcome = verify(&site, &["--key", &key], &out.join("web.tar.gz"));
        assert_eq!(outcome.status, status, "{key}: {}", outcome.stderr);
    }

    // What is replaced without a signature leaves none of the old one; what is no file stays.
    let kept = out.join("web.CHECKSUM.sigstore.json");
    std::fs::create_dir(&kept).unwrap();
    let mut command = convert(&[]);
    command.arg("--force");
    let outcome = run(command);
    outcome.assert_done();
    assert!(
        outcome.stderr.contains("web.CHECKSUM.sig is removed"),
        "{}",
        outcome.stderr
    );
    std::fs::remove_dir(kept).unwrap();
    assert_eq!(names(), ["web.CHECKSUM", "web.qcow2", "web.tar.gz"]);
    verify(&site, &[], &out.join("web.tar.gz")).assert_done();
    let mut command = convert(&[&ssh]);
    command.arg("--force");
    run(command).assert_done();
    assert_eq!(names(), all);

    // The signature's name is taken like the images'.
    for ending in ["qcow2", "tar.gz", "CHECKSUM"] {
        std::fs::remove_file(out.join(format!("web.{ending}"))).unwrap();
    }
    let outcome = run(convert(&[&ssh]));
    assert_refused(&outcome, &["web.CHECKSUM.sig"]);
    assert_eq!(names(), ["web.CHECKSUM.sig"]);
    std::fs::remove_file(out.join("web.CHECKSUM.sig")).unwrap();
    assert_refused(&run(convert(&[&ssh, &ssh])), &["two signers of a kind"]);
    // One that cannot sign is found before anything is read, one that fails leaves nothing.
    let outcome = run(convert(&["ssh:/nowhere/key"]));
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("converting"), "{}", outcome.stderr);
    let path = with_a_failing_signer(&site);
    let mut command = convert(&["gpg"]);
    command.env("PATH", path);
    let outcome = run(command);
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no pinentry"), "{}", outcome.stderr);
    assert!(names().is_empty(), "{:?}", names());
}

#[test]
fn a_signer_that_fails_leaves_nothing() {
    let Some(site) = crafted::site("unsigned", crafted::INSTALL) else {
        return;
    };
    let path = with_a_failing_signer(&site);
    let mut command = site.install(&kickstart(""));
    command.args(["--sign", "gpg"]).env("PATH", &path);
    let outcome = run(command);
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no pinentry"), "{}", outcome.stderr);
    site.assert_clean(&outcome, &[]);
    // One that is not there is found before a guest runs.
    let mut command = site.install(&kickstart(""));
    command.args(["--sign", "ssh:/nowhere/key"]);
    let outcome = run(command);
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("trying to sign"),
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stderr.contains("starting the guest"),
        "{}",
        outcome.stderr
    );
    site.assert_clean(&outcome, &[]);
}

/// What stands in for cosign, which is not everywhere, as cosign 3.1 behaves: a PATH with it in front.
fn with_cosign(site: &Site) -> String {
    std::fs::create_dir(site.path("bin")).unwrap();
    let cosign = site.write(
        "bin/cosign",
        "#!/bin/sh\necho \"$@\" >&2\nfor last; do :; done\ncase $* in\n\
         'sign-blob --help') echo '  --use-signing-config=true:';;\n\
         'sign-blob --yes --tlog-upload=false --use-signing-config=false --key kms://k --bundle '*' -')\n\
         while [ $# -gt 2 ]; do shift; done; { printf '{\"of\":\"'; sha256sum | cut -c1-64 | tr -d '\\n'; echo '\"}'; } >\"$1\"; echo MEUC;;\n\
         'verify-blob --insecure-ignore-tlog=true --key kms://k --bundle '*) cmp -s \"$last\" image.CHECKSUM;;\n\
         *) echo 'Error: unknown flag' >&2; exit 1;;\nesac\n",
    );
    std::fs::set_permissions(&cosign, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "{}:{}",
        site.path("bin").display(),
        std::env::var("PATH").unwrap()
    )
}

#[test]
fn cosign_is_called_as_it_wants_to_be() {
    let site = Site::bare("cosign");
    let path = with_cosign(&site);
    let image = site.write("image.raw", "an image");
    let digest = ozr::hex::sha256("an image");
    site.write(
        "image.CHECKSUM",
        &format!("SHA256 (image.raw) = {digest}\n"),
    );
    site.write("image.CHECKSUM.sigstore.json", "{}");
    let asking = |key: &str| {
        let mut command = site.ozr();
        command
            .args(["verify", "--key", key])
            .arg(&image)
            .env("PATH", &path);
        run(command)
    };
    let outcome = asking("cosign:kms://k");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains("its digest is that of image.CHECKSUM"),
        "{}",
        outcome.stderr
    );
    assert_refused(
        &asking("cosign:other"),
        &["not signed by a key that is trusted"],
    );
}

/// The image is as the installer left it, and the command runs all the same.
#[test]
#[ignore = "long"]
fn an_extra_command_that_says_too_little_fails_the_build() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("icicle") else {
        return;
    };
    let mut command = site.install(&kickstart(""));
    command.args(["-i", "list.xml"]);
    assert_refused(&run(command), &["add -g"]);
    site.icicle = "echo one; echo two &gt;&amp;2".to_owned();
    let mut command = site.install(&bootable(""));
    command.arg("-g");
    let outcome = run(command);
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let said = "must print a line for each line of `rpm -qa`: it printed 1, and there are ";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("two"), "{}", outcome.stderr);
    site.assert_clean(&outcome, &[]);
}
