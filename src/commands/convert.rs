//! `ozr convert`

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::signals::{self, Signals};
use super::{input, json_lines};
use crate::disk::qcow2;
use crate::distro::{Arch, Release};
use crate::error::{Classify, Kind, fail, failed};
use crate::formats::boot::{self, Boot};
use crate::formats::conversion::Conversion;
use crate::formats::hardware::Hardware;
use crate::formats::make::{self, Order, Original};
use crate::hex;
use crate::image::output::{self, OutputPaths};
use crate::image::publish;
use crate::image::qemu_img;
use crate::image::set::From;
use crate::image::signature;
use crate::install::plan::{check_compress, check_packages, check_signers};
use crate::machine::{DiskBus, DiskFormat, Firmware};
use crate::options::{Compress, Format, Mebibytes, ReleaseName, Signer, distinct};
use crate::state::work_dir::{self, WorkDir};
use crate::tdl;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr convert rocky-9.qcow2 --format azure,gcp,ova --release Rocky-9",
        "Write rocky-9.vhd, rocky-9.tar.gz, rocky-9.ova and rocky-9.CHECKSUM.",
    ),
    (
        "ozr convert rocky-9.qcow2 --format qcow2 --compress zstd --name rocky-9-small",
        "Write rocky-9-small.qcow2, compressed.",
    ),
    (
        "ozr convert db.qcow2 db.vdb.qcow2 --format ova",
        "Write db.ova, an appliance with both disks.",
    ),
    (
        "ozr convert rocky-9.qcow2 --format azure --output-dir azure --sign gpg",
        "Write azure/rocky-9.vhd and azure/rocky-9.CHECKSUM, signed by the default key of GnuPG.",
    ),
];

fn examples() -> String {
    super::examples_of(EXAMPLES)
}

/// `ozr convert IMAGE...`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The image; of a machine with several disks those of all, in order
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Formats to write, several with commas: qcow2, raw, raw.zst, raw.xz, azure, gcp, aws, vmdk, ova,
    /// ovirt, vagrant-libvirt, vagrant-virtualbox, vagrant-vmware, vagrant-hyperv, containerdisk,
    /// rootfs, liveimg, wsl, oci
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        required = true,
        hide_possible_values = true
    )]
    format: Vec<Format>,

    /// Compress a qcow2 image [default: none]
    #[arg(long, value_name = "METHOD")]
    compress: Option<Compress>,

    /// The format of IMAGE; its content is not asked, for its guest may have written that
    /// [default: by its ending]
    #[arg(long, value_name = "FORMAT")]
    from: Option<DiskFormat>,

    /// Where the new images are written [default: .]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Name of the new images, without an ending [default: IMAGE's]
    #[arg(long, help_heading = "Output")]
    name: Option<String>,

    /// Replace existing images
    #[arg(long, help_heading = "Output")]
    force: bool,

    /// Sign the checksums by your own gpg, ssh-keygen or cosign: gpg, gpg:KEYID, ssh:KEYFILE, cosign:KEY; may be
    /// given once for each
    #[arg(long, value_name = "SIGNER", help_heading = "Output")]
    sign: Vec<Signer>,

    /// Print a JSON object for each file in place of its path: name, format, size, allocated bytes,
    /// SHA-256, seconds
    #[arg(long, help_heading = "Output")]
    json: bool,

    /// What is installed, for the descriptions of machines: Rocky-9, RHEL10, Fedora-43
    #[arg(long, value_name = "RELEASE", help_heading = "Machine")]
    release: Option<ReleaseName>,

    /// Architecture of the image [default: this host's]
    #[arg(long, value_name = "ARCH", help_heading = "Machine")]
    arch: Option<Arch>,

    /// How machines start it [default: as its partition table allows, bios first]
    #[arg(long, value_name = "FIRMWARE", help_heading = "Machine")]
    firmware: Option<Firmware>,

    /// Number of CPUs in descriptions of machines
    #[arg(long, value_name = "N", default_value_t = Hardware::USUAL_VCPUS, value_parser = clap::value_parser!(u32).range(1..=512), help_heading = "Machine")]
    vcpus: u32,

    /// Memory in descriptions of machines: 2G, 2048M, or a number of MiB
    #[arg(long, value_name = "SIZE", default_value_t = Mebibytes(Hardware::USUAL_MEMORY_MIB), help_heading = "Machine")]
    memory: Mebibytes,
}

