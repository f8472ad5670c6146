//! `retain: signals`: lines that no signal needs are skipped, and signals read the same.

mod generate;
mod plain;
mod side;
mod twins;
