//! Where packages and images come from: `url`, `repo`, `harddrive`, `cdrom`, `hmc`, `method`,
//! `ostreesetup`, `driverdisk`, `updates`; and the header of `%packages`.

use super::Call;
use crate::language::Version;
use crate::language::problem::id;

/// RHEL 6 needs `--url`, and takes it empty.
pub(super) fn url(call: &mut Call<'_>) {
    let places = ["--url", "--mirrorlist", "--metalink"];
    if call.version != Version::Rhel(6) {
        call.needs_one(&places, None);
    }
    call.exclusive(&places);
}

/// RHEL 6 needs a place; later installers know some repositories by name.
pub(super) fn repo(call: &mut Call<'_>) {
    let places = ["--baseurl", "--mirrorlist", "--metalink"];
    if call.version == Version::Rhel(6) {
        call.needs_one(&places, None);
    }
    call.exclusive(&places);
}

/// One of `--partition` and `--biospart`, until RHEL 8 and Fedora 32; what an earlier line set
/// counts as well.
pub(super) fn harddrive(call: &mut Call<'_>) {
    if call.version.since(9, 33) {
        return;
    }
    let [biospart, partition] = ["--biospart", "--partition"]
        .map(|name| call.has(name) || call.declared.kept("harddrive", name).is_some());
    if biospart && partition {
        call.contradiction("--partition", "--biospart", "keep `--partition`");
    } else if !biospart && !partition {
        let message = "`harddrive` needs `--partition` or `--biospart`";
        let help = "name the partition that has the install tree with `--partition`";
        call.missing(message, help);
    }
}

/// `cdrom` and `hmc` take nothing.
pub(super) fn no_words(call: &mut Call<'_>) {
    if let Some(word) = call.words.get(1) {
        let message = format!("`{}` takes no options or arguments", call.name);
        let help = "remove everything behind the command";
        call.error(id::UNEXPECTED, Some(word.span.clone()), message, help);
    }
}

/// `method` is the name under which the installer's own code sees the source; as a line it makes
/// every installer that has it stop.
pub(super) fn method(call: &mut Call<'_>) {
    let version = call.version;
    let message =
        format!("`method` is no command for a kickstart: the installer of {version} stops at it");
    let help = "write the source itself: `url`, `nfs`, `cdrom` or `harddrive`";
    call.error(id::REMOVED_COMMAND, None, message, help);
}

pub(super) fn ostreesetup(call: &mut Call<'_>) {
    let known = |url: &str| {
        ["file:", "http:", "https:"]
            .iter()
            .any(|start| url.starts_with(start))
    };
    if call.value("--url").is_some_and(|url| !known(url)) {
        let message = "an ostree repository is reached by `file:`, `http:` or `https:` only";
        let help = "begin the URL with one of them";
        call.bad_value("--url", message, help);
    }
}

/// One place: a partition, a URL, or a disk that the BIOS names.
pub(super) fn driverdisk(call: &mut Call<'_>) {
    let help = "write one line for each driver disk";
    call.only_one_argument("`driverdisk` takes one partition only", help);
    call.unexpected();
    let places = ["--source", "--biospart"];
    if call.positional(0).is_none() {
        call.needs_one(&places, Some("name a partition, or a URL with `--source`"));
        call.exclusive(&places);
    } else if let Some(option) = call.first_set(&places) {
        let message = format!("`driverdisk` takes either a partition or `{option}`");
        call.contradicts(option, message, "keep one of them");
    }
}

/// One image at most, until RHEL 8 and Fedora 33; later it needs one.
pub(super) fn updates(call: &mut Call<'_>) {
    call.only_one_argument("`updates` takes one image only", "keep one URL");
    call.unexpected();
}

pub(super) fn packages(call: &mut Call<'_>) {
    call.exclusive(&["--default", "--nobase"]);
    // Since RHEL 7.
    call.exclusive(&["--default", "--nocore"]);
    call.old_name("--instLangs", "--inst-langs");
    call.old_name("--excludeWeakdeps", "--exclude-weakdeps");
}

#[cfg(test)]
mod tests {
    use super::super::tests::hold;

