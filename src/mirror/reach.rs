//! How a guest gets to an address: by itself, through our server, or not at all. It has not this
//! host's view: another loopback, no search domain and no /etc/hosts of this host's, the public
//! authorities only, and on user networking a network of its own.

use std::net::IpAddr;
use std::path::Path;

use url::{Host, Url};

use super::Mirror;
use super::location::Scope;
use crate::input;
use crate::machine::UserNetwork;
use crate::options::Relay;

/// The names that this host knows and DNS does not (hosts(5)).
const HOSTS_FILE: &str = "/etc/hosts";
/// The largest list of names that is read, in bytes; lists that block advertisements have 5 MB.
const MAX_HOSTS_FILE: u64 = 16 << 20;

/// Under which conditions an address is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// Certificates are checked; not with `--noverifyssl`.
    pub verified: bool,
    /// The guest gets there in ways that this host has not: a proxy, certificates of its own.
    pub own_ways: bool,
    /// ozr itself fetches it, which follows no redirect to another scheme.
    pub ours: bool,
}

impl Access {
    /// What holds where nothing else is said.
    pub const PLAIN: Access = Access {
        verified: true,
        own_ways: false,
        ours: false,
    };
}

/// Why a guest cannot, or must not, get to an address by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum Obstacle {
    /// A `file:` address.
    #[strum(to_string = "it is a directory of this host")]
    Directory,
    /// `localhost`, or an address of the loopback.
    #[strum(to_string = "it is on this host's loopback")]
    Loopback,
    /// A name that means the loopback here.
    #[strum(to_string = "its name means this host's loopback")]
    LoopbackName,
    /// A user and a password in the address.
    #[strum(to_string = "its password must not be seen in the guest")]
    Password,
    /// The address of a host that `--client-cert` is for.
    #[strum(to_string = "it may want the client certificate")]
    ClientCertificate,
    /// `--cacert`, or an authority among those of this host that is not among the public ones.
    #[strum(to_string = "the guest does not know its certificate authority")]
    Authority,
    /// This host asks a proxy for it.
    #[strum(to_string = "it is reached through a proxy")]
    Proxy,
    /// A name of /etc/hosts, or one that is found in a search domain of this host's.
    #[strum(to_string = "its name is known to this host's /etc/hosts or search domain only")]
    Name,
    /// An address in the network that the guest has for itself.
    #[strum(to_string = "its address is in the network that the guest has for itself")]
    OwnNetwork,
    /// What it has is kept for further builds.
    #[strum(to_string = "what it has is kept in the cache")]
    Cached,
    /// `--relay always`.
    #[strum(to_string = "--relay always")]
    Unwanted,
}

impl Obstacle {
    /// Whether a guest meets it wherever it is: what else is here may be another in its network.
    pub fn is_certain(self) -> bool {
        matches!(
            self,
            Obstacle::Directory | Obstacle::Loopback | Obstacle::OwnNetwork
        )
    }
}

/// How a guest gets to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By itself.
    Direct,
    /// Our server passes it on, for this reason.
    Relayed(Obstacle),
    /// Not at all, for this reason.
    Blocked(Obstacle),
}

impl Reach {
    /// What `--relay` makes of an obstacle; `Never` also where nothing can stand in the address's
    /// place.
    pub fn of(obstacle: Option<Obstacle>, relay: Relay) -> Reach {
        match (relay, obstacle) {
            (Relay::Always, obstacle) => Reach::Relayed(obstacle.unwrap_or(Obstacle::Unwanted)),
            (Relay::Auto | Relay::Never, None) => Reach::Direct,
            (Relay::Auto, Some(obstacle)) => Reach::Relayed(obstacle),
            (Relay::Never, Some(obstacle)) => Reach::Blocked(obstacle),
        }
    }
}

