//! The `<os>` of a template, name and version, to a [`Release`].
//!
//! A name is a product (`Rocky`) or a product and its major version (`Rocky-9`). A version is a
//! lone number or `MAJOR.MINOR`. Where both name the major version they must agree.
//!
//! A lone number beside a name with a major version is Oz's "update", that is the minor version:
//! `RHEL-7` with `9` is 7.9. The same number as the major repeats it instead: `Rocky-9` with `9`
//! is some Rocky 9, because that is how people write it, and because nothing depends on the minor
//! version then (`RHEL-7` with `7`, which was 7.7 for Oz, is some RHEL 7; write `7.7` to be exact).

use super::release::{Product, Release};
use crate::{input, printable};

/// Names of products in templates: those of Oz first, then those of today.
const NAMES: [(&str, Product); 18] = [
    ("RHEL", Product::Rhel),
    ("RedHatEnterpriseLinux", Product::Rhel),
    ("CentOS", Product::CentOs),
    ("CentOS-Stream", Product::CentOsStream),
    ("CentOSStream", Product::CentOsStream),
    ("Rocky", Product::Rocky),
    ("RockyLinux", Product::Rocky),
    ("AlmaLinux", Product::AlmaLinux),
    ("Alma", Product::AlmaLinux),
    ("OL", Product::OracleLinux),
    ("OEL", Product::OracleLinux),
    ("OracleLinux", Product::OracleLinux),
    ("OracleEnterpriseLinux", Product::OracleLinux),
    ("ScientificLinux", Product::ScientificLinux),
    ("SL", Product::ScientificLinux),
    ("ScientificLinuxCern", Product::ScientificLinuxCern),
    ("SLC", Product::ScientificLinuxCern),
    (FEDORA, Product::Fedora),
];

const FEDORA: &str = "Fedora";

/// What the families of trees begin with, in lower case (the field `family`, or `name`, of lorax's and
/// productmd's `.treeinfo`), and the product's name in templates.
const FAMILIES: [(&str, &str); 12] = [
    ("red hat enterprise linux", "RHEL"),
    // Labels of discs.
    ("rhel", "RHEL"),
    ("ol", "OracleLinux"),
    ("centos stream", "CentOS-Stream"),
    ("centos-stream", "CentOS-Stream"),
    ("centos", "CentOS"),
    ("rocky", "Rocky"),
    ("almalinux", "AlmaLinux"),
    ("oracle linux", "OracleLinux"),
    ("scientific linux cern", "ScientificLinuxCern"),
    ("scientific", "ScientificLinux"),
    ("fedora", FEDORA),
];

/// Systems that Oz installs and ozr does not.
const OZ_ONLY: [&str; 15] = [
    "Debian",
    "Fedora Core",
    "FedoraCore",
    "FC",
    "FreeBSD",
    "Mageia",
    "Mandrake",
    "Mandriva",
    "OpenSUSE",
    "RHL",
    "RedHatLinux",
    "RHEL-2.1",
    "RedHatEnterpriseLinux-2.1",
    "Ubuntu",
    "Windows",
];

/// Rebuilds of RHEL that have no name of their own here, in lower case without separators; their
/// numbers are RHEL's.
const REBUILDS: [&str; 16] = [
    "anolis",
    "anolisos",
    "asianux",
    "circle",
    "circlelinux",
    "cloudlinux",
    "eurolinux",
    "libertylinux",
    "miracle",
    "miraclelinux",
    "navylinux",
    "opencloudos",
    "springdale",
    "springdalelinux",
    "virtuozzo",
    "vzlinux",
];

const INSTALLS: &str = "ozr installs RHEL 6 and later with its rebuilds, and Fedora 29 and later";

/// Longest part of a name or version that a message repeats, in characters.
const MAX_SHOWN: usize = 60;

/// Why name and version are no release that ozr installs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {help}")]
pub struct ReleaseError {
    /// What to point at.
    pub field: ReleaseField,
    /// One sentence that names the cause.
    pub message: String,
    /// What is allowed.
    pub help: String,
}

/// A part of `<os>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseField {
    /// `<name>`
    Name,
    /// `<version>`
    Version,
}

