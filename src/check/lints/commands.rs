//! Single commands of scripts: those that wait, go on unseen, do nothing where they stand, or are
//! written wrong often.

use super::image::service_here;
use crate::check::shell::{self, Command, Joint};
use crate::language::Version;

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

/// A rule for single commands.
#[derive(Debug)]
pub struct CommandLint {
    /// Its id.
    pub id: &'static str,
    /// Where it holds.
    places: &'static [Place],
    /// Whether it is broken by the command of this number.
    is_broken: fn(&Script<'_>, usize) -> bool,
    /// What is wrong.
    pub message: &'static str,
    /// What to do.
    pub help: &'static str,
}

const EVERYWHERE: &[Place] = &[Place::Installer, Place::Installed, Place::Outside];
const AFTERWARDS: &[Place] = &[Place::Installed, Place::Outside];
const INSTALLED: &[Place] = &[Place::Installed];

const FOLLOW: &str = "remove it; `--log=FILE` or /dev/console show what a script says";

/// KS175, KS176, KS178, KS179, KS182, KS183, KS185 to KS187 and KS189.
const LINTS: [CommandLint; 14] = [
    CommandLint {
        id: "KS182",
        places: EVERYWHERE,
        is_broken: |script, at| matches!(script.commands[at].name(), "chvt" | "openvt"),
        message: "the script changes the console, which nobody looks at",
        help: FOLLOW,
    },
    CommandLint {
        id: "KS182",
        places: EVERYWHERE,
        is_broken: |script, at| waits_for_answer(&script.commands[at]),
        message: "`read` waits for an answer that nobody gives",
        help: FOLLOW,
    },
    CommandLint {
        id: "KS182",
        places: EVERYWHERE,
        is_broken: |script, at| reads_terminal(&script.commands[at]),
        message: "the script reads from a terminal, where nobody answers",
        help: FOLLOW,
    },
    CommandLint {
        id: "KS183",
        places: EVERYWHERE,
        is_broken: runs_on,
        message: "this runs on in the background, and the installer waits for its output",
        help: "redirect its output with `>/dev/null 2>&1`, or do not start it",
    },
    CommandLint {
        id: "KS185",
        places: AFTERWARDS,
        is_broken: |script, at| unseen_download(script, at) == Some(Unseen::ErrorPage),
        message: "without `-f` curl takes a server's error page for the file",
        help: "write `curl -f`, so that an error of the server is one of the script",
    },
    CommandLint {
        id: "KS185",
        places: AFTERWARDS,
        is_broken: |script, at| unseen_download(script, at) == Some(Unseen::Piped),
        message: "the script goes on when this download fails: a pipe has the status of its last command",
        help: "download into a file first, or write `set -eo pipefail` at the beginning of the script",
    },
    CommandLint {
        id: "KS185",
        places: AFTERWARDS,
        is_broken: |script, at| unseen_download(script, at) == Some(Unseen::Failure),
        message: "the script goes on when this download fails",
        help: "write `set -e` as the first line of the script (and `%post --erroronfail`), or `|| exit 1` behind it",
    },
    CommandLint {
        id: "KS186",
        places: INSTALLED,
        is_broken: |script, at| starts_service(&script.commands[at]),
        message: "no service manager runs during the installation, so this starts nothing",
        help: "write `systemctl enable`, and leave the start to the first boot",
    },
    CommandLint {
        id: "KS179",
        places: INSTALLED,
        is_broken: enables_other_name,
        message: "this is Debian's name of a service: the release has none of that name, unless something of yours brings it",
        help: "write `sshd`, `crond`, `httpd`, `chronyd` or `NetworkManager`",
    },
    CommandLint {
        id: "KS187",
        places: AFTERWARDS,
        is_broken: |script, at| switches_off(&script.commands[at]),
        message: "this switches the machine off in the middle of the installation",
        help: "delete it: the kickstart's own `poweroff` or `reboot` comes at the end",
    },
    CommandLint {
        id: "KS175",
        places: EVERYWHERE,
        is_broken: |script, at| removes_quoted_pattern(&script.commands[at]),
        message: "a `*` in quotes is no pattern, so this removes nothing",
        help: "take the quotes away from the pattern",
    },
    CommandLint {
        id: "KS189",
        places: INSTALLED,
        is_broken: |script, at| takes_running_kernel(&script.commands[at]),
        message: "this makes the initramfs of the installer's kernel, not of the installed one",
        help: "write `dracut -f --regenerate-all`, or name the installed kernel's version with `--kver`",
    },
    CommandLint {
        id: "KS176",
        places: INSTALLED,
        is_broken: takes_one_kernel,
        message: "with two kernels installed this is two lines, and the value is taken for one",
        help: "take one of them: `rpm -q kernel | sort -V | tail -n 1`",
    },
    CommandLint {
        id: "KS178",
        places: AFTERWARDS,
        is_broken: |script, at| removes_logs(&script.commands[at]),
        message: "the installer writes this after all `%post` scripts, so it comes back",
        help: "start the installer with `inst.nosave=all_ks,logs` (RHEL 8 and later), or clean the finished image",
    },
];

/// Most findings about the commands of one script: nobody reads more.
pub const MAX_FINDINGS: usize = 100;

/// The commands of a script, and what holds for all of them.
#[derive(Debug)]
pub struct Script<'a> {
    /// In their order.
    pub commands: Vec<Command<'a>>,
    /// The first failure ends the script.
    pub ends_at_failures: bool,
    pipefail: bool,
    waits: bool,
}

