//! What an image is made of, in the formats that scanners read: SPDX 2.3 and CycloneDX 1.6, both JSON.
//!
//! Packages are named as syft names them (its `syft/pkg/cataloger/redhat`), for vulnerability
//! scanners match on distribution and source package.

mod cyclonedx;
pub mod icicle;
pub mod purl;
mod spdx;

use std::time::SystemTime;

use anyhow::Result;

use crate::inspect::Release;
use crate::options::SbomFormat;
use crate::packages::Package;

/// What is described.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The image's name.
    pub name: &'a str,
    /// The SHA-256 of its file, in hexadecimal, if it is known.
    pub sha256: Option<&'a str>,
    /// Its distribution.
    pub release: &'a Release,
    /// Its packages.
    pub packages: &'a [Package],
    /// When the description is made.
    pub created: SystemTime,
}

/// The description of an image. The same image gives the same text, but for the time.
///
/// # Errors
/// Never in practice: every field can be written as JSON.
pub fn write(format: SbomFormat, subject: &Subject<'_>) -> Result<String> {
    let mut json = match format {
        SbomFormat::Spdx => serde_json::to_string_pretty(&spdx::document(subject))?,
        SbomFormat::Cyclonedx => serde_json::to_string_pretty(&cyclonedx::document(subject))?,
    };
    json.push('\n');
    Ok(json)
}

/// An identity in hexadecimal that is the same for the same image and package: so many bytes of a digest.
fn identity(subject: &Subject<'_>, what: &str) -> String {
    let mut all = format!(
        "{}\n{}\n{what}\n",
        subject.name,
        subject.sha256.unwrap_or_default()
    );
    for package in subject.packages {
        all.push_str(&purl::of(package, subject.release));
        all.push('\n');
    }
    crate::hex::sha256(all)[..32].to_owned()
}
