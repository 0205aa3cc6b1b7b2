//! The templates that come with ozr.

use std::fs;
use std::path::Path;

use ozr::tdl::{self, Install};

/// Each parses without a remark, names a release that ozr installs, and is called after it.
#[test]
fn every_template_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut stems = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_string();
        let bytes = fs::read(&path).unwrap();
        let template =
            tdl::read(&bytes, &stem).unwrap_or_else(|findings| panic!("{}", findings[0]));
        assert_eq!(template.warnings, [], "{stem}");
        assert_eq!(template.name, stem);
        let release = *template
            .release()
            .unwrap_or_else(|findings| panic!("{}", findings[0]));
        assert_eq!(release.builtin_kickstart_candidates()[0], stem);
        let Install::Url(url) = &template.os.install else {
            panic!("{stem}: not a tree")
        };
        assert_eq!(url.url().scheme(), "https", "{stem}");
        assert!(url.as_str().ends_with('/'), "{stem}");
        // From RHEL 8 on the bootable tree holds half of the packages.
        let split = release.pykickstart_version().starts_with("RHEL") && release.major() >= 8;
        assert_eq!(template.repositories.len(), usize::from(split), "{stem}");
        assert!(
            template.os.rootpw.is_none(),
            "{stem}: no password for everyone"
        );
        stems.push(stem);
    }
    for expected in [
        "rocky-8",
        "rocky-9",
        "rocky-10",
        "almalinux-8",
        "almalinux-9",
        "almalinux-10",
        "centos-stream-8",
        "centos-stream-9",
        "centos-stream-10",
        "rhel-7",
        "rhel-8",
        "rhel-9",
        "rhel-10",
        "oracle-8",
        "oracle-9",
        "centos-7",
        "fedora-43",
        "fedora-44",
    ] {
        assert!(
            stems.iter().any(|stem| stem == expected),
            "{expected} is missing"
        );
    }
}