impl<'a> Script<'a> {
    /// Reads a script that begins at byte `offset` of a text.
    pub fn new(text: &'a str, offset: usize) -> Script<'a> {
        let commands = shell::commands(text, offset);
        let sets = |option: &str| {
            let mut all = commands.iter().filter(|command| command.name() == "set");
            all.any(|command| command.arguments().any(|word| word == option))
        };
        let ends = |command: &Command<'_>| match command.name() {
            "set" => command.has('e', &[]),
            "trap" => command.words.last() == Some(&"ERR"),
            _ => false,
        };
        Script {
            ends_at_failures: sets("errexit") || commands.iter().any(ends),
            pipefail: sets("pipefail"),
            waits: commands.iter().any(|command| command.name() == "wait"),
            commands,
        }
    }

    /// The rules that the commands break, in their order: one more than [`MAX_FINDINGS`] at most,
    /// which is to be told as the end.
    pub fn judge(
        &self,
        place: Place,
        version: Version,
    ) -> impl Iterator<Item = (&Command<'a>, &'static CommandLint)> {
        // Since RHEL 7 the logs are copied when all scripts have run.
        let holds = move |lint: &&CommandLint| {
            lint.places.contains(&place) && (lint.id != "KS178" || version != Version::Rhel(6))
        };
        let commands = self.commands.iter().enumerate();
        let broken = commands.flat_map(move |(at, command)| {
            let lints = LINTS.iter().filter(holds);
            let broken = lints.filter(move |lint| (lint.is_broken)(self, at));
            broken.map(move |lint| (command, lint))
        });
        broken.take(MAX_FINDINGS + 1)
    }
}

fn waits_for_answer(command: &Command<'_>) -> bool {
    command.name() == "read"
        && !command.is_redirected('<')
        && !command.is_condition
        && command.before != Joint::Pipe
}

fn reads_terminal(command: &Command<'_>) -> bool {
    // `exec` alone changes the script's own input.
    let takes_input = command.words[0].starts_with('<');
    (command.name() == "read" && !waits_for_answer(command) || takes_input)
        && command.words.iter().any(|word| word.contains("/dev/tty"))
}

fn runs_on(script: &Script<'_>, at: usize) -> bool {
    let command = &script.commands[at];
    command.after == Joint::Background && !command.is_redirected('>') && !script.waits
}

/// What nobody sees of a download.
#[derive(PartialEq)]
enum Unseen {
    /// That an error page came in place of the file.
    ErrorPage,
    /// That it failed, because of a pipe.
    Piped,
    /// That it failed.
    Failure,
}

/// What may go wrong with a download without an effect on the script.
fn unseen_download(script: &Script<'_>, at: usize) -> Option<Unseen> {
    let command = &script.commands[at];
    let is_curl = match command.name() {
        "curl" => true,
        "wget" if !command.has(' ', &["spider"]) => false,
        _ => return None,
    };
    let nowhere = ["/dev/null", ">/dev/null"]
        .iter()
        .any(|to| command.words.contains(to));
    let kept = command.is_redirected('>')
        || command.after == Joint::Pipe
        || command.within.is_some()
        || command.has('o', &["output", "remote-name", "remote-name-all"])
        || command.has('O', &[]);
    if nowhere || is_curl && !kept {
        return None;
    }
    if is_curl && !command.has('f', &["fail", "fail-with-body"]) {
        return Some(Unseen::ErrorPage);
    }
    if command.is_condition {
        return None;
    }
    // What stands behind it in the same list.
    let behind = script.commands[at + 1..].iter();
    let mut behind = behind.filter(|other| other.within == command.within);
    let mut joint = command.after;
    let mut piped = false;
    while let Joint::Pipe | Joint::And = joint {
        piped |= joint == Joint::Pipe;
        let Some(other) = behind.next() else { break };
        joint = other.after;
    }
    let piped = piped && !script.pipefail;
    // Only what comes last decides the status of the script.
    let is_last = command.within.is_none() && behind.next().is_none();
    let ends = script.ends_at_failures && !matches!(command.after, Joint::And | Joint::Background);
    if piped {
        Some(Unseen::Piped)
    } else {
        (joint != Joint::Or && !is_last && !ends).then_some(Unseen::Failure)
    }
}

