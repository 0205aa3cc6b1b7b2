//! `oz-generate-icicle`

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use super::super::{customize, inspect, replace_file, template};
use super::{Common, images_of, reporter};
use crate::error::{Classify, Kind};
use crate::options::Values;
use crate::sbom::icicle::{self, Entry};
use crate::ui::printer;

/// `oz-generate-icicle TDL DOMAIN`
#[derive(Debug, Parser)]
#[command(
    name = "oz-generate-icicle",
    version,
    about = "List the packages of an image (Oz's oz-generate-icicle; the image is not changed)",
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

    /// Write the ICICLE to FILE [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    icicle: Option<PathBuf>,
}

/// Lists the packages of an image.
///
/// # Errors
/// Input: the template or the domain's XML is wrong, or the image has no packages.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let reporter = reporter(&args.common);
    let options = args.common.load()?;
    let read = template::accept(
        &args.tdl,
        template::load(&args.tdl, &Values::default())?,
        &reporter,
    )?;
    let text = match &read.template.os.extra_command {
        Some(_) => customize::told_packages(&args.tdl, read, &args.domain, options, &reporter)?,
        None => {
            let images = images_of(&args.domain, &options)?;
            let inspection = inspect::read(&images, &[])?;
            let (_, packages) = inspect::packages(&images[0], &inspection)?;
            let entries = packages.iter().map(Entry::of).collect();
            icicle::write(read.template.description.as_deref(), entries)
        }
    };
    let Some(file) = &args.icicle else {
        printer::print_text(&text);
        return Ok(());
    };
    replace_file(file, text.as_bytes(), file.metadata().ok().as_ref())
        .with_context(|| format!("writing {}", file.display()))
        .kind(Kind::Host)?;
    printer::print_result(&format!("ICICLE XML was written to {}", file.display()));
    Ok(())
}
