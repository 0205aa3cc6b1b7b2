//! Work for all processors, whose results come in the order of the work.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};

type Work = Box<dyn FnOnce() + Send>;

/// As many threads as there are processors. They end when the last handle is dropped.
#[derive(Clone)]
pub struct Pool {
    work: Sender<Work>,
    threads: usize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool of {}", self.threads)
    }
}

impl Pool {
    /// Starts the threads.
    pub fn start() -> Pool {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (work, to_do) = channel::<Work>();
        let to_do = Arc::new(Mutex::new(to_do));
        for _ in 0..threads {
            let to_do = Arc::clone(&to_do);
            std::thread::spawn(move || {
                loop {
                    let next = to_do.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match next {
                        Ok(work) => work(),
                        Err(_) => break,
                    }
                }
            });
        }
        Pool { work, threads }
    }

    /// A queue of work in this pool.
    pub fn queue<T: Send + 'static>(&self) -> Queue<T> {
        Queue {
            pool: self.clone(),
            waiting: VecDeque::new(),
        }
    }
}

/// Work that was begun, in its order. Never holds more than two results for each processor.
#[derive(Debug)]
pub struct Queue<T> {
    pool: Pool,
    waiting: VecDeque<Receiver<T>>,
}

impl<T: Send + 'static> Queue<T> {
    /// Begins some work. Gives the oldest result where the queue is full.
    ///
    /// # Errors
    /// A defect ended the oldest work.
    pub fn push(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<Option<T>> {
        let (done, result) = sync_channel(1);
        let work = Box::new(move || give(&done, work()));
        let sent = self.pool.work.send(work);
        sent.map_err(|_| anyhow!("a defect ended all threads"))?;
        self.wait_for(result)
    }

    /// Puts a result that is there already behind the others, as [`Queue::push`] does.
    ///
    /// # Errors
    /// A defect ended the oldest work.
    pub fn push_done(&mut self, result: T) -> Result<Option<T>> {
        let (done, waiting) = sync_channel(1);
        give(&done, result);
        self.wait_for(waiting)
    }

    fn wait_for(&mut self, result: Receiver<T>) -> Result<Option<T>> {
        self.waiting.push_back(result);
        match self.waiting.len() > 2 * self.pool.threads {
            true => self.pop(),
            false => Ok(None),
        }
    }

    /// Waits for the oldest result; nothing if there is none.
    ///
    /// # Errors
    /// A defect ended its work.
    pub fn pop(&mut self) -> Result<Option<T>> {
        let oldest = self.waiting.pop_front();
        let result = oldest.map(|result| result.recv());
        result.transpose().context("a defect ended a thread")
    }
}

/// Nobody waits any more where another part has failed.
fn give<T>(to: &SyncSender<T>, result: T) {
    let _ = to.send(result);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let mut queue = Pool::start().queue();
        let mut all = Vec::new();
        for number in 0..200_u64 {
            let result = match number % 7 {
                0 => queue.push_done(number),
                _ => queue.push(move || {
                    std::thread::sleep(Duration::from_micros(number * 37 % 500));
                    number
                }),
            };
            all.extend(result.unwrap());
        }
        while let Some(result) = queue.pop().unwrap() {
            all.push(result);
        }
        assert!(all.into_iter().eq(0..200));
    }

    #[test]
    fn a_defect_is_an_error() {
        let mut queue = Pool::start().queue::<()>();
        queue.push(|| panic!("as tests do")).unwrap();
        assert!(queue.pop().is_err());
    }
}