impl Release {
    /// Reads the name and version of a template's `<os>`.
    ///
    /// # Errors
    /// If ozr does not install it, or name and version contradict each other.
    pub fn from_names(name: &str, version: &str) -> Result<Self, ReleaseError> {
        let version = version.trim();
        let (product, named_major) = read_name(name, version)?;
        if let Some(major) = named_major {
            // Whatever its version is called.
            check_major(successor(product, major), major, ReleaseField::Name)?;
        }
        let (first, second) = read_version(product, version)?;
        let (major, minor) = match (named_major, second) {
            // A bare name: the version begins with the major.
            (None, minor) => (first, minor),
            // `9.4` beside `Rocky-9`, or `9`.
            (Some(major), minor) if first == major => (major, minor),
            (Some(major), None) if product != Product::Fedora => (major, Some(first)),
            (Some(major), _) => {
                let (name, version) = (name.trim(), shown(version));
                return Err(version_error(
                    format!("version `{version}` contradicts the name `{name}`"),
                    format!("write a version of {major}, or the name without its number"),
                ));
            }
        };
        let field = if named_major.is_some() {
            ReleaseField::Name
        } else {
            ReleaseField::Version
        };
        let product = successor(product, major);
        check_major(product, major, field)?;
        // CentOS Stream has no minor releases; a number that a template has from CentOS does no harm.
        let minor = minor.filter(|_| product != Product::CentOsStream);
        if let Some(minor) = minor {
            check_minor(product, major, minor)?;
        }
        Ok(Release {
            product,
            major,
            minor,
        })
    }

    /// The release of an install tree, by what its `.treeinfo` says: its family (`AlmaLinux Kitten`,
    /// `Red Hat Enterprise Linux`) and version (`10`, `9.6`, `10-stream`); none of one that is not known.
    pub fn of_tree(family: &str, version: &str) -> Option<Self> {
        let family = family.trim().to_ascii_lowercase();
        let (_, name) = FAMILIES.iter().find(|(known, _)| {
            let rest = family.strip_prefix(known);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        })?;
        let version = version.trim();
        let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
        let version = &version[..end.unwrap_or(version.len())];
        // A third number is a point release's of its own: 7.9.2009.
        let mut parts = version.splitn(3, '.');
        let major = parts.next()?;
        let version = parts
            .next()
            .map_or(major.to_owned(), |minor| format!("{major}.{minor}"));
        Release::from_names(name, &version)
            .or_else(|_| Release::from_names(name, major))
            .ok()
    }

    /// Name and version as a template has them: `Rocky-9` and `9.4`.
    pub fn names(self) -> (String, String) {
        let mut known = NAMES.iter();
        let name = known
            .find(|(_, product)| *product == self.product)
            .map_or(FEDORA, |(name, _)| *name);
        let major = self.major;
        let name = match self.product {
            Product::Fedora => name.to_owned(),
            _ => format!("{name}-{major}"),
        };
        (name, self.version())
    }

    /// Reads a release that is named in one word or line: `Rocky-9`, `rocky linux 9.4`, `RHEL9`,
    /// `Fedora 43`. A lone number is a Fedora's or a RHEL's, whichever has it.
    ///
    /// # Errors
    /// As [`Release::from_names`].
    pub fn from_label(label: &str) -> Result<Self, ReleaseError> {
        let label = label.trim();
        let start = label
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(label.len());
        let (name, version) = label.split_at(start);
        let name = name.trim_end_matches(SEPARATORS);
        if name.is_empty() && !version.is_empty() {
            let (first_fedora, _) = Product::Fedora.majors();
            let major = version.split('.').next().and_then(number);
            let fedora = major.is_some_and(|major| major >= first_fedora);
            return Release::from_names(if fedora { FEDORA } else { NAMES[0].0 }, version);
        }
        let mut known = NAMES.iter().map(|(known, _)| *known);
        let asked = folded(name);
        // `F40`, as pykickstart and package names have it.
        let known = match asked.as_str() {
            "f" | "fc" => Some(FEDORA),
            _ => known.find(|known| folded(known) == asked),
        };
        match known {
            Some(name) if version.is_empty() => Err(version_error(
                format!("`{}` names no version", shown(label)),
                format!(
                    "write it behind the name, such as {name}-{}",
                    if name == FEDORA { 43 } else { 9 }
                ),
            )),
            Some(name) => Release::from_names(name, version),
            // With the number, so that what is suggested has it, too.
            None => match version.split('.').next() {
                Some(major) if !major.is_empty() => {
                    Release::from_names(&format!("{name}-{major}"), major)
                }
                _ => Release::from_names(name, version),
            },
        }
    }
}

/// What stands between the words of a release's name.
const SEPARATORS: [char; 3] = ['-', ' ', '_'];

/// A product's name without case and separators.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|c| !SEPARATORS.contains(c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// CentOS 9 and later are CentOS Stream (`CentOS-9` is a name of Oz's).
fn successor(product: Product, major: u32) -> Product {
    if product == Product::CentOs && major >= 9 {
        Product::CentOsStream
    } else {
        product
    }
}

