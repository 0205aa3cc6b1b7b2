//! What is wrong with a kickstart, found before a guest boots.

pub mod includes;
pub mod online;
