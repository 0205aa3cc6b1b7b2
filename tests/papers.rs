//! What lies beside an image and says what it is: as true as the image, the same for the same input, and
//! read by programs of others.

#![allow(clippy::unwrap_used)]

mod support;

use base64::Engine;
use serde_json::Value;
use support::disk::Disk;
use support::site::{Site, kickstart, run};

fn json(site: &Site, ending: &str) -> Value {
    let text = std::fs::read_to_string(site.output(ending)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The kickstart: a repository of its own, and a package of it.
fn with_a_repository(site: &Site) -> String {
    kickstart("%packages\ncorp-agent\n%end\n").replace(
        "text\n",
        &format!(
            "text\nrepo --name=corp --baseurl={}\n",
            site.guest_url("/custom/")
        ),
    )
}

#[test]
fn the_manifest_says_where_everything_is_from() {
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
