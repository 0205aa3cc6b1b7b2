//! The network that the installer needs for its source.

use std::net::IpAddr;

use url::Url;

use super::source::urls;
use super::{Check, at_command, at_option, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::reading::Entry;
use crate::language::{Reading, Version};
use crate::options::Deliver;

/// KS155 to KS157.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS155",
        title: "a source on the network, and no network command",
        explanation: "\
            The packages come over the network, and no `network` line says how to reach it. RHEL 6 \
            opens its network screen then (Red Hat's RHEL 7 migration guide names the change), \
            and waits: an error, unless it is known to have fetched the kickstart over the network, \
            which it had to bring up for that. Later releases bring up what the kernel command line says, else \
            DHCP on the devices that have a link, which usually works: a warning. The installed \
            system may come up without a network, too.\n\n\
            Add `network --bootproto=dhcp --device=link --activate` (RHEL 6: `--onboot=yes` in \
            place of `--activate`).",
    },
    Rule {
        id: "KS156",
        title: "the installer asks for the network",
        explanation: "\
            `network --bootproto=query` makes the installer ask for the network's settings. Nobody \
            answers in an unattended install.\n\n\
            Write `--bootproto=dhcp`, or `--bootproto=static` with `--ip`, `--netmask`, \
            `--gateway` and `--nameserver`.",
    },
    Rule {
        id: "KS157",
        title: "an address that does not exist",
        explanation: "\
            The value is no IP address: a part is larger than 255, or it has too many or too few. \
            The kickstart parser takes any word (pykickstart, commands/network.py), and the network \
            is then not configured, in the installer or in the image.\n\n\
            Correct the address.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[no_network, asks, no_address];

/// Whether the command fetches something over the network.
fn is_remote(entry: &Entry) -> bool {
    let arguments = entry.arguments();
    let remote = |option: &str| {
        let value = arguments.value(option).unwrap_or_default();
        ["http:", "https:", "ftp:"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    };
    match entry.name {
        "nfs" => true,
        "url" | "repo" | "liveimg" | "ostreesetup" => {
            ["--url", "--baseurl", "--mirrorlist", "--metalink"]
                .iter()
                .any(|option| remote(option))
        }
        _ => false,
    }
}

fn no_network(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if reading.last("network").is_some() || !reading.complete {
        return;
    }
    let Some(source) = reading.commands.iter().find(|entry| is_remote(entry)) else {
        return;
    };
    let asks = setting.version == Version::Rhel(6) && setting.deliver != Some(Deliver::Http);
    let (severity, message, help) = if asks {
        (
            Severity::Error,
            "the source is on the network and there is no `network`, so the installer would ask",
            "add `network --bootproto=dhcp --device=link --onboot=yes`",
        )
    } else {
        (
            Severity::Warning,
            "the source is on the network, and no `network` says how to reach it",
            "add `network --bootproto=dhcp --device=link --activate`",
        )
    };
    let finding = at_command(reading, severity, source, message);
    findings.push(finding.id("KS155").help(help));
}

fn asks(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in running(reading, "network") {
        if entry.arguments().value("--bootproto") == Some("query") {
            let message = "`--bootproto=query` makes the installer ask for the network's settings";
            findings.push(
                at_option(reading, Severity::Error, entry, "--bootproto", message)
                    .id("KS156")
                    .help("write `--bootproto=dhcp`, or `static` with the addresses"),
            );
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
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let meant = address.contains(':') || address.contains('.') && digits(address);
    meant && (address.parse::<IpAddr>().is_err() || prefix.parse::<u8>().is_err())
}

fn no_address(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let mut wrong = |entry: &Entry, option: &str, address: &str| {
        let message = format!("there is no address `{address}`");
        let finding = at_option(reading, Severity::Warning, entry, option, message);
        findings.push(finding.id("KS157").help("correct the address"));
    };
    for entry in running(reading, "network") {
        for option in ADDRESSES {
            let mut values = entry.arguments().list(option).into_iter();
            if let Some(address) = values.find(|value| is_no_address(value.trim())) {
                wrong(entry, option, address.trim());
            }
        }
    }
    for (entry, option, url) in urls(reading) {
        if Url::parse(url) == Err(url::ParseError::InvalidIpv4Address) {
            let host = url.split('/').nth(2).unwrap_or_default();
            wrong(entry, option, host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
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
