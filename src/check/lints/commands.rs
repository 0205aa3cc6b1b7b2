//! Single commands of scripts: those that wait, go on unseen, do nothing where they stand, or are
//! written wrong often.

use super::Check;
use super::shell::{Command, Joint};
use crate::check::rules::Rule;
use crate::language::Version;

/// KS175, KS176, KS178, KS182, KS183, KS185 to KS187 and KS189.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS175",
        title: "a pattern in quotes",
        explanation: "\
            In quotes `*` is no pattern for a shell: `rm -f \"/etc/udev/rules.d/70*\"` removes a file \
            of that very name, which is not there, and `-f` says nothing.\n\n\
            Take the quotes away from the pattern: `rm -f \"$dir\"/70*`.",
    },
    Rule {
        id: "KS176",
        title: "several kernels taken for one",
        explanation: "\
            `rpm -q kernel` says one line for each kernel that is installed. An image has two as \
            soon as updates are installed in it, or a debug or realtime kernel, and then the value \
            has two lines.\n\n\
            Take one: `rpm -q kernel | sort -V | tail -n 1`, or loop over them.",
    },
    Rule {
        id: "KS178",
        title: "logs are removed before they are written",
        explanation: "\
            The installer copies its logs to /var/log/anaconda, and the kickstart to \
            /root/original-ks.cfg, in a `%post` of its own that runs after all others (anaconda, \
            data/post-scripts/99-copy-logs.ks, RHEL 7 and later), so that removing them in a `%post` \
            has no effect.\n\n\
            Start the installer with `inst.nosave=all_ks,logs` (RHEL 8 and later; `<kernelparam>` \
            of a template), or clean the finished image with virt-sysprep.",
    },
    Rule {
        id: "KS182",
        title: "a script that talks to a person",
        explanation: "\
            The script changes to another console (`chvt`) or reads from a terminal. In an \
            unattended install nobody sees or answers it; a `read` waits for ever. Where there is \
            only a serial console, opening /dev/tty3 or the like may fail.\n\n\
            Remove it. To follow a script write its output to a file with `--log`, or to \
            /dev/console.",
    },
    Rule {
        id: "KS183",
        title: "a script that leaves something running",
        explanation: "\
            The installer reads a script's output until everything that was started has closed it \
            (anaconda, core/kickstart/scripts.py). A program in the background keeps it open, and \
            the installer waits after the script has ended; in `%post` it also keeps the image's \
            file system busy.\n\n\
            Redirect the program's output (`>/dev/null 2>&1`), or do not start it.",
    },
    Rule {
        id: "KS185",
        title: "a download whose failure nobody sees",
        explanation: "\
            The script goes on when this download fails, or takes a server's error page for the \
            file: the installation succeeds, and the image lacks the file. `curl` fails for HTTP \
            errors only with `-f`; a pipe has the status of its last command; in `a && b` no \
            failure of `a` ends a script, with `set -e` either; and without `set -e` only the last \
            command of a script counts.\n\n\
            Begin the script with `set -eo pipefail` and its section with `%post --erroronfail`, \
            write `curl -f`, or put `|| exit 1` behind the command. What is downloaded into a file \
            first and then used can be checked (`sha256sum -c`), what is piped cannot.",
    },
    Rule {
        id: "KS186",
        title: "a service is started during the installation",
        explanation: "\
            A `%post` and a template's commands run in the installed system's folder, where no \
            systemd runs: `systemctl start` and `restart` say \"Running in chroot, ignoring command\" \
            and succeed (systemd, systemctl-start-unit.c). On RHEL 6 `service X start` does start a \
            process, which keeps the image's file system busy. Oz runs a template's commands in \
            the booted system; `ozr install` does not boot it.\n\n\
            Write `systemctl enable X`, and leave the start to the first boot; what needs the \
            running service belongs into a unit or a cloud-init script.",
    },
    Rule {
        id: "KS187",
        title: "a script that switches the machine off",
        explanation: "\
            The script restarts or switches off the machine in the middle of the installation: what \
            comes after it (other scripts, logs, the boot loader's last touch) never runs, and the \
            image is taken for a failed one.\n\n\
            Delete it: the kickstart's `poweroff` or `reboot` does it at the end. A command of a \
            template needs no restart, because the image is booted when it is used.",
    },
    Rule {
        id: "KS189",
        title: "dracut for the installer's kernel",
        explanation: "\
            Without a kernel version dracut makes the initramfs of the kernel that runs, and in a \
            `%post` that is the installer's, not the installed one (dracut(8); `uname -r` says the \
            same). Where the two differ, the image's own initramfs stays as it was, or dracut fails \
            for lack of modules.\n\n\
            Write `dracut -f --regenerate-all`, or name the version: `kver=$(rpm -q --qf \
            '%{version}-%{release}.%{arch}\\n' kernel | tail -n 1); dracut -f --kver \"$kver\"`.",
    },
];

