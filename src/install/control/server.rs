//! The build's end of its control socket. Whatever clients do, the build goes on: they are few at
//! a time, say little, and have little time.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Answer, Live, MAX_REQUEST, Request, socket};
use crate::blocking;
use crate::state::runtime_dir::RuntimeDir;

/// Most clients at once; more wait to be let in. A person looks with one or two.
const MAX_CLIENTS: usize = 8;

/// How long a client may take for its request: it has one line to write, and writes it at once.
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);

/// How long libvirt may take for a picture. QEMU takes a tenth of a second for one; under a busy
/// host's load a few.
const PICTURE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take in all: a picture, and some megabytes to read.
const CLIENT_PATIENCE: Duration = Duration::from_secs(20);

/// The pause after a connection could not be taken: no descriptors are left, and trying on
/// without one would only use up a CPU.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The socket. Dropping it closes and removes it, and drops its clients.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// What every client is answered from.
struct Subject {
    live: Live,
    camera: Camera,
}

/// Takes one picture at a time: should libvirt hang, one thread hangs with it and not many.
#[derive(Debug, Clone, Default)]
struct Camera(Arc<Mutex<()>>);

impl Camera {
    /// Takes a picture with `shoot`, which blocks, and waits for it no longer than `patience`.
    async fn take(
        &self,
        patience: Duration,
        shoot: impl FnOnce() -> anyhow::Result<Vec<u8>> + Send + 'static,
    ) -> anyhow::Result<Vec<u8>> {
        let take = async {
            let turn = Arc::clone(&self.0).lock_owned().await;
            blocking::within_async(patience, move || {
                // The turn is over when the picture is taken, whether or not somebody waits.
                let _turn = turn;
                shoot()
            })
            .await
        };
        let taken = timeout(patience, take).await.ok().flatten();
        taken.unwrap_or_else(|| {
            let seconds = patience.as_secs();
            Err(anyhow!("libvirt gave no picture within {seconds} s"))
        })
    }
}

impl Control {
    /// Begins to answer what `live` holds, by the runtime that this is called in.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn serve(runtime: &RuntimeDir, live: Live) -> anyhow::Result<Control> {
        let path = socket(runtime.path());
        let listen = || -> std::io::Result<UnixListener> {
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = listen().with_context(|| format!("making the socket {}", path.display()))?;
        let camera = Camera::default();
        let subject = Arc::new(Subject { live, camera });
        Ok(Control {
            task: tokio::spawn(accept(listener, subject)),
            path,
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // The directory may stay, for a user who wants to look at it; nobody answers there.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, subject: Arc<Subject>) {
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        if clients.len() >= MAX_CLIENTS {
            clients.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let subject = Arc::clone(&subject);
                clients.spawn(async move {
                    // A client that went away, or takes too long, is none of ours any more.
                    let _ = timeout(CLIENT_PATIENCE, converse(stream, &subject)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "taking a connection to the control socket");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, subject: &Subject) -> anyhow::Result<()> {
    let answer = match request(&mut stream).await {
        Ok(Request::Status) => Ok((Answer::Status(Box::new(subject.live.status())), Vec::new())),
        Ok(Request::Screenshot) => subject
            .picture()
            .await
            .map(|picture| (Answer::Screenshot(picture.len() as u64), picture)),
        Err(error) => Err(error),
    };
    let (answer, rest) =
        answer.unwrap_or_else(|error| (Answer::Error(format!("{error:#}")), Vec::new()));
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.write_all(&rest).await?;
    stream.shutdown().await?;
    Ok(())
}

/// The one line that a client says.
async fn request(stream: &mut UnixStream) -> anyhow::Result<Request> {
    let who = stream.peer_cred().context("asking who asks")?.uid();
    let own = rustix::process::geteuid().as_raw();
    ensure!(
        who == own || who == 0,
        "the build is another user's: only that user and root are answered"
    );
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(MAX_REQUEST));
    timeout(REQUEST_PATIENCE, reader.read_until(b'\n', &mut line))
        .await
        .map_err(|_| anyhow!("no request came in time"))?
        .context("reading the request")?;
    ensure!(
        line.ends_with(b"\n"),
        "the request is no line of at most {MAX_REQUEST} bytes"
    );
    serde_json::from_slice(&line).context("the request is not understood")
}

impl Subject {
    /// A picture of the guest's screen.
    async fn picture(&self) -> anyhow::Result<Vec<u8>> {
        let Some(guest) = self.live.guest() else {
            let phase = self.live.status().phase;
            bail!("there is no guest now: the build is `{phase}`");
        };
        let shoot = move || guest.screenshot();
        self.camera.take(PICTURE_PATIENCE, shoot).await
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
