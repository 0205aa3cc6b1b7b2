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

use ozr::check::Setting;
use ozr::diagnostic::{Diagnostic, Severity};
use ozr::kickstart::scan;
use ozr::language::{NoIncludes, Reading, Version};
use ozr::machine::Firmware;
use ozr::watch::cause::Cause;
use ozr::watch::console::{Console, Output};
use ozr::watch::judge::Judge;
use ozr::watch::logport::{LogPort, Record};
use ozr::watch::stall::Limits;
use ozr::watch::verdict::Outcome;
use ozr::watch::witness::{End, Expectations, Witness};

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
    /// All of those at hand; larger sets may show a corner.
    const FLOOR: f64 = 0.998;
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
        // A backslash is written twice.
        let line = fields[1].replace(r"\\", r"\");
        for (version, theirs) in versions.iter().zip(&fields[2..]) {
            // Two letters: either is right.
            let theirs = theirs.replace('W', "D").replace('C', "R");
            let reading = Reading::new(&format!("{line}\n"), "line", *version, &NoIncludes);
            let ours = letter(&reading);
            let on_purpose = deliberate.contains(&(line.clone(), version.to_string()));
            let agrees = theirs.contains(ours) || on_purpose;
            score.count(agrees, || format!("{version} {theirs} not {ours}: {line}"));
            let current = matches!(version, Version::Rhel(8..=10));
            if current && !theirs.contains('R') && ours == 'R' && !on_purpose {
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
    /// All of those at hand; larger sets may show a corner.
    const FLOOR: f64 = 0.995;
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
        let text: &mut String = texts.entry(file.to_string()).or_insert_with(|| {
            let bytes = fs::read(folder.join(file)).expect(file);
            let text = scan::decode(bytes.clone());
            assert!(
                scan::encode(&text) == bytes,
                "{file} is encoded differently"
            );
            let (outline, _) = scan::scan_all(&text, file);
            let items = outline.items.iter().map(|item| &text[item.span()]);
            assert!(
                items.collect::<String>() == text,
                "{file} is divided differently"
            );
            text
        });
        let findings = Reading::new(text, file, version, &NoIncludes).findings;
        // Here, too, the reference stops at the first thing of each line.
        let mut seen = BTreeSet::new();
        let firsts = findings
            .iter()
            .filter(|finding| seen.insert((&finding.file, finding.line)));
        let worst = firsts.max_by_key(|finding| finding.severity);
        let ours = match worst.map(|finding| finding.severity) {
            Some(Severity::Error) => "error",
            Some(_) => "warn",
            None => "ok",
        };
        let on_purpose = deliberate.contains(&(file.to_string(), name.to_string()));
        let agrees = theirs.split('|').any(|theirs| theirs == ours);
        score.count(agrees || on_purpose, || {
            let theirs = format!("{file} {name}: {theirs} (line {at}: {why}), not {ours}");
            match worst {
                Some(finding) => format!("{theirs}\n{finding}"),
                None => theirs,
            }
        });
    }
    score.finish(FLOOR);
}

/// A file of the set, the release that it is for as far as anybody said, and whether it brings in
/// others.
struct KickstartFile {
    name: String,
    text: String,
    version: Version,
    includes: bool,
}

/// Every kickstart of the set; those of unknown or other releases count as RHEL 9's.
fn kickstart_files(folder: &std::path::Path) -> Vec<KickstartFile> {
    let sources = fs::read_to_string(folder.join("SOURCES.tsv")).expect("SOURCES.tsv");
    let mut files = Vec::new();
    for row in sources.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let (name, declared, likely) = (fields[0], fields[4], fields[5]);
        let bytes = fs::read(folder.join(name)).expect(name);
        let text = scan::decode(bytes);
        let (outline, _) = scan::scan_all(&text, name);
        // `F46` is what a file says that was written on a development tree.
        let declared = Version::from_name(declared).filter(|_| declared != "F46");
        let version = Version::from_name(likely).or(declared);
        files.push(KickstartFile {
            name: name.to_string(),
            version: version.unwrap_or(Version::Rhel(9)),
            includes: outline.has_includes(),
            text,
        });
    }
    files
}

