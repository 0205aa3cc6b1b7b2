//! `ozr new`

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::shipped;
use crate::error::{Classify, Kind, fail, failed};
use crate::tdl;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[(
    "ozr new web --release rocky-9",
    "Write web/web.tdl, web/web.ks and web/ozr.toml, which build a minimal Rocky Linux 9.",
)];

/// `ozr new DIR`
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples_of(EXAMPLES))]
pub struct Args {
    /// The directory; the image is called as it is. It may exist, the files in it may not
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// What is to be installed, as `ozr template` lists it [default: DIR, if that names a release]
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
}

/// Makes a directory with a template, its kickstart and the options that build it, and prints its path.
///
/// # Errors
/// Input: a file is there already; DIR is no name of an image; the release is not known. Host: it cannot be
/// written. Nothing is left then that was not there before.
pub fn run(args: &Args, reporter: &Reporter) -> anyhow::Result<()> {
    let dir = std::path::absolute(&args.dir).kind(Kind::Input)?;
    let name = dir.file_name().and_then(|name| name.to_str());
    let Some(name) = name.filter(|name| tdl::check_name(name).is_ok()) else {
        fail!(
            Kind::Input,
            "{} ends in no name that an image could have: name a directory such as `web`",
            args.dir.display()
        );
    };
    let template = match &args.release {
        Some(release) => shipped::find_template(release)?,
        None => shipped::find_template(name).map_err(|_| {
            failed!(
                Kind::Input,
                "nothing says what `{name}` is to be: add --release, such as --release rocky-9 (`ozr template` lists all)"
            )
        })?,
    };
    let kickstart = shipped::find_kickstart(template.name)?;
    let kickstart_name = format!("{name}.ks");
    let options = format!(
        "# Options of ozr in this directory: the long ones of `ozr install`, each as a key.\n\
         kickstart = {}\n\
         # root-password = \"prompt\"      # or \"file:PATH\", or \"env:NAME\"\n\
         # ssh-key = \"id_ed25519.pub\"    # may log in as root\n\
         # memory = \"4G\"\n",
        toml::Value::from(kickstart_name.as_str())
    );
    let files = [
        (format!("{name}.tdl"), template.named(name)),
        (kickstart_name, kickstart.to_start_from()),
        ("ozr.toml".to_owned(), options),
    ];
    write(&dir, &files)?;
    reporter.note(format!(
        "next: cd {} && ozr install {name}.tdl --root-password prompt",
        args.dir.display()
    ));
    printer::print_result(&args.dir.display().to_string());
    Ok(())
}

/// Writes the files, all of them or none.
fn write(dir: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    for (name, _) in files {
        if dir.join(name).symlink_metadata().is_ok() {
            return Err(is_there(&dir.join(name)));
        }
    }
    let made = match std::fs::create_dir(dir) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => {
            return Err(error)
                .with_context(|| format!("making {}", dir.display()))
                .kind(Kind::Host);
        }
    };
    let mut written = Vec::new();
    let result = files.iter().try_for_each(|(name, text)| {
        let path = dir.join(name);
        write_new(&path, text)?;
        written.push(path);
        Ok(())
    });
    if result.is_err() {
        // What is not removed is seen.
        written
            .iter()
            .for_each(|path| drop(std::fs::remove_file(path)));
        if made {
            let _ = std::fs::remove_dir(dir);
        }
    }
    result
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let parent = path.parent().with_context(writing)?;
    let aside = tempfile::Builder::new()
        .prefix(".ozr-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent);
    let mut aside = aside.with_context(writing).kind(Kind::Host)?;
    let filled = aside.write_all(text.as_bytes());
    filled
        .and_then(|()| aside.as_file().sync_all())
        .with_context(writing)
        .kind(Kind::Host)?;
    match aside.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(is_there(path)),
        Err(error) => Err(error.error).with_context(writing).kind(Kind::Host),
    }
}

fn is_there(path: &Path) -> anyhow::Error {
    failed!(
        Kind::Input,
        "{} is there already: choose another directory, or move it away",
        path.display()
    )
}
