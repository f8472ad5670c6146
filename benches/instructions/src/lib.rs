//! Pages as gateways write them, and the hot paths whose instructions are counted.

pub mod counted;
pub mod pages;
pub mod record;
