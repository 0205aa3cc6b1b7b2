//! Agreement with inputs that nobody on this project wrote.
//!
//! Each test reads one set of the corpus, prints `SET: agree N of M` and the first disagreements,
//! and fails below the agreement that has been reached. Without the corpus a test prints
//! `SET: skipped, no corpus` and passes. The corpus is in the directory that `OZR_CORPUS` names,
//! else in `../shared/corpus` beside the project.
//!
//! `cargo test --release --test corpus -- --nocapture [SET]`

// The scores are this target's product.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ozr::diagnostic::{Diagnostic, Severity};
use ozr::kickstart::scan;
use ozr::language::{NoIncludes, Reading, Version};
use ozr::watch::cause::Cause;
use ozr::watch::console::{Console, Output};
use ozr::watch::judge::Judge;
use ozr::watch::logport::{LogPort, Record};
use ozr::watch::stall::Limits;
use ozr::watch::verdict::Outcome;
use ozr::watch::witness::{Delivery, Expectations, Witness};

/// Agreement of one set.
struct Score {
    set: &'static str,
    agreed: usize,
    total: usize,
    disagreements: Vec<String>,
}

impl Score {
    /// Most disagreements that are printed, unless `OZR_CORPUS_SHOWN` says how many.
    const SHOWN: usize = 20;

    fn new(set: &'static str) -> Self {
        Self {
            set,
            agreed: 0,
            total: 0,
            disagreements: Vec::new(),
        }
    }

    /// Counts one case; `why` describes it where it disagrees.
    fn count(&mut self, agrees: bool, why: impl FnOnce() -> String) {
        self.total += 1;
        if agrees {
            self.agreed += 1;
        } else {
            self.disagreements.push(why());
        }
    }

    /// Prints the score and fails if it is below `floor`, a share of all cases.
    fn finish(self, floor: f64) {
        println!("{}: agree {} of {}", self.set, self.agreed, self.total);
        let shown = std::env::var("OZR_CORPUS_SHOWN").ok();
        let shown = shown.and_then(|shown| shown.parse().ok());
        let shown = shown.unwrap_or(Self::SHOWN);
        for disagreement in self.disagreements.iter().take(shown) {
            println!("  {disagreement}");
        }
        assert!(self.total > 0, "{}: the set is empty", self.set);
        let share = self.agreed as f64 / self.total as f64;
        assert!(share >= floor, "{}: {share:.4} is below {floor}", self.set);
    }
}

/// The file or folder `name` of the corpus, if there is one.
fn corpus(set: &str, name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OZR_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join(name);
    if !path.exists() {
        println!("{set}: skipped, no corpus");
        return None;
    }
    Some(path)
}

/// Templates of Oz's own tests: the same verdict for each.
#[test]
fn tdl() {
    const FLOOR: f64 = 1.0;
    let Some(folder) = corpus("tdl", "tdl") else {
        return;
    };
    let mut score = Score::new("tdl");
    let expected = fs::read_to_string(folder.join("EXPECT.tsv")).expect("EXPECT.tsv");
    for line in expected.lines().filter(|line| !line.trim().is_empty()) {
        let mut fields = line.split('\t');
        let (Some(file), Some(verdict)) = (fields.next(), fields.next()) else {
            panic!("EXPECT.tsv: {line}");
        };
        let bytes = fs::read(folder.join(file)).expect(file);
        let result = ozr::tdl::read(&bytes, file);
        let ours = if result.is_ok() { "accept" } else { "reject" };
        score.count(ours == verdict, || match result {
            Ok(_) => format!("{file}: accepted, expected {verdict}"),
            Err(findings) => format!("{file}: expected {verdict}\n{}", findings[0]),
        });
    }
    score.finish(FLOOR);
}

/// A text's `[section]` and `key = value` lines as plainly as they can be read, to hold the real
/// reader against.
fn plain_ini(text: &str) -> BTreeMap<(String, String), String> {
    let mut section = String::new();
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.to_string();
        } else if !line.starts_with([';', '#'])
            && let Some((key, value)) = line.split_once('=')
        {
            let key = (section.clone(), key.trim().to_string());
            values.insert(key, value.trim().to_string());
        }
    }
    values
}

