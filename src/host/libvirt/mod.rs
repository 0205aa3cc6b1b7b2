//! A libvirt connection: opening it, and what it says of its host.

mod create;
mod events;
mod guest;
mod network;
mod raw;
mod refusals;
mod store;
mod stream;
mod transfer;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use anyhow::Context;
use virt::connect::Connect;
use virt::error::ErrorNumber;

pub use self::events::prepare_environment;
use self::events::{Guests, start_event_loop, watch_connection};
pub use self::guest::{Guest, Observer};
use self::raw::unwatch_close;
use self::refusals::cannot_open;
use self::store::Store;
pub use self::stream::Port;
use crate::blocking;
use crate::distro::Arch;
use crate::error::{Classify, Kind, failed, failure};
use crate::host::carrying::Carrying;
use crate::host::connection::{Connection, HostOptions, Versions};
use crate::host::domain::DomainSpec;
use crate::host::private_root::PrivateRoot;
use crate::host::probe::{Accel, KvmFacts};
use crate::host::qemu_process;
use crate::host::qemu_user::QemuUser;
use crate::state::LockFile;

/// Seconds between two signs of life that a daemon is asked for, and how many may stay without
/// an answer: a daemon that hangs is noticed within half a minute.
const KEEPALIVE_SECONDS: i32 = 5;
const KEEPALIVE_COUNT: u32 = 5;
/// How long a daemon may take to answer at all: signs of life are asked for only afterwards. One
/// that is started by being asked takes seconds, and so does ssh to another host.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// Where libvirt's own networks are known when the guest itself runs without a daemon.
const NETWORKS_URI: &str = "qemu+unix:///system";

/// An open libvirt connection. Its functions block; none takes longer than libvirt does.
pub struct Host {
    connect: Connect,
    connection: Connection,
    runtime_dir: PathBuf,
    root: Option<PrivateRoot>,
    guests: Arc<Guests>,
    /// The daemon that knows libvirt's networks, or why it does not answer; none where the
    /// connection itself is to be asked, or nobody.
    networks: Option<Result<Connect, String>>,
    /// Whom a daemon of this host runs QEMU as, if not as us.
    qemu_user: Option<QemuUser>,
    /// Where the files of guests are, if they run on another host.
    store: Option<Store>,
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
            unwatch_close(&self.connect);
        }
    }
}

