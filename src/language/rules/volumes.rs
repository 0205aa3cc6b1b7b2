//! What is made of partitions: `raid`, `volgroup`, `logvol`, `snapshot`, `btrfs`, `stratispool`,
//! `stratisfs`.

use super::Call;
use super::disks::{exists, format_options, key_cost, no_btrfs, resize_to_size};
use crate::kickstart::words::Word;
use crate::language::Version;
use crate::language::declared::{SNAPSHOT, raid_device};
use crate::language::problem::id;
use crate::language::values;

pub(super) fn raid(call: &mut Call<'_>) {
    let levels = [
        "raid0", "raid1", "raid4", "raid5", "raid6", "raid10", "0", "1", "4", "5", "6", "10",
    ];
    let help = "write `RAID0`, `RAID1`, `RAID4`, `RAID5`, `RAID6` or `RAID10`";
    call.only_values(&["--level"], &levels, "level of `raid`", help);
    // What follows the mount point; if options stand between, argparse leaves it over.
    let arguments = call.arguments;
    let members = arguments
        .positionals
        .get(1)
        .filter(|members| !members.is_empty());
    let first = members.unwrap_or(&arguments.leftovers).first();
    let exists = exists(call);
    match first {
        None if !exists => {
            let message = "`raid` needs the partitions that the array is made of";
            let help = "write them behind the mount point: `raid / --device=root --level=RAID1 raid.01 raid.02`";
            call.missing(message, help);
        }
        Some(first) if exists => {
            let message = "`raid` takes no members for an array that exists";
            let help = "remove them, or `--useexisting` and `--noformat`";
            call.error(id::CONTRADICTION, Some(first.span.clone()), message, help);
        }
        _ => {}
    }
    let name = call.value("--device").unwrap_or_default();
    let device = raid_device(call.version, name);
    // Before RHEL 7 a device is `md` and a number, or only the number.
    if call.has("--device") && !call.version.since(7, 0) && values::integer(device).is_none() {
        let message = format!("`{name}` is no RAID device of {}", call.version);
        call.bad_value("--device", message, "write `md0`, for example");
    }
    if !exists && !call.has("--level") {
        let message = "`raid` needs the level of a new array";
        call.missing(message, "add `--level=RAID1`, for example");
    }
    if exists && call.has("--device") && device.is_empty() {
        let message = "`raid` needs the name of the array that exists";
        call.incomplete("--device", message, "write `--device=NAME`");
    }
    format_options(call);
    key_cost(call);
    // Of later ones pykickstart does not say so.
    if matches!(call.version, Version::Rhel(8 | 9)) {
        no_btrfs(call);
    }
}

/// What follows the name of a `volgroup` or `stratispool`. If options stand between, argparse
/// leaves it over, and what is left over counts alone, even what looks like an option.
fn members<'a>(call: &Call<'a>) -> &'a [Word] {
    let arguments = call.arguments;
    if !arguments.leftovers.is_empty() {
        return &arguments.leftovers;
    }
    let words = arguments.positionals.first();
    words.and_then(|words| words.get(1..)).unwrap_or_default()
}

/// A group or pool has a name; a new one has members, one that exists has them already.
fn name_and_members(call: &mut Call<'_>) {
    let name = call.name;
    if call.arguments.first().is_none() {
        let help = format!("write it right behind `{name}`");
        call.missing(format!("`{name}` needs a name"), help);
    }
    match (
        call.first_set(&["--useexisting", "--noformat"]),
        members(call).first(),
    ) {
        (None, None) => {
            let message = format!("`{name}` needs the devices that it is made of");
            call.missing(message, "write them behind the name");
        }
        (Some(option), Some(first)) => {
            let message = format!("`{name}` takes no members together with `{option}`");
            let help = format!("remove them, or `{option}`");
            call.error(id::CONTRADICTION, Some(first.span.clone()), message, help);
        }
        _ => {}
    }
}

