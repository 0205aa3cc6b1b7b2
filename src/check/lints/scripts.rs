//! Scripts: whether a failure is seen, and whether they end.

use super::{Check, at_section, body, is_shell};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::SectionKind;
use crate::language::Reading;
use crate::language::reading::SectionEntry;

/// KS180 to KS183.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS180",
        title: "a %post that may fail unseen",
        explanation: "\
            Without `--erroronfail` the installer writes the exit status of a `%post` into its log \
            and goes on (anaconda, core/kickstart/scripts.py, every release): a broken image is \
            reported as a good one. An empty script cannot fail, and is only noted.\n\n\
            Write `%post --erroronfail`, and `set -e` at the start of a shell script so that its \
            first failure counts. In text mode a failure then waits for ENTER, in cmdline mode it \
            ends the installation; `ozr install` uses cmdline mode.",
    },
    Rule {
        id: "KS181",
        title: "a %pre that stops the installer for ever",
        explanation: "\
            When a `%pre --erroronfail` fails there is no user interface yet, and the installer \
            ends in a traceback or a dialog without switching the machine off (anaconda, \
            errors.py: the script error is raised where no interface is there), also in cmdline \
            mode. The build waits for its time limit.\n\n\
            Let the script handle its failures, and switch the machine off itself where that \
            makes no sense: `poweroff -f`.",
    },
    Rule {
        id: "KS182",
        title: "a script that talks to a person",
        explanation: "\
            The script changes to another console (`chvt`) or reads from a terminal. In an \
            unattended install nobody sees or answers it; a `read` waits for ever. Where there is \
            only a serial console, opening /dev/tty3 or the like may fail.\n\n\
            Remove it. To follow a script write its output to a file with `--log`, or to \
            /dev/console.",
    },
    Rule {
        id: "KS183",
        title: "a script that leaves something running",
        explanation: "\
            The installer reads a script's output until everything that was started has closed it \
            (anaconda, core/kickstart/scripts.py). A program in the background keeps it open, and \
            the installer waits after the script has ended; in `%post` it also keeps the image's \
            file system busy.\n\n\
            Redirect the program's output (`>/dev/null 2>&1`), or do not start it.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[post_unseen, pre_for_ever, talks, leaves];

fn scripts(reading: &Reading, kind: SectionKind) -> impl Iterator<Item = &SectionEntry> {
    let all = reading.sections.iter();
    all.filter(move |entry| entry.section.kind == kind)
}

fn is_checked(entry: &SectionEntry) -> bool {
    entry
        .arguments
        .as_ref()
        .is_none_or(|arguments| arguments.has("--erroronfail"))
}

fn post_unseen(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in scripts(reading, SectionKind::Post) {
        if is_checked(entry) {
            continue;
        }
        if body(reading, entry).trim().is_empty() {
            let message = "this script is empty, so the installer leaves it out";
            let finding = at_section(reading, Severity::Note, entry, message);
            findings.push(finding.id("KS180").help("delete the section"));
            continue;
        }
        let message = "if this script fails, nobody is told and the image counts as good";
        let finding = at_section(reading, Severity::Warning, entry, message);
        findings.push(finding.id("KS180").help("write `%post --erroronfail`"));
    }
}

fn pre_for_ever(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in scripts(reading, SectionKind::Pre) {
        let span = entry
            .arguments
            .as_ref()
            .and_then(|arguments| arguments.span("--erroronfail"));
        let Some(span) = span else {
            continue;
        };
        let message = "if this script fails, the installer stops with the machine switched on";
        findings.push(
            reading
                .finding(Severity::Warning, entry.text, span, message)
                .id("KS181")
                .help("let the script end with `poweroff -f` where it cannot go on"),
        );
    }
}

/// Lines of shell scripts with the bytes where they stand, without comments and here-documents.
fn shell_lines<'a>(
    reading: &'a Reading,
    entry: &'a SectionEntry,
) -> impl Iterator<Item = (std::ops::Range<usize>, &'a str)> {
    let shell = is_shell(entry);
    let mut start = entry.section.body.start;
    let mut document: Option<String> = None;
    body(reading, entry)
        .split_inclusive('\n')
        .filter_map(move |line| {
            let at = start;
            start += line.len();
            let code = line.trim();
            if let Some(end) = &document {
                if code == end {
                    document = None;
                }
                return None;
            }
            document = here_document(code);
            let begin = at + line.len() - line.trim_start().len();
            let wanted = shell && !code.is_empty() && !code.starts_with('#');
            wanted.then_some((begin..begin + code.len(), code))
        })
}

