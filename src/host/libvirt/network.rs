//! The networks that libvirt knows, and where a guest on one reaches us.

use std::net::Ipv4Addr;

use anyhow::Context;
use serde::Deserialize;

use super::{Host, host_error};
use crate::error::{Classify, Kind, fail};
use crate::host::connection::Connection;
use crate::host::network::{ServePlace, interface_address};
use crate::host::tunnel;
use crate::machine::Network;

impl Host {
    /// Where our server must listen for a guest on `network`, and how that guest names us. On another host that is
    /// true once a [`Tunnel`] leads there.
    ///
    /// [`Tunnel`]: crate::host::Tunnel
    ///
    /// # Errors
    /// [`Kind::Host`] when there is no such network, it is not active, or the guest could not
    /// reach us on it.
    pub fn network_address(&self, network: &Network) -> anyhow::Result<ServePlace> {
        if let Connection::Uri(uri) = &self.connection
            && !self.is_local()
        {
            if *network == Network::User && tunnel::is_possible(uri) {
                return Ok(ServePlace::user());
            }
            fail!(
                Kind::Host,
                "a guest on {uri} reaches no server of this host: name an address of this host that it reaches with --serve-address, or let nothing go through the server (--deliver initrd, --relay never)"
            );
        }
        match network {
            Network::User => Ok(ServePlace::user()),
            Network::Bridge(name) => interface_address(name).map(ServePlace::bridge),
            Network::Libvirt(name) => {
                let network = self.libvirt_network(name)?;
                let address = match (network.address(), network.bridge()) {
                    (Some(address), _) => address,
                    (None, Some(bridge)) => interface_address(bridge)?,
                    (None, None) => {
                        fail!(
                            Kind::Host,
                            "libvirt's network `{name}` has neither an IPv4 address nor a \
                                 bridge, so the guest could not reach this host over it: use \
                                 another --network"
                        );
                    }
                };
                Ok(ServePlace::bridge(address))
            }
        }
    }

    /// Without root's daemon in between, a guest is plugged into a libvirt network's bridge.
    pub(super) fn reachable_network(&self, network: &Network) -> anyhow::Result<Network> {
        let Network::Libvirt(name) = network else {
            return Ok(network.clone());
        };
        if !self.connection.runs_as_us() {
            return Ok(network.clone());
        }
        let bridge = self.libvirt_network(name)?.bridge().map(str::to_owned);
        match bridge {
            Some(bridge) => Ok(Network::Bridge(bridge)),
            None => fail!(
                Kind::Host,
                "libvirt's network `{name}` has no bridge of its own: use --connect \
                 qemu:///system with it"
            ),
        }
    }

    fn libvirt_network(&self, name: &str) -> anyhow::Result<NetworkXml> {
        let connect = match &self.networks {
            None => &self.connect,
            Some(Ok(daemon)) => daemon,
            Some(Err(reason)) => {
                fail!(
                    Kind::Host,
                    "libvirt's network `{name}` is known to the system's libvirt daemon, \
                         which does not answer ({reason}): start it, or use --network user"
                );
            }
        };
        let network = match connect.lookup_network_by_name(name) {
            Ok(network) => network,
            Err(error) => fail!(
                Kind::Host,
                "libvirt has no network `{name}` ({}): `virsh net-list --all` lists what there is",
                error.message()
            ),
        };
        if !network.is_active().map_err(host_error)? {
            fail!(
                Kind::Host,
                "libvirt's network `{name}` is not active: `virsh net-start {name}`"
            );
        }
        let xml = network.xml_desc(0).map_err(host_error)?;
        quick_xml::de::from_str(&xml)
            .context("parsing the network's XML")
            .kind(Kind::Host)
    }
}

/// What a libvirt network's XML says of the host's part in it (libvirt's "Network XML format").
#[derive(Debug, Deserialize)]
struct NetworkXml {
    bridge: Option<Bridge>,
    #[serde(default)]
    ip: Vec<Ip>,
}

#[derive(Debug, Deserialize)]
struct Bridge {
    #[serde(rename = "@name")]
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Ip {
    #[serde(rename = "@family")]
    family: Option<String>,
    #[serde(rename = "@address")]
    address: String,
}

impl NetworkXml {
    /// The bridge's interface name.
    fn bridge(&self) -> Option<&str> {
        self.bridge.as_ref()?.name.as_deref()
    }

    /// The host's IPv4 address on it.
    fn address(&self) -> Option<Ipv4Addr> {
        let is_ipv4 = |ip: &&Ip| ip.family.as_deref().is_none_or(|family| family == "ipv4");
        self.ip.iter().find(is_ipv4)?.address.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_address_comes_from_the_networks_xml() {
        let xml = "<network><name>a</name><bridge name='virbr&#48;' stp='on'/>\
                   <ip family='ipv6' address='fd00::1' prefix='64'/>\
                   <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp/></ip></network>";
        let parse = |xml| quick_xml::de::from_str::<NetworkXml>(xml);
        let network = parse(xml).unwrap();
        assert_eq!(network.bridge(), Some("virbr0"));
        assert_eq!(network.address(), Some(Ipv4Addr::new(192, 168, 122, 1)));

        let bridged = "<network><forward mode='bridge'/><bridge name='br0'/></network>";
        let network = parse(bridged).unwrap();
        assert_eq!((network.bridge(), network.address()), (Some("br0"), None));
        assert!(parse("<network><bridge").is_err());
    }
}
