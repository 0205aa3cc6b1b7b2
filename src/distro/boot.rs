//! What is booted: the installer's kernel command line, and where a tree keeps the installer when its
//! `.treeinfo` does not say.
//!
//! RHEL 6's loader knows options without prefix only, RHEL 7's and 8's installers both forms,
//! anaconda 34 and later (RHEL 9, Fedora 34) `inst.` only; so it is `inst.` from RHEL 7 on.

use url::Url;

use super::{Arch, Generation, Release, serial_console};

/// Where the installer finds its kickstart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KickstartPlace<'a> {
    /// On a server.
    Url(&'a Url),
    /// In the initial RAM disk, as [`INITRD_KICKSTART`].
    Initrd,
}

/// The kickstart's path in the initial RAM disk.
pub const INITRD_KICKSTART: &str = "/ks.cfg";

/// What the installer is told of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallerSource<'a> {
    /// Installer and packages from this tree.
    Repo(&'a Url),
    /// Only the installer from this tree: the kickstart names the packages' source, and
    /// `inst.repo=` would overrule it.
    Stage2(&'a Url),
    /// The installer from the disc with this label.
    Disc {
        /// The label, as udev has it.
        label: &'a str,
        /// What is told of the packages' source (`inst.repo=`); nothing where the kickstart names it.
        repo: Option<&'a str>,
    },
}

/// The packages' source that is the disc with the installer.
pub const CDROM: &str = "cdrom";

/// What goes into the command line.
#[derive(Debug, Clone, Copy)]
pub struct BootInput<'a> {
    /// Where the kickstart is.
    pub kickstart: KickstartPlace<'a>,
    /// Where the installer and the packages are.
    pub source: InstallerSource<'a>,
    /// The guest's architecture.
    pub arch: Arch,
    /// Whether the kickstart has a `driverdisk`.
    pub driver_disk: bool,
    /// Whether the image is sealed: the installer then need not keep the kickstart in it.
    pub sealed: bool,
    /// Whether the guest's CPU is emulated (QEMU's TCG).
    pub emulated: bool,
    /// The template's `kernelparam`: one line, put last so that it overrules.
    pub kernelparam: Option<&'a str>,
}

/// A CPU that is emulated has no speculation that the kernel's own protection against it could hold in, and
/// that costs a seventh of the time. Linux 5.2 and what RHEL 7 and 8 took of it; others pass it over. It does
/// not get into the installed system: anaconda takes on what `preserved_arguments` of its anaconda.conf names.
pub const NO_MITIGATIONS: &str = "mitigations=off";

/// Why there is no command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The kernel would cut it off.
    #[error(
        "the kernel's command line has {length} bytes, more than the {limit} that {arch} kernels take: shorten the kernelparam or the URLs"
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// Most bytes that the kernel takes.
        limit: usize,
        /// The architecture.
        arch: Arch,
    },
    /// A line break or another control character.
    #[error("the kernelparam holds a control character: write it on one line")]
    ControlCharacter,
}

/// Most bytes of a command line, without the NUL behind it: the kernel's `COMMAND_LINE_SIZE`
/// (arch/*/include/{,uapi/}asm/setup.h) of the oldest kernels that we start there.
fn command_line_limit(arch: Arch, generation: Generation) -> usize {
    let size = match (arch, generation) {
        // 2048 since Linux 4.6.
        (Arch::Ppc64 | Arch::Ppc64le, Generation::El6 | Generation::El7) => 512,
        (Arch::Armv7l, _) => 1024,
        // 4096 since Linux 5.14.
        (Arch::S390x, _) => 896,
        _ => 2048,
    };
    size - 1
}

