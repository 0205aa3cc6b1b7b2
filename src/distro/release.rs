//! A release: which product, which version, which generation of the installer.

use std::fmt;

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Newest Fedora whose kickstart syntax is known (pykickstart 3.78).
const NEWEST_KICKSTART_FEDORA: u32 = 46;

/// A guest architecture (the seven that TDL knows), by the names of templates and of
/// `[images-ARCH]` in `.treeinfo`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
#[allow(missing_docs)]
pub enum Arch {
    I386,
    #[strum(serialize = "x86_64")]
    X86_64,
    Ppc64,
    Ppc64le,
    Aarch64,
    Armv7l,
    S390x,
}

impl Arch {
    /// The name in templates and in `[images-ARCH]` of `.treeinfo`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The names of all.
    pub fn names() -> String {
        let names: Vec<&str> = Arch::VARIANTS.iter().map(|arch| arch.name()).collect();
        names.join(", ")
    }

    /// The name in libvirt's domain XML and in the names of QEMU's programs.
    pub fn libvirt_name(self) -> &'static str {
        match self {
            Arch::I386 => "i686",
            other => other.name(),
        }
    }
}

/// Who makes the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, VariantArray)]
#[allow(missing_docs)]
pub enum Product {
    #[strum(serialize = "RHEL")]
    Rhel,
    #[strum(serialize = "CentOS")]
    CentOs,
    #[strum(serialize = "CentOS Stream")]
    CentOsStream,
    #[strum(serialize = "Rocky Linux")]
    Rocky,
    AlmaLinux,
    #[strum(serialize = "Oracle Linux")]
    OracleLinux,
    #[strum(serialize = "Scientific Linux")]
    ScientificLinux,
    /// SLC.
    #[strum(serialize = "Scientific Linux CERN")]
    ScientificLinuxCern,
    Fedora,
}

impl Product {
    /// The name in file names of ours.
    fn slug(self) -> &'static str {
        match self {
            Product::Rhel => "rhel",
            Product::CentOs => "centos",
            Product::CentOsStream => "centos-stream",
            Product::Rocky => "rocky",
            Product::AlmaLinux => "almalinux",
            Product::OracleLinux => "oracle",
            Product::ScientificLinux | Product::ScientificLinuxCern => "scientific",
            Product::Fedora => "fedora",
        }
    }

    /// The products with this major version of RHEL, RHEL first.
    pub fn of_rhel(major: u32) -> impl Iterator<Item = Product> {
        Product::VARIANTS.iter().copied().filter(move |product| {
            let (first, last) = product.majors();
            *product != Product::Fedora && (first..=last).contains(&major)
        })
    }

    /// First and last major version that exist and that ozr installs.
    pub(super) fn majors(self) -> (u32, u32) {
        match self {
            Product::Rhel | Product::OracleLinux => (6, 10),
            // CentOS 9 and later are CentOS Stream.
            Product::CentOs => (6, 8),
            Product::CentOsStream | Product::Rocky | Product::AlmaLinux => (8, 10),
            Product::ScientificLinux => (6, 7),
            // The next one was "CERN CentOS 7".
            Product::ScientificLinuxCern => (6, 6),
            // Anaconda of Fedora 28 and before is no longer of use to anyone; of those to come
            // nothing is known, but they are numbers.
            Product::Fedora => (29, 999),
        }
    }
}

/// Generations of the installer. All rebuilds of a RHEL release share its installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Generation {
    El6,
    El7,
    El8,
    El9,
    El10,
    /// Fedora, with its number.
    Fedora(u32),
}

impl Generation {
    /// Whether its initramfs knows `inst.wait_for_disks` (anaconda 39.10 and the branches rhel-8,
    /// rhel-9 and rhel-10: dracut/anaconda-lib.sh): how long to wait for a driver disk. Minor
    /// releases before that pass over the word.
    pub fn waits_for_driver_disks(self) -> bool {
        match self {
            Generation::El6 | Generation::El7 => false,
            Generation::El8 | Generation::El9 | Generation::El10 => true,
            Generation::Fedora(number) => number >= 39,
        }
    }

    /// The major version of its anaconda: the branches rhel6-branch (13.21), rhel7-branch (21.48),
    /// rhel-8 (33.16), rhel-9 (34.25) and rhel-10 (40.22) of anaconda's repository; Fedora's has
    /// the number of the release.
    pub fn anaconda(self) -> u32 {
        match self {
            Generation::El6 => 13,
            Generation::El7 => 21,
            Generation::El8 => 33,
            Generation::El9 => 34,
            Generation::El10 => 40,
            Generation::Fedora(number) => number,
        }
    }
}

/// One release of one product. Made by [`Release::from_names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Release {
    pub(super) product: Product,
    pub(super) major: u32,
    pub(super) minor: Option<u32>,
}

impl Release {
    /// The product.
    pub fn product(self) -> Product {
        self.product
    }

    /// The major version: 9 of Rocky Linux 9.4, 43 of Fedora 43.
    pub fn major(self) -> u32 {
        self.major
    }

