//! What the guest says, and what it means. Pure: bytes and times come in, typed events and a
//! verdict come out; nothing here reads a clock or a file.
//!
//! ```text
//! console bytes → console ─┐
//! log port bytes → logport ┴→ signal (texts) → signals → judge → Decision (Verdict) → report
//!                          └→ hub (what its screen shows), programs (what it runs) ─┘
//! server, QEMU, counters, clock → witness ────────────────────┘ └→ progress, stall
//! ```

pub mod boot;
pub mod cause;
pub mod console;
pub mod escape;
pub mod hub;
pub mod judge;
pub mod line;
pub mod logport;
pub mod message;
pub mod phases;
pub mod programs;
pub mod progress;
pub mod report;
pub mod signal;
pub mod stall;
pub mod texts;
pub mod verdict;
pub mod witness;
