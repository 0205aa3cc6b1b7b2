//! The files of `--report`.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, bail};
use tempfile::NamedTempFile;

use crate::error::{Classify, Kind, inner_of, kind_of};
use crate::install::Finished;
use crate::install::failed::InstallFailed;
use crate::options::{ReportFormat, ReportTarget};
use crate::ui::event::Reporter;
use crate::watch::report::{BuildReport, How, junit, markdown};

/// Where GitHub's runners collect the summary of a step; every program appends its own.
const GITHUB_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Reports quote the console as the logs do, in which a script can have printed anything.
const PRIVATE: u32 = 0o600;

/// What a report says beside how the build ended.
#[derive(Debug)]
pub struct About {
    /// The build's name, as far as it is known.
    pub name: String,
    started: SystemTime,
    clock: Instant,
}

impl About {
    /// Of a build that begins now.
    pub fn beginning(name: String) -> Self {
        About {
            name,
            started: SystemTime::now(),
            clock: Instant::now(),
        }
    }
}

/// Reports that can be written, and will be.
#[derive(Debug)]
pub struct Reports(Vec<Report>);

#[derive(Debug)]
struct Report {
    format: ReportFormat,
    file: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    /// A file beside it, which gets its name when it is whole.
    Aside(NamedTempFile),
    /// What is no file (a pipe, a terminal), and what others write to as well.
    Opened(File),
}

impl Reports {
    /// Makes sure that every report can be written.
    ///
    /// # Errors
    /// Input: one cannot.
    pub fn open(targets: &[ReportTarget]) -> anyhow::Result<Reports> {
        let mut reports: Vec<Report> = Vec::new();
        for target in targets {
            let to = open(target).with_context(|| {
                let file = target.file.display();
                format!("the report {file} cannot be written, name another file")
            });
            reports.push(Report {
                format: target.format,
                file: target.file.clone(),
                to: to.kind(Kind::Input)?,
            });
        }
        Ok(Reports(reports))
    }

    /// Writes how it ended. A report that cannot be written is warned about: the build's end
    /// stands.
    pub fn write(self, about: &About, built: &anyhow::Result<Finished>, reporter: &Reporter) {
        let failed = built.as_ref().err().and_then(inner_of::<InstallFailed>);
        let text = match built {
            Ok(finished) => {
                let images = finished
                    .images
                    .iter()
                    .map(|image| image.display().to_string());
                images.collect::<Vec<_>>().join(", ")
            }
            Err(error) => format!("{error:#}"),
        };
        let build = BuildReport {
            name: &about.name,
            started: about.started,
            lasted: about.clock.elapsed(),
            phases: match (built, failed) {
                (Ok(finished), _) => &finished.phases,
                (Err(_), Some(failed)) => &failed.phases,
                (Err(_), None) => &[],
            },
            how: match built {
                Ok(finished) if finished.kept.is_some() => How::Kept { image: &text },
                Ok(_) => How::Done { image: &text },
                Err(error) => How::Failed {
                    kind: kind_of(error).unwrap_or(Kind::Build),
                    sentence: &text,
                    verdict: failed.map(|failed| &*failed.verdict),
                },
            },
        };
        let render = |format| match format {
            ReportFormat::Junit => junit::render(&build),
            ReportFormat::Markdown => markdown::render(&build),
        };
        self.write_each(render, reporter);
    }

    /// Writes each, as `render` makes it. A report that cannot be written is warned about.
    pub fn write_each(self, render: impl Fn(ReportFormat) -> String, reporter: &Reporter) {
        for report in self.0 {
            let file = report.file.display().to_string();
            let text = render(report.format);
            if let Err(error) = report.to.write(&text, &report.file) {
                reporter.warn(format!("the report {file} could not be written: {error:#}"));
            }
        }
    }
}

fn open(target: &ReportTarget) -> anyhow::Result<To> {
    let file = &target.file;
    let github = std::env::var_os(GITHUB_SUMMARY).map(PathBuf::from);
    let shared =
        github.is_some_and(|summary| summary == *file) && target.format == ReportFormat::Markdown;
    if file
        .symlink_metadata()
        .is_ok_and(|there| there.is_symlink() && !is_trusted(&there))
    {
        bail!("it is a link of another user's");
    }
    let special = file.metadata().is_ok_and(|meta| !meta.is_file());
    if shared || special {
        let mut options = OpenOptions::new();
        // Neither creates what is special, nor empties what is shared.
        let options = options.append(true).create(shared).mode(PRIVATE);
        return Ok(To::Opened(options.open(file)?));
    }
    // Whoever may not write a file may not replace it either.
    if file.exists() {
        OpenOptions::new().append(true).open(file)?;
    }
    let dir = match real(file).parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let aside = tempfile::Builder::new()
        .prefix(".ozr-report-")
        .permissions(Permissions::from_mode(PRIVATE))
        .tempfile_in(dir)?;
    Ok(To::Aside(aside))
}

/// Whose links are followed: this user's, and the system's (`/dev/stdout`).
fn is_trusted(link: &Metadata) -> bool {
    [0, rustix::process::geteuid().as_raw()].contains(&link.uid())
}

/// Where a link leads to: it is not to be replaced.
fn real(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_path_buf())
}

impl To {
    fn write(self, text: &str, file: &Path) -> anyhow::Result<()> {
        match self {
            To::Aside(mut aside) => {
                aside.write_all(text.as_bytes())?;
                aside.as_file().sync_all()?;
                aside.persist(real(file))?;
            }
            To::Opened(mut opened) => opened.write_all(text.as_bytes())?,
        }
        Ok(())
    }
}
