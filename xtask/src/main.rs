//! The repository's own chores: `cargo xtask test`, `layers`, `tidy`, `spec`, `schema`, `bench`, `prove`.
fn main() {}
