//! Where the system comes from.

use super::{Check, IMAGE_SOURCES, at_command, at_option, has_any, has_pre, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::reading::Entry;
use crate::language::{Reading, Version};

/// KS150 to KS154.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS150",
        title: "no installation source",
        explanation: "\
            No `url`, `nfs`, `cdrom`, `harddrive`, `hmc` or ready image says where the system \
            comes from. The installer then takes what it was started with: `inst.repo=` (RHEL 6: \
            `method=`), or the medium it booted from; a repository named by `repo` adds to that \
            and does not replace it. With neither, its source screen is not complete (anaconda, \
            pyanaconda/ui/tui/spokes/installation_source.py) and it waits or gives up.\n\n\
            Add `url --url=TREE`, unless a DVD or `inst.repo=` gives the source. `ozr install` \
            gives the template's tree, so nothing is said there.",
    },
    Rule {
        id: "KS151",
        title: "a mirror that was switched off",
        explanation: "\
            mirror.centos.org and mirrorlist.centos.org were switched off when CentOS 7 ended, on \
            2024-06-30. CentOS 6, 7 and 8 are kept at vault.centos.org; CentOS Stream 9 and 10 \
            live at mirror.stream.centos.org. The installer cannot read its source and waits or \
            gives up.\n\n\
            Use `https://vault.centos.org/7.9.2009/os/x86_64/` and the like, or move to a release \
            that is maintained.",
    },
    Rule {
        id: "KS152",
        title: "the source is of another release",
        explanation: "\
            The path of the URL names another release than the one that is installed. A tree of \
            another release fails in many ways: the installer refuses it, or mixes packages of \
            both and ends in dependency errors.\n\n\
            Correct the URL, or check the kickstart for the release that it is for. Only what the \
            path shows is judged; `ozr check --online` reads the tree itself.",
    },
    Rule {
        id: "KS153",
        title: "a password in a URL",
        explanation: "\
            A URL of the form `https://user:password@host/` puts the password into version \
            control, into the logs of the web server and the installer, and (with `repo \
            --install`) into the image.\n\n\
            Use a mirror that needs no password inside the build network, or client certificates \
            (`url --sslclientcert`, RHEL 8 and later).",
    },
    Rule {
        id: "KS154",
        title: "a source that the guest does not have",
        explanation: "\
            A guest of `ozr install` has no CD drive, no second disk and nothing in \
            /run/install/repo: it starts from a kernel and initrd that are handed to it. `cdrom`, \
            `harddrive` and `hmc` name such a medium, and so does a `file:` URL; the kickstart's \
            source goes before that of the command line (anaconda, rhel-9 payload/dnf/payload.py), \
            so the installer finds none and gives up. Where a `%pre` may bring the files it is a \
            warning.\n\n\
            Delete the line (`ozr install` names the template's tree then), or write `url \
            --url=TREE` and `repo --baseurl=…` with addresses on the network.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[
    no_source,
    not_in_the_guest,
    switched_off,
    other_release,
    credentials,
];

/// Commands that say where packages come from.
const SOURCES: [&str; 6] = ["url", "nfs", "cdrom", "harddrive", "hmc", "method"];

/// Hosts that no longer answer.
const SWITCHED_OFF: [&str; 2] = ["://mirror.centos.org/", "://mirrorlist.centos.org"];

/// Options of `url`, `repo` and `liveimg` that hold URLs.
const URL_OPTIONS: [&str; 5] = [
    "--url",
    "--baseurl",
    "--mirrorlist",
    "--metalink",
    "--proxy",
];

fn no_source(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if setting.adds_source
        || !reading.complete
        || has_any(reading, &SOURCES)
        || has_any(reading, &IMAGE_SOURCES)
    {
        return;
    }
    let message =
        "the kickstart names no installation source, so the boot medium or `inst.repo=` must";
    findings.push(
        missing(reading, Severity::Warning, message)
            .id("KS150")
            .help("add `url --url=TREE`, or give the installer a source when it is started"),
    );
}

