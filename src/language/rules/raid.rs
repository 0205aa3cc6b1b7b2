//! Software RAID: `raid`.

use super::{Call, Rule, filesystem};
use crate::kickstart::words::Word;
use crate::language::Version;
use crate::language::problem::{Problem, id};
use crate::language::values;

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "raid" => Some(&[
            known_level,
            needs_members,
            members_of_existing,
            device_number,
            needs_level,
            needs_device,
            filesystem::options_without_format,
            filesystem::options_and_profile,
            filesystem::key_cost,
            btrfs,
        ]),
        _ => None,
    }
}

/// The levels, with and without the word.
const LEVELS: [&str; 12] = [
    "RAID0", "0", "RAID1", "1", "RAID4", "4", "RAID5", "5", "RAID6", "6", "RAID10", "10",
];

/// The partitions of the array: what follows the mount point. If options stand between, argparse
/// leaves them over.
fn members<'a>(call: &Call<'a>) -> &'a [Word] {
    let arguments = call.arguments;
    match arguments.positionals.get(1) {
        Some(members) if !members.is_empty() => members,
        _ => &arguments.leftovers,
    }
}

/// The device's name as the version keeps it: up to Fedora 42 and RHEL 9 without `md` before it.
pub fn device(version: Version, name: &str) -> &str {
    match name.strip_prefix("md") {
        Some(short) if !version.since(10, 43) => short,
        _ => name,
    }
}

/// `--level` names a level, in any case.
fn known_level(call: &Call<'_>) -> Option<Problem> {
    let mut levels = call.arguments.values("--level");
    let wrong = levels.find(|level| !LEVELS.contains(&level.to_uppercase().as_str()))?;
    let problem = Problem::error(id::BAD_VALUE, format!("`{wrong}` is no level of `raid`"));
    Some(
        problem
            .at(call.arguments.span("--level"))
            .help("write `RAID0`, `RAID1`, `RAID4`, `RAID5`, `RAID6` or `RAID10`"),
    )
}

/// A new array is made of partitions.
fn needs_members(call: &Call<'_>) -> Option<Problem> {
    if filesystem::exists(call) || !members(call).is_empty() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`raid` needs the partitions that the array is made of",
    );
    Some(problem.help(
        "write them behind the mount point: `raid / --device=root --level=RAID1 raid.01 raid.02`",
    ))
}

/// An array that exists has its members already.
fn members_of_existing(call: &Call<'_>) -> Option<Problem> {
    let first = members(call).first()?;
    if !filesystem::exists(call) {
        return None;
    }
    let problem = Problem::error(
        id::CONTRADICTION,
        "`raid` takes no members for an array that exists",
    );
    Some(
        problem
            .at(Some(first.span.clone()))
            .help("remove them, or `--useexisting` and `--noformat`"),
    )
}

/// Before RHEL 7 a device is `md` and a number, or only the number.
fn device_number(call: &Call<'_>) -> Option<Problem> {
    let name = call.arguments.value("--device")?;
    if call.version.since(7, 0) || values::integer(device(call.version, name)).is_some() {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("`{name}` is no RAID device of {}", call.version),
    );
    Some(
        problem
            .at(call.arguments.span("--device"))
            .help("write `md0`, for example"),
    )
}

/// A new array has a level.
fn needs_level(call: &Call<'_>) -> Option<Problem> {
    if filesystem::exists(call) || call.arguments.has("--level") {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`raid` needs the level of a new array");
    Some(problem.help("add `--level=RAID1`, for example"))
}

/// An array that exists is named.
fn needs_device(call: &Call<'_>) -> Option<Problem> {
    let name = call.arguments.value("--device")?;
    if !filesystem::exists(call) || !device(call.version, name).is_empty() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`raid` needs the name of the array that exists",
    );
    Some(
        problem
            .at(call.arguments.span("--device"))
            .help("write `--device=NAME`"),
    )
}

/// RHEL 8 and 9 have no btrfs; of later ones pykickstart does not say so.
fn btrfs(call: &Call<'_>) -> Option<Problem> {
    let without = matches!(call.version, Version::Rhel(8 | 9));
    without.then(|| filesystem::btrfs(call)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn arrays() {
        hold(&[
            ("raid / --device=md0 --level=1 raid.01 raid.02", "A all"),
            ("raid / raid.01 raid.02 --device=md0 --level=1", "A all"),
            ("raid / --device=0 --level=1 raid.01", "A all"),
            (
                "raid / --device=root --level=1 raid.01",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "raid / --device=md --level=1 raid.01",
                "A RHEL7+ F29+, R RHEL6",
            ),
            ("raid / --device=md0 --level=RAID10 a", "A all"),
            ("raid / --device=md0 --level=raid4 a", "A all"),
            ("raid / --device=md0 --level=10 a", "A all"),
            ("raid / --device=md0 --level=linear a", "R all"),
            ("raid / --device=md0 --level=7 --level=1 a", "R all"),
            ("raid / --device=md0 --level=1", "R all"),
            ("raid / --device=md0 a", "R all"),
            ("raid / --device=md0 --useexisting", "A all"),
            ("raid / --device=md0 --noformat", "A all"),
            ("raid / --device=md0 --useexisting a", "R all"),
            ("raid / a --device=md0 --noformat", "R all"),
            (
                "raid / --device=md --useexisting",
                "A RHEL10+ F43+, R RHEL6-RHEL9 F29-F42",
            ),
            ("raid / --device= --useexisting", "R all"),
            ("raid / --device=md0 --level=1 a --bogus", "R all"),
            ("raid / --device=md0 --noformat --mkfsoptions=a", "R all"),
            (
                "raid / --device=md0 --level=1 a --fsprofile=b --mkfsoptions=c",
                "R all",
            ),
            (
                "raid / --device=md0 --level=1 a --pbkdf-time=1 --pbkdf-iterations=1",
                "R all",
            ),
            (
                "raid / --device=md0 --level=1 a --fstype=btrfs",
                "A RHEL6-RHEL7 RHEL10+ F29+, R RHEL8-RHEL9",
            ),
            (
                "raid / --device=md0 --level=1 a --bytes-per-inode=1",
                "D RHEL6, R RHEL7+ F29+",
            ),
            (
                "raid / --device=md0 --level=1 a\nraid /b --device=0 --level=1 c",
                "A RHEL10+ F43+, D RHEL6-RHEL9 F29-F42",
            ),
            (
                "raid / --device=md00 --level=1 a\nraid /b --device=0 --level=1 c",
                "A RHEL7+ F29+, D RHEL6",
            ),
        ]);
    }
}