/// A share of the set, as it is counted in three ways.
struct Share {
    what: &'static str,
    /// In percent: counted by coarse patterns over 215 self-contained files, of which those here
    /// are a part.
    expected: f64,
    /// The coarse pattern, for a text in lower case.
    coarse: fn(&str) -> bool,
    /// The rule that finds the same.
    rule: fn(&Diagnostic) -> bool,
}

/// Whether a line begins with one of these words; comments and sections count like the rest.
fn has_line(text: &str, words: &[&str]) -> bool {
    lines_of(text, words).next().is_some()
}

/// The lines that begin with one of these words.
fn lines_of<'a>(text: &'a str, words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| {
        let first = line.split_whitespace().next().unwrap_or_default();
        words.contains(&first)
    })
}

/// Whether such a line holds one of these, and none of those.
fn line_with(text: &str, words: &[&str], any: &[&str], none: &[&str]) -> bool {
    lines_of(text, words).any(|line| {
        let has = |part: &&str| line.contains(*part);
        (any.is_empty() || any.iter().any(has)) && !none.iter().any(has)
    })
}

const SHARES: [Share; 13] = [
    Share {
        what: "no ending",
        expected: 7.0,
        coarse: |t| !has_line(t, &["reboot", "poweroff", "shutdown", "halt"]),
        rule: |f| f.id == Some("KS160"),
    },
    Share {
        what: "no clearpart",
        expected: 10.0,
        coarse: |t| !has_line(t, &["clearpart"]),
        rule: |f| f.id == Some("KS112") && f.is_about_whole_file(),
    },
    Share {
        what: "no zerombr",
        expected: 25.0,
        coarse: |t| !has_line(t, &["zerombr"]),
        rule: |f| f.id == Some("KS113"),
    },
    Share {
        what: "no display mode",
        expected: 40.0,
        coarse: |t| !has_line(t, &["text", "cmdline", "graphical", "vnc"]),
        rule: |f| f.id == Some("KS165"),
    },
    Share {
        what: "no source",
        expected: 27.0,
        coarse: |t| {
            let packages = ["url", "nfs", "cdrom", "harddrive"];
            !has_line(t, &packages) && !has_line(t, &["liveimg", "ostreesetup", "ostreecontainer"])
        },
        rule: |f| f.id == Some("KS150"),
    },
    Share {
        what: "root locked, nobody else",
        expected: 13.0,
        coarse: |t| {
            line_with(t, &["rootpw"], &["--lock"], &[]) && !line_with(t, &["user"], &["wheel"], &[])
        },
        rule: |f| f.id == Some("KS131"),
    },
    Share {
        what: "plain root password",
        expected: 58.0,
        coarse: |t| line_with(t, &["rootpw"], &[], &["--iscrypted", "--lock"]),
        rule: |f| f.id == Some("KS140"),
    },
    Share {
        what: "%post that fails unseen",
        expected: 60.0,
        coarse: |t| line_with(t, &["%post"], &[], &["--erroronfail"]),
        rule: |f| f.id == Some("KS180"),
    },
    Share {
        what: "no time zone",
        expected: 2.0,
        coarse: |t| !has_line(t, &["timezone"]),
        rule: |f| f.id == Some("KS195"),
    },
    Share {
        what: "no administrator",
        expected: 1.0,
        coarse: |t| !has_line(t, &["rootpw"]) && !line_with(t, &["user"], &["wheel"], &[]),
        rule: |f| f.id == Some("KS130"),
    },
    Share {
        what: "sda or vda named",
        expected: 16.0,
        coarse: |t| {
            let named = ["=sda", "=vda", " sda", " vda", ",sda", ",vda"];
            let commands = ["clearpart", "ignoredisk", "part", "partition", "bootloader"];
            line_with(t, &commands, &named, &[])
        },
        // hda is a warning.
        rule: |f| f.id == Some("KS110") && f.severity == Severity::Note,
    },
    Share {
        what: "firstboot enabled",
        expected: 6.0,
        coarse: |t| line_with(t, &["firstboot"], &["--enable", "--reconfig"], &[]),
        rule: |f| f.id == Some("KS172"),
    },
    Share {
        what: "remote source, no network",
        expected: 8.0,
        coarse: |t| has_line(t, &["url", "nfs", "repo"]) && !has_line(t, &["network"]),
        rule: |f| f.id == Some("KS155"),
    },
];

