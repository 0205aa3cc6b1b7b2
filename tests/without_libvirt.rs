//! The program as `cargo build --no-default-features` makes it.

#![cfg(not(feature = "libvirt"))]
#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::process::Command;

use crate::support::site::{Outcome, Site, bootable, kickstart, run};

fn ozr(site: &Site, arguments: &[&str]) -> Outcome {
    let mut command = site.ozr();
    command.args(arguments).current_dir(site.out());
    run(command)
}

#[test]
fn no_library_of_libvirt_is_needed() {
    let libraries = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_ozr"))
        .output()
        .unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{libraries}");
    assert!(!libraries.contains("libvirt"), "{libraries}");
}

/// Before anything is fetched, booted, or left.
#[test]
fn what_needs_a_guest_says_so() {
    let site = Site::bare("without");
    let template = site.write_template();
    let kickstart = site.write("web.ks", &bootable(""));
    let image = site.write("image.raw", &"-".repeat(4096));
    let [template, kickstart, image] = [&template, &kickstart, &image].map(|p| p.to_str().unwrap());
    let asked = site.mirror.requests().len();
    for arguments in [
        ["install", template, "-k", kickstart].as_slice(),
        &["boot-test", image],
    ] {
        let outcome = ozr(&site, arguments);
        outcome.assert_failed(
            3,
            &["this ozr was built without libvirt and runs no guests"],
        );
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
    assert_eq!(site.mirror.requests().len(), asked);
    assert_eq!(site.out().read_dir().unwrap().count(), 0);
    let doctor = ozr(&site, &["doctor"]);
    assert_eq!(doctor.status, 3, "{doctor:?}");
    assert!(
        doctor.stdout.contains("built without libvirt"),
        "{doctor:?}"
    );
}

#[test]
fn what_needs_none_works() {
    let site = Site::bare("without");
    let kickstart = site.write("web.ks", &kickstart("nosuch\n"));
    let disk = vec![7; 1 << 20];
    std::fs::write(site.path("disk.raw"), &disk).unwrap();
    let [kickstart, image] = [kickstart, site.path("disk.raw")].map(|p| p.display().to_string());

    let checked = ozr(&site, &["check", "--release", "rhel9", &kickstart]);
    checked.assert_failed(2, &["nosuch"]);
    let converted = ozr(&site, &["convert", &image, "--format", "gcp"]);
    assert_eq!(converted.status, 0, "{converted:?}");
    let inspected = ozr(&site, &["inspect", &image]);
    assert_eq!(inspected.status, 0, "{inspected:?}");
    let listed = ozr(&site, &["list"]);
    assert_eq!(
        (listed.status, listed.stdout.as_str()),
        (0, ""),
        "{listed:?}"
    );
}
