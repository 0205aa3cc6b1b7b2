//! Networks that guests are plugged into: which there are, and where a guest reaches us.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Classify, Kind, fail};
use crate::machine::UserNetwork;

/// Networks for guests on QEMU's user networking. A guest cannot reach the host's network of the same addresses, where its mirror may be.
const USER_NETWORKS: [UserNetwork; 4] = [
    UserNetwork::USUAL,
    UserNetwork(Ipv4Addr::new(10, 0, 3, 0)),
    UserNetwork(Ipv4Addr::new(172, 31, 231, 0)),
    UserNetwork(Ipv4Addr::new(192, 168, 231, 0)),
];

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
            guest_uses: IpAddr::V4(user_network().host()),
        }
    }

    /// On a bridge: its own address for both.
    pub fn bridge(address: Ipv4Addr) -> Self {
        ServePlace::at(address.into())
    }

    /// At an address that both know.
    pub fn at(address: IpAddr) -> Self {
        ServePlace {
            bind: address,
            guest_uses: address,
        }
    }
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
    let Some(links) = ip::<Vec<Link>>(&["address", "show", "dev", name])? else {
        fail!(
            Kind::Host,
            "there is no bridge `{name}` on this host: `ip link` lists what there is"
        );
    };
    match first_address(&links) {
        Some(address) => Ok(address),
        None => fail!(
            Kind::Host,
            "the bridge `{name}` has no IPv4 address, so the guest cannot reach this host \
             over it: give it one, use another --network, or --deliver initrd"
        ),
    }
}

fn first_address(links: &[Link]) -> Option<Ipv4Addr> {
    links
        .iter()
        .flat_map(|link| &link.addr_info)
        .find_map(|address| address.local)
}

/// What iproute2 says; none where it refuses.
fn ip<T: DeserializeOwned>(arguments: &[&str]) -> anyhow::Result<Option<T>> {
    let output = Command::new("ip")
        .args(["-json", "-4"])
        .args(arguments)
        .output()
        .context("running `ip`, which tells this host's addresses (install iproute2)")
        .kind(Kind::Host)?;
    if !output.status.success() {
        return Ok(None);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("parsing the output of `ip -json {}`", arguments.join(" ")))
        .kind(Kind::Host)
}

#[derive(Deserialize)]
struct Route {
    dst: String,
}

/// The network of guests on user networking: the first that this host has no route into, but for
/// the default one. As it was when first asked for.
pub fn user_network() -> UserNetwork {
    static CHOSEN: OnceLock<UserNetwork> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        // The local table has the networks that are addresses of ours as a whole.
        let routes: Option<Vec<Route>> = ip(&["route", "show", "table", "all"]).ok().flatten();
        free_network(&routes.unwrap_or_default())
    })
}

fn free_network(routes: &[Route]) -> UserNetwork {
    let taken: Vec<(Ipv4Addr, u8)> = routes.iter().filter_map(Route::destination).collect();
    let free = |network: &&UserNetwork| {
        let meets = |&(other, prefix): &(Ipv4Addr, u8)| {
            let common = u32::MAX << (32 - prefix.min(UserNetwork::PREFIX));
            (u32::from(network.0) ^ u32::from(other)) & common == 0
        };
        !taken.iter().any(meets)
    };
    let found = USER_NETWORKS.iter().find(free);
    *found.unwrap_or(&USER_NETWORKS[0])
}

impl Route {
    /// Where it leads; none for the default route, which is a word.
    fn destination(&self) -> Option<(Ipv4Addr, u8)> {
        let (address, prefix) = self.dst.split_once('/').unwrap_or((&self.dst, "32"));
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| (1..=32).contains(prefix));
        Some((address.parse().ok()?, prefix?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

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

    #[test]
    fn guests_get_a_network_that_the_host_has_no_use_for() {
        let chosen = |routes: &[&str]| {
            let route = |dst: &&str| Route {
                dst: (*dst).to_owned(),
            };
            free_network(&routes.iter().map(route).collect::<Vec<_>>()).to_string()
        };
        for (routes, want) in [
            (&[][..], "10.0.2.0/24"),
            (
                &["default", "0.0.0.0/0", "192.168.1.0/24", "10.0.4.1"],
                "10.0.2.0/24",
            ),
            (&["default", "10.0.2.0/24"], "10.0.3.0/24"),
            (&["10.0.2.15"], "10.0.3.0/24"),
            (&["10.0.2.128/25", "10.0.3.255"], "172.31.231.0/24"),
            (&["10.0.0.0/8"], "172.31.231.0/24"),
            (&["10.0.0.0/8", "172.16.0.0/12"], "192.168.231.0/24"),
            (
                &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
                "10.0.2.0/24",
            ),
        ] {
            assert_eq!(chosen(routes), want, "{routes:?}");
        }
    }
}
