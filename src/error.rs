//! Failures that decide the exit status.
//!
//! Most errors are plain [`anyhow::Error`]s with context. Where the *kind* of failure matters to
//! whoever called `ozr` (a nightly job, a script), the error is wrapped once in a [`Failure`].

use std::fmt;

use crate::diagnostic::Diagnostic;

/// Why a command failed, as far as its exit status is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The build itself failed: the installer, the guest, the image.
    Build,
    /// The command line, the configuration, the template, the kickstart or the image is wrong.
    Input,
    /// This host cannot build: no hypervisor, no room, no permission.
    Host,
    /// The mirror cannot be used: unreachable, refused, or its content is wrong.
    Mirror,
    /// What the user runs at the end of a build failed; the image is good.
    Hook,
    /// Somebody asked us to stop (SIGINT, SIGTERM, SIGHUP).
    Interrupted,
}

impl Kind {
    /// What is at fault, in a word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Build => "build",
            Kind::Input => "input",
            Kind::Host => "host",
            Kind::Mirror => "mirror",
            Kind::Hook => "hook",
            Kind::Interrupted => "interrupted",
        }
    }

    /// The exit status of the process, as documented in the man page.
    pub fn exit_status(self) -> u8 {
        match self {
            Kind::Build => 1,
            Kind::Input => 2,
            Kind::Host => 3,
            Kind::Mirror => 4,
            Kind::Hook => 5,
            // 128 + SIGINT, as shells count it.
            Kind::Interrupted => 130,
        }
    }
}

/// An error that knows its [`Kind`].
#[derive(Debug)]
pub struct Failure {
    /// What the exit status will say.
    pub kind: Kind,
    error: anyhow::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole chain: a `Failure` is printed once, at the top.
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Failure {}

/// Makes an error of a kind from a message.
pub fn failure(kind: Kind, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Failure {
        kind,
        error: anyhow::Error::msg(message.into()),
    })
}

/// Makes an error of a kind, as [`anyhow::anyhow!`] does without one.
macro_rules! failed {
    ($kind:expr, $($message:tt)+) => {
        $crate::error::failure($kind, format!($($message)+))
    };
}
pub(crate) use failed;

/// Returns with an error of a kind, as [`anyhow::bail!`] does without one.
macro_rules! fail {
    ($kind:expr, $($message:tt)+) => {
        return Err($crate::error::failed!($kind, $($message)+))
    };
}
pub(crate) use fail;

/// The error of a command that has reported everything itself: only the exit status is left.
#[derive(Debug, thiserror::Error)]
#[error("errors were found")]
struct Reported;

/// Makes an error of a kind of which nothing more is to be said.
pub fn reported(kind: Kind) -> anyhow::Error {
    anyhow::Error::new(Failure {
        kind,
        error: anyhow::Error::new(Reported),
    })
}

/// Whether the error was made by [`reported`].
pub fn is_reported(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|failure| failure.error.is::<Reported>())
}

/// Gives errors a [`Kind`].
pub trait Classify<T> {
    /// Marks the error as being of `kind`, unless something below has decided already.
    fn kind(self, kind: Kind) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Classify<T> for Result<T, E> {
    fn kind(self, kind: Kind) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if kind_of(&error).is_some() {
                return error;
            }
            anyhow::Error::new(Failure { kind, error })
        })
    }
}

/// The kind that the error was given, if it was given one.
pub fn kind_of(error: &anyhow::Error) -> Option<Kind> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map(|failure| failure.kind)
}

/// The typed error that this one is, below its kind.
pub fn inner_of<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    let inner = error.downcast_ref::<Failure>().map(|found| &found.error);
    inner.unwrap_or(error).downcast_ref()
}

/// The finding that the error is, if it is one: it names its place itself.
pub fn finding_of(error: &anyhow::Error) -> Option<&Diagnostic> {
    inner_of(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_innermost_kind_stands() {
        let inner: anyhow::Result<()> = Err(failure(Kind::Mirror, "404"));
        let outer = inner.context("fetching the kernel").kind(Kind::Build);
        let error = outer.unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Mirror));
        assert_eq!(format!("{error:#}"), "fetching the kernel: 404");
    }

    #[test]
    fn exit_statuses_are_the_documented_ones() {
        let statuses = [
            Kind::Build,
            Kind::Input,
            Kind::Host,
            Kind::Mirror,
            Kind::Hook,
            Kind::Interrupted,
        ]
        .map(Kind::exit_status);
        assert_eq!(statuses, [1, 2, 3, 4, 5, 130]);
    }
}
