//! The live line on a terminal: name, phase, bar, packages, time passed and time left, at the
//! bottom of what is printed. Notes, warnings and findings are printed above it; at the end a plain
//! line takes its place.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::drawn_over;
use super::event::{self, Ended, Event, Progress};
use super::printer::Printer;
use super::queue::{Clock, Moment, Show};
use crate::panics::lock;
use crate::printable;

/// How often the line is drawn: often enough for the seconds to pass evenly and for a new phase to
/// show at once, seldom enough for a slow remote shell.
const REDRAW: Duration = Duration::from_millis(250);

/// The same, as the most draws a second.
const MOST_DRAWS: u8 = 8;

/// The bar is not shorter than this, in characters, or not there.
const SHORTEST_BAR: usize = 10;
/// Longer ones say no more.
const LONGEST_BAR: usize = 30;

/// What stands between the parts of the line.
const GAP: &str = "  ";

/// The columns of a terminal that does not tell.
const COLUMNS: usize = 80;

/// Whether standard error is a terminal on which a line can be drawn over.
pub fn is_possible() -> bool {
    use std::io::IsTerminal;

    let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    able && std::io::stderr().is_terminal()
}

/// Shows a build as a live line, and what is to be read as lines above it.
#[derive(Debug)]
pub struct Live {
    printer: Printer,
    line: Arc<Mutex<Line>>,
    /// From the start of the build to its end.
    bar: Option<ProgressBar>,
    clock: Clock,
}

/// What the line shows.
#[derive(Debug, Clone, Default)]
struct Line {
    name: String,
    /// What goes on.
    title: String,
    progress: Option<Progress>,
    /// How long it goes on, if it is no install.
    left: Option<Duration>,
    /// The furthest that the bar has been: it does not go back, not even for another attempt.
    percent: u8,
    /// When the build began.
    began: Duration,
    /// When the estimate of what is left was made.
    estimated: Duration,
}

impl Live {
    /// A display that prints with `printer` what is to be read. `clock` is that of the events.
    pub fn new(printer: Printer, clock: Clock) -> Self {
        Live {
            printer: printer.without_steps(),
            line: Arc::default(),
            bar: None,
            clock,
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }

    fn draw_from_now_on(&mut self) {
        let (line, clock) = (Arc::clone(&self.line), self.clock);
        let text = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let line = lock(&line);
            // Writing into a string does not fail.
            let _ = out.write_str(&line.in_columns(columns(), clock.now().since_start));
        };
        // The template is ours: it parses.
        let Ok(style) = ProgressStyle::with_template("{line}") else {
            return;
        };
        let target = drawn_over::stderr(MOST_DRAWS);
        let bar =
            ProgressBar::with_draw_target(None, target).with_style(style.with_key("line", text));
        bar.enable_steady_tick(REDRAW);
        self.bar = Some(bar);
    }

    fn print(&self, moment: Moment, event: Event) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.print(moment, event)),
            None => self.printer.print(moment, event),
        }
    }

    /// Clears the line, and says in its place how the build ended.
    fn end(&mut self, moment: Moment, ended: &Ended) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            let text = self.line().at_the_end(moment.since_start, ended);
            self.printer.result(&text);
        }
    }
}

impl Show for Live {
    fn show(&mut self, moment: Moment, event: Event) {
        match event {
            Event::BuildStarted { name, .. } => {
                *self.line() = Line {
                    name,
                    title: "preparing the build".to_owned(),
                    began: moment.since_start,
                    ..Line::default()
                };
                self.draw_from_now_on();
            }
            // Before a build there is no line.
            Event::Step(text) if self.bar.is_none() => {
                self.print(moment, Event::Detail(text));
            }
            Event::Step(text) => self.line().title = printable::line(&text).into_owned(),
            Event::Phase(phase) => self.line().title = phase.title().to_owned(),
            Event::Progress(progress) => {
                let mut line = self.line();
                line.percent = line.percent.max(progress.percent);
                line.estimated = moment.since_start;
                line.progress = Some(progress);
            }
            Event::Transfer(transfer) => {
                let begins = self.bar.is_none();
                let counted = transfer.count();
                let mut line = self.line();
                if begins {
                    *line = Line {
                        name: transfer.name,
                        began: moment.since_start,
                        ..Line::default()
                    };
                }
                line.percent = transfer.percent.unwrap_or(0);
                line.title = format!("{} {counted}", transfer.doing);
                line.left = transfer.remaining;
                line.estimated = moment.since_start;
                drop(line);
                if begins {
                    self.draw_from_now_on();
                }
            }
            Event::Verdict(judged) => {
                self.line().title = format!("ending the guest: {}", judged.title);
            }
            Event::Ended(ended) => self.end(moment, &ended),
            other => self.print(moment, other),
        }
    }
}

