//! Runs `tiny_http` where only the gate can reach it.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::panics::lock;

/// The longest path of a unix socket: `sun_path` of sockaddr_un holds 108 bytes with its NUL
/// (unix(7)).
const MAX_SOCKET_PATH: usize = 107;
/// How often and after which pauses a start is tried again when the process is out of
/// descriptors: they come back as transfers end.
const RESTART_ATTEMPTS: u32 = 50;
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// `tiny_http` on a unix socket in a directory that only this user can enter.
pub(super) struct Engine {
    // Dropped before its directory: it wakes its accepting thread through the socket.
    running: Mutex<Running>,
    directory: tempfile::TempDir,
    stopping: AtomicBool,
}

struct Running {
    server: Arc<tiny_http::Server>,
    socket: PathBuf,
    generation: u32,
}

impl Engine {
    /// Starts it, with a thread that calls `handle` for each request.
    pub(super) fn start(
        runtime_dir: PathBuf,
        mut handle: impl FnMut(tiny_http::Request) + Send + 'static,
        mut on_restart: impl FnMut(&str) + Send + 'static,
    ) -> anyhow::Result<(Arc<Self>, JoinHandle<()>)> {
        let (sender, receiver) = std::sync::mpsc::channel();
        // `tiny_http` is started in the thread as well, so that its own threads get the name.
        let thread = std::thread::Builder::new()
            .name("serve-engine".to_owned())
            .spawn(move || {
                let engine = match Engine::create(&runtime_dir) {
                    Ok(engine) => Arc::new(engine),
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return;
                    }
                };
                if sender.send(Ok(Arc::clone(&engine))).is_ok() {
                    engine.run(&mut handle, &mut on_restart);
                }
            })
            .context("starting the HTTP server's thread")?;
        let engine = receiver
            .recv()
            .context("waiting for the HTTP server's thread")??;
        Ok((engine, thread))
    }

    fn create(runtime_dir: &Path) -> anyhow::Result<Self> {
        let directory = private_directory(runtime_dir)?;
        let running = Running::start(directory.path(), 0)?;
        Ok(Engine {
            directory,
            running: Mutex::new(running),
            stopping: AtomicBool::new(false),
        })
    }

    fn run(&self, handle: &mut dyn FnMut(tiny_http::Request), on_restart: &mut dyn FnMut(&str)) {
        while !self.stopping.load(Ordering::SeqCst) {
            let server = Arc::clone(&lock(&self.running).server);
            match server.recv() {
                Ok(request) => handle(request),
                Err(_) if self.stopping.load(Ordering::SeqCst) => break,
                // It stops accepting for good when `accept` fails once, for example because
                // the process has no descriptor left for a moment.
                Err(error) => {
                    on_restart(&format!("the HTTP server stopped accepting: {error}"));
                    if !self.restart() {
                        on_restart("the HTTP server could not be started again");
                        break;
                    }
                }
            }
        }
    }

    fn restart(&self) -> bool {
        for _ in 0..RESTART_ATTEMPTS {
            let mut running = lock(&self.running);
            let generation = running.generation + 1;
            if let Ok(next) = Running::start(self.directory.path(), generation) {
                *running = next;
                return true;
            }
            drop(running);
            if self.stopping.load(Ordering::SeqCst) {
                return false;
            }
            std::thread::sleep(RESTART_PAUSE);
        }
        false
    }

    /// A channel to it, for one request.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        let mut attempts = 0;
        loop {
            let running = lock(&self.running);
            let (server, socket) = (Arc::clone(&running.server), running.socket.clone());
            drop(running);
            let result = UnixStream::connect(socket);
            // Refused by the socket of one that is gone, or not found while it is replaced.
            let gone = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
            let refused = |error: &io::Error| gone.contains(&error.kind());
            let stopping = self.stopping.load(Ordering::SeqCst);
            if !result.as_ref().is_err_and(refused) || stopping || attempts == RESTART_ATTEMPTS {
                return result;
            }
            // Its accepting thread has panicked, which it does when it cannot duplicate a
            // descriptor, and which `recv` does not tell.
            server.unblock();
            attempts += 1;
            std::thread::sleep(RESTART_PAUSE);
        }
    }

    /// Makes its thread end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        lock(&self.running).server.unblock();
    }
}

impl Running {
    fn start(directory: &Path, generation: u32) -> anyhow::Result<Self> {
        let socket = directory.join(generation.to_string());
        let server = tiny_http::Server::http_unix(&socket)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("listening on {}", socket.display()))?;
        Ok(Running {
            server: Arc::new(server),
            socket,
            generation,
        })
    }
}

fn private_directory(usual: &Path) -> anyhow::Result<tempfile::TempDir> {
    let fallback = Path::new("/tmp");
    // "/http-XXXXXX/4294967295"
    let room = |base: &Path| base.as_os_str().len() + 30 <= MAX_SOCKET_PATH;
    let base = if room(usual) { usual } else { fallback };
    // `tempfile` makes directories with mode 0700.
    tempfile::Builder::new()
        .prefix("http-")
        .tempdir_in(base)
        .with_context(|| format!("making a directory for a socket in {}", base.display()))
}
