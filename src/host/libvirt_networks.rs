//! Networks that guests are plugged into: which libvirt knows, and where a guest reaches us.

use super::libvirt::{Host, host_error};
use super::network::{NetworkFacts, ServePlace, interface_address, parse_network};
use crate::error::{Classify, Kind, failure};
use crate::machine::Network;

impl Host {
    /// Where our server must listen for a guest on `network`, and how that guest names us.
    ///
    /// # Errors
    /// [`Kind::Host`] when there is no such network, it is not active, or the guest could not
    /// reach us on it.
    pub fn network_address(&self, network: &Network) -> anyhow::Result<ServePlace> {
        if !self.is_local() {
            return Err(failure(
                Kind::Host,
                format!(
                    "a guest on {} cannot reach this host's server: use --deliver initrd",
                    self.uri()
                ),
            ));
        }
        match network {
            Network::User => Ok(ServePlace::user()),
            Network::Bridge(name) => interface_address(name).map(ServePlace::bridge),
            Network::Libvirt(name) => {
                let facts = self.libvirt_network(name)?;
                let address = match (facts.address, facts.bridge) {
                    (Some(address), _) => address,
                    (None, Some(bridge)) => interface_address(&bridge)?,
                    (None, None) => {
                        return Err(failure(
                            Kind::Host,
                            format!(
                                "libvirt's network `{name}` has neither an IPv4 address nor a \
                                 bridge, so the guest could not reach this host over it: use \
                                 another --network"
                            ),
                        ));
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
        let facts = self.libvirt_network(name)?;
        facts.bridge.map(Network::Bridge).ok_or_else(|| {
            failure(
                Kind::Host,
                format!(
                    "libvirt's network `{name}` has no bridge of its own: use --connect \
                     qemu:///system with it"
                ),
            )
        })
    }

    fn libvirt_network(&self, name: &str) -> anyhow::Result<NetworkFacts> {
        let connect = match &self.networks {
            None => &self.connect,
            Some(Ok(daemon)) => daemon,
            Some(Err(reason)) => {
                return Err(failure(
                    Kind::Host,
                    format!(
                        "libvirt's network `{name}` is known to the system's libvirt daemon, \
                         which does not answer ({reason}): start it, or use --network user"
                    ),
                ));
            }
        };
        let network = connect.lookup_network_by_name(name).map_err(|error| {
            failure(
                Kind::Host,
                format!(
                    "libvirt has no network `{name}` ({}): `virsh net-list --all` lists what \
                     there is",
                    error.message()
                ),
            )
        })?;
        if !network.is_active().map_err(host_error)? {
            return Err(failure(
                Kind::Host,
                format!("libvirt's network `{name}` is not active: `virsh net-start {name}`"),
            ));
        }
        let xml = network.xml_desc(0).map_err(host_error)?;
        parse_network(&xml).kind(Kind::Host)
    }
}
