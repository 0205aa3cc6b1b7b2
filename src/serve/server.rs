//! Starting, filling and stopping the server.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::mpsc::UnboundedReceiver;
use url::Url;

use super::access::{Access, AccessLog, Totals};
use super::answer;
use super::catalogue::{Catalogue, Content, Item};
use super::connections::Connections;
use super::connections::Peers;
use super::connections::Threads;
use super::engine::Engine;
use super::exchange::Exchanges;
use super::gate;
use super::relay::Upstream;
use crate::hex;
use crate::options::Ports;
use crate::panics::lock;
use crate::ui::event::Reporter;

/// How long stopping waits for the threads. All but those that wait for a mirror end at once.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What a client may take from the server. Tests make these small.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest request head, in bytes.
    pub head_bytes: usize,
    /// The time for the whole head.
    pub head_time: Duration,
    /// Connections without an answer under way; the oldest makes room for a new one.
    pub waiting: usize,
    /// Answers under way; one more is told 503.
    pub answers: usize,
    /// How long a client may take nothing before it is dropped.
    pub write_stall: Duration,
    /// How long an answer may have nothing to say before it is given up.
    pub source_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // anaconda's, with a header per network interface, stays below 2 KiB.
            head_bytes: 8 * 1024,
            // A guest in software emulation needs milliseconds.
            head_time: Duration::from_secs(10),
            // dnf opens at most 20 at a time (`max_parallel_downloads`, dnf.conf(5)).
            waiting: 128,
            // Several downloads of each of a repository's files at once. Bounded because each takes two
            // threads and five descriptors.
            answers: 256,
            // A guest that swaps or is paused for a moment recovers well within it; dnf gives up
            // after 30 s itself (`timeout`, dnf.conf(5)).
            write_stall: Duration::from_secs(60),
            // The mirror's own time-outs and retries come first.
            source_silence: Duration::from_secs(300),
        }
    }
}

/// Where the server listens, and under which name the guest knows it.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The only address that is listened on.
    pub bind: IpAddr,
    /// The ports, of which the first that is free is taken.
    pub ports: Ports,
    /// The host in the URLs for the guest, such as `10.0.2.2` with user networking.
    pub guest_host: String,
    /// Whether the paths may be known, as those on the command line of a guest whose state is saved are.
    pub open: bool,
    /// Whom on this host to answer: whose sockets the guest's connections are; everybody who
    /// reaches the address if not given.
    pub users: Option<Vec<u32>>,
    /// Where a private socket is put; the caller removes what a killed process left there.
    pub runtime_dir: PathBuf,
    /// Where accesses are logged; appended to, mode 0600 if new.
    pub access_log: Option<PathBuf>,
}

/// Descriptors that all answers together take, with room for the rest of a build.
const DESCRIPTORS: u64 = 4096;

/// Allows this process as many descriptors as answers may take, as far as it may allow them to itself: the usual soft
/// limit of 1,024 is for programs that use select(2).
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        // As it was, some answers more are refused.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Listens on the first of the ports that is free.
fn listen(address: IpAddr, ports: Ports) -> anyhow::Result<TcpListener> {
    let mut error = None;
    for port in ports.first..=ports.last {
        match TcpListener::bind((address, port)) {
            Ok(listener) => return Ok(listener),
            Err(why) if why.kind() == ErrorKind::AddrInUse => error = Some((port, why)),
            Err(why) => return Err(why).with_context(|| listening(address, port)),
        }
    }
    let (port, why) = error.expect("there is a port");
    Err(why).with_context(|| match ports.first == ports.last {
        true => listening(address, port),
        false => format!(
            "listening on {address} for the guest: all ports from {} to {} are taken",
            ports.first, ports.last
        ),
    })
}

fn listening(address: IpAddr, port: u16) -> String {
    match port {
        0 => format!("listening on {address} for the guest"),
        port => format!("listening on {address}, port {port}, for the guest"),
    }
}

/// The first segment of paths that are no secret.
const OPEN: &str = "installer";

/// What the server's threads share.
pub(super) struct Shared {
    /// 128 random bits in hexadecimal: the first segment of every path.
    pub(super) token: String,
    pub(super) peers: Option<Peers>,
    pub(super) limits: Limits,
    pub(super) reporter: Reporter,
    pub(super) catalogue: Mutex<Catalogue>,
    pub(super) connections: Connections,
    pub(super) exchanges: Exchanges,
    pub(super) access: AccessLog,
    pub(super) threads: Arc<Threads>,
    pub(super) stopping: AtomicBool,
    engine: Mutex<Option<Arc<Engine>>>,
}

impl Shared {
    /// There from before the first connection is accepted until the server stops.
    pub(super) fn engine(&self) -> Option<Arc<Engine>> {
        lock(&self.engine).clone()
    }

    /// `text` without the secret path, in whatever case.
    pub(super) fn mask(&self, text: &str) -> String {
        if self.token == OPEN {
            return text.to_owned();
        }
        let lower = text.to_ascii_lowercase();
        match lower.find(&self.token) {
            Some(start) => {
                let rest = self.mask(&text[start + self.token.len()..]);
                format!("{}…{rest}", &text[..start])
            }
            None => text.to_owned(),
        }
    }
}

