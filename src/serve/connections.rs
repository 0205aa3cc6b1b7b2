//! The open connections: how many there are, how to end them from outside, the threads that serve
//! them, and whose they are.
//!
//! With user networking our server is on the loopback, where every user of
//! this host reaches it, and its secret path stands on QEMU's command line, which all of them can
//! read. So only QEMU's user gets an answer, and we.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::panics::lock;

/// Where a connection stands.
#[derive(Debug)]
enum Phase {
    /// Sends its head, or takes its time to close. May be ended to make room.
    Waiting,
    /// Takes its answer, which comes through this channel.
    Answering(Arc<UnixStream>),
    /// Was told to end.
    Ended,
}

#[derive(Debug)]
struct Connection {
    stream: Arc<TcpStream>,
    phase: Phase,
}

impl Connection {
    fn end(&mut self) {
        // Wakes the connection's thread out of whatever it waits for.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Phase::Answering(inner) = &self.phase {
            let _ = inner.shutdown(Shutdown::Both);
        }
        self.phase = Phase::Ended;
    }
}

/// The open connections, oldest first.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Connection>,
    closed: bool,
}

impl Connections {
    /// Takes a new connection in; ends the oldest waiting ones so that no more than `waiting`
    /// remain. `None` once closed.
    pub(super) fn admit(&self, stream: &Arc<TcpStream>, waiting: usize) -> Option<u64> {
        let mut table = lock(&self.0);
        if table.closed {
            return None;
        }
        let number = table.next;
        table.next += 1;
        let connection = Connection {
            stream: Arc::clone(stream),
            phase: Phase::Waiting,
        };
        table.open.insert(number, connection);
        let is_waiting = |connection: &&mut Connection| matches!(connection.phase, Phase::Waiting);
        let excess = table.open.values_mut().filter(is_waiting).count();
        let excess = excess.saturating_sub(waiting.max(1));
        let oldest = table.open.values_mut().filter(is_waiting).take(excess);
        oldest.for_each(Connection::end);
        Some(number)
    }

    /// Notes that the connection's answer comes through `inner`. False if there are `answers`
    /// already, or the connection was ended.
    pub(super) fn answering(&self, number: u64, inner: &Arc<UnixStream>, answers: usize) -> bool {
        let mut table = lock(&self.0);
        let is_answering =
            |connection: &&Connection| matches!(connection.phase, Phase::Answering(_));
        if table.closed || table.open.values().filter(is_answering).count() >= answers {
            return false;
        }
        match table.open.get_mut(&number) {
            Some(connection) if matches!(connection.phase, Phase::Waiting) => {
                connection.phase = Phase::Answering(Arc::clone(inner));
                true
            }
            _ => false,
        }
    }

    /// Notes that the connection has its answer.
    pub(super) fn answered(&self, number: u64) {
        if let Some(connection) = lock(&self.0).open.get_mut(&number)
            && matches!(connection.phase, Phase::Answering(_))
        {
            connection.phase = Phase::Waiting;
        }
    }

    /// Forgets a connection.
    pub(super) fn forget(&self, number: u64) {
        lock(&self.0).open.remove(&number);
    }

    /// Ends all connections and admits no more.
    pub(super) fn close(&self) {
        let mut table = lock(&self.0);
        table.closed = true;
        table.open.values_mut().for_each(Connection::end);
    }
}

/// Counts the threads that serve, so that stopping can wait for them.
#[derive(Debug, Default)]
pub(super) struct Threads {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Threads {
    /// Runs `work` in a named thread that is counted until it ends, even by a panic.
    pub(super) fn spawn(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        *lock(&self.running) += 1;
        let counted = Counted(Arc::clone(self));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Dropped last, after everything that `work` owned.
                let _counted = counted;
                work();
            })
            .map(drop)
    }

    /// Waits until all threads have ended; false if some had not after `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let running = lock(&self.running);
        let (running, _) = self
            .ended
            .wait_timeout_while(running, patience, |running| *running > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *running == 0
    }
}

struct Counted(Arc<Threads>);

impl Drop for Counted {
    fn drop(&mut self) {
        *lock(&self.0.running) -= 1;
        self.0.ended.notify_all();
    }
}

/// The kernel's table of TCP sockets (proc(5), `/proc/net/tcp`), of this thread's network.
const TABLE: &str = "/proc/thread-self/net/tcp";

/// Whom we answer.
pub(super) struct Peers {
    users: Vec<u32>,
    /// Held open: when all descriptors are gone the guest is answered still.
    table: Mutex<File>,
}

impl Peers {
    /// # Errors
    /// The kernel's table cannot be read.
    pub(super) fn of(users: Vec<u32>) -> io::Result<Peers> {
        let table = Mutex::new(File::open(TABLE)?);
        Ok(Peers { users, table })
    }

    /// Whether the socket at the other end of a connection belongs to one of them.
    ///
    /// # Errors
    /// The kernel's table cannot be read.
    pub(super) fn have(&self, peer: SocketAddr, local: SocketAddr) -> io::Result<bool> {
        let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (peer, local) else {
            // We listen on no other address.
            return Ok(false);
        };
        let mut table = lock(&self.table);
        table.rewind()?;
        let owner = owner(BufReader::new(&*table), peer, local)?;
        Ok(owner.is_some_and(|owner| self.users.contains(&owner)))
    }
}

/// The user of the socket between `near` and `far`: none if there is no such socket any more. One that
/// its process has closed belongs to nobody: the kernel shows it as root's (net/core/sock.c,
/// `sock_i_uid`), and without an inode.
fn owner(table: impl BufRead, near: SocketAddrV4, far: SocketAddrV4) -> io::Result<Option<u32>> {
    let (near, far) = (field(near), field(far));
    for line in table.lines() {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        if fields.next() == Some(&near) && fields.next() == Some(&far) {
            // State, queues, timer and retransmits stand between; behind it a count of timeouts.
            let (user, inode) = (fields.nth(4), fields.nth(1));
            let open = inode.is_some_and(|inode| inode != "0");
            return Ok(user.filter(|_| open).and_then(|user| user.parse().ok()));
        }
    }
    Ok(None)
}

/// An address as the table has it: the bytes of the network as one number of this machine.
fn field(address: SocketAddrV4) -> String {
    let number = u32::from_ne_bytes(address.ip().octets());
    format!("{number:08X}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn our_own_connections_are_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let local = server.local_addr().unwrap();
        let us = rustix::process::geteuid().as_raw();
        let are = |users: &[u32], near, far| Peers::of(users.to_vec()).unwrap().have(near, far);
        assert!(are(&[7, us], peer, local).unwrap());
        assert!(!are(&[us + 1], peer, local).unwrap());
        assert!(!are(&[us], local, "127.0.0.1:1".parse().unwrap()).unwrap());
        // Who asks and hangs up at once would pass for root.
        drop(client);
        assert!(!are(&[0, us], peer, local).unwrap());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n   \
             1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 02:000A0000 00000000 65534        0 2 2 0\n   \
             2: 0100007F:D432 0100007F:1F90 05 00000000:00000000 02:000A0000 00000000     0        0 0 2 0\n";
        let at = |port| SocketAddrV4::new([127, 0, 0, 1].into(), port);
        let of = |near, far| owner(table.as_bytes(), at(near), at(far)).unwrap();
        assert_eq!(of(0xD431, 0x1F90), Some(65534));
        assert_eq!(of(0x1F90, 0xD431), Some(0));
        assert_eq!(of(0x1F90, 0x1F90), None);
        assert_eq!(of(0xD432, 0x1F90), None, "closed by its process");
    }
}
