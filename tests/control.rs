//! Looking into running builds: `ozr list`, `ozr attach`, `ozr screenshot`, against the real program.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::mirror::Fault;
use crate::support::site::{Outcome, Running, Site, kickstart, run, start};
use serde_json::Value;

/// What ozr says when the installer's first line has come.
const INSTALLER_STARTS: &str = "] starting the installer\n";

/// What ozr says when packages come.
const PACKAGES: &str = "] installing packages\n";

/// Longest wait for a build to be where it is looked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts one of the commands that look into builds, about the site's.
fn look(site: &Site, arguments: &[&str]) -> Running {
    let mut command = site.ozr();
    command
        .args(arguments)
        .arg("--state-dir")
        .arg(site.path("state"));
    start(command)
}

/// The builds that `ozr list --format json` tells of.
fn listed(site: &Site) -> Vec<Value> {
    let outcome = look(site, &["list", "--format", "json"]).wait();
    outcome.assert_done();
    outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until there is one build, of which this is true.
fn wait_until(site: &Site, is_true: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let builds = listed(site);
        if let [build] = builds.as_slice()
            && is_true(build)
        {
            return build.clone();
        }
        assert!(Instant::now() < deadline, "{builds:#?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// The size of a picture, and whether it is more than one colour.
fn seen(picture: &[u8]) -> (u32, u32, bool) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(picture))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let width = info.color_type.samples();
    let mut colours = pixels[..info.buffer_size()].chunks(width);
    let first = colours.next().unwrap();
    (info.width, info.height, colours.any(|other| other != first))
}

/// `outcome` of `ozr list`: the words of the one line below the head.
fn words(outcome: &Outcome) -> Vec<&str> {
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:?}");
    let head: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(head, ["NAME", "PID", "PHASE", "PERCENT", "AGE", "IMAGE"]);
    lines[1].split_whitespace().collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_running_guest_is_looked_at() {
    let Some(site) = Site::new("control") else {
        return;
    };
    let mut build = start(site.install(&kickstart("")));
    build.wait_for(INSTALLER_STARTS);
    let name = site.name.as_str();

    // All that is there, what comes, and the end.
    let cleaned = look(&site, &["attach", name, "--from-start"]);
    let id = listed(&site)[0]["id"].as_str().unwrap().to_owned();
    let raw = look(&site, &["attach", &id[..8], "--from-start", "--raw"]);

    let build_seen = &listed(&site)[0];
    assert_eq!(build_seen["state"], "running", "{build_seen:#}");
    assert_eq!(build_seen["pid"], build.pid());
    assert_eq!(
        build_seen["image"],
        site.output("qcow2").display().to_string()
    );
    let status = &build_seen["status"];
    assert_eq!(status["accel"], "tcg");
    assert_eq!(status["attempt"], 1);
    assert_eq!(status["release"], "Rocky Linux 9.0");
    assert!(status["percent"].as_u64().unwrap() >= 8, "{status:#}");

    let table = look(&site, &["list"]).wait();
    table.assert_done();
    assert_eq!(table.stderr, "");
    let words = words(&table);
    let pid = build.pid().to_string();
    assert_eq!(words[..2], [name, &pid], "{words:?}");
    let percent: u8 = words[3].parse().unwrap();
    assert!((8..=99).contains(&percent) && words[4] == "%", "{words:?}");
    assert_eq!(
        words.last().copied(),
        site.output("qcow2").to_str(),
        "{words:?}"
    );

    let picture = look(&site, &["screenshot", &pid]).wait();
    picture.assert_done();
    assert_eq!(picture.stdout, format!("{name}-screen.png\n"));
    let picture = std::fs::read(site.path(&format!("{name}-screen.png"))).unwrap();
    let (width, height, is_picture) = seen(&picture);
    // VGA's text mode, or a frame buffer of the kernel's.
    assert!(
        (width, height) == (720, 400) || (width >= 640 && height >= 480),
        "{width}x{height}"
    );
    assert!(is_picture, "the screen is of one colour");
    // To standard output, byte for byte what a file gets.
    let mut piped = site.ozr();
    piped
        .args(["screenshot", name, "-o", "-", "--state-dir"])
        .arg(site.path("state"));
    let piped = piped.output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
    assert_eq!(seen(&piped.stdout).0, width);

    let unknown = look(&site, &["attach", &name.replace("control", "contol")]).wait();
    unknown.assert_failed(2, &["no running build is called", name, "`ozr list`"]);

    build.wait_for(PACKAGES);
    let late = look(&site, &["attach", name]);
    wait_until(&site, |build| {
        build["status"]["packages"]["total"]
            .as_u64()
            .is_some_and(|total| total > 0)
    });
    build.signal("INT");
    let outcome = build.wait();
    outcome.assert_failed(130, &[]);
    site.assert_clean(&outcome, &["failed"]);

    // Each of them saw all of it, the last line too, and then ended by itself.
    let console = read(&site.output("failed").join("console.log"));
    let failed = format!("`{name}` failed: ");
    let cleaned = cleaned.wait();
    assert_eq!(cleaned.stdout, console);
    assert!(cleaned.stdout.contains("Linux version"), "{cleaned:?}");
    assert!(!cleaned.stdout.contains("ozr-done-"), "{cleaned:?}");
    assert_eq!(cleaned.status, 1);
    for says in [&failed, "interrupted by SIGINT", "what explains it is in"] {
        assert!(cleaned.stderr.contains(says), "{cleaned:?}");
    }
    let raw = raw.wait();
    assert_eq!(raw.status, 1, "{raw:?}");
    for text in ["Linux version", "\r\n", "inst.ks=http://"] {
        assert!(raw.stdout.contains(text), "{text:?}: {raw:?}");
    }
    let late = late.wait();
    let lines = late.stdout.lines().count();
    assert!(lines > 20, "{late:?}");
    assert!(console.ends_with(&late.stdout), "{late:?}");

    let nothing = look(&site, &["list"]).wait();
    nothing.assert_done();
    assert_eq!(nothing.stdout, "");
    assert_eq!(nothing.stderr, "note: no build is running\n");
}

#[test]
fn a_build_that_has_no_guest_hangs_and_dies() {
    let site = Site::bare("silent");
    for path in ["/os/.treeinfo", "/os/treeinfo"] {
        site.mirror.put(path, b"");
        site.mirror
            .change(path, |file| file.always = Some(Fault::Hang));
    }
    let mut install = site.install(&kickstart(""));
    install.arg("--no-check");
    let mut build = start(install);
    build.wait_for("] getting the installer");
    let name = site.name.as_str();
    let pid = build.pid().to_string();
    let seen = wait_until(&site, |build| build["status"].is_object());
    assert_eq!(seen["status"]["phase"], "getting-ready", "{seen:#}");
    // It is the only one.
    let attached = look(&site, &["attach"]);
    let picture = look(&site, &["screenshot", name]).wait();
    picture.assert_failed(3, &["no picture", "there is no guest now"]);
    assert!(!site.path(&format!("{name}-screen.png")).exists());

    // Stopped, it does not answer, and nobody waits for it for long.
    build.signal("STOP");
    let table = look(&site, &["list"]).wait();
    table.assert_done();
    assert_eq!(words(&table)[..4], [name, &pid, "?", "?"]);
    assert!(table.stderr.contains("did not answer within"), "{table:?}");
    build.signal("CONT");
    wait_until(&site, |build| build["status"].is_object());

    build.signal("KILL");
    build.wait();
    let attached = attached.wait();
    assert_eq!(attached.stdout, "");
    attached.assert_failed(1, &["no guest was started yet", "ended without an image"]);
    let table = look(&site, &["list"]).wait();
    table.assert_done();
    assert_eq!(words(&table)[..3], [name, &pid, "(dead)"]);
    assert!(table.stderr.contains("`ozr gc` removes"), "{table:?}");
    let dead = look(&site, &["attach", &pid]).wait();
    dead.assert_failed(2, &["is dead"]);

    // The next build cleans up after it, and is stopped.
    let mut install = site.install(&kickstart(""));
    install.arg("--no-check");
    let mut next = start(install);
    next.wait_for("] getting the installer");
    next.signal("TERM");
    let outcome = next.wait();
    outcome.assert_failed(130, &[]);
    site.assert_clean(&outcome, &[]);
    let nothing = run(look_command(&site));
    assert_eq!(nothing.stdout, "");
}

fn look_command(site: &Site) -> std::process::Command {
    let mut command = site.ozr();
    command
        .args(["list", "--state-dir"])
        .arg(site.path("state"));
    command
}
