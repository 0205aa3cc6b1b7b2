//! Asking a person for a secret, at the terminal that ozr was started from.
//!
//! The question stands on the terminal itself: standard input may be a kickstart, standard output is for
//! scripts and standard error for progress.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use anyhow::Context;
use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Classify, Kind, fail, failed};

/// How long somebody may take to type an answer: as long as a signer's program.
const PATIENCE: Duration = Duration::from_secs(300);

/// The terminal, and how it was: dropping this makes it so again.
#[derive(Debug)]
struct Silenced {
    terminal: File,
    /// The same, as tokio reads it.
    typed: Receiver,
    before: Termios,
}

impl Silenced {
    /// Lets the terminal show no more of what is typed than that a line has ended.
    fn of(terminal: File) -> anyhow::Result<Silenced> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO;
        silent.local_modes |= LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL;
        let silenced = Silenced {
            // It is no pipe, but is read as one.
            typed: Receiver::from_file_unchecked(terminal.try_clone()?)?,
            terminal,
            before,
        };
        // What was typed before the question is no answer to it.
        tcsetattr(&silenced.terminal, OptionalActions::Flush, &silent)?;
        Ok(silenced)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.terminal.write_all(text.as_bytes())
    }

    /// The next line, with its end, for a terminal hands out lines; at most `limit` bytes of it. Nothing at the
    /// end of input.
    async fn line(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut line = vec![0; limit];
        let length = self.typed.read(&mut line).await?;
        line.truncate(length);
        Ok(line)
    }

    async fn ask(&mut self, question: &str, limit: usize) -> anyhow::Result<Vec<u8>> {
        let asked = async {
            self.say(question)?;
            self.line(limit).await
        };
        asked
            .await
            .context("asking at the terminal")
            .kind(Kind::Host)
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Asks for a secret, which the question calls `what`: a line of at most `limit` bytes, with its end. A new one
/// is asked for `twice`, for nobody sees what is typed.
///
/// # Errors
/// Input: there is no terminal, nobody answers, or not twice the same. Interrupted: by a signal.
pub fn ask(what: &str, limit: usize, twice: bool) -> anyhow::Result<Vec<u8>> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open("/dev/tty")
        .map_err(|_| {
            failed!(
                Kind::Input,
                "nobody can be asked for the {what}: there is no terminal; name a file with file:PATH, or a variable with env:NAME"
            )
        })?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("asking at the terminal")
        .kind(Kind::Host)?;
    runtime.block_on(async {
        let hear = |kind| {
            signal(kind)
                .context("listening for signals")
                .kind(Kind::Host)
        };
        let mut interrupt = hear(SignalKind::interrupt())?;
        let mut terminate = hear(SignalKind::terminate())?;
        let mut hangup = hear(SignalKind::hangup())?;
        let mut terminal = Silenced::of(terminal)
            .context("asking at the terminal")
            .kind(Kind::Host)?;
        let why = tokio::select! {
            biased;
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
            () = tokio::time::sleep(PATIENCE) => fail!(
                Kind::Input,
                "nobody has typed the {what} in {} s",
                PATIENCE.as_secs()
            ),
            answer = answer(&mut terminal, what, limit, twice) => return answer,
        };
        // The line with the question ends here.
        let _ = terminal.say("\n");
        fail!(Kind::Interrupted, "interrupted by {why}: nothing was begun")
    })
}

async fn answer(
    terminal: &mut Silenced,
    what: &str,
    limit: usize,
    twice: bool,
) -> anyhow::Result<Vec<u8>> {
    let first = terminal.ask(&format!("{what}: "), limit).await?;
    if first.is_empty() {
        fail!(Kind::Input, "no {what} was typed");
    }
    let again = format!("{what}, once more: ");
    if twice && terminal.ask(&again, limit).await? != first {
        fail!(
            Kind::Input,
            "what was typed the second time is not the {what} of the first time: begin anew"
        );
    }
    Ok(first)
}
