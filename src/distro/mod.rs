//! What is known of each release: names, boot options, places in the install tree, needs.

mod arch;

pub use arch::Arch;
