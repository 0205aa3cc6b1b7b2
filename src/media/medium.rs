//! The whole of one order: a disc, which is a stick as well, or a directory for servers of PXE and HTTP.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use url::Url;

use super::files::{INITRD, IPXE, KERNEL, MENU, PXE};
use super::image::Image;
use super::job::{Job, PLACE};
use super::loader::{self, Efi, Start};
use super::menu::{self, Menu};
use super::program;
use crate::distro::Arch;
use crate::error::{Classify, Kind, fail};
use crate::initrd::{self, InitrdFile};
use crate::mirror::{InstallTree, Mirror};
use crate::process;
use crate::ui::event::Reporter;

/// What runs in the initramfs, and the hooks that start it; dracut makes the hooks' directories (99base), of
/// which one is a link in newer ones, so that they are not made here.
const SCRIPTS: [(&str, u32, &str); 5] = [
    ("ozr/run", 0o700, include_str!("initrd/run.sh")),
    (
        "usr/lib/dracut/hooks/cmdline/00-ozr.sh",
        0o700,
        include_str!("initrd/cmdline.sh"),
    ),
    (
        "usr/lib/dracut/hooks/initqueue/finished/ozr.sh",
        0o700,
        include_str!("initrd/finished.sh"),
    ),
    (
        "usr/lib/dracut/hooks/initqueue/settled/ozr.sh",
        0o700,
        include_str!("initrd/settled.sh"),
    ),
    (
        "usr/lib/dracut/hooks/initqueue/online/ozr.sh",
        0o700,
        include_str!("initrd/online.sh"),
    ),
];

/// Writes discs.
const XORRISO: &str = "xorriso";

/// Room of a FAT beside its files, in bytes: its tables and directories.
const FAT_ROOM: u64 = 1 << 20;

/// What is to be made.
#[derive(Debug)]
pub struct Order<'a> {
    /// The image.
    pub image: &'a Image,
    /// What the machine is to do with it.
    pub job: &'a Job,
    /// Where kernel and initrd come from.
    pub tree: &'a InstallTree,
    /// The machine's architecture.
    pub arch: Arch,
    /// The image's name, for people.
    pub title: &'a str,
    /// Further words for the kernel.
    pub append: &'a str,
}

/// Whether the programs are there that make a medium, of which discs need one more: before anything is spent.
///
/// # Errors
/// Host: one is missing.
pub fn check(arch: Arch, disc: bool) -> Result<()> {
    if arch == Arch::X86_64 {
        let start = match disc {
            true => Start::BiosDisc,
            false => Start::BiosNetwork,
        };
        loader::check(start)?;
    }
    if disc && process::find(XORRISO).is_none() {
        fail!(
            Kind::Host,
            "{XORRISO}, which writes discs, is not in PATH: install the package of that name, or make a directory with --pxe"
        );
    }
    Ok(())
}

