//! How the guest reaches the mirror and us.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::Context;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde::Deserialize;

use crate::error::{Classify, Kind, failure};

/// The host's address inside QEMU's user networking (QEMU manual, "Using the user mode network
/// stack"; libslirp forwards it to the host's loopback).
const USER_HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Where a server must listen for the guest to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServePlace {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The address by which the guest knows the host.
    pub guest_uses: IpAddr,
}

impl ServePlace {
    /// With QEMU's user networking: our loopback, which the guest sees under another address.
    pub fn user() -> Self {
        ServePlace {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            guest_uses: IpAddr::V4(USER_HOST),
        }
    }

    /// On a bridge: its own address for both.
    pub fn bridge(address: Ipv4Addr) -> Self {
        ServePlace {
            bind: IpAddr::V4(address),
            guest_uses: IpAddr::V4(address),
        }
    }
}

/// What a libvirt network's XML says of the host's part in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkFacts {
    /// The bridge's interface name.
    pub(super) bridge: Option<String>,
    /// The host's IPv4 address on it.
    pub(super) address: Option<Ipv4Addr>,
}

/// Reads a libvirt network's XML (libvirt's "Network XML format").
pub(super) fn parse_network(xml: &str) -> anyhow::Result<NetworkFacts> {
    let mut facts = NetworkFacts::default();
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().context("parsing the network's XML")? {
            Event::Start(element) | Event::Empty(element) => match element.name().as_ref() {
                "bridge" if facts.bridge.is_none() => {
                    facts.bridge = attribute(&element, "name")?;
                }
                "ip" if facts.address.is_none() => {
                    let family = attribute(&element, "family")?;
                    if family.is_none_or(|family| family == "ipv4") {
                        facts.address =
                            attribute(&element, "address")?.and_then(|text| text.parse().ok());
                    }
                }
                _ => {}
            },
            Event::Eof => return Ok(facts),
            _ => {}
        }
    }
}

/// The value of an attribute, with its entities resolved.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> anyhow::Result<Option<String>> {
    let Some(attribute) = element
        .try_get_attribute(name)
        .context("parsing an attribute of libvirt's XML")?
    else {
        return Ok(None);
    };
    let value = quick_xml::escape::unescape(&attribute.value)
        .context("parsing an attribute of libvirt's XML")?;
    Ok(Some(value.into_owned()))
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<Ipv4Addr>,
}

/// The IPv4 address of one of this host's interfaces, from iproute2.
///
/// # Errors
/// [`Kind::Host`] when there is no such interface, or it has no IPv4 address.
pub(super) fn interface_address(name: &str) -> anyhow::Result<Ipv4Addr> {
    let output = Command::new("ip")
        .args(["-json", "-4", "address", "show", "dev", name])
        .output()
        .context("running `ip`, which tells a bridge's address (install iproute2)")
        .kind(Kind::Host)?;
    if !output.status.success() {
        return Err(failure(
            Kind::Host,
            format!("there is no bridge `{name}` on this host: `ip link` lists what there is"),
        ));
    }
    let links: Vec<Link> = serde_json::from_slice(&output.stdout)
        .context("parsing the output of `ip -json address`")
        .kind(Kind::Host)?;
    first_address(&links).ok_or_else(|| {
        failure(
            Kind::Host,
            format!(
                "the bridge `{name}` has no IPv4 address, so the guest cannot reach this host \
                 over it: give it one, use another --network, or --deliver initrd"
            ),
        )
    })
}

fn first_address(links: &[Link]) -> Option<Ipv4Addr> {
    links
        .iter()
        .flat_map(|link| &link.addr_info)
        .find_map(|address| address.local)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn the_hosts_address_comes_from_the_networks_xml() {
        let xml = "<network><name>a</name><bridge name='virbr&#48;' stp='on'/>\
                   <ip family='ipv6' address='fd00::1' prefix='64'/>\
                   <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp/></ip></network>";
        let facts = parse_network(xml).unwrap();
        assert_eq!(facts.bridge.as_deref(), Some("virbr0"));
        assert_eq!(facts.address, Some(Ipv4Addr::new(192, 168, 122, 1)));

        let bridged = "<network><forward mode='bridge'/><bridge name='br0'/></network>";
        let facts = parse_network(bridged).unwrap();
        assert_eq!(
            (facts.bridge.as_deref(), facts.address),
            (Some("br0"), None)
        );
        assert!(parse_network("<network><bridge").is_err());
    }

    #[test]
    fn iproute2_lists_are_read() {
        let text = r#"[{},{"ifname":"br0","addr_info":[{"family":"inet","local":"10.1.2.3","prefixlen":24}]}]"#;
        let links: Vec<Link> = serde_json::from_str(text).unwrap();
        assert_eq!(first_address(&links), Some(Ipv4Addr::new(10, 1, 2, 3)));
    }

    #[test]
    fn the_loopback_interface_has_its_address_and_others_do_not_exist() {
        assert_eq!(interface_address("lo").unwrap(), Ipv4Addr::LOCALHOST);
        let error = interface_address("ozr-no-such").unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Host));
    }
}
