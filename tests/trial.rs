//! `ozr try`: what the installer says of a kickstart, from a saved state as from a boot. All tests share one
//! state, which the first of them makes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::support::kill;
use crate::support::site::{Outcome, Site, bootable, kickstart, run, start};

/// Where the tests' state lies, and who may change it: one at a time.
fn turn() -> (PathBuf, MutexGuard<'static, ()>) {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let cache =
        CACHE.get_or_init(|| tempfile::tempdir_in("/var/tmp").expect("a directory for the state"));
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (cache.path().to_path_buf(), turn)
}

/// The mirror that all of them use: its address is in the state's key.
fn site() -> Option<&'static Site> {
    static SITE: OnceLock<Option<Site>> = OnceLock::new();
    SITE.get_or_init(|| Site::new("try")).as_ref()
}

/// `ozr COMMAND` of the site's template with these kickstarts.
fn ozr(
    site: &Site,
    cache: &PathBuf,
    command: &str,
    options: &[&str],
    kickstarts: &[&str],
) -> Command {
    site.write_template();
    let mut ozr = site.ozr();
    ozr.args([command, "template.tdl"]).args(kickstarts);
    ozr.arg("--cache-dir").arg(cache);
    ozr.arg("--output-dir").arg(site.out());
    ozr.args(["--state-dir", "state", "--progress", "plain"]);
    if !options.contains(&"--memory") {
        ozr.args(["--memory", "1400"]);
    }
    ozr.args(["--vcpus", "1"]).args(options);
    ozr
}

/// The file that holds the state.
fn state(cache: &std::path::Path) -> PathBuf {
    let all = std::fs::read_dir(cache.join("installers")).expect("states");
    let mut states = all
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "state"));
    let state = states.next().expect("there is a state");
    assert_eq!(states.next(), None, "there is one");
    state
}

fn verdict(site: &Site, name: &str) -> serde_json::Value {
    let file = site.out().join(format!("{name}.try.failed/verdict.json"));
    let json = std::fs::read(file).expect("a verdict");
    serde_json::from_slice(&json).expect("JSON")
}

fn says(outcome: &Outcome, words: &str) {
    assert!(outcome.stderr.contains(words), "{words}\n{outcome:?}");
}

/// Waits for a line, and interrupts: what comes after it is of no interest.
fn until(command: Command, line: &str) -> Outcome {
    let mut running = start(command);
    running.wait_for(line);
    running.signal("INT");
    running.wait()
}

/// Good and bad kickstarts, one after the other from one state; and one of the bad ones from a boot.
#[test]
fn kickstarts_are_judged_as_an_install_judges_them() {
    let Some(site) = site() else { return };
    let (cache, _turn) = turn();
    let good = kickstart("%pre\ncat /proc/sys/kernel/random/uuid >/dev/console\n%end\n");
    let package = bootable("").replace("@core", "@core\nno-such-package");
    let all = [
        ("good", good.clone()),
        ("again", good),
        (
            "syntax",
            kickstart("").replace("keyboard us", "keyboard us --nonsense"),
        ),
        (
            "script",
            kickstart("%pre --erroronfail\necho looked in vain\nfalse\n%end\n"),
        ),
        ("package", package),
        (
            "layout",
            kickstart("").replace("--size=2048", "--size=900000"),
        ),
        (
            "source",
            kickstart("").replace(
                "lang en",
                "repo --name=gone --baseurl=http://10.0.2.2:9/x/\nlang en",
            ),
        ),
    ];
    let files: Vec<String> = all.iter().map(|(name, _)| format!("{name}.ks")).collect();
    for ((_, text), file) in all.iter().zip(&files) {
        site.write(file, text);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let outcome = run(ozr(site, &cache, "try", &["--no-check", "-v"], &files));
    assert_eq!(outcome.status, 1, "{outcome:?}");
    says(&outcome, "5 of 7 kickstarts failed");
    assert!(outcome.stderr.matches("making a saved installer").count() <= 1);
    assert_eq!(
        outcome
            .stderr
            .matches("] loading the saved installer")
            .count(),
        7
    );
    assert!(!outcome.stderr.contains("is not used"), "{outcome:?}");
    let done: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(done.len(), 2, "{outcome:?}");
    assert!(done[0].starts_with("good.ks\tready\t"), "{outcome:?}");
    // No two guests of a state draw the same.
    let uuids: Vec<&str> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.split_once("the guest is reseeded: "))
        .map(|(_, uuid)| uuid)
        .collect();
    assert_eq!(uuids.len(), 7, "{outcome:?}");
    let different: std::collections::BTreeSet<&&str> = uuids.iter().collect();
    assert_eq!(different.len(), 7, "{uuids:?}");
    for (name, cause, words) in [
        ("syntax", "kickstart-rejected", "--nonsense"),
        ("script", "script-failed", "%pre"),
        ("package", "software-missing", "no-such-package"),
        ("layout", "storage-failed", ""),
        ("source", "source-unavailable", ""),
    ] {
        let verdict = verdict(site, name);
        assert_eq!(verdict["cause"], cause, "{verdict:#}");
        let sentence = verdict["sentence"].as_str().unwrap();
        assert!(sentence.contains(words), "{sentence}");
        assert_eq!(verdict["phase"], "preparing", "{verdict:#}");
    }
    // The author's own line.
    let line = &verdict(site, "script")["script"]["line"];
    let header = kickstart("").lines().count() as u64 + 1;
    assert_eq!(line, header, "the section begins there");

    // Nothing is left of all that but what explains the failures.
    site.assert_nothing_runs(&outcome);
    let mut left: Vec<String> = std::fs::read_dir(site.out())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let failed = ["layout", "package", "script", "source", "syntax"];
    assert_eq!(left, failed.map(|name| format!("{name}.try.failed")));

    // A boot says the same.
    let warm = verdict(site, "package");
    let cold = run(ozr(
        site,
        &cache,
        "try",
        &["--no-check", "--cold"],
        &["package.ks"],
    ));
    cold.assert_failed(1, &[]);
    says(&cold, "] booting the installer's kernel");
    let sentence = warm["sentence"].as_str().unwrap();
    says(&cold, sentence);

    // Nothing that is secret is in the state: no password, no address that cannot be guessed.
    let bytes = std::fs::read(state(&cache)).unwrap();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(has("org.ozr.handover.0"), "it is the guest's memory");
    assert!(!has("test-only"), "a password is in it");
}