impl Release {
    /// The kernel command line for an unattended installation.
    ///
    /// The language is fixed because the installer's messages are read (and are English then);
    /// a kickstart's `lang` still decides on the installed system.
    ///
    /// # Errors
    /// If the kernel would not take it.
    pub fn boot_options(self, input: &BootInput<'_>) -> Result<String, BootError> {
        let mut options = match self.generation() {
            Generation::El6 => loader_options(input),
            _ => anaconda_options(input),
        };
        // The last console is /dev/console, on which the installer shows itself. s390x has no
        // virtual terminals.
        if input.arch != Arch::S390x {
            options.push("console=tty0".to_string());
        }
        options.push(format!("console={}", serial_console(input.arch)));
        if self.generation() != Generation::El6 {
            // dracut waits at a shell for ever otherwise, when the installer cannot be loaded.
            // RHEL 7's dracut (033) may not know the second one, and ignores it then.
            options.push("rd.shell=0".to_string());
            options.push("rd.emergency=poweroff".to_string());
        }
        if input.emulated && self.generation() != Generation::El6 {
            options.push(NO_MITIGATIONS.to_string());
        }
        let kernelparam = input.kernelparam.unwrap_or_default().trim();
        let disks = ["inst.dd", "dd", "inst.wait_for_disks"];
        let named = |word: &str| disks.contains(&word.split('=').next().unwrap_or_default());
        let driver_disk = input.driver_disk || kernelparam.split(' ').any(named);
        if self.generation().waits_for_driver_disks() && !driver_disk {
            // The initramfs would wait for a disk labelled OEMDRV for 5 s.
            options.push("inst.wait_for_disks=0".to_string());
        }
        let named = |word: &str| word.starts_with("inst.nosave=");
        if input.sealed
            && self.generation() != Generation::El6
            && !kernelparam.split(' ').any(named)
        {
            // Written behind every script, so none misses it; and nothing of its passwords is left
            // in blocks that were free again. The logs explain a failure until they are taken out.
            options.push("inst.nosave=input_ks".to_string());
        }
        if !kernelparam.is_empty() {
            if kernelparam.contains(char::is_control) {
                return Err(BootError::ControlCharacter);
            }
            options.push(kernelparam.to_string());
        }
        let line = options.join(" ");
        let limit = command_line_limit(input.arch, self.generation());
        if line.len() > limit {
            return Err(BootError::TooLong {
                length: line.len(),
                limit,
                arch: input.arch,
            });
        }
        Ok(line)
    }
}

/// RHEL 7 and later, Fedora. `inst.cmdline` makes an error of every question.
fn anaconda_options(input: &BootInput<'_>) -> Vec<String> {
    let mut options = vec![format!("inst.ks={}", kickstart(input))];
    match input.source {
        InstallerSource::Repo(url) => options.push(format!("inst.repo={url}")),
        InstallerSource::Stage2(url) => options.push(format!("inst.stage2={url}")),
        InstallerSource::Disc { label, repo } => {
            // Beside `inst.repo=`, it says where the installer is (dracut/parse-anaconda-repo.sh). The disc
            // was verified here, so `rd.live.check` is not among the options.
            options.push(format!("inst.stage2=hd:LABEL={}", udev_escaped(label)));
            options.extend(repo.map(|repo| format!("inst.repo={repo}")));
        }
    }
    options.extend(["inst.text", "inst.cmdline", "inst.lang=en_US.UTF-8"].map(str::to_owned));
    options
}

/// A label as it stands in `/dev/disk/by-label`, and on the command line of lorax's own discs (lorax 46,
/// src/pylorax/treebuilder.py, `udev_escape`; udev escapes the backslash, too).
fn udev_escaped(label: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii();
    let mut escaped = String::new();
    for c in label.chars() {
        match plain(c) && !c.is_control() {
            true => escaped.push(c),
            false => escaped.push_str(&format!("\\x{:02x}", u32::from(c))),
        }
    }
    escaped
}

/// RHEL 6. Its loader wants stage 2 as the address of the image itself, and a keymap where the
/// others have a default.
fn loader_options(input: &BootInput<'_>) -> Vec<String> {
    let mut options = vec![format!("ks={}", kickstart(input))];
    match input.source {
        InstallerSource::Repo(url) => options.push(format!("method={url}")),
        InstallerSource::Stage2(url) => {
            let tree = url.as_str().trim_end_matches('/');
            options.push(format!("stage2={tree}/images/install.img"));
        }
        // It looks for stage 2 where the packages are to come from: on a disc, or at the kickstart's `url`.
        InstallerSource::Disc { repo, .. } => {
            options.extend(repo.map(|repo| format!("method={repo}")));
        }
    }
    options.extend(["text", "cmdline", "lang=en_US.UTF-8", "keymap=us"].map(str::to_owned));
    options
}

fn kickstart(input: &BootInput<'_>) -> String {
    match input.kickstart {
        KickstartPlace::Url(url) => url.to_string(),
        KickstartPlace::Initrd => format!("file:{INITRD_KICKSTART}"),
    }
}

