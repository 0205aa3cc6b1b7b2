//! The `ozr` program.
fn main() {}
