//! temp
pub mod disk;
