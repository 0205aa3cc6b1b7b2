//! `ozr man`

use anyhow::Context;
use clap_mangen::roff::{Roff, bold, roman};

use super::{
    attach, boot_test, build, check, convert, customize, diff, gc, history, inspect, install,
    media, needs_rebuild, new, oz, shipped, trial, verify, write,
};
use crate::error::{Kind, fail};
use crate::options::config;
use crate::ui::{self, printer};

/// `ozr man [COMMAND]`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the page of this command, which may be one of Oz's (oz-install)
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Entries of a section: what it is, and what it means.
type Entries = &'static [(&'static str, &'static str)];

/// Files that are there for every command.
const FILES: Entries = &[
    (
        config::SYSTEM_FILE,
        "The site's settings: TOML, whose keys are the long options of ozr install, and in the table \
         [check] those of ozr check: release, allow, strict.",
    ),
    (
        "~/.config/ozr/ozr.toml",
        "The user's settings, which stand above the site's ($XDG_CONFIG_HOME/ozr/ozr.toml where \
         that variable is set).",
    ),
    (
        "./ozr.toml",
        "The project's settings, in the working directory, which stand above the user's. The command line \
         and the environment stand above all files.",
    ),
    (
        "/var/cache/ozr, ~/.cache/ozr",
        "Kernels and initrds that were fetched, and what libvirt learnt about QEMU; root's and \
         everybody else's. Shared by all builds.",
    ),
    (
        "/var/lib/ozr, ~/.local/state/ozr",
        "Root's and everybody else's ($XDG_STATE_HOME/ozr where that variable is set). In builds \
         which builds there are: who finds an entry that nobody holds locked removes what that \
         build left. In guests whose guests run, and in history the builds that have ended, for ozr history, \
         for the names of builds, and for estimates; both may be removed.",
    ),
    (
        "/run/ozr, $XDG_RUNTIME_DIR/ozr, /tmp/ozr-UID",
        "Sockets and libvirt's private state of running builds: root's, a user's, and a user's \
         without a runtime directory. ozr list and ozr screenshot ask a build over the socket \
         control in its directory there.",
    ),
];

/// Files that an install writes.
const INSTALL_FILES: Entries = &[
    (
        "NAME.qcow2, NAME.raw, NAME.vhd, ...",
        "The finished images, by their formats: docs/formats.md.",
    ),
    (
        "NAME.CHECKSUM",
        "The images' sizes and digests, as sha256sum -c reads them.",
    ),
    (
        "NAME.manifest.json",
        "What was built from what, on which host, and how long each phase took.",
    ),
    (
        "NAME.served.ks",
        "The kickstart as the guest got it, with secrets masked.",
    ),
    ("NAME.console.log", "What the guest's console showed."),
    ("NAME.xml", "A libvirt domain that boots the image."),
    (
        "NAME.failed/",
        "After a failed install, in place of all of these: verdict.txt, verdict.json, console.log, kickstart.ks, \
         domain.xml, qemu.log, access.log (what the guest asked ozr's server for). The next build of that \
         name replaces it or, when it succeeds, removes it.",
    ),
    (
        ".NAME.ozr/",
        "The work directory of a running build. One that a killed build left is removed by the \
         next build of that name.",
    ),
];

const ENVIRONMENT: Entries = &[
    (
        "OZR_MEMORY, OZR_OUTPUT_DIR, ...",
        "Each long option of ozr install, in capitals and with _ for -; above the files, below the command \
         line. docs/configuration.md.",
    ),
    (
        config::NAMED_FILE,
        "The only configuration file to read, as with --config.",
    ),
    (
        "LIBVIRT_DEFAULT_URI",
        "The libvirt connection, where --connect names none.",
    ),
    (
        "http_proxy, https_proxy, all_proxy, no_proxy",
        "Proxies for the mirror, also in upper case. The guest reaches a mirror behind a proxy \
         through ozr.",
    ),
    (
        "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR",
        "Where an ordinary user's configuration, cache, register of builds and sockets are.",
    ),
    (
        "NO_COLOR, CLICOLOR_FORCE",
        "Switch colours off, or on where there is no terminal, unless --color says it.",
    ),
    (
        ui::TRACE_VARIABLE,
        "A filter for ozr's own trace, such as ozr::host=debug.",
    ),
];

/// What Oz's users know by other names.
const OZ_OPTIONS: Entries = &[
    ("-a, --auto FILE", "The same as -k."),
    ("--xmlfile FILE", "The same as -x, --xml."),
    ("--force-download", "The same as -f, --refetch."),
    (
        "-u, --customize",
        "Is the default; --no-customize turns it off.",
    ),
    (
        "-c, -d, -m, -n, -b, -p, -t",
        "Mean what they mean in Oz. -t takes 1200 as well as 20m.",
    ),
];

/// Prints the manual page of `ozr`, or of one of its commands. `exit_status` is the text that
/// `--help` shows of the exit statuses.
///
/// # Errors
/// There is no such command.
pub fn run(args: &Args, cli: clap::Command, exit_status: &str) -> anyhow::Result<()> {
    let name = args.command.as_deref();
    let command = match name {
        None => cli.disable_help_subcommand(true),
        Some(name) => match oz::command(name) {
            Some(command) => command,
            None => subcommand(cli, name)?,
        },
    };
    // Exit statuses and examples, which `--help` has at its end, get sections of their own.
    let command = command.after_help("");
    let page = render(command, name, exit_status).context("writing the manual page")?;
    printer::print_text(&String::from_utf8_lossy(&page));
    Ok(())
}

