//! The HTTP client: trust, client certificates, proxies, redirects, and what its errors mean.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use openssl::pkey::PKey;
use reqwest::{Certificate, Client, Identity, StatusCode, redirect};
use url::Url;

use super::fault::Fault;
use super::location::shown;
use crate::error::{Classify, Kind};

/// Redirects that are followed: curl's default is 50, browsers' 20; mirror networks need 2 or 3.
pub(super) const MAX_REDIRECTS: usize = 10;

/// How long to wait, and how often to try again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// For a TCP and TLS connection. 15 s: three lost SYN packets (1 + 2 + 4 s) and a slow
    /// handshake still pass.
    pub connect: Duration,
    /// For the next bytes of a head or body. 60 s: the time after which dnf gives up on a slow
    /// mirror is 30 s; caching proxies that fetch a file first take longer.
    pub idle: Duration,
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
}

/// Makes the client for downloads, which follows redirects within one scheme.
///
/// # Errors
/// As for [`build_with`].
pub(super) fn build(credentials: &Credentials, patience: &RetryPolicy) -> anyhow::Result<Client> {
    build_with(credentials, patience, redirect::Policy::custom(follow))
}

/// Makes a client. Proxies come from `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`.
///
/// # Errors
/// A certificate or key that cannot be read ([`Kind::Input`]).
pub(super) fn build_with(
    credentials: &Credentials,
    patience: &RetryPolicy,
    redirects: redirect::Policy,
) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("ozr/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .read_timeout(patience.idle)
        .redirect(redirects);
    if let Some(path) = &credentials.cacert {
        let authorities = read_authorities(path).kind(Kind::Input)?;
        builder = builder.tls_certs_merge(authorities);
    }
    if let Some(certificate) = &credentials.client_cert {
        let key = credentials.client_key.as_ref().unwrap_or(certificate);
        builder = builder.identity(read_identity(certificate, key).kind(Kind::Input)?);
    } else if credentials.client_key.is_some() {
        return Err(crate::error::failure(
            Kind::Input,
            "a client key was given without its certificate: add --client-cert",
        ));
    }
    builder.build().context("preparing TLS").kind(Kind::Host)
}

fn read_authorities(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem =
        std::fs::read(path).with_context(|| format!("reading certificates {}", path.display()))?;
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
    let chain = std::fs::read(certificate)
        .with_context(|| format!("reading client certificate {}", certificate.display()))?;
    let pem =
        std::fs::read(key).with_context(|| format!("reading client key {}", key.display()))?;
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

/// A redirect that left its scheme.
#[derive(Debug)]
struct SchemeChange {
    from: String,
    to: String,
}

impl fmt::Display for SchemeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} redirects to {}", self.from, self.to)
    }
}

impl StdError for SchemeChange {}

/// Follows redirects within one scheme. Even http to https is refused: the template's author
/// should know, and the guest's installer would follow by rules of its own.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let from = attempt.previous().last().cloned();
    if let Some(from) = from
        && from.scheme() != attempt.url().scheme()
    {
        let change = SchemeChange {
            from: shown(&from),
            to: shown(attempt.url()),
        };
        return attempt.error(change);
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    attempt.follow()
}

/// The fault of a status that is not the one that was hoped for.
pub(super) fn status_fault(url: &Url, status: StatusCode) -> Fault {
    let url = shown(url);
    match status.as_u16() {
        401 | 407 => Fault::Unauthorized { url },
        403 => Fault::Forbidden { url },
        404 | 410 => Fault::NotFound { url },
        408 | 429 | 500..=599 => Fault::Server {
            url,
            status,
            tries: 1,
            retry_after: None,
        },
        _ => Fault::Status { url, status },
    }
}

/// The fault of a request or body that failed.
pub(super) fn request_fault(url: &Url, patience: &RetryPolicy, error: &reqwest::Error) -> Fault {
    let chain = Causes(Some(error));
    if let Some(change) = chain.clone().find_map(|e| e.downcast_ref::<SchemeChange>()) {
        return Fault::Scheme {
            from: change.from.clone(),
            to: change.to.clone(),
        };
    }
    let host = url.host_str().unwrap_or_default().to_string();
    let place = shown(url);
    if error.is_redirect() {
        return Fault::Redirects {
            url: place,
            limit: MAX_REDIRECTS,
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
    if error.is_timeout() {
        let seconds = if error.is_connect() {
            patience.connect
        } else {
            patience.idle
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
        return Fault::Broken {
            url: place,
            reason,
            tries: 1,
        };
    }
    if says("certificate has expired") || says("certificate is not yet valid") {
        return Fault::CertificateTime { url: place, host };
    }
    // The wordings of OpenSSL 1.1.1 and 3.
    if says("local issuer certificate") || says("self-signed cert") || says("self signed cert") {
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
    Fault::Broken {
        url: place,
        reason,
        tries: 1,
    }
}

/// An error and its causes, outermost first.
#[derive(Clone)]
struct Causes<'a>(Option<&'a (dyn StdError + 'static)>);

impl<'a> Iterator for Causes<'a> {
    type Item = &'a (dyn StdError + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let error = self.0.take()?;
        self.0 = error.source();
        Some(error)
    }
}