/// The running server; stops when dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    base: Url,
    listener: Arc<TcpListener>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secret path.
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts serving, on a port that the kernel chooses. Every request that is over is sent
    /// through the channel.
    pub fn start(
        options: ServeOptions,
        reporter: Reporter,
    ) -> anyhow::Result<(Server, UnboundedReceiver<Access>)> {
        Server::start_with_limits(options, Limits::default(), reporter)
    }

    /// Starts serving with limits other than the usual ones.
    pub fn start_with_limits(
        options: ServeOptions,
        limits: Limits,
        reporter: Reporter,
    ) -> anyhow::Result<(Server, UnboundedReceiver<Access>)> {
        raise_limit();
        let listener = listen(options.bind, options.ports)?;
        let address = listener.local_addr().context("reading the port")?;
        let token = match options.open {
            true => OPEN.to_owned(),
            false => hex::random()?,
        };
        let base = base_url(&options.guest_host, address.port(), &token)?;
        let (access, receiver) = AccessLog::open(options.access_log.as_deref())?;
        let peers = options.users.map(Peers::of).transpose();
        let peers = peers.context("reading whose connections are")?;
        let shared = Arc::new(Shared {
            token,
            peers,
            limits,
            reporter,
            catalogue: Mutex::default(),
            connections: Connections::default(),
            exchanges: Exchanges::default(),
            access,
            threads: Arc::default(),
            stopping: AtomicBool::new(false),
            engine: Mutex::new(None),
        });
        let (engine, engine_thread) = start_engine(&shared, options.runtime_dir)?;
        *lock(&shared.engine) = Some(engine);
        let mut server = Server {
            shared: Arc::clone(&shared),
            address,
            base,
            listener: Arc::new(listener),
            threads: vec![engine_thread],
        };
        let listener = Arc::clone(&server.listener);
        let accept_thread = std::thread::Builder::new()
            .name("serve-accept".to_owned())
            .spawn(move || gate::accept(&shared, &listener))
            .context("starting a thread for the guest's connections")?;
        server.threads.push(accept_thread);
        Ok((server, receiver))
    }

    /// Serves a file and gives the guest's URL of it, which cannot be guessed. The name
    /// [`KICKSTART_NAME`](super::KICKSTART_NAME) makes it the kickstart; any other is for logs
    /// and records only.
    pub fn add(&self, name: &str, content: Content, content_type: &str) -> Url {
        let item = Item {
            name: name.to_owned(),
            content,
            content_type: content_type.to_owned(),
        };
        let path = self.catalogue(|catalogue| catalogue.add(item));
        self.url(&path)
    }

    /// Relays everything below `upstream`; gives the guest's URL of its base, with a slash at
    /// its end. The name [`TREE_NAME`](super::TREE_NAME) makes it the install tree.
    pub fn add_relay(&self, name: &str, upstream: Arc<dyn Upstream>) -> Url {
        let path = self.catalogue(|catalogue| catalogue.add_relay(name, upstream));
        self.url(&path)
    }

    fn catalogue<T>(&self, change: impl FnOnce(&mut Catalogue) -> T) -> T {
        change(&mut lock(&self.shared.catalogue))
    }

    fn url(&self, path: &str) -> Url {
        self.base.join(path).expect("a path of plain characters")
    }

    /// What makes the guest's URLs unguessable: not for logs.
    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// Names another port in the guest's URLs from now on, which leads to the one that is listened on.
    pub fn reached_at(&mut self, port: u16) {
        let set = self.base.set_port(Some(port));
        set.expect("the address is one of http");
    }

    /// The port that is listened on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sums over all requests so far.
    pub fn totals(&self) -> Totals {
        self.shared.access.totals()
    }

    /// Stops listening, ends all connections and waits for the threads, within about a second.
    /// Accesses cut short thereby are still sent through the channel.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if self.shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        // On Linux this makes a blocked accept(2) return with EINVAL.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        self.shared.connections.close();
        let engine = lock(&self.shared.engine).take();
        if let Some(engine) = &engine {
            engine.stop();
        }
        for thread in self.threads.drain(..) {
            // A panic there has been printed.
            let _ = thread.join();
        }
        // Removes its socket and directory.
        drop(engine);
        if !self.shared.threads.wait(STOP_PATIENCE) {
            let message = "a relay still waits for its mirror; it ends by its own time-out";
            self.shared.reporter.detail(message);
        }
        self.shared.access.close();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn start_engine(
    shared: &Arc<Shared>,
    runtime_dir: PathBuf,
) -> anyhow::Result<(Arc<Engine>, JoinHandle<()>)> {
    let reporter = shared.reporter.clone();
    let weak = Arc::downgrade(shared);
    let handle = move |request| {
        let Some(shared) = weak.upgrade() else {
            return;
        };
        let threads = Arc::clone(&shared.threads);
        // On failure the request is dropped, which `tiny_http` answers with 500.
        let _ = threads.spawn("serve-answer", move || answer::answer(&shared, request));
    };
    Engine::start(runtime_dir, handle, move |message| reporter.warn(message))
}

fn base_url(guest_host: &str, port: u16, token: &str) -> anyhow::Result<Url> {
    let host = match guest_host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => guest_host.to_owned(),
    };
    url::Host::parse(&host).with_context(|| format!("reading the guest's name for us: {host}"))?;
    let url = format!("http://{host}:{port}/{token}/");
    Url::parse(&url).with_context(|| format!("making a URL with the host {host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, two) = (hex::random().unwrap(), hex::random().unwrap());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }

    #[test]
    fn hosts_in_urls() {
        let url = |host| base_url(host, 80, "t").map(String::from).ok();
        assert_eq!(url("10.0.2.2").as_deref(), Some("http://10.0.2.2/t/"));
        assert_eq!(url("fd00::1").as_deref(), Some("http://[fd00::1]/t/"));
        for bad in ["", "a b", "a/b", "u@h"] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
