//! What can go wrong between a mirror and the cache: one variant and one message per cause.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use thiserror::Error;
use url::Url;

use super::location::shown;
use super::treeinfo::Checksum;
use crate::diagnostic::Diagnostic;
use crate::error::{Classify, Kind};

/// A failed fetch. Addresses in it are already without secrets.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum Fault {
    #[error("the address {url} {reason}")]
    Address { url: String, reason: String },
    #[error(
        "the name of the mirror `{host}` is not known to DNS (for {url}): check the spelling and this host's resolver"
    )]
    Dns { url: String, host: String },
    #[error(
        "the mirror {host} refused the connection (for {url}): nothing listens there; check host and port"
    )]
    Refused { url: String, host: String },
    #[error("cannot connect to the mirror for {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the mirror did not answer for {seconds} s (for {url}{}): try again later or take another mirror", tried(*.tries))]
    Timeout {
        url: String,
        seconds: u64,
        tries: u32,
    },
    #[error(
        "{url} comes too slowly: {got} bytes in {seconds} s, and at least {min_rate} bytes/s are wanted (--min-rate): take another mirror, or try again later"
    )]
    Slow {
        url: String,
        got: u64,
        seconds: u64,
        min_rate: u64,
    },
    #[error(
        "{url} did not come within {} (--download-timeout): take another mirror, or allow more time; what came is kept for the next run", humantime::format_duration(*.limit)
    )]
    TooLong { url: String, limit: Duration },
    #[error(
        "the proxy {proxy} wants a user name and password (407, for {url}): write them into the environment, as http_proxy=http://USER:PASSWORD@HOST:PORT"
    )]
    ProxyAuthorization { url: String, proxy: String },
    #[error(
        "no connection through the proxy {proxy} (for {url}): {reason}; check http_proxy and the like in the environment, or except the mirror with no_proxy"
    )]
    Proxy {
        url: String,
        proxy: String,
        reason: String,
    },
    #[error("the connection to the mirror broke while fetching {url}{}: {reason}", tried(*.tries))]
    Broken {
        url: String,
        reason: String,
        tries: u32,
    },
    #[error(
        "the certificate of {host} has expired or is not valid yet (for {url}): check this host's clock, or tell the mirror's administrator"
    )]
    CertificateTime { url: String, host: String },
    #[error(
        "the certificate of {host} is signed by nobody this host trusts (for {url}): name the signer's certificate with --cacert"
    )]
    UnknownAuthority { url: String, host: String },
    #[error(
        "the certificate of {host} is for another name (for {url}): use the name that the certificate holds"
    )]
    CertificateName { url: String, host: String },
    #[error(
        "the mirror {host} wants a client certificate that it trusts (for {url}): give one with --client-cert and --client-key"
    )]
    ClientCertificate { url: String, host: String },
    #[error("no TLS connection to the mirror for {url}: {reason}")]
    Tls { url: String, reason: String },
    #[error(
        "the mirror wants a user name and password for {url} (401): write them into the address of the template, or use a client certificate"
    )]
    Unauthorized { url: String },
    #[error(
        "the mirror does not give out {url} (403): check the address, or whether it needs a client certificate or subscription"
    )]
    Forbidden { url: String },
    #[error("the mirror has no {url} (404): check the address in the template")]
    NotFound { url: String },
    #[error("the mirror answered {status} for {url}: this is no answer to a download")]
    Status { url: String, status: StatusCode },
    #[error("{who} answered {status} for {url}{}: try again later or take another mirror", tried(*.tries))]
    Server {
        /// The mirror, or the proxy before it.
        who: String,
        url: String,
        status: StatusCode,
        tries: u32,
        /// What the mirror asked for with `Retry-After`.
        retry_after: Option<Duration>,
    },
    #[error("{url} ended after {got}{} bytes, before its end{}: the mirror's file or a proxy is broken; take another mirror, or try again later", of(*.expected), tried(*.tries))]
    Truncated {
        url: String,
        got: u64,
        expected: Option<u64>,
        tries: u32,
    },
    #[error(
        "{url} is a web page, not {what}: a login page or a proxy stands before the mirror, or the address is wrong"
    )]
    WebPage { url: String, what: &'static str },
    #[error(
        "{url} is not {what}: its first bytes are those of something else; check the address in the template"
    )]
    WrongContent { url: String, what: &'static str },
    #[error(
        "{url} comes packed (Content-Encoding: {encoding}), though it was asked for as it is: have the server's administrator send it plain, as the installer needs it"
    )]
    Packed { url: String, encoding: String },
    #[error(
        "the tree {url} changed while it was fetched: the mirror is being updated; try again later"
    )]
    Changed { url: String },
    #[error(
        "{path} lies outside of what may be read: put it below the directory of the template or of the install tree, or allow its own with --file-root", path = .path.display()
    )]
    Outside { path: PathBuf },
    #[error(
        "wrong checksum of {url}: the tree says {expected}, the file has {found}; the mirror is being updated or is broken; try again later or take another mirror"
    )]
    Checksum {
        url: String,
        expected: Checksum,
        found: String,
    },
    #[error(
        "{url} is not as its maker made it: the checksum that is implanted in the image is of another content; it is damaged or was altered, so fetch it anew"
    )]
    Implanted { url: String },
    #[error(
        "wrong checksum of {url}: {list} says {expected}, the image has {found}; it is damaged, was altered, or is another image of that name, so fetch it anew"
    )]
    ListedChecksum {
        url: String,
        list: String,
        expected: Checksum,
        found: String,
    },
    #[error(
        "{url} ends too early: the image says that it has {expected} bytes, and it has {found}; it was not fetched whole, so fetch it anew"
    )]
    ShortImage {
        url: String,
        expected: u64,
        found: u64,
    },
    #[error("{url} {reason}")]
    Disc { url: String, reason: String },
    #[error("{list}, which is to say the checksum, is not signed by a key of {keys}: {reason}")]
    Unsigned {
        list: String,
        keys: String,
        reason: String,
    },
    #[error(
        "no list of checksums that a key of {keys} could have signed lies beside {url}: name it with --checksum"
    )]
    NoList { url: String, keys: String },
    #[error(
        "{url} is not signed by a key of {keys}: {reason}; the mirror is being updated or has another's packages: try again later, or take another mirror"
    )]
    UnsignedRepository {
        url: String,
        keys: String,
        reason: String,
    },
    #[error("{list} has no {kind} of {name}: name the list that has one")]
    NotListed {
        list: String,
        kind: &'static str,
        name: String,
    },
    #[error("{from} redirects to {to}, which is not followed: {reason}")]
    Redirect {
        from: String,
        to: String,
        reason: &'static str,
    },
    #[error("more than {limit} redirects from {url}: the mirror sends in circles")]
    Redirects { url: String, limit: usize },
    #[error("{url} is larger than {limit} bytes, which is too large for {what}")]
    TooLarge {
        url: String,
        limit: u64,
        what: &'static str,
    },
    #[error("{url} is not usable:\n{finding}")]
    TreeInfo {
        url: String,
        finding: Box<Diagnostic>,
    },
    #[error("{path} has no room: {needed} more bytes are needed for {url}; free some, or choose another cache directory", path = .path.display())]
    DiskFull {
        url: String,
        path: PathBuf,
        needed: String,
    },
    #[error("{url} cannot be used: {reason}")]
    Metadata { url: String, reason: String },
    #[error("{url} is an older state of the repository than the last one: this mirror is behind")]
    Outdated { url: String },
    #[error(
        "{url} is not in the cache, and no mirror is asked (--offline): build once without that option"
    )]
    Offline { url: String },
    #[error("{url} is not in {lock}: build without --locked, which writes a new one")]
    NotLocked { url: String, lock: String },
    #[error("{doing} {path}: {error}", path = .path.display())]
    Local {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
}

