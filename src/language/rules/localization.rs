//! Language, keyboard and time: `lang`, `keyboard`, `timezone`, `timesource`.

use super::super::Version;
use super::super::problem::{Problem, id};
use super::{Call, Rule, one_is_needed, only_one, unexpected};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "lang" => Some(&[unexpected]),
        "keyboard" => Some(&[one_layout, unexpected, layout_needed]),
        "timezone" => Some(&[
            unexpected,
            something_needed,
            one_zone,
            servers_or_none,
            is_utc_goes,
            servers_go,
            no_ntp_goes,
        ]),
        "timesource" => Some(&[source_needed, one_source]),
        _ => None,
    }
}

/// `keyboard` takes one layout as an argument.
fn one_layout(call: &Call<'_>) -> Option<Problem> {
    let second = call.arguments.positionals().nth(1)?;
    let help = if call.version == Version::Rhel(6) {
        "keep one of them"
    } else {
        "name several layouts with `--xlayouts`, separated by commas"
    };
    Some(
        Problem::error(id::UNEXPECTED, "`keyboard` takes one layout as an argument")
            .at(Some(second.span.clone()))
            .help(help),
    )
}

/// `keyboard` needs a layout: RHEL 6 as an argument, later ones in any of three ways. The layouts
/// that an earlier line set count as well.
fn layout_needed(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.first().is_some()
        || call.arguments.filled("--vckeymap").is_some()
        || call.keeps("--xlayouts")
    {
        return None;
    }
    Some(
        Problem::error(id::MISSING, "`keyboard` names no layout")
            .help("write one, for example `keyboard us`"),
    )
}

/// Since RHEL 7, `timezone` needs a zone or an option; before, it needs the zone.
fn something_needed(call: &Call<'_>) -> Option<Problem> {
    if call.words.len() > 1 {
        return None;
    }
    Some(
        Problem::error(id::MISSING, "`timezone` names no time zone")
            .help("write one, for example `timezone Etc/UTC --utc`"),
    )
}

/// `timezone` takes one zone.
fn one_zone(call: &Call<'_>) -> Option<Problem> {
    let second = call.arguments.positionals().nth(1)?;
    Some(
        Problem::error(id::UNEXPECTED, "`timezone` takes one time zone")
            .at(Some(second.span.clone()))
            .help("write a name without spaces, such as `America/New_York`"),
    )
}

/// RHEL 7 to 9 and Fedora: `--nontp` and `--ntpservers` contradict each other, also when the
/// servers are of an earlier line.
fn servers_or_none(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.has("--nontp") || !call.keeps("--ntpservers") {
        return None;
    }
    Some(
        Problem::error(
            id::CONTRADICTION,
            "`--nontp` and `--ntpservers` cannot be used together",
        )
        .at(call.arguments.span("--nontp"))
        .help("keep one of them"),
    )
}

/// Whether the version warns of an option that later ones ignore; those say so by themselves.
fn warns(call: &Call<'_>, rhel: u8, fedora: u8) -> bool {
    call.version.since(rhel, fedora) && !call.version.since(10, 40)
}

/// RHEL 9 and Fedora 32 to 39 warn of `--isUtc` where it is written in full.
fn is_utc_goes(call: &Call<'_>) -> Option<Problem> {
    if !warns(call, 9, 32) {
        return None;
    }
    let word = call.words[1..].iter().find(|word| word.text == "--isUtc")?;
    Some(
        Problem::warning(id::DEPRECATED_OPTION, "`--isUtc` is an old name of `--utc`")
            .at(Some(word.span.clone()))
            .help("write `--utc`: RHEL 10 refuses the old name"),
    )
}

/// RHEL 9 and Fedora 33 to 39 warn of `--ntpservers`.
fn servers_go(call: &Call<'_>) -> Option<Problem> {
    if !warns(call, 9, 33) || !call.keeps("--ntpservers") {
        return None;
    }
    Some(
        Problem::warning(id::DEPRECATED_OPTION, "`--ntpservers` has been replaced")
            .at(call.arguments.span("--ntpservers"))
            .help(
                "write a line `timesource --ntp-server=HOST` for each: RHEL 10 refuses the option",
            ),
    )
}

