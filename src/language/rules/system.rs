//! The installed system and the installer itself: accounts, network, language, time, boot loader,
//! services; of commands that are not here (`authselect`, `firewall`, `firstboot`, `selinux`,
//! `text`, `reboot` …) the table holds everything.
//!
//! No message names a word of a line that could be a password.

use super::Call;
use crate::kickstart::words::{self, Comments, split};
use crate::language::Version;
use crate::language::problem::id;
use crate::language::values;

/// RHEL 8 and 9 and Fedora until 34 warn of it.
pub(super) fn authconfig(call: &mut Call<'_>) {
    if call.version.since(8, 29) {
        let message = format!("`authconfig` is deprecated in {}", call.version);
        let help = "use `authselect` instead: later releases refuse `authconfig`";
        call.warning(id::DEPRECATED_COMMAND, None, message, help);
    }
}

pub(super) fn bootloader(call: &mut Call<'_>) {
    let drive = call.value("--boot-drive").unwrap_or_default();
    if drive.contains(',') {
        let message = format!("`--boot-drive` names one drive, and `{drive}` is several");
        let help = "name the drive that the firmware boots from";
        call.bad_value("--boot-drive", message, help);
    }
    // systemd-boot or extlinux.
    call.exclusive(&["--sdboot", "--extlinux"]);
}

/// It never asks: since RHEL 8 it refuses the `--non-interactive` that its siblings have.
pub(super) fn cmdline(call: &mut Call<'_>) {
    if call.has("--non-interactive") {
        let message = "`cmdline` asks nothing by itself, and refuses `--non-interactive`";
        call.contradicts("--non-interactive", message, "remove `--non-interactive`");
    }
}

pub(super) fn eula(call: &mut Call<'_>) {
    call.unexpected();
    if !call.has("--agreed") {
        call.missing("`eula` needs `--agreed`", "write `eula --agreed`");
    }
}

/// `install` and `upgrade`, in RHEL 6 and 7.
pub(super) fn root_device(call: &mut Call<'_>) {
    if call.value("--root-device") == Some("") {
        let help = "name the device, or remove the option";
        call.bad_value("--root-device", "`--root-device` is empty", help);
    }
}

/// Whether `key --skip` is given: whatever else stands in the line, RHEL 6 does not look at it.
pub(super) fn key_is_skipped(call: &Call<'_>) -> bool {
    call.name == "key" && call.has("--skip")
}

/// One key, or `--skip`.
pub(super) fn key(call: &mut Call<'_>) {
    let words = &call.arguments.leftovers;
    if key_is_skipped(call) || words.len() == 1 {
        return;
    }
    let help = "write one key, or `key --skip`";
    match words.get(1) {
        None => {
            let message = "`key` needs an installation key or `--skip`";
            call.missing(message, help);
        }
        Some(second) => {
            let message = "`key` takes one installation key only";
            call.error(id::UNEXPECTED, Some(second.span.clone()), message, help);
        }
    }
}

/// RHEL 6 needs a layout as an argument, later ones in any of three ways. The layouts that an
/// earlier line set count as well.
pub(super) fn keyboard(call: &mut Call<'_>) {
    let help = match call.version {
        Version::Rhel(6) => "keep one of them",
        _ => "name several layouts with `--xlayouts`, separated by commas",
    };
    call.only_one_argument("`keyboard` takes one layout as an argument", help);
    call.unexpected();
    let named = call.positional(0).is_some() || call.is_set("--vckeymap");
    if !named && !call.keeps("--xlayouts") {
        let help = "write one, for example `keyboard us`";
        call.missing("`keyboard` names no layout", help);
    }
}

/// The port is of a host, which an earlier line may name.
pub(super) fn logging(call: &mut Call<'_>) {
    if call.keeps("--port") && !call.keeps("--host") {
        let message = "`--port` of `logging` needs `--host`";
        let help = "name the host that the log goes to with `--host`";
        call.incomplete("--port", message, help);
    }
}

