//! x
pub mod repodata;
