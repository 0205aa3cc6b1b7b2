//! Who fetched what, and when.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::head::Method;
use crate::panics::lock;

/// The longest text of a client's that is noted.
const MAX_TEXT: usize = 200;
/// The largest log. A whole install through a relay logs some hundred kilobytes; a client that
/// asks for nonsense for hours must not fill the disk.
const MAX_LOG: u64 = 16 * 1024 * 1024;

/// What a request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The kickstart.
    Kickstart,
    /// The file added under this name.
    File(String),
    /// Something behind a relay.
    Relay {
        /// The relay's name.
        name: String,
        /// The path below it, percent-encoded.
        path: String,
    },
    /// Nothing that is served.
    Unknown,
}

/// What anaconda's initramfs tells about the guest, printable and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnacondaHeaders {
    /// `X-Anaconda-Architecture`, such as `x86_64`.
    pub architecture: Option<String>,
    /// `X-Anaconda-System-Release`, such as `Rocky Linux`.
    pub system_release: Option<String>,
    /// `X-RHN-Provisioning-MAC-N`, each `INTERFACE MAC`.
    pub macs: Vec<String>,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Access {
    /// When its head had arrived.
    pub when: SystemTime,
    /// Who asked. With user networking this is QEMU on the host's loopback.
    pub peer: SocketAddr,
    /// GET or HEAD; `None` if the request was refused.
    pub method: Option<Method>,
    /// What was asked for.
    pub resource: Resource,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the body handed to the kernel for the client.
    pub bytes: u64,
    /// The client got all of the answer, as far as its side of the connection tells.
    pub complete: bool,
    /// Headers that only anaconda sends.
    pub anaconda: Option<AnacondaHeaders>,
    /// `User-Agent`, printable and cut.
    pub user_agent: Option<String>,
}

/// Sums over all requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered or refused.
    pub requests: u64,
    /// Answers with a status of 400 and more, and refused requests.
    pub errors: u64,
    /// Times the whole kickstart was fetched.
    pub kickstarts: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
}

/// `text` as far as it is printable ASCII and needs no quoting; `?` for other bytes.
pub(super) fn printable(text: &[u8]) -> String {
    let plain = |&byte: &u8| match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => char::from(byte),
        _ => '?',
    };
    text.iter().take(MAX_TEXT).map(plain).collect()
}

/// Notes accesses: in the log file, on the channel, in the totals.
#[derive(Debug)]
pub(super) struct AccessLog {
    sender: UnboundedSender<Access>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    written: u64,
    totals: Totals,
}

impl AccessLog {
    /// Opens the log, readable by its owner only, and the channel.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<(Self, UnboundedReceiver<Access>)> {
        let open = |path: &Path| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("opening the access log {}", path.display()))
        };
        let file = path.map(open).transpose()?;
        let (sender, receiver) = unbounded_channel();
        let state = Mutex::new(State {
            file,
            written: 0,
            totals: Totals::default(),
        });
        Ok((AccessLog { sender, state }, receiver))
    }

    /// Notes one access. `target` is what an unknown resource was called; already masked.
    pub(super) fn note(&self, access: Access, target: &str) {
        let mut state = lock(&self.state);
        let totals = &mut state.totals;
        totals.requests += 1;
        totals.errors += u64::from(access.status >= 400);
        totals.bytes += access.bytes;
        let fetched = access.complete && access.status == 200 && access.method == Some(Method::Get);
        if fetched && access.resource == Resource::Kickstart {
            totals.kickstarts += 1;
        }
        state.write(&line(&access, target));
        drop(state);
        // Nobody listening any more is no failure of the server's.
        let _ = self.sender.send(access);
    }

    pub(super) fn totals(&self) -> Totals {
        lock(&self.state).totals
    }

    /// Writes the last line.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        let Totals {
            requests,
            errors,
            kickstarts,
            bytes,
        } = state.totals;
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        state.write(&format!(
            "{now} stopped requests={requests} errors={errors} kickstarts={kickstarts} \
             bytes={bytes}\n"
        ));
        state.file = None;
    }
}

impl State {
    fn write(&mut self, line: &str) {
        let Some(file) = &mut self.file else {
            return;
        };
        self.written += line.len() as u64;
        if self.written > MAX_LOG {
            let _ = file.write_all(b"log full\n");
            self.file = None;
        } else if file.write_all(line.as_bytes()).is_err() {
            // A full disk ends the build elsewhere, with a better message.
            self.file = None;
        }
    }
}

fn line(access: &Access, target: &str) -> String {
    let when = humantime::format_rfc3339_millis(access.when);
    let method = access.method.map_or("-", Method::as_str);
    let what = match &access.resource {
        Resource::Kickstart => "/…/ks.cfg".to_owned(),
        Resource::File(name) => format!("/…/files/{}", printable(name.as_bytes())),
        Resource::Relay { name, path } => format!("/…/{name}/{}", printable(path.as_bytes())),
        Resource::Unknown => target.to_owned(),
    };
    let end = if access.complete {
        "complete"
    } else {
        "broken"
    };
    let mut line = format!(
        "{when} {} {method} \"{what}\" {} {} {end}",
        access.peer, access.status, access.bytes
    );
    let mut field = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" {name}=\"{value}\""));
        }
    };
    field("agent", &access.user_agent);
    if let Some(anaconda) = &access.anaconda {
        field("arch", &anaconda.architecture);
        field("release", &anaconda.system_release);
        for mac in &anaconda.macs {
            field("mac", &Some(mac.clone()));
        }
    }
    line.push('\n');
    line
}
