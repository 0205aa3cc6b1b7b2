//! Installs from ISO images: which ones, what is on them, and what of it the guest is told.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use url::Url;

use super::place::Place;
use super::plan::Plan;
use crate::disk::iso9660::Iso;
use crate::error::{Classify, Kind, fail, failed};
use crate::hex;
use crate::mirror::{
    CachedFile, Disc, InstallTree, IsoImage, IsoSource, Mirror, Origin, Sum, address, shown, sums,
};
use crate::options::InstallOptions;
use crate::tdl::{Install, IsoAddress, Template};
use crate::ui::event::Reporter;

/// Most images of a guest: SATA controllers have six ports.
const MOST_ISOS: usize = 4;

/// Largest kernel and initrd that are read out of an image, in bytes; those of EL 10 have 17 and 170 MB.
const MAX_KERNEL: u64 = 256 << 20;
const MAX_INITRD: u64 = 2 << 30;

/// What the copies of kernel and initrd are called.
const KERNEL: &str = "disc-vmlinuz";
const INITRD: &str = "disc-initrd.img";

/// The images of an install, verified.
#[derive(Debug)]
pub struct Discs {
    /// The installer's.
    pub first: Disc,
    /// All of them, the installer's first. Keeps them in the cache.
    pub images: Vec<IsoImage>,
}

/// The images that an install is from; none where it is from a tree.
///
/// # Errors
/// An address or checksum that is none; too many images.
pub fn sources(
    template: &Template,
    options: &InstallOptions,
    dir: &Path,
) -> anyhow::Result<Vec<IsoSource>> {
    let mut all = of_options(options)?;
    if let Install::Iso(iso) = &template.os.install
        && all.is_empty()
    {
        let url = match &iso.address {
            IsoAddress::Url(url) => url.url().clone(),
            IsoAddress::Path(path) => {
                let path = std::path::absolute(dir.join(path))?;
                let url = Url::from_file_path(&path);
                url.map_err(|()| anyhow::anyhow!("{} has no address", path.display()))?
            }
        };
        let sum = match (&options.checksum, &iso.sum) {
            (Some(text), _) => sum(text)?,
            (None, Some((kind, list))) => Sum::List {
                url: list.url().clone(),
                only: Some(kind),
            },
            (None, None) => Sum::Beside,
        };
        let key = options.checksum_key.clone();
        all.push(IsoSource { url, sum, key });
    }
    if all.is_empty() && options.checksum.is_some() {
        bail!(
            "--checksum is of an ISO image, and the install is from a tree: leave it out, or name the image with --iso"
        );
    }
    let is_given = |iso: &IsoSource| matches!(iso.sum, Sum::Given(_));
    if options.checksum_key.is_some() && (all.is_empty() || all.iter().any(is_given)) {
        bail!(
            "--checksum-key is of the signer of a list of checksums, and there is none: leave it out, or name the list with --checksum"
        );
    }
    if let Some(key) = &options.checksum_key {
        File::open(key)
            .with_context(|| format!("--checksum-key: reading {}", key.display()))
            .kind(Kind::Input)?;
    }
    if all.len() > MOST_ISOS {
        bail!(
            "--iso is given {} times, and a guest has {MOST_ISOS} drives at most",
            all.len()
        );
    }
    Ok(all)
}

/// The images of `--iso`.
///
/// # Errors
/// Input: an address or checksum that is none.
pub fn of_options(options: &InstallOptions) -> anyhow::Result<Vec<IsoSource>> {
    let given = options.checksum.as_deref().map(sum).transpose()?;
    let isos = options.iso.iter().enumerate();
    isos.map(|(number, text)| {
        let url = address(text).with_context(|| format!("--iso {text}"))?;
        let sum = match &given {
            // A digest is of one image, a list of as many as it names.
            Some(Sum::Given(_)) if number > 0 => Sum::Beside,
            Some(sum) => sum.clone(),
            None => Sum::Beside,
        };
        let key = options.checksum_key.clone();
        Ok(IsoSource { url, sum, key })
    })
    .collect::<anyhow::Result<_>>()
    .kind(Kind::Input)
}

fn sum(text: &str) -> anyhow::Result<Sum> {
    if let Some(checksum) = sums::parse_checksum(text) {
        return Ok(Sum::Given(checksum));
    }
    let kinds = ["md5:", "sha1:", "sha256:", "sha384:", "sha512:"];
    if kinds
        .iter()
        .any(|kind| text.to_ascii_lowercase().starts_with(kind))
    {
        bail!("--checksum {text}: the digest has not as many hexadecimal digits as its kind");
    }
    let url = address(text).with_context(|| format!("--checksum {text}"))?;
    Ok(Sum::List { url, only: None })
}

