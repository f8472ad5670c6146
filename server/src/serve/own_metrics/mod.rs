//! `/metrics`: what this process does, in the names that dashboards of Prometheus look for where the meaning is the same.

mod alerting;
mod family;
mod held;
mod page;
mod process;
mod readers;
mod remote_write;
mod scraping;
mod signals;

pub(super) use held::parts;
pub(super) use page::{page, self_metrics};
pub(super) use signals::signal_samples;
