//! Disks, and what lies beside a finished one.

pub mod base64;
pub mod checksum;
pub mod configuration;
pub mod disk;
pub mod files;
pub mod fingerprint;
pub mod installed;
pub mod keep;
pub mod look;
pub mod manifest;
pub mod output;
pub mod publish;
pub mod qemu_img;
pub mod reader;
pub mod seal;
pub mod set;
pub mod signature;
