//! Files of users as trees in which every value knows its line, and what is said about them: the configuration, rules files,
//! target lists, the web configuration.

mod indentation;
mod line;
mod problem;
mod report;
mod tree;

pub use line::Line;
pub use problem::Problem;
pub use report::Report;
pub(crate) use report::{NamedFile, Table, flag};
pub use tree::CONFIG_BYTES_MAX;
pub(crate) use tree::{Entry, Kind, Node, parse};
