//! Processor architectures, by the names that templates and install trees use.

use std::fmt;
use std::str::FromStr;

/// A guest architecture (the seven that TDL knows).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Arch {
    I386,
    X86_64,
    Ppc64,
    Ppc64le,
    Aarch64,
    Armv7l,
    S390x,
}

impl Arch {
    /// Every architecture, in the order of TDL's schema.
    pub const ALL: [Arch; 7] = [
        Arch::I386,
        Arch::X86_64,
        Arch::Ppc64,
        Arch::Ppc64le,
        Arch::Aarch64,
        Arch::Armv7l,
        Arch::S390x,
    ];

    /// The name in templates and in `[images-ARCH]` of `.treeinfo`.
    pub fn name(self) -> &'static str {
        match self {
            Arch::I386 => "i386",
            Arch::X86_64 => "x86_64",
            Arch::Ppc64 => "ppc64",
            Arch::Ppc64le => "ppc64le",
            Arch::Aarch64 => "aarch64",
            Arch::Armv7l => "armv7l",
            Arch::S390x => "s390x",
        }
    }

    /// The name in libvirt's domain XML and in the names of QEMU's programs.
    pub fn libvirt_name(self) -> &'static str {
        match self {
            Arch::I386 => "i686",
            other => other.name(),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.name() == name)
            .ok_or(())
    }
}