/// Whether a call failed for want of room.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// " in 5 tries", where there was more than one.
fn tried(tries: u32) -> String {
    match tries {
        0 | 1 => String::new(),
        n => format!(", in {n} tries"),
    }
}

/// " of 1000", where the whole is known.
fn of(whole: Option<u64>) -> String {
    whole.map_or(String::new(), |whole| format!(" of {whole}"))
}

impl Fault {
    /// Whether there is no room for it on this host.
    pub(super) fn is_disk_full(&self) -> bool {
        match self {
            Fault::DiskFull { .. } => true,
            Fault::Local { error, .. } => is_full(error),
            _ => false,
        }
    }

    /// A failed call on a file of this host.
    pub(super) fn local(doing: &'static str, path: &Path, error: io::Error) -> Fault {
        Fault::Local {
            doing,
            path: path.to_path_buf(),
            error,
        }
    }

    /// A failed write of a download; a full disk gets its own message.
    pub(super) fn writing(url: &Url, path: &Path, error: io::Error) -> Fault {
        Fault::writing_to(&shown(url), path, error)
    }

    /// The same, of what has that name.
    pub(super) fn writing_to(name: &str, path: &Path, error: io::Error) -> Fault {
        match is_full(&error) {
            true => Fault::DiskFull {
                url: name.to_owned(),
                path: path.parent().unwrap_or(path).to_path_buf(),
                needed: "some".to_string(),
            },
            false => Fault::local("writing", path, error),
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Fault::Timeout { .. }
                | Fault::Broken { .. }
                | Fault::Server { .. }
                | Fault::Truncated { .. }
        )
    }

