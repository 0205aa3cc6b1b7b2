//! The kickstart language, and what `ozr` adds to a kickstart.
//!
//! Nothing here does I/O or runs anything: text goes in, text or findings come out.
//!
//! * [`words`]: a line into words, as the installer splits it.
//! * [`scan`]: a text into commands, sections and the rest, without losing a byte: [`outline`].
//! * [`additions`]: what a template adds, and which of it can be put into a kickstart at all.
//! * [`compose`]: the author's text plus the additions; [`script`] writes the shell text.
//! * [`luks`]: passphrases of what is encrypted. [`crypt`]: hashed passwords. [`ssh_keys`]: who may log in.
//! * [`builtin`]: the kickstarts that are used when nobody gave one.
//! * [`mask`]: a kickstart that may be shown to people.

pub mod additions;
pub mod builtin;
pub mod compose;
pub mod crypt;
pub mod luks;
pub mod mask;
pub mod outline;
pub mod scan;
pub mod script;
pub mod ssh_keys;
pub mod words;