/// Converts an image and prints the paths of what came of it.
///
/// # Errors
/// Input: the command line is wrong, the image is none of its format or needs another file, a name is
/// taken. Host: there is no room, `qemu-img` is missing. Interrupted.
pub fn run(args: Args, reporter: &Reporter) -> anyhow::Result<()> {
    let runtime = signals::runtime()?;
    let converted = runtime.block_on(async {
        let mut signals = Signals::listen().kind(Kind::Host)?;
        tokio::select! {
            biased;
            name = signals.next() => fail!(Kind::Interrupted, "{name}: nothing was written"),
            converted = convert(&args, reporter) => converted,
        }
    });
    // Threads that still write into what is removed already are told to stop.
    drop(runtime);
    let (conversion, output) = converted?;
    conversion.report(&output, reporter);
    if args.json {
        printer::print_text(&json_lines(&conversion.entries(&output)));
    } else {
        for path in output.paths() {
            printer::print_result(&path.display().to_string());
        }
    }
    Ok(())
}

async fn convert(args: &Args, reporter: &Reporter) -> anyhow::Result<(Conversion, OutputPaths)> {
    let formats = distinct(&args.format);
    let compress = args.compress.unwrap_or_default();
    check_compress(&formats, compress).kind(Kind::Input)?;
    let image = &args.images[0];
    let count = args.images.len();
    check_packages(&formats, count).kind(Kind::Input)?;
    check_signers(&args.sign).kind(Kind::Input)?;
    let most = DiskBus::default().most_disks();
    if count > most {
        fail!(
            Kind::Input,
            "{count} images are more than the {most} disks that a machine has here"
        );
    }
    let mut originals = Vec::new();
    for image in &args.images {
        let (file, format) = open(image, args.from)?;
        let original = Original::open(file, format, None)
            .await
            .with_context(|| format!("reading {} as {}", image.display(), format.name()))
            .kind(Kind::Input)?;
        originals.push(original);
    }
    let name = args.name.clone().unwrap_or_else(|| stem(image));
    tdl::check_name(&name).map_err(|reason| failed!(Kind::Input, "--name {name:?}: {reason}"))?;
    let mut output = OutputPaths::new(args.output_dir.as_deref(), &name, &formats, None, None)?;
    let devices: Vec<String> = (0..count)
        .map(|disk| DiskBus::default().device(disk))
        .collect();
    for (disk, device) in devices.iter().enumerate().skip(1) {
        output.add_disk(disk, device, &formats);
    }
    for signer in &args.sign {
        output.add_signatures(signer, false);
    }
    check_names(args, &output)?;
    for signer in &args.sign {
        signature::try_out(signer).await?;
    }
    let work = take_work_dir(&output)?;
    let order = Order {
        formats,
        compress,
        name,
        devices,
        file: output.image_name(),
        hardware: describe(args, &originals[0]).await?,
    };
    reporter.step(format!("converting {}", image.display()));
    let conversion = make::make(work.dir(), originals, &order)
        .await
        .with_context(|| format!("converting {}", image.display()))
        .kind(Kind::Host)?;
    let checksums = conversion.checksums(&output);
    let signed = signature::of_papers(&args.sign, &output, checksums, None).await?;
    let (checksums, signatures) = signed;
    let signatures = signatures.iter();
    let signatures = signatures.map(|(text, to)| (From::Text(text), *to));
    let beside: Vec<(From<'_>, &Path)> = signatures.collect();
    conversion.publish(work.dir(), &output, &beside, &checksums, args.force)?;
    if args.force {
        remove_others(&output, reporter);
    }
    Ok((conversion, output))
}

/// The image's name without the ending of a format.
fn stem(image: &Path) -> String {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let endings = FROM_ENDING.iter().map(|(ending, _)| *ending);
    let stem = endings.chain(UNCLEAR).find_map(|ending| {
        let stem = name.strip_suffix(ending)?.strip_suffix('.')?;
        (!stem.is_empty()).then(|| stem.to_owned())
    });
    stem.unwrap_or_else(|| name.into_owned())
}

/// What endings say of an image.
const FROM_ENDING: [(&str, DiskFormat); 6] = [
    ("qcow2", DiskFormat::Qcow2),
    ("raw", DiskFormat::Raw),
    ("vmdk", DiskFormat::Vmdk),
    ("vhd", DiskFormat::Vpc),
    ("vpc", DiskFormat::Vpc),
    ("vhdx", DiskFormat::Vhdx),
];

/// Endings of plain images, and of qcow2 images too.
const UNCLEAR: [&str; 2] = ["img", "dsk"];

/// Opens the image, of the format that is named or that its ending names.
fn open(image: &Path, named: Option<DiskFormat>) -> anyhow::Result<(File, DiskFormat)> {
    let name = input::display_name(image);
    let file = input::open_image(image)
        .with_context(|| format!("opening {name}"))
        .kind(Kind::Input)?;
    let meta = file.metadata().kind(Kind::Input)?;
    if !meta.is_file() {
        fail!(Kind::Input, "{name} is no regular file: name a disk image");
    }
    if let Some(format) = named {
        return Ok((file, format));
    }
    let ending = image.extension().unwrap_or_default().to_string_lossy();
    let ending = ending.to_ascii_lowercase();
    let known = FROM_ENDING.iter().find(|(known, _)| ending == *known);
    if let Some((_, format)) = known {
        return Ok((file, *format));
    }
    let mut begin = [0; 4];
    let is_qcow2 = file.read_exact_at(&mut begin, 0).is_ok() && begin == qcow2::MAGIC;
    if UNCLEAR.contains(&ending.as_str()) && !is_qcow2 {
        return Ok((file, DiskFormat::Raw));
    }
    let hint = match is_qcow2 {
        true => "--from qcow2 if you trust that it is what it looks like, or --from raw",
        false => "--from qcow2, raw, vmdk, vpc or vhdx",
    };
    fail!(
        Kind::Input,
        "the ending of {name} does not say which format it has: add {hint}"
    )
}

/// Refuses names that are taken, before anything is spent.
fn check_names(args: &Args, output: &OutputPaths) -> anyhow::Result<()> {
    let owned = |what: &str, path: &Path| (what.to_owned(), path.to_path_buf());
    let images = output.images.iter().map(|image| &image.path);
    let signatures = output.signatures.iter().map(|signature| &signature.path);
    let all: Vec<_> = images.chain([&output.checksum]).chain(signatures).collect();
    let outputs: Vec<_> = all.iter().map(|path| owned("a new image", path)).collect();
    let inputs: Vec<_> = args
        .images
        .iter()
        .map(|path| owned("IMAGE", path))
        .collect();
    output::check_apart(&outputs, &inputs)?;
    output.check_images(args.force)
}

/// Removes signatures of checksums that were replaced: nothing verifies by them.
fn remove_others(output: &OutputPaths, reporter: &Reporter) {
    for path in output.other_signatures() {
        match publish::remove_outdated(&path) {
            Ok(false) => {}
            Ok(true) => reporter.note(format!(
                "{} is removed: it signed the checksums that were replaced; --sign signs the new ones",
                path.display()
            )),
            Err(error) => reporter.warn(format!(
                "{error:#}; it signs checksums that were replaced, so remove it"
            )),
        }
    }
}

fn take_work_dir(output: &OutputPaths) -> anyhow::Result<WorkDir> {
    std::fs::create_dir_all(&output.dir)
        .map_err(|error| work_dir::cannot_write(&output.dir, &error))?;
    WorkDir::take(&output.dir, &output.stem, &hex::random()?)
}

/// The machine that the image is for, as far as it is said or can be seen.
async fn describe(args: &Args, original: &Original) -> anyhow::Result<Hardware> {
    let firmware = match args.firmware {
        Some(firmware) => firmware,
        None => {
            let (file, format) = (&original.file, original.format);
            let beginning = qemu_img::beginning(file, format, boot::BEGINNING)
                .await
                .with_context(|| format!("reading {}", args.images[0].display()))
                .kind(Kind::Input)?;
            Boot::of(&beginning).firmware().unwrap_or(Firmware::Bios)
        }
    };
    let own = std::env::consts::ARCH.parse().unwrap_or(Arch::X86_64);
    let release: Option<Release> = args.release.as_ref().and_then(|named| named.release);
    Ok(Hardware {
        release,
        arch: args.arch.unwrap_or(own),
        firmware,
        vcpus: args.vcpus,
        memory_mib: args.memory.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_formats_are_cut() {
        for (image, expected) in [
            ("/a/rocky-9.4.qcow2", "rocky-9.4"),
            ("x.vhd", "x"),
            ("x.img", "x"),
            ("rocky-9.4", "rocky-9.4"),
            (".raw", ".raw"),
        ] {
            assert_eq!(stem(Path::new(image)), expected);
        }
    }

    #[test]
    fn what_is_unclear_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, content: &[u8], named| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            open(&path, named).map(|(_, format)| format)
        };
        assert_eq!(of("a.VMDK", b"", None).unwrap(), DiskFormat::Vmdk);
        assert_eq!(of("a.img", b"plain", None).unwrap(), DiskFormat::Raw);
        // A plain disk stays one, whatever its guest wrote.
        assert_eq!(of("a.raw", qcow2::MAGIC, None).unwrap(), DiskFormat::Raw);
        for name in ["b.img", "b"] {
            let error = of(name, b"QFI\xfb...", None).unwrap_err().to_string();
            assert!(error.contains("--from qcow2"), "{error}");
        }
        let named = Some(DiskFormat::Qcow2);
        assert_eq!(of("c", b"", named).unwrap(), DiskFormat::Qcow2);
        assert!(open(dir.path(), None).is_err());
    }
}
