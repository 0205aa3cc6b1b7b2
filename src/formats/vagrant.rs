//! Vagrant boxes (format 1: a gzip'd tar archive with `metadata.json`, a Vagrantfile and what the
//! provider wants).

use std::fs::File;
use std::io::BufWriter;

use anyhow::Result;
use serde_json::json;

use super::package::{Package, add};
use super::packed::{Codec, Packed};
use super::pool::Pool;
use super::tarball::{Form, Tarball};
use super::{ovf, uuid};
use crate::distro::Arch;

/// A box's content beside its disk.
struct Contents {
    /// How the box is packed.
    codec: Codec,
    directories: &'static [&'static str],
    files: Vec<(String, String)>,
    /// The name of the disk's file.
    disk: String,
}

fn write(package: &Package<'_>, into: File, pool: &Pool, contents: Contents) -> Result<()> {
    let packed = Packed::begin(BufWriter::new(into), contents.codec, pool)?;
    let mut tarball = Tarball::begin(packed, Form::OldGnu);
    for directory in contents.directories {
        tarball.directory(directory)?;
    }
    for (name, text) in &contents.files {
        add(&mut tarball, name, text)?;
    }
    let (size, mut content) = package.content()?;
    tarball.file(&contents.disk, size, &mut content)?;
    tarball.end()?.end()
}

/// `metadata.json` and the Vagrantfile.
fn common(
    package: &Package<'_>,
    mut metadata: serde_json::Value,
    vagrantfile: &str,
) -> Vec<(String, String)> {
    metadata["architecture"] = json!(package.hardware.go_arch());
    let vagrantfile = format!("Vagrant.configure(\"2\") do |config|\n{vagrantfile}end\n");
    vec![
        ("metadata.json".to_owned(), format!("{metadata}\n")),
        ("Vagrantfile".to_owned(), vagrantfile),
    ]
}

/// For libvirt (vagrant-libvirt's `tools/create_box.sh`): a qcow2 called `box.img`, its size in GiB
/// rounded up.
///
/// # Errors
/// It cannot be written.
pub fn libvirt(package: &Package<'_>, into: File, pool: &Pool) -> Result<()> {
    let size = package.part.capacity.div_ceil(1 << 30);
    let metadata = json!({ "provider": "libvirt", "format": "qcow2", "virtual_size": size });
    let loader = match package.hardware.is_uefi() {
        // Where Fedora, RHEL and Debian have it.
        true => {
            "    libvirt.loader = \"/usr/share/OVMF/OVMF_CODE.fd\"\n    libvirt.machine_type = \"q35\"\n"
        }
        false => "",
    };
    let vagrantfile = format!(
        "  config.vm.synced_folder \".\", \"/vagrant\", type: \"rsync\"\n  config.vm.provider :libvirt do |libvirt|\n    libvirt.driver = \"kvm\"\n    libvirt.disk_bus = \"virtio\"\n{loader}  end\n"
    );
    let contents = Contents {
        codec: Codec::Gzip,
        directories: &[],
        files: common(package, metadata, &vagrantfile),
        disk: "box.img".to_owned(),
    };
    write(package, into, pool, contents)
}

/// For VirtualBox: a streamOptimized VMDK and `box.ovf`.
///
/// # Errors
/// It cannot be written.
pub fn virtualbox(package: &Package<'_>, into: File, pool: &Pool) -> Result<()> {
    // VirtualBox's own range of MAC addresses.
    let mut mac = [0; 3];
    getrandom::fill(&mut mac)?;
    let mac = crate::hex::encode(mac).to_uppercase();
    let vagrantfile = format!("  config.vm.base_mac = \"080027{mac}\"\n");
    let disk = format!("{}-disk001.vmdk", package.name);
    let size = package.part.file.metadata()?.len();
    let described = package.disk(&disk, size);
    let machine = uuid::random()?;
    let ovf = ovf::virtualbox(package.name, package.hardware, &described, &machine);
    let mut files = common(package, json!({ "provider": "virtualbox" }), &vagrantfile);
    files.push(("box.ovf".to_owned(), ovf));
    let contents = Contents {
        // The grains are packed already.
        codec: Codec::GzipFast,
        directories: &[],
        files,
        disk,
    };
    write(package, into, pool, contents)
}

