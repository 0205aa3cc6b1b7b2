//! `oz-customize`

use std::path::PathBuf;

use clap::Parser;

use super::super::customize::{self, Options};
use super::Common;
use crate::ui::printer::Color;

/// `oz-customize TDL DOMAIN`
#[derive(Debug, Parser)]
#[command(
    name = "oz-customize",
    version,
    about = "Add what a template adds to an image (Oz's oz-customize, done by ozr customize)",
    max_term_width = 100,
    args_override_self = true,
    infer_long_args = true
)]
pub struct Args {
    /// The TDL template
    #[arg(value_name = "TDL")]
    tdl: PathBuf,

    /// The libvirt XML of the image's machine, or the image
    #[arg(value_name = "DOMAIN")]
    domain: PathBuf,

    #[command(flatten)]
    common: Common,

    /// MAC address of the guest's network card [default: random]
    #[arg(short, long, value_name = "MAC")]
    mac_address: Option<String>,
}

/// Customises an image in its place.
///
/// # Errors
/// Those of `ozr customize`.
pub fn run(args: Args) -> anyhow::Result<()> {
    let (below, verbosity) = (args.common.load(), args.common.verbosity());
    let customize = customize::Args {
        template: args.tdl,
        image: args.domain,
        options: Options::with_mac(args.mac_address),
    };
    let (display, result) = customize::outcome(customize, below, verbosity, Color::Auto)?;
    // Oz prints nothing.
    display.end(result.map(|_| Vec::new()))
}
