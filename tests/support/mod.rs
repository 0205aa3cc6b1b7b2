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

/// Whether a long test is left out because the time is up until which one may begin: that of `OZR_TEST_UNTIL`, in
/// seconds since 1970. It is said past what libtest holds back of tests that pass.
pub fn is_left_out() -> bool {
    use std::io::Write;
    use std::time::SystemTime;

    let Ok(until) = std::env::var("OZR_TEST_UNTIL") else {
        return false;
    };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let is_late = since.unwrap().as_secs() >= until.parse().unwrap();
    if is_late {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        let line = format!("left out, for the time is up: {name} (make test-long)\n");
        // Not by a macro, whose words libtest holds back.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_late
}

/// Whether this is root; says that a test is skipped where it is not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can do this");
    }
    root
}