    /// Whether it says that nobody could be reached, which a mirror that answered a moment ago
    /// may say while it restarts.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Fault::Dns { .. }
                | Fault::Refused { .. }
                | Fault::Unreachable { .. }
                | Fault::Proxy { .. }
        )
    }

    /// Whether what has come so far is worth keeping for another run.
    pub(super) fn keeps_part(&self) -> bool {
        match self {
            Fault::Truncated { .. } => false,
            Fault::Slow { .. } | Fault::TooLong { .. } => true,
            _ => self.is_transient() || self.is_unreachable(),
        }
    }

    /// Whether the mirror says that there is no such file.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Fault::NotFound { .. } | Fault::NotLocked { .. })
    }

    /// Whether the mirror cannot be asked now, so that what it said before may stand.
    pub(super) fn is_away(&self) -> bool {
        let is_slow = matches!(self, Fault::Slow { .. } | Fault::TooLong { .. });
        let is_offline = matches!(self, Fault::Offline { .. });
        is_slow || is_offline || self.is_transient() || self.is_unreachable()
    }

    /// Notes how often the request was made.
    pub(super) fn after(mut self, count: u32) -> Fault {
        match &mut self {
            Fault::Timeout { tries, .. }
            | Fault::Broken { tries, .. }
            | Fault::Server { tries, .. }
            | Fault::Truncated { tries, .. } => *tries = count,
            _ => {}
        }
        self
    }

    /// What the exit status will say.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::Address { .. }
            | Fault::Outside { .. }
            | Fault::NotListed { .. }
            | Fault::NoList { .. }
            | Fault::Offline { .. }
            | Fault::NotLocked { .. }
            | Fault::Disc { .. } => Kind::Input,
            Fault::DiskFull { .. } | Fault::Local { .. } => Kind::Host,
            _ => Kind::Mirror,
        }
    }

    /// The error for callers that only report it.
    pub fn into_error(self) -> anyhow::Error {
        let kind = self.kind();
        match Err::<(), Fault>(self).kind(kind) {
            Err(error) => error,
            Ok(()) => unreachable!("an error stays one"),
        }
    }
}
