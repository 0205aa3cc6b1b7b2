//! Values that options take, as on the command line so in the configuration file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

/// `--accel`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// KVM where it can run an operating system, else software emulation
    #[default]
    Auto,
    /// Hardware virtualisation, or fail
    Kvm,
    /// Software emulation
    Tcg,
}

/// `--firmware`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// SeaBIOS (x86 only)
    Bios,
    /// EDK II, without Secure Boot
    Uefi,
}

/// `--deliver`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deliver {
    /// From ozr's own HTTP server
    #[default]
    Http,
    /// In a second initrd
    Initrd,
}

/// `--relay`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relay {
    /// Only what the guest could not reach by itself
    #[default]
    Auto,
    /// The whole install tree
    Always,
    /// Nothing
    Never,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// QEMU's copy-on-write format, version 3
    #[default]
    Qcow2,
    /// A plain, sparse disk image
    Raw,
}

/// `--compress`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// As the guest wrote it: no copy is made
    #[default]
    None,
    /// Fast, small, needs QEMU 5.1 or later to read
    Zstd,
    /// Read by every QEMU
    Zlib,
}

/// `--disk-bus`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum DiskBus {
    Virtio,
    Scsi,
    Sata,
    Ide,
}

/// `--network`
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

/// A span of time: `90m`, `1h 30m`, or a bare number of seconds as Oz's `-t` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecondsOrText")]
pub struct Seconds(pub Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum SecondsOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<SecondsOrText> for Seconds {
    type Error = String;

    fn try_from(value: SecondsOrText) -> Result<Self, String> {
        match value {
            SecondsOrText::Number(seconds) => seconds.to_string().parse(),
            SecondsOrText::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = match text.trim().parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => humantime::parse_duration(text).map_err(|_| {
                "write a duration such as `90m`, `1h 30m` or `5400` (seconds)".to_string()
            })?,
        };
        if duration.is_zero() {
            return Err("a duration of zero leaves no time for anything".to_string());
        }
        // A year: anything longer is a slip, and sums with it could overflow.
        if duration > Duration::from_secs(366 * 86400) {
            return Err("a duration of more than a year is surely a slip".to_string());
        }
        Ok(Seconds(duration))
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
    }

    #[test]
    fn durations() {
        assert_eq!("1200".parse(), Ok(Seconds(Duration::from_secs(1200))));
        assert_eq!("1h 30m".parse(), Ok(Seconds(Duration::from_secs(5400))));
        for wrong in ["", "0", "-1", "soon", "1e9", "99999999999999999999"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }
}
