//! The headers of sections.

use super::super::Version;
use super::super::problem::{Problem, id};
use super::{Call, Rule};
use crate::kickstart::words::Word;

/// The rules of the sections here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "%packages" => Some(&[
            default_without_base,
            default_without_core,
            languages_option_goes,
            weak_dependencies_option_goes,
        ]),
        "%traceback" => Some(&[traceback_goes]),
        "%certificate" => Some(&[certificate_needs_place]),
        _ => None,
    }
}

fn default_without(call: &Call<'_>, group: &str) -> Option<Problem> {
    if !call.arguments.has("--default") || !call.arguments.has(group) {
        return None;
    }
    Some(
        Problem::error(
            id::CONTRADICTION,
            format!("`--default` and `{group}` cannot be used together"),
        )
        .at(call.arguments.span(group))
        .help("keep one of them"),
    )
}

/// `--default` and `--nobase` contradict each other.
fn default_without_base(call: &Call<'_>) -> Option<Problem> {
    default_without(call, "--nobase")
}

/// Since RHEL 7, `--default` and `--nocore` contradict each other.
fn default_without_core(call: &Call<'_>) -> Option<Problem> {
    default_without(call, "--nocore")
}

/// RHEL 9 and Fedora 32 to 39 warn of an old name that is written in full.
fn old_name(call: &Call<'_>, old: &str, new: &str) -> Option<Problem> {
    if !call.version.since(9, 32) || call.version.since(10, 40) {
        return None;
    }
    let is_old = |word: &&Word| word.text.split('=').next() == Some(old);
    let word = call.words.iter().find(is_old)?;
    Some(
        Problem::warning(
            id::DEPRECATED_OPTION,
            format!("`{old}` is an old name of `{new}`"),
        )
        .at(Some(word.span.clone()))
        .help(format!("write `{new}`: RHEL 10 refuses the old name")),
    )
}

/// `--instLangs` has become `--inst-langs`.
fn languages_option_goes(call: &Call<'_>) -> Option<Problem> {
    old_name(call, "--instLangs", "--inst-langs")
}

/// `--excludeWeakdeps` has become `--exclude-weakdeps`.
fn weak_dependencies_option_goes(call: &Call<'_>) -> Option<Problem> {
    old_name(call, "--excludeWeakdeps", "--exclude-weakdeps")
}

/// `%traceback` is deprecated since RHEL 9 and Fedora 34.
fn traceback_goes(call: &Call<'_>) -> Option<Problem> {
    if !call.version.since(9, 34) {
        return None;
    }
    let problem = Problem::warning(
        id::DEPRECATED_COMMAND,
        format!("`%traceback` is deprecated in {}", call.version),
    );
    Some(problem.help("write `%onerror` instead"))
}