/// What `--bridgeopts`, `--bindto` and the options for name servers ask for; the rules for bridges
/// and VLANs came with RHEL 7, those for name servers with RHEL 9 and Fedora 39.
pub(super) fn network(call: &mut Call<'_>) {
    if call.version == Version::Rhel(7) {
        interface_name(call);
    }
    let help = "name the bridge's interfaces with `--bridgeslaves`";
    call.needs("--bridgeopts", "--bridgeslaves", help);
    let is_pair = |option: &&str| {
        let value = option.split_once('=').map_or("", |(_, value)| value);
        !value.is_empty() && !value.contains('=')
    };
    let options = call.arguments.filled("--bridgeopts");
    if let Some(bad) = options.and_then(|all| all.split(',').find(|option| !is_pair(option))) {
        let message = format!("`{bad}` in `--bridgeopts` is not of the form key=value");
        let help = "write `--bridgeopts=key=value,key=value`";
        call.bad_value("--bridgeopts", message, help);
    }
    let to_mac = call.value("--bindto") == Some("mac");
    if to_mac && call.is_set("--vlanid") && !call.is_set("--bondopts") {
        let message = "a VLAN cannot be bound to a MAC address: `--bindto=mac` and `--vlanid` contradict each other";
        call.contradicts("--bindto", message, "remove `--bindto=mac`");
    }
    let of_device = [
        "--ipv4-dns-search",
        "--ipv6-dns-search",
        "--ipv4-ignore-auto-dns",
        "--ipv6-ignore-auto-dns",
    ];
    if let Some(option) = call.first_set(&of_device) {
        call.needs(option, "--device", "name the interface with `--device`");
    }
}

/// The highest number of a VLAN (IEEE 802.1Q has twelve bits for it).
const MAX_VLAN: i64 = 4095;

/// Behind a dot, or behind `vlan`, stands the number of a VLAN.
fn interface_name(call: &mut Call<'_>) {
    let name = call.value("--interfacename").unwrap_or_default();
    let (dot, vlan) = (name.split_once('.'), name.strip_prefix("vlan"));
    let is_vlan = |text| values::integer(text).is_none_or(|vlan| (0..=MAX_VLAN).contains(&vlan));
    let is_number = |text| values::integer(text).is_some();
    let message = match (dot, vlan) {
        (Some(("vlan", _)), _) => {
            format!("`{name}` puts a dot behind `vlan`, which RHEL 7 refuses")
        }
        (Some((_, number)), _) if !is_number(number) => {
            format!("`{name}` has no VLAN number behind its dot")
        }
        (_, Some(number)) if !is_number(number) => {
            format!("`{name}` has no VLAN number behind `vlan`")
        }
        (_, Some(number)) | (Some((_, number)), None) if !is_vlan(number) => {
            format!("the VLAN number of `{name}` is not between 0 and {MAX_VLAN}")
        }
        _ => return,
    };
    let help = "write a name such as `vlan10` or `eth0.10`";
    call.bad_value("--interfacename", message, help);
}

pub(super) fn rhsm(call: &mut Call<'_>) {
    if call.arguments.values("--activation-key").any(str::is_empty) {
        let help = "write the key, or remove the option";
        call.bad_value("--activation-key", "an `--activation-key` is empty", help);
    }
}

/// A password, or since RHEL 7 `--lock`; RHEL 7 does not look at what stands beside that.
pub(super) fn rootpw(call: &mut Call<'_>) {
    let locked = call.has("--lock");
    let given = call.arguments.first().is_some_and(|text| !text.is_empty());
    let help = match call.version {
        Version::Rhel(6) => "write the password or its hash, even beside `--lock`",
        _ if locked => "",
        _ => "write the password or its hash, or `--lock` for an account without one",
    };
    if !given && !help.is_empty() {
        call.missing("`rootpw` needs a password", help);
    }
    if !(call.version == Version::Rhel(7) && locked) {
        call.unexpected();
    }
}

