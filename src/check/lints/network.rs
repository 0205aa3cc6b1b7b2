//! The network that the installer needs for its source.

use std::net::IpAddr;

use url::Url;

use super::source::urls;
use super::{Lint, Linter};
use crate::diagnostic::Severity::{Error, Warning};
use crate::language::Version;
use crate::language::reading::Entry;
use crate::options::Deliver;

/// KS155 to KS157.
pub const LINTS: &[Lint] = &[no_network, asks, no_address];

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
    for entry in linter.running("network") {
        if entry.arguments().value("--bootproto") == Some("query") {
            let message = "`--bootproto=query` makes the installer ask for the network's settings";
            let help = "write `--bootproto=dhcp`, or `static` with the addresses";
            linter.at((entry, "--bootproto"), Error, "KS156", message, help);
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

fn no_address(linter: &mut Linter<'_>) {
    let mut wrong = Vec::new();
    for entry in linter.running("network") {
        for option in ADDRESSES {
            let mut values = entry.arguments().list(option).into_iter();
            let address = values.find(|value| is_no_address(value));
            wrong.extend(address.map(|address| (entry, option, address)));
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
    use crate::check::setting::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::{Fedora, Rhel};

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
        let setting = Setting::alone(Rhel(7));
        let text = "network --bootproto=query\n";
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