/// `%certificate` needs to know where the certificate goes.
fn certificate_needs_place(call: &Call<'_>) -> Option<Problem> {
    let placed = ["--dir", "--type"]
        .iter()
        .any(|option| call.arguments.filled(option).is_some());
    if placed {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`%certificate` needs `--dir` or `--type`");
    Some(
        if matches!(call.version, Version::Rhel(11) | Version::Fedora(45..)) {
            problem.help("write `--type=anchor` for an authority to trust, or `--dir` for a folder")
        } else {
            problem.help("name the certificate's folder with `--dir`")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::{NoIncludes, Reading, Version};
    use super::super::verdicts::hold;

    #[test]
    fn sections_come_and_go() {
        hold(&[
            (
                "%anaconda\n%end",
                "R RHEL6 RHEL10+ F36+, A RHEL7-RHEL8 F29-F33, D RHEL9 F34-F35",
            ),
            ("%addon a\n%end", "R RHEL6, A RHEL7+ F29+"),
            ("%pre-install\n%end", "R RHEL6, A RHEL7+ F29+"),
            ("%onerror\n%end", "R RHEL6, A RHEL7+ F29+"),
            (
                "%certificate --filename=a --dir=/b\nx\n%end",
                "R RHEL6-RHEL8 F29-F41, A RHEL9+ F42+",
            ),
            ("%frobnicate\n%end", "R all"),
            // RHEL 6 ends a section where the next one begins, and says so.
            ("%post\nx\n%packages\n%end", "D RHEL6, R RHEL7+ F29+"),
            ("%post\nx", "D RHEL6, R RHEL7+ F29+"),
        ]);
    }

    #[test]
    fn a_broken_section_is_shown_where_it_breaks() {
        let text = "%post\ncat > x.ks <<EOF\n%packages\n%end\nEOF\n%end\n";
        let reading = Reading::new(text, "t.ks", Version::Rhel(9), &NoIncludes);
        let mut findings = reading.findings.iter();
        let first = findings.find(|finding| finding.line == 2).unwrap();
        assert!(first.message.contains("`%post` (line 1)"), "{first}");
        assert!(
            first.help.as_ref().unwrap().contains("here-document"),
            "{first}"
        );
    }

    #[test]
    fn bytes_that_are_no_utf_8() {
        let text = crate::kickstart::scan::decode(b"# caf\xe9\nlang en_US\n".to_vec());
        for version in Version::ALL {
            let reading = Reading::new(&text, "t.ks", version, &NoIncludes);
            let refused = reading
                .findings
                .first()
                .map(|finding| (finding.line, finding.column));
            let expected = (!version.is_python_2()).then_some((1, 6));
            assert_eq!(refused, expected, "{version}");
        }
    }

    #[test]
    fn headers() {
        hold(&[
            ("%packages\n%end", "A RHEL6 RHEL10 F29 F46"),
            ("%packages x\n%end", "D RHEL6, R RHEL10 F29 F46"),
            ("%packages --nobase\n%end", "A RHEL6, D RHEL7, R RHEL8 F29"),
            (
                "%packages --default --nobase\n%end",
                "R RHEL6 RHEL8 F29, D RHEL7",
            ),
            (
                "%packages --default --nocore\n%end",
                "R RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            ("%packages --nocore\n%end", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            (
                "%packages --instLangs=a\n%end",
                "A RHEL6 RHEL8 F31, D RHEL9 F32 F39 F40 F46, R RHEL10",
            ),
            (
                "%packages --instLangs a\n%end",
                "A RHEL6 RHEL8 F31, D RHEL9 F32 F39 F40 F46, R RHEL10",
            ),
            (
                "%packages --inst-langs=a\n%end",
                "R RHEL8 F31, A RHEL9 F32 F46 RHEL10",
            ),
            (
                "%packages --instL=a\n%end",
                "A RHEL8 F31 RHEL9 F39, D F40, R RHEL10",
            ),
            (
                "%packages --excludeWeakdeps\n%end",
                "R RHEL7, A RHEL8 F31, D RHEL9 F32 F39 F40, R RHEL10",
            ),
            ("%traceback\n%end", "A RHEL6 RHEL8 F33, D RHEL9 F34 F46"),
            ("%traceback --bogus\n%end", "R RHEL8 RHEL9 F46"),
            ("%certificate --filename=a\nx\n%end", "R RHEL6 RHEL10 F46"),
            (
                "%certificate --filename=a --dir=\nx\n%end",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "%certificate --filename=a --dir=/b\nx\n%end",
                "R RHEL6, A RHEL10 F46",
            ),
            (
                "%certificate --filename=a --type=anchor\nx\n%end",
                "R RHEL6, A RHEL10 F46",
            ),
            (
                "%certificate --filename=a --dir=/b\n \n%end",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "%certificate --filename=a --dir=/b\n%include /x\n%end",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "%post --nochroot --erroronfail --log=/a --interpreter=/bin/sh\n%end",
                "A RHEL6 F46",
            ),
            ("%pre --nochroot\n%end", "R RHEL6 F46"),
            ("%addon whatever --goes\n%end", "R RHEL6, A F46"),
        ]);
    }
}
