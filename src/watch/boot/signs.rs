//! What a line of a booting system's console is a sign of.
//!
//! Texts are those of the kernel, of dracut and systemd from RHEL 7 (systemd 219) to Fedora of today
//! (258), of GRUB 2, SeaBIOS and EDK II. systemd shows a unit by its description before release 248,
//! and by `NAME - DESCRIPTION` since, shortened with `…` to fit into 80 columns.

use glob::Pattern;

use super::Reason;

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// The kernel runs; its release, where the line names it.
    Kernel(Option<String>),
    /// systemd, or another first process of the installed system, runs.
    Init,
    /// A target of systemd's was reached, as systemd shows it.
    Target(String),
    /// The login prompt.
    Prompt,
    /// A unit failed, as systemd shows it.
    FailedUnit(String),
    /// SELinux denied something: the record from `avc:` on.
    Denial(String),
    /// The passphrase of an encrypted file system is asked for.
    Passphrase,
    /// The guest reboots.
    Reboot,
    /// The boot has failed.
    Fatal(Reason),
}

/// Texts after which nothing good comes, and what they mean.
const FATAL: [(&str, Reason); 20] = [
    ("Kernel panic - not syncing", Reason::KernelPanic),
    ("end Kernel panic", Reason::KernelPanic),
    // systemd's own words (src/core/emergency-action, units/emergency.service, sulogin-shell).
    ("You are in emergency mode", Reason::EmergencyMode),
    ("You are in rescue mode", Reason::EmergencyMode),
    ("Welcome to emergency mode", Reason::EmergencyMode),
    ("Started Emergency Shell", Reason::EmergencyMode),
    ("Started emergency.service", Reason::EmergencyMode),
    ("Started dracut-emergency.service", Reason::EmergencyMode),
    ("Started Dracut Emergency Shell", Reason::EmergencyMode),
    ("Give root password for maintenance", Reason::EmergencyMode),
    ("the root account is locked", Reason::EmergencyMode),
    ("Entering emergency mode", Reason::EmergencyMode),
    (
        "Generating \"/run/initramfs/rdsosreport.txt\"",
        Reason::EmergencyMode,
    ),
    ("dracut:/#", Reason::EmergencyMode),
    ("grub rescue>", Reason::NothingBootable),
    (
        "Minimal BASH-like line editing is supported",
        Reason::NothingBootable,
    ),
    ("No bootable device", Reason::NothingBootable),
    ("not a bootable disk", Reason::NothingBootable),
    (
        "No bootable option or device was found",
        Reason::NothingBootable,
    ),
    ("UEFI Interactive Shell", Reason::NothingBootable),
];

/// How systemd marks what went wrong at the beginning of a line of its status.
const FAILED: [&str; 3] = ["[FAILED]", "[DEPEND]", "[ TIME ]"];

/// What a line of the console, without escape sequences, is a sign of; the first that is found, for
/// those that end a boot come first.
pub fn sign_of(line: &str) -> Option<Sign> {
    if let Some((_, reason)) = FATAL.iter().find(|(text, _)| line.contains(text)) {
        return Some(Sign::Fatal(*reason));
    }
    let line = line.trim();
    if let Some((_, record)) = line.split_once("avc:  denied") {
        return Some(Sign::Denial(format!("avc:  denied{record}")));
    }
    if let Some(unit) = failed_unit(line) {
        return Some(Sign::FailedUnit(unit));
    }
    if is_passphrase_prompt(line) {
        return Some(Sign::Passphrase);
    }
    if line.contains("reboot: Restarting system") {
        return Some(Sign::Reboot);
    }
    if let Some((_, target)) = line.split_once("Reached target ") {
        let target = target.trim_end_matches('.').trim_end();
        return Some(Sign::Target(target.to_owned()));
    }
    if is_prompt(line) {
        return Some(Sign::Prompt);
    }
    let message = behind_kernel_time(line);
    let kernel = message.and_then(|message| message.strip_prefix("Linux version "));
    if let Some(version) = kernel {
        let release = version.split_whitespace().next().map(str::to_owned);
        return Some(Sign::Kernel(release));
    }
    let text = message.unwrap_or(line);
    let init = text.starts_with("systemd[1]: ")
        || (text.starts_with("Welcome to ") && line.ends_with('!'))
        || line.starts_with("[  OK  ]");
    if init {
        return Some(Sign::Init);
    }
    message.map(|_| Sign::Kernel(None))
}

/// The message behind the kernel's time: `[    0.000000] Linux version …`.
fn behind_kernel_time(line: &str) -> Option<&str> {
    let (time, message) = line.strip_prefix('[')?.split_once(']')?;
    time.trim()
        .parse::<f64>()
        .ok()
        .map(|_| message.trim_start())
}

/// The unit of a line that tells of its failure: `[FAILED] Failed to start a.service - A.`, or, from the
/// kernel's log, `systemd[1]: a.service: Failed with result 'exit-code'.`
fn failed_unit(line: &str) -> Option<String> {
    let shown = FAILED.iter().find_map(|mark| line.strip_prefix(mark));
    if let Some(text) = shown {
        let text = text.trim();
        let unit = [
            "Failed to ",
            "Dependency failed for ",
            "Timed out waiting for ",
        ]
        .iter()
        .find_map(|words| text.strip_prefix(words));
        let unit = match text.strip_prefix("Failed to ") {
            // "start", "mount", "listen on", "activate swap" …
            Some(rest) => [
                "start ",
                "mount ",
                "unmount ",
                "listen on ",
                "activate swap ",
                "reload ",
            ]
            .iter()
            .find_map(|verb| rest.strip_prefix(verb))
            .or(unit),
            None => unit,
        };
        return Some(unit.unwrap_or(text).trim_end_matches('.').to_owned());
    }
    let (_, text) = line.split_once("systemd[1]: ")?;
    let (unit, _) = text.split_once(": Failed with result ")?;
    Some(unit.to_owned())
}

