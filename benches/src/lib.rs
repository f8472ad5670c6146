//! What the benches and `rivals` share.

pub mod pages;
