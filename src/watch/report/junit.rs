//! A build as JUnit XML, which CI systems show as a test.
//!
//! Nobody specifies the format; what is written is what the schemas of Ant's `junitreport` and of
//! Jenkins' xUnit plugin have in common: the attributes and the order of the elements.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use quick_xml::escape::escape;

use super::{BuildReport, How, word};
use crate::error::Kind;
use crate::printable;

/// A test of a suite.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What CI systems group it by.
    pub class: &'static str,
    /// How long it took.
    pub lasted: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a test ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It passed; what it says.
    Passed(String),
    /// It failed.
    Failed(Trouble),
    /// It could not be tried.
    Error(Trouble),
}

/// What kept a test from passing.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// It, in a word.
    pub word: &'static str,
    /// One sentence.
    pub sentence: String,
    /// All that is to be said.
    pub text: String,
    /// The last lines of the console.
    pub output: Vec<String>,
}

/// The report: one suite with one test, which is the build. A build that failed is a failure;
/// one that could not be tried, for its input, its host or the mirror, is an error.
pub fn render(report: &BuildReport<'_>) -> String {
    let seconds: Vec<(String, f64)> = report
        .phases
        .iter()
        .map(|time| {
            let name = format!("ozr.seconds.{}", time.phase.name());
            (name, time.lasted.as_secs_f64())
        })
        .collect();
    let case = Case {
        name: report.name.to_owned(),
        class: "ozr.install",
        lasted: report.lasted,
        outcome: of_build(&report.how),
    };
    suite(report.started, report.lasted, &seconds, &[case])
}

