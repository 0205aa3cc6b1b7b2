//! The HTTP clients: trust, client certificates, proxies, redirects, and what their errors mean.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::Context;
use hyper_util::client::proxy::matcher::Matcher;
use openssl::pkey::PKey;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{
    Certificate, Client, ClientBuilder, Identity, Method, Response, StatusCode, redirect,
};
use url::Url;

use super::fault::Fault;
use super::location::{Scope, shown};
use crate::error::{Classify, Kind, failure};
use crate::input;
use crate::panics::lock;

/// Redirects that are followed: curl's default is 50, browsers' 20; mirror networks need 2 or 3.
const MAX_REDIRECTS: usize = 10;

/// Largest file of certificates or keys, in bytes; the system's own bundle has 0.3 MB.
const MAX_PEM: u64 = 8 << 20;

/// How long to wait, and how often to try again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// For a TCP and TLS connection. 15 s: three lost SYN packets (1 + 2 + 4 s) and a slow
    /// handshake still pass.
    pub connect: Duration,
    /// For the next bytes of a head or body. 60 s: the time after which dnf gives up on a slow
    /// mirror is 30 s; caching proxies that fetch a file first take longer.
    pub idle: Duration,
    /// Bytes per second below which a body that comes is given up (`minrate`, dnf.conf(5)); 0
    /// for any.
    pub min_rate: u64,
    /// Over how long that is measured (`timeout`, dnf.conf(5)).
    pub rate_window: Duration,
    /// For one file, with all tries.
    pub whole: Duration,
    /// How often a download that goes on is told of.
    pub tell_every: Duration,
    /// Requests in a row that may fail before the download fails.
    pub tries: u32,
    /// Pause before the second try; doubled each time, with jitter.
    pub first_pause: Duration,
    /// Longest pause, a server's `Retry-After` included.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            min_rate: 1000,
            rate_window: Duration::from_secs(30),
            // An initrd of 170 MB with 50 KB/s.
            whole: Duration::from_secs(3600),
            // What docs/watching.md promises of plain progress.
            tell_every: Duration::from_secs(30),
            tries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Certificates for mirrors that the system does not trust, or that do not trust everybody.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// PEM file of certificates to trust besides the system's (`--cacert`).
    pub cacert: Option<PathBuf>,
    /// PEM file of our certificate, and its chain (`--client-cert`).
    pub client_cert: Option<PathBuf>,
    /// PEM file of its key (`--client-key`); without it the certificate's file holds both.
    pub client_key: Option<PathBuf>,
    /// The hosts that may ask for it; no other learns who we are.
    pub client_cert_hosts: Vec<String>,
}

/// An answer, after all redirects.
pub(super) struct Answered {
    pub(super) response: Response,
    /// Where those redirects lead that are for good (301, 308), if there are any.
    pub(super) moved: Option<Url>,
}

/// Makes requests and follows redirects. One client for each kind of request: a connection that
/// was made under one set of rules is never used under another.
#[derive(Clone)]
pub(super) struct Clients(Arc<Inner>);

struct Inner {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
    client_cert_hosts: Vec<String>,
    policy: RetryPolicy,
    proxies: Matcher,
    /// Names of the proxies, which may be resolved to whatever address.
    proxy_hosts: Vec<String>,
    made: Mutex<HashMap<(bool, Option<Scope>), Client>>,
    /// The one that trusts the public authorities only; none if TLS cannot do that.
    public: OnceLock<Option<Client>>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    /// Prepares TLS. Proxies come from `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`.
    ///
    /// # Errors
    /// A certificate, key or proxy that cannot be used ([`Kind::Input`]).
    pub(super) fn new(credentials: &Credentials, policy: &RetryPolicy) -> anyhow::Result<Clients> {
        let identity = match (&credentials.client_cert, &credentials.client_key) {
            (Some(certificate), key) => {
                let key = key.as_ref().unwrap_or(certificate);
                Some(read_identity(certificate, key).kind(Kind::Input)?)
            }
            (None, None) => None,
            (None, Some(_)) => {
                let message = "a client key was given without its certificate: add --client-cert";
                return Err(failure(Kind::Input, message));
            }
        };
        let authorities = credentials
            .cacert
            .as_deref()
            .map(read_authorities)
            .transpose();
        let clients = Clients(Arc::new(Inner {
            authorities: authorities.kind(Kind::Input)?.unwrap_or_default(),
            identity,
            client_cert_hosts: credentials.client_cert_hosts.clone(),
            policy: policy.clone(),
            proxies: Matcher::from_env(),
            proxy_hosts: check_proxies().kind(Kind::Input)?,
            made: Mutex::default(),
            public: OnceLock::new(),
        }));
        // What is wrong with TLS is to be said now. It reads all authorities of the system.
        clients
            .client(false, None)
            .context("preparing TLS")
            .kind(Kind::Host)?;
        Ok(clients)
    }

