//! Automatic partitioning: `autopart`. (`reqpart` has no rules.)

use super::{Call, Rule, contradiction, filesystem, number};
use crate::language::Version;
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "autopart" => Some(&[
            known_type,
            btrfs_as_file_system,
            file_system_on_btrfs,
            filesystem::key_cost,
            unsupported_btrfs,
            hibernation_without_swap,
            filesystem::drive_passphrase,
            options_on_stratis,
        ]),
        _ => None,
    }
}

/// The partitioning types; `thinp` is known to every version that has `--type`.
const TYPES: [&str; 5] = ["lvm", "btrfs", "plain", "partition", "thinp"];

/// A type that the version knows, in lower case.
fn type_of(version: Version, value: &str) -> Option<&'static str> {
    let value = value.to_lowercase();
    if value == "stratis" && version.since(11, 45) {
        return Some("stratis");
    }
    TYPES.into_iter().find(|known| *known == value)
}

/// The type that the line chooses: `--nolvm` stands for `--type=plain`, and the last of both wins.
fn chosen(call: &Call<'_>) -> Option<&'static str> {
    let options = call.arguments.options.iter().rev();
    let mut types = options.filter_map(|given| match given.name {
        "--nolvm" => Some("plain"),
        "--type" => type_of(call.version, given.value.as_deref()?),
        _ => None,
    });
    types.next()
}

/// The types that rules ask for, as they are kept for later lines.
const BTRFS: &str = "--type=btrfs";
const STRATIS: &str = "--type=stratis";

/// Whether the type is this one, chosen here or in an earlier line.
fn is(call: &Call<'_>, kind: &'static str) -> bool {
    match chosen(call) {
        Some(chosen) => kind.ends_with(chosen),
        None => call.declared.kept(call.name, kind).unwrap_or(false),
    }
}

/// What outlasts the line beside values: the type.
pub(super) fn kept(call: &Call<'_>) -> Vec<(&'static str, bool)> {
    match chosen(call) {
        Some(_) => vec![(BTRFS, is(call, BTRFS)), (STRATIS, is(call, STRATIS))],
        None => Vec::new(),
    }
}

/// `--type` names a partitioning scheme, in any case.
fn known_type(call: &Call<'_>) -> Option<Problem> {
    if call.version.is_python_2() {
        return None;
    }
    let mut types = call.arguments.values("--type");
    let wrong = types.find(|value| type_of(call.version, value).is_none())?;
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("`{wrong}` is no partitioning type of {}", call.version),
    );
    let stratis = if call.version.since(11, 45) {
        ", `stratis`"
    } else {
        ""
    };
    Some(
        problem
            .at(call.arguments.span("--type"))
            .help(format!("write `lvm`, `plain`, `btrfs`{stratis} or `thinp`")),
    )
}

/// Btrfs is a type and no file system of another. Since RHEL 7, which has the option.
fn btrfs_as_file_system(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.value("--fstype") != Some("btrfs") {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        "`autopart` does not take `--fstype=btrfs`, which is a type of its own",
    );
    let help = "write `--type=btrfs` where the release supports it, or name another file system";
    Some(problem.at(call.arguments.span("--fstype")).help(help))
}

/// With the type btrfs there is no file system to choose. Since RHEL 7.
fn file_system_on_btrfs(call: &Call<'_>) -> Option<Problem> {
    let both = is(call, BTRFS) && call.keeps("--fstype");
    both.then(|| contradiction(call, BTRFS, "--fstype"))
}

/// RHEL 8, 9 and 10 have no btrfs; in RHEL 11 pykickstart does not say so.
fn unsupported_btrfs(call: &Call<'_>) -> Option<Problem> {
    let without = matches!(call.version, Version::Rhel(8..=10));
    if !without || !is(call, BTRFS) {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("{} cannot install on btrfs", call.version),
    );
    Some(
        problem
            .at(call.arguments.span("--type"))
            .help("write `--type=lvm`, `plain` or `thinp`"),
    )
}

/// Hibernation needs the swap that `--noswap` leaves out. Since RHEL 10 and Fedora 38, which have
/// the option.
fn hibernation_without_swap(call: &Call<'_>) -> Option<Problem> {
    let both = call.arguments.has("--hibernation") && call.arguments.has("--noswap");
    both.then(|| contradiction(call, "--noswap", "--hibernation"))
}