/// Whether this build of ozr runs guests: builds with libvirt do.
///
/// # Errors
/// None here; without libvirt, [`Kind::Host`].
pub fn can_run_guests() -> anyhow::Result<()> {
    Ok(())
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
        // First: a process that has the embedded driver passes for a daemon, and reaches no other
        // (libvirt 9.0, `inside_daemon` in its remote driver).
        let networks = (options.libvirt_networks && options.connection.runs_as_us()).then(|| {
            Connect::open_read_only(Some(NETWORKS_URI)).map_err(|error| error.message().to_owned())
        });
        // Root's own driver would run QEMU, which reads what guests send, as root.
        let unprivileged = (options.connection == Connection::Embedded
            && rustix::process::geteuid().is_root())
        .then(QemuUser::unprivileged)
        .flatten();
        let unprivileged = match unprivileged {
            Some(user) if options.tpm => Some(user.of_swtpm().ok_or_else(|| {
                let help = "install swtpm's package, which makes it, or leave out --tpm";
                failed!(
                    Kind::Host,
                    "there is no user tss for swtpm on this host: {help}"
                )
            })?),
            user => user,
        };
        let (root, connect) = match &options.connection {
            Connection::Embedded => {
                let root = PrivateRoot::create(
                    &options.runtime_dir,
                    &options.capability_cache,
                    unprivileged,
                )?;
                let opened = qemu_process::learning(&root, || Connect::open(Some(&root.uri())));
                (
                    Some(root),
                    opened.map_err(|error| error.message().to_owned()),
                )
            }
            Connection::Uri(uri) => {
                let open = connecting(uri);
                let opened = blocking::within_until_stopped(OPEN_PATIENCE, open);
                (None, answered(opened, OPEN_PATIENCE))
            }
        };
        let connect = connect
            .map_err(|message| failure(Kind::Host, cannot_open(&options.connection, &message)))?;
        let guests = Arc::new(Guests::default());
        if root.is_none() {
            watch_connection(&connect, &guests).kind(Kind::Host)?;
        }
        let qemu_user = if options.connection.is_local() && !options.connection.runs_as_us() {
            let capabilities = connect.capabilities().map_err(host_error)?;
            QemuUser::from_capabilities(&capabilities).kind(Kind::Host)?
        } else {
            unprivileged
        };
        let store = (!options.connection.is_local())
            .then(|| Store::new(&connect, options.connection.uri(), options.pool.as_deref()));
        Ok(Host {
            connect,
            store,
            networks,
            qemu_user,
            connection: options.connection.clone(),
            runtime_dir: options.runtime_dir.clone(),
            root,
            guests,
            started: AtomicU32::new(0),
        })
    }

    /// The connection's URI, as libvirt says it.
    pub fn uri(&self) -> String {
        self.connect.uri().unwrap_or_default()
    }

    /// Whose sockets the connections of a guest with user networking are: ours, and those of the
    /// user whom QEMU runs as.
    pub fn users(&self) -> Vec<u32> {
        let us = rustix::process::geteuid().as_raw();
        let qemu = self.qemu_user.map(|user| user.uid);
        std::iter::once(us).chain(qemu).collect()
    }

    /// Whether guests run on this host.
    pub fn is_local(&self) -> bool {
        self.connection.is_local()
    }

    /// The directory of the storage pool that takes the files of guests on another host; none where they run on this one.
    ///
    /// # Errors
    /// [`Kind::Host`] when there is no such pool, or none of files.
    pub fn storage(&self) -> anyhow::Result<Option<PathBuf>> {
        let place = self.store.as_ref().map(Store::place).transpose()?;
        Ok(place.map(Path::to_path_buf))
    }

    /// Brings the files of a guest to the host that it will run on, as far as they are not there. Blocks. Nothing to
    /// do for a guest of this host.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt refuses, or is asked to stop.
    pub fn send_files(&self, spec: &DomainSpec, carrying: &Carrying) -> anyhow::Result<()> {
        match &self.store {
            Some(store) => store.send(&spec.build_id, &spec.files(), carrying),
            None => Ok(()),
        }
    }

    /// Brings what a guest that is gone has written back into the files of its disks. As [`Host::send_files`].
    ///
    /// # Errors
    /// As there.
    pub fn fetch_disks(&self, spec: &DomainSpec, carrying: &Carrying) -> anyhow::Result<()> {
        let disks: Vec<&Path> = spec.disks().map(|disk| disk.path.as_path()).collect();
        match &self.store {
            Some(store) => store.fetch(&spec.build_id, &disks, carrying),
            None => Ok(()),
        }
    }

    /// What a guest takes of this host's memory, in MiB.
    pub fn memory_here(&self, spec: &DomainSpec) -> u64 {
        match self.is_local() {
            true => spec.memory_mib,
            false => 0,
        }
    }

    /// Leaves the files of guests on their host when this value is dropped.
    pub fn keep_files(&self) {
        if let Some(store) = &self.store {
            store.keep();
        }
    }

    /// Tells, also after this value is dropped, whether files of its guests may be left on another host.
    pub fn survival(&self) -> Option<Arc<AtomicBool>> {
        self.store.as_ref().map(Store::survival)
    }

    /// The versions of libvirt and QEMU. Takes seconds when libvirt does not know QEMU yet.
    ///
    /// # Errors
    /// [`Kind::Host`] when there is no QEMU.
    pub fn versions(&self) -> anyhow::Result<Versions> {
        let _lock = self.lock_capabilities()?;
        let libvirt = self.connect.lib_version().map_err(host_error)?;
        let ask = || self.connect.hyp_version();
        let qemu = match &self.root {
            Some(root) => qemu_process::learning(root, ask),
            None => ask(),
        };
        let qemu = qemu
            .map_err(host_error)
            .context("asking libvirt for QEMU's version (is QEMU installed?)")?;
        Ok(Versions {
            libvirt: version(libvirt),
            qemu: version(qemu),
        })
    }

    /// What libvirt makes of a guest of this kind, for whoever asks whether it is still the same: the versions, the
    /// machines and CPUs as QEMU has them on this host, the programs and the firmware with their sizes and times.
    ///
    /// # Errors
    /// [`Kind::Host`] when there is no QEMU for it.
    pub fn fingerprint(&self, arch: Arch, accel: Accel) -> anyhow::Result<String> {
        let versions = self.versions()?;
        let (arch, kind) = (arch.libvirt_name(), accel.domain_type());
        let ask = || {
            self.connect
                .domain_capabilities(None, Some(arch), None, Some(kind), 0)
        };
        let xml = match &self.root {
            Some(root) => qemu_process::learning(root, ask),
            None => ask(),
        };
        let xml = xml.map_err(host_error)?;
        let stamps = xml.split(['<', '>']).filter(|text| text.starts_with('/'));
        let stamps = stamps.filter_map(|path| {
            let file = std::fs::metadata(path).ok()?;
            Some(format!(
                "{path} {} {} {}\n",
                file.size(),
                file.mtime(),
                file.mtime_nsec()
            ))
        });
        let stamps: String = stamps.collect();
        Ok(format!("{versions:?}\n{stamps}{xml}"))
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

    /// Where QEMU's messages about a guest are, if we can know: only with the embedded driver.
    pub fn qemu_log(&self, domain: &str) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.qemu_log(domain))
    }

    fn lock_capabilities(&self) -> anyhow::Result<Option<LockFile>> {
        self.root
            .as_ref()
            .map(PrivateRoot::lock_capabilities)
            .transpose()
    }
}