    /// Whether the host of `url` may ask for the client certificate.
    pub(super) fn is_for_certificate(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let meant = |name: &String| name.eq_ignore_ascii_case(host);
        self.0.identity.is_some()
            && url.scheme() == "https"
            && self.0.client_cert_hosts.iter().any(meant)
    }

    /// Whether authorities were named that a guest does not know.
    pub(super) fn has_authorities(&self) -> bool {
        !self.0.authorities.is_empty()
    }

    /// Whether a server's certificate may be signed by a public authority, as every installer
    /// knows them; also where the server does not answer.
    pub(super) async fn has_public_authority(&self, url: &Url) -> bool {
        // Some hundred and fifty certificates, read once for all addresses.
        let client = self.0.public.get_or_init(|| {
            let authorities = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            let public = authorities.filter_map(|der| Certificate::from_der(der).ok());
            self.builder().tls_certs_only(public).build().ok()
        });
        let Some(client) = client else {
            return true;
        };
        match client.head(url.clone()).send().await {
            Ok(_) => true,
            Err(error) => !matches!(self.fault(url, &error), Fault::UnknownAuthority { .. }),
        }
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("ozr/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.0.policy.connect)
            .read_timeout(self.0.policy.idle)
            .redirect(redirect::Policy::none())
    }

    /// The proxy by which `url` is reached, without credentials.
    pub(super) fn proxy(&self, url: &Url) -> Option<String> {
        let intercept = self.0.proxies.intercept(&url.as_str().parse().ok()?)?;
        Some(
            intercept
                .uri()
                .to_string()
                .trim_end_matches('/')
                .to_string(),
        )
    }

    /// Sends a request and follows redirects: from http to https, and from https to http only
    /// where `downgrade` says that somebody checks what comes; from the network never to this
    /// host or its neighbours.
    ///
    /// # Errors
    /// What is wrong with the server, or where it redirects to.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        downgrade: bool,
    ) -> Result<Answered, Fault> {
        let mut at = url.clone();
        let mut from = None;
        let mut moved = None;
        let mut for_good = true;
        for _ in 0..=MAX_REDIRECTS {
            let certificate = self.is_for_certificate(&at);
            let client = self.client(certificate, from).map_err(|error| Fault::Tls {
                url: shown(&at),
                reason: error.to_string(),
            })?;
            let request = client.request(method.clone(), at.clone());
            let sent = request.headers(headers.clone()).send().await;
            let response = sent.map_err(|error| self.fault(&at, &error))?;
            let Some(mut next) = target(&at, &response) else {
                return Ok(Answered { response, moved });
            };
            let refuse = |reason| Fault::Redirect {
                from: shown(&at),
                to: shown(&next),
                reason,
            };
            match next.scheme() {
                "http" if at.scheme() == "https" && !downgrade => return Err(refuse(DOWNGRADE)),
                "http" | "https" => {}
                _ => return Err(refuse("ozr speaks http and https only")),
            }
            let scope = self.scope(&at, &response);
            from = Some(scope);
            if Scope::of_host(&next).is_some_and(|to| !scope.may_send_to(to)) {
                return Err(refuse(INWARDS));
            }
            for_good &= matches!(
                response.status(),
                StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT
            );
            if for_good {
                moved = Some(next.clone());
            }
            if next.origin() == at.origin() && next.username().is_empty() {
                // These fail for addresses without a host, which cannot hold credentials either.
                let _ = next.set_username(at.username());
                let _ = next.set_password(at.password());
            }
            at = next;
        }
        Err(Fault::Redirects {
            url: shown(url),
            limit: MAX_REDIRECTS,
        })
    }

    /// Where the server is that answered. Of one behind a proxy only the name is known.
    fn scope(&self, url: &Url, response: &Response) -> Scope {
        let peer = match self.proxy(url) {
            Some(_) => Scope::of_host(url),
            None => response.remote_addr().map(|peer| Scope::of(peer.ip())),
        };
        peer.unwrap_or(Scope::Global)
    }

