//! Helpers of the integration tests. Each test target uses its part of them.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

pub mod crafted;
pub mod daemon;
pub mod disk;
pub mod far;
pub mod gnupg;
pub mod guest;
pub mod importers;
pub mod mirror;
pub mod repository;
pub mod site;
pub mod small;
pub mod terminal;
pub mod tls;
pub mod tree;
pub mod verdict;

/// Sends a process a signal.
pub fn kill(signal: &str, pid: u32) {
    let status = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Whether this is root; says that a test is skipped where it is not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can do this");
    }
    root
}