/// Projects that publish the images which the installer makes from their files, or run them in
/// their tests.
const PUBLISHERS: [&str; 18] = [
    "AlmaLinux_",
    "CentOS_sig-cloud",
    "ComplianceAsCode_",
    "TelekomLabs_",
    "boxcutter_",
    "chef_bento",
    "fedora-riscv_",
    "geerlingguy_",
    "haxorof_",
    "lavabit_robox",
    "libguestfs_",
    "oVirt_",
    "offsoc_Fedora",
    "oracle_",
    "puppetlabs_",
    "rhinstaller_",
    "rocky-linux_",
    "srbala_fedora",
];

/// Of their files those that are pieces of others, or that a person is to answer.
const PIECES: [&str; 2] = ["-base.ks", "interactive-installation"];

/// What makes installs wait or fail: how many files of the set have each finding, against counts by
/// coarse patterns, and no error for a file from which a project makes images.
#[test]
fn kickstart_lints() {
    /// How far a share may be off, in percent of the files.
    const TOLERANCE: f64 = 2.0;
    /// All of the files at hand; a text does not show that it is a piece, so larger sets may
    /// have a few more.
    const FLOOR: f64 = 0.97;
    /// Of fewer files, one alone would be more than the tolerance.
    const FAIR_SAMPLE: u32 = 100;
    let Some(folder) = corpus("kickstart_lints", "kickstarts") else {
        return;
    };
    let mut score = Score::new("kickstart_lints");
    let mut counts = [(0_u32, 0_u32); SHARES.len()];
    let mut base = 0_u32;
    for file in kickstart_files(&folder) {
        let setting = Setting::alone(file.version);
        let check = |setting: &Setting| {
            let reading = Reading::new(&file.text, &file.name, file.version, &NoIncludes);
            ozr::check::kickstart(reading, setting, Vec::new(), &[]).findings
        };
        let findings = check(&setting);
        // Each was made for one kind of firmware; nothing says for which.
        let firmware = [None, Some(Firmware::Bios), Some(Firmware::Uefi)];
        let errors = firmware.map(|firmware| {
            let setting = Setting {
                firmware,
                ..setting
            };
            let mut findings = check(&setting);
            findings.retain(|f| f.id.is_some_and(|id| ("KS1".."KS2").contains(&id)));
            let error = |finding: &Diagnostic| finding.severity == Severity::Error;
            findings.into_iter().find(error)
        });
        let error = match &errors {
            [Some(error), ..] | [None, Some(error), Some(_)] => Some(error),
            _ => None,
        };
        let published = PUBLISHERS.iter().any(|start| file.name.starts_with(start));
        if published && !PIECES.iter().any(|part| file.name.contains(part)) {
            score.count(error.is_none(), || {
                format!("{}: {}", file.version, error.expect("an error"))
            });
        }
        if file.includes {
            continue;
        }
        base += 1;
        let lower = file.text.to_ascii_lowercase();
        for (share, (rule, coarse)) in SHARES.iter().zip(&mut counts) {
            *rule += u32::from(findings.iter().any(share.rule));
            *coarse += u32::from((share.coarse)(&lower));
        }
    }
    println!("kickstart_lints: shares of {base} self-contained files");
    let mut off = Vec::new();
    for (share, (rule, coarse)) in SHARES.iter().zip(counts) {
        let percent = |count| 100.0 * f64::from(count) / f64::from(base);
        let (rule, coarse) = (percent(rule), percent(coarse));
        let Share { what, expected, .. } = share;
        println!("  {what}: {rule:.1} %, expected {expected:.0} %, coarse pattern {coarse:.1} %");
        // Where the coarse pattern itself counts something else here, these files are no fair
        // sample of the larger set, and the pattern's count is what is expected of the rule.
        let is_off = |reference: f64| (rule - reference).abs() > TOLERANCE;
        if is_off(*expected) && is_off(coarse) && base >= FAIR_SAMPLE {
            off.push(*what);
        }
    }
    assert_eq!(off, [""; 0], "shares that are off");
    score.finish(FLOOR);
}

