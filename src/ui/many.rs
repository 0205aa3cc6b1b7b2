//! Several builds at once: on a terminal a line for each at the bottom, drawn over and over, and below them how many
//! wait; else plain lines, each with its build's name.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::drawn_over;
use super::event::{self, Event};
use super::live::columns;
use super::printer::Printer;
use super::queue::{Clock, Show as _};
use crate::panics::lock;
use crate::printable;

/// The most draws a second: seldom enough for a slow remote shell.
const MOST_DRAWS: u8 = 8;

/// How often the times of the lines are drawn anew.
const REDRAW: Duration = Duration::from_millis(500);

/// How often a build that lasts is heard of where lines are plain: a dozen of them is a line in some seconds.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// The display of several builds.
#[derive(Clone)]
pub struct Many(Arc<Shared>);

struct Shared {
    printer: Mutex<Printer>,
    clock: Clock,
    /// Where lines are drawn, if they are.
    lines: Option<MultiProgress>,
    /// The warnings that were shown: what is said of one build is mostly said of all.
    said: Mutex<HashSet<String>>,
    /// How many wait.
    waiting: Mutex<Option<ProgressBar>>,
}

impl fmt::Debug for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Many")
    }
}

impl Many {
    /// A display that prints with `printer` what is to be read; with lines that are drawn over if `live`.
    pub fn new(printer: Printer, live: bool, clock: Clock) -> Many {
        let target = || drawn_over::stderr(MOST_DRAWS);
        let printer = match live {
            true => printer.without_steps(),
            false => printer,
        };
        Many(Arc::new(Shared {
            printer: Mutex::new(printer),
            clock,
            lines: live.then(|| MultiProgress::with_draw_target(target())),
            said: Mutex::default(),
            waiting: Mutex::new(None),
        }))
    }

    /// A warning was shown elsewhere, and is not to be repeated by each build.
    pub fn is_said(&self, text: &str) {
        lock(&self.0.said).insert(text.to_owned());
    }

    /// A build begins.
    pub fn begin(&self, name: &str) -> Row {
        let row = Row {
            many: self.clone(),
            name: name.to_owned(),
            began: self.0.clock.now().since_start,
            state: Arc::default(),
            bar: self.0.lines.as_ref().map(|lines| {
                let bar = ProgressBar::no_length();
                match &*lock(&self.0.waiting) {
                    Some(waiting) => lines.insert_before(waiting, bar),
                    None => lines.add(bar),
                }
            }),
        };
        if let Some(bar) = &row.bar {
            let (state, clock, began) = (Arc::clone(&row.state), self.0.clock, row.began);
            let name = row.name.clone();
            draw(bar, move || {
                let passed = clock.now().since_start.saturating_sub(began);
                lock(&state).line(&name, passed)
            });
        }
        row.doing("starting");
        row
    }

    /// So many builds wait for their turn.
    pub fn waiting(&self, count: usize) {
        let Some(lines) = &self.0.lines else {
            return;
        };
        let mut waiting = lock(&self.0.waiting);
        if let Some(bar) = waiting.take() {
            bar.finish_and_clear();
            lines.remove(&bar);
        }
        if count > 0 {
            let bar = lines.add(ProgressBar::no_length());
            draw(&bar, move || format!("{count} more wait"));
            *waiting = Some(bar);
        }
    }

    /// Something to be read.
    pub fn note(&self, text: &str) {
        self.print(Event::Note(text.to_owned()));
    }

    /// Nothing is drawn any more.
    pub fn end(&self) {
        self.waiting(0);
        if let Some(lines) = &self.0.lines {
            // What cannot be cleared is a closed terminal.
            let _ = lines.clear();
        }
    }

    fn print(&self, event: Event) {
        let moment = self.0.clock.now();
        let print = || lock(&self.0.printer).show(moment, event);
        match &self.0.lines {
            Some(lines) => lines.suspend(print),
            None => print(),
        }
    }
}