impl Line {
    /// The line, no wider than `columns`, at `now`. What matters least goes first.
    fn in_columns(&self, columns: usize, now: Duration) -> String {
        // A character in the last column makes some terminals begin a new line.
        let room = columns.saturating_sub(1);
        let percent = format!("{:2}%", self.percent);
        let elapsed = event::elapsed(now.saturating_sub(self.began));
        let progress = self.progress.as_ref();
        let left = progress.map_or(self.left, |progress| progress.remaining);
        let left = left.map(|left| {
            let passed = now.saturating_sub(self.estimated);
            event::remaining(left.saturating_sub(passed))
        });
        let (name, title) = (Some(&self.name), Some(&self.title));
        let counted = self.counted();
        let (counted, elapsed, left) = (Some(&counted), Some(&elapsed), left.as_ref());
        let choices = [
            (true, [counted, elapsed, left]),
            (true, [counted, None, left]),
            (false, [counted, None, left]),
            (false, [counted, None, None]),
            (false, [title, None, None]),
        ];
        for (with_bar, rest) in choices {
            let fixed = [name, Some(&percent)].into_iter().chain(rest).flatten();
            let fixed: Vec<&str> = fixed.map(String::as_str).collect();
            let taken = width(&fixed.join(GAP));
            if !with_bar && taken <= room {
                return fixed.join(GAP);
            }
            // The brackets around the bar, and the gap behind it.
            let bar = room.saturating_sub(taken + 2 + GAP.len());
            if with_bar && bar >= SHORTEST_BAR {
                let bar = bar.min(columns / 4).clamp(SHORTEST_BAR, LONGEST_BAR);
                let bar = format!("[{}]", drawn(bar, self.percent));
                let parts = [&[fixed[0], &bar], &fixed[1..]].concat();
                return parts.join(GAP);
            }
        }
        // The name stands on the command line, too.
        let [of_title, of_name] =
            [&self.title, &self.name].map(|what| format!("{}{GAP}{what}", percent.trim_start()));
        match width(&of_title) <= room {
            true => of_title,
            false => cut(&of_name, room),
        }
    }

    /// What goes on, with how many are done of what is counted in it.
    fn counted(&self) -> String {
        let title = &self.title;
        let progress = self.progress.as_ref();
        // Of an earlier phase it says nothing any more.
        let progress = progress.filter(|progress| progress.phase.title() == title.as_str());
        let count = progress.and_then(Progress::count);
        match count {
            Some(count) => format!("{title} {count}"),
            None => title.clone(),
        }
    }

    /// What stands in its place when the build is over.
    fn at_the_end(&self, now: Duration, ended: &Ended) -> String {
        let (name, took) = (&self.name, event::elapsed(now.saturating_sub(self.began)));
        if ended.exit_status != 0 {
            let doing = match &self.progress {
                Some(progress) => format!(" at {}%, {}", self.percent, progress.phase.title()),
                None => String::new(),
            };
            return format!("{name}: failed after {took}{doing}");
        }
        let packages = self
            .progress
            .as_ref()
            .and_then(|progress| progress.packages);
        let packages = packages.map(|packages| format!(", {} packages", packages.done));
        format!("{name}: done in {took}{}", packages.unwrap_or_default())
    }
}

/// The inside of a bar of so many characters.
fn drawn(characters: usize, percent: u8) -> String {
    let done = characters * usize::from(percent.min(100)) / 100;
    let head = if done < characters { ">" } else { "" };
    let rest = characters - done - head.len();
    format!("{}{head}{}", "=".repeat(done), " ".repeat(rest))
}

fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// The beginning of a text that has room, with dots if it is not all.
fn cut(text: &str, room: usize) -> String {
    let dots = if room > 3 { "..." } else { "" };
    console::truncate_str(text, room, dots).into_owned()
}

/// The columns of the terminal, which may change at any time.
pub(super) fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => COLUMNS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::phases::Phase;
    use crate::watch::progress::Counted;

    fn line() -> Line {
        Line {
            name: "rocky-9".to_owned(),
            title: "installing packages".to_owned(),
            progress: Some(Progress {
                phase: Phase::Packages,
                percent: 63,
                packages: Some(Counted {
                    done: 212,
                    total: 412,
                }),
                download: None,
                elapsed: Duration::from_secs(250),
                remaining: Some(Duration::from_secs(170)),
            }),
            left: None,
            percent: 63,
            began: Duration::from_secs(2),
            estimated: Duration::from_secs(250),
        }
    }

    #[test]
    fn what_matters_least_goes_first() {
        let (line, now) = (line(), Duration::from_secs(254));
        for (columns, expected) in [
            (
                120,
                "rocky-9  [==================>           ]  63%  installing packages 212/412  4:12  about 3 min left",
            ),
            (
                80,
                "rocky-9  [======>   ]  63%  installing packages 212/412  4:12  about 3 min left",
            ),
            (
                75,
                "rocky-9  [======>    ]  63%  installing packages 212/412  about 3 min left",
            ),
            (
                70,
                "rocky-9  63%  installing packages 212/412  about 3 min left",
            ),
            (45, "rocky-9  63%  installing packages 212/412"),
            (37, "rocky-9  63%  installing packages"),
            (30, "63%  installing packages"),
            (20, "63%  rocky-9"),
            (11, "63%  ro..."),
            (1, ""),
        ] {
            let text = line.in_columns(columns, now);
            assert_eq!(text, expected, "{columns}");
        }
        for columns in 0..200 {
            let text = line.in_columns(columns, now);
            assert!(width(&text) < columns.max(1), "{columns}: {text:?}");
        }
    }

    #[test]
    fn only_what_is_counted_in_this_phase_is_shown() {
        let mut line = line();
        line.title = "finishing the image".to_owned();
        assert_eq!(line.counted(), "finishing the image");
        line.title = "installing packages".to_owned();
        assert_eq!(line.counted(), "installing packages 212/412");
    }

    #[test]
    fn wide_characters_count_as_two() {
        let line = Line {
            name: "\u{65e5}\u{672c}\u{8a9e}".to_owned(),
            ..line()
        };
        for columns in 1..120 {
            let text = line.in_columns(columns, Duration::from_secs(254));
            assert!(width(&text) < columns, "{columns}: {text:?}");
        }
    }

    #[test]
    fn the_estimate_runs_on_between_two_of_them() {
        let text = line().in_columns(120, Duration::from_secs(250 + 120));
        assert!(text.ends_with("  6:08  about 1 min left"), "{text}");
    }

    #[test]
    fn the_bar_never_goes_back() {
        let mut live = Live::new(
            Printer::new(
                crate::ui::printer::Verbosity::Quiet,
                crate::ui::printer::Color::Never,
            ),
            Clock::start(),
        );
        let mut last = 0;
        for percent in [0, 5, 40, 20, 41, 0, 99] {
            let progress = Progress {
                percent,
                ..line().progress.unwrap()
            };
            live.show(Clock::start().now(), Event::Progress(progress));
            assert!(live.line().percent >= last);
            last = live.line().percent;
        }
        assert_eq!(last, 99);
        assert_eq!(drawn(10, 0), ">         ");
        assert_eq!(drawn(10, 99), "=========>");
        assert_eq!(drawn(10, 100), "==========");
    }

    #[test]
    fn the_end_is_one_plain_line() {
        let mut ended = Ended::default();
        let text = line().at_the_end(Duration::from_secs(100), &ended);
        assert_eq!(text, "rocky-9: done in 1:38, 212 packages");
        ended.exit_status = 1;
        let text = line().at_the_end(Duration::from_secs(100), &ended);
        assert_eq!(
            text,
            "rocky-9: failed after 1:38 at 63%, installing packages"
        );
    }
}
