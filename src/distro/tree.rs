//! Where an install tree keeps the installer, when its `.treeinfo` does not say.

use super::{Arch, Generation, Release};

/// Paths in an install tree, relative to its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLayout {
    /// The kernel.
    pub kernel: &'static str,
    /// The initial RAM disk.
    pub initrd: &'static str,
    /// The installer's root file system (stage 2).
    pub stage2: &'static str,
}

impl Release {
    /// The paths that lorax's templates give to a tree of this release
    /// (share/templates.d/99-generic/{x86,aarch64,ppc64le,s390}.tmpl); of `.treeinfo` and these,
    /// `.treeinfo` is right.
    pub fn tree_layout(self, arch: Arch) -> TreeLayout {
        let (kernel, initrd) = match arch {
            Arch::I386 | Arch::X86_64 | Arch::Aarch64 | Arch::Armv7l => {
                ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img")
            }
            Arch::Ppc64 | Arch::Ppc64le => ("ppc/ppc64/vmlinuz", "ppc/ppc64/initrd.img"),
            Arch::S390x => ("images/kernel.img", "images/initrd.img"),
        };
        let stage2 = match self.generation() {
            // Fedora 17 to 22 and RHEL 7 had another name for it.
            Generation::El7 => "LiveOS/squashfs.img",
            _ => "images/install.img",
        };
        TreeLayout {
            kernel,
            initrd,
            stage2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_and_architecture() {
        for (name, version, arch, expected) in [
            (
                "RHEL-6",
                "10",
                Arch::X86_64,
                [
                    "images/pxeboot/vmlinuz",
                    "images/pxeboot/initrd.img",
                    "images/install.img",
                ],
            ),
            (
                "CentOS-7",
                "9",
                Arch::X86_64,
                [
                    "images/pxeboot/vmlinuz",
                    "images/pxeboot/initrd.img",
                    "LiveOS/squashfs.img",
                ],
            ),
            (
                "Rocky-9",
                "9",
                Arch::Aarch64,
                [
                    "images/pxeboot/vmlinuz",
                    "images/pxeboot/initrd.img",
                    "images/install.img",
                ],
            ),
            (
                "RHEL-10",
                "0",
                Arch::Ppc64le,
                [
                    "ppc/ppc64/vmlinuz",
                    "ppc/ppc64/initrd.img",
                    "images/install.img",
                ],
            ),
            (
                "RHEL-8",
                "1",
                Arch::S390x,
                [
                    "images/kernel.img",
                    "images/initrd.img",
                    "images/install.img",
                ],
            ),
            (
                "Fedora",
                "44",
                Arch::X86_64,
                [
                    "images/pxeboot/vmlinuz",
                    "images/pxeboot/initrd.img",
                    "images/install.img",
                ],
            ),
        ] {
            let layout = Release::from_names(name, version)
                .unwrap()
                .tree_layout(arch);
            assert_eq!(
                [layout.kernel, layout.initrd, layout.stage2],
                expected,
                "{name} {arch}"
            );
        }
    }
}
