//! Btrfs volumes and subvolumes: `btrfs`.

use super::{Call, Rule, contradiction};
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
    if call.version.is_python_2() {
        return None;
    }
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
    Some(contradiction(call, flag, "--mkfsoptions"))
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn btrfs() {
        hold(&[
            (
                "btrfs / btrfs.01",
                "A RHEL7 F29+, D RHEL8-RHEL9, R RHEL6 RHEL10+",
            ),
            (
                "btrfs none btrfs.01 btrfs.02",
                "A RHEL7 F29+, D RHEL8-RHEL9, R RHEL6 RHEL10+",
            ),
            ("btrfs", "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+"),
            ("btrfs /", "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+"),
            (
                "btrfs --label=a",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs / --subvol --name=a LABEL=b",
                "A RHEL7 F29+, D RHEL8-RHEL9, R RHEL6 RHEL10+",
            ),
            (
                "btrfs / --subvol --name=a",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs / --subvol LABEL=b",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs / --subvol --name= LABEL=b",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs / --data=RAID1 --metadata=single a b",
                "A RHEL7 F29+, D RHEL8-RHEL9, R RHEL6 RHEL10+",
            ),
            (
                "btrfs / --data=raid5 a b",
                "A RHEL7, D RHEL8-RHEL9, R RHEL6 RHEL10+ F29+",
            ),
            (
                "btrfs / --metadata=2 a b",
                "A RHEL7, D RHEL8-RHEL9, R RHEL6 RHEL10+ F29+",
            ),
            (
                "btrfs / --data=5 --data=0 a b",
                "A RHEL7, D RHEL8-RHEL9, R RHEL6 RHEL10+ F29+",
            ),
            (
                "btrfs / --mkfsoptions=a b",
                "A RHEL7 F29+, D RHEL8-RHEL9, R RHEL6 RHEL10+",
            ),
            (
                "btrfs / --noformat --mkfsoptions=a b",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs / --useexisting --mkfsoptions=a b",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs / --useexisting --mkfsoptions= b",
                "A RHEL7 F29+, D RHEL8-RHEL9, R RHEL6 RHEL10+",
            ),
            (
                "btrfs / a --bogus",
                "D RHEL8-RHEL9, R RHEL6-RHEL7 RHEL10+ F29+",
            ),
            (
                "btrfs /a a\nbtrfs /a/ b",
                "D RHEL7-RHEL9 F29+, R RHEL6 RHEL10+",
            ),
        ]);
    }
}
