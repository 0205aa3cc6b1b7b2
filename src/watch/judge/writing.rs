//! Writes the verdict, with which a case is closed.

use super::{EVIDENCE, Judge};
use crate::watch::cause::Cause;
use crate::watch::line;
use crate::watch::verdict::{Decision, FullDisk, Outcome, Seen, Source, Verdict};

impl Judge {
    /// Closes the case with a failure, and what its cause suggests.
    pub(super) fn fail(
        &mut self,
        cause: Cause,
        sentence: String,
        seen: Vec<Seen>,
        stop: bool,
    ) -> Decision {
        match cause.hint() {
            Some(hint) => self.fail_with(cause, &sentence, hint, seen, stop),
            None => self.close(cause, sentence, seen, stop),
        }
    }

    /// Closes the case with a failure, and what to do about it.
    pub(super) fn fail_with(
        &mut self,
        cause: Cause,
        sentence: &str,
        hint: &str,
        seen: Vec<Seen>,
        stop: bool,
    ) -> Decision {
        let sentence = sentence.trim_end_matches(['.', ' ', ':']);
        self.close(cause, format!("{sentence}; {hint}"), seen, stop)
    }

    fn close(&mut self, cause: Cause, sentence: String, seen: Vec<Seen>, stop: bool) -> Decision {
        self.decided = true;
        // Where no line did it, the guest's end or our own clock did, just now.
        let decisive = self.decisive.take();
        let decisive = decisive.unwrap_or_else(|| self.seen(Source::GuestState, &sentence));
        let mut console: Vec<String> = Vec::with_capacity(EVIDENCE);
        for text in self.tail.drain(..) {
            let body = line::body(&text);
            if !console.iter().any(|known| line::body(known) == body) {
                console.push(text);
            }
        }
        let about_packages = matches!(
            cause,
            Cause::SourceUnavailable | Cause::SoftwareMissing | Cause::DownloadFailed
        );
        let repositories = if about_packages {
            std::mem::take(&mut self.expectations.repositories)
        } else {
            Vec::new()
        };
        Decision {
            outcome: Outcome::Failure(Box::new(Verdict {
                cause,
                sentence,
                phase: self.progress.phase(),
                at: self.now,
                seen,
                script: None,
                packages: Vec::new(),
                repositories,
                full_disk: (cause == Cause::DiskFull).then_some(FullDisk::Guest),
                console,
            })),
            stop_guest: stop,
            decisive: Some(decisive),
        }
    }
}
