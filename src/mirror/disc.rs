//! What an installation disc is: its installer, whether packages are on it, and of which release it is.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow, bail};
use strum::VariantArray;

use super::treeinfo::{self, TreeInfo};
use crate::disk::device::Device;
use crate::disk::iso9660::Iso;
use crate::distro::{Arch, Release};
use crate::mirror::REPOMD;

/// Where installers have kernel and initrd (lorax, share/templates.d/99-generic), if `.treeinfo` does not say.
const KERNELS: [(&str, &str); 3] = [
    ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"),
    ("ppc/ppc64/vmlinuz", "ppc/ppc64/initrd.img"),
    ("images/kernel.img", "images/initrd.img"),
];

/// Stage 2 of an installer.
const INSTALLER: &str = "images/install.img";
/// Stage 2 of RHEL 7's installer, and the system of a live disc.
const LIVE: &str = "LiveOS/squashfs.img";

/// Largest `.discinfo` that is read, in bytes: it has four lines.
const MAX_DISCINFO: u64 = 4096;

/// An installation disc.
#[derive(Debug, Clone)]
pub struct Disc {
    /// Its volume's label, as udev has it.
    pub label: String,
    /// What it says of itself.
    pub info: TreeInfo,
    /// The kernel's path on it.
    pub kernel: String,
    /// The initrd's.
    pub initrd: String,
    /// Stage 2's.
    pub stage2: String,
    /// The repositories on it: their names, and their paths. None on a `boot.iso`.
    pub repositories: Vec<(String, String)>,
}

impl Disc {
    /// Looks at a disc.
    ///
    /// # Errors
    /// Why one cannot install from it, as the end of a sentence that begins with its name.
    pub fn look(iso: &Iso) -> Result<Disc> {
        let has = |path: &str| -> Result<bool> {
            let found = iso.find(path)?;
            Ok(found.is_some_and(|file| !file.is_directory()))
        };
        let mut info = None;
        for name in [".treeinfo", "treeinfo"] {
            if let Some(bytes) = iso.read(name, treeinfo::MAX_BYTES)? {
                let text = String::from_utf8_lossy(&bytes);
                let found = treeinfo::parse(&text, name);
                info = Some(found.map_err(|finding| {
                    anyhow!("has a {name} that is not usable: {}", finding.message)
                })?);
                break;
            }
        }
        let discinfo = iso.read(".discinfo", MAX_DISCINFO)?.unwrap_or_default();
        let discinfo = String::from_utf8_lossy(&discinfo).into_owned();
        let is_live = info.is_none() && !has(INSTALLER)?;
        if is_live && has(LIVE)? {
            bail!(
                "is a live system, without an installer that takes a kickstart: take the DVD or the boot.iso (netinst) of the release"
            );
        }
        let mut info = info.unwrap_or_else(|| from_discinfo(&discinfo));
        complete(&mut info, &discinfo, iso.label());
        let (kernel, initrd) = match (&info.kernel, &info.initrd) {
            (Some(kernel), Some(initrd)) => (kernel.clone(), initrd.clone()),
            _ => {
                let mut usual = KERNELS.iter();
                let found = usual.find(|(kernel, _)| has(kernel).unwrap_or_default());
                let Some((kernel, initrd)) = found else {
                    let packages = match iso.find("repodata")?.or(iso.find("Packages")?) {
                        Some(_) => {
                            "; it holds packages alone, and goes behind the disc with the installer"
                        }
                        None => "",
                    };
                    bail!(
                        "has no installer: neither a .treeinfo nor {}{packages}",
                        KERNELS[0].0
                    );
                };
                ((*kernel).to_owned(), (*initrd).to_owned())
            }
        };
        let stage2 = [info.stage2.as_deref(), Some(INSTALLER), Some(LIVE)];
        let stage2 = stage2.into_iter().flatten();
        let stage2 = stage2
            .map(str::to_owned)
            .find(|path| has(path).unwrap_or_default());
        let stage2 = stage2
            .with_context(|| format!("has no stage 2 of the installer: {INSTALLER} is missing"))?;
        for path in [&kernel, &initrd] {
            if !has(path)? {
                bail!("has no {path}, which its .treeinfo names");
            }
        }
        let repositories = repositories(iso, &info)?;
        Ok(Disc {
            label: iso.label().to_owned(),
            info,
            kernel,
            initrd,
            stage2,
            repositories,
        })
    }