/// Whether a verb of `systemctl` or of a service's script starts something.
fn is_start(verb: &str) -> bool {
    const STARTS: [&str; 7] = [
        "start",
        "restart",
        "reload",
        "try-restart",
        "reload-or-restart",
        "condrestart",
        "isolate",
    ];
    STARTS.contains(&verb)
}

fn starts_service(command: &Command<'_>) -> bool {
    let mut words = command.arguments().filter(|word| !word.starts_with('-'));
    match command.name() {
        "systemctl" => words.next().is_some_and(is_start),
        "service" => words.nth(1).is_some_and(is_start),
        _ => command.words[0].starts_with("/etc/init.d/") && words.next().is_some_and(is_start),
    }
}

/// Where the script asks whether it works, or writes the service itself, it knows what it does.
fn enables_other_name(script: &Script<'_>, at: usize) -> bool {
    let command = &script.commands[at];
    let mut words = command.arguments().filter(|word| !word.starts_with('-'));
    if command.name() != "systemctl" || words.next() != Some("enable") {
        return false;
    }
    let is_asked = command.is_condition || [command.before, command.after].contains(&Joint::Or);
    let is_written = |name: &str| {
        let file = format!("/{}.service", name.trim_end_matches(".service"));
        let mut all = script.commands.iter().flat_map(|other| &other.words);
        all.any(|word| word.contains(&file))
    };
    !is_asked && words.any(|name| service_here(name).is_some() && !is_written(name))
}

fn switches_off(command: &Command<'_>) -> bool {
    let first = command.arguments().find(|word| !word.starts_with('-'));
    match command.name() {
        "reboot" | "poweroff" | "halt" => !command.has(' ', &["help"]),
        "shutdown" => !command.has('c', &[]),
        "init" | "telinit" => matches!(first, Some("0" | "6")),
        "systemctl" => matches!(first, Some("reboot" | "poweroff" | "halt" | "kexec")),
        _ => false,
    }
}

fn removes_quoted_pattern(command: &Command<'_>) -> bool {
    let is_quoted = |word: &&str| {
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
    command.name() == "rm" && command.words[1..].iter().any(is_quoted)
}

fn takes_running_kernel(command: &Command<'_>) -> bool {
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
    const ASKING: [&str; 5] = [
        "regenerate-all",
        "help",
        "version",
        "list-modules",
        "print-cmdline",
    ];
    if command.name() != "dracut" || command.has(' ', &ASKING) {
        return false;
    }
    let mut before = "";
    let positionals = command.arguments().filter(|word| {
        let before = std::mem::replace(&mut before, word);
        !word.starts_with('-') && !WITH_VALUES.contains(&before)
    });
    // Behind the image's name stands the version.
    let named = positionals.count() >= 2 || command.has(' ', &["kver"]);
    !named || command.words.iter().any(|word| word.contains("uname -r"))
}

/// Whether a command hands on as many lines as it gets.
fn keeps_lines(command: &Command<'_>) -> bool {
    let substitutes = |word: &str| word.starts_with("s/") || word == "-e";
    match command.name() {
        "cut" => true,
        "sed" => command.arguments().all(substitutes),
        _ => false,
    }
}

fn takes_one_kernel(script: &Script<'_>, at: usize) -> bool {
    let command = &script.commands[at];
    const KERNELS: [&str; 4] = ["kernel", "kernel-core", "kernel-uek", "kernel-uek-core"];
    command.name() == "rpm"
        && command.has('q', &["query"])
        && !command.has(' ', &["last"])
        && command.arguments().any(|word| KERNELS.contains(&word))
        && command.within.is_some_and(|outer| outer != "for")
        && ends_in_lines(&script.commands[at..])
}

/// Whether the lines of the first command come out at the end of its pipe.
fn ends_in_lines(commands: &[Command<'_>]) -> bool {
    let behind = commands.iter().skip(1);
    let mut behind = behind.filter(|other| other.within == commands[0].within);
    let mut joint = commands[0].after;
    while joint == Joint::Pipe {
        match behind.next() {
            Some(next) if keeps_lines(next) => joint = next.after,
            _ => return false,
        }
    }
    true
}

fn removes_logs(command: &Command<'_>) -> bool {
    let is_log =
        |word: &str| word.contains("/var/log/anaconda") || word.contains("/root/original-ks.cfg");
    matches!(command.name(), "rm" | "shred" | "truncate") && command.arguments().any(is_log)
}
