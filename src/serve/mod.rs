//! The HTTP server that the guest asks for its kickstart, its files and, where the guest cannot
//! reach the mirror itself, for the install tree.
//!
//! Requests are served by `tiny_http`. That crate reads heads without a limit or a time-out and
//! its parser can be led astray (request smuggling), so nothing a client wrote reaches it:
//!
//! ```text
//! client ──TCP──► gate ──canonical head, private unix socket──► tiny_http ──► answer
//!        ◄──────── gate ◄──────────────── response ──────────────────────────────┘
//! ```
//!
//! * `gate` owns the public listener. It reads one head per connection within hard limits, has
//!   [`head`] check every byte of it, and refuses with a fixed answer whatever is not a plain GET
//!   or HEAD. What passes is written anew: method, checked target, checked range, a number.
//! * `engine` runs `tiny_http` on a unix socket in a private directory (mode 0700).
//! * `answer` maps the target to a resource and hands `tiny_http` a response whose headers are
//!   constants, numbers, or values that match a fixed grammar.
//! * The gate copies the response to the client, drops clients that stop reading, and writes
//!   down what was delivered ([`Access`]).
//!
//! One connection carries one request: the answer says `Connection: close`. On the links that
//! matter here (loopback, a bridge) a connection costs less than a millisecond, and a second
//! request on a connection is what smuggling needs.
//!
//! On the loopback only the users that [`ServeOptions::users`] names are answered (`connections`).
//!
//! Idle connections cannot keep a good client out: a new connection displaces the oldest one
//! that has not sent its head. Only holders of the unguessable path can get an answer long
//! enough to stall on.

mod access;
mod answer;
pub mod catalogue;
mod connections;
mod engine;
mod exchange;
mod gate;
pub mod head;
pub mod relay;
mod server;

pub use access::{Access, AnacondaHeaders, Resource, Totals};
pub use catalogue::{Content, KICKSTART_NAME, TREE_NAME};
pub use relay::{FilePart, Upstream, UpstreamResponse};
pub use server::{Limits, ServeOptions, Server};
