//! `oz-install`

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Parser;

use super::super::install::{self, Inputs};
use super::super::template;
use super::{Common, below_home};
use crate::check::subject;
use crate::error::{Classify, Kind, fail};
use crate::input;
use crate::machine::DiskBus;
use crate::options::{Format, InstallOptions, Layer, Seconds, Values};
use crate::tdl::{self, Install, IsoAddress, IsoInstall, Template};
use crate::ui::printer::{self, Color};

/// `oz-install TDL`
#[derive(Debug, Parser)]
#[command(
    name = "oz-install",
    version,
    about = "Install a template's system and keep the disk (Oz's oz-install, done by ozr install)",
    max_term_width = 100,
    args_override_self = true,
    infer_long_args = true,
    after_help = "docs/oz.md says what differs from Oz."
)]
pub struct Args {
    /// The TDL template
    #[arg(value_name = "TDL")]
    tdl: PathBuf,

    /// A second file, which is most often the kickstart: to say where it belongs.
    #[arg(hide = true)]
    second: Option<PathBuf>,

    /// The kickstart [default: the one built in for the release]
    #[arg(short, long, value_name = "FILE")]
    auto: Option<PathBuf>,

    /// Bus of the guest's disk
    #[arg(short = 'b', long, value_name = "BUS")]
    disk_bus: Option<DiskBus>,

    #[command(flatten)]
    common: Common,

    /// Fetch kernel and initrd anew
    #[arg(short, long)]
    force_download: bool,

    /// Write the ICICLE to standard output, or to the file of -i
    #[arg(short, long)]
    generate_icicle: bool,

    /// Write the ICICLE to FILE (with -g)
    #[arg(short, long, value_name = "FILE")]
    icicle: Option<PathBuf>,

    /// MAC address of the guest's network card [default: random]
    #[arg(short, long, value_name = "MAC")]
    mac_address: Option<String>,

    /// Model of the guest's network card [default: virtio]
    #[arg(short, long, value_name = "MODEL")]
    network_device: Option<String>,

    /// Remove leftover guests of the same name first, and replace the image
    #[arg(short = 'p', long)]
    cleanup: bool,

    /// Write the image to FILE [default: NAME.dsk or NAME.qcow2 in the output directory]
    #[arg(short = 's', long, value_name = "FILE")]
    disk: Option<PathBuf>,

    /// Longest time for the install, in seconds [default: 2 h]
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<Seconds>,

    /// Add the template's packages, repositories, files and commands
    #[arg(short = 'u', long)]
    customize: bool,

    /// Write the libvirt XML to FILE [default: NAME and the time (UTC) in the current directory]
    #[arg(short, long, value_name = "FILE")]
    xmlfile: Option<PathBuf>,
}

/// Installs, and prints where the libvirt XML is.
///
/// # Errors
/// Those of `ozr install`.
pub fn run(mut args: Args) -> anyhow::Result<()> {
    let (verbosity, color) = (args.common.verbosity(), Color::Auto);
    let template = match &args.second {
        None => template::load(&args.tdl, &Values::default()),
        Some(second) => two_files(&args.tdl, second),
    };
    let read = template.as_ref().ok().and_then(|read| read.as_ref().ok());
    let below = args.common.load();
    let options = below.map(|below| options(&args, below, read.map(|read| &read.template)));
    let (icicle, xml) = match &options {
        Ok(options) => (options.icicle.clone(), options.xml.clone()),
        Err(_) => (None, None),
    };
    let inputs = Inputs::of(
        install::Args::of(std::mem::take(&mut args.tdl)),
        Some(template),
        options,
    );
    let display = inputs.display(verbosity, color)?;
    let mut result = inputs.install(display.reporter());
    let trouble = result.as_mut().ok().and_then(|done| done.trouble.take());
    display.end_after(result.map(|_| Vec::new()), trouble)?;
    match (icicle, &args.icicle) {
        (Some(_), Some(named)) => {
            printer::print_result(&format!("ICICLE XML was written to {}", named.display()));
        }
        (Some(beside), None) => {
            let text = input::read(&beside, "ICICLE").kind(Kind::Host)?;
            printer::print_text(&String::from_utf8_lossy(&text));
        }
        (None, _) => {}
    }
    if let Some(xml) = xml {
        printer::print_result(&format!("Libvirt XML was written to {}", xml.display()));
    }
    Ok(())
}

