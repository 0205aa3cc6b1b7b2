//! The installed system and the installer itself: `authconfig`, `eula`, `key`, `logging`, `realm`,
//! `rescue`, `rhsm`, `services`, `syspurpose`, `install` and `upgrade`; of the others (`authselect`,
//! `firewall`, `firstboot`, `selinux`, `skipx`, `xconfig` …) the table holds everything.

use super::super::problem::{Problem, id};
use super::{Call, Rule, unexpected};
use crate::kickstart::python;
use crate::kickstart::words::{Comments, Word, split};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "authconfig" => Some(&[authconfig_goes]),
        "eula" => Some(&[unexpected, agreement]),
        "install" | "upgrade" => Some(&[root_device]),
        "key" => Some(&[one_key]),
        "logging" => Some(&[port_of_host]),
        "realm" => Some(&[one_realm, realm]),
        "rescue" => Some(&[one_mount]),
        "rhsm" => Some(&[activation_keys]),
        "services" => Some(&[some_services]),
        "syspurpose" => Some(&[unexpected]),
        _ => None,
    }
}

/// RHEL 8 and 9 and Fedora until 34 warn of `authconfig`.
fn authconfig_goes(call: &Call<'_>) -> Option<Problem> {
    if !call.version.since(8, 29) {
        return None;
    }
    let problem = Problem::warning(
        id::DEPRECATED_COMMAND,
        format!("`authconfig` is deprecated in {}", call.version),
    );
    Some(problem.help("use `authselect` instead: later releases refuse `authconfig`"))
}

/// `eula` is only there to agree.
fn agreement(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.has("--agreed") {
        return None;
    }
    Some(Problem::error(id::MISSING, "`eula` needs `--agreed`").help("write `eula --agreed`"))
}

/// `install` and `upgrade` refuse an empty `--root-device`, in RHEL 6 and 7.
fn root_device(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.value("--root-device") != Some("") {
        return None;
    }
    Some(
        Problem::error(id::BAD_VALUE, "`--root-device` is empty")
            .at(call.arguments.span("--root-device"))
            .help("name the device, or remove the option"),
    )
}

/// Whether `key --skip` is given: whatever else stands in the line, RHEL 6 does not look at it.
pub fn key_is_skipped(call: &Call<'_>) -> bool {
    call.name == "key" && call.arguments.has("--skip")
}

/// `key` takes one key, or `--skip`. It is a secret, and not named.
fn one_key(call: &Call<'_>) -> Option<Problem> {
    if key_is_skipped(call) || call.arguments.leftovers.len() == 1 {
        return None;
    }
    let problem = match call.arguments.leftovers.get(1) {
        None => Problem::error(id::MISSING, "`key` needs an installation key or `--skip`"),
        Some(second) => Problem::error(id::UNEXPECTED, "`key` takes one installation key only")
            .at(Some(second.span.clone())),
    };
    Some(problem.help("write one key, or `key --skip`"))
}

/// `logging --port` is of a host, which an earlier line may name.
fn port_of_host(call: &Call<'_>) -> Option<Problem> {
    if !call.keeps("--port") || call.keeps("--host") {
        return None;
    }
    Some(
        Problem::error(id::MISSING, "`--port` needs `--host`")
            .at(call.arguments.span("--port"))
            .help("name the host that the log goes to with `--host`"),
    )
}

/// A kickstart joins one realm.
fn one_realm(call: &Call<'_>) -> Option<Problem> {
    let line = call.declared.line_of("realm")?;
    let problem = Problem::error(
        id::CONTRADICTION,
        format!("only one realm can be joined, and line {line} does so"),
    );
    Some(problem.help("remove one of the lines"))
}

/// Options of `realm join` that take a value.
const REALM_VALUES: [&str; 5] = [
    "client-software",
    "server-software",
    "membership-software",
    "one-time-password",
    "computer-ou",
];

/// The option of `realm join` that takes none.
const REALM_FLAG: &str = "no-password";

