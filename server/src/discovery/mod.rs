//! Finding targets: each mechanism keeps a list of target groups up to date, and a task makes jobs' targets of the
//! lists whenever one changes (`task`; others speak to it by the `manager`).
//!
//! ```text
//!  file, http, dns, kubernetes --groups--> Groups (a list per entry of the configuration) --task: relabel--> scraper
//! ```
//!
//! Mechanisms are `file` (with `matching_files`, by `looks`) and `http`, which give a `target_list`, `dns` (with `dns_records`) and
//! `kubernetes`; `mechanism` starts them. Of objects in a cluster `monitors` makes jobs with mechanisms, which `followed` keeps, and
//! `kube_state` pages about workloads. `job` makes targets of groups, `shard` leaves those of other processes out, and `unlisted`
//! says of which jobs nothing is known yet; `stand_in` is what was found before a reload, until there is a list. `watched_groups`
//! are mechanisms without a job, for whoever needs addresses.
//!
//! A mechanism that cannot read its source leaves its last list as it is and says why; what it found goes on being
//! scraped. All of it runs on a thread of its own: reading the state of a large cluster delays no scrape and no answer.
//! A new mechanism is a file with a `run` like `dns::run`, a row in `server/src/config/discovery/mod.rs` and two arms
//! of `mechanism::Mechanism::start`.

mod dns;
mod dns_records;
mod file;
mod followed;
mod groups;
mod http;
mod job;
mod json_list;
mod kube_state;
mod kubernetes;
mod looks;
mod manager;
mod matching_files;
mod mechanism;
mod monitors;
mod shard;
mod stand_in;
mod target_list;
mod task;
mod unlisted;
mod watched_groups;

pub(crate) use kubernetes::client::{TRY_AGAIN, connect};
pub(crate) use looks::LOOKS_MAX;
pub use manager::{Manager, SourceState, Wanted};
pub use monitors::read_spec as read_monitor;
pub use shard::Shard;
pub use target_list::{ListFormat, parse as parse_target_list};
pub use watched_groups::WatchedGroups;
