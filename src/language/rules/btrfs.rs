//! Btrfs volumes and subvolumes: `btrfs`.

use super::{Call, Rule, filesystem};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "btrfs" => Some(&[
            levels,
            mount_point,
            members,
            subvolume_name,
            options_without_format,
        ]),
        _ => None,
    }
}

/// How data can be laid out over several devices.
const LEVELS: [&str; 7] = ["raid0", "0", "raid1", "1", "raid10", "10", "single"];

/// `--data` and `--metadata` name a level, in any case.
fn levels(call: &Call<'_>) -> Option<Problem> {
    let wrong = call.arguments.options.iter().find(|given| {
        let level = given.value.as_deref().unwrap_or_default().to_lowercase();
        matches!(given.name, "--data" | "--metadata") && !LEVELS.contains(&level.as_str())
    })?;
    let problem = Problem::error(
        id::BAD_VALUE,
        format!(
            "`{}` is no level of btrfs",
            wrong.value.as_deref().unwrap_or_default()
        ),
    );
    Some(
        problem
            .at(Some(wrong.span.clone()))
            .help("write `raid0`, `raid1`, `raid10` or `single`"),
    )
}

/// A volume is mounted somewhere, or has the name `none`.
fn mount_point(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.leftovers.is_empty() {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`btrfs` needs a mount point, or `none`");
    Some(problem.help("write `btrfs /data btrfs.01`, for example"))
}

/// A volume is made of partitions, a subvolume lies in a volume: both follow the mount point.
fn members(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.leftovers.len() != 1 {
        return None;
    }
    let (message, help) = if call.arguments.has("--subvol") {
        (
            "a subvolume of `btrfs` needs the volume that it lies in",
            "write the volume's label as `LABEL=...` behind the mount point",
        )
    } else {
        (
            "`btrfs` needs the partitions that the volume is made of",
            "write them behind the mount point",
        )
    };
    Some(Problem::error(id::MISSING, message).help(help))
}

/// A subvolume has a name in its volume.
fn subvolume_name(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.has("--subvol") || call.arguments.filled("--name").is_some() {
        return None;
    }
    let problem = Problem::error(id::MISSING, "a subvolume of `btrfs` needs a name");
    Some(
        problem
            .at(call.arguments.span("--subvol"))
            .help("add `--name=NAME`"),
    )
}

/// Options for making a file system have no use where none is made.
fn options_without_format(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--mkfsoptions")?;
    let mut flags = ["--noformat", "--useexisting"].into_iter();
    let flag = flags.find(|flag| call.arguments.has(flag))?;
    Some(filesystem::both(call, flag, "--mkfsoptions"))
}