/// Nothing by itself: [`super::scripts`] looks at each script.
pub const CHECKS: &[Check] = &[];

/// Where a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before the installation, or when it fails.
    Installer,
    /// In the installed system's folder (`%post`).
    Installed,
    /// After the installation, in the installer (`%post --nochroot`).
    Outside,
}

/// What is said of one command.
#[derive(Debug)]
pub struct Said {
    /// The rule.
    pub id: &'static str,
    /// What is wrong.
    pub message: &'static str,
    /// What to do.
    pub help: &'static str,
}

fn said(id: &'static str, message: &'static str, help: &'static str) -> Option<Said> {
    Some(Said { id, message, help })
}

/// Whether the first failure ends the script.
pub fn ends_at_failures(commands: &[Command<'_>]) -> bool {
    let sets = |command: &Command<'_>| {
        command.name() == "set"
            && (command.has('e', &[]) || command.arguments().any(|word| word == "errexit"))
            || command.name() == "trap" && command.words.last() == Some(&"ERR")
    };
    commands.iter().any(sets)
}

/// Most findings about the commands of one script: nobody reads more.
const MAX_FINDINGS: usize = 100;

/// What is said of the commands of one script, up to a hundred findings.
pub fn judged<'c, 'a>(
    commands: &'c [Command<'a>],
    place: Place,
    version: Version,
) -> impl Iterator<Item = (&'c Command<'a>, Said)> {
    let ends = ends_at_failures(commands);
    let pipefail = commands.iter().any(|command| {
        command.name() == "set" && command.arguments().any(|word| word == "pipefail")
    });
    let waits = commands.iter().any(|command| command.name() == "wait");
    commands
        .iter()
        .enumerate()
        .flat_map(move |(index, command)| {
            let installed = place == Place::Installed;
            let after = &commands[index + 1..];
            let found = [
                talk(command),
                background(command).filter(|_| !waits),
                unseen_download(command, after, ends, pipefail)
                    .filter(|_| place != Place::Installer),
                service(command).filter(|_| installed),
                power(command).filter(|_| place != Place::Installer),
                quoted_pattern(command),
                dracut(command).filter(|_| installed),
                kernels(command).filter(|_| installed),
                logs(command).filter(|_| place != Place::Installer && version != Version::Rhel(6)),
            ];
            found.into_iter().flatten().map(move |said| (command, said))
        })
        .take(MAX_FINDINGS)
}

