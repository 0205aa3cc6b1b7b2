//! What a guest is made of, in the words of options, releases and domains alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::ValueEnum;
use serde::Deserialize;
use strum::IntoStaticStr;

/// What the user asks for to run the guest's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccelChoice {
    /// KVM where it can run an operating system, else software emulation
    #[default]
    Auto,
    /// Hardware virtualisation, or fail
    Kvm,
    /// Software emulation
    Tcg,
}

/// How a guest starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Firmware {
    /// The machine's own: SeaBIOS on x86, SLOF on POWER, none on s390x
    Bios,
    /// UEFI (EDK II), without Secure Boot
    Uefi,
}

impl Firmware {
    /// Its name, as options and manifests give it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Firmware of one's own: UEFI in two files, plain (`raw`) as EDK II's build makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareFiles {
    /// The program, which is only read; absolute.
    pub code: PathBuf,
    /// The variables that each machine begins with; absolute.
    pub vars: PathBuf,
}

impl FirmwareFiles {
    /// Those files, if they can be read and look like flash memory.
    ///
    /// # Errors
    /// In one sentence.
    pub fn open(code: &Path, vars: &Path) -> anyhow::Result<FirmwareFiles> {
        let look = |option: &str, path: &Path| {
            let shown = path.display();
            let path = std::path::absolute(path)?;
            let meta = std::fs::metadata(&path)
                .with_context(|| format!("{option}: {shown} cannot be read"))?;
            anyhow::ensure!(
                meta.is_file() && (1..=MOST_FLASH).contains(&meta.len()),
                "{option}: {shown} is no firmware: name a file of at most 64 MiB"
            );
            Ok(path)
        };
        Ok(FirmwareFiles {
            code: look("--firmware-code", code)?,
            vars: look("--firmware-vars", vars)?,
        })
    }
}

/// The largest firmware, in bytes: what QEMU's boards for ARM have room for; those for PCs have 8 MiB.
const MOST_FLASH: u64 = 64 << 20;

/// What a machine's board has beyond the usual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Board {
    /// UEFI verifies what it starts, by the keys that are enrolled in it (Microsoft's).
    pub secure_boot: bool,
    /// UEFI of one's own in place of the host's.
    pub firmware_files: Option<FirmwareFiles>,
    /// A TPM 2.0, emulated.
    pub tpm: bool,
}

/// What the guest's disk is plugged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[allow(missing_docs)]
pub enum DiskBus {
    /// The fastest; every installer knows it (Linux 2.6.32 and later).
    #[default]
    Virtio,
    Scsi,
    Sata,
    Ide,
}

impl DiskBus {
    /// Its name, in libvirt and in options.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What the guest's kernel calls a disk on it, by its number from 0 on.
    pub fn device(self, disk: usize) -> String {
        let prefix = match self {
            DiskBus::Virtio => "vd",
            // Every kernel since 2.6.19 says so of IDE, too.
            DiskBus::Scsi | DiskBus::Sata | DiskBus::Ide => "sd",
        };
        format!("{prefix}{}", letter(disk))
    }

    /// How many disks a guest has at most.
    pub fn most_disks(self) -> usize {
        match self {
            // Two channels with two disks each.
            DiskBus::Ide => 4,
            // Each has a letter of its own, and there is room for more devices beside them.
            _ => 16,
        }
    }
}

/// The letter of a disk, by its number from 0 on.
pub fn letter(disk: usize) -> char {
    char::from(b'a' + disk.min(25) as u8)
}

/// The format of a disk's file, by QEMU's name of the driver that reads and writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum DiskFormat {
    /// QEMU's own
    Qcow2,
    /// A plain disk
    Raw,
    /// VMware's
    Vmdk,
    /// Microsoft's VHD
    Vpc,
    /// Microsoft's VHDX
    Vhdx,
}