    #[test]
    fn trees_and_repositories() {
        hold(&[
            ("url --url=http://m/", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("url --url=", "A RHEL6, R RHEL7 RHEL10 F29 F46"),
            ("url", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("url --mirrorlist=http://m/", "R RHEL6, A RHEL7 RHEL10 F29"),
            ("url --metalink=http://m/", "R RHEL6 RHEL7, A RHEL8 F29"),
            (
                "url --url=http://m/ --mirrorlist=http://m/",
                "R RHEL6 RHEL7 RHEL10 F29",
            ),
            (
                "url --url=http://m/ --mirrorlist=",
                "R RHEL6, A RHEL7 RHEL10 F29",
            ),
            (
                "url --metalink=a --mirrorlist=b",
                "R RHEL6 RHEL7 RHEL10 F29",
            ),
            ("repo --name=a", "R RHEL6, A RHEL7 RHEL10 F29 F46"),
            ("repo --name=a --baseurl=b", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            (
                "repo --name=a --baseurl=b --mirrorlist=c",
                "R RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            (
                "repo --name=a --metalink=b --mirrorlist=c",
                "R RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            ("repo --name=a --metalink=b", "R RHEL6 RHEL7, A RHEL8 F29"),
            ("cdrom", "A RHEL6 F46"),
            ("cdrom --x", "R RHEL6 F46"),
            ("hmc", "R RHEL6, A RHEL7 F46"),
            ("hmc x", "R RHEL6 RHEL7 F46"),
            (
                "method",
                "R RHEL6 RHEL7 RHEL8 RHEL10 F29 F33 F40, D RHEL9 F34 F39",
            ),
            ("method --url=http://m/", "R RHEL6 RHEL7 RHEL8 F29"),
        ]);
    }

    #[test]
    fn disks_and_images() {
        hold(&[
            ("harddrive --dir=/", "R RHEL6 RHEL8 RHEL9 F32 F33"),
            (
                "harddrive --dir=/ --partition=sda1",
                "A RHEL6 RHEL8 RHEL9 F32 F33",
            ),
            (
                "harddrive --dir=/ --biospart=80p1",
                "A RHEL6 RHEL8 F32, R RHEL9 F33",
            ),
            (
                "harddrive --dir=/ --biospart=80p1 --partition=a",
                "R RHEL6 RHEL8 F32 RHEL9 F33",
            ),
            (
                "harddrive --dir=/ --biospart=a\nharddrive --dir=/ --partition=a",
                "R RHEL6 RHEL8 F32",
            ),
            (
                "harddrive --dir=/ --partition=a\nharddrive --dir=/",
                "A RHEL6 RHEL8 F32, R RHEL9 F33",
            ),
            (
                "ostreesetup --osname=a --url=http://m/ --ref=b",
                "R RHEL6, A RHEL7 F29 F46",
            ),
            (
                "ostreesetup --osname=a --url=ftp://m/ --ref=b",
                "R RHEL7 F29 F46",
            ),
            (
                "ostreesetup --osname=a --url=file:///m --ref=b",
                "A RHEL7 F29 F46",
            ),
            ("driverdisk sda1", "A RHEL6 RHEL10 F46"),
            ("driverdisk", "R RHEL6 RHEL10 F46"),
            ("driverdisk a b", "R RHEL6 RHEL10 F46"),
            ("driverdisk --source=a", "A RHEL6 RHEL10 F46"),
            ("driverdisk --source=", "R RHEL6 RHEL10 F46"),
            ("driverdisk --source=a b", "R RHEL6 RHEL10 F46"),
            ("driverdisk --biospart=a b", "R RHEL6 RHEL10 F46"),
            ("driverdisk --biospart=a --source=b", "R RHEL6 RHEL10 F46"),
            ("driverdisk --biospart=a", "A RHEL6 RHEL10 F46"),
            ("driverdisk a --bogus", "R RHEL6 RHEL10 F46"),
            ("driverdisk --type=ext4 a", "D RHEL6, R RHEL7 F46"),
            ("updates", "A RHEL6 RHEL8 F33, R RHEL9 F34"),
            ("updates http://m/u.img", "A RHEL6 RHEL8 RHEL9 F33 F34"),
            ("updates a b", "R RHEL6 RHEL8 RHEL9 F33 F34"),
            (
                "module --name=a",
                "R RHEL6 RHEL7 RHEL11 F45, A RHEL8 RHEL9 F29 F40, D RHEL10 F41 F44",
            ),
            ("module --name=a b", "R RHEL8 RHEL9 F29 F40, D RHEL10 F41"),
            ("module --name=a --bogus", "R RHEL8 RHEL9 F29 F40"),
        ]);
    }
}
