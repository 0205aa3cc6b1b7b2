//! Texts that may explain a failure which shows later.

use crate::watch::cause::Cause;
use crate::watch::line;
use crate::watch::phases::Phase;
use crate::watch::verdict::Seen;

/// How many are remembered. The initramfs repeats the same few.
const MAX: usize = 16;

/// One of them.
#[derive(Debug, Clone)]
pub struct Suspect {
    /// What it would be.
    pub cause: Cause,
    /// The smaller, the more it explains; see
    /// [`Certainty`](crate::watch::texts::pattern::Certainty).
    pub weight: u8,
    /// The line.
    pub seen: Seen,
}

impl Suspect {
    /// Its text, without what stands before it.
    pub fn text(&self) -> &str {
        line::body(&self.seen.text)
    }
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub struct Suspects(Vec<Suspect>);

impl Suspects {
    /// Takes another one; a text that is known is no news.
    pub fn add(&mut self, cause: Cause, weight: u8, seen: Seen) {
        let suspect = Suspect {
            cause,
            weight,
            seen,
        };
        let known = self.0.iter().any(|known| known.text() == suspect.text());
        if self.0.len() < MAX && !known {
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

    /// The first that points to `cause`.
    pub fn of(&self, cause: Cause) -> Option<&Suspect> {
        self.0.iter().find(|suspect| suspect.cause == cause)
    }

    /// What points to a cause like the best one's.
    pub fn supporting(&self, cause: Cause) -> impl Iterator<Item = &Suspect> {
        self.0.iter().filter(move |suspect| suspect.cause == cause)
    }

    /// The install has come to `phase`: what would have kept it from there was mended.
    pub fn forget_mended(&mut self, phase: Phase) {
        self.0.retain(|suspect| match suspect.cause {
            cause if cause.of_the_initramfs() => phase < Phase::Stage2,
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