    /// The client for requests with or without the certificate, and after a redirect of a server
    /// in that scope.
    fn client(&self, certificate: bool, from: Option<Scope>) -> reqwest::Result<Client> {
        let mut made = lock(&self.0.made);
        if let Some(client) = made.get(&(certificate, from)) {
            return Ok(client.clone());
        }
        let mut builder = self.builder().tls_certs_merge(self.0.authorities.clone());
        if let Some(identity) = self.0.identity.clone().filter(|_| certificate) {
            builder = builder.identity(identity);
        }
        if let Some(from) = from {
            builder = builder.dns_resolver(Outwards {
                from,
                proxies: self.0.proxy_hosts.clone(),
            });
        }
        let client = builder.build()?;
        made.insert((certificate, from), client.clone());
        Ok(client)
    }
}

/// Why a redirect from https to http is not followed.
const DOWNGRADE: &str = "anybody on the way could change what comes by http, and the tree has no checksum for it; write the second address into the template if you trust it";

/// Why a redirect to this host or its neighbours is not followed.
const INWARDS: &str = "that leads from the network to this host, its link or its private network, which a mirror has no business with; write the second address into the template if it is right";

/// Where a redirect leads; none if the answer is none.
fn target(at: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    at.join(response.headers().get(LOCATION)?.to_str().ok()?)
        .ok()
}

/// Resolves names to where a server in some scope may redirect to.
struct Outwards {
    from: Scope,
    proxies: Vec<String>,
}

/// A redirect to a name that stands for an address inside.
#[derive(Debug, thiserror::Error)]
#[error("its name means an address inside")]
struct LeadsInwards;

