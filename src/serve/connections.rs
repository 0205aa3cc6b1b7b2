//! The open connections: how many there are, and how to end them from outside.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::sync::lock;

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
