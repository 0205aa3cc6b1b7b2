//! A way from the loopback of a libvirt host to ours, over ssh: by it guests on user networking there reach our server.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use url::Url;

use crate::error::{Kind, fail};
use crate::process;

/// How long ssh may take: as long as libvirt's own connection may.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most that is read of what ssh says, in bytes.
const MOST_SAID: u64 = 4096;

/// What ssh says of the port that the other side has chosen (OpenSSH, `ssh.c`, `ssh_confirm_remote_forward`).
const CHOSEN: &str = "Allocated port ";

/// Transports of libvirt's that are ssh, by this program or by a library.
const OVER_SSH: [&str; 3] = ["qemu+ssh", "qemu+libssh", "qemu+libssh2"];

/// The tunnel, as long as this value is there; it goes with this process however that ends.
#[derive(Debug)]
pub struct Tunnel {
    /// The port on the other host's loopback.
    pub port: u16,
    // ssh ends when nobody can write to it any more.
    _stdin: ChildStdin,
    _ssh: Child,
}

/// Whether a tunnel can be made to the host of this connection.
pub(super) fn is_possible(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|uri| OVER_SSH.contains(&uri.scheme()))
}

impl Tunnel {
    /// Leads from a port of the loopback of the host that `uri` names to this port of ours.
    ///
    /// # Errors
    /// [`Kind::Host`]: ssh cannot, or may not.
    pub async fn open(uri: &str, port: u16) -> anyhow::Result<Tunnel> {
        match tokio::time::timeout(PATIENCE, Self::dig(uri, port)).await {
            Ok(Ok(tunnel)) => Ok(tunnel),
            Ok(Err(error)) => fail!(
                Kind::Host,
                "there is no ssh tunnel by which the guest could reach ozr's server ({error:#}): ssh must get there without a question and may forward ports (AllowTcpForwarding in sshd_config); or use --deliver initrd, or --serve-address with an address that the guest reaches"
            ),
            Err(_) => fail!(
                Kind::Host,
                "ssh has not made the tunnel by which the guest could reach ozr's server in {} s: use --deliver initrd",
                PATIENCE.as_secs()
            ),
        }
    }

    async fn dig(uri: &str, port: u16) -> anyhow::Result<Tunnel> {
        let mut command = command(&Url::parse(uri)?, port)?;
        let mut ssh = command.spawn().context("starting ssh")?;
        let stdin = ssh.stdin.take().context("ssh has no standard input")?;
        let stderr = ssh.stderr.take().context("ssh has no standard error")?;
        let mut lines = BufReader::new(stderr.take(MOST_SAID)).lines();
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await? {
            if let Some(port) = chosen(&line) {
                // What it has to say later nobody reads, and it must not wait for that.
                let mut rest = lines.into_inner().into_inner().into_inner();
                tokio::spawn(
                    async move { tokio::io::copy(&mut rest, &mut tokio::io::sink()).await },
                );
                return Ok(Tunnel {
                    port,
                    _stdin: stdin,
                    _ssh: ssh,
                });
            }
            said.push(line.trim().to_owned());
        }
        anyhow::bail!("ssh says: {}", said.join("; "))
    }
}

/// The port in a line of ssh's.
fn chosen(line: &str) -> Option<u16> {
    let (port, _) = line.strip_prefix(CHOSEN)?.split_once(' ')?;
    port.parse().ok().filter(|port| *port != 0)
}

/// ssh as libvirt calls it for this URI (libvirt 9.0, `virNetSocketNewConnectSSH` and
/// `virNetClientNewSSH`), with a tunnel.
fn command(uri: &Url, port: u16) -> anyhow::Result<Command> {
    let parameter = |name| {
        let mut all = uri.query_pairs();
        all.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let host = uri.host_str().context("the connection names no host")?;
    let program = parameter("command").unwrap_or_else(|| "ssh".to_owned());
    let mut command = process::command(program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(port) = uri.port() {
        command.args(["-p", &port.to_string()]);
    }
    if !uri.username().is_empty() {
        let user = percent_encoding::percent_decode_str(uri.username()).decode_utf8()?;
        command.args(["-l", &user]);
    }
    if let Some(key) = parameter("keyfile") {
        command.args(["-i", &key]);
    }
    if parameter("no_verify").is_some_and(|no| no != "0") {
        command.args(["-o", "StrictHostKeyChecking=no"]);
    }
    for option in [
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=5",
        // One that is there already would keep the tunnel when this ssh ends.
        "ControlPath=none",
        "LogLevel=INFO",
    ] {
        command.args(["-o", option]);
    }
    command
        .args(["-T", "-e", "none", "-R"])
        .arg(format!("127.0.0.1:0:127.0.0.1:{port}"))
        .args(["--", host.trim_matches(['[', ']'])])
        // Ends when its standard input does.
        .arg("cat >/dev/null");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_called_as_libvirt_calls_it() {
        let of = |uri: &str| {
            let command = command(&Url::parse(uri).unwrap(), 8000).unwrap();
            let command = command.as_std();
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            let words = words.map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        let plain = of("qemu+ssh://host.example/system");
        assert!(plain.starts_with("ssh -o BatchMode=yes "), "{plain}");
        let end = " -R 127.0.0.1:0:127.0.0.1:8000 -- host.example cat >/dev/null";
        assert!(plain.ends_with(end), "{plain}");
        let all = of(
            "qemu+ssh://a%40b@[fd00::1]:2222/system?keyfile=/k%20k&no_verify=1&command=/usr/bin/other",
        );
        let begin = "/usr/bin/other -p 2222 -l a@b -i /k k -o StrictHostKeyChecking=no -o";
        assert!(
            all.starts_with(begin) && all.contains("-- fd00::1 cat"),
            "{all}"
        );
    }

    #[test]
    fn the_port_is_what_ssh_says() {
        let line = "Allocated port 41235 for remote forward to 127.0.0.1:8000";
        assert_eq!(chosen(line), Some(41235));
        for other in ["Allocated port 0 for x", "Allocated port 70000 for x", "x"] {
            assert_eq!(chosen(other), None);
        }
    }

    #[test]
    fn tunnels_lead_over_ssh() {
        assert!(is_possible("qemu+ssh://a/system") && is_possible("qemu+libssh://a/system"));
        assert!(!is_possible("qemu+tls://a/system") && !is_possible("qemu:///system"));
    }
}
