//! What scripts fetch when they run: what of it is not known before. Pure.
//!
//! A program that is not known here is believed to fetch nothing.

use super::lints::is_shell;
use super::shell;
use crate::language::Reading;

/// Programs that get things over the network, whatever they are told.
const PROGRAMS: [&str; 24] = [
    "curl",
    "wget",
    "git",
    "pip",
    "pip3",
    "npm",
    "gem",
    "cargo",
    "podman",
    "docker",
    "skopeo",
    "buildah",
    "rsync",
    "scp",
    "sftp",
    "ssh",
    "ftp",
    "lftp",
    "flatpak",
    "subscription-manager",
    "ansible-pull",
    "ansible-galaxy",
    "rhc",
    "realm",
];

/// Package managers, which get things but for what these words ask.
const MANAGERS: [&str; 4] = ["dnf", "dnf5", "yum", "microdnf"];
const LOCAL: [&str; 9] = [
    "clean",
    "remove",
    "erase",
    "autoremove",
    "mark",
    "history",
    "config-manager",
    "repolist",
    "versionlock",
];

/// What scripts in other languages than the shell's have in them if they reach the network.
const TRACES: [&str; 5] = ["://", "socket", "urllib", "requests", "http"];

/// The programs of a shell script that fetch something, each once.
pub fn of_shell(script: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for command in shell::commands(script, 0) {
        let name = command.name().trim_matches(['"', '\'']);
        let mut arguments = command.arguments();
        let fetches = match name {
            "rpm" => arguments.any(|word| word.contains("://")),
            _ if MANAGERS.contains(&name) => {
                let adds = command.arguments().any(|word| word.contains("://"));
                let word = arguments.find(|word| !word.starts_with('-'));
                adds || !word.is_some_and(|word| LOCAL.contains(&word))
            }
            _ => {
                PROGRAMS.contains(&name)
                    || command.words.iter().any(|word| word.contains("/dev/tcp/"))
            }
        };
        if fetches && !found.iter().any(|other| other == name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// What the scripts of a kickstart fetch, in a sentence each.
pub fn unknown(reading: &Reading) -> Vec<String> {
    let mut all = Vec::new();
    for entry in reading
        .sections
        .iter()
        .filter(|entry| entry.section.kind.is_script())
    {
        let text = &reading.texts[entry.text];
        let body = &text.text[entry.section.body.clone()];
        let tag = entry.section.header.first().map_or("", |word| &word.text);
        let place = format!("{tag} in {}", text.name);
        if is_shell(entry) {
            let programs = of_shell(body);
            all.extend(programs.iter().map(|program| sentence(program, &place)));
        } else if TRACES.iter().any(|trace| body.contains(trace)) {
            all.push(format!("what {place} may fetch is not known"));
        }
    }
    all
}

/// That what a program fetches is not known.
pub fn sentence(program: &str, place: &str) -> String {
    format!("what `{program}` fetches is not known ({place})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{NoIncludes, Version};

    #[test]
    fn programs_that_fetch_are_found() {
        for (script, found) in [
            ("dnf -y clean all\nyum clean all\n", &[][..]),
            ("dnf -y update\n", &["dnf"]),
            (
                "sudo dnf config-manager --set-enabled crb && dnf remove -y x",
                &[],
            ),
            ("dnf config-manager --add-repo https://x/y.repo", &["dnf"]),
            ("rpm -e x; rpm --import /etc/pki/x", &[]),
            ("rpm -i https://x/y.rpm", &["rpm"]),
            (
                "if ! curl -f https://x | sh; then wget x; fi",
                &["curl", "wget"],
            ),
            ("x=$(/usr/bin/curl http://x)", &["curl"]),
            ("# curl x\necho curl > /etc/x\nssh-keygen -A", &[]),
            ("exec 3<>/dev/tcp/h/80", &["exec"]),
            ("cat <<EOF > /root/x\ncurl y\nEOF\n", &[]),
        ] {
            let names = of_shell(script);
            let of_redirect = script.contains("/dev/tcp");
            assert!(
                names == found || (of_redirect && names.len() == 1),
                "{script}: {names:?}"
            );
        }
    }

    #[test]
    fn scripts_of_a_kickstart_are_told_with_their_places() {
        let of = |raw: &str| {
            let reading = Reading::new(raw, "t.ks", Version::Rhel(9), &NoIncludes);
            unknown(&reading)
        };
        assert_eq!(
            of("text\n%post\ndnf -y update\n%end\n"),
            ["what `dnf` fetches is not known (%post in t.ks)"]
        );
        assert_eq!(
            of(
                "%post --interpreter=/usr/bin/python3\nx = 1\n%end\n%post\nsystemctl enable x\n%end\n"
            ),
            [""; 0]
        );
        assert_eq!(
            of("%pre --interpreter=/usr/bin/python3\nimport urllib\n%end\n").len(),
            1
        );
    }
}
