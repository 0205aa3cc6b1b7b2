//! Which addresses the guest gets: the mirror's own, or ones of our server that lead there.

use std::net::ToSocketAddrs;

use url::Url;

use crate::mirror::{Mirror, shown};
use crate::options::Relay;
use crate::serve::Server;
use crate::ui::event::Reporter;

/// Hands the guest addresses that it can reach.
#[derive(Debug, Clone, Copy)]
pub struct Relaying<'a> {
    /// Which go through our server.
    pub relay: Relay,
    /// Our server, if there is one.
    pub server: Option<&'a Server>,
    /// What asks the mirror.
    pub mirror: &'a Mirror,
}

impl Relaying<'_> {
    /// The address at which the guest reaches `url`, which is called `name` in the server's log.
    ///
    /// # Errors
    /// The address is not supported.
    pub fn address(&self, name: &str, url: &Url, reporter: &Reporter) -> anyhow::Result<Url> {
        let obstacle = obstacle(self.mirror, url);
        let reason = match (self.relay, obstacle) {
            (Relay::Always, obstacle) => obstacle.unwrap_or("--relay always"),
            (Relay::Auto, Some(obstacle)) => obstacle,
            (Relay::Auto, None) | (Relay::Never, None) => return Ok(url.clone()),
            (Relay::Never, Some(obstacle)) => {
                reporter.warn(format!(
                    "the guest may not reach {}: {obstacle}, and --relay never keeps ozr from passing it on",
                    shown(url)
                ));
                return Ok(url.clone());
            }
        };
        let Some(server) = self.server else {
            return Ok(url.clone());
        };
        reporter.detail(format!("passing {} on to the guest: {reason}", shown(url)));
        Ok(server.add_relay(name, self.mirror.upstream(url)?))
    }

    /// Whether [`Relaying::address`] would need a server for `url`.
    pub fn wants_server(relay: Relay, mirror: &Mirror, url: &Url) -> bool {
        match relay {
            Relay::Always => true,
            Relay::Auto => obstacle(mirror, url).is_some(),
            Relay::Never => false,
        }
    }
}

/// Why the guest cannot, or must not, ask `url` itself; none if it can.
fn obstacle(mirror: &Mirror, url: &Url) -> Option<&'static str> {
    mirror
        .needs_relay(url)
        .or_else(|| resolves_to_loopback(url).then_some("its name means this host's loopback"))
}

/// A name in /etc/hosts may mean the loopback here, and nothing in the guest.
fn resolves_to_loopback(url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host, port)
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.any(|address| address.ip().is_loopback()))
}
