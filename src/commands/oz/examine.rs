//! `oz-examine`

use std::path::PathBuf;

use clap::Parser;

use super::super::inspect;
use super::Common;

/// `oz-examine IMAGE`
#[derive(Debug, Parser)]
#[command(
    name = "oz-examine",
    version,
    about = "Say what an image is (ozr inspect)",
    max_term_width = 100,
    args_override_self = true,
    infer_long_args = true
)]
pub struct Args {
    /// The image, raw or qcow2; or the libvirt XML of its machine
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    #[command(flatten)]
    common: Common,
}

/// Says what an image is.
///
/// # Errors
/// Input: it cannot be read.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let options = args.common.load()?;
    let images = super::images_of(&args.image, &options)?;
    inspect::human(&images)
}
