//! Creating a guest, with its console and log port connected.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use virt::domain::Domain;
use virt::sys;

use super::events::Subscription;
use super::guest::{Guest, Observer};
use super::stream::{Port, StreamPort};
use super::{Host, host_error};
use crate::error::{Classify, Kind, fail, failure};
use crate::host::domain::{DomainSpec, target_device};
use crate::host::domain_xml::{LOG_PORT, Wiring, installer_xml, loaded_xml};
use crate::host::guest::{GuestPaths, GuestSockets, SavedGuest, Started};
use crate::host::life::Life;
use crate::host::marker::Marker;
use crate::host::network::user_network;
use crate::host::private_root::QEMU_SOCKETS;
use crate::host::qemu_process;
use crate::host::qemu_user::FileGrants;
use crate::host::qemu_user::QemuUser;
use crate::machine::Firmware;

/// A guest as it is told to libvirt.
struct Wired {
    spec: DomainSpec,
    /// Whom QEMU runs as.
    user: Option<QemuUser>,
    /// Why that is root, if it is.
    warning: Option<String>,
    wiring: Wiring,
}

impl Host {
    /// Creates a guest, paused, with its console and log port connected. It does not run before
    /// [`Guest::resume`]. `keep` leaves it running when the [`Guest`] is dropped; otherwise it is
    /// ended then, and a daemon also ends it when this process is killed (the embedded driver
    /// cannot).
    ///
    /// # Errors
    /// [`Kind::Host`] when the guest cannot be created; nothing is left of it then.
    pub fn start(&self, spec: &DomainSpec, keep: bool) -> anyhow::Result<Started> {
        self.begin(spec, keep, None)
    }

    /// Loads the state of a guest, saved by [`Guest::save`], which is then as [`Host::start`] leaves one, but
    /// without disks: [`Guest::plug_in`]. `spec` must be of the same guest but for its files and sockets; its name is
    /// that of the state. Only with the embedded driver: one daemon knows one guest of a name.
    ///
    /// # Errors
    /// [`Kind::Host`] when libvirt or QEMU cannot load it; nothing is left of it then.
    pub fn load(&self, spec: &DomainSpec, saved: &SavedGuest) -> anyhow::Result<Started> {
        self.begin(spec, false, Some(saved))
    }

    fn begin(
        &self,
        spec: &DomainSpec,
        keep: bool,
        saved: Option<&SavedGuest>,
    ) -> anyhow::Result<Started> {
        let Wired {
            spec,
            user,
            warning,
            wiring,
        } = self.wired(spec)?;
        let paths = paths(&spec, &wiring);
        let lent = match user {
            Some(user) => FileGrants::lend(&spec.files(), user).kind(Kind::Host)?,
            None => FileGrants::default(),
        };
        let marker = Marker::new(&spec.build_id, keep);
        let life = Arc::new(Life::new());
        let domain = match saved {
            None => {
                let xml = installer_xml(&spec, &wiring, &marker);
                self.create(&spec, &xml, keep, &life)?
            }
            Some(saved) => self.restore(saved, &paths, &marker, &life)?,
        };
        self.guests.add(&life);
        let attached = self.attach(&domain, &spec, &wiring, &life);
        let (subscription, console, log_port, handover) = match attached {
            Ok(parts) => parts,
            Err(error) => {
                // The guest is useless; why it could not be used is what matters.
                let _ = domain.destroy();
                return Err(error).kind(Kind::Host);
            }
        };
        let disks = spec.disks().enumerate();
        let disks = disks.filter(|_| saved.is_some() || !spec.handover);
        let disks = disks.map(|(number, disk)| target_device(disk.bus, number));
        let disks = disks.collect();
        let guest = Guest {
            life,
            _subscription: subscription,
            uri: self.uri(),
            name: spec.name,
            build_id: spec.build_id,
            observer: Observer {
                connect: self.connect.clone(),
                domain,
                disks,
                mac: spec.mac.to_string(),
            },
            sockets: GuestSockets {
                console: wiring.console_socket,
                screen: wiring.vnc_socket,
            },
            paths,
            left: AtomicBool::new(keep),
            survived: Arc::default(),
            lent,
        };
        Ok(Started {
            guest,
            console,
            log_port,
            handover,
            warning,
        })
    }

    /// Makes a domain of a saved state, paused.
    fn restore(
        &self,
        saved: &SavedGuest,
        paths: &GuestPaths,
        marker: &Marker,
        life: &Arc<Life>,
    ) -> anyhow::Result<Domain> {
        let Some(root) = &self.root else {
            fail!(
                Kind::Host,
                "a saved guest is loaded by libvirt's embedded driver only"
            );
        };
        let file = saved.file.to_string_lossy();
        let xml = self.connect.save_image_xml_desc(&file, 0);
        let xml = xml.map_err(host_error).context("reading a saved guest")?;
        let before = saved.paths.0.iter();
        let moved = before.filter_map(|(what, before)| Some((&**before, &**paths.0.get(what)?)));
        let xml = loaded_xml(&xml, &moved.collect::<Vec<_>>(), marker);
        let flags = sys::VIR_DOMAIN_SAVE_PAUSED;
        let load = || {
            self.connect
                .restore_domain_flags(&file, Some(&xml), flags)?;
            self.connect.lookup_domain_by_name(&saved.name)
        };
        let pid_file = root.pid_file(&saved.name);
        let loaded = qemu_process::adopting(root, &pid_file, life, load);
        loaded.map_err(host_error).context("loading a saved guest")
    }