impl DiskFormat {
    /// QEMU's name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The network that the guest is on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Network {
    /// User-mode networking: needs no rights and no configuration
    #[default]
    User,
    /// A libvirt network
    Libvirt(String),
    /// A bridge of this host
    Bridge(String),
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (network, name) = match text.split_once(':') {
            None if text == "user" => return Ok(Network::User),
            None => (Network::Libvirt(text.to_string()), text),
            Some(("bridge", name)) => (Network::Bridge(name.to_string()), name),
            Some((kind, _)) => {
                return Err(format!(
                    "`{kind}:` is no kind of network; write `user`, the name of a libvirt network, or `bridge:NAME`"
                ));
            }
        };
        if name.is_empty() || name.chars().any(|c| c.is_control() || c == '/') {
            return Err("the network has no usable name; write `user`, the name of a libvirt network, or `bridge:NAME`".to_string());
        }
        Ok(network)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::User => f.write_str("user"),
            Network::Libvirt(name) => f.write_str(name),
            Network::Bridge(name) => write!(f, "bridge:{name}"),
        }
    }
}

/// A network card, and where it is plugged in: `NETWORK[,mac=MAC][,model=MODEL]`, as of virt-install.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Nic {
    /// The network.
    pub network: Network,
    /// Its address, as the user wrote it; a random one without it.
    pub mac: Option<String>,
    /// Its model, in libvirt's words; the usual one without it.
    pub model: Option<String>,
}

/// How many network cards a guest has at most: as many as QEMU's usual PCI bus has room for beside all else.
pub const MOST_NICS: usize = 8;

impl FromStr for Nic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let mut nic = Nic {
            network: parts.next().unwrap_or_default().parse()?,
            ..Nic::default()
        };
        for part in parts {
            let (place, value) = match part.split_once('=') {
                Some(("mac", value)) => (&mut nic.mac, value),
                Some(("model", value)) => (&mut nic.model, value),
                _ => {
                    return Err(format!(
                        "`{part}` says nothing of a network card; write NETWORK,mac=MAC,model=MODEL"
                    ));
                }
            };
            if value.is_empty() || place.replace(value.to_owned()).is_some() {
                return Err(format!("`{part}` says nothing, or is said twice"));
            }
        }
        Ok(nic)
    }
}

impl TryFrom<String> for Nic {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The network that guests on user networking have for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserNetwork(pub Ipv4Addr);

impl UserNetwork {
    /// QEMU's own choice, for which kickstarts are written.
    pub const USUAL: UserNetwork = UserNetwork(Ipv4Addr::new(10, 0, 2, 0));
    /// Bits of its prefix.
    pub const PREFIX: u8 = 24;

    /// That of the network card with a number, from 0 on: each has one of its own.
    #[must_use]
    pub fn of_card(self, number: usize) -> UserNetwork {
        let [a, b, c, d] = self.0.octets();
        UserNetwork(Ipv4Addr::new(a, b, c.wrapping_add(number as u8), d))
    }

    /// This host in it, by which the guest reaches the host's loopback (QEMU manual, "Using the
    /// user mode network stack").
    pub fn host(self) -> Ipv4Addr {
        (u32::from(self.0) + 2).into()
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if v4.octets()[..3] == self.0.octets()[..3])
    }
}

impl fmt::Display for UserNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, Self::PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!("user".parse(), Ok(Network::User));
        assert_eq!("default".parse(), Ok(Network::Libvirt("default".into())));
        assert_eq!("bridge:br0".parse(), Ok(Network::Bridge("br0".into())));
        for wrong in ["", "bridge:", "nat:x", "a/b"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let nic: Nic = "bridge:br0,model=e1000e,mac=52:54:00:00:00:07"
            .parse()
            .unwrap();
        assert_eq!(nic.network, Network::Bridge("br0".into()));
        assert_eq!(nic.mac.as_deref(), Some("52:54:00:00:00:07"));
        assert_eq!(nic.model.as_deref(), Some("e1000e"));
        assert_eq!("user".parse(), Ok(Nic::default()));
        for wrong in [
            "user,",
            "user,mac=",
            "user,x=1",
            "user,mac=a,mac=b",
            ",mac=a",
        ] {
            assert!(wrong.parse::<Nic>().is_err(), "{wrong}");
        }
        let second = UserNetwork::USUAL.of_card(1);
        assert_eq!(second.host(), Ipv4Addr::new(10, 0, 3, 2));
    }
}
