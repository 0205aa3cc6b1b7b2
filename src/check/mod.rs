//! What is wrong with a kickstart, found before a guest boots.
//!
//! * [`catalogue`]: every rule, with its explanation.
//! * [`report`]: findings as text, in every format.

pub mod catalogue;
mod language_rules;
pub mod report;
