//! Not written yet.

pub mod initrd;
