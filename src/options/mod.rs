//! What an install and a check can be told, on the command line and in the configuration file.

/// A set of options that can be laid over another: the upper one's answer stands where it gives one.
pub trait Layer: Sized {
    /// These, and those of `below` where these say nothing.
    #[must_use]
    fn over(self, below: Self) -> Self;
}

impl<T> Layer for Option<T> {
    fn over(self, below: Self) -> Self {
        self.or(below)
    }
}

impl Layer for bool {
    fn over(self, below: Self) -> Self {
        self || below
    }
}

impl<T> Layer for Vec<T> {
    fn over(self, below: Self) -> Self {
        if self.is_empty() { below } else { self }
    }
}

/// Declares a struct whose fields are layers each, so that no option can be forgotten when two
/// sets are laid over each other.
macro_rules! layered {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$attribute:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$attribute])* pub $field: $type,)* }

        impl $name {
            /// Lays each field over that of `below`.
            fn each_over(self, below: Self) -> Self {
                $name { $($field: $crate::options::Layer::over(self.$field, below.$field),)* }
            }
        }

        #[cfg(test)]
        impl $name {
            /// How many options there are.
            const FIELDS: usize = [$(stringify!($field)),*].len();
        }
    };
}

mod check;
pub mod config;
mod install;
mod values;

pub use check::CheckOptions;
pub use install::InstallOptions;
pub use values::{
    Compress, Deliver, EventsTo, Format, Progress, Relay, ReleaseName, ReportFormat, ReportTarget,
    Seconds,
};
