//! What a person or a program sees: [`event`]s from all layers, and the only place that prints.

mod drawn_over;
pub mod event;
pub mod json_lines;
pub mod live;
pub mod many;
pub mod printer;
pub mod queue;

use tracing_subscriber::EnvFilter;

/// The variable that holds a `tracing` filter, such as `ozr::host=debug`.
pub const TRACE_VARIABLE: &str = "OZR_LOG";

/// How often `-v` stands on a command line that asks for the trace.
const VERBOSE_ENOUGH: u8 = 3;

/// Starts `ozr`'s own trace, for whoever mends it, to stderr if the variable or `verbose` times
/// `-v` ask for it.
pub fn start_trace(verbose: u8) {
    let filter = match EnvFilter::try_from_env(TRACE_VARIABLE) {
        Ok(filter) => filter,
        Err(_) if verbose >= VERBOSE_ENOUGH => EnvFilter::new("ozr=debug"),
        Err(_) => return,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