/// Makes a disc in the directory `work`: its path.
///
/// # Errors
/// Host: a program is missing or fails, there is no room. Mirror: a boot loader does not come.
pub async fn disc(
    order: &Order<'_>,
    mirror: &Mirror,
    work: &Path,
    reporter: &Reporter,
) -> Result<PathBuf> {
    let label = order.job.label.as_str();
    let root = work.join("disc");
    let grub = root.join("boot/grub");
    fs::create_dir_all(&grub).kind(Kind::Host)?;
    kernel_and_initrd(order, &root).await?;
    let begin = menu::begin_on_disc(label);
    let efi = efi(order, mirror, &begin, work, reporter).await?;
    let arguments = menu::arguments(None, order.append);
    let menu = |efi_commands| Menu {
        title: order.title,
        label: Some(label),
        arguments: &arguments,
        efi_commands,
    };
    let fat = work.join("efi.img");
    write_fat(&efi, &menu(efi.efi_commands).text(), &fat).kind(Kind::Host)?;
    fs::write(grub.join(MENU), menu(false).text()).kind(Kind::Host)?;
    let iso = work.join("disc.iso");
    let mut xorriso = process::command(XORRISO);
    xorriso
        .args(["-as", "mkisofs", "-quiet", "-o"])
        .arg(&iso)
        .args(["-V", label])
        // Files of more than 4 GiB; long names.
        .args(["-iso-level", "3", "-R"]);
    if order.arch == Arch::X86_64 {
        let start = Start::BiosDisc;
        let core = grub.join("eltorito.img");
        loader::make(start, &begin, work, &core).await?;
        xorriso
            .args(["-b", "boot/grub/eltorito.img", "-no-emul-boot"])
            .args(["-boot-load-size", "4", "-boot-info-table"])
            .args(["--grub2-boot-info", "--grub2-mbr"])
            .arg(loader::hybrid_mbr()?)
            .arg("-eltorito-alt-boot");
    }
    xorriso
        .args(["-append_partition", "2", "0xef"])
        .arg(&fat)
        .args(["-appended_part_as_gpt", "-e"])
        .args(["--interval:appended_partition_2:all::", "-no-emul-boot"])
        .arg("-graft-points")
        .arg(graft("/", &root))
        .arg(graft(&format!("/{}", order.image.name), &order.image.at));
    reporter.step("writing the disc");
    process::output(&mut xorriso)
        .await
        .context("writing the disc")
        .kind(Kind::Host)?;
    // As private as images are, for it holds one.
    fs::set_permissions(&iso, fs::Permissions::from_mode(0o600)).kind(Kind::Host)?;
    Ok(iso)
}

/// A path on the disc and the file that comes there, as xorriso reads it.
fn graft(place: &str, from: &Path) -> std::ffi::OsString {
    let mut word = std::ffi::OsString::from(place);
    word.push("=");
    // It takes `=` for its own, and a backslash before it.
    let escaped = from.to_string_lossy().replace('\\', "\\\\");
    word.push(escaped.replace('=', "\\="));
    word
}

/// Makes a directory in the directory `work` for servers of PXE and HTTP, whose image will be at `address`:
/// its path.
///
/// # Errors
/// As for [`disc`].
pub async fn directory(
    order: &Order<'_>,
    address: &Url,
    mirror: &Mirror,
    work: &Path,
    reporter: &Reporter,
) -> Result<PathBuf> {
    let root = work.join("pxe");
    fs::create_dir(&root).kind(Kind::Host)?;
    kernel_and_initrd(order, &root).await?;
    let image = root.join(&order.image.name);
    let from = &order.image.at;
    // The user's own file stays where it is; one that was packed here moves.
    let placed = match from.starts_with(work) {
        true => fs::rename(from, &image),
        false => fs::copy(from, &image).map(drop),
    };
    placed
        .with_context(|| format!("copying {}", from.display()))
        .kind(Kind::Host)?;
    let begin = menu::begin_on_network(address);
    let efi = efi(order, mirror, &begin, work, reporter).await?;
    for (name, bytes) in &efi.files {
        // Firmware is told names, which servers take as they are; shim looks for the other one as it is.
        fs::write(root.join(name.to_ascii_lowercase()), bytes).kind(Kind::Host)?;
    }
    let address = address.as_str().trim_end_matches('/');
    let address = format!("{address}/{}", order.image.name);
    let arguments = menu::arguments(Some(&address), order.append);
    let menu = Menu {
        title: order.title,
        label: None,
        arguments: &arguments,
        efi_commands: efi.efi_commands,
    };
    fs::write(root.join(MENU), menu.text()).kind(Kind::Host)?;
    if order.arch == Arch::X86_64 {
        loader::make(Start::BiosNetwork, &begin, work, &root.join(PXE)).await?;
    }
    fs::write(root.join(IPXE), menu::ipxe(&arguments)).kind(Kind::Host)?;
    readable(&root).kind(Kind::Host)?;
    Ok(root)
}

