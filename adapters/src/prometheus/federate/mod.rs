//! `/federate`: the newest sample of the series that are asked for, as a page that another Prometheus scrapes
//! (web/federate.go). Native histograms are on it in protobuf alone, which Prometheus asks for where it scrapes them; those with
//! custom buckets are classic ones in either form.

mod classic;
mod encoding;
mod newest;
mod page;
mod protobuf;
mod text;

pub(super) use page::answer;
pub use text::quoted;
