//! A libvirt connection, and starting guests with it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use super::accel::KvmFacts;
use super::connection::Connection;
use super::domain::DomainSpec;
use super::domain_xml::{LOG_PORT, Wiring, installer_xml};
use super::libvirt_events::{
    Guests, Subscription, start_event_loop, unwatch_connection, watch_connection,
};
use super::libvirt_guest::Guest;
use super::libvirt_stream::StreamPort;
use super::life::Life;
use super::marker::{Marker, NAMESPACE};
use super::network::{ServePlace, interface_address, parse_network};
use super::port::Port;
use super::private_root::PrivateRoot;
use super::reaper;
use crate::distro::Arch;
use crate::error::{Classify, Kind, failure};
use crate::machine::{Firmware, Network};

/// Seconds between two signs of life that a daemon is asked for, and how many may stay without
/// an answer: a daemon that hangs is noticed within half a minute.
const KEEPALIVE_SECONDS: i32 = 5;
const KEEPALIVE_COUNT: u32 = 5;
/// Where libvirt's own networks are known when the guest itself runs without a daemon.
const NETWORKS_URI: &str = "qemu+unix:///system";

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
}

/// An open libvirt connection. Its functions block; none takes longer than libvirt does.
pub struct Host {
    connect: Connect,
    connection: Connection,
    runtime_dir: PathBuf,
    root: Option<PrivateRoot>,
    guests: Arc<Guests>,
    /// Guests are created one after the other, see [`reaper::adopting`].
    creating: Mutex<()>,
    /// Guests so far, for names of their sockets.
    started: AtomicU32,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.root.is_none() {
            unwatch_connection(&self.connect);
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

/// A domain that exists already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Whether it runs.
    pub active: bool,
    /// The mark on it if it is ours; another program's or person's without.
    pub marker: Option<Marker>,
}

/// A guest that was created and waits, paused, with both ports connected.
#[derive(Debug)]
pub struct Started {
    /// The guest.
    pub guest: Guest,
    /// What its serial console says.
    pub console: Port,
    /// What anaconda writes to its log port.
    pub log_port: Port,
}

impl Host {
    /// Opens the connection.
    ///
    /// Only one embedded driver can be open in a process, for as long as the process lives; a
    /// second `Host` must use the same runtime directory.
    ///
    /// # Errors
    /// [`Kind::Host`], with what to do about it.
    pub fn open(options: &HostOptions) -> anyhow::Result<Host> {
        start_event_loop().kind(Kind::Host)?;
        let (root, uri) = match &options.connection {
            Connection::Embedded => {
                let root = PrivateRoot::create(&options.runtime_dir, &options.capability_cache)?;
                let uri = root.uri();
                (Some(root), uri)
            }
            Connection::Uri(uri) => (None, uri.clone()),
        };
        let connect = Connect::open(Some(&uri)).map_err(|error| {
            failure(
                Kind::Host,
                cannot_open(&options.connection, error.message()),
            )
        })?;
        let guests = Arc::new(Guests::default());
        if root.is_none() {
            // Drivers without a daemon refuse, and need it as little.
            let _ = connect.set_keep_alive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
            watch_connection(&connect, &guests).kind(Kind::Host)?;
        }
        Ok(Host {
            connect,
            connection: options.connection.clone(),
            runtime_dir: options.runtime_dir.clone(),
            root,
            guests,
            creating: Mutex::new(()),
            started: AtomicU32::new(0),
        })
    }

    /// The connection's URI, as libvirt says it.
    pub fn uri(&self) -> String {
        self.connect.uri().unwrap_or_default()
    }

    /// Whether guests run on this host.
    pub fn is_local(&self) -> bool {
        self.connection.is_local()
    }

    /// The versions of libvirt and QEMU. Takes seconds when libvirt does not know QEMU yet.
    ///
    /// # Errors
    /// [`Kind::Host`] when there is no QEMU.
    pub fn versions(&self) -> anyhow::Result<Versions> {
        let _lock = self.lock_capabilities()?;
        let libvirt = self.connect.lib_version().map_err(host_error)?;
        let qemu = self
            .connect
            .hyp_version()
            .map_err(host_error)
            .context("asking libvirt for QEMU's version (is QEMU installed?)")?;
        Ok(Versions {
            libvirt: version(libvirt),
            qemu: version(qemu),
        })
    }

    /// Whether KVM can run a guest of `arch` on this connection's host.
    pub fn kvm_facts(&self, arch: Arch) -> KvmFacts {
        let mut facts = KvmFacts::probe();
        if self.connection.runs_as_us() {
            return facts;
        }
        // QEMU runs as another user, or elsewhere: only libvirt knows.
        let known =
            self.connect
                .domain_capabilities(None, Some(arch.libvirt_name()), None, Some("kvm"), 0);
        facts.device = known
            .map(drop)
            .map_err(|error| format!("libvirt says of its host: {}", error.message()));
        if !self.is_local() {
            facts.cpu = Ok(());
            facts.host_arch = self
                .connect
                .node_info()
                .map(|node| node.model)
                .unwrap_or_default();
        }
        facts
    }

