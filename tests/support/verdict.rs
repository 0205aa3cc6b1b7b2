//! What a failed build must show: its sentence, its verdict, how soon it was over, and an empty
//! house.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::site::{Outcome, Site};

/// The root password of the tests' kickstart, which must be in nothing that is kept.
const SECRET: &str = "test-only";

/// What every failed build with a guest leaves. QEMU's log is a daemon's own.
const EVIDENCE: [&str; 11] = [
    "verdict.txt",
    "verdict.json",
    "console.log",
    "console.raw",
    "installer.log",
    "logport.raw",
    "kickstart.ks",
    "domain.xml",
    "access.log",
    "timings.json",
    "versions.json",
];

/// The verdict is out and the guest gone so soon after the line that decides (issue 4).
pub const PROMPT: Duration = Duration::from_secs(5);

/// What decides a build, and when its time begins to count.
#[derive(Debug, Clone, Copy)]
pub enum Decisive {
    /// A line of the console. A line of the log port that says the same counts as well.
    Line(&'static str),
    /// Something that the test did to the guest, or to ozr.
    Moment(Instant, &'static str),
    /// The host stopped the guest; what it says.
    Ended(&'static str),
    /// Nothing happened for so long, or nothing decided it until then.
    Deadline(Duration, &'static str),
}

/// How a build must fail.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub cause: &'static str,
    pub status: i32,
    pub phase: &'static str,
    pub decisive: Decisive,
    /// What the sentence says.
    pub says: &'static [&'static str],
}

/// The one sentence at the end; findings above it name their places.
pub fn sentence(outcome: &Outcome) -> &str {
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let errors: Vec<&str> = lines
        .iter()
        .enumerate()
        .filter(|(at, _)| {
            !lines
                .get(at + 1)
                .is_some_and(|next| next.trim_start().starts_with("--> "))
        })
        .filter_map(|(_, line)| line.strip_prefix("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{}", outcome.stderr);
    let last = outcome.stderr.lines().last().unwrap();
    assert_eq!(last, format!("error: {}", errors[0]), "{}", outcome.stderr);
    errors[0]
}

/// The sentence says all of these.
pub fn assert_says(outcome: &Outcome, words: &[&str]) {
    let sentence = sentence(outcome);
    for word in words {
        assert!(
            sentence.contains(word),
            "`{word}` is not in: {sentence}\n{}",
            outcome.stderr
        );
    }
}

/// What `verdict.json` says.
pub fn verdict(site: &Site) -> Value {
    let file = site.output("failed").join("verdict.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The build failed in the guest: the sentence says why and where the rest is, and that rest is
/// all that is left.
pub fn assert_build_failed(site: &Site, outcome: &Outcome, cause: &str, words: &[&str]) {
    assert_failed_with(site, outcome, 1, cause, words);
}

/// [`assert_build_failed`] with another exit status than 1.
fn assert_failed_with(site: &Site, outcome: &Outcome, status: i32, cause: &str, words: &[&str]) {
    outcome.assert_failed(status, &[]);
    site.assert_clean(outcome, &["failed"]);
    let failed = site.output("failed");
    assert_says(outcome, words);
    assert_says(outcome, &[&failed.display().to_string()]);
    let text = std::fs::read_to_string(failed.join("verdict.txt")).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        sentence(outcome).starts_with(first),
        "{text}: {}",
        outcome.stderr
    );
    let json = verdict(site);
    assert_eq!(json["cause"], cause, "{json:#}");
    assert_eq!(json["sentence"], first);
    assert_eq!(json["exit_status"], status);
    for name in EVIDENCE {
        assert!(failed.join(name).exists(), "{name} is not kept");
    }
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(failed.join(name)).unwrap()).unwrap()
    };
    let timings = read("timings.json");
    assert_eq!(timings["steps"].as_array().unwrap().len(), 4, "{timings:#}");
    assert_eq!(timings["phases"][0]["name"], "power-on", "{timings:#}");
    let versions = read("versions.json");
    for key in ["ozr", "libvirt", "qemu", "kernel", "accelerator", "release"] {
        assert!(versions[key].is_string(), "{key}: {versions:#}");
    }
    assert_eq!(versions["tree"]["url"], site.mirror.url("/os/").as_str());
    assert_private(&failed);
    assert!(!outcome.stderr.contains(SECRET), "{}", outcome.stderr);
}

/// The guest was destroyed when its failure was known: it did not come to switch itself off.
pub fn assert_not_waited_for(site: &Site) {
    let console = std::fs::read_to_string(site.output("failed").join("console.log")).unwrap();
    assert!(!console.contains("reboot: Power down"), "{console}");
}

/// Nothing below `directory` holds the root password, or can be read by others.
fn assert_private(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_private(&path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let holds = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!holds, "{} holds the root password", path.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read {}", path.display());
    }
}

/// The build failed as `expected`, was over soon after it was decided, and left nothing but what
/// explains it; the verdict.
pub fn assert_verdict(site: &Site, outcome: &Outcome, expected: &Expected) -> Value {
    assert_failed_with(
        site,
        outcome,
        expected.status,
        expected.cause,
        expected.says,
    );
    let verdict = verdict(site);
    assert_eq!(verdict["phase"], expected.phase, "{verdict:#}");
    let seen = |sources: &[&str], text: &str| {
        let seen = verdict["seen"].as_array().unwrap();
        let found = seen.iter().any(|seen| {
            sources.contains(&seen["source"].as_str().unwrap())
                && seen["text"].as_str().unwrap().contains(text)
        });
        assert!(found, "`{text}` was not seen: {verdict:#}");
    };
    match expected.decisive {
        Decisive::Line(text) => seen(&["console", "log-port"], text),
        Decisive::Moment(_, text) => seen(&["qemu-log", "guest-state"], text),
        Decisive::Ended(text) | Decisive::Deadline(_, text) => seen(&["guest-state"], text),
    }
    let took = decisive_to_exit(site, &verdict, outcome, expected.decisive);
    eprintln!(
        "{}: {:.1} s from what decided it to the exit",
        expected.cause,
        took.as_secs_f64()
    );
    let events = site.events();
    let last = &events[events.len().saturating_sub(20)..];
    assert!(took <= PROMPT, "{took:?}: {last:#?}");
    verdict
}

/// How long ozr took from what decided the build to its exit, by its events; what the test did
/// to the guest, it has timed itself.
///
/// This is issue 4's own promise, and so the one time that a test measures: it says seconds, and
/// the tests wait for a process, not for a machine to be fast.
fn decisive_to_exit(
    site: &Site,
    verdict: &Value,
    outcome: &Outcome,
    decisive: Decisive,
) -> Duration {
    let events = site.events();
    let last = |name: &str| {
        let mut events = events.iter().rev();
        events.find(|event| event["event"] == name).unwrap().clone()
    };
    let (told, ended) = (last("verdict"), last("ended"));
    assert_eq!(told["cause"], verdict["cause"], "{told:#}");
    assert_eq!(ended["cause"], verdict["cause"], "{ended:#}");
    let seconds = |event: &Value| event["seconds"].as_f64().unwrap();
    let decided = &told["decisive"];
    match decisive {
        Decisive::Line(text) => {
            // The first text of the message that has this line, on either port.
            let seen = verdict["seen"].as_array().unwrap();
            let place = |wanted: &str| {
                let holds = |seen: &Value| seen["text"].as_str().unwrap().contains(wanted);
                seen.iter().position(holds)
            };
            let first = place(decided["text"].as_str().unwrap());
            assert!(first.is_some() && first <= place(text), "{told:#}");
        }
        Decisive::Moment(moment, _) => return outcome.ended - moment,
        Decisive::Ended(_) => assert_eq!(decided["source"], "guest-state", "{told:#}"),
        Decisive::Deadline(limit, _) => {
            let at = Duration::from_secs_f64(verdict["seconds"].as_f64().unwrap());
            assert!(at >= limit, "{at:?} of {limit:?}");
            assert_eq!(decided["source"], "guest-state", "{told:#}");
        }
    }
    Duration::from_secs_f64(seconds(&ended) - seconds(decided))
}