/// The product and the major version that a name says; `version` is for messages.
fn read_name(name: &str, version: &str) -> Result<(Product, Option<u32>), ReleaseError> {
    let name = name.trim();
    let split = name
        .rsplit_once('-')
        .and_then(|(product, major)| Some((product, number(major)?)));
    let (product_name, major) = match split {
        Some((product, major)) => (product, Some(major)),
        None => (name, None),
    };
    if let Some((_, product)) = NAMES.iter().find(|(known, _)| *known == product_name) {
        return Ok((*product, major));
    }
    let (what, help) = match OZ_ONLY.contains(&product_name) || OZ_ONLY.contains(&name) {
        true => ("ozr does not install", INSTALLS.to_string()),
        false => (
            "unknown operating system",
            meant(product_name, major, version),
        ),
    };
    Err(ReleaseError {
        field: ReleaseField::Name,
        message: format!("{what} `{}`", shown(name)),
        help,
    })
}

/// What an unknown name may mean, in words.
fn meant(name: &str, major: Option<u32>, version: &str) -> String {
    // `RHEL8` and `Rocky 9` have the number behind the name.
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let major = major.or_else(|| number(&name[bare.len()..]));
    let numbered = |name: &str| match major {
        Some(major) => format!("`{name}-{major}`"),
        None => format!("`{name}`"),
    };
    let known = NAMES.map(|(known, _)| known);
    let bare = bare.trim_end_matches(SEPARATORS);
    if let Some(same) = known.iter().find(|known| folded(known) == folded(bare)) {
        return format!("write {}", numbered(same));
    }
    let of_version = || version.split('.').next().and_then(number);
    let rhel = major.or_else(of_version);
    let rhel = rhel.filter(|major| (6..=10).contains(major));
    let rebuild =
        rhel.map(|major| format!("for another rebuild of RHEL {major} write `RHEL-{major}`"));
    if REBUILDS.contains(&folded(bare).as_str()) {
        let another = "for another rebuild of RHEL write `RHEL-` and its number".to_string();
        return rebuild.unwrap_or(another);
    }
    let near = input::near(bare, &known, 3);
    let near: Vec<String> = near.into_iter().map(numbered).collect();
    match (near.as_slice(), rebuild) {
        ([], None) => {
            format!("{INSTALLS}; names are such as Rocky-9, AlmaLinux-10, RHEL-8, Fedora-43")
        }
        ([], Some(rebuild)) => format!("{INSTALLS}; {rebuild}"),
        (near, None) => format!("did you mean {}?", near.join(" or ")),
        (near, Some(rebuild)) => format!("did you mean {}? Or {rebuild}", near.join(" or ")),
    }
}

/// The one or two numbers of a version.
fn read_version(product: Product, version: &str) -> Result<(u32, Option<u32>), ReleaseError> {
    if product == Product::Fedora {
        return number(version).map(|number| (number, None)).ok_or_else(|| {
            version_error(
                format!("Fedora `{}` is not a number", shown(version)),
                "write the number of the release, such as 43; rawhide has the number of the next release",
            )
        });
    }
    let mut parts = version.split('.');
    let first = parts.next().and_then(number);
    let second = parts.next().map(number);
    // CentOS's third part is the month of its sources: 7.9.2009.
    let third = parts
        .next()
        .map(|part| number(part).filter(|_| product == Product::CentOs));
    match (first, second, third, parts.next()) {
        (Some(first), None, None, None) => Ok((first, None)),
        (Some(first), Some(Some(second)), None | Some(Some(_)), None) => Ok((first, Some(second))),
        _ => Err(version_error(
            format!("version `{}` is not a number", shown(version)),
            if version == "GOLD" || version.starts_with('U') {
                "GOLD and U1, U2, ... are for RHEL 5 and before; write the minor release as a number"
            } else {
                "write the minor release, `4`, or the whole version, `9.4`"
            },
        )),
    }
}

fn check_major(product: Product, major: u32, field: ReleaseField) -> Result<(), ReleaseError> {
    let (first, last) = product.majors();
    if (first..=last).contains(&major) {
        return Ok(());
    }
    let help = match product {
        Product::Fedora => "ozr installs Fedora 29 and later".to_string(),
        _ if first == last => format!("ozr installs {product} {first}"),
        Product::CentOs => "ozr installs CentOS 6 to 8, and CentOS Stream 8 to 10".to_string(),
        _ => format!("ozr installs {product} {first} to {last}"),
    };
    Err(ReleaseError {
        field,
        message: format!("ozr does not install {product} {major}"),
        help,
    })
}