impl Resolve for Outwards {
    fn resolve(&self, name: Name) -> Resolving {
        let from = self.from;
        let is_proxy = self.proxies.iter().any(|proxy| proxy == name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let outside =
                |address: &SocketAddr| is_proxy || from.may_send_to(Scope::of(address.ip()));
            let addresses: Vec<SocketAddr> = found.filter(outside).collect();
            if addresses.is_empty() {
                return Err(LeadsInwards.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The hosts of all proxies that the environment names.
///
/// # Errors
/// One that cannot be used: without an error, it would be as if it were not there.
fn check_proxies() -> anyhow::Result<Vec<String>> {
    let mut hosts = Vec::new();
    for scheme in ["all", "http", "https"] {
        let names = [
            format!("{}_PROXY", scheme.to_uppercase()),
            format!("{scheme}_proxy"),
        ];
        let Some((name, value)) = names
            .into_iter()
            .find_map(|name| Some((std::env::var(&name).ok()?, name)).map(|(v, n)| (n, v)))
            .filter(|(_, value)| !value.is_empty())
        else {
            continue;
        };
        let matcher = Matcher::builder().all(value.as_str()).build();
        let any = "http://any/".parse().ok();
        let Some(proxy) = any.and_then(|any| matcher.intercept(&any)) else {
            // Its value may hold a password.
            anyhow::bail!(
                "the environment's {name} names no proxy that can be used: write http://HOST:PORT or socks5://HOST:PORT"
            );
        };
        hosts.extend(
            proxy
                .uri()
                .host()
                .map(|host| host.trim_matches(['[', ']']).to_string()),
        );
    }
    Ok(hosts)
}

fn read_authorities(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = input::read_bounded(path, MAX_PEM)
        .with_context(|| format!("reading certificates {}", path.display()))?;
    let authorities = Certificate::from_pem_bundle(&pem)
        .with_context(|| format!("reading certificates {}", path.display()))?;
    anyhow::ensure!(
        !authorities.is_empty(),
        "{} holds no certificate: it must have a `-----BEGIN CERTIFICATE-----` block",
        path.display()
    );
    Ok(authorities)
}

fn read_identity(certificate: &Path, key: &Path) -> anyhow::Result<Identity> {
    let chain = input::read_bounded(certificate, MAX_PEM)
        .with_context(|| format!("reading client certificate {}", certificate.display()))?;
    let pem = input::read_bounded(key, MAX_PEM)
        .with_context(|| format!("reading client key {}", key.display()))?;
    // Entitlement keys are PKCS#1 ("RSA PRIVATE KEY"); the TLS library takes only PKCS#8.
    // Without the callback OpenSSL would ask for the passphrase on the terminal.
    let key = PKey::private_key_from_pem_callback(&pem, |_| Ok(0)).with_context(|| {
        format!(
            "reading client key {} (a key with a passphrase cannot be used)",
            key.display()
        )
    })?;
    let pkcs8 = key.private_key_to_pem_pkcs8()?;
    Identity::from_pkcs8_pem(&chain, &pkcs8)
        .with_context(|| format!("reading client certificate {}", certificate.display()))
}

impl Clients {
    /// The fault of a request or body that failed.
    pub(super) fn fault(&self, url: &Url, error: &reqwest::Error) -> Fault {
        let host = url.host_str().unwrap_or_default().to_string();
        let place = shown(url);
        let proxy = self.proxy(url);
        let chain = anyhow::Chain::new(error);
        if chain.clone().any(|e| e.is::<LeadsInwards>()) {
            return Fault::Redirect {
                from: "the mirror".to_string(),
                to: place,
                reason: INWARDS,
            };
        }
        // The innermost cause says most; the outer ones repeat the address, with its secrets.
        let reason = chain
            .clone()
            .last()
            .map(ToString::to_string)
            .unwrap_or_default();
        let texts: Vec<String> = chain.clone().skip(1).map(ToString::to_string).collect();
        let says = |needle: &str| texts.iter().any(|text| text.contains(needle));
        if error.is_timeout() && !(error.is_connect() && proxy.is_some()) {
            let seconds = if error.is_connect() {
                self.0.policy.connect
            } else {
                self.0.policy.idle
            };
            return Fault::Timeout {
                url: place,
                seconds: seconds.as_secs(),
                tries: 1,
            };
        }
        // A body that breaks off is a broken connection, whatever OpenSSL calls it.
        let is_broken = !(error.is_connect() || error.is_request()) || says("unexpected eof");
        if is_broken {
            return broken(url, reason);
        }
        if says("certificate has expired") || says("certificate is not yet valid") {
            return Fault::CertificateTime { url: place, host };
        }
        // The wordings of OpenSSL 1.1.1 and 3.
        if says("local issuer certificate") || says("self-signed cert") || says("self signed cert")
        {
            return Fault::UnknownAuthority { url: place, host };
        }
        if says("ostname mismatch") || says("IP address mismatch") {
            return Fault::CertificateName { url: place, host };
        }
        // TLS 1.3 says `certificate required`, 1.2 `handshake failure` or `bad certificate`.
        if says("alert certificate required")
            || says("alert bad certificate")
            || says("alert handshake failure")
            || says("alert unknown ca")
        {
            return Fault::ClientCertificate { url: place, host };
        }
        if says("SSL routines") || says("certificate verify failed") {
            return Fault::Tls { url: place, reason };
        }
        if let Some(proxy) = proxy.filter(|_| error.is_connect()) {
            // hyper-util's words: the proxy answered CONNECT with 407, or with another refusal.
            if says("proxy authorization required") {
                return Fault::ProxyAuthorization { url: place, proxy };
            }
            let reason = match says("tunnel error: unsuccessful") {
                true => format!("it makes no connection to {host}"),
                false => reason,
            };
            return Fault::Proxy {
                url: place,
                proxy,
                reason,
            };
        }
        if says("dns error") {
            return Fault::Dns { url: place, host };
        }
        let refused = chain
            .filter_map(|e| e.downcast_ref::<io::Error>())
            .any(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if refused && error.is_connect() {
            let host = match url.port_or_known_default() {
                Some(port) => format!("{host}:{port}"),
                None => host,
            };
            return Fault::Refused { url: place, host };
        }
        if error.is_connect() {
            return Fault::Unreachable { url: place, reason };
        }
        broken(url, reason)
    }
}

/// A connection that broke.
pub(super) fn broken(url: &Url, reason: impl Into<String>) -> Fault {
    Fault::Broken {
        url: shown(url),
        reason: reason.into(),
        tries: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are judged by what they mean when the connection is made.
    #[tokio::test]
    async fn a_redirect_does_not_get_inwards_by_a_name() {
        for (from, allowed) in [
            (Scope::Global, false),
            (Scope::Private, false),
            (Scope::Loopback, true),
        ] {
            for (proxies, allowed) in [(vec![], allowed), (vec!["localhost".into()], true)] {
                let resolver = Outwards { from, proxies };
                let found = resolver.resolve("localhost".parse().unwrap()).await;
                assert_eq!(found.is_ok(), allowed, "{from:?}");
            }
        }
    }
}