    /// Looks at the disc whose image a file is.
    ///
    /// # Errors
    /// As for [`Disc::look`].
    pub fn of_file(file: File) -> Result<Disc> {
        let bytes = file.metadata()?.len();
        let device = Device::new(bytes, move |at, into| Ok(file.read_exact_at(into, at)?));
        let iso = Iso::open(device).map_err(|error| anyhow!("is not an ISO image: {error:#}"))?;
        if iso.size() > bytes {
            bail!("ends too early: it has {bytes} bytes of {}", iso.size());
        }
        Disc::look(&iso)
    }

    /// Whether packages are on it.
    pub fn has_packages(&self) -> bool {
        !self.repositories.is_empty()
    }

    /// The release that it says it is of, if ozr knows that.
    pub fn release(&self) -> Option<Release> {
        let family = self.info.family.as_deref()?;
        let version = self.info.version.as_deref()?;
        Release::of_tree(family, version)
    }

    /// The architecture that it says it is for.
    pub fn arch(&self) -> Option<Arch> {
        Arch::VARIANTS
            .iter()
            .copied()
            .find(|arch| self.info.arch.is_some() && self.info.is_for(*arch))
    }

    /// What it says it is, for people.
    pub fn shown(&self) -> String {
        let said = [&self.info.family, &self.info.version, &self.info.arch];
        let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
        match said.is_empty() {
            true => self.label.clone(),
            false => said.join(" "),
        }
    }
}

/// What `.discinfo` says: when it was made, of what it is, for which architecture (productmd, discinfo.py).
fn from_discinfo(text: &str) -> TreeInfo {
    let mut lines = text.lines().map(str::trim);
    let timestamp = lines.next().and_then(|line| line.parse().ok());
    let name = lines.next().unwrap_or_default();
    let split = name
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(name.len());
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    TreeInfo {
        family: some(&name[..split]),
        version: some(&name[split..]),
        arch: lines.next().and_then(some),
        timestamp,
        ..TreeInfo::default()
    }
}

/// Fills in what `.treeinfo` does not say: lorax writes nothing but the version into the `.discinfo` of a
/// `boot.iso`, and the label begins with the product's name.
fn complete(info: &mut TreeInfo, discinfo: &str, label: &str) {
    let disc = from_discinfo(discinfo);
    info.arch = info.arch.take().or(disc.arch);
    info.version = info.version.take().or(disc.version);
    let of_label = label.split(|c: char| c.is_ascii_digit()).next();
    let of_label = of_label.map(|name| name.trim_end_matches(['-', '_', ' ']).to_owned());
    info.family = info.family.take().or(disc.family).or(of_label);
}

/// The repositories that are on a disc: those of its variants, or its own.
fn repositories(iso: &Iso, info: &TreeInfo) -> Result<Vec<(String, String)>> {
    let variants = info.repositories.iter();
    let variants = variants.map(|variant| (variant.name.clone(), variant.path.clone()));
    let mut all: Vec<(String, String)> = variants.collect();
    // RHEL 6 has its packages in `Packages`, and repositories at the root and in directories of variants.
    all.push((info.variant.clone().unwrap_or_default(), ".".to_owned()));
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, path) in all {
        let is_new = found.iter().all(|(_, known)| *known != path);
        if is_new && iso.find(&format!("{path}/{REPOMD}"))?.is_some() {
            found.push((name, path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_discinfo_and_label_say() {
        let of = |discinfo: &str, label: &str| {
            let mut info = TreeInfo::default();
            complete(&mut info, discinfo, label);
            (
                info.family.unwrap_or_default(),
                info.version.unwrap_or_default(),
                info.arch.unwrap_or_default(),
            )
        };
        let all = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(
            of("1599659404.763829\n7.9\nx86_64\n", "CentOS 7 x86_64"),
            all("CentOS", "7.9", "x86_64")
        );
        assert_eq!(
            of("1.5\nRed Hat Enterprise Linux 8.6.0\naarch64\nALL\n", "X"),
            all("Red Hat Enterprise Linux", "8.6.0", "aarch64")
        );
        assert_eq!(of("", "RHEL-9-6-0-BaseOS-x86_64"), all("RHEL", "", ""));
        assert_eq!(of("", ""), all("", "", ""));
    }
}