impl Discs {
    /// Obtains and verifies the images of a plan, and takes kernel and initrd out of the first.
    ///
    /// # Errors
    /// One sentence on what is wrong with an image, its mirror or this host.
    pub async fn take(
        plan: &Plan,
        place: &Place,
        mirror: &Mirror,
        reporter: &Reporter,
    ) -> anyhow::Result<(InstallTree, Discs)> {
        let mut images = Vec::new();
        for source in &plan.isos {
            images.push(mirror.iso(source).await?);
        }
        let image = images.first().context("there is no ISO image")?;
        let name = shown(&image.url);
        let iso = image.contents().kind(Kind::Input)?;
        let first = Disc::look(&iso).map_err(|error| refused(&name, &error))?;
        check(plan, &first, &name, reporter)?;
        let copies = place.work.path().to_path_buf();
        let disc = first.clone();
        let (kernel, initrd) = tokio::task::spawn_blocking(move || {
            let kernel = take_out(&iso, &disc, &disc.kernel, &copies.join(KERNEL), MAX_KERNEL)?;
            let initrd = take_out(&iso, &disc, &disc.initrd, &copies.join(INITRD), MAX_INITRD)?;
            anyhow::Ok((kernel, initrd))
        })
        .await
        .context("reading the image")?
        .with_context(|| format!("reading {name}"))
        .kind(Kind::Mirror)?;
        let tree = InstallTree {
            url: image.url.clone(),
            treeinfo: Some(first.info.clone()),
            kernel,
            initrd,
            stage2_path: first.stage2.clone(),
        };
        Ok((tree, Discs { first, images }))
    }

    /// Makes sure that the images are still those that were verified.
    ///
    /// # Errors
    /// Input: one was changed or replaced.
    pub fn check_unchanged(&self) -> anyhow::Result<()> {
        match self.images.iter().find(|image| !image.is_unchanged()) {
            None => Ok(()),
            Some(image) => fail!(
                Kind::Input,
                "{} was changed or replaced since it was verified: try again when nobody writes to it",
                shown(&image.url)
            ),
        }
    }
}

/// An error about an image, whose end is why nothing can be installed from it.
pub fn refused(name: &str, error: &anyhow::Error) -> anyhow::Error {
    failed!(Kind::Input, "{name} {error:#}")
}

/// Whether the disc is one for this plan.
fn check(plan: &Plan, disc: &Disc, name: &str, reporter: &Reporter) -> anyhow::Result<()> {
    if !disc.info.is_for(plan.arch) {
        fail!(
            Kind::Input,
            "{name} is of {}, and the template asks for {}",
            disc.shown(),
            plan.arch
        );
    }
    if disc.label.is_empty() {
        fail!(
            Kind::Input,
            "{name} has no volume label, by which the installer would find it"
        );
    }
    if let Some(release) = disc.release()
        && (release.product() != plan.release.product() || release.major() != plan.release.major())
    {
        reporter.warn(format!(
            "{name} is {release}, and the template says {}: what is done is for the latter",
            plan.release
        ));
    }
    if !disc.has_packages() && plan.answers.name_disc() {
        fail!(
            Kind::Input,
            "the kickstart's `cdrom` wants packages on a disc, and {name} has the installer only: write `url --url=TREE` in its place, or take the DVD"
        );
    }
    // What is included may name it, too.
    let is_named = plan.answers.name_source() || plan.answers.include_more();
    if !disc.has_packages() && !is_named && plan.tree.is_none() {
        fail!(
            Kind::Input,
            "{name} has the installer only, and nothing says where packages come from: add `url --url=TREE` to the kickstart, or take the DVD"
        );
    }
    Ok(())
}

/// Copies a file out of an image, and compares it with the checksum that the image has for it.
fn take_out(
    iso: &Iso,
    disc: &Disc,
    path: &str,
    copy: &Path,
    limit: u64,
) -> anyhow::Result<CachedFile> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(copy)
        .with_context(|| format!("creating {}", copy.display()))?;
    let mut hashed = Hashed {
        file: BufWriter::new(file),
        hasher: Sha256::new(),
    };
    let bytes = iso.copy(path, &mut hashed, limit)?;
    let bytes = bytes.with_context(|| format!("there is no {path}"))?;
    hashed.flush()?;
    let sha256 = hex::encode(hashed.hasher.finalize());
    let listed = disc.info.checksum(path);
    let listed = listed.filter(|checksum| checksum.algorithm == "sha256");
    if let Some(checksum) = listed.filter(|checksum| checksum.hex != sha256) {
        bail!(
            "{path} has the digest {sha256}, and the image's .treeinfo says {}",
            checksum.hex
        );
    }
    Ok(CachedFile {
        path: copy.to_path_buf(),
        sha256,
        bytes,
        origin: Origin::Local,
        media: None,
        lease: None,
    })
}

/// A file whose bytes are hashed as they are written.
struct Hashed {
    file: BufWriter<File>,
    hasher: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
