//! `retain: signals`: what no signal needs is passed over, and nobody can tell.

#[path = "../common/cases.rs"]
mod cases;
mod generate;
mod plain;
mod side;
mod twins;