    /// The minor version, where the template names one: 4 of Rocky Linux 9.4.
    pub fn minor(self) -> Option<u32> {
        self.minor
    }

    /// The version with what is known of it: `9.4`, `9`, `43`.
    pub fn version(self) -> String {
        match self.minor {
            Some(minor) => format!("{}.{minor}", self.major),
            None => self.major.to_string(),
        }
    }

    /// The generation of its installer.
    pub fn generation(self) -> Generation {
        match (self.product, self.major) {
            (Product::Fedora, number) => Generation::Fedora(number),
            (_, ..=6) => Generation::El6,
            (_, 7) => Generation::El7,
            (_, 8) => Generation::El8,
            (_, 9) => Generation::El9,
            (_, 10..) => Generation::El10,
        }
    }

    /// Architectures that the generation was built for. Single rebuilds lack some; the mirror
    /// shows it.
    pub fn architectures(self) -> &'static [Arch] {
        use Arch::{Aarch64, Armv7l, I386, Ppc64, Ppc64le, S390x, X86_64};
        match self.generation() {
            Generation::El6 => &[X86_64, I386, Ppc64, S390x],
            // i386 and armv7l: CentOS 7's AltArch.
            Generation::El7 => &[X86_64, I386, Ppc64, Ppc64le, Aarch64, Armv7l, S390x],
            Generation::El8 | Generation::El9 | Generation::El10 => {
                &[X86_64, Aarch64, Ppc64le, S390x]
            }
            // i386 trees ended with Fedora 30, armhfp with 36.
            Generation::Fedora(..=30) => &[X86_64, I386, Aarch64, Armv7l, Ppc64le, S390x],
            Generation::Fedora(..=36) => &[X86_64, Aarch64, Armv7l, Ppc64le, S390x],
            Generation::Fedora(_) => &[X86_64, Aarch64, Ppc64le, S390x],
        }
    }

    /// The name of its kickstart syntax, as pykickstart and `#version=` name it: `RHEL9`, `F43`.
    pub fn pykickstart_version(self) -> String {
        match self.product {
            Product::Fedora => format!("F{}", self.major.min(NEWEST_KICKSTART_FEDORA)),
            _ => format!("RHEL{}", self.major),
        }
    }

    /// Names under which a built-in kickstart for it may exist, the best first: `rocky-9`,
    /// `rhel-9`.
    pub fn builtin_kickstart_candidates(self) -> Vec<String> {
        let own = format!("{}-{}", self.product.slug(), self.major);
        match self.product {
            Product::Rhel => vec![own],
            Product::Fedora => vec![own, "fedora".to_string()],
            _ => vec![own, format!("rhel-{}", self.major)],
        }
    }
}

/// `Rocky Linux 9.4`, `Fedora 43`.
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, version: &str) -> Release {
        Release::from_names(name, version).unwrap()
    }

    #[test]
    fn what_follows_from_the_release() {
        for (name, version, generation, kickstart, builtin) in [
            ("RHEL-6", "10", Generation::El6, "RHEL6", "rhel-6"),
            (
                "SLC-6",
                "6",
                Generation::El6,
                "RHEL6",
                "scientific-6 rhel-6",
            ),
            ("CentOS-7", "9", Generation::El7, "RHEL7", "centos-7 rhel-7"),
            ("OL-8", "8", Generation::El8, "RHEL8", "oracle-8 rhel-8"),
            ("Rocky-9", "9.4", Generation::El9, "RHEL9", "rocky-9 rhel-9"),
            (
                "AlmaLinux",
                "10.1",
                Generation::El10,
                "RHEL10",
                "almalinux-10 rhel-10",
            ),
            (
                "CentOS-Stream-9",
                "9",
                Generation::El9,
                "RHEL9",
                "centos-stream-9 rhel-9",
            ),
            (
                "Fedora",
                "43",
                Generation::Fedora(43),
                "F43",
                "fedora-43 fedora",
            ),
            (
                "Fedora",
                "60",
                Generation::Fedora(60),
                "F46",
                "fedora-60 fedora",
            ),
        ] {
            let release = release(name, version);
            assert_eq!(release.generation(), generation, "{release}");
            assert_eq!(release.pykickstart_version(), kickstart);
            assert_eq!(release.builtin_kickstart_candidates().join(" "), builtin);
        }
    }

    #[test]
    fn architectures_come_and_go() {
        let has =
            |name, version, arch: Arch| release(name, version).architectures().contains(&arch);
        assert!(has("RHEL-6", "0", Arch::I386));
        assert!(!has("RHEL-6", "0", Arch::Aarch64));
        assert!(has("CentOS-7", "9", Arch::I386));
        assert!(!has("Rocky-9", "9", Arch::I386));
        assert!(has("Fedora", "30", Arch::I386));
        assert!(!has("Fedora", "31", Arch::I386));
        assert!(!has("Fedora", "37", Arch::Armv7l));
        for &product in Product::VARIANTS {
            let (first, last) = product.majors();
            for major in [first, last] {
                let release = Release {
                    product,
                    major,
                    minor: None,
                };
                assert!(release.architectures().contains(&Arch::X86_64), "{release}");
            }
        }
    }
}
