//! A verdict as `verdict.json` (`docs/verdict.md`) and as `verdict.txt`; a whole build as
//! [JUnit XML](junit) and as [Markdown](markdown).

pub mod junit;
pub mod markdown;

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::error::Kind;
use crate::printable;
use crate::watch::progress::PhaseTime;
use crate::watch::verdict::{FullDisk, Seen, Verdict};

/// The version of the schema of `verdict.json`. Raised when a field changes its meaning or goes
/// away, not when one is added.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(flatten)]
    verdict: &'a Verdict,
    title: &'a str,
    meaning: &'a str,
    remedy: Option<&'a str>,
    retry: bool,
    exit_status: u8,
}

/// The verdict as JSON, with a line feed at its end.
///
/// # Errors
/// None that is known.
pub fn json(verdict: &Verdict) -> anyhow::Result<String> {
    let cause = verdict.cause;
    let document = Document {
        schema: SCHEMA,
        verdict,
        title: cause.title(),
        meaning: cause.explanation(),
        remedy: cause.hint(),
        retry: cause.retry(),
        exit_status: verdict.kind().exit_status(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The verdict for a person: plain text, which starts with the sentence.
pub fn text(verdict: &Verdict) -> String {
    let cause = verdict.cause;
    let mut text = format!(
        "{}\n\ncause: {cause} ({})\n",
        verdict.sentence,
        cause.title()
    );
    let _ = writeln!(text, "phase: {}", verdict.phase.name());
    let _ = writeln!(text, "after: {:.1} s", verdict.at.as_secs_f64());
    match verdict.full_disk {
        Some(FullDisk::Guest) => text.push_str("full disk: the guest's\n"),
        Some(FullDisk::Host) => text.push_str("full disk: the host's\n"),
        None => {}
    }
    if let Some(script) = &verdict.script {
        match (&script.section, script.line) {
            (Some(section), _) => {
                let whose = if section.added { ", added by ozr" } else { "" };
                let _ = writeln!(
                    text,
                    "script: {} (line {}{whose})",
                    section.header, section.line
                );
            }
            (None, Some(line)) => {
                let _ = writeln!(text, "script: at line {line}");
            }
            (None, None) => text.push_str("script: not named\n"),
        }
        list(&mut text, "the end of its output", &script.log);
    }
    if !verdict.packages.is_empty() {
        let _ = writeln!(text, "packages: {}", verdict.packages.join(", "));
    }
    list(&mut text, "repositories", &verdict.repositories);
    let seen: Vec<String> = verdict.seen.iter().map(line_of).collect();
    list(&mut text, "what was seen", &seen);
    list(&mut text, "the end of the console", &verdict.console);
    let _ = write!(text, "\nWhat it means\n\n{}\n", cause.explanation());
    printable::lines(&text).into_owned()
}

fn line_of(seen: &Seen) -> String {
    let (seconds, source) = (seen.at.as_secs_f64(), seen.source.name());
    format!("{seconds:9.3} s  {source:8}  {}", seen.text)
}

fn list(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}:");
    for line in lines {
        // A traceback is one piece.
        let _ = writeln!(text, "  {}", line.replace('\n', "\n      "));
    }
}

/// A build that is over. No text of it holds a secret.
#[derive(Debug)]
pub struct BuildReport<'a> {
    /// The image's name, or what else is known of it.
    pub name: &'a str,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub lasted: Duration,
    /// How long each phase of the install took, if it came so far.
    pub phases: &'a [PhaseTime],
    /// How it ended.
    pub how: How<'a>,
}

/// How a build ended.
#[derive(Debug)]
pub enum How<'a> {
    /// There is an image.
    Done {
        /// Its path.
        image: &'a str,
    },
    /// The one that was there is what would have come of it.
    Kept {
        /// Its path.
        image: &'a str,
    },
    /// There is none.
    Failed {
        /// What the exit status says.
        kind: Kind,
        /// The sentence that ozr ended with.
        sentence: &'a str,
        /// The judgement, if a guest was to run.
        verdict: Option<&'a Verdict>,
    },
}

