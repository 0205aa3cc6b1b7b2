//! The `ozr` program: parses the command line, runs the command, maps its error to an exit status.

use std::process::ExitCode;

use clap::Parser;
use ozr::cli::{self, Cli};
use ozr::error::{Kind, kind_of};
use ozr::ui::printer;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let color = cli.color();
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer::print_error(&error, color);
            ExitCode::from(kind_of(&error).unwrap_or(Kind::Build).exit_status())
        }
    }
}
