//! Rules that the commands share which make file systems: `autopart`, `part`, `logvol`, `raid`.

use super::{Call, contradiction, number};
use crate::language::problem::{Problem, id};

/// Whether the line is about something that exists: `--noformat` implies `--useexisting`.
pub(super) fn exists(call: &Call<'_>) -> bool {
    call.arguments.has("--useexisting") || call.arguments.has("--noformat")
}

/// Resizing needs the new size. Since RHEL 7.
pub(super) fn resize_to_size(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.has("--resize") || number(call, "--size").is_some() {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        format!("`--resize` of `{}` needs the new size", call.name),
    );
    Some(
        problem
            .at(call.arguments.span("--resize"))
            .help("add `--size=MIB`"),
    )
}

/// The cost of a LUKS key is given as a time or as a count, not both. Since RHEL 8 and Fedora 29,
/// which have the options.
pub(super) fn key_cost(call: &Call<'_>) -> Option<Problem> {
    number(call, "--pbkdf-time")?;
    number(call, "--pbkdf-iterations")?;
    Some(contradiction(call, "--pbkdf-time", "--pbkdf-iterations"))
}

/// Options for making a file system have no use where none is made. Since the option came: RHEL 7.
pub(super) fn options_without_format(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--mkfsoptions")?;
    let problem = contradiction(call, "--noformat", "--mkfsoptions");
    call.arguments.has("--noformat").then_some(problem)
}

/// Options for making a file system, or a profile that names them. Since the option came: RHEL 7.
pub(super) fn options_and_profile(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--mkfsoptions")?;
    call.arguments.filled("--fsprofile")?;
    Some(contradiction(call, "--fsprofile", "--mkfsoptions"))
}

/// A passphrase for the drive's own encryption (OPAL) needs a LUKS 2 version that uses it. Since
/// RHEL 11 and Fedora 41, which have the option.
pub(super) fn drive_passphrase(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--hw-passphrase")?;
    let luks = call.arguments.value("--luks-version").unwrap_or_default();
    if call.arguments.has("--encrypted") && luks.starts_with("luks2-") {
        return None;
    }
    let problem = Problem::error(
        id::CONTRADICTION,
        format!(
            "`--hw-passphrase` of `{}` is only for encryption by the drive itself",
            call.name
        ),
    );
    let help = "add `--encrypted` and `--luks-version=luks2-hw-opal` or `luks2-hw-opal-only`, or remove it";
    Some(
        problem
            .at(call.arguments.span("--hw-passphrase"))
            .help(help),
    )
}

/// The refusal of `--fstype=btrfs`, for the releases that cannot make it.
pub(super) fn btrfs(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.value("--fstype") != Some("btrfs") {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("{} cannot make btrfs file systems", call.version),
    );
    let help = "write `--fstype=xfs` or another file system";
    Some(problem.at(call.arguments.span("--fstype")).help(help))
}
