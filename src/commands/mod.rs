//! One file per verb; each turns options into work and reports what came of it.

pub mod cache;
pub mod check;
pub mod completions;
pub mod doctor;
mod input;
pub mod install;
pub mod man;