/// Install trees of many releases: what they name is found, and nothing else.
#[test]
fn treeinfo() {
    const FLOOR: f64 = 1.0;
    let Some(folder) = corpus("treeinfo", "treeinfo") else {
        return;
    };
    let mut score = Score::new("treeinfo");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "treeinfo"))
        .collect();
    files.sort();
    for file in files {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).expect("a text");
        let plain = plain_ini(&text);
        let value = |section: &str, key: &str| {
            let key = (section.to_string(), key.to_string());
            plain.get(&key).filter(|value| !value.is_empty()).cloned()
        };
        let arch = value("tree", "arch").or_else(|| value("general", "arch"));
        let images = format!("images-{}", arch.as_deref().unwrap_or_default());
        let checksums = plain
            .iter()
            .filter(|((section, _), value)| {
                section == "checksums"
                    && ["sha256:", "sha384:", "sha512:"]
                        .iter()
                        .any(|kind| value.starts_with(kind))
            })
            .count();
        match ozr::mirror::treeinfo::parse(&text, &name) {
            Ok(tree) => {
                let expected = (
                    value(&images, "kernel"),
                    value(&images, "initrd"),
                    value("stage2", "mainimage"),
                    checksums,
                );
                let strong = |sum: &&ozr::mirror::treeinfo::Checksum| {
                    sum.algorithm.starts_with("sha")
                        && sum.algorithm != "sha1"
                        && sum.algorithm != "sha"
                };
                let ours = (
                    tree.kernel.clone(),
                    tree.initrd.clone(),
                    tree.stage2.clone(),
                    tree.checksums.values().filter(strong).count(),
                );
                score.count(ours == expected, || {
                    format!("{name}: {ours:?}, expected {expected:?}")
                });
            }
            // Refused for a reason that can be seen: it does not describe a tree at all.
            Err(finding) => {
                let describes = arch.is_some() && value(&images, "kernel").is_some();
                score.count(!describes, || format!("{name}: refused\n{finding}"));
            }
        }
    }
    score.finish(FLOOR);
}

// The other sets, each as one test like those above:
// kickstart_lines and kickstarts (ozr::kickstart), console (ozr::watch).

/// What the reference tool says of one line or file, and what ozr says.
///
/// It stops at the first thing that it finds in a line, a warning included; ozr goes on, so its
/// first finding is the one to compare.
fn letter(reading: &Reading) -> char {
    match reading.findings.first().map(|finding| finding.severity) {
        Some(Severity::Error) => 'R',
        Some(_) => 'D',
        None => 'A',
    }
}

/// Cells in which ozr differs on purpose: `tests/differences.tsv`, with the reason for each.
fn deliberate() -> BTreeSet<(String, String)> {
    include_str!("differences.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let mut fields = line.split('\t');
            let (Some(what), Some(version), Some(reason)) =
                (fields.next(), fields.next(), fields.next())
            else {
                panic!("differences.tsv: {line}");
            };
            assert!(!reason.is_empty(), "differences.tsv: {line}");
            (what.to_string(), version.to_string())
        })
        .collect()
}

/// Single lines under every version: the same letter for each.
#[test]
fn kickstart_lines() {
    const FLOOR: f64 = 0.0;
    let Some(file) = corpus("kickstart_lines", "kickstart-lines.tsv") else {
        return;
    };
    let deliberate = deliberate();
    let text = fs::read_to_string(file).expect("kickstart-lines.tsv");
    let mut rows = text.lines();
    let versions: Vec<&str> = rows.next().expect("a head").split('\t').skip(2).collect();
    let versions: Vec<Version> = versions
        .iter()
        .map_while(|name| Version::from_name(name))
        .collect();
    let mut score = Score::new("kickstart_lines");
    let mut refused = Vec::new();
    for row in rows {
        let fields: Vec<&str> = row.split('\t').collect();
        let line = fields[1];
        for (version, theirs) in versions.iter().zip(&fields[2..]) {
            let theirs = match *theirs {
                "W" | "D" => 'D',
                "C" | "R" => 'R',
                _ => 'A',
            };
            let reading = Reading::new(&format!("{line}\n"), "line", *version, &NoIncludes);
            let ours = letter(&reading);
            let on_purpose = deliberate.contains(&(line.to_string(), version.to_string()));
            let agrees = ours == theirs || on_purpose;
            score.count(agrees, || format!("{version} {theirs} not {ours}: {line}"));
            let current = matches!(version, Version::Rhel(8..=10));
            if current && theirs != 'R' && ours == 'R' && !on_purpose {
                refused.push(format!("{version}: {line}"));
            }
        }
    }
    score.finish(FLOOR);
    assert_eq!(refused, [""; 0], "accepted by RHEL 8, 9 or 10 and refused");
}

