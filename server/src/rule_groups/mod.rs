//! Recording and alerting rules in Prometheus' format: read, evaluated in order within their group, their results
//! written back as series.
//!
//! ```text
//!  rule file --file--> RuleFile --group--> vector at t --record: series | alert: ALERTS, ALERTS_FOR_STATE--> store
//!                                                                       alert: sending --> alertmanager
//! ```
//!
//! `group` and `alert` are pure: time and the store come in as arguments, so that `runner` (a thread of its own) and
//! `unit_test` (`stillwell test rules`) evaluate alike. Sources: rules/*.go, model/rulefmt, cmd/promtool/unittest.go.

mod alert;
mod file;
mod group;
mod humanize;
mod notification;
mod recorded;
mod restore;
mod runner;
mod sending;
mod template;
mod unit_test;

pub use file::{GroupSpec, RuleFile, RuleKindSpec, RuleSpec, load, read_file, read_text};
pub use group::{Environment, Group, RuleStore};
pub use notification::Notification;
pub use recorded::recorded;
pub use restore::RestoreOptions;
pub use runner::{RuleOptions, Runner, SendAlerts};
pub use unit_test::{TestReport, run as run_unit_tests};