/// For VMware's desktop products: a VMDK that they write to as it is, and a .vmx.
///
/// # Errors
/// It cannot be written.
pub fn vmware(package: &Package<'_>, into: File, pool: &Pool) -> Result<()> {
    let (name, hardware) = (package.name, package.hardware);
    let disk = format!("{name}.vmdk");
    // ARM guests have no SCSI controller there.
    let (version, bus) = match hardware.arch {
        Arch::Aarch64 => (21, "sata0"),
        _ => (19, "scsi0"),
    };
    let firmware = if hardware.is_uefi() { "efi" } else { "bios" };
    let (vcpus, memory) = (hardware.vcpus.to_string(), hardware.memory_mib.to_string());
    let mut settings = vec![
        (".encoding".to_owned(), "UTF-8"),
        ("config.version".to_owned(), "8"),
        ("displayName".to_owned(), name),
        ("ethernet0.addressType".to_owned(), "generated"),
        ("ethernet0.connectionType".to_owned(), "nat"),
        ("ethernet0.pciSlotNumber".to_owned(), "192"),
        ("ethernet0.present".to_owned(), "TRUE"),
        ("ethernet0.virtualDev".to_owned(), "vmxnet3"),
        ("firmware".to_owned(), firmware),
        ("memsize".to_owned(), memory.as_str()),
        ("numvcpus".to_owned(), vcpus.as_str()),
        ("pciBridge0.present".to_owned(), "TRUE"),
        ("powerType.powerOff".to_owned(), "soft"),
        (format!("{bus}.present"), "TRUE"),
        (format!("{bus}:0.fileName"), disk.as_str()),
        (format!("{bus}:0.present"), "TRUE"),
        ("tools.syncTime".to_owned(), "TRUE"),
        ("uuid.action".to_owned(), "create"),
        ("virtualHW.productCompatibility".to_owned(), "hosted"),
    ];
    if bus == "scsi0" {
        settings.push(("scsi0.virtualDev".to_owned(), "pvscsi"));
    }
    for bridge in 4..8 {
        settings.push((format!("pciBridge{bridge}.functions"), "8"));
        settings.push((format!("pciBridge{bridge}.present"), "TRUE"));
        settings.push((format!("pciBridge{bridge}.virtualDev"), "pcieRootPort"));
    }
    let guest = hardware.vmx_guest();
    let version = version.to_string();
    settings.push(("guestOS".to_owned(), &guest));
    settings.push(("virtualHW.version".to_owned(), &version));
    settings.sort();
    let vmx: String = settings
        .iter()
        .map(|(key, value)| format!("{key} = \"{value}\"\n"))
        .collect();
    let mut files = common(package, json!({ "provider": "vmware_desktop" }), "");
    files.push((format!("{name}.vmx"), vmx));
    let contents = Contents {
        codec: Codec::Gzip,
        directories: &[],
        files,
        disk,
    };
    write(package, into, pool, contents)
}

/// For Hyper-V: a VHDX, and the description that Vagrant reads (its `VagrantVM.psm1`).
///
/// # Errors
/// It cannot be written.
pub fn hyperv(package: &Package<'_>, into: File, pool: &Pool) -> Result<()> {
    let (name, hardware) = (package.name, package.hardware);
    let name = quick_xml::escape::escape(name);
    // Generation 2 is UEFI with SCSI, generation 1 BIOS with IDE.
    let (generation, bus) = match hardware.is_uefi() {
        true => (1, "scsi ChannelInstanceGuid=\"x\""),
        false => (0, "ide"),
    };
    let end = bus.split(' ').next().unwrap_or(bus);
    let (vcpus, memory) = (hardware.vcpus, hardware.memory_mib);
    let description = format!(
        r#"<?xml version="1.0"?>
<configuration>
  <properties>
    <subtype type="integer">{generation}</subtype>
    <name type="string">{name}</name>
  </properties>
  <settings>
    <processors>
      <count type="integer">{vcpus}</count>
    </processors>
    <memory>
      <bank>
        <dynamic_memory_enabled type="bool">False</dynamic_memory_enabled>
        <limit type="integer">{memory}</limit>
        <reservation type="integer">{memory}</reservation>
        <size type="integer">{memory}</size>
      </bank>
    </memory>
  </settings>
  <boot>
    <device0 type="string">HardDrive</device0>
  </boot>
  <secure_boot_enabled type="bool">False</secure_boot_enabled>
  <notes type="string"></notes>
  <vm-controllers>
    <{bus}>
      <controller0>
        <drive0>
          <pathname type="string">"Virtual Hard Disks\{name}.vhdx"</pathname>
          <type type="string">VHD</type>
        </drive0>
      </controller0>
    </{end}>
  </vm-controllers>
</configuration>
"#
    );
    let mut files = common(package, json!({ "provider": "hyperv" }), "");
    files.push(("Virtual Machines/box.xml".to_owned(), description));
    let contents = Contents {
        codec: Codec::Gzip,
        directories: &["Virtual Machines", "Virtual Hard Disks"],
        files,
        disk: format!("Virtual Hard Disks/{}.vhdx", package.name),
    };
    write(package, into, pool, contents)
}