fn draw(bar: &ProgressBar, text: impl Fn() -> String + Clone + Send + Sync + 'static) {
    let line = move |_: &indicatif::ProgressState, out: &mut dyn fmt::Write| {
        let room = columns().saturating_sub(1);
        // Writing into a string does not fail.
        let _ = out.write_str(&console::truncate_str(&text(), room, "..."));
    };
    // The template is ours: it parses.
    if let Ok(style) = ProgressStyle::with_template("{line}") {
        bar.set_style(style.with_key("line", line));
        bar.enable_steady_tick(REDRAW);
    }
}

/// The line of a build.
#[derive(Debug)]
pub struct Row {
    many: Many,
    name: String,
    began: Duration,
    state: Arc<Mutex<State>>,
    bar: Option<ProgressBar>,
}

#[derive(Debug, Default)]
struct State {
    doing: String,
    percent: u8,
    remaining: Option<f64>,
    /// When it was heard of last.
    heard: Duration,
}

impl State {
    fn line(&self, name: &str, passed: Duration) -> String {
        let left = self
            .remaining
            .filter(|left| left.is_finite() && *left >= 0.0);
        let left = left.map(|left| event::remaining(Duration::from_secs_f64(left.min(1e9))));
        let left = left.map_or(String::new(), |left| format!("  {left}"));
        let (percent, passed) = (self.percent, event::elapsed(passed));
        format!("{name}  {percent:2}%  {}  {passed}{left}", self.doing)
    }
}

impl Row {
    /// What goes on.
    pub fn doing(&self, what: &str) {
        let what = printable::line(what).into_owned();
        let mut state = lock(&self.state);
        state.heard = self.many.0.clock.now().since_start;
        state.doing.clone_from(&what);
        drop(state);
        if self.bar.is_none() {
            self.many
                .print(Event::Step(format!("{}: {what}", self.name)));
        }
    }

    /// How far it is, and how long it goes on, in seconds.
    pub fn progress(&self, percent: u8, remaining: Option<f64>) {
        let now = self.many.0.clock.now().since_start;
        let mut state = lock(&self.state);
        state.percent = state.percent.max(percent);
        state.remaining = remaining;
        let silent = self.bar.is_none() && now >= state.heard + SIGN_OF_LIFE;
        if silent {
            state.heard = now;
            let line = state.line(&self.name, now.saturating_sub(self.began));
            drop(state);
            self.many.print(Event::Step(line));
        }
    }

    /// Something that is probably not as meant; of several builds it is said once.
    pub fn warn(&self, text: &str) {
        if !lock(&self.many.0.said).insert(text.to_owned()) {
            return;
        }
        self.many
            .print(Event::Warning(format!("{}: {text}", self.name)));
    }

    /// Something that is wrong.
    pub fn error(&self, text: &str) {
        self.many
            .print(Event::Error(format!("{}: {text}", self.name)));
    }

    /// The build is over: its line goes, and one that stays says how, and why.
    pub fn end(self, how: &str, why: Option<&str>) {
        if let (Some(bar), Some(lines)) = (&self.bar, &self.many.0.lines) {
            bar.finish_and_clear();
            lines.remove(bar);
        }
        if let Some(why) = why {
            self.error(why);
        }
        let moment = self.many.0.clock.now();
        let text = format!("{}: {how}", self.name);
        let print = || lock(&self.many.0.printer).ended(moment, &text);
        match &self.many.0.lines {
            Some(lines) => lines.suspend(print),
            None => print(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_goes_on_and_how_long_it_lasts() {
        let mut state = State {
            doing: "installing packages".to_owned(),
            percent: 7,
            remaining: Some(170.0),
            heard: Duration::ZERO,
        };
        let passed = Duration::from_secs(65);
        assert_eq!(
            state.line("web-9", passed),
            "web-9   7%  installing packages  1:05  about 3 min left"
        );
        state.remaining = Some(f64::NAN);
        assert_eq!(
            state.line("web-9", passed),
            "web-9   7%  installing packages  1:05"
        );
    }
}