/// Complete kickstarts that the installer of their release would not take to an end without a
/// person, and why.
const REFUSED: [(&str, &str); 2] = [
    (
        "centos6-raid1-ext4",
        "`raid.3` twice, no `keyboard`, no ending: it waits for a person",
    ),
    ("rocky-vagrant-base", "a piece of others, without an ending"),
];

/// No complete kickstart is refused by a lint under the release that it is for: refusing one that
/// works is the worst fault. What the language refuses is `kickstarts`' matter.
#[test]
fn kickstart_refusals() {
    let Some(folder) = corpus("kickstart_refusals", "kickstarts") else {
        return;
    };
    let sources = fs::read_to_string(folder.join("SOURCES.tsv")).expect("SOURCES.tsv");
    let likely = |name: &str| {
        let mut rows = sources
            .lines()
            .map(|row| row.split('\t').collect::<Vec<_>>());
        rows.any(|row| row[0] == name && Version::from_name(row[5]).is_some())
    };
    let mut score = Score::new("kickstart_refusals");
    for file in kickstart_files(&folder) {
        let excepted = REFUSED.iter().any(|(name, _)| file.name.contains(name));
        if file.includes || excepted || !likely(&file.name) {
            continue;
        }
        let reading = Reading::new(&file.text, &file.name, file.version, &NoIncludes);
        let setting = Setting::alone(file.version);
        let checked = ozr::check::kickstart(reading, &setting, Vec::new(), &[]);
        let refused = checked.findings.into_iter().find(|finding| {
            let of_lint = finding.id.is_some_and(|id| ("KS1".."KS2").contains(&id));
            of_lint && finding.severity == Severity::Error
        });
        score.count(refused.is_none(), || {
            format!("{}: {}", file.version, refused.expect("an error"))
        });
    }
    score.finish(1.0);
}

