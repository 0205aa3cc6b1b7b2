//! `ozr completions`

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use crate::check::rules;
use crate::kickstart::builtin;
use crate::language::Version;
use crate::tdl;
use crate::ui::printer;
use crate::watch::cause::Cause;

/// Prints the completion script of a shell for `command`, the whole program.
///
/// # Errors
/// None.
pub fn run(shell: Shell, command: Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_values(command), "ozr", &mut script);
    printer::print_text(&String::from_utf8_lossy(&script));
    Ok(())
}

/// The program with the words that some arguments are given most often. More are taken than these, so they are
/// for scripts of shells only.
fn with_values(command: Command) -> Command {
    let offer =
        |command: Command, verb: &'static str, argument: &'static str, words: Vec<&'static str>| {
            command.mut_subcommand(verb, |verb| {
                verb.mut_arg(argument, |argument| {
                    argument.value_parser(PossibleValuesParser::new(words))
                })
            })
        };
    let templates = || tdl::shipped::all().iter().map(|template| template.name);
    let kickstarts = builtin::all().iter().map(|kickstart| kickstart.name);
    let rules = rules::all().map(|rule| rule.id);
    let causes = Cause::ALL.iter().map(|cause| cause.name());
    // clap keeps words for as long as the program runs.
    let releases = Version::all().map(|version| &*version.to_string().leak());
    let command = offer(command, "template", "name", templates().collect());
    let command = offer(command, "kickstart", "name", kickstarts.collect());
    let command = offer(command, "new", "release", templates().collect());
    let command = offer(command, "check", "release", releases.collect());
    offer(command, "explain", "id", rules.chain(causes).collect())
}
