//! `ozr check --fix`: kickstarts with the certain fixes.

use std::path::Path;

use anyhow::Context;

use super::checked::Reader;
use super::output::replace_file;
use crate::check::report::Checked;
use crate::diagnostic::{Diagnostic, apply_fixes};
use crate::error::{Classify, Kind};
use crate::ui::printer;

/// Most times that a text is fixed: a fix may bring another one to light, but not for ever.
const MAX_ROUNDS: usize = 10;

/// Where what is fixed goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The kickstart to standard output; what it includes stays as it is.
    Stdout,
    /// The kickstart and what it includes, each in its place.
    InPlace,
}

/// What came of it.
#[derive(Debug)]
pub struct Fixed {
    /// The check of what is there now.
    pub left: Checked,
    /// How many findings were fixed.
    pub fixed: usize,
}

/// Fixes the kickstart at `path`, which holds `text` and in which `found` was found.
///
/// # Errors
/// Input: a file cannot be replaced; it is as it was then. And those of [`Reader::kickstart`].
pub fn fix(
    path: &Path,
    text: &str,
    found: &Checked,
    reader: &Reader<'_>,
    target: Target,
) -> anyhow::Result<Fixed> {
    let mut text = text.to_string();
    let (mut left, mut fixed) = (found.clone(), 0);
    for _ in 0..MAX_ROUNDS {
        let mut changed = 0;
        for (place, part) in left.texts.iter().enumerate() {
            let findings: Vec<Diagnostic> = left
                .findings
                .iter()
                .filter(|finding| finding.file == part.name)
                .cloned()
                .collect();
            let own = place == 0;
            // What is included twice is fixed once.
            let again = left.texts[..place]
                .iter()
                .any(|other| other.name == part.name);
            // What came from a URL is not ours to write.
            let elsewhere = !own && part.name.contains("://");
            if again || elsewhere || (!own && target == Target::Stdout) {
                continue;
            }
            let (now, count) = apply_fixes(&part.text, &findings);
            if now == part.text {
                continue;
            }
            if target == Target::InPlace {
                let file = if own { path } else { Path::new(&part.name) };
                // A link stays one.
                file.canonicalize()
                    .and_then(|file| Ok((file.metadata()?, file)))
                    .map_err(anyhow::Error::from)
                    .and_then(|(old, file)| replace_file(&file, now.as_bytes(), Some(&old)))
                    .with_context(|| format!("writing {}", file.display()))
                    .kind(Kind::Input)?;
            }
            if own {
                text = now;
            }
            changed += count;
        }
        if changed == 0 {
            break;
        }
        fixed += changed;
        left = reader.kickstart(path, &text)?;
    }
    if target == Target::Stdout {
        printer::print_text(&text);
    }
    Ok(Fixed { left, fixed })
}
