//! Where packages and images come from: `url`, `repo`, `nfs`, `harddrive`, `cdrom`, `hmc`,
//! `method`, `liveimg`, `ostreesetup`, `ostreecontainer`, `bootc`, `driverdisk`, `updates`,
//! `module`.

use super::super::Version;
use super::super::problem::{Problem, id};
use super::{Call, Rule, one_is_needed, only_one, unexpected};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "url" => Some(&[url_needed, one_url]),
        "repo" => Some(&[repo_url_needed, one_repo_url]),
        "harddrive" => Some(&[partition]),
        "cdrom" | "hmc" => Some(&[no_words]),
        "method" => Some(&[no_method]),
        "ostreesetup" => Some(&[ostree_protocol]),
        "driverdisk" => Some(&[
            one_driver_disk,
            unexpected,
            driver_disk_needed,
            only_one_driver_disk,
        ]),
        "updates" => Some(&[one_updates_image, unexpected]),
        "module" => Some(&[unexpected]),
        _ => None,
    }
}

/// Where a tree may be named; `--metalink` came with RHEL 8.
const URLS: [&str; 3] = ["--url", "--mirrorlist", "--metalink"];

/// Where a repository may be named; `--metalink` came with RHEL 8.
const REPO_URLS: [&str; 3] = ["--baseurl", "--mirrorlist", "--metalink"];

/// Where a driver disk may be.
const DRIVER_DISKS: [&str; 2] = ["--source", "--biospart"];

/// `url` needs a place since RHEL 7; RHEL 6 needs `--url`, and takes it empty.
fn url_needed(call: &Call<'_>) -> Option<Problem> {
    if call.version == Version::Rhel(6) {
        return None;
    }
    one_is_needed(call, &URLS)
}

/// `url` takes only one place.
fn one_url(call: &Call<'_>) -> Option<Problem> {
    only_one(call, &URLS)
}

/// `repo` needs a place in RHEL 6; later installers know some repositories by name.
fn repo_url_needed(call: &Call<'_>) -> Option<Problem> {
    if call.version != Version::Rhel(6) {
        return None;
    }
    one_is_needed(call, &REPO_URLS)
}

/// `repo` takes only one place.
fn one_repo_url(call: &Call<'_>) -> Option<Problem> {
    only_one(call, &REPO_URLS)
}

/// `harddrive` needs one of `--partition` and `--biospart`, until RHEL 8 and Fedora 32; what an
/// earlier line set counts as well.
fn partition(call: &Call<'_>) -> Option<Problem> {
    if call.version.since(9, 33) {
        return None;
    }
    let [biospart, partition] = ["--biospart", "--partition"]
        .map(|name| call.arguments.has(name) || call.declared.kept("harddrive", name).is_some());
    match (biospart, partition) {
        (false, false) => Some(
            Problem::error(
                id::MISSING,
                "`harddrive` needs `--partition` or `--biospart`",
            )
            .help("name the partition that has the install tree with `--partition`"),
        ),
        (true, true) => Some(
            Problem::error(
                id::CONTRADICTION,
                "`--partition` and `--biospart` cannot be used together",
            )
            .at(call.arguments.span("--biospart"))
            .help("keep `--partition`"),
        ),
        _ => None,
    }
}

/// `cdrom` and `hmc` take nothing.
fn no_words(call: &Call<'_>) -> Option<Problem> {
    let word = call.words.get(1)?;
    Some(
        Problem::error(
            id::UNEXPECTED,
            format!("`{}` takes no options or arguments", call.name),
        )
        .at(Some(word.span.clone()))
        .help("remove everything behind the command"),
    )
}

/// `method` is the name under which the installer's own code sees the source; as a line it makes
/// every installer that has it stop.
fn no_method(call: &Call<'_>) -> Option<Problem> {
    let problem = Problem::error(
        id::REMOVED_COMMAND,
        format!(
            "`method` is no command for a kickstart: the installer of {} stops at it",
            call.version
        ),
    );
    Some(problem.help("write the source itself: `url`, `nfs`, `cdrom` or `harddrive`"))
}

/// `ostreesetup --url` is of a file, or of HTTP.
fn ostree_protocol(call: &Call<'_>) -> Option<Problem> {
    let url = call.arguments.value("--url")?;
    if ["file:", "http:", "https:"]
        .iter()
        .any(|start| url.starts_with(start))
    {
        return None;
    }
    Some(
        Problem::error(
            id::BAD_VALUE,
            "an ostree repository is reached by `file:`, `http:` or `https:` only",
        )
        .at(call.arguments.span("--url"))
        .help("begin the URL with one of them"),
    )
}

fn partitions<'a>(call: &'a Call<'_>) -> Vec<&'a str> {
    call.arguments
        .positionals()
        .map(|word| word.text.as_str())
        .collect()
}

/// `driverdisk` takes one partition at most.
fn one_driver_disk(call: &Call<'_>) -> Option<Problem> {
    let second = call.arguments.positionals().nth(1)?;
    Some(
        Problem::error(id::UNEXPECTED, "`driverdisk` takes one partition only")
            .at(Some(second.span.clone()))
            .help("write one line for each driver disk"),
    )
}

/// `driverdisk` needs a place.
fn driver_disk_needed(call: &Call<'_>) -> Option<Problem> {
    if !partitions(call).is_empty() {
        return None;
    }
    let problem = one_is_needed(call, &DRIVER_DISKS)?;
    Some(problem.help("name a partition, or a URL with `--source`"))
}

/// `driverdisk` takes only one place.
fn only_one_driver_disk(call: &Call<'_>) -> Option<Problem> {
    if partitions(call).is_empty() {
        return only_one(call, &DRIVER_DISKS);
    }
    let option = super::used(call, &DRIVER_DISKS).into_iter().next()?;
    Some(
        Problem::error(
            id::CONTRADICTION,
            format!("`driverdisk` takes either a partition or `{option}`"),
        )
        .at(call.arguments.span(option))
        .help("keep one of them"),
    )
}

/// `updates` takes one image at most, until RHEL 8 and Fedora 33; later it needs one.
fn one_updates_image(call: &Call<'_>) -> Option<Problem> {
    let second = call.arguments.positionals().nth(1)?;
    Some(
        Problem::error(id::UNEXPECTED, "`updates` takes one image only")
            .at(Some(second.span.clone()))
            .help("keep one URL"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

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