impl Mirror {
    /// What keeps a guest, on user networking or not, from asking `url` itself. Asks DNS and, of
    /// `https`, the server, without a limit of its own for the former.
    pub async fn obstacle(
        &self,
        url: &Url,
        access: Access,
        network: Option<UserNetwork>,
    ) -> Option<Obstacle> {
        let clients = &self.store.fetcher.clients;
        let verified = access.verified && url.scheme() == "https";
        if url.scheme() == "file" {
            return Some(Obstacle::Directory);
        } else if Scope::of_host(url) == Some(Scope::Loopback) {
            return Some(Obstacle::Loopback);
        } else if !url.username().is_empty() || url.password().is_some() {
            return Some(Obstacle::Password);
        } else if access.own_ways {
            return None;
        } else if clients.is_for_certificate(url) {
            return Some(Obstacle::ClientCertificate);
        } else if verified && clients.has_authorities() {
            return Some(Obstacle::Authority);
        } else if clients.proxy(url).is_some() {
            return Some(Obstacle::Proxy);
        }
        if let Some(obstacle) = of_host(url, network).await {
            return Some(obstacle);
        }
        let is_private = verified && !clients.has_public_authority(url).await;
        is_private.then_some(Obstacle::Authority)
    }
}

/// What keeps a guest from finding the host of an address.
async fn of_host(url: &Url, network: Option<UserNetwork>) -> Option<Obstacle> {
    let (name, addresses) = match url.host()? {
        Host::Ipv4(address) => (None, vec![IpAddr::V4(address)]),
        Host::Ipv6(address) => (None, vec![IpAddr::V6(address)]),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            (Some(name), addresses_of(name).await)
        }
    };
    let hidden = |address: &IpAddr| {
        network.is_some_and(|network| {
            network.contains(*address) && *address != IpAddr::V4(network.host())
        })
    };
    if addresses.is_empty() {
        // What is not known at all is for others to say.
        None
    } else if addresses.iter().any(|a| Scope::of(*a) == Scope::Loopback) {
        Some(Obstacle::LoopbackName)
    } else if addresses.iter().any(hidden) {
        Some(Obstacle::OwnNetwork)
    } else if let Some(name) = name
        && (is_in_hosts_file(name, Path::new(HOSTS_FILE))
            // The dot at its end keeps the resolver from search domains (resolv.conf(5)).
            || addresses_of(&format!("{name}.")).await.is_empty())
    {
        Some(Obstacle::Name)
    } else {
        None
    }
}

/// What this host's resolver says of a name.
async fn addresses_of(name: &str) -> Vec<IpAddr> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Whether a list of names has one.
fn is_in_hosts_file(name: &str, path: &Path) -> bool {
    let bytes = input::read_bounded(path, MAX_HOSTS_FILE).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().any(|line| {
        let entry = line.split('#').next().unwrap_or_default();
        let mut names = entry.split_whitespace().skip(1);
        names.any(|other| other.trim_end_matches('.').eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hosts_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "127.0.0.1 localhost\n10.0.0.1\tMirror.inhouse. m # mirror.example\n# 10.0.0.2 off\n";
        std::fs::write(file.path(), text).unwrap();
        let has = |name| is_in_hosts_file(name, file.path());
        assert!(has("mirror.inhouse") && has("m") && has("localhost"));
        assert!(!has("mirror.example") && !has("off") && !has("10.0.0.1") && !has("inhouse"));
        assert!(!is_in_hosts_file("m", Path::new("/nonexistent")));
    }

    #[tokio::test]
    async fn the_guests_own_network_hides_ours() {
        let of = async |url: &str, network| of_host(&Url::parse(url).unwrap(), network).await;
        let usual = Some(UserNetwork::USUAL);
        assert_eq!(
            of("http://10.0.2.50/", usual).await,
            Some(Obstacle::OwnNetwork)
        );
        assert_eq!(of("http://10.0.2.2/", usual).await, None);
        assert_eq!(of("http://10.0.3.50/", usual).await, None);
        assert_eq!(of("http://10.0.2.50/", None).await, None);
    }

    #[test]
    fn what_is_relayed() {
        let of = Reach::of;
        let obstacle = Some(Obstacle::Name);
        assert_eq!(of(None, Relay::Auto), Reach::Direct);
        assert_eq!(of(None, Relay::Never), Reach::Direct);
        assert_eq!(of(None, Relay::Always), Reach::Relayed(Obstacle::Unwanted));
        assert_eq!(of(obstacle, Relay::Always), Reach::Relayed(Obstacle::Name));
        assert_eq!(of(obstacle, Relay::Auto), Reach::Relayed(Obstacle::Name));
        assert_eq!(of(obstacle, Relay::Never), Reach::Blocked(Obstacle::Name));
    }
}
