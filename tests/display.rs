//! What is seen of a build while it runs: on a terminal, and by programs that read its events.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use crate::support::site::{Outcome, Site, kickstart, run};
use crate::support::terminal::{Shown, Terminal};
use serde_json::Value;

/// What ozr says when QEMU has called abort(3), which it does now and then in software emulation.
const QEMU_ABORTED: &str = "QEMU was killed by signal 6";

/// The terminal at first, and what it is made in the middle: rows and columns.
const WIDE: (u16, u16) = (50, 110);
const NARROW: (u16, u16) = (50, 60);

/// An install of the site as a person starts it.
fn install(site: &Site, kickstart: &str) -> Command {
    let kickstart = site.write("web.ks", kickstart);
    let mut command = site.ozr();
    command
        .arg("install")
        .arg(site.write_template())
        .arg("-k")
        .arg(kickstart)
        .arg("--output-dir")
        .arg(site.out())
        .arg("--cache-dir")
        .arg(site.path("cache"))
        .arg("--state-dir")
        .arg(site.path("state"))
        .args(["--memory", "2048", "--vcpus", "1", "--force"]);
    command
}

/// Runs an install on a terminal that becomes narrow while packages are installed.
fn watch(site: &Site, kickstart: &str, events: &Path) -> Shown {
    let mut shown = watch_once(site, kickstart, events);
    if shown.text.contains(QEMU_ABORTED) {
        eprintln!("once more: {}", shown.text);
        std::fs::remove_file(events).unwrap();
        shown = watch_once(site, kickstart, events);
    }
    shown
}

fn watch_once(site: &Site, kickstart: &str, events: &Path) -> Shown {
    let mut command = install(site, kickstart);
    command.arg(format!("--progress=json={}", events.display()));
    let mut terminal = Terminal::run(command, WIDE.0, WIDE.1);
    terminal.wait_for("installing packages");
    terminal.resize(NARROW.0, NARROW.1);
    terminal.wait()
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "the last line is whole");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["event"] == name)
        .collect()
}

/// Times never go back, nothing was left out, and the end is at the end.
fn assert_ordered(events: &[Value]) {
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events.last().unwrap()["event"], "ended");
    assert_eq!(named(events, "ended").len(), 1);
    assert!(named(events, "lost").is_empty());
    for pair in events.windows(2) {
        let seconds = |event: &Value| event["seconds"].as_f64().unwrap();
        assert!(seconds(&pair[0]) <= seconds(&pair[1]), "{pair:?}");
        let time = |event: &Value| event["time"].as_str().unwrap().to_owned();
        assert!(time(&pair[0]) <= time(&pair[1]), "{pair:?}");
    }
}

/// The live line of the build on a screen, if there is one.
fn live_line<'a>(screen: &'a str, name: &str) -> Option<&'a str> {
    let starts = format!("{name}  ");
    screen.lines().rfind(|line| line.starts_with(&starts))
}

/// What stands before `%` on a live line.
fn percent(line: &str) -> Option<u64> {
    line.split_once('%')?.0.split(' ').next_back()?.parse().ok()
}