/// A suite of tests that took `lasted` in all, with the times of phases.
pub fn suite(
    started: SystemTime,
    lasted: Duration,
    seconds: &[(String, f64)],
    cases: &[Case],
) -> String {
    let count = |of: fn(&Outcome) -> bool| cases.iter().filter(|case| of(&case.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let errors = count(|outcome| matches!(outcome, Outcome::Error(_)));
    let time = format!("{:.3}", lasted.as_secs_f64());
    let tests = cases.len();
    let counts =
        format!(r#"tests="{tests}" failures="{failures}" errors="{errors}" time="{time}""#);
    // The schemas know no time zone.
    let started = humantime::format_rfc3339_seconds(started).to_string();
    let started = started.trim_end_matches('Z');
    let host = escaped(&rustix::system::uname().nodename().to_string_lossy());
    let version = env!("CARGO_PKG_VERSION");
    let mut properties = String::new();
    for (name, lasted) in seconds {
        // Writing into a string does not fail.
        let _ = write!(
            properties,
            r#"
      <property name="{name}" value="{lasted:.3}"/>"#
        );
    }
    let cases: String = cases.iter().map(testcase).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites {counts}>
  <testsuite name="ozr" {counts} skipped="0" timestamp="{started}" hostname="{host}">
    <properties>
      <property name="ozr.version" value="{version}"/>{properties}
    </properties>
{cases}  </testsuite>
</testsuites>
"#
    )
}

fn testcase(case: &Case) -> String {
    let name = escaped(&printable::line(&case.name));
    let (class, time) = (case.class, case.lasted.as_secs_f64());
    let outcome = match &case.outcome {
        Outcome::Passed(said) => system_out(said),
        Outcome::Failed(trouble) => element("failure", trouble),
        Outcome::Error(trouble) => element("error", trouble),
    };
    format!(
        r#"    <testcase name="{name}" classname="{class}" time="{time:.3}">
      {outcome}
    </testcase>
"#
    )
}

fn system_out(text: &str) -> String {
    format!("<system-out>{}</system-out>", escaped(text))
}

fn element(name: &str, trouble: &Trouble) -> String {
    let mut xml = format!(
        r#"<{name} type="{}" message="{}">{}</{name}>"#,
        trouble.word,
        escaped(&printable::line(&trouble.sentence)),
        escaped(&trouble.text)
    );
    if !trouble.output.is_empty() {
        let _ = write!(xml, "\n      {}", system_out(&trouble.output.join("\n")));
    }
    xml
}

fn of_build(how: &How<'_>) -> Outcome {
    match how {
        How::Done { image } => Outcome::Passed(printable::line(image).into_owned()),
        How::Kept { image } => Outcome::Passed(format!(
            "nothing has changed, kept: {}",
            printable::line(image)
        )),
        How::Failed {
            kind,
            sentence,
            verdict,
        } => {
            let trouble = Trouble {
                word: word(*kind, *verdict),
                sentence: (*sentence).to_owned(),
                text: verdict.map_or((*sentence).to_owned(), super::text),
                output: verdict.map_or_else(Vec::new, |verdict| verdict.console.clone()),
            };
            match kind {
                Kind::Build => Outcome::Failed(trouble),
                _ => Outcome::Error(trouble),
            }
        }
    }
}

/// What could not be tried, in a word.
pub fn word_of(kind: Kind) -> &'static str {
    word(kind, None)
}

/// The text fit to be printed, and without what else XML 1.0 cannot hold, however it is written.
fn escaped(text: &str) -> String {
    let text = printable::lines(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;
    use crate::watch::phases::Phase;
    use crate::watch::progress::PhaseTime;
    use crate::watch::report::tests::verdict;
    use crate::watch::verdict::Verdict;

    /// An element: its name, its attributes, what it holds.
    #[derive(Debug, Default)]
    struct Element {
        name: String,
        attributes: Vec<(String, String)>,
        children: Vec<Element>,
        text: String,
    }

    impl Element {
        fn get(&self, name: &str) -> &str {
            let found = self.attributes.iter().find(|(known, _)| known == name);
            found.map_or_else(|| panic!("no {name} in {self:?}"), |(_, value)| value)
        }

        fn names(&self) -> Vec<&str> {
            self.children
                .iter()
                .map(|child| child.name.as_str())
                .collect()
        }
    }

    fn parse(xml: &str) -> Element {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let mut open = vec![Element::default()];
        loop {
            let event = reader.read_event().unwrap();
            match event {
                Event::Start(ref start) | Event::Empty(ref start) => {
                    let mut element = Element {
                        name: start.name().as_ref().to_owned(),
                        ..Element::default()
                    };
                    for attribute in start.attributes() {
                        let attribute = attribute.unwrap();
                        let value = quick_xml::escape::unescape(&attribute.value).unwrap();
                        let key = attribute.key.as_ref().to_owned();
                        element.attributes.push((key, value.into_owned()));
                    }
                    match event {
                        Event::Empty(_) => open.last_mut().unwrap().children.push(element),
                        _ => open.push(element),
                    }
                }
                Event::End(_) => {
                    let done = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(done);
                }
                Event::Text(text) => {
                    let text = text.into_inner();
                    open.last_mut().unwrap().text.push_str(&text);
                }
                Event::GeneralRef(name) => {
                    let text = format!("&{};", name.into_inner());
                    let text = quick_xml::escape::unescape(&text).unwrap().into_owned();
                    open.last_mut().unwrap().text.push_str(&text);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(open.len(), 1, "{xml}");
        let mut top = open.remove(0);
        assert_eq!(top.names(), ["testsuites"]);
        top.children.remove(0)
    }

    /// Checks what the usual schemas ask for; the test case.
    fn checked(suites: &Element, failures: &str, errors: &str) {
        assert_eq!(suites.names(), ["testsuite"]);
        let suite = &suites.children[0];
        for element in [suites, suite] {
            assert_eq!(element.get("tests"), "1");
            assert_eq!(element.get("failures"), failures);
            assert_eq!(element.get("errors"), errors);
        }
        assert_eq!(suite.get("name"), "ozr");
        assert_eq!(suite.get("timestamp"), "1970-01-01T00:00:00");
        assert!(!suite.get("hostname").is_empty());
        assert_eq!(suite.names(), ["properties", "testcase"]);
        for property in &suite.children[0].children {
            assert_eq!(property.name, "property");
            assert!(!property.get("value").is_empty());
        }
        let case = &suite.children[1];
        for time in [suites.get("time"), suite.get("time"), case.get("time")] {
            assert_eq!(time.parse::<f64>().unwrap(), 1.5);
        }
    }

    fn rendered(phases: &[PhaseTime], how: How<'_>) -> Element {
        let report = BuildReport {
            name: "web\u{1}\n\u{202e}<&\"",
            started: SystemTime::UNIX_EPOCH,
            lasted: Duration::from_millis(1500),
            phases,
            how,
        };
        parse(&render(&report))
    }

    #[test]
    fn a_good_build_is_a_test_that_passed() {
        let phases = [PhaseTime {
            phase: Phase::Packages,
            began: Duration::ZERO,
            lasted: Duration::from_secs(2),
        }];
        let suites = rendered(
            &phases,
            How::Done {
                image: "/a/web.qcow2",
            },
        );
        checked(&suites, "0", "0");
        let suite = &suites.children[0];
        let property = &suite.children[0].children[1];
        assert_eq!(
            property.get("name"),
            format!("ozr.seconds.{}", Phase::Packages.name())
        );
        assert_eq!(property.get("value"), "2.000");
        let case = &suite.children[1];
        assert_eq!(case.get("name"), "web\\u{1}\\n\\u{202e}<&\"");
        assert_eq!(case.names(), ["system-out"]);
        assert_eq!(case.children[0].text, "/a/web.qcow2");
    }

    #[test]
    fn a_failed_build_is_a_failure_whatever_the_guest_printed() {
        let hostile = "]]></failure><x a=\"'&amp;\u{0}\u{1b}[1m\u{ffff}\n";
        let verdict = Verdict {
            sentence: hostile.to_owned(),
            console: vec![hostile.to_owned(), "last".to_owned()],
            ..verdict()
        };
        let how = How::Failed {
            kind: Kind::Build,
            sentence: &verdict.sentence,
            verdict: Some(&verdict),
        };
        let suites = rendered(&[], how);
        checked(&suites, "1", "0");
        let case = &suites.children[0].children[1];
        assert_eq!(case.names(), ["failure", "system-out"]);
        let failure = &case.children[0];
        assert_eq!(failure.get("type"), "script-failed");
        let shown = "]]></failure><x a=\"'&amp;\\0\\u{1b}[1m\u{fffd}";
        assert_eq!(failure.get("message"), format!("{shown}\\n"));
        assert!(failure.text.starts_with(shown), "{}", failure.text);
        assert!(case.children[1].text.ends_with("last"));
    }

    #[test]
    fn what_was_never_tried_is_an_error() {
        for (kind, word) in [
            (Kind::Input, "wrong-input"),
            (Kind::Host, "unfit-host"),
            (Kind::Mirror, "unusable-mirror"),
            (Kind::Interrupted, "interrupted"),
        ] {
            let how = How::Failed {
                kind,
                sentence: "it is wrong",
                verdict: None,
            };
            let suites = rendered(&[], how);
            checked(&suites, "0", "1");
            let error = &suites.children[0].children[1].children[0];
            assert_eq!((error.name.as_str(), error.get("type")), ("error", word));
            assert_eq!(error.get("message"), "it is wrong");
        }
    }
}