/// Two files where one is taken: `-u` takes no value, though many believe that the kickstart is its.
fn two_files(first: &Path, second: &Path) -> anyhow::Result<template::Loaded> {
    let is_kickstart = |path: &Path| {
        let bytes = input::read(path, "file").unwrap_or_default();
        !subject::is_template(&bytes)
            && subject::looks_like_kickstart(&String::from_utf8_lossy(&bytes))
    };
    let (first, second, kickstart) = match (is_kickstart(first), is_kickstart(second)) {
        (true, false) => (second, first, true),
        (false, true) => (first, second, true),
        _ => (first, second, false),
    };
    let (first, second) = (first.display(), second.display());
    if kickstart {
        fail!(
            Kind::Input,
            "`oz-install` takes one file, the template, and {second} is a kickstart, which -a takes (-u takes \
             nothing): write `oz-install -u -a {second} {first}`"
        );
    }
    fail!(
        Kind::Input,
        "`oz-install` takes one file, the template, and {second} is a second one: a kickstart is named with `-a`"
    )
}

/// What an install is to be told.
fn options(args: &Args, below: InstallOptions, template: Option<&Template>) -> InstallOptions {
    let given = InstallOptions {
        kickstart: args.auto.iter().cloned().collect(),
        customize: args.customize,
        no_customize: !args.customize,
        disk_bus: args.disk_bus,
        refetch: args.force_download,
        generate_icicle: args.generate_icicle,
        icicle: args.icicle.clone(),
        mac_address: args.mac_address.clone(),
        network_device: args.network_device.clone(),
        cleanup: args.cleanup,
        output: args.disk.clone(),
        timeout: args.timeout,
        xml: args.xmlfile.clone(),
        ..InstallOptions::default()
    };
    let mut options = given.over(below);
    if options.format.is_empty() {
        options.format.push(Format::Raw);
    }
    let Some(template) = template else {
        return options;
    };
    // Oz's templates name images by their whole path, wherever they lie.
    if let Install::Iso(IsoInstall {
        address: IsoAddress::Url(url),
        ..
    }) = &template.os.install
        && let Ok(path) = url.url().to_file_path()
    {
        options.file_root.push(path);
    }
    let name = options.name.as_deref().unwrap_or(&template.name);
    if tdl::check_name(name).is_err() {
        // Who plans the install says so.
        return options;
    }
    if !args.customize && template::adds(template) {
        options.notes.push(
            "the template's packages, repositories, files and commands are left out: -u adds them"
                .to_owned(),
        );
    }
    if options.xml.is_none() {
        options.xml = Some(PathBuf::from(format!("{name}{}", time(SystemTime::now()))));
    }
    let image = options.output.clone().unwrap_or_else(|| {
        let dir = options.output_dir.clone();
        let ending = match options.format[0] {
            Format::Raw => "dsk",
            other => other.ending(),
        };
        let dir = dir.unwrap_or_else(output_dir);
        dir.join(format!("{name}.{ending}"))
    });
    if options.generate_icicle && options.icicle.is_none() {
        let mut file = image.clone().into_os_string();
        file.push(".icicle.xml");
        options.icicle = Some(file.into());
    }
    // Whoever has removed the image has removed all that Oz would have left of it.
    options.force |= image.symlink_metadata().is_err();
    if options.format.len() == 1 {
        (options.output, options.output_dir) = (Some(image), None);
    }
    options
}

/// Where Oz puts images when its configuration does not say.
fn output_dir() -> PathBuf {
    let of_root = Path::new("/var/lib/libvirt/images");
    if rustix::process::geteuid().is_root() {
        return of_root.to_owned();
    }
    below_home(".oz/images").unwrap_or_else(|| of_root.to_owned())
}

/// A time as Oz has it in the name of its XML (`%b_%d_%Y-%H:%M:%S`), but UTC.
fn time(now: SystemTime) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // `2026-11-30T04:27:40Z`
    let now = humantime::format_rfc3339_seconds(now).to_string();
    let month = now[5..7].parse().unwrap_or(1);
    let month = MONTHS[usize::min(month, 12).saturating_sub(1)];
    format!("{month}_{}_{}-{}", &now[8..10], &now[..4], &now[11..19])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_written_as_oz_writes_them() {
        let at = UNIX_EPOCH + Duration::from_secs(1_364_992_782);
        assert_eq!(time(at), "Apr_03_2013-12:39:42");
    }
}
