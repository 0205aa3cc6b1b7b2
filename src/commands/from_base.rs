//! `ozr install --from BASE`: an image is installed once, without what templates add, and what they add is added to
//! copies of it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Context;

use super::{machine_images, template};
use crate::error::{Classify, Kind, fail};
use crate::image::checksum;
use crate::image::manifest::Manifest;
use crate::image::output::{self, OutputPaths};
use crate::input;
use crate::install::access::RootAccess;
use crate::install::customize::Base;
use crate::install::plan::Plan;
use crate::kickstart::crypt;
use crate::machine::DiskFormat;
use crate::mirror::shown;
use crate::options::{BootTestOptions, Deliver, Format, InstallOptions};
use crate::secrets::Secret;
use crate::tdl;
use crate::ui::event::Reporter;

/// What is to be installed before `plan`, which `options.from` of it says to make from a base: nothing where the base
/// is there and is what it would be again. `plan` itself becomes one that customises.
///
/// # Errors
/// Input: nothing is to be added; what is there is no such base, and is not to be replaced.
pub fn before(plan: &mut Plan, reporter: &Reporter) -> anyhow::Result<Option<Plan>> {
    let Some(file) = plan.options.from.clone() else {
        return Ok(None);
    };
    let first = installing(plan, &file)?;
    check(plan, &first)?;
    customising(plan)?;
    let base = &first.output;
    if base.image.symlink_metadata().is_err() {
        reporter.note(format!("{} is installed first", file.display()));
        return Ok(Some(first));
    }
    reporter.step(format!(
        "looking whether {} is as it was made",
        file.display()
    ));
    match usable(&first) {
        Ok(manifest) => {
            reporter.note(format!(
                "made from {}: what is in that is of {}",
                file.display(),
                manifest.finished
            ));
            Ok(None)
        }
        // `--if-changed` may replace what it is asked about, which the base is not.
        Err(why) if plan.options.replaces() && !plan.options.if_changed => {
            reporter.note(format!("{} is made again, for {why}", file.display()));
            Ok(Some(first))
        }
        Err(why) => fail!(
            Kind::Input,
            "--from: {} cannot be what this image is made from, for {why}: name another file, or have it made again with --force (and without --if-changed)",
            file.display()
        ),
    }
}

/// Makes `plan` one that customises what `base` left.
///
/// # Errors
/// Input: the image cannot be read.
pub async fn onto(plan: &mut Plan, base: &Path) -> anyhow::Result<()> {
    let first = OutputPaths::new(None, "", &[], Some(base), None)?;
    let others = machine_images::manifest_of(&first);
    let others = others.map_or_else(Vec::new, |manifest| {
        machine_images::others(&manifest, &first)
    });
    let all = std::iter::once(first.image).chain(others);
    let images: Vec<_> = all.map(|image| (image, format_of(base).1)).collect();
    plan.base = Some(Base::open(&images).await?);
    Ok(())
}

/// The format that a base has by its name.
fn format_of(file: &Path) -> (Format, DiskFormat) {
    match file.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("raw") => (Format::Raw, DiskFormat::Raw),
        _ => (Format::Qcow2, DiskFormat::Qcow2),
    }
}

/// The plan of the base: the same, with nothing added, and nobody's keys.
fn installing(plan: &Plan, file: &Path) -> anyhow::Result<Plan> {
    let stem = OutputPaths::new(None, "", &[], Some(file), None).map(|paths| paths.stem);
    let options = InstallOptions {
        from: None,
        output: Some(file.to_owned()),
        output_dir: None,
        name: stem.ok().filter(|stem| tdl::check_name(stem).is_ok()),
        format: vec![format_of(file).0],
        compress: None,
        xml: None,
        generate_icicle: false,
        icicle: None,
        sbom: Vec::new(),
        sign: Vec::new(),
        report: Vec::new(),
        ssh_key: Vec::new(),
        boot_test: BootTestOptions::default(),
        customize: false,
        no_customize: true,
        ..plan.options.clone()
    };
    let access = RootAccess {
        keys: Vec::new(),
        ..plan.access.clone()
    };
    let mut first = Plan::new(
        plan.template.clone(),
        plan.file.clone(),
        plan.answers.clone(),
        access,
        options,
    )
    .kind(Kind::Input)?;
    first.dry_run = plan.dry_run;
    first.secrets.clone_from(&plan.secrets);
    Ok(first)
}

