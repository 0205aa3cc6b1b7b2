//! Disks and partitions: `autopart`, `part`, `mount`, `ignoredisk`, `zfcp`, `nvdimm`, `device`,
//! `multipath`; and what they share with [`super::volumes`].

use super::Call;
use crate::language::Version;
use crate::language::arguments::in_words;
use crate::language::declared::MULTIPATH;
use crate::language::problem::id;

/// Whether the line is about something that exists: `--noformat` implies `--useexisting`.
pub(super) fn exists(call: &Call<'_>) -> bool {
    call.has("--useexisting") || call.has("--noformat")
}

/// Resizing needs the new size. Since RHEL 7.
pub(super) fn resize_to_size(call: &mut Call<'_>) {
    if call.has("--resize") && !call.is_set("--size") {
        let message = format!("`--resize` of `{}` needs the new size", call.name);
        call.incomplete("--resize", message, "add `--size=MIB`");
    }
}

/// Options for making a file system have no use where none is made, nor beside a profile that
/// names them.
pub(super) fn format_options(call: &mut Call<'_>) {
    call.exclusive(&["--noformat", "--mkfsoptions"]);
    call.exclusive(&["--fsprofile", "--mkfsoptions"]);
}

/// The cost of a LUKS key is given as a time or as a count, not both.
pub(super) fn key_cost(call: &mut Call<'_>) {
    call.exclusive(&["--pbkdf-time", "--pbkdf-iterations"]);
}

/// `--fstype=btrfs` of the releases that cannot make it.
pub(super) fn no_btrfs(call: &mut Call<'_>) {
    if call.value("--fstype") == Some("btrfs") {
        let message = format!("{} cannot make btrfs file systems", call.version);
        let help = "write `--fstype=xfs` or another file system";
        call.bad_value("--fstype", message, help);
    }
}

/// A passphrase for the drive's own encryption (OPAL) needs a LUKS 2 version that uses it.
fn drive_passphrase(call: &mut Call<'_>) {
    let luks = call.value("--luks-version").unwrap_or_default();
    let used = call.has("--encrypted") && luks.starts_with("luks2-");
    if call.is_set("--hw-passphrase") && !used {
        let message = format!(
            "`--hw-passphrase` of `{}` is only for encryption by the drive itself",
            call.name
        );
        let help = "add `--encrypted` and `--luks-version=luks2-hw-opal` or `luks2-hw-opal-only`, or remove it";
        call.contradicts("--hw-passphrase", message, help);
    }
}

/// The partitioning types of a version that has `--type`.
fn types(version: Version) -> &'static [&'static str] {
    match version.since(11, 45) {
        true => &["lvm", "btrfs", "plain", "partition", "thinp", "stratis"],
        false => &["lvm", "btrfs", "plain", "partition", "thinp"],
    }
}