/// The kind of a failure in a word: the cause of the vocabulary, or what the exit status says.
pub fn word(kind: Kind, verdict: Option<&Verdict>) -> &'static str {
    match (verdict, kind) {
        (Some(verdict), _) => verdict.cause.name(),
        (None, Kind::Build) => "build-failed",
        (None, Kind::Input) => "wrong-input",
        (None, Kind::Host) => "unfit-host",
        (None, Kind::Mirror) => "unusable-mirror",
        (None, Kind::Hook) => "hook-failed",
        (None, Kind::Interrupted) => "interrupted",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::cause::Cause;
    use crate::watch::phases::Phase;
    use crate::watch::verdict::{Script, Section, Seen, Source};

    /// A verdict with something in every field.
    pub(crate) fn verdict() -> Verdict {
        Verdict {
            cause: Cause::ScriptFailed,
            sentence: "it failed, token".to_owned(),
            phase: Phase::PostScripts,
            at: Duration::from_millis(1_234),
            seen: vec![Seen {
                source: Source::LogPort,
                at: Duration::from_millis(1_200),
                text: "line with a token".to_owned(),
            }],
            script: Some(Script {
                line: Some(7),
                section: Some(Section {
                    header: "%post --erroronfail".to_owned(),
                    line: 7,
                    added: false,
                }),
                log: vec!["about to fail".to_owned()],
            }),
            packages: vec![],
            repositories: vec!["http://192.0.2.1/os".to_owned()],
            full_disk: None,
            console: vec!["last line".to_owned()],
        }
    }

    #[test]
    fn json_has_what_the_schema_names() {
        let json: serde_json::Value = serde_json::from_str(&json(&verdict()).unwrap()).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["cause"], "script-failed");
        assert_eq!(json["phase"], "post-scripts");
        assert_eq!(json["seconds"], 1.234);
        assert_eq!(json["seen"][0]["source"], "log-port");
        assert_eq!(json["script"]["section"]["header"], "%post --erroronfail");
        assert_eq!(json["exit_status"], 1);
        assert_eq!(json["retry"], false);
    }

    /// Every field is documented, and every documented field is there.
    #[test]
    fn the_schema_is_documented() {
        let text = include_str!("../../../docs/verdict.md");
        let (fields_of, _) = text.split_once("\n## Files\n").unwrap();
        let mut documented: Vec<String> = fields_of
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(field, _)| field.to_owned())
            .filter(|field| field.parse::<Cause>().is_err())
            .collect();
        let mut found = Vec::new();
        fields(
            "",
            &serde_json::from_str(&json(&verdict()).unwrap()).unwrap(),
            &mut found,
        );
        documented.sort();
        found.sort();
        assert_eq!(documented, found);
        for cause in Cause::ALL {
            assert!(text.contains(&format!("| `{cause}` |")), "{cause}");
        }
    }

    #[test]
    fn the_page_of_failures_has_the_whole_vocabulary() {
        let page = include_str!("../../../docs/failures.md");
        for cause in Cause::ALL {
            let line = format!("| `{cause}` | {} |\n", cause.title());
            assert!(page.contains(&line), "{line}");
        }
    }

    /// The names of all fields of a JSON value, as documents write them.
    pub(crate) fn fields(above: &str, value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    let name = if above.is_empty() {
                        name.clone()
                    } else {
                        format!("{above}.{name}")
                    };
                    found.push(name.clone());
                    fields(&name, value, found);
                }
            }
            serde_json::Value::Array(array) => {
                if let Some(first @ serde_json::Value::Object(_)) = array.first() {
                    fields(&format!("{above}[]"), first, found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn the_text_starts_with_the_sentence_and_names_the_script() {
        let text = text(&verdict());
        assert!(text.starts_with("it failed, token\n"));
        assert!(
            text.contains("script: %post --erroronfail (line 7)\n"),
            "{text}"
        );
        assert!(text.contains("  about to fail\n"), "{text}");
    }

    #[test]
    fn a_traceback_is_one_indented_piece() {
        let mut verdict = verdict();
        verdict.seen[0].text = "Traceback:\n  File x\nError".to_owned();
        assert!(text(&verdict).contains("  Traceback:\n        File x\n      Error\n"));
    }

    #[test]
    fn no_text_escapes_a_change() {
        let mut verdict = verdict();
        let script = verdict.script.as_mut().unwrap();
        script.section.as_mut().unwrap().header = "%post --log=a token".to_owned();
        let changed = verdict.map_texts(|text| text.replace("token", "*"));
        assert!(!json(&changed).unwrap().contains("a token"));
        assert!(changed.sentence.ends_with('*'));
    }
}
