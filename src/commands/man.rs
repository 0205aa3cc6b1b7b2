//! `ozr man`

use anyhow::Context;
use clap_mangen::roff::{Roff, bold, roman};

use crate::error::{Kind, failure};
use crate::options::config;
use crate::ui::{printer, trace};

/// `ozr man [COMMAND]`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the page of this command
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints the manual page of `ozr`, or of one of its commands. `exit_status` is the text that
/// `--help` shows of the exit statuses.
///
/// # Errors
/// There is no such command.
pub fn run(args: &Args, cli: clap::Command, exit_status: &str) -> anyhow::Result<()> {
    let page = match &args.command {
        None => whole_page(cli, exit_status),
        Some(name) => command_page(cli, name)?,
    };
    let page = page.context("writing the manual page")?;
    printer::print_text(&String::from_utf8_lossy(&page));
    Ok(())
}

fn command_page(mut cli: clap::Command, name: &str) -> anyhow::Result<std::io::Result<Vec<u8>>> {
    cli.build();
    let Some(command) = cli.find_subcommand(name) else {
        let known: Vec<_> = cli
            .get_subcommands()
            .map(|known| known.get_name())
            .collect();
        return Err(failure(
            Kind::Input,
            format!(
                "there is no command `{name}`; the commands are {}",
                known.join(", ")
            ),
        ));
    };
    let command = command.clone().display_name(format!("ozr-{name}"));
    let mut page = Vec::new();
    Ok(clap_mangen::Man::new(command)
        .render(&mut page)
        .map(|()| page))
}

fn whole_page(cli: clap::Command, exit_status: &str) -> std::io::Result<Vec<u8>> {
    // The exit statuses have a section of their own here.
    let man = clap_mangen::Man::new(cli.after_help(""));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;

    let mut rest = Roff::new();
    rest.control("SH", ["EXIT STATUS"]);
    for line in exit_status.lines().skip(1) {
        let (status, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
        rest.control("TP", []);
        rest.text([bold(status)]);
        rest.text([roman(meaning.trim())]);
    }
    rest.control("SH", ["FILES"]);
    for (file, meaning) in [
        (
            config::SYSTEM_FILE,
            "The site's settings: TOML, whose keys are the long options of ozr install.",
        ),
        (
            "~/.config/ozr/ozr.toml",
            "The user's settings, which stand above the site's.",
        ),
        (
            "/var/cache/ozr, ~/.cache/ozr",
            "Kernels and initrds that were fetched, shared by all builds.",
        ),
        (
            "NAME.qcow2, NAME.qcow2.sha256",
            "The finished image and its digest, as sha256sum -c reads it.",
        ),
        (
            "NAME.manifest.json",
            "What was built from what, and how long it took.",
        ),
        ("NAME.console.log", "What the guest said."),
        ("NAME.xml", "A libvirt domain that boots the image."),
        (".NAME.ozr/", "The work directory of a running build."),
    ] {
        rest.control("TP", []);
        rest.text([bold(file)]);
        rest.text([roman(meaning)]);
    }
    rest.control("SH", ["ENVIRONMENT"]);
    for (variable, meaning) in [
        (
            "LIBVIRT_DEFAULT_URI",
            "The libvirt connection, where --connect names none.",
        ),
        (
            "http_proxy, https_proxy, no_proxy",
            "Proxies for the mirror.",
        ),
        (
            trace::VARIABLE,
            "A filter for ozr's own trace, such as ozr::host=debug.",
        ),
    ] {
        rest.control("TP", []);
        rest.text([bold(variable)]);
        rest.text([roman(meaning)]);
    }
    rest.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}