#[test]
#[ignore = "long"]
fn a_build_on_a_terminal_then_one_that_fails() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("display") else {
        return;
    };
    let path = site.path("events.json");
    let shown = watch(&site, &kickstart(""), &path);
    assert_eq!(shown.status, 0, "{}", shown.text);

    // The line shows phases, packages and a bar that never goes back; nothing is left of it.
    let name = site.name.as_str();
    let lines: Vec<&str> = shown
        .screens
        .iter()
        .filter_map(|screen| live_line(screen, name))
        .collect();
    for text in [
        "starting the installer",
        "installing packages ",
        "[====",
        ">",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(text)),
            "{text}: {lines:#?}"
        );
    }
    let percents: Vec<u64> = lines.iter().filter_map(|line| percent(line)).collect();
    assert!(percents.is_sorted(), "{percents:?}");
    assert!(
        percents.iter().any(|percent| (41..80).contains(percent)),
        "{percents:?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains(" left")),
        "there is no earlier build"
    );
    let last: Vec<&str> = shown.last().lines().collect();
    let image = site.output("qcow2");
    let end = last
        .iter()
        .position(|line| line.starts_with(&format!("{name}: done in ")));
    let end = end.unwrap_or_else(|| panic!("{last:#?}"));
    assert_eq!(
        last[end + 1..].concat().trim_end(),
        image.display().to_string()
    );
    assert_eq!(live_line(shown.last(), name), None);
    assert_one_live_line(&shown, name);

    // The events say the same.
    let events = self::events(&path);
    assert_ordered(&events);
    let started = named(&events, "build-started");
    assert_eq!(started.len(), 1);
    assert_eq!(started[0]["name"], name);
    let phases = named(&events, "phase");
    let phases: Vec<&str> = phases
        .iter()
        .map(|event| event["phase"].as_str().unwrap())
        .collect();
    let manifest = std::fs::read_to_string(site.output("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["build_id"], started[0]["id"]);
    let noted = manifest["phases"].as_array().unwrap().iter();
    let noted: Vec<&str> = noted.map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(noted[0], "power-on");
    assert_eq!(phases, noted[1..]);
    let progress = named(&events, "progress");
    let of = |event: &&Value| event["percent"].as_u64().unwrap();
    assert!(progress.is_sorted_by_key(of), "{progress:#?}");
    let packages = progress
        .iter()
        .filter_map(|event| event["packages"]["done"].as_u64());
    let packages: Vec<u64> = packages.collect();
    assert!(packages.len() > 2 && packages.is_sorted(), "{packages:?}");
    let bytes = progress
        .iter()
        .filter_map(|event| event["download"]["done"].as_u64());
    assert!(bytes.max().unwrap() > 1 << 20);
    for event in ["kickstart-fetched", "mark", "guest-ended"] {
        assert_eq!(named(&events, event).len(), 1, "{event}");
    }
    assert!(named(&events, "verdict").is_empty());
    let ended = events.last().unwrap();
    assert_eq!(ended["exit_status"], 0);
    assert_eq!(ended["image"], image.display().to_string());

    // How long it took lets the next one tell how long it will take. That one fails.
    let path = site.path("failed.json");
    let failing = kickstart("%post --erroronfail\necho about to fail\nexit 3\n%end\n");
    let shown = watch(&site, &failing, &path);
    assert_eq!(shown.status, 1, "{}", shown.text);
    let lines: Vec<&str> = shown
        .screens
        .iter()
        .filter_map(|screen| live_line(screen, name))
        .collect();
    assert!(
        lines.iter().any(|line| line.contains(" left")),
        "{lines:#?}"
    );
    assert_one_live_line(&shown, name);
    let last = shown.last();
    assert_eq!(live_line(last, name), None, "{last}");
    assert!(last.contains(&format!("{name}: failed after ")), "{last}");
    assert!(last.contains("\n  | "), "the lines that explain it: {last}");
    assert!(last.contains("\nerror: "), "{last}");

    let events = self::events(&path);
    assert_ordered(&events);
    let verdict = named(&events, "verdict")[0];
    assert_eq!(verdict["cause"], "script-failed");
    let decisive = &verdict["decisive"];
    assert!(decisive["text"].as_str().unwrap().len() > 5, "{verdict}");
    let text = &decisive["text"];
    let told = named(&events, "error-text");
    let told = told.iter().find(|event| event["text"] == *text);
    let told = told.unwrap_or_else(|| panic!("{verdict}: {events:#?}"));
    let apart = told["seconds"].as_f64().unwrap() - decisive["seconds"].as_f64().unwrap();
    assert!(apart.abs() < 1.0, "told when it was read: {told} {verdict}");
    let remaining = named(&events, "progress");
    assert!(remaining.iter().all(|event| event["remaining"].is_number()));
    let ended = events.last().unwrap();
    assert_eq!(ended["exit_status"], 1);
    assert_eq!(ended["cause"], "script-failed");
    assert_eq!(
        ended["evidence"],
        site.output("failed").display().to_string()
    );
    assert!(
        !events
            .iter()
            .any(|event| event.to_string().contains("test-only"))
    );
}

/// There is never more than one, nor a part of one that was drawn before.
fn assert_one_live_line(shown: &Shown, name: &str) {
    for screen in &shown.screens {
        let starts = format!("{name}  ");
        let lines = screen.lines().filter(|line| line.contains(&starts));
        assert!(lines.count() <= 1, "{screen}");
    }
}

/// Where the template's tree is not there, the install ends early and no guest is needed.
#[test]
fn a_dumb_terminal_and_a_pipe_get_plain_lines() {
    let site = Site::bare("dumb");
    let mut command = install(&site, &kickstart(""));
    command.arg("--no-check").env("TERM", "dumb");
    let shown = Terminal::run(command, WIDE.0, WIDE.1).wait();
    assert_eq!(shown.status, 4, "{}", shown.text);
    assert!(
        shown.text.contains("s] getting the installer of "),
        "{}",
        shown.text
    );
    assert!(!shown.text.contains('\u{1b}'), "{:?}", shown.text);

    let mut command = install(&site, &kickstart(""));
    command.args(["--no-check", "--progress", "live"]);
    let outcome = run(command);
    outcome.assert_failed(4, &["s] getting the installer of ", "\nerror: "]);
    assert!(!outcome.stderr.contains('\u{1b}'), "{:?}", outcome.stderr);

    let mut command = install(&site, &kickstart(""));
    command.args(["--no-check", "--progress", "none"]);
    let outcome = run(command);
    outcome.assert_failed(4, &["error: "]);
    assert!(
        !outcome.stderr.contains("getting the installer"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_terminal_is_clean_after_a_refusal() {
    let site = Site::bare("refused");
    let mut command = install(&site, &kickstart(""));
    command.arg("--no-check");
    let shown = Terminal::run(command, WIDE.0, WIDE.1).wait();
    assert_eq!(shown.status, 4, "{}", shown.text);
    assert_eq!(live_line(shown.last(), &site.name), None);
    assert!(shown.last().contains("error: "), "{}", shown.last());
}

/// Every line of standard error is an event.
fn events_on_stderr(outcome: &Outcome) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let events: Vec<Value> = outcome.stderr.lines().map(parse).collect();
    assert_ordered(&events);
    events
}

#[test]
fn standard_error_is_for_programs_alone_if_they_ask_for_it() {
    let site = Site::bare("json");
    let mut command = install(&site, &kickstart(""));
    command.args(["--no-check", "--progress", "json"]);
    let events = events_on_stderr(run(command).assert_failed(4, &[]));
    assert_eq!(named(&events, "build-started").len(), 1);
    let ended = events.last().unwrap();
    assert_eq!(ended["exit_status"], 4);
    assert!(
        ended["message"].as_str().unwrap().contains("/os/"),
        "{ended}"
    );

    // A finding, from the check.
    let mut command = install(&site, "nonsense\n");
    command.args(["--progress", "json"]);
    let outcome = run(command);
    let events = events_on_stderr(&outcome);
    assert!(!named(&events, "finding").is_empty(), "{events:#?}");
    assert_eq!(events.last().unwrap()["exit_status"], outcome.status);

    // What is wrong in the configuration is said in the way that the command line asks for.
    let config = site.write("ozr.toml", "no-such-key = 1\n");
    let mut command = install(&site, &kickstart(""));
    command.args(["--progress", "json", "--config"]).arg(config);
    let events = events_on_stderr(run(command).assert_failed(2, &[]));
    let message = events.last().unwrap()["message"].as_str().unwrap();
    assert!(message.contains("no-such-key"), "{message}");
}

#[test]
fn events_go_to_a_file_or_descriptor_beside_the_lines_for_people() {
    let site = Site::bare("beside");
    let path = site.path("events.json");
    let config = site.write("ozr.toml", "progress = [\"plain\", \"json=events.json\"]\n");
    let mut command = install(&site, &kickstart(""));
    command.args(["--no-check", "--config"]).arg(config);
    run(command).assert_failed(4, &["s] getting the installer of ", "\nerror: "]);
    assert_ordered(&events(&path));

    // A shell's redirection.
    let mut command = install(&site, &kickstart(""));
    command.args(["--no-check", "--progress", "json=fd:7"]);
    let mut by_shell = Command::new("sh");
    by_shell
        .args(["-c", "exec \"$@\" 7>by-shell.json", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(site.path(""));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => by_shell.env(name, value),
            None => by_shell.env_remove(name),
        };
    }
    run(by_shell).assert_failed(4, &["error: "]);
    assert_ordered(&events(&site.path("by-shell.json")));
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is_done() {
    let site = Site::bare("unwritable");
    for (arguments, says) in [
        (
            vec!["--progress=json=no/such/folder/e.json"],
            "no/such/folder/e.json",
        ),
        (vec!["--progress=json=fd:0"], "standard input"),
        (vec!["--progress=json=fd:77"], "not open"),
        (vec!["--progress=plain", "--progress=json"], "two ways"),
        (vec!["--progress=loud"], "json=FILE"),
    ] {
        let mut command = install(&site, &kickstart(""));
        command.args(&arguments);
        let outcome = run(command);
        outcome.assert_failed(2, &[says]);
        assert!(!outcome.stderr.contains("] "), "{}", outcome.stderr);
    }
}
