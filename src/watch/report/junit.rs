//! A build as JUnit XML, which CI systems show as a test.
//!
//! Nobody specifies the format; what is written is what the schemas of Ant's `junitreport` and of
//! Jenkins' xUnit plugin have in common: the attributes and the order of the elements.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::build::{BuildReport, How, word};
use crate::error::Kind;
use crate::printable;

/// The suite's name, and the beginning of its properties' names.
const SUITE: &str = "ozr";

/// The report: one suite with one test, which is the build. A build that failed is a failure;
/// one that could not be tried, for its input, its host or the mirror, is an error.
///
/// # Errors
/// None that is known.
pub fn render(report: &BuildReport<'_>) -> anyhow::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    suites(&mut writer, report)?;
    let xml = String::from_utf8(writer.into_inner())?;
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{xml}\n"
    ))
}

fn suites(writer: &mut Writer<Vec<u8>>, report: &BuildReport<'_>) -> io::Result<()> {
    let failed = match &report.how {
        How::Done { .. } => None,
        How::Failed { kind, .. } => Some(*kind),
    };
    let counts = [
        ("tests", "1"),
        ("failures", count(failed == Some(Kind::Build))),
        (
            "errors",
            count(failed.is_some_and(|kind| kind != Kind::Build)),
        ),
    ];
    let time = format!("{:.3}", report.lasted.as_secs_f64());
    // The schemas know no time zone.
    let started = humantime::format_rfc3339_seconds(report.started).to_string();
    let started = started.trim_end_matches('Z');
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let suites = writer.create_element("testsuites").with_attributes(counts);
    suites
        .with_attribute(("time", time.as_str()))
        .write_inner_content(|writer| {
            let suite = writer.create_element("testsuite").with_attributes(counts);
            suite
                .with_attributes([
                    ("name", SUITE),
                    ("skipped", "0"),
                    ("time", time.as_str()),
                    ("timestamp", started),
                    ("hostname", clean(&host).as_str()),
                ])
                .write_inner_content(|writer| {
                    properties(writer, report)?;
                    case(writer, report, &time)
                })?;
            Ok(())
        })?;
    Ok(())
}

fn count(is: bool) -> &'static str {
    if is { "1" } else { "0" }
}

fn properties(writer: &mut Writer<Vec<u8>>, report: &BuildReport<'_>) -> io::Result<()> {
    let mut all = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    for time in report.phases {
        let seconds = format!("{:.3}", time.lasted.as_secs_f64());
        all.push((format!("seconds.{}", time.phase.name()), seconds));
    }
    writer
        .create_element("properties")
        .write_inner_content(|writer| {
            for (name, value) in &all {
                let name = format!("{SUITE}.{name}");
                writer
                    .create_element("property")
                    .with_attributes([("name", name.as_str()), ("value", value.as_str())])
                    .write_empty()?;
            }
            Ok(())
        })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, report: &BuildReport<'_>, time: &str) -> io::Result<()> {
    let name = clean(&printable::line(report.name));
    let case = writer.create_element("testcase").with_attributes([
        ("name", name.as_str()),
        ("classname", "ozr.install"),
        ("time", time),
    ]);
    case.write_inner_content(|writer| {
        match &report.how {
            How::Done { image } => {
                let element = writer.create_element("system-out");
                element.write_text_content(BytesText::new(&clean(&printable::line(image))))?;
            }
            How::Failed {
                kind,
                sentence,
                verdict,
            } => {
                let element = match kind {
                    Kind::Build => "failure",
                    _ => "error",
                };
                let text = verdict.map_or((*sentence).to_owned(), super::text);
                writer
                    .create_element(element)
                    .with_attributes([
                        ("type", word(*kind, *verdict)),
                        ("message", clean(&printable::line(sentence)).as_str()),
                    ])
                    .write_text_content(BytesText::new(&clean(&text)))?;
                if let Some(verdict) = verdict.filter(|verdict| !verdict.console.is_empty()) {
                    let element = writer.create_element("system-out");
                    let console = clean(&verdict.console.join("\n"));
                    element.write_text_content(BytesText::new(&console))?;
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// The text fit to be printed, and without what else XML 1.0 cannot hold, however it is written.
fn clean(text: &str) -> String {
    printable::lines(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
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
        parse(&render(&report).unwrap())
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
