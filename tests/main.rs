//! The tests of the program and of the library, but for those that want a process or the machine to themselves
//! (`Cargo.toml`). One program for all of them: it is built once, and the guests of one area run beside those of the
//! next, so that no processor waits for the last test of an area.

mod support;

mod boot_test;
mod causes;
mod check;
mod cli;
mod completions;
mod control;
mod corpus;
mod customize;
mod diff;
mod disk;
mod display;
mod docs;
mod failures;
mod family;
mod formats;
mod guests;
mod image;
mod inspect;
mod install;
mod iso;
mod kickstarts;
mod leftovers;
mod luks;
mod media;
mod mirror;
mod nightly;
mod online;
mod oz;
mod package_cache;
mod packages;
mod papers;
mod seal;
mod templates;
mod trees;
mod trial;
mod verify;
mod without_libvirt;
mod write;

/// A file that is not named here would not be run.
#[test]
fn every_file_of_tests_is_run() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let here = include_str!("main.rs");
    for entry in std::fs::read_dir(root.join("tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".rs") else {
            continue;
        };
        let is_run = here.contains(&format!("\nmod {stem};\n"))
            || manifest.contains(&format!("path = \"tests/{name}\""));
        assert!(is_run, "{name}");
    }
}