/// Paths in an install tree, relative to its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLayout {
    /// The kernel.
    pub kernel: &'static str,
    /// The initial RAM disk.
    pub initrd: &'static str,
    /// The installer's root file system (stage 2): the first of these that is there.
    pub stage2: &'static [&'static str],
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
        let stage2: &[_] = match self.generation() {
            // Fedora 17 to 22 and RHEL 7 had another name for it.
            Generation::El7 => &["LiveOS/squashfs.img"],
            // The order of anaconda's own search (dracut/anaconda-lib.sh).
            _ => &["images/install.img", "LiveOS/squashfs.img"],
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

    /// The command line with the kickstart at http://k/ks and the tree at http://m/os/.
    fn line(
        (name, version): (&str, &str),
        arch: Arch,
        initrd: bool,
        stage2: bool,
        kernelparam: Option<&str>,
    ) -> Result<String, BootError> {
        let kickstart = Url::parse("http://k/ks").unwrap();
        let tree = Url::parse("http://m/os/").unwrap();
        Release::from_names(name, version)
            .unwrap()
            .boot_options(&BootInput {
                kickstart: if initrd {
                    KickstartPlace::Initrd
                } else {
                    KickstartPlace::Url(&kickstart)
                },
                source: if stage2 {
                    InstallerSource::Stage2(&tree)
                } else {
                    InstallerSource::Repo(&tree)
                },
                arch,
                driver_disk: false,
                sealed: false,
                emulated: false,
                kernelparam,
            })
    }

    #[test]
    fn every_generation() {
        let old = "inst.ks=http://k/ks inst.repo=http://m/os/ inst.text inst.cmdline inst.lang=en_US.UTF-8 console=tty0 console=ttyS0,115200 rd.shell=0 rd.emergency=poweroff";
        let new = format!("{old} inst.wait_for_disks=0");
        for release in [
            ("Rocky-8", "10"),
            ("Rocky-9", "9.4"),
            ("AlmaLinux-10", "0"),
            ("CentOS-Stream-10", "10"),
            ("Fedora", "39"),
            ("Fedora", "44"),
        ] {
            let line = line(release, Arch::X86_64, false, false, None);
            assert_eq!(line.unwrap(), new);
        }
        for release in [("RHEL-7", "9"), ("Fedora", "29"), ("Fedora", "38")] {
            let line = line(release, Arch::X86_64, false, false, None);
            assert_eq!(line.unwrap(), old);
        }
        assert_eq!(
            line(("CentOS-6", "10"), Arch::X86_64, false, false, None).unwrap(),
            "ks=http://k/ks method=http://m/os/ text cmdline lang=en_US.UTF-8 keymap=us console=tty0 console=ttyS0,115200"
        );
    }

    #[test]
    fn a_disc_is_named_by_its_label() {
        let line = |release: (&str, &str), label, repo| {
            let release = Release::from_names(release.0, release.1).unwrap();
            let input = BootInput {
                kickstart: KickstartPlace::Initrd,
                source: InstallerSource::Disc { label, repo },
                arch: Arch::X86_64,
                driver_disk: false,
                sealed: false,
                emulated: false,
                kernelparam: None,
            };
            let line = release.boot_options(&input).unwrap();
            line.split(" console=").next().unwrap().to_owned()
        };
        let text = "inst.text inst.cmdline inst.lang=en_US.UTF-8";
        assert_eq!(
            line(("Rocky-9", "9.6"), "Rocky-9-6-x86_64-dvd", Some(CDROM)),
            format!(
                "inst.ks=file:/ks.cfg inst.stage2=hd:LABEL=Rocky-9-6-x86_64-dvd inst.repo=cdrom {text}"
            )
        );
        assert_eq!(
            line(("CentOS-7", "9"), "CentOS 7 x86_64", None),
            format!("inst.ks=file:/ks.cfg inst.stage2=hd:LABEL=CentOS\\x207\\x20x86_64 {text}")
        );
        assert_eq!(
            line(("CentOS-6", "10"), "CentOS_6.10_Final", Some(CDROM)),
            "ks=file:/ks.cfg method=cdrom text cmdline lang=en_US.UTF-8 keymap=us"
        );
        assert_eq!(
            line(("CentOS-6", "10"), "CentOS_6.10_Final", None),
            "ks=file:/ks.cfg text cmdline lang=en_US.UTF-8 keymap=us"
        );
        assert_eq!(udev_escaped("a/b\\\"c ä$"), "a\\x2fb\\x5c\\x22c\\x20ä\\x24");
    }

    #[test]
    fn the_kickstarts_own_source_stands() {
        assert_eq!(
            line(
                ("Rocky-9", "9"),
                Arch::X86_64,
                true,
                true,
                Some(" net.ifnames=0 ")
            )
            .unwrap(),
            "inst.ks=file:/ks.cfg inst.stage2=http://m/os/ inst.text inst.cmdline inst.lang=en_US.UTF-8 console=tty0 console=ttyS0,115200 rd.shell=0 rd.emergency=poweroff inst.wait_for_disks=0 net.ifnames=0"
        );
        assert_eq!(
            line(("CentOS-6", "10"), Arch::I386, true, true, Some("noipv6")).unwrap(),
            "ks=file:/ks.cfg stage2=http://m/os/images/install.img text cmdline lang=en_US.UTF-8 keymap=us console=tty0 console=ttyS0,115200 noipv6"
        );
    }

    #[test]
    fn a_driver_disk_is_waited_for_and_a_sealed_image_keeps_no_kickstart() {
        for kernelparam in ["inst.dd=http://m/d", "a dd", "inst.wait_for_disks=9"] {
            let line = line(
                ("Rocky-9", "9"),
                Arch::X86_64,
                false,
                false,
                Some(kernelparam),
            );
            assert!(
                !line.unwrap().contains("inst.wait_for_disks=0"),
                "{kernelparam}"
            );
        }
        let tree = Url::parse("http://m/os/").unwrap();
        let input = BootInput {
            kickstart: KickstartPlace::Initrd,
            source: InstallerSource::Repo(&tree),
            arch: Arch::X86_64,
            driver_disk: true,
            sealed: true,
            emulated: true,
            kernelparam: None,
        };
        let rocky = Release::from_names("Rocky-9", "9").unwrap();
        let line = rocky.boot_options(&input).unwrap();
        assert!(!line.contains("wait_for_disks"), "{line}");
        assert!(line.ends_with(" inst.nosave=input_ks"), "{line}");
        assert!(line.contains(" mitigations=off "), "{line}");
        let kernelparam = Some("inst.nosave=all");
        let line = rocky.boot_options(&BootInput {
            kernelparam,
            emulated: false,
            ..input
        });
        let line = line.unwrap();
        assert!(!line.contains("input_ks") && !line.contains("mitigations"));
    }

    #[test]
    fn consoles_by_architecture() {
        for (arch, consoles) in [
            (Arch::Aarch64, " console=tty0 console=ttyAMA0,115200 "),
            (Arch::Ppc64le, " console=tty0 console=hvc0 "),
            (Arch::S390x, "UTF-8 console=ttysclp0 "),
        ] {
            let line = line(("RHEL-9", "9"), arch, false, false, None).unwrap();
            assert!(line.contains(consoles), "{line}");
        }
    }

    #[test]
    fn what_the_kernel_would_cut_off_is_refused() {
        let rocky = ("Rocky-9", "9");
        let bare = line(rocky, Arch::X86_64, false, false, None).unwrap().len();
        let fits = "x".repeat(2047 - bare - 1);
        assert_eq!(
            line(rocky, Arch::X86_64, false, false, Some(&fits))
                .unwrap()
                .len(),
            2047
        );
        let long = fits + "x";
        assert_eq!(
            line(rocky, Arch::X86_64, false, false, Some(&long)),
            Err(BootError::TooLong {
                length: 2048,
                limit: 2047,
                arch: Arch::X86_64
            })
        );
        let s390x = line(rocky, Arch::S390x, false, false, Some(&"x".repeat(900)));
        assert!(matches!(s390x, Err(BootError::TooLong { limit: 895, .. })));
        assert_eq!(
            line(rocky, Arch::X86_64, false, false, Some("a\nb")),
            Err(BootError::ControlCharacter)
        );
    }

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
                [layout.kernel, layout.initrd, layout.stage2[0]],
                expected,
                "{name} {arch}"
            );
        }
    }
}
