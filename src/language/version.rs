//! Versions of the kickstart language. All rebuilds of a RHEL release share one; its minor
//! releases are not told apart: what is meant is the last one, and an early one may know less.

use std::fmt;
use std::ops::RangeInclusive;

use crate::distro::Release;

/// A version of the kickstart language, named as pykickstart and `#version=` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `RHEL9`
    Rhel(u8),
    /// `F43`
    Fedora(u8),
}

use Version::{Fedora, Rhel};

/// The releases of RHEL and of Fedora whose language is known.
const RHEL: RangeInclusive<u8> = 6..=11;
const FEDORA: RangeInclusive<u8> = 29..=46;

impl Version {
    /// How many versions are known.
    pub const COUNT: usize = 24;

    /// Every version that is known: RHEL, then Fedora, the oldest first. The same as in
    /// `table.toml`.
    pub fn all() -> impl DoubleEndedIterator<Item = Version> {
        RHEL.map(Rhel).chain(FEDORA.map(Fedora))
    }

    /// Reads what a `#version=` line says: a version, or any release of its language (`OL8`,
    /// `CentOS8`, `RHEL8.3`), as the installers of rebuilds write it.
    pub fn from_label(name: &str) -> Option<Version> {
        Version::from_name(name).or_else(|| Version::of(Release::from_label(name).ok()?))
    }

    /// Reads `RHEL9`, `rhel-9`, `el9`, `F43`, `Fedora43`, `fedora-43`, in any case.
    pub fn from_name(name: &str) -> Option<Version> {
        let name = name.trim().to_ascii_lowercase();
        let digits = name.find(|c: char| c.is_ascii_digit())?;
        let number: u8 = name[digits..].parse().ok()?;
        let version = match name[..digits].trim_end_matches(['-', ' ', '_']) {
            "rhel" | "el" => Rhel(number),
            "f" | "fc" | "fedora" => Fedora(number),
            _ => return None,
        };
        Version::all()
            .any(|known| known == version)
            .then_some(version)
    }

    /// The version that a release's installer reads.
    pub fn of(release: Release) -> Option<Version> {
        Version::from_name(&release.pykickstart_version())
    }

    /// The place in [`Version::all`].
    pub fn index(self) -> usize {
        let (number, before) = match self {
            Rhel(number) => (number - RHEL.start(), 0),
            Fedora(number) => (number - FEDORA.start(), RHEL.count()),
        };
        usize::from(number) + before
    }

    /// Whether it is this RHEL or a later one, or this Fedora or a later one.
    pub fn since(self, rhel: u8, fedora: u8) -> bool {
        match self {
            Rhel(number) => number >= rhel,
            Fedora(number) => number >= fedora,
        }
    }

    /// Whether the installer reads lines with Python 2's optparse, and a file as bytes: RHEL 6 and
    /// 7 (pykickstart's rhel6-branch and rhel7-branch). All others use argparse and UTF-8.
    pub fn is_python_2(self) -> bool {
        matches!(self, Rhel(6 | 7))
    }

    /// Whether it is a RHEL.
    pub fn is_rhel(self) -> bool {
        matches!(self, Rhel(_))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rhel(number) => write!(f, "RHEL{number}"),
            Fedora(number) => write!(f, "F{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (name, version) in [
            ("RHEL9", Some(Rhel(9))),
            ("rhel-10", Some(Rhel(10))),
            ("el7", Some(Rhel(7))),
            ("F43", Some(Fedora(43))),
            ("fedora 29", Some(Fedora(29))),
            ("RHEL5", None),
            ("F28", None),
            ("F47", None),
            ("F999", None),
            ("DEVEL", None),
            ("9", None),
            ("", None),
        ] {
            assert_eq!(Version::from_name(name), version, "{name}");
        }
    }

    #[test]
    fn version_lines_of_rebuilds() {
        for (name, version) in [
            ("OL8", Some(Rhel(8))),
            ("CentOS8", Some(Rhel(8))),
            ("ROCKY9", Some(Rhel(9))),
            ("RHEL8.3", Some(Rhel(8))),
            ("F43", Some(Fedora(43))),
            ("DEVEL", None),
            ("", None),
        ] {
            assert_eq!(Version::from_label(name), version, "{name}");
        }
    }

    #[test]
    fn each_version_knows_its_place_and_name() {
        for (place, version) in Version::all().enumerate() {
            assert_eq!(version.index(), place);
            assert_eq!(Version::from_name(&version.to_string()), Some(version));
        }
    }
}
