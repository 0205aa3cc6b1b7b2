//! Texts that may explain a failure which shows later.

use crate::watch::cause::Cause;
use crate::watch::line;
use crate::watch::phases::Phase;
use crate::watch::texts::{Certainty, Found};
use crate::watch::verdict::Seen;

/// How many of one cause are remembered. The initramfs repeats the same few.
const MAX: usize = 8;

/// One of them.
#[derive(Debug, Clone)]
pub struct Suspect {
    /// What it would be.
    pub cause: Cause,
    /// The smaller, the more it explains: 0 for a reason, and one more than the number of a
    /// [`Certainty::Suspect`].
    weight: u8,
    /// Whether it counts only as long as the initramfs runs.
    of_initramfs: bool,
    /// The line.
    pub seen: Seen,
}

impl Suspect {
    /// Its text, without what stands before it: of a traceback the last line, of the package
    /// manager's problems the one that names what is not there.
    pub fn text(&self) -> &str {
        let text = self.seen.text.trim_end();
        let mut lines = text.lines().map(line::body);
        let what = |line: &str| line.contains("nothing provides ");
        if let Some(problem) = lines.clone().find(|line| what(line)) {
            return problem.trim_start_matches("- ");
        }
        match self.weight {
            0 if lines.clone().count() > 1 => text,
            0 => {
                let text = line::body(text);
                text.strip_prefix("Storage configuration has failed: ")
                    .unwrap_or(text)
            }
            _ => lines.next_back().unwrap_or_default(),
        }
    }

    /// Whether it names what failed, and not only a consequence.
    pub fn is_telling(&self) -> bool {
        self.weight <= 1
    }
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub struct Suspects(Vec<Suspect>);

impl Suspects {
    /// Takes another one; a text that is known is no news.
    pub fn add(&mut self, found: Found, seen: Seen) {
        let suspect = Suspect {
            cause: found.cause,
            weight: match found.certainty {
                Certainty::Suspect(number) => number + 1,
                _ => 0,
            },
            of_initramfs: found.of_initramfs,
            seen,
        };
        let known = |known: &Suspect| {
            known.text() == suspect.text()
                && (known.cause, known.weight) <= (suspect.cause, suspect.weight)
        };
        let alike = self.0.iter().filter(|other| other.cause == suspect.cause);
        if alike.count() < MAX && !self.0.iter().any(known) {
            self.0.push(suspect);
        }
    }

    /// The most telling one. What had to come first explains what did not come after, and of
    /// the same cause the first text counts.
    pub fn best(&self) -> Option<&Suspect> {
        self.0
            .iter()
            .min_by_key(|suspect| (suspect.weight, suspect.cause))
    }

    /// The most telling one of those that name one of these causes.
    pub fn best_of(&self, causes: &[Cause]) -> Option<&Suspect> {
        let named = |suspect: &&Suspect| suspect.is_telling() && causes.contains(&suspect.cause);
        let named = self.0.iter().filter(named);
        named.min_by_key(|suspect| (suspect.weight, suspect.cause))
    }

    /// The reason of what failed in this way, if one was given.
    pub fn reason(&self, cause: Cause) -> Option<&Suspect> {
        self.best_of(&[cause]).filter(|suspect| suspect.weight == 0)
    }

    /// What a suspect says, and what curl said of it, if curl said anything: the status, or that
    /// nobody listens.
    pub fn told(&self, suspect: &Suspect) -> String {
        let text = suspect.text();
        let by_curl = |other: &&Suspect| other.text().starts_with("curl: (");
        match self.0.iter().rev().find(by_curl) {
            Some(curl) if text.contains("failed to fetch") => format!("{text} ({})", curl.text()),
            _ => text.to_owned(),
        }
    }

    /// The first that points to `cause`.
    pub fn of(&self, cause: Cause) -> Option<&Suspect> {
        self.supporting(cause).next()
    }

    /// What points to a cause like the best one's.
    pub fn supporting(&self, cause: Cause) -> impl Iterator<Item = &Suspect> {
        self.0.iter().filter(move |suspect| suspect.cause == cause)
    }

