//! One file per verb; each turns options into work and reports what came of it.

pub mod attach;
pub mod boot_test;
pub mod build;
mod builds;
pub mod cache;
pub mod check;
mod checked;
pub mod completions;
pub mod configuration;
pub mod convert;
pub mod customize;
pub mod diff;
pub mod diff_releases;
mod differing;
mod display;
pub mod doctor;
pub mod explain;
mod from_base;
pub mod gc;
mod guest_options;
pub mod history;
pub mod inspect;
mod inspected;
pub mod install;
pub mod list;
mod machine_images;
pub mod man;
pub mod media;
pub mod needs_rebuild;
pub mod new;
mod of_iso;
mod online;
pub mod oz;
mod preflight;
pub mod releases;
mod reports;
mod running;
pub mod screenshot;
pub mod shipped;
mod signals;
mod template;
mod tree;
pub mod trial;
pub mod verify;
mod walk;
pub mod write;

use std::fs::{File, Metadata, Permissions};
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use crate::error::{Classify, Kind};
use crate::ui::printer;
use crate::{input, printable};

/// `--format` of the commands that list something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A table for people
    Human,
    /// One JSON object on a line for each entry
    Json,
}

/// The end of a command's help: its examples, and `more`.
fn help_of(examples: &[(&str, &str)], more: &str) -> String {
    format!("{}\n{more}", examples_of(examples))
}

/// A command's examples, for its help.
fn examples_of(examples: &[(&str, &str)]) -> String {
    let lines = examples.iter().map(|(command, _)| format!("  {command}\n"));
    format!("Examples:\n{}", lines.collect::<String>())
}

/// Asks the user, and says whether the answer is yes; the end of standard input is a no.
///
/// # Errors
/// Host: standard input cannot be read.
fn agrees(question: &str) -> anyhow::Result<bool> {
    printer::print_report(question);
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .take(MOST_ANSWER)
        .read_line(&mut answer)
        .context("reading the answer")
        .kind(Kind::Host)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(["y", "yes"].contains(&answer.as_str()))
}

/// Most bytes of an answer that are read.
const MOST_ANSWER: u64 = 1024;

/// Rows with each column as wide as its widest cell.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| printable::line(cell)))
        .collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One JSON object on a line for each entry.
pub fn json_lines(entries: &[impl Serialize]) -> String {
    let lines = entries
        .iter()
        .filter_map(|entry| serde_json::to_string(entry).ok());
    lines.map(|line| line + "\n").collect()
}

/// Gives a file this content, whole or not at all: with the mode and, as far as the system allows, the
/// owner of the file that it was `before`, or else for the user alone.
///
/// # Errors
/// It cannot be written; an earlier file is as it was then.
pub fn replace_file(path: &Path, content: &[u8], before: Option<&Metadata>) -> anyhow::Result<()> {
    let path = std::path::absolute(path)?;
    let parent = path.parent().context("it is no file")?;
    let mut aside = tempfile::Builder::new()
        .prefix(".ozr-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(parent)?;
    aside.write_all(content)?;
    if let Some(before) = before {
        // Only root may give files away; whoever else may write here owns what is written.
        let _ = fchown(aside.as_file(), Some(before.uid()), Some(before.gid()));
        aside.as_file().set_permissions(before.permissions())?;
    }
    aside.as_file().sync_all()?;
    aside.persist(&path)?;
    Ok(File::open(parent)?.sync_all()?)
}
