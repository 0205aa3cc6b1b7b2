//! Which libvirt a build uses, and what opening it takes.

use std::env;
use std::path::PathBuf;

use anyhow::ensure;

/// Where and how to open libvirt.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Which libvirt.
    pub connection: Connection,
    /// A directory of this build alone, mode 0700, for sockets and libvirt's private root. Its
    /// path must be short (46 bytes at most), because paths of unix sockets are. The caller
    /// removes it after the build.
    pub runtime_dir: PathBuf,
    /// A directory for what libvirt learnt about QEMU; shared by all builds of this user.
    pub capability_cache: PathBuf,
    /// Whether a guest will be on a network of libvirt's, which the system's daemon knows.
    pub libvirt_networks: bool,
    /// Whether a guest will have a TPM.
    pub tpm: bool,
    /// The storage pool of another host that takes the guest's files, if not [`DEFAULT_POOL`].
    pub pool: Option<String>,
}

/// The storage pool that libvirt's own tools take when they are told none (`virt-install`).
pub const DEFAULT_POOL: &str = "default";

impl HostOptions {
    /// Of a daemon that is asked for what it has.
    pub fn of_daemon(uri: &str) -> Self {
        HostOptions {
            connection: Connection::Uri(uri.to_owned()),
            // Of the driver in the process itself.
            runtime_dir: "/nonexistent".into(),
            capability_cache: "/nonexistent".into(),
            libvirt_networks: false,
            tpm: false,
            pool: None,
        }
    }
}

/// Versions of what runs guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// libvirt's, of the daemon if there is one: `9.0.0`.
    pub libvirt: String,
    /// QEMU's default binary for this host: `10.0.2`.
    pub qemu: String,
}

/// The environment variable that names libvirt's default connection (libvirt's own rule, see
/// "Default URI choice" in its documentation).
const DEFAULT_URI_VARIABLE: &str = "LIBVIRT_DEFAULT_URI";

/// What `virsh` talks to where nobody says otherwise: as root, and as anybody else (libvirt: `src/qemu/qemu_driver.c`,
/// `qemuConnectURIProbe`).
const SYSTEM_URI: &str = "qemu:///system";
const SESSION_URI: &str = "qemu:///session";

/// A libvirt connection that the user chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// libvirt's QEMU driver inside this process, with a private root: no daemon, no root
    /// rights, nothing shared with other guests of the host.
    Embedded,
    /// A libvirt daemon.
    Uri(String),
}

impl Connection {
    /// The connection for a `--connect` value: that URI, else `LIBVIRT_DEFAULT_URI`, else the
    /// embedded driver. `embedded` names the latter explicitly.
    ///
    /// # Errors
    /// When the value cannot be a libvirt URI.
    pub fn choose(option: Option<&str>) -> anyhow::Result<Self> {
        let variable = env::var(DEFAULT_URI_VARIABLE).ok();
        Self::from_sources(option, variable.as_deref())
    }

    /// The URI of the libvirt whose machines are meant by their names: as [`Connection::choose`] chooses, and
    /// the one that `virsh` takes instead of the embedded driver, which has none.
    ///
    /// # Errors
    /// Those of [`Connection::choose`].
    pub fn of_machines(option: Option<&str>) -> anyhow::Result<String> {
        Ok(match Self::choose(option)? {
            Connection::Uri(uri) => uri,
            Connection::Embedded if rustix::process::geteuid().is_root() => SYSTEM_URI.to_owned(),
            Connection::Embedded => SESSION_URI.to_owned(),
        })
    }

    fn from_sources(option: Option<&str>, variable: Option<&str>) -> anyhow::Result<Self> {
        let Some(uri) = option.or(variable.filter(|uri| !uri.is_empty())) else {
            return Ok(Connection::Embedded);
        };
        if uri == "embedded" {
            return Ok(Connection::Embedded);
        }
        let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
        ensure!(
            !scheme.is_empty() && !rest.is_empty() && !uri.chars().any(char::is_control),
            "`{}` is not a libvirt connection: use a URI such as qemu:///system, or `embedded`",
            uri.escape_debug()
        );
        ensure!(
            !uri.starts_with("qemu:///embed"),
            "`{uri}` is not a connection for --connect: `embedded` is the embedded driver, with a \
             root of its own for each build"
        );
        Ok(Connection::Uri(uri.to_owned()))
    }

    /// The URI, as the user has written it.
    pub fn uri(&self) -> &str {
        match self {
            Connection::Embedded => "embedded",
            Connection::Uri(uri) => uri,
        }
    }

    /// Whether the guest runs on this host: only then do our paths and addresses mean the same to both.
    pub fn is_local(&self) -> bool {
        match self {
            Connection::Embedded => true,
            Connection::Uri(uri) => match url::Url::parse(uri) {
                // `qemu:///x`, `qemu+unix:///x`: no host part.
                Ok(uri) => uri.host_str().is_none_or(str::is_empty),
                Err(_) => false,
            },
        }
    }

    /// Whether QEMU runs as the user who runs us: with the embedded driver and with the user's
    /// own daemon, not with the system's. Root has no daemon of its own: libvirt takes root's
    /// `qemu:///session` for the system's (libvirt 9.0, `doRemoteOpen`).
    pub fn runs_as_us(&self) -> bool {
        self.runs_as(rustix::process::geteuid().is_root())
    }

    fn runs_as(&self, root: bool) -> bool {
        match self {
            Connection::Embedded => true,
            Connection::Uri(uri) => {
                !root
                    && self.is_local()
                    && url::Url::parse(uri).is_ok_and(|parsed| parsed.path() == "/session")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Connection {
        Connection::Uri(text.to_owned())
    }

    #[test]
    fn the_option_then_the_variable_then_embedded() {
        let choose = |option, variable| Connection::from_sources(option, variable).unwrap();
        assert_eq!(choose(None, None), Connection::Embedded);
        assert_eq!(choose(None, Some("")), Connection::Embedded);
        assert_eq!(
            choose(None, Some("qemu:///session")),
            uri("qemu:///session")
        );
        assert_eq!(
            choose(Some("qemu:///system"), Some("qemu:///session")),
            uri("qemu:///system")
        );
        assert_eq!(
            choose(Some("embedded"), Some("qemu:///session")),
            Connection::Embedded
        );
        for refused in [
            "",
            "system",
            ":x",
            "qemu:",
            "qemu:///a\0b",
            "qemu:///embed?root=/x",
        ] {
            assert!(
                Connection::from_sources(Some(refused), None).is_err(),
                "{refused}"
            );
        }
    }

    #[test]
    fn places_and_owners() {
        let cases = [
            ("qemu:///system", true, false),
            ("qemu:///session", true, true),
            ("qemu+unix:///system?socket=/run/x", true, false),
            ("qemu+ssh://root@host.example/system", false, false),
            ("qemu+ssh://host.example/session", false, false),
        ];
        for (text, local, ours) in cases {
            assert_eq!(uri(text).is_local(), local, "{text}");
            assert_eq!(uri(text).runs_as(false), ours, "{text}");
            assert!(!uri(text).runs_as(true), "{text}");
        }
        assert!(Connection::Embedded.is_local() && Connection::Embedded.runs_as(true));
    }
}
