//! LVM volume groups: `volgroup`.

use super::{Call, Rule};
use crate::kickstart::words::Word;
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "volgroup" => Some(&[
            needs_name,
            needs_members,
            members_of_existing,
            reserved_space,
            reserved_percentage,
        ]),
        _ => None,
    }
}

/// The members: what follows the name. If options stand between, argparse leaves them over, and
/// what is left over counts alone, even what looks like an option.
pub(super) fn members<'a>(call: &Call<'a>) -> &'a [Word] {
    let arguments = call.arguments;
    if !arguments.leftovers.is_empty() {
        return &arguments.leftovers;
    }
    let words = arguments.positionals.first();
    words.and_then(|words| words.get(1..)).unwrap_or_default()
}

/// The first argument is the name.
pub(super) fn needs_name(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.first().is_some() {
        return None;
    }
    let problem = Problem::error(id::MISSING, format!("`{}` needs a name", call.name));
    Some(problem.help(format!("write it right behind `{}`", call.name)))
}

/// What is new is made of something.
pub(super) fn needs_members(call: &Call<'_>) -> Option<Problem> {
    if existing(call).is_some() || !members(call).is_empty() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        format!("`{}` needs the devices that it is made of", call.name),
    );
    Some(problem.help("write them behind the name"))
}

/// What exists has its members already.
pub(super) fn members_of_existing(call: &Call<'_>) -> Option<Problem> {
    let option = existing(call)?;
    let first = members(call).first()?;
    let problem = Problem::error(
        id::CONTRADICTION,
        format!("`{}` takes no members together with `{option}`", call.name),
    );
    Some(
        problem
            .at(Some(first.span.clone()))
            .help(format!("remove them, or `{option}`")),
    )
}

fn existing(call: &Call<'_>) -> Option<&'static str> {
    let mut options = ["--useexisting", "--noformat"].into_iter();
    options.find(|option| call.arguments.has(option))
}

/// Space cannot be less than none.
fn reserved_space(call: &Call<'_>) -> Option<Problem> {
    let space = call.arguments.integer("--reserved-space")?;
    if space >= 0 {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("`--reserved-space` cannot be negative, and has {space}"),
    );
    Some(
        problem
            .at(call.arguments.span("--reserved-space"))
            .help("write the MiB to leave free"),
    )
}

/// A part of the group stays free, and a part does not.
fn reserved_percentage(call: &Call<'_>) -> Option<Problem> {
    let percent = call.arguments.integer("--reserved-percent")?;
    if (1..=99).contains(&percent) {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("`--reserved-percent` is from 1 to 99, and has {percent}"),
    );
    Some(
        problem
            .at(call.arguments.span("--reserved-percent"))
            .help("write the share to leave free, or remove it"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn groups() {
        hold(&[
            ("volgroup a pv.01 pv.02", "A all"),
            ("volgroup a --pesize=4 pv.01", "A all"),
            ("volgroup --pesize=4 a pv.01", "A all"),
            ("volgroup", "R all"),
            ("volgroup --useexisting", "R all"),
            ("volgroup a", "R all"),
            ("volgroup a --useexisting", "A all"),
            ("volgroup a --noformat", "A all"),
            ("volgroup a b --useexisting", "R all"),
            ("volgroup a --noformat b", "R all"),
            ("volgroup a --bogus", "A all"),
            ("volgroup a b --reserved-space=0", "A all"),
            ("volgroup a b --reserved-space=-1", "R all"),
            ("volgroup a b --reserved-percent=0", "R all"),
            ("volgroup a b --reserved-percent=1", "A all"),
            ("volgroup a b --reserved-percent=99", "A all"),
            ("volgroup a b --reserved-percent=100", "R all"),
            ("volgroup a b\nvolgroup a c", "D all"),
            ("volgroup a b\nvolgroup b c", "A all"),
        ]);
    }
}
