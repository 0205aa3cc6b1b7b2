//! The network that the installer needs for its source.

use super::{Check, at_command, at_option, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::reading::Entry;
use crate::language::{Reading, Version};
use crate::options::Deliver;

/// KS155 and KS156.
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
];

/// The rules at work.
pub const CHECKS: &[Check] = &[no_network, asks];

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
}