/// Whether it is getty's prompt: a host's name and `login:`, perhaps with a message of the kernel's
/// behind it.
fn is_prompt(line: &str) -> bool {
    line.split_once(" login:").is_some_and(|(host, rest)| {
        let lone = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '[');
        lone && (rest.trim().is_empty() || rest.trim_start().starts_with('['))
    })
}

/// Whether a line asks for a passphrase that nobody has typed yet (systemd's `cryptsetup.c` and
/// `ask-password-api.c`, which shows asterisks for what is typed; plymouth says the same). What the kernel
/// says may stand behind it.
fn is_passphrase_prompt(line: &str) -> bool {
    const ASKING: [&str; 2] = ["Please enter passphrase for disk", "Please unlock disk"];
    let asked = ASKING.iter().find_map(|text| line.split_once(text));
    let Some((_, rest)) = asked else {
        return false;
    };
    let Some((_, typed)) = rest.split_once(": ").or_else(|| rest.split_once(':')) else {
        return false;
    };
    let typed = typed
        .trim_start()
        .trim_start_matches("(press TAB for no echo)");
    typed.trim().is_empty() || typed.trim_start().starts_with('[')
}

/// Whether one of these patterns (`*`, `?`) fits what systemd shows of a unit, or what SELinux says: all
/// of it, the unit's name alone, or its description alone; a shortened one, if it may be that unit.
pub fn allows(patterns: &[Pattern], shown: &str) -> bool {
    let (name, description) = shown.split_once(" - ").unwrap_or((shown, shown));
    let fits = |pattern: &Pattern| {
        [shown, name, description]
            .iter()
            .any(|text| pattern.matches(text))
            || shortened_from(name, pattern.as_str())
    };
    patterns.iter().any(fits)
}

/// Whether `shown` is `whole` with something left out at its `…`.
pub fn shortened_from(shown: &str, whole: &str) -> bool {
    shown.split_once('…').is_some_and(|(begin, _)| {
        // What follows the mark may be of the description.
        begin.len() >= 4 && whole.starts_with(begin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_signs() {
        use Sign::*;
        let text = |text: &str| text.to_owned();
        for (line, sign) in [
            (
                "[    0.000000] Linux version 6.1.0-57-cloud-amd64 (a@b) (gcc",
                Some(Kernel(Some(text("6.1.0-57-cloud-amd64")))),
            ),
            (
                "[    1.200000] virtio_net virtio0 enp0s2: renamed from eth0",
                Some(Kernel(None)),
            ),
            ("[   14.3] systemd[1]: Mounting x.mount...", Some(Init)),
            (
                "[  OK  ] Started dbus.service - D-Bus System Message Bus.",
                Some(Init),
            ),
            ("Welcome to Rocky Linux 9.4 (Blue Onyx)!", Some(Init)),
            (
                "[  OK  ] Reached target multi-user.target - Multi-User System.",
                Some(Target(text("multi-user.target - Multi-User System"))),
            ),
            (
                "[  OK  ] Reached target Multi-User System.",
                Some(Target(text("Multi-User System"))),
            ),
            ("web login:", Some(Prompt)),
            (
                "localhost login: [   41.2] random: crng init done",
                Some(Prompt),
            ),
            ("Last login: Tue", None),
            ("hello from web.ks", None),
            (
                "[FAILED] Failed to start a.service - The A.",
                Some(FailedUnit(text("a.service - The A"))),
            ),
            (
                "[FAILED] Failed to mount /data.",
                Some(FailedUnit(text("/data"))),
            ),
            (
                "[DEPEND] Dependency failed for /data.",
                Some(FailedUnit(text("/data"))),
            ),
            (
                "[ TIME ] Timed out waiting for device /dev/sdz.",
                Some(FailedUnit(text("device /dev/sdz"))),
            ),
            (
                "[   14.3] systemd[1]: a.service: Failed with result 'exit-code'.",
                Some(FailedUnit(text("a.service"))),
            ),
            (
                "[   9.1] audit: type=1400 audit(1:2): avc:  denied  { read } for  pid=1",
                Some(Denial(text("avc:  denied  { read } for  pid=1"))),
            ),
            ("[   40.1] reboot: Restarting system", Some(Reboot)),
            (
                "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs",
                Some(Fatal(Reason::KernelPanic)),
            ),
            (
                "You are in emergency mode. After logging in, type",
                Some(Fatal(Reason::EmergencyMode)),
            ),
            ("dracut:/# ", Some(Fatal(Reason::EmergencyMode))),
            ("grub rescue> ", Some(Fatal(Reason::NothingBootable))),
        ] {
            assert_eq!(sign_of(line), sign, "{line}");
        }
    }

    #[test]
    fn patterns_fit_names_descriptions_and_what_is_shortened() {
        let patterns = |text: &str| [Pattern::new(text).unwrap()];
        for (pattern, shown, fits) in [
            ("a.service", "a.service - The A", true),
            ("The A", "a.service - The A", true),
            ("a.*", "a.service", true),
            ("b.service", "a.service - The A", false),
            (
                "systemd-machine-id-commit.service",
                "systemd-machine-i… a transient machine-id on disk",
                true,
            ),
            (
                "systemd-networkd.service",
                "systemd-machine-i… a transient machine-id on disk",
                false,
            ),
            ("*{ read }*", "avc:  denied  { read } for  pid=1", true),
        ] {
            assert_eq!(allows(&patterns(pattern), shown), fits, "{pattern} {shown}");
        }
        assert!(!allows(&[], "a"));
    }
}
