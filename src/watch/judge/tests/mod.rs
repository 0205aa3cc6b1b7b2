use super::*;
use crate::options::Deliver;
use crate::watch::console::{Console, Output};
use crate::watch::verdict::{FullDisk, Outcome, Script, Section, Verdict};
use crate::watch::witness::End;

mod kept;
mod loading;
mod messages;
mod success;
mod waiting;

const OVER_HTTP: Expectations = Expectations {
    mark: true,
    delivery: Some(Deliver::Http),
    sections: Vec::new(),
    until: None,
    repositories: Vec::new(),
};

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

/// When the line of a story comes, counted from 1.
fn line_at(count: u32) -> Duration {
    Duration::from_millis(100) * count
}

/// Tells a judge a story, ten lines a second: console lines, and in angle brackets what else was
/// witnessed. The decision and when it was made.
fn judge(expectations: Expectations, story: &str) -> Option<(Decision, Duration)> {
    let mut judge = Judge::new(expectations, Limits::default());
    let mut count = 0;
    for line in story.lines().map(str::trim).filter(|l| !l.is_empty()) {
        // Blanks at the beginning of a line stand behind a bar.
        let line = line.strip_prefix('|').unwrap_or(line);
        count += 1;
        let now = line_at(count);
        let record;
        let witness = match line {
            "<fetched>" => Witness::KickstartFetched,
            "<mark>" => Witness::Mark,
            "<shutdown by guest>" => Witness::Ended(End::ByGuest),
            "<gone>" => Witness::Ended(End::Gone),
            "<killed>" => Witness::Ended(End::Killed),
            "<crashed>" => Witness::Ended(End::Crashed),
            "<host disk full>" => Witness::Ended(End::HostDiskFull),
            "<connection lost>" => Witness::Ended(End::ConnectionLost),
            "<timeout>" => Witness::TimedOut(at(3600)),
            "<interrupt>" => Witness::Interrupted("SIGINT"),
            "<quiet>" => {
                let deadline = judge.deadline()?;
                let decision = judge.tick(deadline)?;
                return Some((decision, deadline));
            }
            _ => match line.strip_prefix("log: ") {
                Some(line) => {
                    record = Record::parse(line).expect("a record");
                    Witness::Log(&record)
                }
                None => {
                    let refused = line.strip_prefix("server: ").map(Witness::Refused);
                    let words = line.strip_prefix("words: ").map(Witness::LastWords);
                    refused.or(words).unwrap_or(Witness::Console(line))
                }
            },
        };
        if let Some(decision) = judge.witness(now, witness) {
            assert_eq!(judge.deadline(), None);
            assert_eq!(judge.witness(now, Witness::Interrupted("SIGINT")), None);
            return Some((decision, now));
        }
    }
    None
}

fn failure(expectations: Expectations, story: &str) -> Verdict {
    match judge(expectations, story).expect("no decision").0.outcome {
        Outcome::Failure(verdict) => *verdict,
        Outcome::Success { .. } => panic!("a success"),
    }
}

const BOOT: &str = "
    [    0.000000] Linux version 5.14.0-1.el9.x86_64
    [    2.000000] systemd[1]: Running in initrd.
";

const UP_TO_POST: &str = "
    [    0.000000] Linux version 5.14.0-1.el9.x86_64
    [    2.000000] systemd[1]: Running in initrd.
    <fetched>
    [    9.0] systemd[1]: Switching root.
    Starting installer, one moment...
    anaconda 34.25.5-1.el9 for Rocky Linux 9.4 started.
    Starting automated install...
    Configuring storage
    Installing bash.x86_64 (1/2)
    Installing zlib.x86_64 (2/2)
    Installing boot loader
    Generating initramfs
    Running post-installation scripts
";

/// `cargo test --release --lib judge::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn speed() {
    const TIMES: u32 = 200;
    let stage2 = "[  OK  ] Started systemd-logind.service - User Login Management.";
    let lines: Vec<&str> = UP_TO_POST
        .lines()
        .chain([stage2, "Installing x (2/9)"])
        .map(str::trim)
        .collect();
    let started = std::time::Instant::now();
    for _ in 0..TIMES {
        let mut judge = Judge::new(OVER_HTTP, Limits::default());
        for line in &lines {
            judge.witness(at(1), Witness::Console(line));
        }
    }
    let lines = TIMES * u32::try_from(lines.len()).unwrap();
    println!(
        "{:?} a console line, {lines} lines",
        started.elapsed() / lines
    );
}
