//! Partitions: `part`, which is also called `partition`.

use super::{Call, Rule, contradiction, filesystem, number, unexpected};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "part" => Some(&[
            unexpected,
            resize_of_new,
            filesystem::resize_to_size,
            growing_tmpfs,
            filesystem::options_without_format,
            filesystem::options_and_profile,
            filesystem::key_cost,
            filesystem::drive_passphrase,
            btrfs_member,
            btrfs,
        ]),
        _ => None,
    }
}

/// Only an existing partition can be resized. Since RHEL 7, which has the option.
fn resize_of_new(call: &Call<'_>) -> Option<Problem> {
    let existing = call.arguments.value("--onpart").unwrap_or_default();
    let existing = existing.strip_prefix("/dev/").unwrap_or(existing);
    if !call.arguments.has("--resize") || !existing.is_empty() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`--resize` of `part` needs the partition that exists",
    );
    Some(
        problem
            .at(call.arguments.span("--resize"))
            .help("add `--onpart=PARTITION`, or remove it"),
    )
}

/// What lies in memory does not grow to fill a disk. Since RHEL 7.
fn growing_tmpfs(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.value("--fstype") != Some("tmpfs") || !call.version.since(7, 0) {
        return None;
    }
    let option = if call.arguments.has("--grow") {
        "--grow"
    } else {
        number(call, "--maxsize")?;
        "--maxsize"
    };
    let problem = contradiction(call, "--fstype=tmpfs", option);
    Some(problem.help(format!(
        "remove `{option}`; `--size` alone says how large it may become"
    )))
}

/// RHEL has no btrfs since 8, so its members are none either.
fn btrfs_member(call: &Call<'_>) -> Option<Problem> {
    let without = call.version.is_rhel() && call.version.since(8, 0);
    let name = call.arguments.positionals().next()?;
    if !without || !name.text.starts_with("btrfs.") {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!(
            "`{}` is for btrfs, which {} cannot make",
            name.text, call.version
        ),
    );
    Some(
        problem
            .at(Some(name.span.clone()))
            .help("use a mount point, `pv.N` or `raid.N`"),
    )
}

/// RHEL has no btrfs since 8.
fn btrfs(call: &Call<'_>) -> Option<Problem> {
    let without = call.version.is_rhel() && call.version.since(8, 0);
    without.then(|| filesystem::btrfs(call)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn partitions() {
        hold(&[
            ("part / --size=1", "A all"),
            ("partition / --size=1", "A all"),
            ("part / --size=1 /home", "R all"),
            (
                "part /a --resize --size=1 --onpart=vda1",
                "A RHEL7+ F29+, R RHEL6",
            ),
            ("part /a --resize --size=1", "R all"),
            ("part /a --resize --size=1 --onpart=/dev/", "R all"),
            ("part /a --resize --onpart=vda1", "R all"),
            ("part /a --resize --onpart=vda1 --size=0", "R all"),
            ("part /a --fstype=tmpfs --size=1", "A all"),
            ("part /a --fstype=tmpfs --grow", "A RHEL6, R RHEL7+ F29+"),
            (
                "part /a --fstype=tmpfs --maxsize=1",
                "A RHEL6, R RHEL7+ F29+",
            ),
            ("part /a --fstype=tmpfs --maxsize=0", "A all"),
            ("part /a --noformat --mkfsoptions=a", "R all"),
            (
                "part /a --noformat --mkfsoptions=",
                "A RHEL7+ F29+, R RHEL6",
            ),
            ("part /a --fsprofile=b --mkfsoptions=a", "R all"),
            ("part /a --pbkdf-time=1 --pbkdf-iterations=1", "R all"),
            (
                "part /a --encrypted --luks-version=luks2-hw-opal --hw-passphrase=b",
                "A RHEL11 F41+, R RHEL6-RHEL10 F29-F40",
            ),
            ("part /a --encrypted --hw-passphrase=b", "R all"),
            (
                "part /a --luks-version=luks2-hw-opal --hw-passphrase=b",
                "R all",
            ),
            ("part btrfs.01 --size=1", "A RHEL6-RHEL7 F29+, R RHEL8+"),
            ("part /a --fstype=btrfs", "A RHEL6-RHEL7 F29+, R RHEL8+"),
            ("part /a --fstype=btrfs --fstype=xfs", "A all"),
            (
                "part / --size=1 --active",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            ("part / --size=1 --start=1", "D RHEL6, R RHEL7+ F29+"),
            ("part /a --size=1\npart /a/ --size=1", "D all"),
            ("part //a --size=1\npart /a --size=1", "A all"),
            ("part swap --size=1\npart swap --size=1", "A all"),
            ("part pv.1 --size=1\npart pv.1 --size=1", "D all"),
        ]);
    }
}