fn not_in_the_guest(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if !setting.new_guest {
        return;
    }
    let severity = match reading.complete && !has_pre(reading) {
        true => Severity::Error,
        false => Severity::Warning,
    };
    let mut missing = |finding: Diagnostic| {
        let help = "delete the line, or name an address on the network";
        findings.push(finding.id("KS154").help(help));
    };
    // The last one counts.
    let source = reading
        .commands
        .iter()
        .rev()
        .find(|entry| SOURCES.contains(&entry.name) || IMAGE_SOURCES.contains(&entry.name));
    if let Some(entry) = source.filter(|entry| ["cdrom", "harddrive", "hmc"].contains(&entry.name))
    {
        let message = format!("`{}` names a medium, and the guest has none", entry.name);
        missing(at_command(reading, severity, entry, message));
    }
    for (entry, option, url) in urls(reading) {
        if option != "--proxy" && url.starts_with("file:") {
            let message = "this is a file of the installer's, and the guest has no medium with it";
            missing(at_option(reading, severity, entry, option, message));
        }
    }
}

/// Every URL of the sources, with the line and option that has it.
pub(super) fn urls(reading: &Reading) -> impl Iterator<Item = (&Entry, &'static str, &str)> {
    ["url", "repo", "liveimg"]
        .into_iter()
        .flat_map(|name| running(reading, name))
        .flat_map(|entry| {
            URL_OPTIONS
                .into_iter()
                .filter_map(move |option| Some((entry, option, entry.arguments().filled(option)?)))
        })
}

fn switched_off(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for (entry, option, url) in urls(reading) {
        if !SWITCHED_OFF.iter().any(|host| url.contains(host)) {
            continue;
        }
        let message = "this mirror was switched off when CentOS 7 ended";
        findings.push(
            at_option(reading, Severity::Warning, entry, option, message)
                .id("KS151")
                .help("use https://vault.centos.org/ for CentOS 6 to 8"),
        );
    }
}

/// The releases that the path of a URL names.
fn releases(url: &str, fedora: bool) -> Vec<u8> {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut found = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let segment = segment.strip_suffix("-stream").unwrap_or(segment);
        let mut parts = segment.split('.');
        let first = parts.next().unwrap_or_default();
        let numbers =
            parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        let Ok(number) = first.parse::<u8>() else {
            continue;
        };
        if !numbers || first.starts_with('0') {
            continue;
        }
        let before = index.checked_sub(1).map_or("", |index| segments[index]);
        let plausible = if fedora {
            // A lone number may be anything but stands for the release behind these.
            ["releases", "updates", "development", "linux", "fedora"].contains(&before)
                && (20..100).contains(&number)
        } else {
            (5..=12).contains(&number)
        };
        if plausible {
            found.push(number);
        }
    }
    found
}

fn other_release(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let (own, fedora) = match setting.version {
        Version::Rhel(number) => (number, false),
        Version::Fedora(number) => (number, true),
    };
    for (entry, option, url) in urls(reading) {
        if option == "--proxy" {
            continue;
        }
        let named = releases(url, fedora);
        let Some(first) = named.first().filter(|_| !named.contains(&own)) else {
            continue;
        };
        let message = format!(
            "the URL names release {first}, and {} is installed",
            setting.version
        );
        findings.push(
            at_option(reading, Severity::Warning, entry, option, message)
                .id("KS152")
                .help("correct the URL, or check the kickstart for the release that it is for"),
        );
    }
}