/// Refuses what cannot be done in two steps.
fn check(plan: &Plan, first: &Plan) -> anyhow::Result<()> {
    let adds = template::adds(&plan.template);
    let wrong = if !plan.customize {
        "--from adds to a base what the template adds, and --no-customize and --verbatim add nothing: leave out one of them"
    } else if !adds && plan.access.keys.is_empty() {
        "the template adds nothing to a base: leave out --from"
    } else {
        ""
    };
    if !wrong.is_empty() {
        fail!(Kind::Input, "{wrong}");
    }
    let owned = |(what, path): (&str, &Path)| (what.to_owned(), path.to_path_buf());
    let of_base = first.output.named().into_iter();
    let of_base = of_base.map(|(what, path)| owned((&format!("{what} of --from"), path)));
    let own = plan.output.named().into_iter().map(owned);
    output::check_apart(&own.collect::<Vec<_>>(), &of_base.collect::<Vec<_>>())
}

/// Makes the plan that of the second step.
fn customising(plan: &mut Plan) -> anyhow::Result<()> {
    plan.check_customizable()?;
    // The contents go with the guest's initramfs.
    plan.deliver = Deliver::Initrd;
    plan.options.portable = false;
    // The base has the password of its day.
    let of_template = plan.template.os.rootpw.as_ref();
    let of_template = of_template.filter(|_| plan.answers.builtin && plan.access.hash.is_none());
    if let Some(password) = of_template {
        plan.access.hash = Some(Secret::new(crypt::hash(password.reveal())?));
    }
    Ok(())
}

/// The manifest of the base that is there, if it is what `first` would install; or why it is not.
fn usable(first: &Plan) -> Result<Manifest, String> {
    let manifest = machine_images::manifest_of(&first.output);
    let manifest = manifest.ok_or_else(|| "it has no manifest of ozr's beside it".to_owned())?;
    let os = &first.template.os;
    let disks = manifest.disks.iter().map(|disk| disk.size);
    let (host, board) = (&manifest.host, &first.guest.board);
    let release = &manifest.release;
    let url = |text: &str| text.trim_end_matches('/').to_owned();
    let other = [
        (
            "kickstart",
            manifest.kickstart.sha256 == first.answers.sha256,
        ),
        (
            "release",
            (&release.name, &release.version) == (&os.name, &os.version),
        ),
        ("architecture", release.arch == first.arch.to_string()),
        (
            "install tree",
            url(&manifest.tree.url) == url(&shown(first.source())),
        ),
        ("size", disks.eq(first.guest.disks.iter().copied())),
        ("firmware", host.firmware == first.guest.firmware.name()),
        (
            "kind of machine",
            (host.secure_boot, host.tpm) == (board.secure_boot, board.tpm),
        ),
    ];
    if let Some((what, _)) = other.iter().find(|(_, same)| !same) {
        return Err(format!("it is of another {what}"));
    }
    let files = std::iter::once(&manifest.image.file).zip([&manifest.image.sha256]);
    let more = manifest.images.iter().filter(|file| file.disk > 1);
    let files = files.chain(more.map(|file| (&file.file, &file.sha256)));
    for (name, sha256) in files {
        let path = first
            .output
            .dir
            .join(Path::new(name).file_name().unwrap_or_default());
        match digest(&path) {
            Ok(own) if own == *sha256 => {}
            Ok(_) => return Err(format!("{name} was changed since it was made")),
            Err(error) => return Err(format!("{name} cannot be read: {error:#}")),
        }
    }
    Ok(manifest)
}

fn digest(path: &Path) -> anyhow::Result<String> {
    let file = input::open_image(path).context("opening it")?;
    let (sha256, _) = checksum::hash(&file, &AtomicBool::new(false))?;
    Ok(sha256)
}
