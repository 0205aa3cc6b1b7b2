//! What is wrong with a kickstart, found before a guest boots.
//!
//! * [`catalogue`]: every rule, with its explanation.
//! * [`fix`]: the certain remedies.
//! * [`includes`]: the files that a kickstart includes.
//! * [`mod@kickstart`]: one kickstart, with what it includes.
//! * [`online`]: addresses, packages and groups, asked of the network.
//! * [`report`]: findings as text, in every format.
//! * [`subject`]: what a file is, and which release it names.

pub mod catalogue;
pub mod fix;
pub mod includes;
pub mod kickstart;
mod language_rules;
pub mod online;
pub mod report;
pub mod subject;
