//! Disks, and what lies beside a finished one.

pub mod disk;
pub mod installed;
pub mod manifest;
pub mod output;
pub mod publish;
pub mod qemu_img;