/// Those of an earlier line count.
pub(super) fn services(call: &mut Call<'_>) {
    if !call.keeps("--disabled") && !call.keeps("--enabled") {
        let help = "name some with `--enabled` or `--disabled`, separated by commas";
        call.missing("`services` names no service", help);
    }
}

/// An empty password counts.
pub(super) fn sshpw(call: &mut Call<'_>) {
    if call.positional(0).is_none() {
        let help = "write the password or its hash behind the options";
        call.missing("`sshpw` needs a password", help);
    }
    call.unexpected();
}

pub(super) fn timesource(call: &mut Call<'_>) {
    let sources = ["--ntp-server", "--ntp-pool", "--ntp-disable"];
    call.needs_one(&sources, None);
    call.only_one(&sources, "write a line for each");
}

/// Since RHEL 7 a zone or an option; before, the zone.
pub(super) fn timezone(call: &mut Call<'_>) {
    call.unexpected();
    if call.words.len() == 1 {
        let help = "write one, for example `timezone Etc/UTC --utc`";
        call.missing("`timezone` names no time zone", help);
    }
    let help = "write a name without spaces, such as `America/New_York`";
    call.only_one_argument("`timezone` takes one time zone", help);
    let (none, servers) = (call.has("--nontp"), call.keeps("--ntpservers"));
    let place = call.span("--nontp");
    if none && servers {
        let message = "`--nontp` and `--ntpservers` of `timezone` cannot be used together";
        let help = "keep one of them";
        call.error(id::CONTRADICTION, place.clone(), message, help);
    }
    call.old_name("--isUtc", "--utc");
    // RHEL 9 and Fedora 33 to 39; later ones say so by themselves.
    if !call.version.since(9, 33) || call.version.since(10, 40) {
        return;
    }
    if servers {
        let message = "`--ntpservers` has been replaced";
        let help =
            "write a line `timesource --ntp-server=HOST` for each: RHEL 10 refuses the option";
        call.warning(
            id::DEPRECATED_OPTION,
            call.span("--ntpservers"),
            message,
            help,
        );
    }
    if none {
        let help = "write the line `timesource --ntp-disable`: RHEL 10 refuses the option";
        call.warning(
            id::DEPRECATED_OPTION,
            place,
            "`--nontp` has been replaced",
            help,
        );
    }
}

/// `%traceback` is deprecated since RHEL 9 and Fedora 34.
pub(super) fn traceback(call: &mut Call<'_>) {
    if call.version.since(9, 34) {
        let message = format!("`%traceback` is deprecated in {}", call.version);
        let help = "write `%onerror` instead";
        call.warning(id::DEPRECATED_COMMAND, None, message, help);
    }
}

/// `%certificate` needs to know where the certificate goes.
pub(super) fn certificate(call: &mut Call<'_>) {
    if call.first_set(&["--dir", "--type"]).is_none() {
        let help = match call.version.since(11, 45) {
            true => "write `--type=anchor` for an authority to trust, or `--dir` for a folder",
            false => "name the certificate's folder with `--dir`",
        };
        let message = "`%certificate` needs `--dir` or `--type`";
        call.missing(message, help);
    }
}

/// Options of `realm join`, and whether they take a value.
const REALM: [(&str, bool); 6] = [
    ("client-software", true),
    ("server-software", true),
    ("membership-software", true),
    ("one-time-password", true),
    ("computer-ou", true),
    ("no-password", false),
];

/// `realm join [options] REALM`, once.
pub(super) fn realm(call: &mut Call<'_>) {
    if let Some(line) = call.declared.line_of("realm") {
        let message = format!("only one realm can be joined, and line {line} does so");
        call.error(id::CONTRADICTION, None, message, "remove one of the lines");
    }
    if let Err((id, message)) = join(call) {
        let help = "write `realm join [options] REALM`, without indentation and comment";
        call.error(id, None, message, help);
    }
}