/// What is saved is listed, another guest's state is not loaded, and what was tampered with is removed: each time
/// with a word.
#[test]
fn only_the_state_of_the_same_guest_is_loaded() {
    let Some(site) = site() else { return };
    let (cache, _turn) = turn();
    site.write("test.ks", &kickstart(""));
    run(ozr(site, &cache, "warm", &[], &[])).assert_done();
    // It is there now.
    let again = run(ozr(site, &cache, "warm", &[], &[]));
    again.assert_done();
    says(&again, "it is there already");
    let list = || {
        let mut list = site.ozr();
        list.args(["cache", "list", "--cache-dir"]).arg(&cache);
        run(list).stdout
    };
    assert!(
        list().contains("saved installer of Rocky Linux 9"),
        "{}",
        list()
    );

    // Of another kind, and the part that is another.
    let other = ozr(
        site,
        &cache,
        "try",
        &["--no-check", "--memory", "1500"],
        &["test.ks"],
    );
    let outcome = until(other, "making a saved installer");
    says(&outcome, "the saved installer is of another kind: memory");

    // Too late for a saved one.
    site.write(
        "late.ks",
        &kickstart("").replace("lang en", "updates\nlang en"),
    );
    let late = ozr(site, &cache, "try", &["--no-check"], &["late.ks"]);
    let outcome = until(late, "starting the guest");
    says(&outcome, "the installer is booted: late.ks:2: `updates`");

    // Killed while it loads: nothing is left once somebody has looked.
    let mut killed = start(ozr(site, &cache, "try", &["--no-check"], &["test.ks"]));
    killed.wait_for("loading the saved installer");
    kill("KILL", killed.pid());
    let killed = killed.wait();
    site.gc(&[]).assert_done();
    site.assert_nothing_runs(&killed);

    // Altered: one byte in the middle.
    let file = state(&cache);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let altered = ozr(site, &cache, "try", &["--no-check"], &["test.ks"]);
    let outcome = until(altered, "starting the guest");
    says(
        &outcome,
        "the saved installer is not used: its contents were changed; it was removed, and the installer is booted",
    );
    assert!(!file.exists());
    assert!(!list().contains("saved installer"), "{}", list());
    site.assert_nothing_runs(&outcome);
}

/// What means nothing for a try is refused, before anything is asked.
#[test]
fn options_of_images_are_refused() {
    let site = Site::bare("tryimages");
    site.write("test.ks", &kickstart(""));
    site.write_template();
    for (options, words) in [
        (&["--format", "raw"][..], "--format is for images"),
        (&["--sign", "gpg"], "--sign is for images"),
        (
            &["--watch", "--report", "junit=x"],
            "a report is of one try",
        ),
        (&["--watch", "-"], "--watch looks at files"),
    ] {
        let mut command = site.ozr();
        command
            .args(["try", "template.tdl", "test.ks"])
            .args(options);
        run(command).assert_failed(2, &[words]);
    }
    let mut command = site.ozr();
    command.args(["try", "template.tdl"]);
    run(command).assert_failed(2, &["name a kickstart with -k"]);
}
