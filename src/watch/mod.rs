//! What the guest says, and what it means. Pure: bytes and times come in, signals and a
//! judgement come out; nothing here reads a clock or a file.
//!
//! ```text
//! console bytes → console ─┐
//! log port bytes → logport ┴→ patterns (phases, failures) → judge (with progress) → Decision
//! ```

pub mod console;
pub mod escape;
pub mod failures;
pub mod judge;
pub mod logport;
pub mod mark;
pub mod message;
pub mod patterns;
pub mod phases;
pub mod progress;
pub mod verdict;