pub(super) fn volgroup(call: &mut Call<'_>) {
    name_and_members(call);
    if let Some(space @ ..0) = call.arguments.integer("--reserved-space") {
        let message = format!("`--reserved-space` cannot be negative, and has {space}");
        call.bad_value("--reserved-space", message, "write the MiB to leave free");
    }
    if let Some(percent @ (..1 | 100..)) = call.arguments.integer("--reserved-percent") {
        let message = format!("`--reserved-percent` is from 1 to 99, and has {percent}");
        let help = "write the share to leave free, or remove it";
        call.bad_value("--reserved-percent", message, help);
    }
}

/// A pool's words are read as those of a volume group.
pub(super) fn stratispool(call: &mut Call<'_>) {
    name_and_members(call);
    let help = "add it, or remove the passphrase";
    call.needs("--passphrase", "--encrypted", help);
}

pub(super) fn stratisfs(call: &mut Call<'_>) {
    call.unexpected();
    call.needs("--maxsize", "--grow", "add `--grow`, or remove it");
}

pub(super) fn logvol(call: &mut Call<'_>) {
    let exists = exists(call);
    call.unexpected();
    if call.has("--resize") && !exists {
        let message = "`--resize` of `logvol` is only for a volume that exists";
        let help = "add `--useexisting`, or remove it";
        call.contradicts("--resize", message, help);
    }
    resize_to_size(call);
    call.exclusive(&["--thinpool", "--thin"]);
    if call.has("--thin") && !call.is_set("--poolname") {
        let message = "`--thin` of `logvol` needs the pool that the volume lies in";
        call.incomplete("--thin", message, "add `--poolname=NAME`");
    }
    if let Some(size) = call.first_set(&["--chunksize", "--metadatasize"])
        && !call.has("--thinpool")
    {
        let message = format!("`{size}` of `logvol` is only for pools of thin volumes");
        let help = "add `--thinpool`, or remove it";
        call.contradicts(size, message, help);
    }
    if call.version.since(7, 0) {
        let sizes = ["--percent", "--size", "--recommended", "--hibernation"];
        if !exists && call.first_set(&sizes).is_none() {
            let message = "`logvol` needs a size for a new volume";
            let help = "add `--size=MIB`, `--percent=N`, `--recommended` or `--hibernation`, or `--useexisting` for one that exists";
            call.missing(message, help);
        }
        if let Some(percent @ (..0 | 101..)) = call.arguments.integer("--percent") {
            let message = format!("`--percent` of `logvol` is from 0 to 100, and has {percent}");
            let help = "write a share of the volume group, such as `--percent=50`";
            call.bad_value("--percent", message, help);
        }
        call.exclusive(&["--size", "--percent"]);
    }
    if let Some(option) = call.first_set(&["--cachesize", "--cachemode", "--cachepvs"]) {
        cache(call, option);
    }
    format_options(call);
    key_cost(call);
    if matches!(call.version, Version::Rhel(8..)) {
        no_btrfs(call);
    }
}

/// A volume's cache, which `option` asks for.
fn cache(call: &mut Call<'_>, option: &str) {
    if exists(call) {
        let message = format!("`{option}` of `logvol` cannot add a cache to a volume that exists");
        let help = "make the volume new, or remove the cache";
        call.contradicts(option, message, help);
    }
    if call.has("--thin") {
        call.contradiction("--thin", option, "keep one of them");
    }
    if !call.is_set("--cachepvs") {
        let message = "the cache of a `logvol` needs the fast devices that it lies on";
        call.incomplete(option, message, "add `--cachepvs=pv.02`, for example");
    }
    if !call.is_set("--cachesize") {
        let message = "the cache of a `logvol` needs a size";
        call.incomplete(option, message, "add `--cachesize=MIB`");
    }
    let mode = call.value("--cachemode").unwrap_or_default();
    if !["", "writeback", "writethrough"].contains(&mode) {
        let message = format!("`{mode}` is no mode of a cache");
        let help = "write `writeback` or `writethrough`";
        call.bad_value("--cachemode", message, help);
    }
}

