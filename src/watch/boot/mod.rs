//! The boot of an installed system, as its serial console tells it: whether it came up, and what did
//! not. Pure: lines and times in, a judgement out.
//!
//! An installed system is judged by other signs than an installer ([`judge`](super::judge)): it has no
//! log port and no kickstart, and what it is to reach is a login prompt or a target of systemd's.

mod judge;
mod reason;
mod signs;

pub use judge::{Decision, Expectations, Judge, Limits, Milestone, Ready};
pub use reason::Reason;
pub use signs::{Sign, allows, sign_of};
