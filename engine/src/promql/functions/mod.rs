//! The functions of the language, one file per family.

mod table;

pub use table::{Function, FunctionId};
