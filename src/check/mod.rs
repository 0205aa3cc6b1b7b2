//! What is wrong with a kickstart, found before a guest boots.
//!
//! * [`catalogue`]: every rule, with its explanation.

pub mod catalogue;
mod language_rules;
