//! A queue between those who report and whoever shows it: a thread of its own writes, so that a
//! terminal that was stopped, a pipe that nobody reads or a slow disk holds no build up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::event::{Event, Sink};
use crate::panics::lock;

/// How many events wait at most. A verbose install prints some ten thousand lines in all; this
/// many lie in some megabytes of memory.
const LIMIT: usize = 10_000;

/// How many more may wait of those that must not be lost.
const RESERVE: usize = 1_000;

/// How long the end of a command waits until everything is shown. Short: a reader who has read
/// nothing until now will not begin, and the process is to end within seconds of the verdict.
const PATIENCE: Duration = Duration::from_secs(1);

/// When an event happened.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the host's clock when the command began, plus what has passed since: never goes back.
    pub time: SystemTime,
    /// Since the command began.
    pub since_start: Duration,
}

/// Counts from the start of a command.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: SystemTime,
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Clock {
            began: SystemTime::now(),
            started: Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        let since_start = self.started.elapsed();
        Moment {
            time: self.began + since_start,
            since_start,
        }
    }
}

/// Shows events, one after the other. It may block.
pub trait Show: Send {
    /// Shows one event that happened at `moment`.
    fn show(&mut self, moment: Moment, event: Event);
}

/// A sink that never blocks, save at [`Event::Ended`]: that one waits a little until all is shown.
/// What comes while the queue is full is left out, and [`Event::Lost`] says how much.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    clock: Clock,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Moment, Event)>,
    lost: u64,
    /// One was taken out and is being shown.
    busy: bool,
    /// Nobody will put one in any more.
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Queue {
    /// Starts the thread that shows with `show`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(show: Box<dyn Show>, clock: Clock) -> std::io::Result<Self> {
        Queue::with_limit(show, clock, LIMIT)
    }

    fn with_limit(mut show: Box<dyn Show>, clock: Clock, limit: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            limit,
        });
        let ours = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("ozr-display".to_owned())
            .spawn(move || ours.show_all(show.as_mut()))?;
        Ok(Queue { shared, clock })
    }
}

impl Shared {
    fn show_all(&self, show: &mut dyn Show) {
        let mut state = self.lock();
        loop {
            state.busy = false;
            self.changed.notify_all();
            let Some((moment, event)) = state.waiting.pop_front() else {
                if state.closed {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.busy = true;
            drop(state);
            show.show(moment, event);
            state = self.lock();
        }
    }
}

/// Whether an event may not be left out while there is room for it at all.
fn is_important(event: &Event) -> bool {
    !matches!(
        event,
        Event::Console(_) | Event::Detail(_) | Event::Progress(_) | Event::Transfer(_)
    )
}

impl Sink for Queue {
    fn take(&self, event: Event) {
        let last = matches!(event, Event::Ended(_));
        let mut state = self.shared.lock();
        // Stamped under the lock: events are in the order of their times.
        let moment = self.clock.now();
        let room = match is_important(&event) {
            true => self.shared.limit + RESERVE,
            false => self.shared.limit,
        };
        if state.waiting.len() >= room && !last {
            state.lost += 1;
            return;
        }
        if state.lost > 0 {
            let count = std::mem::take(&mut state.lost);
            state.waiting.push_back((moment, Event::Lost { count }));
        }
        state.waiting.push_back((moment, event));
        self.shared.changed.notify_all();
        if last {
            let pending = |state: &mut State| state.busy || !state.waiting.is_empty();
            let _ = self
                .shared
                .changed
                .wait_timeout_while(state, PATIENCE, pending);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::ui::event::Ended;

    /// Shows what it is allowed to show.
    struct Gated {
        gate: Receiver<()>,
        shown: Sender<(Duration, Event)>,
    }

    impl Show for Gated {
        fn show(&mut self, moment: Moment, event: Event) {
            let _ = self.gate.recv();
            let _ = self.shown.send((moment.since_start, event));
        }
    }

    fn gated(limit: usize) -> (Queue, Sender<()>, Receiver<(Duration, Event)>) {
        let (open, gate) = channel();
        let (shown, see) = channel();
        let queue = Queue::with_limit(Box::new(Gated { gate, shown }), Clock::start(), limit);
        (queue.unwrap(), open, see)
    }

    #[test]
    fn a_reader_who_does_not_read_holds_nobody_up() {
        let (queue, open, see) = gated(10);
        for number in 0..100 {
            queue.take(Event::Console(number.to_string()));
        }
        // Returns, though nothing of it can be shown.
        queue.take(Event::Ended(Ended::default()));
        drop(open);
        drop(queue);
        let shown: Vec<Event> = see.iter().map(|(_, event)| event).collect();
        let lost: u64 = shown
            .iter()
            .map(|event| match event {
                Event::Lost { count } => *count,
                _ => 0,
            })
            .sum();
        let lines = shown
            .iter()
            .filter(|event| matches!(event, Event::Console(_)))
            .count();
        assert_eq!(lines as u64 + lost, 100);
        assert!(lost >= 89, "{lost}");
        assert!(matches!(shown.last(), Some(Event::Ended(_))));
    }

    #[test]
    fn the_end_waits_until_all_is_shown_and_times_never_go_back() {
        let (queue, open, see) = gated(LIMIT);
        for number in 0..50 {
            open.send(()).unwrap();
            queue.take(Event::Step(number.to_string()));
        }
        open.send(()).unwrap();
        queue.take(Event::Ended(Ended::default()));
        let shown: Vec<(Duration, Event)> = see.try_iter().collect();
        assert_eq!(shown.len(), 51);
        assert!(shown.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert!(matches!(&shown[3].1, Event::Step(text) if text == "3"));
    }
}