/// The word that ends the here-document which a line opens.
fn here_document(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("<<")?;
    let rest = rest.trim_start_matches('-').trim_start();
    if rest.starts_with('<') {
        return None;
    }
    let word: String = rest
        .trim_start_matches(['\'', '"', '\\'])
        .chars()
        .take_while(|c| c.is_alphanumeric() || "_-.!".contains(*c))
        .collect();
    (!word.is_empty()).then_some(word)
}

/// What a line does that needs a person.
fn talk(line: &str) -> Option<&'static str> {
    let first = line.split_whitespace().next().unwrap_or_default();
    let reads_terminal = line.contains("</dev/tty") || line.contains("< /dev/tty");
    if matches!(first, "chvt" | "/usr/bin/chvt" | "/bin/chvt" | "openvt") {
        return Some("the script changes the console, which nobody looks at");
    }
    if reads_terminal && matches!(first, "exec" | "read") {
        return Some("the script reads from a terminal, where nobody answers");
    }
    // A `read` in a loop or behind a pipe has its input from elsewhere.
    let asks = first == "read" && !line.contains('<') && !line.contains('|');
    asks.then_some("`read` waits for an answer that nobody gives")
}

fn talks(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in &reading.sections {
        for (span, line) in shell_lines(reading, entry) {
            let Some(message) = talk(line) else {
                continue;
            };
            findings.push(
                reading
                    .finding(Severity::Warning, entry.text, span, message)
                    .id("KS182")
                    .help("remove it; `--log=FILE` or /dev/console show what a script says"),
            );
        }
    }
}

fn leaves(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in &reading.sections {
        let waits = body(reading, entry).lines().any(|line| {
            line.split(';')
                .any(|part| part.trim_start().starts_with("wait"))
        });
        for (span, line) in shell_lines(reading, entry) {
            let background = line
                .strip_suffix('&')
                .is_some_and(|rest| !rest.ends_with(['&', '>', '|', '\\']));
            if !background || waits || line.contains('>') {
                continue;
            }
            let message = "this runs on in the background, and the installer waits for its output";
            findings.push(
                reading
                    .finding(Severity::Warning, entry.text, span, message)
                    .id("KS183")
                    .help("redirect its output with `>/dev/null 2>&1`, or do not start it"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::Rhel;

    #[test]
    fn failures_are_seen() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "%post".to_string())];
        assert_eq!(
            found("%post --nochroot\nx\n%end\n", &setting, "KS180"),
            expected
        );
        assert_eq!(
            found("%post --erroronfail\nx\n%end\n", &setting, "KS180"),
            []
        );
        assert_eq!(found("%post --err\nx\n%end\n", &setting, "KS180"), []);
        assert_eq!(
            alone("%post\n\n%end\n", Rhel(9), "KS180"),
            Some(Severity::Note)
        );
        let expected = [(Severity::Warning, "--erroronfail".to_string())];
        assert_eq!(
            found("%pre --erroronfail\nx\n%end\n", &setting, "KS181"),
            expected
        );
        assert_eq!(found("%pre\nx\n%end\n", &setting, "KS181"), []);
    }

    #[test]
    fn scripts_do_not_talk() {
        let setting = Setting::alone(Rhel(9));
        for line in [
            "chvt 3",
            "exec < /dev/tty3 > /dev/tty3",
            "read -p 'Name? ' name",
        ] {
            let text = format!("%pre\n  {line}\n%end\n");
            let expected = [(Severity::Warning, line.to_string())];
            assert_eq!(found(&text, &setting, "KS182"), expected, "{line}");
        }
        for text in [
            "%post\n# chvt 3\n%end\n",
            "%post\nwhile read -r a; do :; done < /x\n%end\n",
            "%post\nread a < /x\n%end\n",
            "%post\ncat > x <<EOF\nread name\nEOF\n%end\n",
            "%post --interpreter=/usr/bin/python3\nread = 1\n%end\n",
            "%packages\nread\n%end\n",
        ] {
            assert_eq!(alone(text, Rhel(9), "KS182"), None, "{text}");
        }
    }

    #[test]
    fn scripts_leave_nothing_running() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "nohup daemon &".to_string())];
        assert_eq!(
            found("%post\nnohup daemon &\n%end\n", &setting, "KS183"),
            expected
        );
        for text in [
            "%post\ndaemon >/dev/null 2>&1 &\n%end\n",
            "%post\na &&\nb\n%end\n",
            "%post\na &\nwait\n%end\n",
            "%post\ncat <<X\na &\nX\n%end\n",
        ] {
            assert_eq!(found(text, &setting, "KS183"), [], "{text}");
        }
    }
}