fn credentials(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for (entry, option, url) in urls(reading) {
        let authority = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let password = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if !password.contains(':') {
            continue;
        }
        let message = "the URL holds a password";
        findings.push(
            at_option(reading, Severity::Note, entry, option, message)
                .id("KS153")
                .help("use a mirror without a password, or client certificates"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn a_source_must_come_from_somewhere() {
        assert_eq!(alone("text\n", Rhel(9), "KS150"), Some(Severity::Warning));
        let given = Setting {
            adds_source: true,
            ..Setting::alone(Rhel(9))
        };
        assert_eq!(severity("text\n", &given, "KS150"), None);
        for text in [
            "url --url=http://m/\n",
            "cdrom\n",
            "liveimg --url=http://m/\n",
            "%include /tmp/x\n",
        ] {
            assert_eq!(alone(text, Rhel(9), "KS150"), None, "{text}");
        }
        let text = "repo --name=a --baseurl=http://m/\n";
        assert_eq!(alone(text, Rhel(9), "KS150"), Some(Severity::Warning));
    }

    #[test]
    fn a_guest_has_no_medium() {
        let guest = Setting {
            new_guest: true,
            ..Setting::alone(Rhel(9))
        };
        for (text, expected) in [
            ("cdrom\n", Some(Severity::Error)),
            (
                "harddrive --partition=vdb1 --dir=/\n",
                Some(Severity::Error),
            ),
            (
                "repo --name=a --baseurl=file:///run/install/repo/x\n",
                Some(Severity::Error),
            ),
            (
                "url --url=file:///mnt/os\n%pre\nmount /dev/vdb /mnt/os\n%end\n",
                Some(Severity::Warning),
            ),
            ("liveimg --url=file:///x.img\n", Some(Severity::Error)),
            ("cdrom\nurl --url=http://m/\n", None),
            (
                "url --url=http://m/\nrepo --name=a --baseurl=http://m/x\n",
                None,
            ),
        ] {
            assert_eq!(severity(text, &guest, "KS154"), expected, "{text}");
            assert_eq!(alone(text, Rhel(9), "KS154"), None, "{text}");
        }
    }

    #[test]
    fn mirrors_that_are_gone() {
        let setting = Setting::alone(Rhel(7));
        let text = "url --url=http://mirror.centos.org/centos/7/os/x86_64/\n";
        let pointed = "--url=http://mirror.centos.org/centos/7/os/x86_64/".to_string();
        assert_eq!(
            found(text, &setting, "KS151"),
            [(Severity::Warning, pointed)]
        );
        let text = "repo --name=a --mirrorlist=http://mirrorlist.centos.org/?release=7\n";
        assert_eq!(severity(text, &setting, "KS151"), Some(Severity::Warning));
        for text in [
            "url --url=https://vault.centos.org/7.9.2009/os/x86_64/\n",
            "url --url=https://mirror.stream.centos.org/9-stream/BaseOS/x86_64/os/\n",
        ] {
            assert_eq!(found(text, &setting, "KS151"), [], "{text}");
        }
    }

    #[test]
    fn the_path_tells_the_release() {
        let url = |path: &str| format!("url --url=https://m/{path}\n");
        for (path, version, wrong) in [
            ("pub/rocky/8/BaseOS/x86_64/os/", Rhel(9), true),
            ("pub/rocky/9.4/BaseOS/x86_64/os/", Rhel(9), false),
            ("9-stream/BaseOS/x86_64/os/", Rhel(10), true),
            ("pub/epel/8/Everything/", Rhel(8), false),
            ("centos/7/os/x86_64/", Rhel(7), false),
            ("tree-20240601/8x/", Rhel(9), false),
            ("pub/fedora/linux/releases/38/Everything/", Fedora(40), true),
            (
                "pub/fedora/linux/releases/40/Everything/",
                Fedora(40),
                false,
            ),
            ("v8/fedora/", Fedora(40), false),
            ("rocky/$releasever/os", Rhel(9), false),
        ] {
            let found = alone(&url(path), version, "KS152").is_some();
            assert_eq!(found, wrong, "{path} {version}");
        }
    }

    #[test]
    fn passwords_in_urls_are_noted_and_hidden() {
        let setting = Setting::alone(Rhel(9));
        let text = "url --url=https://u:hunter2@m/os\n";
        let expected = [(Severity::Note, "--url=https://*********@m/os".to_string())];
        assert_eq!(found(text, &setting, "KS153"), expected);
        assert_eq!(alone("url --url=https://m/a@b:c\n", Rhel(9), "KS153"), None);
    }
}
