//! What is wrong with a kickstart, found before a guest boots.
//!
//! * [`rules`]: every rule, with its explanation (`docs/rules.md`), and findings that somebody allows.
//! * [`lints`]: what makes an install wait or end as a bad image, in a [`Setting`].
//! * [`shell`]: the commands of a script.
//! * [`includes`]: the files that a kickstart includes.
//! * [`online`]: addresses, packages and groups, asked of the network.
//! * [`report`]: findings as text, in every format.
//! * [`subject`]: what a file is, and which release it names.

pub mod fetched;
pub mod includes;
pub mod lints;
pub mod online;
pub mod report;
pub mod rules;
pub mod shell;
pub mod subject;

use crate::diagnostic::{Diagnostic, Severity};
use crate::distro::{Arch, Release};
use crate::kickstart::outline::Outline;
use crate::language::{Reading, Version};
use crate::machine::{DiskBus, Firmware};
use crate::options::Deliver;
use report::{Checked, Named};

/// Most findings that are told of one kickstart: more of them are one mistake made many times, or
/// a file that is no kickstart.
const MAX_FINDINGS: usize = 1000;

/// Everything that is wrong with a kickstart, with its texts: what its language says, what is
/// wrong with it in its setting, and what was found elsewhere (`more`: [`online`]); without what
/// comments in it or `allow` (ids) allow. In the order of its texts and their lines, what is about
/// the kickstart as a whole first.
pub fn kickstart(
    reading: Reading,
    setting: &Setting,
    more: Vec<Diagnostic>,
    allow: &[String],
) -> Checked {
    let mut findings = reading.findings.clone();
    findings.extend(lints::find(&reading, setting));
    findings.extend(more);
    let mut findings = rules::without_allowed(&reading, findings, allow);
    let place = |finding: &Diagnostic| {
        let mut texts = reading.texts.iter();
        let text = texts.position(|text| text.name == finding.file);
        let line = (!finding.is_about_whole_file()).then_some((finding.line, finding.column));
        (text, line)
    };
    findings.sort_by_cached_key(place);
    if findings.len() > MAX_FINDINGS {
        let left_out = findings.split_off(MAX_FINDINGS);
        let worst = left_out.iter().map(|finding| finding.severity).max();
        let name = reading.texts.first().map_or("", |text| &text.name);
        let message = format!(
            "{} more findings are not shown, of which the worst is as bad as this",
            left_out.len()
        );
        let summary = Diagnostic::of_file(worst.unwrap_or(Severity::Note), name, message);
        findings.push(summary.help("correct what is shown, and check again"));
    }
    let texts: Vec<Named> = reading
        .texts
        .into_iter()
        .map(|text| Named {
            name: text.name,
            text: text.text,
        })
        .collect();
    Checked {
        name: texts
            .first()
            .map(|text| text.name.clone())
            .unwrap_or_default(),
        texts,
        findings,
    }
}

/// What is known of the surroundings of a kickstart: on it depends what is wrong with it. What is not known is `None`, and what nobody adds is `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Whose language it is read in.
    pub version: Version,
    /// The release that is installed.
    pub release: Option<Release>,
    /// The guest's architecture.
    pub arch: Option<Arch>,
    /// What starts the guest.
    pub firmware: Option<Firmware>,
    /// What the guest's disks are plugged into.
    pub disk_bus: Option<DiskBus>,
    /// How many network cards the guest has; 0 where that is not known.
    pub nics: usize,
    /// How many disks the guest has.
    pub disks: usize,
    /// Size of the guest's disks in bytes, all together.
    pub disk_bytes: Option<u64>,
    /// The machine is a guest that ozr makes: its disks are blank, and there is no medium.
    pub new_guest: bool,
    /// What is in its CD-ROM drive.
    pub disc: Disc,
    /// The image is to boot on machines of any kind.
    pub portable: bool,
    /// How the kickstart gets to the guest.
    pub deliver: Option<Deliver>,
    /// The passphrase of what is encrypted is filled in where the kickstart gives none.
    pub adds_passphrase: bool,
    /// Root gets a password that stands above the kickstart's.
    pub adds_root_password: bool,
    /// Root gets keys that may log in by SSH.
    pub adds_root_keys: bool,
    /// What makes copies of the image one machine is taken out of it afterwards.
    pub is_sealed: bool,
    /// `poweroff` is appended where the kickstart would not end by itself.
    pub adds_ending: bool,
    /// The installer is told of a source on its command line (`inst.repo=`).
    pub adds_source: bool,
    /// The installer runs without questions (`inst.cmdline`).
    pub adds_cmdline: bool,
    /// The installer's kernel, and so the installed one, has a serial console.
    pub adds_serial_console: bool,
}