/// What is for LUKS or for a file system has no use for Stratis. Since RHEL 11 and Fedora 45,
/// which have the type.
fn options_on_stratis(call: &Call<'_>) -> Option<Problem> {
    if !is(call, STRATIS) {
        return None;
    }
    let texts = ["--luks-version", "--pbkdf", "--hw-passphrase"];
    let kept = ["--escrowcert", "--cipher", "--fstype"];
    let numbers = ["--pbkdf-memory", "--pbkdf-time", "--pbkdf-iterations"];
    let texts = texts
        .into_iter()
        .filter(|name| call.arguments.filled(name).is_some());
    let kept = kept.into_iter().filter(|name| call.keeps(name));
    let numbers = numbers
        .into_iter()
        .filter(|name| number(call, name).is_some());
    let flag = Some("--backuppassphrase").filter(|name| call.arguments.has(name));
    let wrong = texts.chain(kept).chain(numbers).chain(flag).next()?;
    let problem = contradiction(call, STRATIS, wrong);
    Some(problem.help(format!("remove `{wrong}`, or choose another type")))
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn autopart() {
        hold(&[
            ("autopart", "A all"),
            ("autopart --type=lvm", "A RHEL7+ F29+, R RHEL6"),
            ("autopart --type=Thinp", "A RHEL7+ F29+, R RHEL6"),
            ("autopart --type=partition", "A RHEL7+ F29+, R RHEL6"),
            ("autopart --type=raid", "A RHEL7, R RHEL6 RHEL8+ F29+"),
            (
                "autopart --type=stratis",
                "A RHEL7 RHEL11 F45+, R RHEL6 RHEL8-RHEL10 F29-F44",
            ),
            (
                "autopart --type=raid --type=lvm",
                "A RHEL7, R RHEL6 RHEL8+ F29+",
            ),
            ("autopart --fstype=xfs", "A RHEL7+ F29+, R RHEL6"),
            ("autopart --fstype=btrfs", "R all"),
            (
                "autopart --type=btrfs",
                "A RHEL7 RHEL11 F29+, R RHEL6 RHEL8-RHEL10",
            ),
            ("autopart --type=btrfs --fstype=xfs", "R all"),
            (
                "autopart --type=btrfs --fstype=",
                "A RHEL7 RHEL11 F29+, R RHEL6 RHEL8-RHEL10",
            ),
            ("autopart --type=btrfs --nolvm", "A RHEL7+ F29+, R RHEL6"),
            (
                "autopart --nolvm --type=btrfs",
                "A RHEL7 RHEL11 F29+, R RHEL6 RHEL8-RHEL10",
            ),
            ("autopart --type=btrfs\nautopart --fstype=xfs", "R all"),
            ("autopart --fstype=xfs\nautopart --type=btrfs", "R all"),
            (
                "autopart --type=btrfs\nautopart --type=lvm --fstype=xfs",
                "A RHEL7 RHEL11 F29+, R RHEL6 RHEL8-RHEL10",
            ),
            ("autopart --pbkdf-time=1 --pbkdf-iterations=2", "R all"),
            (
                "autopart --pbkdf-time=1 --pbkdf-iterations=0",
                "A RHEL8+ F29+, R RHEL6-RHEL7",
            ),
            (
                "autopart --hibernation",
                "A RHEL10+ F38+, R RHEL6-RHEL9 F29-F37",
            ),
            ("autopart --noswap", "A RHEL8+ F29+, R RHEL6-RHEL7"),
            ("autopart --hibernation --noswap", "R all"),
            (
                "autopart --encrypted --hw-passphrase=a --luks-version=luks2-hw-opal",
                "A RHEL11 F41+, R RHEL6-RHEL10 F29-F40",
            ),
            (
                "autopart --encrypted --hw-passphrase=a --luks-version=luks2",
                "R all",
            ),
            (
                "autopart --hw-passphrase=a --luks-version=luks2-hw-opal",
                "R all",
            ),
            (
                "autopart --hw-passphrase=",
                "A RHEL11 F41+, R RHEL6-RHEL10 F29-F40",
            ),
            (
                "autopart --type=stratis --encrypted --passphrase=a",
                "A RHEL7 RHEL11 F45+, R RHEL6 RHEL8-RHEL10 F29-F44",
            ),
            ("autopart --type=stratis --pbkdf=a", "R all"),
            (
                "autopart --type=stratis --cipher=a",
                "A RHEL7, R RHEL6 RHEL8+ F29+",
            ),
            (
                "autopart --type=stratis --cipher=",
                "A RHEL7 RHEL11 F45+, R RHEL6 RHEL8-RHEL10 F29-F44",
            ),
            (
                "autopart --type=stratis --backuppassphrase",
                "A RHEL7, R RHEL6 RHEL8+ F29+",
            ),
            ("autopart --type=stratis --pbkdf-memory=1", "R all"),
            (
                "autopart --type=stratis --pbkdf-memory=0",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "autopart --cipher=a\nautopart --type=stratis",
                "A RHEL7, R RHEL6 RHEL8+ F29+",
            ),
            ("autopart now", "D RHEL6, R RHEL7+ F29+"),
        ]);
    }
}
