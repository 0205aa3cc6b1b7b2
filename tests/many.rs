//! A night's builds, all started by the same cron job: a dozen at once against one cache.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use support::crafted;
use support::site::{kickstart, start};

/// How many builds start at once.
const BUILDS: usize = 12;

/// How many guests may run at a time.
const GUESTS: usize = 3;

#[test]
#[ignore = "long"]
fn a_dozen_builds_at_once() {
    if support::is_left_out() {
        return;
    }
    let Some(mut site) = crafted::site("night", crafted::INSTALL) else {
        return;
    };
    site.memory = 512;
    let names: Vec<String> = (1..=BUILDS)
        .map(|number| format!("image-{number}"))
        .collect();
    let commands: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = site.install(&kickstart(""));
            command
                .args(["--name", name, "--max-guests", &GUESTS.to_string()])
                // QEMU's own abort in software emulation is no finding about ozr.
                .args(["--retries", "2"]);
            command
        })
        .collect();
    let mut builds: Vec<_> = commands.into_iter().map(start).collect();

    let mut most = 0;
    while builds.iter_mut().any(|build| !build.has_ended()) {
        most = most.max(site.qemus().len());
        assert!(most <= GUESTS, "{most} guests run");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    assert_eq!(most, GUESTS, "as many as may");

    let outcomes: Vec<_> = builds.into_iter().map(|build| build.wait()).collect();
    let mut waited = 0;
    for (name, outcome) in names.iter().zip(&outcomes) {
        outcome.assert_done();
        let image = site.out().join(format!("{name}.qcow2"));
        assert_eq!(outcome.stdout, format!("{}\n", image.display()));
        assert!(image.exists(), "{name}");
        waited += usize::from(outcome.stderr.contains("waiting for room"));
    }
    assert!(waited > 0, "none has waited for room");
    for file in ["vmlinuz", "initrd.img"] {
        let path = format!("/os/images/pxeboot/{file}");
        let fetched = site.mirror.requests_for(&path);
        let whole = fetched.iter().filter(|request| request.method == "GET");
        assert_eq!(whole.count(), 1, "{file}: {fetched:?}");
    }
    for outcome in &outcomes {
        site.assert_nothing_runs(outcome);
    }
    let hidden = std::fs::read_dir(site.out())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') || name.ends_with(".failed"));
    assert_eq!(hidden.collect::<Vec<_>>(), [""; 0]);
}