    /// Looks for a domain.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt does not answer.
    pub fn find(&self, name: &str) -> anyhow::Result<Option<Existing>> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(None);
        };
        Ok(Some(Existing {
            active: domain.is_active().map_err(host_error)?,
            marker: marker(&domain)?,
        }))
    }

    /// Ends and forgets a domain that an earlier build left behind. Nothing to do if there is
    /// none of that name.
    ///
    /// # Errors
    /// [`Kind::Host`] when the domain is not ours, or libvirt refuses.
    pub fn remove_leftover(&self, name: &str) -> anyhow::Result<()> {
        let Some(domain) = self.lookup(name)? else {
            return Ok(());
        };
        if marker(&domain)?.is_none() {
            return Err(failure(
                Kind::Host,
                format!(
                    "the guest `{name}` was not made by ozr and is left alone: build under \
                     another name"
                ),
            ));
        }
        if domain.is_active().map_err(host_error)? {
            domain.destroy().map_err(host_error)?;
        }
        // A transient domain is gone by now.
        if let Some(domain) = self.lookup(name)? {
            domain
                .undefine_flags(sys::VIR_DOMAIN_UNDEFINE_NVRAM)
                .map_err(host_error)?;
        }
        Ok(())
    }

    fn lookup(&self, name: &str) -> anyhow::Result<Option<Domain>> {
        match self.connect.lookup_domain_by_name(name) {
            Ok(domain) => Ok(Some(domain)),
            Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
            Err(error) => Err(host_error(error)),
        }
    }

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

    fn libvirt_network(&self, name: &str) -> anyhow::Result<super::network::NetworkFacts> {
        let daemon = if self.connection.runs_as_us() {
            let daemon = Connect::open_read_only(Some(NETWORKS_URI)).map_err(|error| {
                failure(
                    Kind::Host,
                    format!(
                        "libvirt's network `{name}` is known to the system's libvirt daemon, \
                         which does not answer ({}): start it, or use --network user",
                        error.message()
                    ),
                )
            })?;
            Some(daemon)
        } else {
            None
        };
        let connect = daemon.as_ref().unwrap_or(&self.connect);
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

    /// Creates a guest, paused, with its console and log port connected. It does not run before
    /// [`Guest::resume`]. `keep` leaves it running when the [`Guest`] is dropped; otherwise it is
    /// ended then, and a daemon also ends it when this process is killed (the embedded driver
    /// cannot).
    ///
    /// # Errors
    /// [`Kind::Host`] when the guest cannot be created; nothing is left of it then.
    pub fn start(&self, spec: &DomainSpec, keep: bool) -> anyhow::Result<Started> {
        self.check(spec)?;
        let network = self.reachable_network(&spec.network)?;
        let spec = DomainSpec {
            network,
            ..spec.clone()
        };
        let wiring = self.wiring();
        let xml = installer_xml(&spec, &wiring, &Marker::new(&spec.build_id));
        let life = Arc::new(Life::new());
        let domain = self.create(&spec, &xml, keep, &life)?;
        self.guests.add(&life);
        let attached = self.attach(&domain, &spec, &wiring, &life);
        let (subscription, console, log_port) = match attached {
            Ok(parts) => parts,
            Err(error) => {
                // The guest is useless; why it could not be used is what matters.
                let _ = domain.destroy();
                return Err(error).kind(Kind::Host);
            }
        };
        Ok(Started {
            guest: Guest::new(
                self.connect.clone(),
                domain,
                life,
                subscription,
                &spec,
                keep,
                self.root.as_ref().map(|root| root.qemu_log(&spec.name)),
            ),
            console,
            log_port,
        })
    }

    fn create(
        &self,
        spec: &DomainSpec,
        xml: &str,
        keep: bool,
        life: &Arc<Life>,
    ) -> anyhow::Result<Domain> {
        let _one = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = self.lock_capabilities()?;
        // Teaches libvirt about QEMU now, before it is adopted.
        self.connect
            .domain_capabilities(
                None,
                Some(spec.arch.libvirt_name()),
                None,
                Some(spec.accel.domain_type()),
                0,
            )
            .map_err(|error| {
                failure(
                    Kind::Host,
                    format!(
                        "libvirt finds no QEMU for {} guests with {} here ({}): install \
                         qemu-system-{} or qemu-kvm",
                        spec.arch,
                        spec.accel,
                        error.message(),
                        spec.arch,
                    ),
                )
            })?;
        drop(lock);
        let mut flags = sys::VIR_DOMAIN_START_PAUSED;
        // The embedded driver cannot do that ("not supported for embedded drivers yet").
        if !keep && self.root.is_none() {
            flags |= sys::VIR_DOMAIN_START_AUTODESTROY;
        }
        let create = || self.connect.create_domain_xml(xml, flags);
        let domain = match &self.root {
            Some(root) => reaper::adopting(&root.pid_file(&spec.name), life, create),
            None => create(),
        };
        domain.map_err(|error| failure(Kind::Host, self.cannot_create(spec, error.message())))
    }

    fn attach(
        &self,
        domain: &Domain,
        spec: &DomainSpec,
        wiring: &Wiring,
        life: &Arc<Life>,
    ) -> anyhow::Result<(Subscription, Port, Port)> {
        let subscription = Subscription::new(&self.connect, domain, Arc::clone(life))?;
        let console = match &wiring.console_socket {
            Some(socket) => Port::connect(socket),
            None => {
                // A daemon's host may be another one, where our path means nothing.
                let log = self.is_local().then(|| spec.console_log.clone());
                StreamPort::open(&self.connect, log, |stream| {
                    domain.open_console(None, stream, 0)
                })
                .map(Port::stream)
            }
        }
        .context("connecting to the guest's console")?;
        let log_port = match &wiring.log_socket {
            Some(socket) => Port::connect(socket),
            None => StreamPort::open(&self.connect, None, |stream| {
                domain.open_channel(Some(LOG_PORT), stream, 0)
            })
            .map(Port::stream),
        }
        .context("connecting to the guest's log port")?;
        // QEMU answers this after it has accepted both connections, and if it still runs: what
        // ended before the subscription is noticed here.
        domain
            .block_stats(super::domain::first_device(spec.disk.bus))
            .map_err(host_error)
            .context("asking the new guest's QEMU for a sign of life")?;
        Ok((subscription, console, log_port))
    }

    fn lock_capabilities(&self) -> anyhow::Result<Option<File>> {
        self.root
            .as_ref()
            .map(PrivateRoot::lock_capabilities)
            .transpose()
    }

    fn wiring(&self) -> Wiring {
        if !self.connection.runs_as_us() {
            // Paths of ours mean nothing to another user's or host's QEMU. With a daemon of this
            // host, QEMU runs as the user who runs us, so that it reads what we can read and
            // nothing changes hands; as root, it keeps libvirt's own unprivileged user.
            let user = rustix::process::getuid();
            let group = rustix::process::getgid();
            return Wiring {
                run_as: (self.is_local() && !user.is_root())
                    .then(|| (user.as_raw(), group.as_raw())),
                ..Wiring::default()
            };
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        // libvirt's own paths are too long below most runtime directories.
        Wiring {
            console_socket: Some(self.runtime_dir.join(format!("con{number}"))),
            log_socket: Some(self.runtime_dir.join(format!("log{number}"))),
            vnc_socket: Some(self.runtime_dir.join(format!("vnc{number}"))),
            run_as: None,
        }
    }

    /// Without root's daemon in between, a guest is plugged into a libvirt network's bridge.
    fn reachable_network(&self, network: &Network) -> anyhow::Result<Network> {
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

    /// Finds what is wrong before libvirt says it less well.
    fn check(&self, spec: &DomainSpec) -> anyhow::Result<()> {
        let mut files = vec![("disk", &spec.disk.path)];
        if let Some(boot) = &spec.boot {
            files.push(("kernel", &boot.kernel));
            files.push(("initrd", &boot.initrd));
        }
        for path in files
            .iter()
            .map(|(_, path)| *path)
            .chain([&spec.console_log])
        {
            let sayable = path
                .to_str()
                .is_some_and(|path| !path.chars().any(char::is_control));
            if !sayable || !path.is_absolute() {
                return Err(failure(
                    Kind::Host,
                    format!(
                        "libvirt cannot be told the path {path:?}: it must be absolute, UTF-8, \
                         and without control characters"
                    ),
                ));
            }
        }
        if !self.is_local() {
            return Ok(());
        }
        for (what, path) in files {
            File::open(path)
                .with_context(|| format!("opening the guest's {what} {}", path.display()))
                .kind(Kind::Host)?;
        }
        // A daemon would create it as root's, which we then could not read.
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&spec.console_log)
            .with_context(|| format!("creating {}", spec.console_log.display()))
            .kind(Kind::Host)?;
        if let Some(existing) = self.find(&spec.name)? {
            let whose = match existing.marker {
                Some(marker) => format!(
                    "a build of ozr made it (process {}); if that is over, -p removes it",
                    marker.pid
                ),
                None => "it is not ozr's, so build under another name".to_owned(),
            };
            return Err(failure(
                Kind::Host,
                format!("there is a guest `{}` already: {whose}", spec.name),
            ));
        }
        Ok(())
    }

    fn cannot_create(&self, spec: &DomainSpec, message: &str) -> String {
        let mut text = format!("libvirt cannot create the guest: {message}");
        let denied = message.contains("Permission denied");
        if denied && !self.connection.runs_as_us() {
            let mut paths = vec![spec.disk.path.as_path()];
            if let Some(boot) = &spec.boot {
                paths.extend([boot.kernel.as_path(), boot.initrd.as_path()]);
            }
            match paths.into_iter().find_map(closed_directory) {
                Some(directory) => text.push_str(&format!(
                    "; libvirt's QEMU runs as another user, to whom {} is closed: use another \
                     --output-dir, make it searchable (chmod o+x), or do without --connect",
                    directory.display()
                )),
                None => text.push_str(
                    "; libvirt's QEMU runs as another user: make the files readable to it, or do \
                     without --connect",
                ),
            }
        } else if spec.firmware == Firmware::Uefi && message.contains("firmware") {
            text.push_str("; install UEFI firmware (packages ovmf or edk2-ovmf)");
        } else if denied && matches!(spec.network, Network::Bridge(_) | Network::Libvirt(_)) {
            text.push_str(
                "; an ordinary user needs QEMU's bridge helper, and the bridge in \
                 /etc/qemu/bridge.conf: or use --network user",
            );
        }
        text
    }
}

/// The first directory on the way to `path` that not everybody may search.
fn closed_directory(path: &Path) -> Option<PathBuf> {
    /// Search permission for others.
    const SEARCH: u32 = 0o001;
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    parents.reverse();
    parents
        .into_iter()
        .find(|directory| {
            directory
                .metadata()
                .is_ok_and(|data| data.is_dir() && data.permissions().mode() & SEARCH == 0)
        })
        .map(Path::to_owned)
}

/// The mark on a domain, if it is ours.
fn marker(domain: &Domain) -> anyhow::Result<Option<Marker>> {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
    match domain.metadata(kind, Some(NAMESPACE), 0) {
        Ok(xml) => Marker::parse(&xml).map(Some).kind(Kind::Host),
        Err(error) if error.code().is(ErrorNumber::NoDomainMetadata) => Ok(None),
        // It ended between being found and being asked.
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(host_error(error)),
    }
}

/// libvirt's words without the numbers that `virt` adds.
pub(super) fn host_error(error: virt::error::Error) -> anyhow::Error {
    failure(Kind::Host, format!("libvirt: {}", error.message()))
}

fn cannot_open(connection: &Connection, message: &str) -> String {
    match connection {
        Connection::Embedded => {
            // The driver keeps a little state outside of its root, where XDG says.
            let remedy = if message.contains("Failed to create") {
                "HOME must be a directory that you may write, or XDG_RUNTIME_DIR be set"
            } else {
                "install libvirt-daemon-driver-qemu"
            };
            format!("libvirt's QEMU driver cannot be started ({message}): {remedy}")
        }
        Connection::Uri(uri) => {
            let remedy = if message.contains("polkit") || message.contains("denied") {
                "join the group `libvirt`, or do without --connect"
            } else if message.contains("No such file") || message.contains("refused") {
                "start the libvirt daemon (libvirtd or virtqemud), or do without --connect"
            } else {
                "check the URI with `virsh -c URI uri`, or do without --connect"
            };
            format!("libvirt at {uri} cannot be used ({message}): {remedy}")
        }
    }
}

/// libvirt counts versions as major * 1,000,000 + minor * 1,000 + release.
fn version(number: u32) -> String {
    format!(
        "{}.{}.{}",
        number / 1_000_000,
        number / 1_000 % 1_000,
        number % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_people_write_them() {
        assert_eq!(version(9_000_000), "9.0.0");
        assert_eq!(version(10_000_002), "10.0.2");
        assert_eq!(version(8_005_001), "8.5.1");
    }

    #[test]
    fn the_directory_that_is_closed_to_others_is_found() {
        let base = tempfile::tempdir().unwrap();
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(base.path(), private).unwrap();
        let found = closed_directory(&base.path().join("a/b")).unwrap();
        assert!(base.path().starts_with(&found), "{}", found.display());
        assert_eq!(closed_directory(Path::new("/etc/passwd")), None);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let uri = Connection::Uri("qemu:///system".to_owned());
        let cases = [
            (
                "Failed to connect socket to '/x': No such file or directory",
                "start the libvirt",
            ),
            (
                "authentication unavailable: no polkit agent available",
                "group `libvirt`",
            ),
            (
                "no connection driver available for foo:///",
                "check the URI",
            ),
        ];
        for (message, remedy) in cases {
            let text = cannot_open(&uri, message);
            assert!(text.contains(remedy) && text.contains(message), "{text}");
        }
    }
}
