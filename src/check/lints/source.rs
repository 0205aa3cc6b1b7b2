//! Where the system comes from, and the network that the installer needs for it.

use std::net::{IpAddr, Ipv4Addr};

use url::Url;

use super::{IMAGE_SOURCES, Lint, Linter, has_option};
use crate::check::Disc;
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::language::Version;
use crate::language::reading::Entry;
use crate::options::Deliver;

/// KS150 to KS157.
pub const LINTS: &[Lint] = &[
    no_source,
    not_in_the_guest,
    addresses,
    no_network,
    asks,
    no_address,
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

/// Commands of ready images whose address may be a folder, and its option.
const IMAGE_ADDRESSES: [(&str, &str); 3] = [
    ("ostreesetup", "--url"),
    ("ostreecontainer", "--url"),
    ("bootc", "--source-imgref"),
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
    let disc = linter.setting.disc == Disc::Some;
    // What a disc has is not known, nor what a `%pre` brings.
    let severity = match linter.reading.complete && !linter.has_pre() && !disc {
        true => Error,
        false => Warning,
    };
    let help = "delete the line, or name an address on the network";
    // The last one counts.
    let mut commands = linter.reading.commands.iter().rev();
    let is_source = |name| SOURCES.contains(name) || IMAGE_SOURCES.contains(name);
    let source = commands.find(|entry| is_source(&entry.name));
    let media = |entry: &&Entry| match entry.name {
        "cdrom" => !disc,
        name => ["harddrive", "hmc"].contains(&name),
    };
    if let Some(entry) = source.filter(media) {
        let message = format!("`{}` names a medium, and the guest has none", entry.name);
        linter.at(entry, severity, "KS154", message, help);
    }
    // It is mounted there.
    if disc {
        return;
    }
    let local = |url: &str| url.starts_with("file:") || url.starts_with("cdrom:");
    let mut files = urls(linter);
    files.retain(|(_, option, url)| *option != "--proxy" && local(url));
    // An ostree repository may be in the installer itself, but not there.
    for (name, option) in IMAGE_ADDRESSES {
        let urls = linter.running(name);
        let urls =
            urls.filter_map(|entry| Some((entry, option, entry.arguments().filled(option)?)));
        files.extend(urls.filter(|(_, _, url)| url.contains("/run/install/")));
    }
    for (entry, option, _) in files {
        let message = "this is a file of the installer's, and the guest has no medium with it";
        linter.at((entry, option), severity, "KS154", message, help);
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

/// Whether the command fetches something over the network.
fn is_remote(entry: &Entry) -> bool {
    let remote = |option: &&str| {
        let value = entry.arguments().value(option).unwrap_or_default();
        let mut schemes = ["http:", "https:", "ftp:"].iter();
        schemes.any(|scheme| value.starts_with(scheme))
    };
    let options = ["--url", "--baseurl", "--mirrorlist", "--metalink"];
    match entry.name {
        "nfs" => true,
        "url" | "repo" | "liveimg" | "ostreesetup" => options.iter().any(remote),
        _ => false,
    }
}

fn no_network(linter: &mut Linter<'_>) {
    if linter.has_any(&["network"]) || !linter.reading.complete {
        return;
    }
    let Some(source) = linter
        .reading
        .commands
        .iter()
        .find(|entry| is_remote(entry))
    else {
        return;
    };
    let setting = linter.setting;
    let asks = setting.version == Version::Rhel(6) && setting.deliver != Some(Deliver::Http);
    let (severity, message, help) = match asks {
        true => (
            Error,
            "the source is on the network and there is no `network`, so the installer would ask",
            "add `network --bootproto=dhcp --device=link --onboot=yes`",
        ),
        false => (
            Warning,
            "the source is on the network, and no `network` says how to reach it",
            "add `network --bootproto=dhcp --device=link --activate`",
        ),
    };
    linter.at(source, severity, "KS155", message, help);
}

fn asks(linter: &mut Linter<'_>) {
    // Later installers take what is no `static` for DHCP.
    let (severity, does) = match linter.setting.version {
        Version::Rhel(6) => (Error, "makes the installer ask"),
        _ => (Warning, "may make the installer ask"),
    };
    for entry in linter.running("network") {
        if entry.arguments().value("--bootproto") == Some("query") {
            let message = format!("`--bootproto=query` {does} for the network's settings");
            let help = "write `--bootproto=dhcp`, or `static` with the addresses";
            linter.at((entry, "--bootproto"), severity, "KS156", message, help);
        }
    }
}

/// Options of `network` that hold addresses, with several separated by commas.
const ADDRESSES: [&str; 6] = [
    "--ip",
    "--netmask",
    "--gateway",
    "--nameserver",
    "--ipv6",
    "--ipv6gateway",
];

/// Whether `text` is meant to be an address, and is none. Words (`auto`, `dhcp`, names of hosts)
/// are something else.
fn is_no_address(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "0"));
    let mut bytes = address.bytes();
    let digits = bytes.all(|byte| byte.is_ascii_digit() || byte == b'.');
    let meant = address.contains(':') || address.contains('.') && digits;
    meant && (address.parse::<IpAddr>().is_err() || prefix.parse::<u8>().is_err())
}

/// Whether `text` is an address whose ones do not all stand before its zeros.
fn is_no_netmask(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|mask| {
        let bits = mask.to_bits();
        bits.leading_ones() + bits.trailing_zeros() < u32::BITS
    })
}

