//! Where the system comes from.

use super::{IMAGE_SOURCES, Lint, Linter};
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::language::Version;
use crate::language::reading::Entry;

/// KS150 to KS154.
pub const LINTS: &[Lint] = &[no_source, not_in_the_guest, addresses];

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

fn no_source(linter: &mut Linter<'_>) {
    if linter.setting.adds_source
        || !linter.reading.complete
        || linter.has_any(&SOURCES)
        || linter.has_any(&IMAGE_SOURCES)
    {
        return;
    }
    let message =
        "the kickstart names no installation source, so the boot medium or `inst.repo=` must";
    let help = "add `url --url=TREE`, or give the installer a source when it is started";
    linter.missing(Warning, "KS150", message, help);
}

fn not_in_the_guest(linter: &mut Linter<'_>) {
    if !linter.setting.new_guest {
        return;
    }
    let severity = match linter.reading.complete && !linter.has_pre() {
        true => Error,
        false => Warning,
    };
    let help = "delete the line, or name an address on the network";
    // The last one counts.
    let mut commands = linter.reading.commands.iter().rev();
    let is_source = |name| SOURCES.contains(name) || IMAGE_SOURCES.contains(name);
    let source = commands.find(|entry| is_source(&entry.name));
    if let Some(entry) = source.filter(|entry| ["cdrom", "harddrive", "hmc"].contains(&entry.name))
    {
        let message = format!("`{}` names a medium, and the guest has none", entry.name);
        linter.at(entry, severity, "KS154", message, help);
    }
    for (entry, option, url) in urls(linter) {
        if option != "--proxy" && url.starts_with("file:") {
            let message = "this is a file of the installer's, and the guest has no medium with it";
            linter.at((entry, option), severity, "KS154", message, help);
        }
    }
}

/// Every URL of the sources, with the line and option that has it.
pub(super) fn urls<'a>(linter: &Linter<'a>) -> Vec<(&'a Entry, &'static str, &'a str)> {
    let lines = ["url", "repo", "liveimg"].map(|name| linter.running(name));
    let urls = lines.into_iter().flatten().flat_map(|entry| {
        let url = move |option| Some((entry, option, entry.arguments().filled(option)?));
        URL_OPTIONS.into_iter().filter_map(url)
    });
    urls.collect()
}

/// Looks at each URL.
fn addresses(linter: &mut Linter<'_>) {
    let (own, fedora) = match linter.setting.version {
        Version::Rhel(number) => (number, false),
        Version::Fedora(number) => (number, true),
    };
    for (entry, option, url) in urls(linter) {
        if SWITCHED_OFF.iter().any(|host| url.contains(host)) {
            let message = "this mirror was switched off when CentOS 7 ended";
            let help = "use https://vault.centos.org/ for CentOS 6 to 8";
            linter.at((entry, option), Warning, "KS151", message, help);
        }
        let named = releases(url, fedora);
        if let Some(first) = named.first()
            && option != "--proxy"
            && !named.contains(&own)
        {
            let version = linter.setting.version;
            let message = format!("the URL names release {first}, and {version} is installed");
            let help = "correct the URL, or check the kickstart for the release that it is for";
            linter.at((entry, option), Warning, "KS152", message, help);
        }
        let authority = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if user.contains(':') {
            let message = "the URL holds a password";
            let help = "use a mirror without a password, or client certificates";
            linter.at((entry, option), Note, "KS153", message, help);
        }
    }
}

/// The releases that the path of a URL names.
fn releases(url: &str, fedora: bool) -> Vec<u8> {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut before = "";
    let mut found = Vec::new();
    for segment in path.split('/').skip(1) {
        let behind = std::mem::replace(&mut before, segment);
        let segment = segment.strip_suffix("-stream").unwrap_or(segment);
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let first = segment.split('.').next().unwrap_or_default();
        let Ok(number) = first.parse::<u8>() else {
            continue;
        };
        let plausible = match fedora {
            // A lone number may be anything but stands for the release behind these.
            true => {
                ["releases", "updates", "development", "linux", "fedora"].contains(&behind)
                    && (20..100).contains(&number)
            }
            false => (5..=12).contains(&number),
        };
        if plausible && !first.starts_with('0') && segment.split('.').all(is_number) {
            found.push(number);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use crate::check::setting::Setting;
    use crate::diagnostic::Severity;
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