fn subcommand(mut cli: clap::Command, name: &str) -> anyhow::Result<clap::Command> {
    // Gives it the options of all commands.
    cli.build();
    let Some(command) = cli.find_subcommand(name) else {
        let known: Vec<_> = cli
            .get_subcommands()
            .map(|known| known.get_name())
            .collect();
        fail!(
            Kind::Input,
            "there is no command `{name}`; the commands are {}",
            known.join(", ")
        );
    };
    Ok(command.clone().display_name(format!("ozr-{name}")))
}

/// The page of the command `name`, or of all of `ozr`.
fn render(
    command: clap::Command,
    name: Option<&str>,
    exit_status: &str,
) -> std::io::Result<Vec<u8>> {
    let (all, is_install) = (name.is_none(), name == Some("install"));
    let subcommands_of_page: Vec<_> = command.get_subcommands().cloned().collect();
    let source = format!("ozr {}", env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command).source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut rest = Roff::new();
    if all {
        man.render_subcommands_section(&mut page)?;
    } else {
        subcommands(&mut rest, &subcommands_of_page);
    }
    if is_install {
        section(&mut rest, "OPTIONS OF OZ", OZ_OPTIONS);
    }
    rest.control("SH", ["EXIT STATUS"]);
    for line in exit_status.lines().skip(1) {
        let (status, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
        entry(&mut rest, status, meaning.trim());
    }
    if all || is_install {
        section(&mut rest, "FILES", FILES);
        for (file, meaning) in INSTALL_FILES {
            entry(&mut rest, file, meaning);
        }
        section(&mut rest, "ENVIRONMENT", ENVIRONMENT);
    }
    let examples = match name {
        None => [
            install::EXAMPLES,
            build::EXAMPLES,
            new::EXAMPLES,
            boot_test::EXAMPLES,
            attach::EXAMPLES,
            check::EXAMPLES,
            inspect::EXAMPLES,
            diff::EXAMPLES,
            write::EXAMPLES,
            media::EXAMPLES,
        ]
        .concat(),
        Some("install") => install::EXAMPLES.to_vec(),
        Some("build") => build::EXAMPLES.to_vec(),
        Some("try") => trial::EXAMPLES.to_vec(),
        Some("warm") => trial::WARM_EXAMPLES.to_vec(),
        Some("new") => new::EXAMPLES.to_vec(),
        Some("template") => shipped::TEMPLATE_EXAMPLES.to_vec(),
        Some("kickstart") => shipped::KICKSTART_EXAMPLES.to_vec(),
        Some("boot-test") => boot_test::EXAMPLES.to_vec(),
        Some("attach") => attach::EXAMPLES.to_vec(),
        Some("check") => check::EXAMPLES.to_vec(),
        Some("convert") => convert::EXAMPLES.to_vec(),
        Some("customize") => customize::EXAMPLES.to_vec(),
        Some("inspect") => inspect::EXAMPLES.to_vec(),
        Some("diff") => diff::EXAMPLES.to_vec(),
        Some("needs-rebuild") => needs_rebuild::EXAMPLES.to_vec(),
        Some("history") => history::EXAMPLES.to_vec(),
        Some("verify") => verify::EXAMPLES.to_vec(),
        Some("write") => write::EXAMPLES.to_vec(),
        Some("media") => media::EXAMPLES.to_vec(),
        Some("gc") => gc::EXAMPLES.to_vec(),
        Some(_) => Vec::new(),
    };
    if !examples.is_empty() {
        section(&mut rest, "EXAMPLES", &examples);
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text([roman(if all {
        "ozr-install(1), ozr-try(1), ozr-list(1), ozr-attach(1), ozr-screenshot(1), ozr-check(1), \
         ozr-explain(1), ozr-releases(1), ozr-diff-releases(1), ozr-cache(1), ozr-gc(1), \
         ozr-doctor(1), ozr-inspect(1), ozr-write(1), ozr-media(1), virsh(1), qemu-img(1)"
    } else {
        "ozr(1)"
    })]);
    rest.to_writer(&mut page)?;
    if all {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// Describes the subcommands of a command here, because they have no pages of their own.
fn subcommands(page: &mut Roff, commands: &[clap::Command]) {
    let described: Vec<_> = commands
        .iter()
        .filter(|command| command.get_name() != "help")
        .collect();
    if !described.is_empty() {
        page.control("SH", ["SUBCOMMANDS"]);
    }
    for command in described {
        let about = command.get_about().map(ToString::to_string);
        entry(page, command.get_name(), &about.unwrap_or_default());
        let own = command.get_arguments().filter(|argument| {
            !argument.is_global_set() && !matches!(argument.get_id().as_str(), "help" | "version")
        });
        page.control("RS", []);
        for argument in own {
            let help = argument.get_help().map(ToString::to_string);
            let defaults: Vec<_> = argument
                .get_default_values()
                .iter()
                .map(|value| format!(" [default: {}]", value.to_string_lossy()))
                .collect();
            let meaning = help.unwrap_or_default() + &defaults.concat();
            entry(page, argument.to_string().as_str(), &meaning);
        }
        page.control("RE", []);
    }
}

fn section(page: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (name, meaning) in entries {
        entry(page, name, meaning);
    }
}

fn entry(page: &mut Roff, name: &str, meaning: &str) {
    page.control("TP", []);
    page.text([bold(name)]);
    page.text([roman(meaning)]);
}
