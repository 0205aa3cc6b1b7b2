//! One file per verb; each turns options into work and reports what came of it.

pub mod attach;
pub mod cache;
pub mod check;
mod checked;
pub mod diff_releases;
mod display;
pub mod doctor;
pub mod explain;
mod fix;
mod follow;
pub mod gc;
pub mod install;
pub mod list;
pub mod man;
mod online;
mod output;
mod preflight;
pub mod releases;
mod reports;
mod running;
pub mod screenshot;
mod template;
mod walk;

use crate::input;