/// The type that `autopart` chooses: `--nolvm` stands for `--type=plain`, and the last of both wins.
pub(super) fn chosen_type(call: &Call<'_>) -> Option<&'static str> {
    let known = |value: &str| {
        let value = value.to_lowercase();
        types(call.version)
            .iter()
            .copied()
            .find(|known| *known == value)
    };
    let mut options = call.arguments.options.iter().rev();
    options.find_map(|given| match given.name {
        "--nolvm" => Some("plain"),
        "--type" => known(given.value.as_deref()?),
        _ => None,
    })
}

pub(super) fn autopart(call: &mut Call<'_>) {
    let version = call.version;
    if !version.is_python_2() {
        let stratis = if version.since(11, 45) {
            ", `stratis`"
        } else {
            ""
        };
        let what = format!("partitioning type of {version}");
        let help = format!("write `lvm`, `plain`, `btrfs`{stratis} or `thinp`");
        call.only_values(&["--type"], types(version), &what, &help);
    }
    // Btrfs is a type and no file system of another.
    if call.value("--fstype") == Some("btrfs") {
        let message = "`autopart` does not take `--fstype=btrfs`, which is a type of its own";
        let help =
            "write `--type=btrfs` where the release supports it, or name another file system";
        call.bad_value("--fstype", message, help);
    }
    let kind = chosen_type(call).or_else(|| call.declared.kept("autopart", "--type"));
    let btrfs = kind == Some("btrfs");
    if btrfs && call.keeps("--fstype") {
        call.contradiction("--type=btrfs", "--fstype", "keep one of them");
    }
    key_cost(call);
    // In RHEL 11 pykickstart does not say so.
    if btrfs && matches!(version, Version::Rhel(8..=10)) {
        let message = format!("{version} cannot install on btrfs");
        let help = "write `--type=lvm`, `plain` or `thinp`";
        call.bad_value("--type", message, help);
    }
    // Hibernation needs the swap that `--noswap` leaves out.
    call.exclusive(&["--noswap", "--hibernation"]);
    drive_passphrase(call);
    if kind == Some("stratis") {
        // These are for LUKS or for a file system.
        let texts = ["--luks-version", "--pbkdf", "--hw-passphrase"];
        let kept = ["--escrowcert", "--cipher", "--fstype"];
        let rest = [
            "--pbkdf-memory",
            "--pbkdf-time",
            "--pbkdf-iterations",
            "--backuppassphrase",
        ];
        let wrong = call
            .first_set(&texts)
            .or_else(|| kept.into_iter().find(|name| call.keeps(name)))
            .or_else(|| call.first_set(&rest));
        if let Some(wrong) = wrong {
            let help = format!("remove `{wrong}`, or choose another type");
            call.contradiction("--type=stratis", wrong, help);
        }
    }
}

pub(super) fn part(call: &mut Call<'_>) {
    call.unexpected();
    // Only an existing partition can be resized.
    let existing = call.value("--onpart").unwrap_or_default();
    let existing = existing.strip_prefix("/dev/").unwrap_or(existing);
    if call.has("--resize") && existing.is_empty() {
        let message = "`--resize` of `part` needs the partition that exists";
        let help = "add `--onpart=PARTITION`, or remove it";
        call.incomplete("--resize", message, help);
    }
    resize_to_size(call);
    // What lies in memory does not grow to fill a disk. Since RHEL 7.
    if call.value("--fstype") == Some("tmpfs")
        && call.version.since(7, 0)
        && let Some(option) = call.first_set(&["--grow", "--maxsize"])
    {
        let help = format!("remove `{option}`; `--size` alone says how large it may become");
        call.contradiction("--fstype=tmpfs", option, help);
    }
    format_options(call);
    key_cost(call);
    drive_passphrase(call);
    // RHEL has no btrfs since 8, so its members are none either.
    if matches!(call.version, Version::Rhel(8..)) {
        if let Some(name) = call
            .positional(0)
            .filter(|name| name.text.starts_with("btrfs."))
        {
            let version = call.version;
            let message = format!("`{}` is for btrfs, which {version} cannot make", name.text);
            let help = "use a mount point, `pv.N` or `raid.N`";
            call.error(id::BAD_VALUE, Some(name.span.clone()), message, help);
        }
        no_btrfs(call);
    }
}

pub(super) fn mount(call: &mut Call<'_>) {
    call.unexpected();
    let is_place = |text: &str| text.starts_with('/') || text.to_lowercase() == "none";
    if let Some(place) = call.positional(1).filter(|place| !is_place(&place.text)) {
        let message = format!("`{}` is no mount point", place.text);
        let help = "write the device, then a path from `/` on or `none` (swap has `none`)";
        call.error(id::BAD_VALUE, Some(place.span.clone()), message, help);
    }
    let help = "add `--reformat` (which empties the partition), or remove it";
    call.needs("--mkfsoptions", "--reformat", help);
}

/// Whether `ignoredisk` has the installer ask for the disks: before RHEL 8.
pub(super) fn asks(call: &Call<'_>) -> bool {
    !call.version.since(8, 0) && call.has("--interactive")
}

/// Disks are left out, or are the only ones, or are asked for: one of them. Lists of an earlier
/// line count as long as the line does not change them.
pub(super) fn ignoredisk(call: &mut Call<'_>) {
    let mut given = vec!["--drives", "--only-use"];
    given.retain(|name| call.keeps(name));
    if asks(call) {
        given.push("--interactive");
    }
    match given.as_slice() {
        [_] => {}
        [] => {
            let message = "`ignoredisk` needs `--drives` or `--only-use` with the names of disks";
            let help = "write `ignoredisk --only-use=vda`, for example";
            call.missing(message, help);
        }
        [.., last] => {
            let message = format!("`ignoredisk` takes only one of {}", in_words(&given, "and"));
            call.contradicts(last, message, "keep one of them");
        }
    }
}

/// A LUN is named by all three, or found by the adapter alone. Since RHEL 8 and Fedora 37; before
/// that all three are required.
pub(super) fn zfcp(call: &mut Call<'_>) {
    let [adapter, port, lun] = ["--devnum", "--wwpn", "--fcplun"].map(|name| call.is_set(name));
    if call.version.since(8, 37) && !(adapter && port == lun) {
        let message =
            "`zfcp` needs `--devnum` alone, or together with both `--wwpn` and `--fcplun`";
        call.missing(message, "add what is missing, or remove the other");
    }
}

pub(super) fn nvdimm(call: &mut Call<'_>) {
    call.unexpected();
    call.exclusive(&["--namespace", "--blockdevs"]);
    let action = call.arguments.first().unwrap_or_default();
    let named = call.is_set("--namespace");
    if action == "reconfigure" && !named {
        let message = "`nvdimm reconfigure` needs `--namespace`";
        call.missing(message, "add `--namespace=namespace0.0`, for example");
    }
    // The sector mode is meant if none is named.
    let sectors = call.value("--mode").is_none_or(|mode| mode == "sector");
    if action == "reconfigure" && sectors && !call.is_set("--sectorsize") {
        let message = "`nvdimm reconfigure` needs `--sectorsize` in the mode `sector`";
        let help = "add `--sectorsize=512`, for example";
        call.incomplete("--mode", message, help);
    }
    if action == "use" && !named && !call.is_set("--blockdevs") {
        let message = "`nvdimm use` needs `--namespace` or `--blockdevs`";
        let help = "add `--namespace=namespace0.0` or `--blockdevs=pmem0`, for example";
        call.missing(message, help);
    }
}

/// The only argument is the module. Before RHEL 8, which ignores the command.
pub(super) fn device(call: &mut Call<'_>) {
    let (id, message) = match call.arguments.leftovers.len() {
        0 => (id::MISSING, "`device` needs the name of a kernel module"),
        1 => return,
        _ => (
            id::UNEXPECTED,
            "`device` takes the name of one kernel module",
        ),
    };
    let second = call.arguments.leftovers.get(1);
    let help = "write `device MODULE --opts=\"OPTIONS\"`";
    call.error(id, second.map(|word| word.span.clone()), message, help);
}

/// A path belongs to one device. Before RHEL 8, which ignores the command.
pub(super) fn multipath(call: &mut Call<'_>) {
    let path = call.value("--device").unwrap_or_default();
    if call.declared.has(MULTIPATH, path) {
        let message = format!("`{path}` is a path of a multipath device already");
        let help = "remove one of the lines";
        call.error(id::DUPLICATE, call.span("--device"), message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hold;

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

    #[test]
    fn mounts() {
        hold(&[
            ("mount /dev/vda1 /", "A RHEL7+ F29+, R RHEL6"),
            ("mount /dev/vda1 none", "A RHEL7+ F29+, R RHEL6"),
            ("mount /dev/vda1 NONE", "A RHEL7+ F29+, R RHEL6"),
            ("mount /dev/vda1 swap", "R all"),
            ("mount /dev/vda1", "R all"),
            ("mount /dev/vda1 / now", "R all"),
            (
                "mount /dev/vda1 / --reformat",
                "A RHEL8+ F29+, R RHEL6-RHEL7",
            ),
            (
                "mount /dev/vda1 / --reformat=xfs --mkfsoptions=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "mount --reformat= /dev/vda1 / --mkfsoptions=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            ("mount /dev/vda1 / --mkfsoptions=a", "R all"),
            ("mount /dev/vda1 / --mkfsoptions=", "A RHEL7+ F29+, R RHEL6"),
            (
                "mount /dev/vda1 /\nmount /dev/vda2 /",
                "A RHEL7+ F29+, R RHEL6",
            ),
        ]);
    }

    #[test]
    fn disks() {
        hold(&[
            ("ignoredisk --drives=sda", "A all"),
            ("ignoredisk --only-use=sda", "A all"),
            ("ignoredisk", "R all"),
            ("ignoredisk --drives=", "R all"),
            ("ignoredisk --drives=,", "R all"),
            ("ignoredisk --drives=sda --only-use=sdb", "R all"),
            ("ignoredisk --drives=sda --only-use=,", "A all"),
            ("ignoredisk sda", "R all"),
            (
                "ignoredisk --interactive",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "ignoredisk --interactive --drives=sda",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            (
                "ignoredisk --drives=sda\nignoredisk --only-use=sdb",
                "R all",
            ),
            (
                "ignoredisk --drives=sda\nignoredisk --drives= --only-use=sdb",
                "A all",
            ),
            (
                "ignoredisk --interactive\nignoredisk --drives=sda",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "ignoredisk --drives=sda\nignoredisk --interactive",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            ("clearpart --all --drives=sda", "A all"),
            ("clearpart sda", "D RHEL6-RHEL7, R RHEL8+ F29+"),
            ("zerombr", "A all"),
            ("zerombr yes", "R all"),
        ]);
    }

    #[test]
    fn networks() {
        hold(&[
            ("iscsiname iqn.2000-01.a:b", "A all"),
            ("iscsiname a b", "R all"),
            ("iscsi --ipaddr=1\niscsi --ipaddr=1", "A all"),
            ("fcoe --nic=a\nfcoe --nic=a", "D all"),
            ("fcoe --nic=a\nfcoe --nic=b", "A all"),
            ("zfcp --devnum=a", "A RHEL8+ F37+, R RHEL6-RHEL7 F29-F36"),
            ("zfcp --devnum=a --wwpn=b --fcplun=c", "A all"),
            ("zfcp --devnum=a --wwpn=b", "R all"),
            ("zfcp --devnum=a --fcplun=c", "R all"),
            ("zfcp --devnum=", "R all"),
            ("zfcp --devnum=a --wwpn= --fcplun=", "A all"),
            (
                "zfcp --devnum=a --wwpn=b --fcplun=c\nzfcp --devnum=a --wwpn=b --fcplun=c",
                "D all",
            ),
            (
                "zfcp --devnum=a --wwpn=b --fcplun=c\nzfcp --devnum=a --wwpn=b --fcplun=d",
                "A all",
            ),
        ]);
    }

    #[test]
    fn nvdimm() {
        hold(&[
            (
                "nvdimm use --namespace=a",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --blockdevs=a",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --blockdevs=,",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            ("nvdimm use", "D F40-F44, R RHEL6+ F29-F39 F45+"),
            (
                "nvdimm use --namespace=a --blockdevs=b",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm use --namespace=a b",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --sectorsize=512",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --sectorsize=0",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --mode=memory",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --namespace=a --mode=sector",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm reconfigure --blockdevs=a --sectorsize=512",
                "D F40-F44, R RHEL6+ F29-F39 F45+",
            ),
            (
                "nvdimm use --namespace=a\nnvdimm use --namespace=a",
                "D RHEL7-RHEL9 F29-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --blockdevs=a,b\nnvdimm use --blockdevs=b",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
            (
                "nvdimm use --namespace=a\nnvdimm reconfigure --namespace=a --sectorsize=512",
                "A RHEL7-RHEL9 F29-F39, D F40-F44, R RHEL6 RHEL10+ F45+",
            ),
        ]);
    }

    #[test]
    fn modules_and_paths() {
        hold(&[
            (
                "device e1000",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "device e1000 --opts=a",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            ("device", "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+"),
            (
                "device scsi e1000",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            (
                "device e1000\ndevice e1000",
                "D RHEL6-RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "dmraid --name=a --dev=b",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "dmraid --name=/x/a --dev=b\ndmraid --name=a --dev=b",
                "D RHEL6-RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "dmraid --name=a --dev=b --dev=c\ndmraid --name=a --dev=b",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "multipath --name=a --device=b --rule=c",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "multipath --name=a --device=b --rule=c\nmultipath --name=d --device=b --rule=c",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            (
                "multipath --name=a --device=b --rule=c\nmultipath --name=d --device=e --rule=c",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
        ]);
    }
}