fn check_minor(product: Product, major: u32, minor: u32) -> Result<(), ReleaseError> {
    // RHEL 7 ended with 7.9; 6 and 8 with 6.10 and 8.10, where 9 and 10 are to end too.
    let last = if major == 7 { 9 } else { 10 };
    if minor <= last {
        return Ok(());
    }
    Err(version_error(
        format!("{product} {major}.{minor} does not exist"),
        format!("minor releases of {product} {major} are 0 to {last}"),
    ))
}

fn version_error(message: String, help: impl Into<String>) -> ReleaseError {
    ReleaseError {
        field: ReleaseField::Version,
        message,
        help: help.into(),
    }
}

/// A number of up to four ASCII digits (7.9.2009 is the longest that anyone uses).
fn number(text: &str) -> Option<u32> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn shown(text: &str) -> String {
    printable::short(text, MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_say_what_they_are_of() {
        for (family, version, expected) in [
            ("AlmaLinux", "10.0", Some("AlmaLinux 10.0")),
            ("AlmaLinux Kitten", "10", Some("AlmaLinux 10")),
            ("Rocky Linux", "10.1", Some("Rocky Linux 10.1")),
            ("Red Hat Enterprise Linux", "8.0", Some("RHEL 8.0")),
            ("CentOS Stream", "10-stream", Some("CentOS Stream 10")),
            ("CentOS", "7", Some("CentOS 7")),
            ("CentOS Linux", "8.2", Some("CentOS 8.2")),
            ("CentOS", "7.9.2009", Some("CentOS 7.9")),
            ("Fedora-Server", "43", Some("Fedora 43")),
            ("Fedora", "rawhide", None),
            ("Scientific", "7.8", Some("Scientific Linux 7.8")),
            ("Standin Linux", "9.0", None),
            ("Rockyish", "9", None),
            ("openSUSE Leap", "15.1", None),
            ("", "", None),
        ] {
            let release = Release::of_tree(family, version).map(|release| release.to_string());
            assert_eq!(release.as_deref(), expected, "{family} {version}");
        }
    }

    #[test]
    fn every_name_with_every_form_of_version() {
        for (name, version, expected) in [
            // Oz's names, with Oz's "update".
            ("RHEL-6", "9", "RHEL 6.9"),
            ("RHEL-6", "6", "RHEL 6"),
            ("RHEL-6", "10", "RHEL 6.10"),
            ("RedHatEnterpriseLinux-6", "0", "RHEL 6.0"),
            ("CentOS-6", "5", "CentOS 6.5"),
            ("ScientificLinux-6", "5", "Scientific Linux 6.5"),
            ("SL-6", "5", "Scientific Linux 6.5"),
            ("ScientificLinuxCern-6", "5", "Scientific Linux CERN 6.5"),
            ("SLC-6", "5", "Scientific Linux CERN 6.5"),
            ("OracleEnterpriseLinux-6", "5", "Oracle Linux 6.5"),
            ("OEL-6", "5", "Oracle Linux 6.5"),
            ("OL-6", "5", "Oracle Linux 6.5"),
            ("RHEL-7", "9", "RHEL 7.9"),
            ("RHEL-7", "7", "RHEL 7"),
            ("RHEL-7", "7.7", "RHEL 7.7"),
            ("CentOS-7", "7.9.2009", "CentOS 7.9"),
            ("SL-7", "7.9", "Scientific Linux 7.9"),
            ("CentOS-8", "5", "CentOS 8.5"),
            ("RHEL-8", "10", "RHEL 8.10"),
            ("RHEL-9", "4", "RHEL 9.4"),
            ("CentOS-9", "9", "CentOS Stream 9"),
            // Today's names.
            ("Rocky-9", "9", "Rocky Linux 9"),
            ("Rocky-9", "4", "Rocky Linux 9.4"),
            ("Rocky-9", "9.4", "Rocky Linux 9.4"),
            ("RockyLinux-8", "9", "Rocky Linux 8.9"),
            ("Rocky-9", "9.9", "Rocky Linux 9.9"),
            ("AlmaLinux-10", "0", "AlmaLinux 10.0"),
            ("AlmaLinux-10", "10", "AlmaLinux 10"),
            ("Alma-9", "6", "AlmaLinux 9.6"),
            ("CentOS-Stream-9", "9", "CentOS Stream 9"),
            ("CentOS-Stream-9", "4", "CentOS Stream 9"),
            ("CentOSStream-10", "10", "CentOS Stream 10"),
            ("OL-9", "9.4", "Oracle Linux 9.4"),
            ("OracleLinux-9", "4", "Oracle Linux 9.4"),
            ("RHEL-10", "1", "RHEL 10.1"),
            ("Fedora-43", "43", "Fedora 43"),
            ("Fedora", "29", "Fedora 29"),
            // Bare names.
            ("Rocky", "9.4", "Rocky Linux 9.4"),
            ("Rocky", "9", "Rocky Linux 9"),
            ("AlmaLinux", "10", "AlmaLinux 10"),
            ("RHEL", "8.10", "RHEL 8.10"),
            ("CentOS", "7.9", "CentOS 7.9"),
            ("CentOS", "10", "CentOS Stream 10"),
            ("CentOS-Stream", "9", "CentOS Stream 9"),
            (" Rocky ", " 9.4\n", "Rocky Linux 9.4"),
        ] {
            let release = Release::from_names(name, version).map(|release| release.to_string());
            assert_eq!(release.as_deref(), Ok(expected), "{name} {version}");
        }
    }

    #[test]
    fn refusals_name_cause_and_remedy() {
        use ReleaseField::{Name, Version};
        for (name, version, field, message, help) in [
            (
                "Rocky-9",
                "8.4",
                Version,
                "contradicts the name `Rocky-9`",
                "version of 9",
            ),
            ("Fedora-43", "42", Version, "contradicts", "version of 43"),
            (
                "Roky-9",
                "9",
                Name,
                "unknown operating system `Roky-9`",
                "`Rocky-9`",
            ),
            ("rocky-9", "9", Name, "unknown", "`Rocky-9`"),
            ("fedora", "43", Name, "unknown", "`Fedora`"),
            ("Plan9", "4", Name, "unknown", "RHEL 6 and later"),
            ("", "4", Name, "unknown", "RHEL 6 and later"),
            ("RHEL-6", "U7", Version, "not a number", "RHEL 5 and before"),
            (
                "RHEL-5",
                "7",
                Name,
                "does not install RHEL 5",
                "RHEL 6 to 10",
            ),
            (
                "RHEL-5",
                "U6",
                Name,
                "does not install RHEL 5",
                "RHEL 6 to 10",
            ),
            (
                "CentOS-3",
                "8",
                Name,
                "does not install CentOS 3",
                "CentOS Stream",
            ),
            (
                "RHEL-2.1",
                "GOLD",
                Name,
                "does not install",
                "RHEL 6 and later",
            ),
            ("RHEL-11", "0", Name, "does not install RHEL 11", "6 to 10"),
            (
                "Rocky",
                "4",
                Version,
                "does not install Rocky Linux 4",
                "8 to 10",
            ),
            (
                "Rocky-7",
                "9",
                Name,
                "does not install Rocky Linux 7",
                "8 to 10",
            ),
            (
                "SL-8",
                "1",
                Name,
                "does not install Scientific Linux 8",
                "6 to 7",
            ),
            ("SLC-7", "1", Name, "does not install", "CERN 6"),
            (
                "Fedora",
                "28",
                Version,
                "does not install Fedora 28",
                "29 and later",
            ),
            (
                "Fedora",
                "12",
                Version,
                "does not install Fedora 12",
                "29 and later",
            ),
            (
                "Fedora",
                "rawhide",
                Version,
                "`rawhide` is not a number",
                "43",
            ),
            ("FedoraCore", "6", Name, "does not install", "Fedora 29"),
            (
                "Windows",
                "2003",
                Name,
                "does not install `Windows`",
                "RHEL 6",
            ),
            ("Debian", "9", Name, "does not install `Debian`", "RHEL 6"),
            (
                "Ubuntu",
                "18.04",
                Name,
                "does not install `Ubuntu`",
                "RHEL 6",
            ),
            (
                "RHEL-7",
                "10",
                Version,
                "RHEL 7.10 does not exist",
                "0 to 9",
            ),
            ("RHEL-7", "U9", Version, "not a number", "number"),
            ("Rocky-9", "9.", Version, "not a number", "9.4"),
            ("Rocky-9", "9.4.1", Version, "not a number", "9.4"),
            ("Rocky-9", "-4", Version, "not a number", "9.4"),
            ("Rocky-9", "99999999999", Version, "not a number", "9.4"),
            ("Rocky-9", "latest", Version, "not a number", "9.4"),
        ] {
            let error = Release::from_names(name, version).expect_err(name);
            assert_eq!(error.field, field, "{name} {version}");
            assert!(error.message.contains(message), "{name} {version}: {error}");
            assert!(error.help.contains(help), "{name} {version}: {error}");
        }
    }
}
