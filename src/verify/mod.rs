//! Whether a file is what an importer takes: `ozr verify --for`; and whether an image is what its [`papers`]
//! say: `ozr verify`.
//!
//! Anybody's file: hostile ones cost bounded memory, and no more time than to read them once.
//! [`facts`] finds out what a file is, [`archive`] what is in one that holds others, [`ovf`] what a
//! descriptor says, [`ovf_structure`] whether it is built as one; one module for each importer judges that. `within` finds the disk, and `inside` judges the
//! system that is installed on it.

pub mod archive;
pub mod facts;
mod importers;
mod inside;
pub mod ovf;
pub mod ovf_structure;
pub mod papers;
mod signed;
mod within;

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use strum::IntoStaticStr;

use crate::diagnostic::{Diagnostic, Severity};
use crate::disk::luks::{Key, Keys};
use crate::formats::boot::{Boot, Table};
use crate::image::reader::{self, Image};
use crate::machine::Firmware;
use crate::secrets::Secret;

/// Who is to take the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Importer {
    /// Microsoft Azure
    Azure,
    /// Google Cloud
    Gcp,
    /// Amazon Web Services
    Aws,
    /// vSphere: an OVA or a VMDK
    Vmware,
    /// oVirt and OLVM: an OVA
    Ovirt,
    /// Vagrant: a box of any provider
    Vagrant,
    /// KubeVirt: a containerDisk, or an image for CDI
    Kubevirt,
    /// Windows Subsystem for Linux: an archive of a system's files
    Wsl,
}

/// What is asked of a file.
#[derive(Debug)]
pub struct Question<'a> {
    /// The name that findings have.
    pub name: &'a str,
    /// The file.
    pub file: &'a File,
    /// The firmware that machines are to start it by, if it is said.
    pub firmware: Option<Firmware>,
    /// What may open the encrypted in it.
    pub passphrases: &'a [Secret],
    /// The program that reads disks: [`reader::OWN_PROGRAM`].
    pub program: &'a Path,
}

impl Question<'_> {
    /// What opens the encrypted on a disk, as far as the passphrases do; a note says what stays closed.
    async fn keys(&self, disk: &File, findings: &mut Findings<'_>) -> Vec<Key> {
        let images = Image::all(std::slice::from_ref(disk));
        match reader::keys(self.program, &images, self.passphrases).await {
            Ok(Keys { keys, closed }) => {
                closed.into_iter().for_each(|why| findings.note(why));
                keys
            }
            Err(error) => {
                findings.note(format!("{error:#}"));
                Vec::new()
            }
        }
    }
}

/// What was found in a file.
#[derive(Debug)]
pub struct Findings<'a> {
    name: &'a str,
    all: Vec<Diagnostic>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, message: String, help: &str) {
        let finding = Diagnostic::of_file(severity, self.name, message);
        self.all.push(match help {
            "" => finding,
            help => finding.help(help),
        });
    }

    /// The importer refuses it.
    pub fn error(&mut self, message: impl Into<String>, help: &str) {
        self.add(Severity::Error, message.into(), help);
    }

    /// The importer takes it, and it will hardly be what was meant.
    pub fn warn(&mut self, message: impl Into<String>, help: &str) {
        self.add(Severity::Warning, message.into(), help);
    }

    /// The same by a rule of `docs/rules.md`: what a guest will hardly do without.
    pub fn rule(&mut self, id: &'static str, message: String, help: &str) {
        self.warn(message, help);
        if let Some(last) = self.all.last_mut() {
            last.id = Some(id);
        }
    }

    /// Worth knowing.
    pub fn note(&mut self, message: impl Into<String>) {
        self.add(Severity::Note, message.into(), "");
    }

    /// How a disk starts, judged by its first bytes and its size.
    pub fn boot(&mut self, beginning: &[u8], size: u64, firmware: Option<Firmware>) {
        let boot = Boot::of(beginning);
        if boot.table == Table::None {
            return self.error(
                "the disk has no partition table, so no machine starts from it",
                "name the image of a whole disk, not of a partition or of a file system",
            );
        }
        match firmware {
            Some(firmware) if !boot.starts_by(firmware) => {
                let (what, lacks) = match firmware {
                    Firmware::Bios => ("a BIOS", "a BIOS boot partition with a boot loader"),
                    Firmware::Uefi => ("UEFI", "an EFI system partition"),
                };
                self.error(
                    format!("{what} finds nothing to start on the disk, which lacks {lacks}"),
                    "install with the firmware that the importer is told",
                );
            }
            None if boot.firmware().is_none() => self.error(
                "no firmware finds anything to start on the disk: there is neither boot code nor an EFI system partition",
                "",
            ),
            Some(_) => {}
            None => {
                let by = match (boot.bios, boot.uefi) {
                    (true, true) => "BIOS and UEFI",
                    (true, false) => "BIOS only",
                    _ => "UEFI only",
                };
                self.note(format!("the disk starts by {by}"));
            }
        }
        if let Table::Gpt { second } = boot.table
            && second.checked_add(1) != Some(size / 512)
        {
            self.note(
                "the second header of the GPT is not at the disk's end: the disk has grown since, and systems put that right when they grow their partitions",
            );
        }
    }
}

/// Looks at a file as `importer` would.
///
/// # Errors
/// The file cannot be read.
pub async fn verify(importer: Importer, question: &Question<'_>) -> Result<Vec<Diagnostic>> {
    let mut findings = Findings {
        name: question.name,
        all: Vec::new(),
    };
    importers::judge(importer, question, &mut findings).await?;
    let refused = findings
        .all
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    let (kind, _) = facts::of_file(question.file)?;
    // There is no disk in a system's files.
    if !refused && importer != Importer::Wsl {
        within::look(importer, kind, question, &mut findings).await;
    }
    Ok(findings.all)
}
