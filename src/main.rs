//! The `ozr` program: parses the command line, runs the command, maps its error to an exit status.

use std::panic::catch_unwind;
use std::process::ExitCode;

use ozr::cli::Called;
use ozr::error::{Kind, inner_of, kind_of};
use ozr::image::reader;
use ozr::install::failed::InstallFailed;
use ozr::media::deploy;
use ozr::panics;
use ozr::ui::printer::{self, Color};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    if let Some(told) = printer::with_stdout(|out| reader::answer_to(arguments, out)) {
        return match told {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                printer::print_error(&error, Color::Never);
                ExitCode::FAILURE
            }
        };
    }
    if let Some(done) = deploy::asked(std::env::args_os().skip(1)) {
        return match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                printer::print_error(&error, Color::Never);
                ExitCode::FAILURE
            }
        };
    }
    let called = Called::parse();
    let color = called.color();
    panics::install(printer::print_defect);
    match catch_unwind(|| called.run()) {
        Ok(Ok(())) => match printer::unwritten() {
            None => ExitCode::SUCCESS,
            Some(error) => {
                let error = anyhow::anyhow!("writing to standard output: {error}");
                printer::print_error(&error, color);
                ExitCode::from(Kind::Host.exit_status())
            }
        },
        Ok(Err(error)) => {
            // What a task that panicked says of itself may quote anything.
            if !panics::seen() || inner_of::<InstallFailed>(&error).is_some() {
                printer::print_error(&error, color);
            }
            let kind = kind_of(&error).filter(|_| !panics::seen());
            ExitCode::from(kind.unwrap_or(Kind::Build).exit_status())
        }
        // The hook has said it.
        Err(_) => ExitCode::from(Kind::Build.exit_status()),
    }
}
