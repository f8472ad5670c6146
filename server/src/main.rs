//! The Stillwell binary.

fn main() {}
