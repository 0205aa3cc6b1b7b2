//! What an install and a check can be told, on the command line and in the configuration file.

mod check;
pub mod config;
mod install;
mod values;

pub use check::CheckOptions;
pub use install::InstallOptions;
pub use values::{
    Compress, Deliver, EventsTo, Format, Progress, Relay, ReleaseName, ReportFormat, ReportTarget,
    Seconds,
};