pub(super) fn snapshot(call: &mut Call<'_>) {
    if !call.version.is_python_2() {
        let help = "write `post-install` or `pre-install`";
        let times = ["post-install", "pre-install"];
        call.only_values(&["--when"], &times, "time of a snapshot", help);
    }
    // Unlike elsewhere, a second of the same name is refused.
    let name = call.value("--name").unwrap_or_default();
    if call.declared.has(SNAPSHOT, name) {
        let message = format!("the snapshot `{name}` is declared twice");
        let help = "name it differently";
        call.error(id::DUPLICATE, call.span("--name"), message, help);
    }
    if let Some(origin) = call.positional(0) {
        let parts: Vec<&str> = origin.text.split('/').collect();
        if parts.len() != 2 || parts.contains(&"") {
            let message = format!(
                "`{}` does not name a volume to take a snapshot of",
                origin.text
            );
            let place = Some(origin.span.clone());
            call.error(id::BAD_VALUE, place, message, "write `GROUP/VOLUME`");
        }
    }
}

pub(super) fn btrfs(call: &mut Call<'_>) {
    if !call.version.is_python_2() {
        let levels = ["raid0", "0", "raid1", "1", "raid10", "10", "single"];
        let help = "write `raid0`, `raid1`, `raid10` or `single`";
        call.only_values(&["--data", "--metadata"], &levels, "level of btrfs", help);
    }
    // The mount point and the members are left over. A volume is made of partitions, a subvolume
    // lies in a volume.
    let subvolume = call.has("--subvol");
    match call.arguments.leftovers.len() {
        0 => {
            let message = "`btrfs` needs a mount point, or `none`";
            call.missing(message, "write `btrfs /data btrfs.01`, for example");
        }
        1 if subvolume => {
            let message = "a subvolume of `btrfs` needs the volume that it lies in";
            let help = "write the volume's label as `LABEL=...` behind the mount point";
            call.missing(message, help);
        }
        1 => {
            let message = "`btrfs` needs the partitions that the volume is made of";
            call.missing(message, "write them behind the mount point");
        }
        _ => {}
    }
    if subvolume && !call.is_set("--name") {
        let message = "a subvolume of `btrfs` needs a name";
        call.incomplete("--subvol", message, "add `--name=NAME`");
    }
    if call.is_set("--mkfsoptions")
        && let Some(flag) = call.first_set(&["--noformat", "--useexisting"])
    {
        call.contradiction(flag, "--mkfsoptions", "keep one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hold;

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

    #[test]
    fn volumes() {
        hold(&[
            ("logvol / --name=a --vgname=b --size=1", "A all"),
            ("logvol / --name=a --vgname=b --size=1 c", "R all"),
            ("logvol / --name=a --vgname=b", "A RHEL6, R RHEL7+ F29+"),
            (
                "logvol / --name=a --vgname=b --size=0",
                "A RHEL6, R RHEL7+ F29+",
            ),
            ("logvol / --name=a --vgname=b --recommended", "A all"),
            ("logvol swap --name=a --vgname=b --hibernation", "A all"),
            ("logvol / --name=a --vgname=b --useexisting", "A all"),
            ("logvol / --name=a --vgname=b --noformat", "A all"),
            ("logvol / --name=a --vgname=b --percent=100", "A all"),
            (
                "logvol / --name=a --vgname=b --percent=101",
                "A RHEL6, R RHEL7+ F29+",
            ),
            (
                "logvol / --name=a --vgname=b --percent=-1",
                "A RHEL6, R RHEL7+ F29+",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --percent=1",
                "A RHEL6, R RHEL7+ F29+",
            ),
            ("logvol / --name=a --vgname=b --size=1 --percent=0", "A all"),
            ("logvol / --name=a --vgname=b --resize --size=1", "R all"),
            (
                "logvol / --name=a --vgname=b --resize --useexisting --size=1",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --resize --noformat --size=1",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --resize --useexisting",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --useexisting --mkfsoptions=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --noformat --mkfsoptions=a",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --fsprofile=a --mkfsoptions=a",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --pbkdf-time=1 --pbkdf-iterations=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --fstype=btrfs",
                "A RHEL6-RHEL7 F29+, R RHEL8+",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --fstype=BTRFS",
                "A all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --bytes-per-inode=1",
                "D RHEL6, R RHEL7+ F29+",
            ),
        ]);
    }

    #[test]
    fn thin_volumes() {
        hold(&[
            (
                "logvol none --name=a --vgname=b --thinpool --size=1",
                "A all",
            ),
            (
                "logvol / --name=a --vgname=b --thin --poolname=c --size=1",
                "A all",
            ),
            ("logvol / --name=a --vgname=b --thin --size=1", "R all"),
            (
                "logvol / --name=a --vgname=b --thin --poolname= --size=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --thin --thinpool --poolname=c --size=1",
                "R all",
            ),
            (
                "logvol none --name=a --vgname=b --thinpool --size=1 --chunksize=1 --metadatasize=1",
                "A all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --chunksize=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --metadatasize=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --metadatasize=0",
                "A all",
            ),
        ]);
    }

    #[test]
    fn caches() {
        hold(&[
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=c",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=c --cachemode=writeback",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=c --cachemode=none",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=1 --cachepvs=,",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachepvs=c",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachemode=writeback",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --cachesize=0 --cachepvs=, --cachemode=",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "logvol / --name=a --vgname=b --useexisting --cachesize=1 --cachepvs=c",
                "R all",
            ),
            (
                "logvol / --name=a --vgname=b --size=1 --thin --poolname=d --cachesize=1 --cachepvs=c",
                "R all",
            ),
        ]);
    }

    #[test]
    fn snapshots() {
        hold(&[
            (
                "snapshot a/b --name=c --when=post-install",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "snapshot a/b --name=c --when=Pre-Install",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "snapshot a/b --name=c --when=now",
                "A RHEL7, R RHEL6 RHEL8+ F29+",
            ),
            ("snapshot a --name=c --when=pre-install", "R all"),
            ("snapshot a/ --name=c --when=pre-install", "R all"),
            ("snapshot /b --name=c --when=pre-install", "R all"),
            ("snapshot a/b/c --name=c --when=pre-install", "R all"),
            (
                "snapshot a/b --name=c --when=pre-install\nsnapshot a/d --name=c --when=pre-install",
                "R all",
            ),
            (
                "snapshot a/b --name=c --when=pre-install\nsnapshot a/b --name=d --when=pre-install",
                "A RHEL7+ F29+, R RHEL6",
            ),
        ]);
    }

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

    #[test]
    fn pools() {
        hold(&[
            ("stratispool a b", "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44"),
            ("stratispool", "R all"),
            ("stratispool a", "R all"),
            (
                "stratispool a --useexisting",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            ("stratispool a b --useexisting", "R all"),
            (
                "stratispool a --encrypted b",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratispool a b --encrypted --passphrase=c",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            ("stratispool a b --passphrase=c", "R all"),
            (
                "stratispool a b --passphrase=",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratispool a b\nstratispool a c",
                "D RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
        ]);
    }

    #[test]
    fn file_systems() {
        hold(&[
            (
                "stratisfs / --poolname=a --name=b",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            ("stratisfs / c --poolname=a --name=b", "R all"),
            ("stratisfs / --poolname=a --name=b --maxsize=1", "R all"),
            (
                "stratisfs / --poolname=a --name=b --maxsize=0",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratisfs / --poolname=a --name=b --maxsize=1 --grow",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratisfs / --poolname=a --name=b\nstratisfs /c --poolname=a --name=b",
                "D RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratisfs / --poolname=a --name=b\nstratisfs /c --poolname=c --name=b",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
        ]);
    }
}