/// Servers run as others.
fn readable(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        File::open(&path)?.sync_all()?;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The tree's kernel, and its initrd with ozr and its work behind it.
async fn kernel_and_initrd(order: &Order<'_>, root: &Path) -> Result<()> {
    let kernel = &order.tree.kernel.path;
    fs::copy(kernel, root.join(KERNEL))
        .with_context(|| format!("copying {}", kernel.display()))
        .kind(Kind::Host)?;
    let parts = program::own().await.kind(Kind::Host)?;
    let job = serde_json::to_vec_pretty(order.job).kind(Kind::Host)?;
    let mut files: Vec<InitrdFile<'_>> = vec![("ozr/", 0o755, b""), ("ozr/lib/", 0o755, b"")];
    files.extend(
        parts
            .iter()
            .map(|part| (part.name.as_str(), 0o755, part.bytes.as_slice())),
    );
    let scripts = SCRIPTS.iter();
    files.extend(scripts.map(|(name, mode, text)| (*name, *mode, text.as_bytes())));
    files.push((PLACE.trim_start_matches('/'), 0o600, &job));
    let initrd = &order.tree.initrd.path;
    initrd::extend_packed(initrd, &root.join(INITRD), &files).kind(Kind::Host)
}

/// The tree's boot loader for UEFI, or one of this host that begins with these commands.
async fn efi(
    order: &Order<'_>,
    mirror: &Mirror,
    begin: &str,
    work: &Path,
    reporter: &Reporter,
) -> Result<Efi> {
    if let Some(efi) = loader::of_tree(mirror, &order.tree.url, order.arch).await? {
        return Ok(efi);
    }
    reporter.detail("the tree has no boot loader for UEFI: GRUB of this host is taken, which Secure Boot does not know");
    let [name, _] = loader::names(order.arch)?;
    let at = work.join("grub.efi");
    loader::make(Start::Efi(order.arch), begin, work, &at).await?;
    let bytes = fs::read(&at).kind(Kind::Host)?;
    Ok(Efi {
        files: vec![(name, bytes)],
        efi_commands: false,
    })
}

/// Writes the FAT that UEFI finds on the disc.
fn write_fat(efi: &Efi, menu: &str, at: &Path) -> Result<()> {
    let content: usize = efi.files.iter().map(|(_, bytes)| bytes.len()).sum();
    let size = (content as u64 + FAT_ROOM).next_multiple_of(1 << 20);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(at)?;
    file.set_len(size)?;
    let options = FormatVolumeOptions::new().volume_label(*b"OZR        ");
    fatfs::format_volume(&file, options)?;
    let fat = FileSystem::new(&file, FsOptions::new())?;
    let directory = fat.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
    let all = efi
        .files
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_slice()));
    for (name, bytes) in all.chain([(MENU, menu.as_bytes())]) {
        let mut file = directory.create_file(name)?;
        file.write_all(bytes)?;
        file.flush()?;
    }
    drop(directory);
    fat.unmount()?;
    ensure!(file.metadata()?.len() == size, "the FAT has grown");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn uefi_finds_its_loader_in_the_fat() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("efi.img");
        let files = vec![
            ("BOOTX64.EFI", vec![7; 3 << 20]),
            ("grubx64.efi", vec![8; 100]),
        ];
        let efi = Efi {
            files: files.clone(),
            efi_commands: false,
        };
        write_fat(&efi, "menu", &at).unwrap();
        let fat = FileSystem::new(File::open(&at).unwrap(), FsOptions::new()).unwrap();
        let boot = fat.root_dir().open_dir("EFI/BOOT").unwrap();
        for (name, bytes) in files.into_iter().chain([(MENU, b"menu".to_vec())]) {
            let mut found = Vec::new();
            boot.open_file(name)
                .unwrap()
                .read_to_end(&mut found)
                .unwrap();
            assert!(found == bytes, "{name}");
        }
    }

    #[test]
    fn paths_reach_the_disc_as_they_are() {
        let graft = |path: &str| graft("/a", Path::new(path)).into_string().unwrap();
        assert_eq!(graft("/b/c d"), "/a=/b/c d");
        assert_eq!(graft("/b=c\\d"), "/a=/b\\=c\\\\d");
    }
}