/// `realm join [options] REALM`, read in a way of its own (`shlex` and `getopt`): counted from the
/// line's first column, and with `#` as a usual character.
fn realm(call: &Call<'_>) -> Option<Problem> {
    let help = "write `realm join [options] REALM`, without indentation and comment";
    let refuse = |id, message: &str| Some(Problem::error(id, message).help(help));
    let behind = call.raw.char_indices().nth(call.name.len());
    let rest = python::trim(behind.map_or("", |(at, _)| &call.raw[at..]));
    let Ok(words) = split(rest, 0, Comments::Literal) else {
        let message = "a quote in the comment of this line counts, and is not closed";
        return refuse(id::STRUCTURE, message);
    };
    let mut words = words.iter().map(|word: &Word| word.text.as_str());
    match words.next() {
        None => return refuse(id::MISSING, "`realm` needs a command: `join`"),
        Some("join") => {}
        Some(_) if call.words.get(1).is_some_and(|word| word.text == "join") => {
            let message = "the installer takes `realm` for the first five characters of the line, and so refuses it where it is indented";
            return refuse(id::STRUCTURE, message);
        }
        Some(_) => return refuse(id::BAD_VALUE, "`realm` has no other command than `join`"),
    }
    let mut realms = 0;
    let mut ended = false;
    while let Some(word) = words.next() {
        let option = word.starts_with('-') && word != "-" && realms == 0 && !ended;
        if !option {
            realms += 1;
        } else if word == "--" {
            ended = true;
        } else if let Err(message) = realm_option(word, || words.next().is_some()) {
            return refuse(id::UNKNOWN_OPTION, &message);
        }
    }
    if realms != 1 {
        return refuse(id::UNEXPECTED, "`realm join` takes one realm");
    }
    None
}

/// An option of `realm join`: whole, or cut short as long as only one begins so.
fn realm_option(word: &str, take: impl FnOnce() -> bool) -> Result<(), String> {
    let full = word.strip_prefix("--").unwrap_or_default();
    let (name, value) = match full.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (full, None),
    };
    let known = REALM_VALUES.iter().chain([&REALM_FLAG]);
    let found: Vec<&str> = known
        .copied()
        .filter(|known| word.starts_with("--") && known.starts_with(name))
        .collect();
    let [option] = found[..] else {
        return Err(format!("`realm join` has no option `--{name}`"));
    };
    match (option == REALM_FLAG, value) {
        (true, Some(_)) => Err(format!("`--{option}` takes no value")),
        (false, None) if !take() => Err(format!("`--{option}` needs a value")),
        _ => Ok(()),
    }
}

/// `rescue` mounts read-only, or not at all, or neither.
fn one_mount(call: &Call<'_>) -> Option<Problem> {
    super::only_one(call, &["--nomount", "--romount"])
}

/// `rhsm --activation-key` is not empty.
fn activation_keys(call: &Call<'_>) -> Option<Problem> {
    if call
        .arguments
        .values("--activation-key")
        .all(|key| !key.is_empty())
    {
        return None;
    }
    Some(
        Problem::error(id::BAD_VALUE, "an `--activation-key` is empty")
            .at(call.arguments.span("--activation-key"))
            .help("write the key, or remove the option"),
    )
}

