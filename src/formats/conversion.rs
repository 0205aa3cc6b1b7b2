//! What came of a conversion: the files, their names, and what is said of them.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::image::checksum;
use crate::image::disk::human;
use crate::image::manifest::{self, rounded};
use crate::image::output::OutputPaths;
use crate::image::set::{self, From, Image, file_name};
use crate::options::Format;
use crate::state::OwnedDir;
use crate::ui::event::Reporter;

/// A finished file, which has no name of its own yet.
#[derive(Debug)]
pub struct Made {
    /// The disk that it is of, from 0 on.
    pub disk: usize,
    /// The first format that it belongs to.
    pub format: Format,
    /// What its name ends in.
    pub ending: &'static str,
    /// Its name in the work directory.
    pub at: String,
    /// The file.
    pub file: File,
    /// Its length in bytes.
    pub size: u64,
    /// What it takes on its file system, in bytes.
    pub allocated: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// How long it took from the beginning until it was whole.
    pub lasted: Duration,
}

/// All that was made, and of what.
#[derive(Debug)]
pub struct Conversion {
    /// The files, in the order of the formats.
    pub files: Vec<Made>,
    /// The sizes of the disks that the guest sees, in bytes.
    pub virtual_sizes: Vec<u64>,
    /// Bytes of them that were read.
    pub data: u64,
    /// How long it took, digests included.
    pub lasted: Duration,
    /// What there is to say of the files of the system.
    pub notes: Vec<String>,
    /// What of them may not do what it is for.
    pub warnings: Vec<String>,
}

impl Conversion {
    /// Where a file is to be.
    fn place<'a>(&self, made: &Made, output: &'a OutputPaths) -> &'a Path {
        let mut images = output.images.iter();
        images
            .find(|image| (image.disk, image.ending) == (made.disk, made.ending))
            .map_or(&output.image, |image| &image.path)
    }

    /// What manifests say of the files.
    pub fn entries(&self, output: &OutputPaths) -> Vec<manifest::File> {
        let files = self.files.iter();
        files
            .map(|made| manifest::File {
                file: file_name(self.place(made, output)),
                disk: made.disk as u32 + 1,
                format: made.format,
                size: made.size,
                allocated: made.allocated,
                sha256: made.sha256.clone(),
                seconds: rounded(made.lasted),
            })
            .collect()
    }

    /// The files' names and their SHA-256.
    pub fn digests(&self, output: &OutputPaths) -> Vec<(String, String)> {
        let files = self.files.iter();
        let files = files.map(|made| (file_name(self.place(made, output)), made.sha256.clone()));
        files.collect()
    }

    /// The text of `NAME.CHECKSUM`.
    pub fn checksums(&self, output: &OutputPaths) -> String {
        let files = self.files.iter();
        checksum::text(files.map(|made| {
            let name = file_name(self.place(made, output));
            (name.into(), made.size, made.sha256.as_str())
        }))
    }

    /// Gives the files their names with what lies `beside` them and their checksums, all or none.
    ///
    /// # Errors
    /// Those of [`set::publish`].
    pub fn publish(
        &self,
        work: &OwnedDir,
        output: &OutputPaths,
        beside: &[(From<'_>, &Path)],
        checksums: &str,
        replace: bool,
    ) -> Result<()> {
        let images: Vec<Image<'_>> = self
            .files
            .iter()
            .map(|made| Image {
                at: &made.at,
                file: &made.file,
                to: self.place(made, output).to_path_buf(),
            })
            .collect();
        set::publish(
            work,
            &images,
            beside,
            (checksums, &output.checksum),
            replace,
        )
    }

    /// Says what each file takes, and how long it took.
    pub fn report(&self, output: &OutputPaths, reporter: &Reporter) {
        self.notes.iter().for_each(|note| reporter.note(note));
        self.warnings
            .iter()
            .for_each(|warning| reporter.warn(warning));
        for made in &self.files {
            if made.lasted.is_zero() {
                // The guest's own disk.
                continue;
            }
            reporter.step(format!(
                "{}: {} written, {} on disk, whole after {:.1} s",
                file_name(self.place(made, output)),
                human(made.size),
                human(made.allocated),
                made.lasted.as_secs_f64()
            ));
        }
    }
}