/// Opens a daemon, or says why not. One that hangs accepts the connection and answers nothing.
fn open_daemon(uri: &str, limit: Duration) -> Result<Connect, String> {
    answered(blocking::within(limit, connecting(uri)), limit)
}

fn connecting(uri: &str) -> impl FnOnce() -> Result<Connect, String> + Send + 'static {
    let uri = uri.to_owned();
    move || Connect::open(Some(&uri)).map_err(|error| error.message().to_owned())
}

fn answered(opened: Option<Result<Connect, String>>, limit: Duration) -> Result<Connect, String> {
    let connect = opened.unwrap_or_else(|| Err(format!("no answer for {} s", limit.as_secs())))?;
    // Drivers without a daemon refuse, and need it as little.
    let _ = connect.set_keep_alive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
    Ok(connect)
}

/// libvirt's words without the numbers that `virt` adds.
fn host_error(error: virt::error::Error) -> anyhow::Error {
    if error.code().is(ErrorNumber::NoDomain) {
        // Its own words are "Domain not found", as if somebody had named one.
        return failed!(
            Kind::Host,
            "the guest has ended, and libvirt has forgotten it ({}): somebody ended it, or QEMU died; libvirt's log of the guest (/var/log/libvirt/qemu) and the host's journal say which, then try again",
            error.message()
        );
    }
    failed!(Kind::Host, "libvirt: {}", error.message())
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
    fn a_guest_that_is_gone_is_told_as_such() {
        // libvirt's own driver for tests: no daemon, no guest.
        let connect = Connect::open(Some("test:///default")).unwrap();
        let error = connect.lookup_domain_by_name("gone").unwrap_err();
        let said = host_error(error).to_string();
        assert!(said.starts_with("the guest has ended"), "{said}");
        let other = Connect::open(Some("nonsense:///")).err().unwrap();
        assert!(host_error(other).to_string().starts_with("libvirt: "));
    }

    #[test]
    fn versions_read_as_people_write_them() {
        assert_eq!(version(9_000_000), "9.0.0");
        assert_eq!(version(10_000_002), "10.0.2");
        assert_eq!(version(8_005_001), "8.5.1");
    }
}