/// RHEL 9 and Fedora 33 to 39 warn of `--nontp`.
fn no_ntp_goes(call: &Call<'_>) -> Option<Problem> {
    if !warns(call, 9, 33) || !call.arguments.has("--nontp") {
        return None;
    }
    Some(
        Problem::warning(id::DEPRECATED_OPTION, "`--nontp` has been replaced")
            .at(call.arguments.span("--nontp"))
            .help("write the line `timesource --ntp-disable`: RHEL 10 refuses the option"),
    )
}

/// What a time source may be.
const SOURCES: [&str; 3] = ["--ntp-server", "--ntp-pool", "--ntp-disable"];

/// `timesource` needs a source.
fn source_needed(call: &Call<'_>) -> Option<Problem> {
    one_is_needed(call, &SOURCES)
}

/// `timesource` takes one source.
fn one_source(call: &Call<'_>) -> Option<Problem> {
    let problem = only_one(call, &SOURCES)?;
    Some(problem.help("write a line for each"))
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn language_and_keyboard() {
        hold(&[
            ("lang en_US", "A RHEL6 RHEL10 F29 F46"),
            ("lang en_US de_DE", "R RHEL6 RHEL10 F29 F46"),
            ("lang", "R RHEL6 RHEL10 F29 F46"),
            ("lang en_US --addsupport=de_DE", "R RHEL6, A RHEL7 F29"),
            ("lang en_US --bogus", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard us", "A RHEL6 RHEL10 F29 F46"),
            ("keyboard", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard us de", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard us --bogus", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard --vckeymap=us", "R RHEL6, A RHEL7 F29"),
            ("keyboard --vckeymap=", "R RHEL6 RHEL7 F29"),
            ("keyboard --xlayouts=us,de", "R RHEL6, A RHEL7 F29"),
            ("keyboard --xlayouts=,", "R RHEL7 F29"),
            ("keyboard --switch=a", "R RHEL7 F29"),
            ("keyboard --xlayouts=us\nkeyboard --switch=a", "A RHEL7 F29"),
            ("keyboard --vckeymap=us\nkeyboard --switch=a", "R RHEL7 F29"),
        ]);
    }

    #[test]
    fn time() {
        hold(&[
            ("timezone UTC", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("timezone", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("timezone --utc", "R RHEL6, A RHEL7 RHEL10 F29 F46"),
            ("timezone a b", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("timezone a --utc b", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            (
                "timezone a --isUtc",
                "A RHEL6 RHEL8 F31, D RHEL9 F32 F39 F40 F46, R RHEL10",
            ),
            (
                "timezone a --is",
                "A RHEL6 RHEL8 F31 RHEL9 F32 F39, D F40 F46, R RHEL10",
            ),
            (
                "timezone -- --isUtc",
                "A RHEL7 F31, D RHEL9 F32 F39, A F40 RHEL10",
            ),
            (
                "timezone a --nontp",
                "R RHEL6 RHEL10, A RHEL7 RHEL8 F32, D RHEL9 F33 F39 F40",
            ),
            (
                "timezone a --ntpservers=b",
                "R RHEL6 RHEL10, A RHEL7 RHEL8 F32, D RHEL9 F33 F39 F40",
            ),
            (
                "timezone a --ntpservers=,",
                "R RHEL10, A RHEL7 RHEL8 F32 RHEL9 F33 F39, D F40",
            ),
            (
                "timezone a --ntpservers=b --nontp",
                "R RHEL6 RHEL7 RHEL9 RHEL10 F29 F39, D F40",
            ),
            (
                "timezone a --ntpservers=b\ntimezone a --nontp",
                "R RHEL7 RHEL8 F29",
            ),
            (
                "timesource --ntp-server=a",
                "R RHEL8 F32, A RHEL9 F33 RHEL10 F46",
            ),
            ("timesource", "R RHEL9 F33"),
            ("timesource --ntp-pool=", "R RHEL9 F33"),
            ("timesource --nts --ntp-pool=a", "A RHEL9 F33"),
            ("timesource --ntp-disable --ntp-pool=a", "R RHEL9 F33"),
            ("timesource --ntp-disable", "A RHEL9 F33"),
        ]);
    }
}
