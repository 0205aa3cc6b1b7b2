//! RPM databases of fixtures/packages, each in a form that RPM has had: the packages in them are as RPM
//! itself lists them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use ozr::packages::{Package, of_file};

fn fixture(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/packages");
    std::fs::read(directory.join(name)).unwrap()
}

fn database(name: &str) -> Vec<u8> {
    zstd::decode_all(fixture(&format!("{name}.zst")).as_slice()).unwrap()
}

/// A package as RPM was asked to write it; the key's id is the end of what it says of a signature.
fn line(package: &Package) -> String {
    let or = |text: &Option<String>, none: &str| text.clone().unwrap_or_else(|| none.to_owned());
    let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
    [
        package.name.clone(),
        number(package.epoch),
        package.version.clone(),
        package.release.clone(),
        or(&package.arch, "(none)"),
        package.size.to_string(),
        or(&package.vendor, "(none)"),
        or(&package.signing_key, "-"),
        or(&package.source_rpm, "(none)"),
        or(&package.license, "(none)"),
        or(&package.summary, "(none)"),
        number(package.built),
        number(package.installed),
    ]
    .join("|")
}

#[test]
fn packages_are_those_that_rpm_lists() {
    let list = String::from_utf8(fixture("packages.list")).unwrap();
    let expected: Vec<String> = list
        .lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split('|').collect();
            fields[7] = fields[7].rsplit(' ').next().unwrap();
            fields.join("|")
        })
        .collect();
    for name in ["rpmdb.sqlite", "Packages.db", "Packages"] {
        let packages = of_file(name, database(name), &[]).unwrap();
        let found: Vec<String> = packages.iter().map(line).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn what_is_in_the_log_of_sqlite_counts() {
    let name = "rpmdb.sqlite";
    let names = |log: &[u8]| {
        let packages = of_file(name, database(name), log).unwrap();
        let names = packages.into_iter().map(|package| package.name);
        names.collect::<Vec<_>>().join(" ")
    };
    let all = "epoch-two epoch-zero gpg-pubkey large small";
    assert_eq!(names(&[]), all);
    let mut log = database("rpmdb.sqlite-wal");
    assert_eq!(names(&log), "epoch-two epoch-zero gpg-pubkey small");
    // What was not written whole was not committed.
    assert_eq!(names(&log[..log.len() - 1]), all);
    let last = log.len() - 100;
    log[last] ^= 1;
    assert_eq!(names(&log), all);
}

#[test]
fn broken_databases_end_with_an_error() {
    for name in ["rpmdb.sqlite", "Packages.db", "Packages"] {
        let whole = database(name);
        for part in 0..64 {
            let _ = of_file(name, whole[..whole.len() / 64 * part].to_vec(), &[]);
        }
        for seed in 0..2000_usize {
            let mut altered = whole.clone();
            // Where the structure is: most of it stands in the first bytes of pages.
            for step in 0..8 {
                let mixed = (seed * 8 + step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
                let page = mixed % (whole.len() / 512) * 512;
                altered[page + mixed / 7 % 64] = (mixed >> 8) as u8;
            }
            let _ = of_file(name, altered, &[]);
        }
    }
    assert!(of_file("Packages", Vec::new(), &[]).is_err());
}