/// What a command does that needs a person.
fn talk(command: &Command<'_>) -> Option<Said> {
    let help = "remove it; `--log=FILE` or /dev/console show what a script says";
    match command.name() {
        "chvt" | "openvt" => {
            return said(
                "KS182",
                "the script changes the console, which nobody looks at",
                help,
            );
        }
        "read"
            if !command.is_redirected('<')
                && !command.is_condition
                && command.before != Joint::Pipe =>
        {
            return said(
                "KS182",
                "`read` waits for an answer that nobody gives",
                help,
            );
        }
        _ => {}
    }
    // `exec` alone changes the script's own input.
    let first = command.words.first().copied().unwrap_or_default();
    let takes = command.name() == "read" || first.starts_with('<');
    if !takes || !command.words.iter().any(|word| word.contains("/dev/tty")) {
        return None;
    }
    said(
        "KS182",
        "the script reads from a terminal, where nobody answers",
        help,
    )
}

fn background(command: &Command<'_>) -> Option<Said> {
    if command.after != Joint::Background || command.is_redirected('>') {
        return None;
    }
    said(
        "KS183",
        "this runs on in the background, and the installer waits for its output",
        "redirect its output with `>/dev/null 2>&1`, or do not start it",
    )
}

/// A download that may fail, or bring an error page, without an effect on the script.
fn unseen_download(
    command: &Command<'_>,
    after: &[Command<'_>],
    ends: bool,
    pipefail: bool,
) -> Option<Said> {
    let is_curl = match command.name() {
        "curl" => true,
        "wget" if !command.has(' ', &["spider"]) => false,
        _ => return None,
    };
    let nowhere = command.words.contains(&"/dev/null") || command.words.contains(&">/dev/null");
    let kept = command.is_redirected('>')
        || command.after == Joint::Pipe
        || command.within.is_some()
        || command.has('o', &["output", "remote-name", "remote-name-all"])
        || command.has('O', &[]);
    if nowhere || is_curl && !kept {
        return None;
    }
    if is_curl && !command.has('f', &["fail", "fail-with-body"]) {
        return said(
            "KS185",
            "without `-f` curl takes a server's error page for the file",
            "write `curl -f`, so that an error of the server is one of the script",
        );
    }
    if command.is_condition {
        return None;
    }
    // What stands behind it in the same list.
    let mut joint = command.after;
    let mut next = after.iter().filter(|other| other.within == command.within);
    let mut piped = false;
    while let Joint::Pipe | Joint::And = joint {
        piped |= joint == Joint::Pipe;
        let Some(other) = next.next() else { break };
        joint = other.after;
    }
    if joint == Joint::Or && (!piped || pipefail) {
        return None;
    }
    if piped && !pipefail {
        return said(
            "KS185",
            "the script goes on when this download fails: a pipe has the status of its last command",
            "download into a file first, or write `set -eo pipefail` at the beginning of the script",
        );
    }
    // Only what comes last decides the status of the script.
    let is_last = command.within.is_none() && next.next().is_none();
    if is_last || ends && command.after != Joint::And && command.after != Joint::Background {
        return None;
    }
    said(
        "KS185",
        "the script goes on when this download fails",
        "write `set -e` as the first line of the script (and `%post --erroronfail`), or `|| exit 1` behind it",
    )
}

fn service(command: &Command<'_>) -> Option<Said> {
    let mut words = command.arguments().filter(|word| !word.starts_with('-'));
    let acts = |verb: &str| {
        matches!(
            verb,
            "start"
                | "restart"
                | "reload"
                | "try-restart"
                | "reload-or-restart"
                | "condrestart"
                | "isolate"
        )
    };
    let starts = match command.name() {
        "systemctl" => words.next().is_some_and(acts),
        "service" => words.nth(1).is_some_and(acts),
        _ if command
            .words
            .first()
            .is_some_and(|word| word.starts_with("/etc/init.d/")) =>
        {
            words.next().is_some_and(acts)
        }
        _ => false,
    };
    if !starts {
        return None;
    }
    said(
        "KS186",
        "no service manager runs during the installation, so this starts nothing",
        "write `systemctl enable`, and leave the start to the first boot",
    )
}

fn power(command: &Command<'_>) -> Option<Said> {
    let first = command.arguments().find(|word| !word.starts_with('-'));
    let goes_off = match command.name() {
        "reboot" | "poweroff" | "halt" => !command.has(' ', &["help"]),
        "shutdown" => !command.has('c', &[]),
        "init" | "telinit" => matches!(first, Some("0" | "6")),
        "systemctl" => matches!(first, Some("reboot" | "poweroff" | "halt" | "kexec")),
        _ => false,
    };
    if !goes_off {
        return None;
    }
    said(
        "KS187",
        "this switches the machine off in the middle of the installation",
        "delete it: the kickstart's own `poweroff` or `reboot` comes at the end",
    )
}

fn quoted_pattern(command: &Command<'_>) -> Option<Said> {
    let quoted = |word: &&&str| {
        let mut quote = None;
        word.starts_with(['"', '\'', '/', '$', '.'])
            && word.chars().any(|c| {
                match (quote, c) {
                    (None, '"' | '\'') => quote = Some(c),
                    (Some(open), _) if open == c => quote = None,
                    (Some(_), '*' | '?') => return true,
                    _ => {}
                }
                false
            })
    };
    if command.name() != "rm" || !command.words.iter().skip(1).any(|word| quoted(&word)) {
        return None;
    }
    said(
        "KS175",
        "a `*` in quotes is no pattern, so this removes nothing",
        "take the quotes away from the pattern",
    )
}

fn dracut(command: &Command<'_>) -> Option<Said> {
    const WITH_VALUES: [&str; 12] = [
        "-a",
        "-o",
        "-m",
        "-d",
        "-I",
        "-i",
        "-c",
        "-k",
        "-l",
        "--add",
        "--omit",
        "--add-drivers",
    ];
    if command.name() != "dracut"
        || command.has(
            ' ',
            &[
                "regenerate-all",
                "help",
                "version",
                "list-modules",
                "print-cmdline",
            ],
        )
    {
        return None;
    }
    let words: Vec<&str> = command.arguments().collect();
    let running = command.words.iter().any(|word| word.contains("uname -r"));
    let positionals = words.iter().enumerate().filter(|(at, word)| {
        let value = at
            .checked_sub(1)
            .is_some_and(|before| WITH_VALUES.contains(&words[before]));
        !word.starts_with('-') && !value
    });
    // Behind the image's name stands the version.
    let named = command.has(' ', &["kver"]) || positionals.count() >= 2;
    if named && !running {
        return None;
    }
    said(
        "KS189",
        "this makes the initramfs of the installer's kernel, not of the installed one",
        "write `dracut -f --regenerate-all`, or name the installed kernel's version with `--kver`",
    )
}

fn kernels(command: &Command<'_>) -> Option<Said> {
    let asks = command.name() == "rpm"
        && command.has('q', &["query"])
        && !command.has(' ', &["last"])
        && command.arguments().any(|word| {
            matches!(
                word,
                "kernel" | "kernel-core" | "kernel-uek" | "kernel-uek-core"
            )
        });
    let taken = command.within.is_some_and(|outer| outer != "for");
    if !asks || !taken || command.after == Joint::Pipe {
        return None;
    }
    said(
        "KS176",
        "with two kernels installed this is two lines, and the value is taken for one",
        "take one of them: `rpm -q kernel | sort -V | tail -n 1`",
    )
}

fn logs(command: &Command<'_>) -> Option<Said> {
    const WRITTEN_LATER: [&str; 2] = ["/var/log/anaconda", "/root/original-ks.cfg"];
    let removes = matches!(command.name(), "rm" | "shred" | "truncate")
        && command
            .arguments()
            .any(|word| WRITTEN_LATER.iter().any(|path| word.contains(path)));
    if !removes {
        return None;
    }
    said(
        "KS178",
        "the installer writes this after all `%post` scripts, so it comes back",
        "start the installer with `inst.nosave=all_ks,logs` (RHEL 8 and later), or clean the finished image",
    )
}
