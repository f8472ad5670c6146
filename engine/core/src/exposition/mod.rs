//! Pages: reading them, and remembering each target's last one so that the next costs almost nothing.

mod line;
mod mapper;
mod number;
mod page;
mod run;
mod sieve;
mod stage;
mod template;

pub(crate) use mapper::Mapper;
pub(crate) use page::{Always, Metadata};
pub(crate) use stage::Placed;

pub use crate::metadata::{FamilyMetadata, FamilyType};
pub use page::PageError;
pub use stage::{Format, Stage, Staged};
