//! Boot loaders: for UEFI the tree's shim and GRUB, which Secure Boot takes together with the tree's kernel,
//! else GRUB of this host; for a BIOS GRUB of this host, which starts discs, sticks and from the network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use url::Url;

use crate::distro::Arch;
use crate::error::{Classify, Kind, fail, failed};
use crate::mirror::{self, Fault, Mirror};
use crate::process;

/// Most bytes of a boot loader; shim and GRUB of RHEL have 1 and 4 MiB.
const MOST_BYTES: u64 = 32 << 20;

/// Where GRUB's modules are: Debian, Fedora, RHEL.
const GRUB: &str = "/usr/lib/grub";

/// The program that makes a GRUB: Debian's name, and that of Fedora and RHEL.
const MKIMAGE: [&str; 2] = ["grub-mkimage", "grub2-mkimage"];

/// What every GRUB here needs.
const MODULES: [&str; 8] = [
    "configfile",
    "echo",
    "linux",
    "minicmd",
    "normal",
    "search",
    "search_label",
    "test",
];

/// Where a loader is started, by GRUB's name of its kind, and what it needs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A BIOS that starts a disc or a stick.
    BiosDisc,
    /// A BIOS that starts from the network (PXE).
    BiosNetwork,
    /// UEFI on such a machine, from a disc, a stick or the network.
    Efi(Arch),
}

impl Start {
    fn kind(self) -> &'static str {
        match self {
            Start::BiosDisc => "i386-pc-eltorito",
            Start::BiosNetwork => "i386-pc-pxe",
            Start::Efi(Arch::Aarch64) => "arm64-efi",
            Start::Efi(_) => "x86_64-efi",
        }
    }

    fn modules(self) -> &'static [&'static str] {
        match self {
            Start::BiosDisc => &["biosdisk", "iso9660", "part_gpt", "part_msdos", "vga_text"],
            Start::BiosNetwork => &["http", "net", "pxe", "tftp", "vga_text"],
            Start::Efi(Arch::Aarch64) => &[
                "efinet",
                "fat",
                "http",
                "iso9660",
                "net",
                "part_gpt",
                "part_msdos",
                "tftp",
            ],
            Start::Efi(_) => &[
                "efi_gop",
                "efi_uga",
                "efinet",
                "fat",
                "http",
                "iso9660",
                "net",
                "part_gpt",
                "part_msdos",
                "tftp",
            ],
        }
    }

    /// Where its modules are.
    fn directory(self) -> PathBuf {
        let name = match self {
            Start::BiosDisc | Start::BiosNetwork => "i386-pc",
            Start::Efi(_) => self.kind(),
        };
        Path::new(GRUB).join(name)
    }
}

/// The beginning of a stick that a BIOS starts, for a disc with GRUB.
///
/// # Errors
/// Host: it is not installed.
pub fn hybrid_mbr() -> Result<PathBuf> {
    let path = Start::BiosDisc.directory().join("boot_hybrid.img");
    if !path.is_file() {
        return Err(not_installed(Start::BiosDisc));
    }
    Ok(path)
}

fn not_installed(start: Start) -> anyhow::Error {
    let (debian, fedora) = match start {
        Start::Efi(Arch::Aarch64) => ("grub-efi-arm64-bin", "grub2-efi-aa64-modules"),
        Start::Efi(_) => ("grub-efi-amd64-bin", "grub2-efi-x64-modules"),
        _ => ("grub-pc-bin", "grub2-pc-modules"),
    };
    failed!(
        Kind::Host,
        "GRUB for {} is not installed: install {debian} and grub-common (Debian), or {fedora} and grub2-tools-minimal (Fedora, RHEL)",
        start.kind()
    )
}

/// Whether GRUB of this host is there for a BIOS.
///
/// # Errors
/// Host: it is not installed.
pub fn check(start: Start) -> Result<()> {
    program(start).map(drop)
}

/// The program that makes a GRUB, where there are modules to make it of.
fn program(start: Start) -> Result<PathBuf> {
    let program = MKIMAGE.iter().find_map(|name| process::find(name));
    let program = program.filter(|_| start.directory().is_dir());
    program.ok_or_else(|| not_installed(start))
}

/// Makes a GRUB of this host at `at`, which begins with these commands.
///
/// # Errors
/// Host: it is not installed, or cannot be made.
pub async fn make(start: Start, begin: &str, work: &Path, at: &Path) -> Result<()> {
    let program = program(start)?;
    let directory = start.directory();
    let config = work.join("grub-begin.cfg");
    std::fs::write(&config, begin)
        .with_context(|| format!("writing {}", config.display()))
        .kind(Kind::Host)?;
    let mut command = process::command(program);
    command
        .args(["-O", start.kind(), "-p", "/boot/grub", "-d"])
        .arg(&directory)
        .arg("-c")
        .arg(&config)
        .arg("-o")
        .arg(at)
        .args(MODULES)
        .args(start.modules());
    process::output(&mut command)
        .await
        .context("making a boot loader")
        .kind(Kind::Host)?;
    Ok(())
}

/// What UEFI starts.
#[derive(Debug)]
pub struct Efi {
    /// Files of `EFI/BOOT`, by their names there; the first is the one that is started.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Whether its commands have the names of RHEL's GRUB up to 9 (`linuxefi`).
    pub efi_commands: bool,
}

/// The names of shim, or of a GRUB without it, and of GRUB behind shim.
///
/// # Errors
/// Input: there is no UEFI on such machines.
pub fn names(arch: Arch) -> Result<[&'static str; 2]> {
    match arch {
        Arch::X86_64 => Ok(["BOOTX64.EFI", "grubx64.efi"]),
        Arch::Aarch64 => Ok(["BOOTAA64.EFI", "grubaa64.efi"]),
        _ => fail!(
            Kind::Input,
            "media are made for x86_64 and aarch64, and this tree is for {arch}: use `ozr write` there"
        ),
    }
}

/// The tree's own; none if it has none.
///
/// # Errors
/// Mirror: it cannot be fetched.
pub async fn of_tree(mirror: &Mirror, tree: &Url, arch: Arch) -> Result<Option<Efi>> {
    let mut files = Vec::new();
    for name in names(arch)? {
        match fetch(mirror, tree, name).await? {
            Some(bytes) => files.push((name, bytes)),
            None => return Ok(None),
        }
    }
    let config = fetch(mirror, tree, "grub.cfg").await?.unwrap_or_default();
    let efi_commands = String::from_utf8_lossy(&config).contains("linuxefi");
    Ok(Some(Efi {
        files,
        efi_commands,
    }))
}

async fn fetch(mirror: &Mirror, tree: &Url, name: &str) -> Result<Option<Vec<u8>>> {
    let url = mirror::join(tree, &format!("EFI/BOOT/{name}"));
    match mirror.fetch(&url, MOST_BYTES).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Fault::NotFound { .. }) => Ok(None),
        Err(fault) => Err(fault.into_error()),
    }
}
