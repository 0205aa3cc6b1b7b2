//! `ozr completions`

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
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
    let mut command = with_values(command);
    clap_complete::generate(shell, &mut command, "ozr", &mut script);
    let mut script = with_builds(shell, &String::from_utf8_lossy(&script));
    if shell == Shell::Fish {
        script.push_str(&words_for_fish(&command));
    }
    printer::print_text(&script);
    Ok(())
}

/// The commands that take the name of a running build.
const OF_BUILDS: [&str; 2] = ["attach", "screenshot"];

/// What prints the names of the builds that run.
const BUILDS: &str = r#"ozr list --format json 2>/dev/null | sed -n 's/^{"state":"running",.*"name":"\([^"]*\)","pid".*/\1/p'"#;

/// A script that also offers the builds that run, which only ozr itself can tell when it is asked.
fn with_builds(shell: Shell, script: &str) -> String {
    match shell {
        // The command is the first word that is no option: `ozr -v attach`.
        Shell::Bash => format!(
            "{script}\n_ozr_and_builds() {{\n    _ozr \"$@\"\n    local word verb=\n    \
             for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        \
             case $word in -*) ;; *) verb=$word; break ;; esac\n    done\n    \
             case $verb:$2 in\n    *:-*) ;;\n    \
             {}) [[ $3 == -* ]] || COMPREPLY=()\n        \
             COMPREPLY+=($(compgen -W \"$({BUILDS})\" -- \"$2\")) ;;\n    esac\n}}\n\
             complete -F _ozr_and_builds -o bashdefault -o default ozr\n",
            OF_BUILDS.map(|verb| format!("{verb}:*")).join(" | ")
        ),
        // The hint is given to nothing else.
        Shell::Zsh => script.replace(":_users'", ":_ozr_builds'").replacen(
            '\n',
            &format!("\n_ozr_builds() {{ compadd -- ${{(f)\"$({BUILDS})\"}} }}\n"),
            1,
        ),
        Shell::Fish => format!(
            "{script}complete -c ozr -n '__fish_ozr_using_subcommand {}' -f -a '({})'\n",
            OF_BUILDS.join(" "),
            BUILDS.replace('\\', r"\\").replace('\'', r"\'")
        ),
        _ => script.to_owned(),
    }
}

/// What arguments without an option may be, which clap's script for fish leaves out.
fn words_for_fish(command: &Command) -> String {
    let mut script = String::new();
    for verb in command.get_subcommands() {
        let words = verb.get_positionals().flat_map(Arg::get_possible_values);
        let words: Vec<String> = words.map(|word| word.get_name().to_owned()).collect();
        if !words.is_empty() {
            script.push_str(&format!(
                "complete -c ozr -n '__fish_ozr_using_subcommand {}' -f -a '{}'\n",
                verb.get_name(),
                words.join(" ")
            ));
        }
    }
    script
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
    let command = OF_BUILDS.into_iter().fold(command, |command, verb| {
        command.mut_subcommand(verb, |verb| {
            verb.mut_arg("name", |name| name.value_hint(ValueHint::Username))
        })
    });
    let command = offer(command, "template", "name", templates().collect());
    let command = offer(command, "kickstart", "name", kickstarts.collect());
    let command = offer(command, "new", "release", templates().collect());
    let command = offer(command, "check", "release", releases.collect());
    offer(command, "explain", "id", rules.chain(causes).collect())
}