    /// The libvirt XML of the guest that [`Host::start`] would create.
    ///
    /// # Errors
    /// [`Kind::Host`] when it cannot be told to libvirt.
    pub fn xml_of(&self, spec: &DomainSpec) -> anyhow::Result<String> {
        let Wired { spec, wiring, .. } = self.wired(spec)?;
        Ok(installer_xml(
            &spec,
            &wiring,
            &Marker::new(&spec.build_id, false),
        ))
    }

    /// A guest as it is told to libvirt.
    fn wired(&self, spec: &DomainSpec) -> anyhow::Result<Wired> {
        self.check(spec)?;
        let mut spec = self.as_there(spec)?;
        spec.network = self.reachable_network(&spec.network)?;
        for nic in &mut spec.more_nics {
            nic.network = self.reachable_network(&nic.network)?;
        }
        let (user, warning) = self.qemu_user_for(&spec);
        let wiring = self.wiring(&spec, user)?;
        Ok(Wired {
            spec,
            user,
            warning,
            wiring,
        })
    }

    /// The same guest with its files as they are called where it runs.
    fn as_there(&self, spec: &DomainSpec) -> anyhow::Result<DomainSpec> {
        let Some(store) = &self.store else {
            return Ok(spec.clone());
        };
        store.place()?;
        let renamed = |file: &Path| store.renamed(&spec.build_id, file);
        Ok(spec.with_files(|file| renamed(file).unwrap_or_default()))
    }

    fn create(
        &self,
        spec: &DomainSpec,
        xml: &str,
        keep: bool,
        life: &Arc<Life>,
    ) -> anyhow::Result<Domain> {
        let lock = self.lock_capabilities()?;
        // Teaches libvirt about QEMU now, while nobody else does.
        let learn = || {
            let (arch, kind) = (spec.arch.libvirt_name(), spec.accel.domain_type());
            self.connect
                .domain_capabilities(None, Some(arch), None, Some(kind), 0)
        };
        let known = match &self.root {
            Some(root) => qemu_process::learning(root, learn),
            None => learn(),
        };
        if let Err(error) = known {
            fail!(
                Kind::Host,
                "libvirt finds no QEMU for {0} guests with {1} here ({2}): install \
                 qemu-system-{0} or qemu-kvm",
                spec.arch,
                spec.accel,
                error.message()
            );
        }
        drop(lock);
        let mut flags = sys::VIR_DOMAIN_START_PAUSED;
        // The embedded driver cannot do that ("not supported for embedded drivers yet").
        if !keep && self.root.is_none() {
            flags |= sys::VIR_DOMAIN_START_AUTODESTROY;
        }
        let create = || self.connect.create_domain_xml(xml, flags);
        let domain = match &self.root {
            Some(root) => qemu_process::adopting(root, &root.pid_file(&spec.name), life, create),
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
    ) -> anyhow::Result<(Subscription, Port, Port, Option<Port>)> {
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
        let handover = wiring.handover_socket.as_ref().filter(|_| spec.handover);
        let handover = handover
            .map(|socket| Port::connect(socket))
            .transpose()
            .context("connecting to the guest's port for its kickstart")?;
        if spec.handover {
            // It has no disk yet. That its CPUs are started is the sign of its life.
            return Ok((subscription, console, log_port, handover));
        }
        // QEMU answers this after it has accepted both connections, and if it still runs: what
        // ended before the subscription is noticed here.
        domain
            .block_stats(&target_device(spec.disk.bus, 0))
            .map_err(host_error)
            .context("asking the new guest's QEMU for a sign of life")?;
        Ok((subscription, console, log_port, handover))
    }

    fn wiring(&self, spec: &DomainSpec, user: Option<QemuUser>) -> anyhow::Result<Wiring> {
        let mut wiring = Wiring {
            run_as: user,
            // Where libvirt would put it, it would outlive a transient guest.
            nvram: Some(match &self.store {
                Some(store) if spec.firmware == Firmware::Uefi => store.nvram(&spec.build_id)?,
                _ => spec.disk.path.with_file_name("nvram.fd"),
            }),
            elsewhere: !self.is_local(),
            user_network: Some(user_network()),
            ..Wiring::default()
        };
        // Sockets of ours mean nothing to another user's or host's QEMU.
        if self.connection.runs_as_us() {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            let dir = &self.runtime_dir;
            // A user's daemon runs QEMU as us.
            let screens = self
                .root
                .as_ref()
                .map_or(dir.clone(), |_| dir.join(QEMU_SOCKETS));
            // libvirt's own paths are too long below most runtime directories.
            wiring.console_socket = Some(dir.join(format!("con{number}")));
            wiring.log_socket = Some(dir.join(format!("log{number}")));
            wiring.handover_socket = Some(dir.join(format!("ks{number}")));
            wiring.agent_socket = Some(dir.join(format!("qga{number}")));
            wiring.vnc_socket = Some(screens.join(format!("vnc{number}")));
        }
        Ok(wiring)
    }
}

/// What a guest's files and sockets are.
fn paths(spec: &DomainSpec, wiring: &Wiring) -> GuestPaths {
    let boot = spec.boot.as_ref();
    let all = [
        ("kernel", boot.map(|boot| &boot.kernel)),
        ("initrd", boot.map(|boot| &boot.initrd)),
        ("console-log", Some(&spec.console_log)),
        ("console", wiring.console_socket.as_ref()),
        ("log", wiring.log_socket.as_ref()),
        ("handover", wiring.handover_socket.as_ref()),
        ("screen", wiring.vnc_socket.as_ref()),
        ("nvram", wiring.nvram.as_ref()),
    ];
    let known = all.into_iter();
    let known = known.filter_map(|(what, path)| Some((what.to_owned(), path?.clone())));
    GuestPaths(known.collect())
}
