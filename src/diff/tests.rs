use super::*;
use crate::packages;

fn package(name: &str, version: &str, release: &str) -> Package {
    Package {
        version: version.to_owned(),
        release: release.to_owned(),
        ..packages::sample(name, None)
    }
}

fn side(name: &str, packages: Vec<Package>) -> Side {
    let mut inspection = crate::inspect::sample();
    if let Some(system) = &mut inspection.system {
        system.packages = Some(packages);
    }
    Side {
        name: name.to_owned(),
        inspection: Some(inspection),
        configuration: Some(BTreeMap::new()),
        ..Side::default()
    }
}

fn entry(time: u32, text: &str) -> Entry {
    Entry {
        time,
        author: "A <a@example.org>".to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn packages_come_go_rise_fall_and_are_rebuilt() {
    let rebuilt = Package {
        header_sha256: Some("1".repeat(64)),
        ..package("rebuilt", "1", "1")
    };
    let old = side(
        "old",
        vec![
            package("gone", "1", "1"),
            package("up", "1.9", "1"),
            package("down", "2", "1"),
            package("rebuilt", "1", "1"),
            package("same", "1", "1"),
            package("kernel", "5.14.0", "1"),
            package("kernel", "5.14.0", "2"),
            package("gpg-pubkey", "aaaa", "1"),
        ],
    );
    let new = side(
        "new",
        vec![
            package("came", "1", "1"),
            package("up", "1.10", "1"),
            package("down", "1", "1"),
            rebuilt,
            package("same", "1", "1"),
            package("kernel", "5.14.0", "2"),
            package("kernel", "5.14.0", "10"),
            package("gpg-pubkey", "aaaa", "1"),
        ],
    );
    let found = between(&old, &new).packages.unwrap();
    let of = |steps: &[Step]| -> Vec<String> {
        let steps = steps.iter();
        steps
            .map(|step| format!("{} {} {}", step.name, step.old, step.new))
            .collect()
    };
    assert_eq!(found.added, ["came-1-1.x86_64", "kernel-5.14.0-10.x86_64"]);
    assert_eq!(found.removed, ["gone-1-1.x86_64", "kernel-5.14.0-1.x86_64"]);
    assert_eq!(of(&found.upgraded), ["up 1.9-1 1.10-1"]);
    assert_eq!(of(&found.downgraded), ["down 2-1 1-1"]);
    assert_eq!(of(&found.rebuilt), ["rebuilt 1-1 1-1"]);
}

#[test]
fn a_changelogs_new_entries_tell_why() {
    let mut old = side("old", vec![package("up", "1", "1")]);
    let mut new = side("new", vec![package("up", "1", "2")]);
    let (old_names, new_names) = changelogs_wanted(&old, &new);
    assert!(old_names.contains("up-1-1.x86_64"), "{old_names:?}");
    assert!(new_names.contains("up-1-2.x86_64"), "{new_names:?}");
    let before = entry(0, "- first");
    let fix = entry(
        2,
        "- fix CVE-2024-12345, CVE-2024-1 and CVE-20-12345\n- and cve-2024-9999",
    );
    let log = |entries: &[&Entry]| {
        entries
            .iter()
            .map(|entry| (*entry).clone())
            .collect::<Vec<_>>()
    };
    old.changelogs = Some([("up-1-1.x86_64".to_owned(), log(&[&before]))].into());
    new.changelogs = Some([("up-1-2.x86_64".to_owned(), log(&[&fix, &before]))].into());
    let step = between(&old, &new).packages.unwrap().upgraded.remove(0);
    assert_eq!(step.changelog, log(&[&fix]));
    assert_eq!(step.cves, ["CVE-2024-12345"]);
    // Of a manifest only the time of the build is known: 1.
    old.changelogs = None;
    let step = between(&old, &new).packages.unwrap().upgraded.remove(0);
    assert_eq!(step.changelog, log(&[&fix]));
    // Without the later image there is none, and that is said.
    new.changelogs = None;
    let difference = between(&old, &new);
    assert!(
        difference.packages.unwrap().upgraded[0]
            .changelog
            .is_empty()
    );
    assert_eq!(
        difference.not_compared,
        ["the changelogs: new is a manifest, which has none"]
    );
}

#[test]
fn what_identifies_a_build_is_no_difference() {
    let arguments = |side: &mut Side, arguments: &str| {
        let system = side.inspection.as_mut().unwrap().system.as_mut().unwrap();
        system.boot_entries[0].arguments = arguments.to_owned();
    };
    let mut old = side("old", vec![package("a", "1", "1")]);
    let mut new = side("new", vec![package("a", "1", "1")]);
    arguments(
        &mut old,
        "root=UUID=11111111-2222-3333-4444-555555555555 ro",
    );
    arguments(
        &mut new,
        "root=UUID=99999999-2222-3333-4444-555555555555 ro",
    );
    assert!(between(&old, &new).is_empty());
    arguments(
        &mut new,
        "root=UUID=99999999-2222-3333-4444-555555555555 ro quiet",
    );
    let difference = between(&old, &new);
    assert_eq!(difference.kernel_arguments.added, ["quiet"]);
    assert!(difference.kernel_arguments.removed.is_empty());
    assert!(!difference.is_empty());
}

#[test]
fn the_documentation_names_every_field_and_no_other() {
    let some = || Some("x".to_owned());
    let names = || Names {
        added: vec!["x".to_owned()],
        removed: vec!["x".to_owned()],
        changed: vec!["x".to_owned()],
    };
    let build = Build {
        name: "x".to_owned(),
        build_id: some(),
        finished: some(),
    };
    let changed = || {
        vec![Changed {
            what: "x".to_owned(),
            old: some(),
            new: some(),
        }]
    };
    let old = side("old", vec![package("up", "1", "1")]);
    let mut new = side("new", vec![package("up", "1", "2")]);
    let log = vec![entry(2, "CVE-2024-12345")];
    new.changelogs = Some([("up-1-2.x86_64".to_owned(), log)].into());
    let mut packages = between(&old, &new).packages.unwrap();
    packages.downgraded.clone_from(&packages.upgraded);
    packages.rebuilt.clone_from(&packages.upgraded);
    let difference = Difference {
        schema: SCHEMA,
        old: build.clone(),
        new: build,
        changed: changed(),
        packages: Some(packages),
        kernel_arguments: names(),
        services: names(),
        users: names(),
        configuration: names(),
        repositories: changed(),
        sizes: vec![Size {
            what: "x".to_owned(),
            old: 1,
            new: 2,
        }],
        phases: vec![Time {
            what: "x".to_owned(),
            old: 1.0,
            new: 2.0,
        }],
        not_compared: vec!["x".to_owned()],
    };
    crate::documented::compare(&difference, include_str!("../../docs/diff.md"));
}
