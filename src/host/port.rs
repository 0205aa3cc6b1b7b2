//! What a guest writes to its console or log port, as bytes.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use anyhow::Context;
use tokio::net::UnixStream;

use super::libvirt_stream::StreamPort;

/// Bytes read from a socket at once.
const PIECE: usize = 16 * 1024;

/// The bytes that a guest writes to a port, in order and without gaps, until it ends.
///
/// Nothing is lost at the guest's end: what was written before it is delivered before
/// [`Port::read`] returns nothing. A port that is not read makes the guest's writes wait, so
/// that a guest that floods its console cannot fill our memory.
#[derive(Debug)]
pub struct Port(Source);

#[derive(Debug)]
enum Source {
    /// A socket of QEMU's, where QEMU runs as us. libvirt's stream to it would be in this very
    /// process, and libvirt 9.0 deadlocks when such a stream is closed while its guest ends
    /// (`virFDStreamClose` and `virChrdevFree` take two locks in opposite order).
    Socket(Socket),
    /// Whatever libvirt's daemon makes of it.
    Stream(StreamPort),
}

#[derive(Debug)]
enum Socket {
    /// Not yet known to the runtime: ports are opened where there may be none.
    Fresh(StdUnixStream),
    Open(UnixStream),
    Ended,
}

impl Port {
    /// Connects to a socket that QEMU listens on.
    pub(super) fn connect(path: &Path) -> anyhow::Result<Self> {
        let connect = || {
            let socket = StdUnixStream::connect(path)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = connect().with_context(|| format!("connecting to {}", path.display()))?;
        Ok(Port(Source::Socket(Socket::Fresh(socket))))
    }

    /// Reads one of libvirt's streams.
    pub(super) fn stream(stream: StreamPort) -> Self {
        Port(Source::Stream(stream))
    }

    /// The next bytes, or nothing after the last. Cancel safe. Needs tokio's I/O driver.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        match &mut self.0 {
            Source::Socket(socket) => socket.read().await,
            Source::Stream(stream) => stream.read().await,
        }
    }
}

impl Socket {
    async fn read(&mut self) -> Option<Vec<u8>> {
        if let Socket::Fresh(socket) = self {
            // Neither fails but for lack of file descriptors; the port has ended then.
            let open = socket.try_clone().and_then(UnixStream::from_std);
            *self = open.map_or(Socket::Ended, Socket::Open);
        }
        let Socket::Open(socket) = self else {
            return None;
        };
        let mut buffer = vec![0; PIECE];
        let count = loop {
            match socket.try_read(&mut buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if socket.readable().await.is_err() {
                        break 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A QEMU that was killed resets the connection.
                Err(_) => break 0,
            }
        };
        if count == 0 {
            *self = Socket::Ended;
            return None;
        }
        buffer.truncate(count);
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn what_was_written_before_the_end_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut port = Port::connect(&path).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.write_all(b"last words").unwrap();
        drop(other);
        assert_eq!(port.read().await.unwrap(), b"last words");
        assert_eq!(port.read().await, None);
        assert_eq!(port.read().await, None);
        assert!(Port::connect(&dir.path().join("none")).is_err());
    }
}
