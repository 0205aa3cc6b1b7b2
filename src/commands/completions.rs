//! `ozr completions`

use crate::ui::printer;

/// `ozr completions SHELL`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completion script of a shell.
///
/// # Errors
/// None.
pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ozr", &mut script);
    printer::print_text(&String::from_utf8_lossy(&script));
    Ok(())
}
