//! Reading what users hand in: files, or standard input for `-`.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

use crate::error::{Classify, Kind};

/// Largest template or kickstart that is read, in bytes. Files of 16 MiB may stand in a template
/// in base64, several of them; what is larger is an image or a device, named by mistake.
const MAX_INPUT: u64 = 256 << 20;

/// The name that messages give to a path.
pub fn display_name(path: &Path) -> String {
    if is_stdin(path) {
        "<stdin>".to_string()
    } else {
        path.display().to_string()
    }
}

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads a whole file, or standard input for `-`.
///
/// # Errors
/// Input: it is not there, cannot be read, or is larger than any template or kickstart.
pub fn read(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    read_limited(path)
        .with_context(|| format!("reading the {what} {}", display_name(path)))
        .kind(Kind::Input)
}

fn read_limited(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reader: Box<dyn Read> = if is_stdin(path) {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            bail!("it is a directory: name a file");
        }
        Box::new(file)
    };
    let mut bytes = Vec::new();
    reader.take(MAX_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT {
        bail!(
            "it is larger than {} MiB, which no template or kickstart is",
            MAX_INPUT >> 20
        );
    }
    Ok(bytes)
}