/// Whole kickstarts: the same verdict for each file and version.
#[test]
fn kickstarts() {
    const FLOOR: f64 = 0.0;
    let Some(folder) = corpus("kickstarts", "kickstarts") else {
        return;
    };
    let deliberate = deliberate();
    let mut score = Score::new("kickstarts");
    let mut texts = BTreeMap::new();
    let verdicts = fs::read_to_string(folder.join("VERDICTS.tsv")).expect("VERDICTS.tsv");
    for row in verdicts.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let (file, name, theirs, at, why) = (fields[0], fields[1], fields[2], fields[3], fields[4]);
        // Versions that ozr does not install are not known to it.
        let Some(version) = Version::from_name(name) else {
            continue;
        };
        let text: &mut Result<String, Box<Diagnostic>> =
            texts.entry(file.to_string()).or_insert_with(|| {
                let bytes = fs::read(folder.join(file)).expect(file);
                scan::decode(bytes, file)
            });
        let findings = match text {
            Ok(text) => Reading::new(text, file, version, &NoIncludes).findings,
            Err(finding) => vec![(**finding).clone()],
        };
        let worst = findings.iter().max_by_key(|finding| finding.severity);
        let ours = match worst.map(|finding| finding.severity) {
            Some(Severity::Error) => "error",
            Some(_) => "warn",
            None => "ok",
        };
        let on_purpose = deliberate.contains(&(file.to_string(), name.to_string()));
        score.count(ours == theirs || on_purpose, || {
            let theirs = format!("{file} {name}: {theirs} (line {at}: {why}), not {ours}");
            match worst {
                Some(finding) => format!("{theirs}\n{finding}"),
                None => theirs,
            }
        });
    }
    score.finish(FLOOR);
}

/// What a kept console proves, read as a real build reads it: bytes, lines, typed events, judge.
fn proven_cause(name: &str, bytes: &[u8]) -> Option<Cause> {
    let expectations = Expectations::new(false, Delivery::Unknown);
    let mut judge = Judge::new(expectations, Limits::default());
    let mut console = Console::new(None);
    let mut port = LogPort::default();
    let mut decision = None;
    let show = |judge: &mut Judge, outputs: Vec<Output>| {
        outputs.into_iter().find_map(|output| match output {
            Output::Line(line) => judge.witness(Duration::ZERO, Witness::Console(&line)),
            Output::Mark => None,
        })
    };
    let raw = name.ends_with(".raw");
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        if !raw && Record::parse(text.trim_end()).is_some() {
            for record in port.feed(line) {
                let decided = judge.witness(Duration::ZERO, Witness::Log(&record));
                decision = decision.or(decided);
            }
            continue;
        }
        let outputs = if raw {
            console.feed(line)
        } else if text.starts_with("# source: ") {
            Vec::new()
        } else {
            // A text file has lost the carriage returns of the terminal.
            console.feed(text.replace('\n', "\r\n").as_bytes())
        };
        decision = decision.or(show(&mut judge, outputs));
    }
    let outputs = console.settle();
    decision = decision.or(show(&mut judge, outputs));
    if let Some(record) = port.finish() {
        let decided = judge.witness(Duration::ZERO, Witness::Log(&record));
        decision = decision.or(decided);
    }
    match decision.or_else(|| judge.proven())?.outcome {
        Outcome::Failure(verdict) => Some(verdict.cause),
        Outcome::Success { .. } => None,
    }
}

/// Consoles and logs of real installs: the cause that the text alone proves, or none.
#[test]
fn console() {
    const FLOOR: f64 = 1.0;
    let Some(folder) = corpus("console", "console") else {
        return;
    };
    let mut score = Score::new("console");
    let labels = fs::read_to_string(folder.join("LABELS.tsv")).expect("LABELS.tsv");
    for line in labels
        .lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
    {
        let Some((file, expected)) = line.split_once('\t') else {
            panic!("LABELS.tsv: {line}");
        };
        let bytes = fs::read(folder.join(file)).expect(file);
        let cause = proven_cause(file, &bytes);
        let cause = cause.map_or("none", Cause::name);
        let agrees = expected.trim().split('|').any(|label| label == cause);
        score.count(agrees, || format!("{file}: {cause}, expected {expected}"));
    }
    score.finish(FLOOR);
}