/// `services` names some; those of an earlier line count.
fn some_services(call: &Call<'_>) -> Option<Problem> {
    let options = ["--disabled", "--enabled"];
    if options.into_iter().any(|option| call.keeps(option)) {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`services` names no service");
    Some(problem.help("name some with `--enabled` or `--disabled`, separated by commas"))
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn single_commands() {
        hold(&[
            ("authconfig --enableshadow '", "R RHEL6 F29"),
            (
                "auth --enableshadow",
                "A RHEL6 RHEL7, D RHEL8 RHEL9 F29 F34, R RHEL10 F35",
            ),
            ("authselect whatever", "R RHEL7, A RHEL8 F29"),
            ("eula --agreed", "R RHEL6, A RHEL7 F46"),
            ("eula --accept", "A RHEL7 F46"),
            ("eula", "R RHEL7 F46"),
            ("eula --agreed x", "R RHEL7 F46"),
            (
                "install --root-device=/dev/sda1",
                "A RHEL6 RHEL7, D RHEL8 F29, R RHEL9 F34",
            ),
            ("install --root-device=", "R RHEL6 RHEL7, D RHEL8"),
            ("upgrade --root-device=", "R RHEL6, D RHEL7"),
            ("upgrade", "A RHEL6, D RHEL7, R RHEL8 F29"),
            ("key abc", "A RHEL6, R RHEL7"),
            ("key --skip", "A RHEL6"),
            ("key --skip what --ever", "A RHEL6"),
            ("key", "R RHEL6"),
            ("key a b", "R RHEL6"),
            ("key --bogus", "R RHEL6"),
            ("logging --port=5", "R RHEL6 RHEL10 F46"),
            ("logging --port=5 --host=a", "A RHEL6 RHEL10 F46"),
            ("logging --host=a\nlogging --port=5", "A RHEL6 RHEL10 F46"),
            (
                "logging --host=a --port=5\nlogging --host=",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "logging --level=debug",
                "A RHEL6 F33, D RHEL9 F34 F39, R RHEL10 F40",
            ),
            (
                "logging --level=bogus",
                "R RHEL6 F33, D RHEL9 F34 F39, R RHEL10 F40",
            ),
            ("rescue --nomount", "A RHEL6 F46"),
            ("rescue --nomount --romount", "R RHEL6 F46"),
            (
                "rhsm --organization=a --activation-key=b",
                "R RHEL7 F46, A RHEL8 RHEL11",
            ),
            (
                "rhsm --organization=a --activation-key= --activation-key=b",
                "R RHEL8 RHEL10",
            ),
            ("services --enabled=a", "A RHEL6 F46"),
            ("services", "R RHEL6 F46"),
            ("services --enabled=,", "R RHEL6 F46"),
            ("services --enabled=a\nservices", "A RHEL6 F46"),
            ("services --enabled=a\nservices --enabled=", "R RHEL6 F46"),
            ("syspurpose --role=a", "R RHEL7 F46, A RHEL8 RHEL10"),
            ("syspurpose a", "R RHEL8 RHEL10"),
            ("firewall --port=1234,5:udp --ssh", "A RHEL6 F46"),
            ("selinux --enforcing", "A RHEL6 F46"),
            ("xconfig --driver=x", "D RHEL6, R RHEL7 F46"),
            ("interactive", "A RHEL6, R RHEL7 F29"),
        ]);
    }

    #[test]
    fn realms() {
        hold(&[
            ("realm join example.com", "R RHEL6, A RHEL7 F46"),
            ("realm join --no-password example.com", "A RHEL7 F46"),
            (
                "realm join --one-time-password=x example.com",
                "A RHEL7 F46",
            ),
            (
                "realm join --one-time-password x example.com",
                "A RHEL7 F46",
            ),
            ("realm join --one x example.com", "A RHEL7 F46"),
            (
                "realm join --client-software= -- example.com",
                "A RHEL7 F46",
            ),
            ("realm join -", "A RHEL7 F46"),
            ("realm", "R RHEL7 F46"),
            ("realm leave example.com", "R RHEL7 F46"),
            ("realm join", "R RHEL7 F46"),
            ("realm join a b", "R RHEL7 F46"),
            ("realm join a --no-password", "R RHEL7 F46"),
            ("realm join --no-password=x a", "R RHEL7 F46"),
            ("realm join --computer-ou", "R RHEL7 F46"),
            ("realm join --bogus a", "R RHEL7 F46"),
            ("realm join -v a", "R RHEL7 F46"),
            ("realm join a # comment", "R RHEL7 F46"),
            ("realm join a # don't", "R RHEL7 F46"),
            (" realm join a", "R RHEL7 F46"),
            ("realm join a\nrealm join b", "R RHEL7 F46"),
        ]);
    }
}