    /// The install has come to `phase`: what would have kept it from there was mended.
    pub fn forget_mended(&mut self, phase: Phase) {
        self.0.retain(|suspect| match suspect.cause {
            _ if suspect.of_initramfs || suspect.cause.of_the_initramfs() => phase < Phase::Stage2,
            Cause::StorageFailed => phase <= Phase::Storage,
            Cause::SourceUnavailable | Cause::DownloadFailed | Cause::SoftwareMissing => {
                phase < Phase::Packages
            }
            _ => true,
        });
    }

    /// The kickstart was fetched: it can be reached, and the network works.
    pub fn forget_kickstart(&mut self) {
        self.0.retain(|suspect| {
            !matches!(
                suspect.cause,
                Cause::KickstartUnreachable | Cause::NetworkFailed
            )
        });
    }
}

/// What a line of our server's log points to, when it could not serve what was asked for. Most
/// of what an installer asks for in vain it can do without (`updates.img`, `product.img`).
pub fn cause_of_refusal(line: &str) -> Option<Cause> {
    if line.starts_with("kickstart: ") {
        return Some(Cause::KickstartUnreachable);
    }
    let path = line.split(' ').find(|word| word.contains('/'))?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.trim_end_matches(':');
    Some(match name {
        "install.img" | "squashfs.img" => Cause::Stage2Unavailable,
        "repomd.xml" => Cause::SourceUnavailable,
        name if name.ends_with(".rpm") => Cause::DownloadFailed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::verdict::Source;

    fn suspects(all: &[(Cause, Certainty)]) -> Suspects {
        let mut suspects = Suspects::default();
        for (number, (cause, certainty)) in all.iter().enumerate() {
            let seen = Seen {
                source: Source::Console,
                at: Duration::ZERO,
                text: format!("line {number}"),
            };
            suspects.add(Found::new(*cause, *certainty), seen);
        }
        suspects
    }

    #[test]
    fn the_most_telling_counts_and_then_what_comes_first_in_an_install() {
        use Certainty::{Reason, Suspect};
        for (all, best) in [
            (
                &[
                    (Cause::StorageFailed, Suspect(0)),
                    (Cause::SoftwareMissing, Suspect(0)),
                ][..],
                "line 1",
            ),
            (
                &[
                    (Cause::StorageFailed, Reason),
                    (Cause::SoftwareMissing, Suspect(0)),
                ],
                "line 0",
            ),
            (
                &[
                    (Cause::StorageFailed, Suspect(1)),
                    (Cause::StorageFailed, Suspect(1)),
                ],
                "line 0",
            ),
        ] {
            assert_eq!(suspects(all).best().unwrap().text(), best, "{all:?}");
        }
    }

    /// dracut repeats its complaints for ever: they leave room for others.
    #[test]
    fn a_text_that_is_known_is_no_news() {
        let mut suspects = Suspects::default();
        let mut say = |text: &str| {
            let seen = Seen {
                source: Source::Console,
                at: Duration::ZERO,
                text: text.to_owned(),
            };
            let found = Found::new(Cause::StorageFailed, Certainty::Suspect(0));
            suspects.add(found, seen);
        };
        for _ in 0..2 * MAX {
            say("the same");
        }
        say("another");
        let texts = suspects.supporting(Cause::StorageFailed);
        assert!(texts.map(Suspect::text).eq(["the same", "another"]));
    }

    /// Each cause is forgotten in the phase that shows that it was mended, and not before.
    #[test]
    fn what_was_mended_is_forgotten_in_time() {
        for (cause, last) in [
            (Cause::NetworkFailed, Phase::Initramfs),
            (Cause::SourceUnavailable, Phase::Downloading),
            (Cause::StorageFailed, Phase::Storage),
            (Cause::OutOfMemory, Phase::ShuttingDown),
        ] {
            for phase in Phase::ALL.iter().copied() {
                let mut suspects = suspects(&[(cause, Certainty::Suspect(0))]);
                suspects.forget_mended(phase);
                assert_eq!(
                    suspects.of(cause).is_some(),
                    phase <= last,
                    "{cause} {phase:?}"
                );
            }
        }
    }
}
