//! `monitors` and `inference_pools`: jobs and rules from the objects of a cluster.
//!
//! ```text
//!  API server --list, watch--> objects --one file per kind: a scrape_config in JSON--> Secrets --> config parser --> jobs
//!                                      --prometheus_rule: a rule file--> parser of rule files --> groups of rules
//! ```
//!
//! An object becomes the `scrape_config` that its operator would write, which is read like one of the configuration file;
//! so its targets are found, relabelled and fetched as those of any job. An object that cannot be followed is said in the
//! log and costs its own targets or rules only. Objects name no files of this process, and read Secrets of their own namespace.

mod endpoint;
mod inference_pool;
mod job;
mod places;
mod pod_monitor;
mod pod_monitoring;
mod prometheus_rule;
mod relabel;
mod render;
mod room;
mod rooms;
mod run;
mod scrape_config;
mod secrets;
mod section;
mod service_monitor;
mod state;

pub(super) use places::Id;
pub use render::read_spec;
pub(super) use run::run;
pub(super) use section::{ByObject, Found, Given, NotRead, Part, Section};
