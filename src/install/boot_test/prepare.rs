//! What a boot test of an image that exists stands on: libvirt, and the image's own form.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::plan::{BootPlan, Machine, Wanted, ready};
use crate::distro::{Arch, VirtioModel};
use crate::error::{Classify, Kind, fail};
use crate::host::{self, Host, HostOptions};
use crate::image::qemu_img;
use crate::install::place::Place;
use crate::install::plan::NIC_MODEL;
use crate::install::prepare::open_host;
use crate::machine::{AccelChoice, Board, DiskBus, DiskFormat, Firmware, Network, Nic};
use crate::options::BootTestOptions;
use crate::secrets::{Secret, Secrets};
use crate::state::directories;
use crate::ui::event::Reporter;

/// An image that exists, and the machine that it is to be booted in.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// Its file, absolute.
    pub image: PathBuf,
    /// The images of the machine's other disks, absolute.
    pub more_images: Vec<PathBuf>,
    /// Their format.
    pub format: DiskFormat,
    /// Its architecture.
    pub arch: Arch,
    /// The firmware of one who says nothing else.
    pub firmware: Firmware,
    /// What else the board has.
    pub board: Board,
    /// What is to run the CPUs.
    pub accel: AccelChoice,
    /// What the disks are plugged into.
    pub disk_bus: DiskBus,
    /// Model of network cards that say nothing else, if it was chosen.
    pub nic_model: Option<String>,
    /// Its network cards; none for the usual one.
    pub nics: Vec<Nic>,
    /// What opens its encrypted file systems, if that is known.
    pub passphrase: Option<Secret>,
    /// How many guests may run at a time.
    pub max_guests: Option<u32>,
    /// The storage pool for the guest's files on another host, if that was chosen.
    pub storage_pool: Option<String>,
    /// Where the cache is, if that was chosen.
    pub cache_dir: Option<PathBuf>,
    /// What is checked, and with what.
    pub wanted: Wanted,
    /// What else is wanted of the boots.
    pub options: BootTestOptions,
}

/// Opens libvirt, looks at the image, and decides.
///
/// # Errors
/// Host: libvirt cannot be used. Input: the image is not of its format, or stands on another file.
pub async fn prepare(
    subject: Subject,
    place: &Place,
    reporter: &Reporter,
) -> anyhow::Result<(BootPlan, Arc<Host>)> {
    for image in std::iter::once(&subject.image).chain(&subject.more_images) {
        check_image(&subject, image).await?;
    }
    let cache_dir = directories::cache_dir(subject.cache_dir.as_deref()).kind(Kind::Host)?;
    let usual = subject.nic_model.unwrap_or_else(|| NIC_MODEL.to_owned());
    let nics = subject.nics.into_iter();
    let mut nics: Vec<(Network, String)> = nics
        .map(|nic| (nic.network, nic.model.unwrap_or_else(|| usual.clone())))
        .collect();
    if nics.is_empty() {
        nics.push((Network::default(), usual));
    }
    let host_options = HostOptions {
        connection: place.connection.clone(),
        runtime_dir: place.runtime.path().to_path_buf(),
        capability_cache: cache_dir.join("qemu-capabilities"),
        libvirt_networks: nics
            .iter()
            .any(|(network, _)| matches!(network, Network::Libvirt(_))),
        tpm: subject.board.tpm,
        pool: subject.storage_pool,
    };
    let host = open_host(host_options, Arc::clone(&place.runtime)).await?;
    let facts = host.kvm_facts(subject.arch);
    let (accel, warning) = host::choose(subject.accel, &facts, subject.arch)?;
    if let Some(warning) = warning {
        reporter.warn(warning);
    }
    let mut firmware = subject.options.firmware.clone();
    if firmware.is_empty() {
        firmware.push(subject.firmware);
    }
    let mut secrets = Secrets::default();
    subject.wanted.add_secrets(&mut secrets);
    if let Some(passphrase) = &subject.passphrase {
        secrets.add_password(passphrase.reveal());
    }
    let (network, nic_model) = nics.remove(0);
    let plan = BootPlan {
        name: subject.name,
        image: subject.image,
        more_images: subject.more_images,
        format: subject.format,
        machine: Machine {
            arch: subject.arch,
            accel,
            board: subject.board,
            virtio: VirtioModel::Modern,
            disk_bus: subject.disk_bus,
            nic_model,
            network,
            more_nics: nics,
        },
        firmware,
        clones: subject.options.clones.unwrap_or(1),
        ready: ready(&subject.options),
        wanted: subject.wanted,
        options: subject.options,
        max_guests: subject.max_guests,
        passphrases: subject.passphrase.into_iter().collect(),
        secrets,
    };
    Ok((plan, Arc::new(host)))
}

/// An image that names another file would let its guest read that file of this host.
async fn check_image(subject: &Subject, image: &Path) -> anyhow::Result<()> {
    let shown = image.display();
    let look = async {
        let file = File::open(image)?;
        qemu_img::info(&file, subject.format).await
    };
    let info = look
        .await
        .with_context(|| format!("looking at {shown} as {} (--format)", subject.format.name()))
        .kind(Kind::Input)?;
    if !info.is_standalone() {
        fail!(
            Kind::Input,
            "{shown} stands on another file: join them with `qemu-img convert`, and test what comes out"
        );
    }
    Ok(())
}
