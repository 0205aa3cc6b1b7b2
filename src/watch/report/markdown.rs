//! A build as Markdown, for the summary that a CI system shows beside a job.
//!
//! What a guest printed can hold anything. It stands in `<pre>` blocks with its markup escaped:
//! for CommonMark such a block ends at `</pre>` alone, which cannot come.

use std::fmt::Write as _;

use super::{BuildReport, How, line_of, word};
use crate::printable;
use crate::watch::verdict::Verdict;

/// The report, with an empty line at its end, so that another may follow.
pub fn render(report: &BuildReport<'_>) -> String {
    let name = escaped(&printable::line(report.name));
    let lasted =
        humantime::format_duration(std::time::Duration::from_secs(report.lasted.as_secs()));
    let mut text = String::new();
    match &report.how {
        How::Done { image } => {
            let _ = writeln!(text, "### ozr: {name} is built\n\nAfter {lasted}:\n");
            block(&mut text, [printable::line(image)]);
        }
        How::Kept { image } => {
            let _ = writeln!(
                text,
                "### ozr: {name} is kept: nothing has changed\n\nAfter {lasted}:\n"
            );
            block(&mut text, [printable::line(image)]);
        }
        How::Failed {
            kind,
            sentence,
            verdict,
        } => {
            let word = word(*kind, *verdict);
            let _ = writeln!(
                text,
                "### ozr: {name} failed: `{word}`\n\nAfter {lasted}:\n"
            );
            block(&mut text, [printable::line(sentence)]);
            if let Some(verdict) = verdict {
                explained(&mut text, verdict);
            }
        }
    }
    if !report.phases.is_empty() {
        text.push_str("| phase | seconds |\n| --- | ---: |\n");
        for time in report.phases {
            let (name, seconds) = (time.phase.name(), time.lasted.as_secs_f64());
            let _ = writeln!(text, "| {name} | {seconds:.1} |");
        }
        text.push('\n');
    }
    text
}

fn explained(text: &mut String, verdict: &Verdict) {
    if !verdict.seen.is_empty() {
        text.push_str("What was seen:\n\n");
        block(text, verdict.seen.iter().map(line_of));
    }
    let _ = writeln!(text, "What it means:\n");
    block(text, [verdict.cause.explanation()]);
    if !verdict.console.is_empty() {
        text.push_str("<details>\n<summary>The last lines of the console</summary>\n\n");
        block(text, &verdict.console);
        text.push_str("</details>\n\n");
    }
}

/// Lines as they are.
fn block(text: &mut String, lines: impl IntoIterator<Item = impl AsRef<str>>) {
    text.push_str("<pre>\n");
    for line in lines {
        text.push_str(&escaped(line.as_ref()));
        text.push('\n');
    }
    text.push_str("</pre>\n\n");
}

/// The text fit to be printed, with what HTML and Markdown might take for markup as character
/// references.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable::lines(text).chars() {
        match c {
            '\n' | ' ' | ',' | '.' | '/' | '-' => escaped.push(c),
            c if c.is_ascii_punctuation() => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::error::Kind;
    use crate::watch::phases::Phase;
    use crate::watch::progress::PhaseTime;
    use crate::watch::report::tests::verdict;

    fn rendered(how: How<'_>) -> String {
        render(&BuildReport {
            name: "web\u{202e}\n",
            started: SystemTime::UNIX_EPOCH,
            lasted: Duration::from_millis(61_500),
            phases: &[PhaseTime {
                phase: Phase::Packages,
                began: Duration::ZERO,
                lasted: Duration::from_secs(2),
            }],
            how,
        })
    }

    #[test]
    fn a_good_build_names_its_image() {
        let text = rendered(How::Done {
            image: "/a/web.qcow2",
        });
        assert!(
            text.starts_with(
                "### ozr: web&#92;u&#123;202e&#125;&#92;n is built\n\nAfter 1m 1s:\n\n<pre>\n/a/web.qcow2\n</pre>\n"
            )
        );
        assert!(
            text.ends_with("| seconds |\n| --- | ---: |\n| packages | 2.0 |\n\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_that_a_guest_prints_gets_out_of_its_block() {
        let hostile =
            "</pre></details>\n\n# x <script>`a`[b](c) @everyone ![i](http://h) |\u{1b}[1m";
        let verdict = Verdict {
            sentence: hostile.to_owned(),
            console: vec![hostile.to_owned()],
            ..verdict()
        };
        let text = rendered(How::Failed {
            kind: Kind::Build,
            sentence: hostile,
            verdict: Some(&verdict),
        });
        assert!(
            text.starts_with("### ozr: web&#92;u&#123;202e&#125;&#92;n failed: `script-failed`\n")
        );
        let tags = |tag: &str| text.matches(tag).count();
        assert_eq!((tags("<pre>"), tags("</pre>")), (4, 4), "{text}");
        assert_eq!((tags("<details>"), tags("</details>")), (1, 1));
        assert!(!text.contains("<script") && !text.contains('@') && !text.contains('\u{1b}'));
        let outside: String = text
            .split("</pre>")
            .map(|part| part.split("<pre>").next().unwrap())
            .collect();
        assert!(
            !outside.contains("everyone") && !outside.contains("# x"),
            "{outside}"
        );
        assert!(text.contains("line with a token"), "{text}");
    }

    #[test]
    fn what_was_never_tried_is_told_by_its_kind() {
        let text = rendered(How::Failed {
            kind: Kind::Mirror,
            sentence: "404",
            verdict: None,
        });
        assert!(text.starts_with(
            "### ozr: web&#92;u&#123;202e&#125;&#92;n failed: `unusable-mirror`\n\nAfter 1m 1s:\n\n<pre>\n404\n</pre>\n"
        ));
    }
}
