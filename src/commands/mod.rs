//! One file per verb; each turns options into work and reports what came of it.

pub mod cache;
pub mod check;
mod checked;
pub mod completions;
pub mod diff_releases;
pub mod doctor;
pub mod explain;
mod input;
pub mod install;
mod listing;
pub mod man;
mod mend;
mod online;
mod preflight;
pub mod releases;
mod reports;
mod template;
mod walk;
