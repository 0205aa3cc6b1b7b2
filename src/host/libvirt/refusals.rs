//! Why libvirt or QEMU refuses, found beforehand or explained afterwards, and what to do about it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use super::Host;
use crate::error::{Classify, Kind, fail};
use crate::host::connection::Connection;
use crate::host::domain::DomainSpec;
use crate::host::probe::Accel;
use crate::host::qemu_user::QemuUser;
use crate::machine::{Firmware, Network};

/// What emulates a TPM, and what makes its first state (libvirt 9.0, `virtpm.c`).
const SWTPM: [&str; 2] = ["swtpm", "swtpm_setup"];

/// The first of these programs that is nowhere in the path.
fn missing_program<'a>(names: &[&'a str]) -> Option<&'a str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    names.iter().find(|name| !there(name)).copied()
}

impl Host {
    /// Finds what is wrong before libvirt says it less well.
    pub(super) fn check(&self, spec: &DomainSpec) -> anyhow::Result<()> {
        let mut files: Vec<_> = spec.disks().map(|disk| ("disk", &disk.path)).collect();
        if let Some(own) = spec.own_firmware() {
            files.push(("UEFI program", &own.code));
            files.push(("UEFI variables", &own.vars));
        }
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
                fail!(
                    Kind::Host,
                    "libvirt cannot be told the path {path:?}: it must be absolute, UTF-8, \
                         and without control characters"
                );
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
        if spec.board.tpm
            && let Some(missing) = missing_program(&SWTPM)
        {
            fail!(
                Kind::Host,
                "the guest is to have a TPM, and there is no {missing} here, which is one: install swtpm and \
                 swtpm-tools, or leave out --tpm"
            );
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
        Ok(())
    }

    pub(super) fn cannot_create(&self, spec: &DomainSpec, message: &str) -> String {
        let mut text = format!("libvirt cannot create the guest: {message}");
        let denied = message.contains("Permission denied");
        let closed = self.qemu_user.filter(|_| denied);
        if let Some(closed) = closed.and_then(|user| closed_to(spec, user)) {
            return format!("libvirt cannot create the guest: {closed}, or do without --connect");
        }
        if denied && !self.is_local() {
            text.push_str("; QEMU may be confined there: see that host's audit log, or use another --storage-pool");
        } else if denied && !self.connection.runs_as_us() {
            text.push_str(
                "; libvirt's QEMU runs as another user and may be confined: see its host's audit \
                 log, use another --output-dir and --cache-dir, or do without --connect",
            );
        } else if spec.is_secure() && message.contains("firmware") {
            text.push_str(
                "; install UEFI firmware with Secure Boot and enrolled keys (packages ovmf or edk2-ovmf), or \
                 name it with --firmware-code and --firmware-vars",
            );
        } else if spec.firmware == Firmware::Uefi && message.contains("firmware") {
            text.push_str("; install UEFI firmware (packages ovmf or edk2-ovmf)");
        } else if denied && spec.nics().any(|nic| nic.network != Network::User) {
            text.push_str(
                "; an ordinary user needs QEMU's bridge helper, and the bridge in \
                 /etc/qemu/bridge.conf: or use --network user",
            );
        }
        text
    }
}

impl Host {
    /// Whom a guest's QEMU runs as, where it is not us whom libvirt would take. Root's own driver runs
    /// it as root where the unprivileged user cannot come to what the guest needs, for to open that is
    /// the admin's decision; then also why, in one sentence.
    pub(super) fn qemu_user_for(&self, spec: &DomainSpec) -> (Option<QemuUser>, Option<String>) {
        let Some(user) = self.qemu_user.filter(|_| self.root.is_some()) else {
            return (self.qemu_user, None);
        };
        let kvm = Path::new("/dev/kvm");
        let closed = if spec.accel == Accel::Kvm && !user.may_write(kvm) {
            let uid = user.uid;
            Some(format!(
                "/dev/kvm is closed to the user {uid} whom QEMU is to run as: open it to that user (group kvm)"
            ))
        } else {
            closed_to(spec, user)
        };
        match closed {
            None => (Some(user), None),
            Some(closed) => {
                let warning = format!("QEMU runs as root, because {closed}");
                (Some(QemuUser::ourselves()), Some(warning))
            }
        }
    }
}

/// What keeps QEMU's user from a guest's files, and what to do about it: the first directory or shared
/// file that it may not pass or read. What is beside the disk is lent.
fn closed_to(spec: &DomainSpec, user: QemuUser) -> Option<String> {
    let files = spec.files();
    let directory = files.iter().find_map(|file| user.closed_directory(file));
    let own = spec.disk.path.parent();
    let mut shared = files.iter().filter(|file| file.parent() != own);
    let (closed, mode) = match directory {
        Some(directory) => (directory, "o+x"),
        None => {
            let file = shared.find(|file| !user.may_read(file))?;
            (file.to_path_buf(), "o+r")
        }
    };
    Some(format!(
        "{0} is closed to the user {1} whom QEMU is to run as: open it (chmod {mode} {0}), or use another --output-dir or --cache-dir",
        closed.display(),
        user.uid
    ))
}

pub(super) fn cannot_open(connection: &Connection, message: &str) -> String {
    match connection {
        Connection::Embedded => {
            // The driver keeps a little state outside of its root, where XDG says.
            let remedy = if message.contains("/run/libvirt/") {
                "/run must be writable (mount a tmpfs there; for a container: --tmpfs /run)"
            } else if message.contains("Failed to create") {
                "HOME must be a directory that you may write, or XDG_RUNTIME_DIR be set"
            } else if message.contains("Failed to parse user") {
                // For root it looks up the user that it was built for, whoever QEMU will run as (libvirt
                // 9.0, `virQEMUDriverConfigNew`); in Debian another package makes that user.
                "install libvirt-daemon-system, which makes that user, or run ozr as an ordinary user"
            } else {
                "install libvirt-daemon-driver-qemu"
            };
            format!("libvirt's QEMU driver cannot be started ({message}): {remedy}")
        }
        Connection::Uri(uri) => {
            let remedy = if !connection.is_local() {
                "see that `virsh -c URI version` works without a question, and that libvirt's daemon runs there"
            } else if message.contains("polkit") || message.contains("denied") {
                "join the group `libvirt`, or do without --connect"
            } else if message.contains("No such file") || message.contains("refused") {
                "start the libvirt daemon (libvirtd or virtqemud), or do without --connect"
            } else if message.contains("no answer") {
                "the libvirt daemon hangs: restart it, or do without --connect"
            } else {
                "check the URI with `virsh -c URI uri`, or do without --connect"
            };
            format!("libvirt at {uri} cannot be used ({message}): {remedy}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let text = "invalid argument: Failed to parse user 'libvirt-qemu'";
        let text = cannot_open(&Connection::Embedded, text);
        assert!(text.contains("as an ordinary user"), "{text}");
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
