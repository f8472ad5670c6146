//! What the benches and `rivals` share.

pub mod contender;
pub mod load;
pub mod pages;