/// What the machine that is installed has in its CD-ROM drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disc {
    /// Nothing.
    None,
    /// A disc of the release; whether packages are on it is not known.
    Some,
}

impl Setting {
    /// A kickstart of which nothing else is known.
    pub fn alone(version: Version) -> Setting {
        Setting {
            version,
            release: None,
            arch: None,
            firmware: None,
            disk_bus: None,
            nics: 0,
            disks: 1,
            disk_bytes: None,
            new_guest: false,
            disc: Disc::None,
            portable: false,
            deliver: None,
            adds_passphrase: false,
            adds_root_password: false,
            adds_root_keys: false,
            is_sealed: false,
            adds_ending: false,
            adds_source: false,
            adds_cmdline: false,
            adds_serial_console: false,
        }
    }

    /// What the kernel command line of [`Release::boot_options`] gives the installer: all of a
    /// template that is known before options are.
    pub fn of_boot(
        release: Release,
        kickstart: &Outline,
        kernelparam: Option<&str>,
    ) -> Option<Setting> {
        // The template's own words stand last and overrule.
        let overruled = kernelparam.unwrap_or_default().split_whitespace();
        let asks = overruled.into_iter().any(|word| {
            matches!(
                word,
                "inst.graphical" | "inst.vnc" | "inst.rdp" | "graphical" | "vnc"
            )
        });
        Some(Setting {
            release: Some(release),
            // The tree is given as a source only where the kickstart names none.
            adds_source: kickstart.source().is_none(),
            adds_cmdline: !asks,
            adds_serial_console: true,
            ..Setting::alone(Version::of(release)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Included, Includes, Version};

    #[test]
    fn findings_come_in_the_order_of_their_places() {
        struct Part;
        impl Includes for Part {
            fn find(&self, _target: &str, _from: &str) -> Option<Included> {
                Some(Included {
                    name: "part.ks".into(),
                    text: "frobnicate\n".into(),
                })
            }
        }
        let version = Version::Rhel(9);
        let text = "install\n%include part.ks\nnosuch\n%post\n";
        let check = |allow: &[String]| {
            let reading = Reading::new(text, "a.ks", version, &Part);
            kickstart(reading, &Setting::alone(version), Vec::new(), allow)
        };
        let file = check(&[]);
        let places: Vec<(&str, usize, &str)> = file
            .findings
            .iter()
            .filter_map(|finding| Some((finding.file.as_str(), finding.line, finding.id?)))
            .filter(|(_, _, id)| id.starts_with("KS0"))
            .collect();
        assert_eq!(
            places,
            [
                ("a.ks", 1, "KS002"),
                ("a.ks", 3, "KS001"),
                ("a.ks", 4, "KS009"),
                ("part.ks", 1, "KS001"),
            ]
        );
        assert_eq!((file.name.as_str(), file.texts.len()), ("a.ks", 2));
        let lints: Vec<String> = file
            .findings
            .iter()
            .filter_map(|finding| finding.id.filter(|id| !id.starts_with("KS0")))
            .map(str::to_string)
            .collect();
        assert!(!lints.is_empty());
        assert_eq!(check(&lints).findings.len(), places.len());
    }
}