fn no_address(linter: &mut Linter<'_>) {
    let mut wrong = Vec::new();
    for entry in linter.running("network") {
        let arguments = entry.arguments();
        for option in ADDRESSES {
            let mut values = arguments.list(option).into_iter();
            let is_wrong = |value: &&str| {
                is_no_address(value) || option == "--netmask" && is_no_netmask(value)
            };
            let address = values.find(is_wrong);
            wrong.extend(address.map(|address| (entry, option, address)));
        }
        if arguments.value("--bootproto") == Some("static")
            && !has_option(entry, &["--ip", "--ipv6", "--noipv4"])
        {
            let message = "`--bootproto=static` needs an address, and there is none";
            let help = "add `--ip`, `--netmask` and `--gateway`, or write `--bootproto=dhcp`";
            linter.at((entry, "--bootproto"), Warning, "KS157", message, help);
        }
    }
    for (entry, option, url) in urls(linter) {
        if Url::parse(url) == Err(url::ParseError::InvalidIpv4Address) {
            wrong.push((entry, option, url.split('/').nth(2).unwrap_or_default()));
        }
    }
    for (entry, option, address) in wrong {
        let message = format!("there is no address `{address}`");
        let help = "correct the address";
        linter.at((entry, option), Warning, "KS157", message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::check::Setting;
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
            ("repo --name=a --baseurl=cdrom:sr0\n", Some(Severity::Error)),
            (
                "ostreecontainer --url=/run/install/repo/container --transport=oci\n",
                Some(Severity::Error),
            ),
            (
                "ostreesetup --osname=a --ref=b --url=file:///ostree/repo\n",
                None,
            ),
            ("cdrom\nurl --url=http://m/\n", None),
            (
                "url --url=http://m/\nrepo --name=a --baseurl=http://m/x\n",
                None,
            ),
        ] {
            assert_eq!(severity(text, &guest, "KS154"), expected, "{text}");
            assert_eq!(alone(text, Rhel(9), "KS154"), None, "{text}");
        }
        let with_disc = Setting {
            disc: Disc::Some,
            ..guest
        };
        for (text, expected) in [
            (
                "cdrom\nrepo --name=a --baseurl=file:///run/install/repo/AppStream\n",
                None,
            ),
            (
                "harddrive --partition=LABEL=a --dir=/\n",
                Some(Severity::Warning),
            ),
        ] {
            assert_eq!(severity(text, &with_disc, "KS154"), expected, "{text}");
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

    #[test]
    fn a_remote_source_needs_a_network() {
        let text = "url --url=http://m/\n";
        assert_eq!(alone(text, Rhel(6), "KS155"), Some(Severity::Error));
        assert_eq!(alone(text, Rhel(9), "KS155"), Some(Severity::Warning));
        assert_eq!(alone(text, Fedora(40), "KS155"), Some(Severity::Warning));
        for (deliver, expected) in [
            (Deliver::Http, Severity::Warning),
            (Deliver::Initrd, Severity::Error),
        ] {
            let setting = Setting {
                deliver: Some(deliver),
                ..Setting::alone(Rhel(6))
            };
            assert_eq!(severity(text, &setting, "KS155"), Some(expected));
        }
        for text in [
            "url --url=http://m/\nnetwork --bootproto=dhcp\n",
            "cdrom\n",
            "harddrive --partition=a --dir=/\n",
            "url --url=file:///mnt/\n",
            "url --url=http://m/\n%include /tmp/network\n",
        ] {
            assert_eq!(alone(text, Rhel(6), "KS155"), None, "{text}");
        }
        let text = "nfs --server=s --dir=/d\n";
        assert_eq!(alone(text, Rhel(9), "KS155"), Some(Severity::Warning));
    }

    #[test]
    fn nobody_answers() {
        let setting = Setting::alone(Rhel(6));
        let text = "network --bootproto=query\n";
        assert_eq!(alone(text, Rhel(7), "KS156"), Some(Severity::Warning));
        let expected = [(Severity::Error, "--bootproto=query".to_string())];
        assert_eq!(found(text, &setting, "KS156"), expected);
        assert_eq!(found("network --bootproto=dhcp\n", &setting, "KS156"), []);
    }

    #[test]
    fn addresses_exist() {
        for (line, wrong) in [
            (
                "network --bootproto=static --ip=10.0.0.300 --netmask=255.255.255.0",
                true,
            ),
            (
                "network --bootproto=static --ip=10.0.0.3 --netmask=255.255.255.256",
                true,
            ),
            ("network --ip=10.0.0.3 --nameserver=10.0.0.1,10.0.0.", true),
            ("network --ip=10.0.0.3 --netmask=255.255.0.255", true),
            ("network --ip=10.0.0.3 --netmask=255.255.254.0", false),
            ("network --bootproto=static --device=eth0", true),
            (
                "network --bootproto=static --noipv4 --ipv6=2001:db8::2/64",
                false,
            ),
            ("network --ipv6=2001:db8::1::2/64", true),
            ("network --ipv6=2001:db8::2/64 --ipv6gateway=fe80::1", false),
            (
                "network --ip=10.0.0.3 --netmask=255.255.255.0 --gateway=10.0.0.1",
                false,
            ),
            ("network --bootproto=dhcp --ipv6=auto", false),
            ("network --nameserver=$dns", false),
            ("url --url=http://10.0.0.300/os/", true),
            ("url --url=http://10.0.0.30/os/", false),
        ] {
            let expected = wrong.then_some(Severity::Warning);
            assert_eq!(
                alone(&format!("{line}\n"), Rhel(9), "KS157"),
                expected,
                "{line}"
            );
        }
    }
}