/// What a kept console proves, read as a real build reads it: bytes, lines, typed events, judge.
fn proven_cause(name: &str, bytes: &[u8]) -> Option<Cause> {
    let expectations = Expectations::new(false, None);
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
    /// All of those at hand; larger sets hold texts that nobody here has seen.
    const FLOOR: f64 = 0.8;
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

/// A time of day, `HH:MM:SS.mmm` or `HH:MM:SS,mmm`, in milliseconds.
fn time_of_day(text: &str) -> Option<u64> {
    let digits = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (hours, minutes) = (digits(0..2)?, digits(3..5)?);
    let (seconds, millis) = (digits(6..8)?, digits(9..12)?);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

/// What a guest said, with the time of day in milliseconds.
enum Said {
    Line(String),
    Record(Box<Record>),
}

/// Both channels of a run in the order of their times. The lines are made of the raw bytes; each
/// has the time of the line like it that came then, else of the one before.
fn said(folder: &std::path::Path) -> Vec<(u64, Said)> {
    /// How far apart the lines of then and now may be: how a pause was read differs.
    const NEAR: usize = 40;
    let mut then: Vec<(u64, String)> = Vec::new();
    for row in fs::read_to_string(folder.join("console.tsv"))
        .expect("console.tsv")
        .lines()
    {
        let (time, line) = row.split_once('\t').expect("console.tsv");
        then.push((time_of_day(time).expect(time), line.trim().to_string()));
    }
    let bytes = fs::read(folder.join("console.raw")).expect("console.raw");
    let mut console = Console::new(None);
    let mut outputs = console.feed(&bytes);
    outputs.extend(console.settle());
    let mut all = Vec::new();
    let (mut at, mut time) = (0, then.first().map_or(0, |first| first.0));
    for output in outputs {
        let Output::Line(line) = output else { continue };
        let near = then.iter().skip(at).take(NEAR);
        if let Some(ahead) = near.clone().position(|(_, text)| *text == line.trim()) {
            at += ahead + 1;
            time = then[at - 1].0;
        }
        all.push((time, Said::Line(line)));
    }
    let bytes = fs::read(folder.join("logport.raw")).expect("logport.raw");
    let mut port = LogPort::default();
    let mut records = port.feed(&bytes);
    records.extend(port.finish());
    // The journal's records from before the port was there come at once, with their old times.
    let mut latest = 0;
    for record in records {
        latest = time_of_day(&record.time).expect("a time").max(latest);
        all.push((latest, Said::Record(Box::new(record))));
    }
    // A stable sort: the order within a channel stays.
    all.sort_by_key(|(time, _)| *time);
    all
}

/// What the judge says of a whole run.
fn judged(folder: &std::path::Path) -> Option<Outcome> {
    const MARK: &str = "\n# ozr: from here on added";
    let served = fs::read_to_string(folder.join("kickstart.ks")).expect("kickstart.ks");
    let author = served.split(MARK).next().expect("a first part");
    let mut expectations = Expectations::new(false, None);
    expectations.read_kickstart(&served, author);
    let mut judge = Judge::new(
        expectations,
        Limits {
            emulated: true,
            everywhere: None,
        },
    );
    let said = said(folder);
    let start = said.first()?.0;
    let mut in_order = false;
    for (time, said) in said {
        let now = Duration::from_millis(time - start);
        while let Some(deadline) = judge.deadline().filter(|deadline| *deadline <= now) {
            if let Some(decision) = judge.tick(deadline) {
                return Some(decision.outcome);
            }
        }
        let decision = match &said {
            Said::Line(line) => {
                in_order |= line.contains("reboot: ");
                judge.witness(now, Witness::Console(line))
            }
            Said::Record(record) => judge.witness(now, Witness::Log(record)),
        };
        if let Some(decision) = decision {
            return Some(decision.outcome);
        }
    }
    if in_order {
        let now = judge.deadline().unwrap_or_default();
        let decision = judge.witness(now, Witness::Ended(End::ByGuest));
        return Some(decision?.outcome);
    }
    // Nothing more comes: what it waits for runs out.
    while let Some(deadline) = judge.deadline() {
        if let Some(decision) = judge.tick(deadline) {
            return Some(decision.outcome);
        }
    }
    None
}

/// Whole runs of the real installer: how each ended, and the installer's own reason.
#[test]
fn runs() {
    /// All of those at hand; larger sets hold failures that nobody here has seen.
    const FLOOR: f64 = 0.85;
    let Some(folder) = corpus("runs", "runs") else {
        return;
    };
    let mut score = Score::new("runs");
    let table = fs::read_to_string(folder.join("RUNS.tsv")).expect("RUNS.tsv");
    for row in table.lines().skip(1).filter(|row| !row.trim().is_empty()) {
        let fields: Vec<&str> = row.split('\t').collect();
        let (run, expected, pattern) = (fields[0], fields[1], fields[2]);
        let (outcome, sentence) = match judged(&folder.join(run)) {
            Some(Outcome::Success { .. }) => ("success", String::new()),
            Some(Outcome::Failure(verdict)) => (verdict.cause.name(), verdict.sentence),
            None => ("none", String::new()),
        };
        let pattern = regex::Regex::new(pattern).expect(pattern);
        let says = outcome == "success" || pattern.is_match(&sentence);
        let agrees = expected.split('|').any(|right| right == outcome) && says;
        if std::env::var_os("OZR_CORPUS_SHOWN").is_some() {
            println!("  {run}: {outcome}: {sentence}");
        }
        score.count(agrees, || {
            format!("{run}: {outcome} ({sentence}), expected {expected} ({pattern})")
        });
    }
    score.finish(FLOOR);
}
