//! `ozr`'s own trace, for whoever mends it: off unless `-vvv` or `OZR_LOG` asks for it.

use tracing_subscriber::EnvFilter;

/// The variable that holds a `tracing` filter, such as `ozr::host=debug`.
pub const VARIABLE: &str = "OZR_LOG";

/// How often `-v` stands on a command line that asks for the trace.
const VERBOSE_ENOUGH: u8 = 3;

/// Starts the trace to stderr if the variable or `verbose` times `-v` ask for it.
pub fn start(verbose: u8) {
    let filter = match EnvFilter::try_from_env(VARIABLE) {
        Ok(filter) => filter,
        Err(_) if verbose >= VERBOSE_ENOUGH => EnvFilter::new("ozr=debug"),
        Err(_) => return,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