/// Reads the line in a way of its own (`shlex` and `getopt`): counted from the line's first column,
/// and with `#` as a usual character.
fn join(call: &Call<'_>) -> Result<(), (&'static str, String)> {
    let refuse = |id, message: &str| Err((id, message.to_string()));
    let behind = call.raw.char_indices().nth(call.name.len());
    let rest = words::trim(behind.map_or("", |(at, _)| &call.raw[at..]));
    let Ok(words) = split(rest, 0, Comments::Literal) else {
        let message = "a quote in the comment of this line counts, and is not closed";
        return refuse(id::STRUCTURE, message);
    };
    let mut words = words.iter().map(|word| word.text.as_str());
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
        if !word.starts_with('-') || word == "-" || realms > 0 || ended {
            realms += 1;
        } else if word == "--" {
            ended = true;
        } else {
            realm_option(word, || words.next().is_some())
                .map_err(|message| (id::UNKNOWN_OPTION, message))?;
        }
    }
    match realms {
        1 => Ok(()),
        _ => refuse(id::UNEXPECTED, "`realm join` takes one realm"),
    }
}

/// An option of `realm join`: whole, or cut short as long as only one begins so.
fn realm_option(word: &str, take: impl FnOnce() -> bool) -> Result<(), String> {
    let full = word.strip_prefix("--").unwrap_or_default();
    let (name, value) = match full.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (full, None),
    };
    let begins = |(known, _): &&(&str, bool)| word.starts_with("--") && known.starts_with(name);
    let found: Vec<_> = REALM.iter().filter(begins).collect();
    let [(option, takes_value)] = found[..] else {
        return Err(format!("`realm join` has no option `--{name}`"));
    };
    match (takes_value, value) {
        (false, Some(_)) => Err(format!("`--{option}` takes no value")),
        (true, None) if !take() => Err(format!("`--{option}` needs a value")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{NoIncludes, Reading, Version};
    use super::super::tests::hold;

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

    #[test]
    fn boot_loader() {
        hold(&[
            ("bootloader --boot-drive=sda", "A RHEL7+ F29+, R RHEL6"),
            ("bootloader --boot-drive=sda,sdb", "R all"),
            ("bootloader --boot-drive=", "A RHEL7+ F29+, R RHEL6"),
            (
                "bootloader --boot-drive=a,b --boot-drive=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "bootloader --sdboot",
                "A RHEL10+ F39+, R RHEL6-RHEL9 F29-F38",
            ),
            ("bootloader --extlinux", "A RHEL7+ F29+, R RHEL6"),
            ("bootloader --sdboot --extlinux", "R all"),
        ]);
    }

    #[test]
    fn modes_and_endings() {
        hold(&[
            ("cmdline", "A RHEL6 RHEL10 F46"),
            ("cmdline --non-interactive", "R RHEL6 RHEL7 RHEL8 F29 F46"),
            ("text --non-interactive", "R RHEL6 RHEL7, A RHEL8 F29 F46"),
            (
                "graphical --non-interactive",
                "R RHEL6 RHEL7, A RHEL8 F29 F46",
            ),
            ("text x", "R RHEL6 RHEL10 F46"),
            ("reboot --eject", "A RHEL6 RHEL10 F46"),
            ("reboot --kexec", "R RHEL6, A RHEL7 RHEL8 F29"),
            ("halt", "A RHEL6 RHEL10 F46"),
            (
                "vnc --password=x",
                "A RHEL6 RHEL9 F42, D RHEL10 F43 F44, R RHEL11 F45",
            ),
            ("rdp", "R RHEL9 F42, A RHEL10 F43"),
        ]);
    }

    #[test]
    fn language_and_keyboard() {
        hold(&[
            ("lang en_US", "A RHEL6 RHEL10 F29 F46"),
            ("lang en_US de_DE", "R RHEL6 RHEL10 F29 F46"),
            ("lang", "R RHEL6 RHEL10 F29 F46"),
            ("lang en_US --addsupport=de_DE", "R RHEL6, A RHEL7 F29"),
            ("lang en_US --bogus", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard us", "A RHEL6 RHEL10 F29 F46"),
            ("keyboard", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard us de", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard us --bogus", "R RHEL6 RHEL10 F29 F46"),
            ("keyboard --vckeymap=us", "R RHEL6, A RHEL7 F29"),
            ("keyboard --vckeymap=", "R RHEL6 RHEL7 F29"),
            ("keyboard --xlayouts=us,de", "R RHEL6, A RHEL7 F29"),
            ("keyboard --xlayouts=,", "R RHEL7 F29"),
            ("keyboard --switch=a", "R RHEL7 F29"),
            ("keyboard --xlayouts=us\nkeyboard --switch=a", "A RHEL7 F29"),
            ("keyboard --vckeymap=us\nkeyboard --switch=a", "R RHEL7 F29"),
        ]);
    }

    #[test]
    fn time() {
        hold(&[
            ("timezone UTC", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("timezone", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("timezone --utc", "R RHEL6, A RHEL7 RHEL10 F29 F46"),
            ("timezone a b", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("timezone a --utc b", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            (
                "timezone a --isUtc",
                "A RHEL6 RHEL8 F31, D RHEL9 F32 F39 F40 F46, R RHEL10",
            ),
            (
                "timezone a --is",
                "A RHEL6 RHEL8 F31 RHEL9 F32 F39, D F40 F46, R RHEL10",
            ),
            (
                "timezone -- --isUtc",
                "A RHEL7 F31, D RHEL9 F32 F39, A F40 RHEL10",
            ),
            (
                "timezone a --nontp",
                "R RHEL6 RHEL10, A RHEL7 RHEL8 F32, D RHEL9 F33 F39 F40",
            ),
            (
                "timezone a --ntpservers=b",
                "R RHEL6 RHEL10, A RHEL7 RHEL8 F32, D RHEL9 F33 F39 F40",
            ),
            (
                "timezone a --ntpservers=,",
                "R RHEL10, A RHEL7 RHEL8 F32 RHEL9 F33 F39, D F40",
            ),
            (
                "timezone a --ntpservers=b --nontp",
                "R RHEL6 RHEL7 RHEL9 RHEL10 F29 F39, D F40",
            ),
            (
                "timezone a --ntpservers=b\ntimezone a --nontp",
                "R RHEL7 RHEL8 F29",
            ),
            (
                "timesource --ntp-server=a",
                "R RHEL8 F32, A RHEL9 F33 RHEL10 F46",
            ),
            ("timesource", "R RHEL9 F33"),
            ("timesource --ntp-pool=", "R RHEL9 F33"),
            ("timesource --nts --ntp-pool=a", "A RHEL9 F33"),
            ("timesource --ntp-disable --ntp-pool=a", "R RHEL9 F33"),
            ("timesource --ntp-disable", "A RHEL9 F33"),
        ]);
    }

    #[test]
    fn network() {
        hold(&[
            (
                "network --device=eth0 --bootproto=dhcp",
                "A RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            ("network --bootproto=auto", "R RHEL6 RHEL10 F46"),
            (
                "network --interfacename=eth0.5",
                "R RHEL6, A RHEL7 RHEL8 F29",
            ),
            ("network --interfacename=vlan.5", "R RHEL7, A RHEL8 F29"),
            ("network --interfacename=eth0.x", "R RHEL7, A RHEL8 F29"),
            ("network --interfacename=vlanx", "R RHEL7, A RHEL8 F29"),
            ("network --interfacename=vlan4095", "A RHEL7 RHEL8"),
            ("network --interfacename=vlan4096", "R RHEL7, A RHEL8"),
            ("network --interfacename=eth0.-1", "R RHEL7, A RHEL8"),
            ("network --interfacename=my-vlan", "A RHEL7"),
            (
                "network --bridgeopts=stp=yes",
                "R RHEL6 RHEL7 RHEL8 F29 F46",
            ),
            (
                "network --bridgeopts=stp=yes --bridgeslaves=",
                "R RHEL7 F46",
            ),
            (
                "network --bridgeopts=a=b,c=d --bridgeslaves=eth0",
                "A RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bridgeopts=a=b, --bridgeslaves=eth0",
                "R RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bridgeopts=a=b=c --bridgeslaves=eth0",
                "R RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bridgeopts= --bridgeslaves=eth0",
                "A RHEL7 RHEL9 F29 F46",
            ),
            (
                "network --bindto=mac --vlanid=5",
                "R RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            (
                "network --bindto=mac --vlanid=5 --bondopts=mode=1",
                "A RHEL7 RHEL10 F29",
            ),
            ("network --bindto=mac", "R RHEL6, A RHEL7 F46"),
            (
                "network --ipv4-dns-search=a.b",
                "R RHEL8 RHEL9 RHEL10 F38 F39 F46",
            ),
            (
                "network --ipv4-dns-search=a.b --device=eth0",
                "R F38, A RHEL8 RHEL9 F39",
            ),
            ("network --ipv6-dns-search=", "A RHEL9 F39"),
            ("network --ipv6-dns-search=a", "R RHEL9 F39"),
            ("network --ipv4-ignore-auto-dns", "R RHEL9 F39"),
            ("network --ipv6-ignore-auto-dns", "R RHEL9 F39"),
            ("network --ipv6-ignore-auto-dns --device=e", "A RHEL9 F39"),
            (
                "network --teamslaves=\"p3p1'{\\\"prio\\\": 5}',p3p2\"",
                "R RHEL6, A RHEL7 RHEL9 F46, D RHEL10",
            ),
        ]);
    }

    #[test]
    fn accounts() {
        hold(&[
            ("rootpw secret", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw ''", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw --lock", "R RHEL6, A RHEL7 RHEL10 F29 F46"),
            ("rootpw --lock secret", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw two words", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw secret --bogus", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw --allow-ssh secret", "R RHEL8 F36, A RHEL9 F37"),
            ("sshpw --username=a secret", "A RHEL6 RHEL10 F29"),
            ("sshpw --username=a two words", "A RHEL6 RHEL10 F29"),
            ("sshpw --username=a", "R RHEL6 RHEL10 F29"),
            ("sshpw --username=a ''", "A RHEL6 RHEL10 F29"),
            ("sshpw secret --username=a more", "A RHEL6, R RHEL10 F29"),
            ("sshpw --username=a secret --bogus", "R RHEL6 RHEL10 F29"),
            (
                "sshkey --username=a 'ssh-rsa x'",
                "R RHEL6, A RHEL7 RHEL8 F29",
            ),
            ("sshkey --username=a ssh-rsa x", "R RHEL8 F29 F46"),
            ("sshkey --username=a", "R RHEL8 F29 F46"),
            ("user --name=a --uid=x", "R RHEL6 F46"),
            ("group --name=a --gid=5", "A RHEL6 F46"),
        ]);
    }

    #[test]
    fn no_message_has_the_password() {
        for text in [
            "rootpw secret a-part",
            "sshpw a --username=b a-part",
            "sshkey --username=b k a-part",
            "user --name=b --password=secret a-part",
            "rootpw --iscrypted=a-part",
        ] {
            let version = Version::from_name("F40").unwrap();
            let reading = Reading::new(&format!("{text}\n"), "t.ks", version, &NoIncludes);
            let finding = &reading.findings[0];
            assert!(
                !finding.message.contains("a-part"),
                "{text}: {}",
                finding.message
            );
        }
    }

    #[test]
    fn sections_come_and_go() {
        hold(&[
            (
                "%anaconda\n%end",
                "R RHEL6 RHEL10+ F36+, A RHEL7-RHEL8 F29-F33, D RHEL9 F34-F35",
            ),
            ("%addon a\n%end", "R RHEL6, A RHEL7+ F29+"),
            ("%pre-install\n%end", "R RHEL6, A RHEL7+ F29+"),
            ("%onerror\n%end", "R RHEL6, A RHEL7+ F29+"),
            (
                "%certificate --filename=a --dir=/b\nx\n%end",
                "R RHEL6-RHEL8 F29-F41, A RHEL9+ F42+",
            ),
            ("%frobnicate\n%end", "R all"),
            // RHEL 6 ends a section where the next one begins, and says so.
            ("%post\nx\n%packages\n%end", "D RHEL6, R RHEL7+ F29+"),
            ("%post\nx", "D RHEL6, R RHEL7+ F29+"),
        ]);
    }

    #[test]
    fn a_broken_section_is_shown_where_it_breaks() {
        let text = "%post\ncat > x.ks <<EOF\n%packages\n%end\nEOF\n%end\n";
        let reading = Reading::new(text, "t.ks", Version::Rhel(9), &NoIncludes);
        let mut findings = reading.findings.iter();
        let first = findings.find(|finding| finding.line == 2).unwrap();
        assert!(first.message.contains("`%post` (line 1)"), "{first}");
        assert!(
            first.help.as_ref().unwrap().contains("here-document"),
            "{first}"
        );
    }

    #[test]
    fn bytes_that_are_no_utf_8() {
        let text = crate::kickstart::scan::decode(b"# caf\xe9\nlang en_US\n".to_vec());
        for version in Version::all() {
            let reading = Reading::new(&text, "t.ks", version, &NoIncludes);
            let refused = reading
                .findings
                .first()
                .map(|finding| (finding.line, finding.column));
            let expected = (!version.is_python_2()).then_some((1, 6));
            assert_eq!(refused, expected, "{version}");
        }
    }

    #[test]
    fn headers() {
        hold(&[
            ("%packages\n%end", "A RHEL6 RHEL10 F29 F46"),
            ("%packages x\n%end", "D RHEL6, R RHEL10 F29 F46"),
            ("%packages --nobase\n%end", "A RHEL6, D RHEL7, R RHEL8 F29"),
            (
                "%packages --default --nobase\n%end",
                "R RHEL6 RHEL8 F29, D RHEL7",
            ),
            (
                "%packages --default --nocore\n%end",
                "R RHEL6 RHEL7 RHEL10 F29 F46",
            ),
            ("%packages --nocore\n%end", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            (
                "%packages --instLangs=a\n%end",
                "A RHEL6 RHEL8 F31, D RHEL9 F32 F39 F40 F46, R RHEL10",
            ),
            (
                "%packages --instLangs a\n%end",
                "A RHEL6 RHEL8 F31, D RHEL9 F32 F39 F40 F46, R RHEL10",
            ),
            (
                "%packages --inst-langs=a\n%end",
                "R RHEL8 F31, A RHEL9 F32 F46 RHEL10",
            ),
            (
                "%packages --instL=a\n%end",
                "A RHEL8 F31 RHEL9 F39, D F40, R RHEL10",
            ),
            (
                "%packages --excludeWeakdeps\n%end",
                "R RHEL7, A RHEL8 F31, D RHEL9 F32 F39 F40, R RHEL10",
            ),
            ("%traceback\n%end", "A RHEL6 RHEL8 F33, D RHEL9 F34 F46"),
            ("%traceback --bogus\n%end", "R RHEL8 RHEL9 F46"),
            ("%certificate --filename=a\nx\n%end", "R RHEL6 RHEL10 F46"),
            (
                "%certificate --filename=a --dir=\nx\n%end",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "%certificate --filename=a --dir=/b\nx\n%end",
                "R RHEL6, A RHEL10 F46",
            ),
            (
                "%certificate --filename=a --type=anchor\nx\n%end",
                "R RHEL6, A RHEL10 F46",
            ),
            (
                "%certificate --filename=a --dir=/b\n \n%end",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "%certificate --filename=a --dir=/b\n%include /x\n%end",
                "R RHEL6 RHEL10 F46",
            ),
            (
                "%post --nochroot --erroronfail --log=/a --interpreter=/bin/sh\n%end",
                "A RHEL6 F46",
            ),
            ("%pre --nochroot\n%end", "R RHEL6 F46"),
            ("%addon whatever --goes\n%end", "R RHEL6, A F46"),
        ]);
    }
}
