//! The `barflow` command.

fn main() {}
