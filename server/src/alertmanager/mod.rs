//! Sending alerts to Alertmanagers (notifier/*.go; Alertmanager's API version 2).
//!
//! ```text
//!  rules --Notification--> Notifier: external labels, relabelling --> a Queue per Alertmanager --> POST /api/v2/alerts
//!                             ^ discovery of Alertmanagers
//! ```
//!
//! Each Alertmanager has a queue and a task of its own, so that one that is down or slow keeps none of the others waiting.
//! A queue holds the newest state of an alert only: an Alertmanager that comes back is told what is so now, and memory is
//! bounded by the number of alerts even where it never does.

mod endpoint;
mod notification;
mod notifier;
mod queue;

pub use endpoint::Counts;
pub use notifier::{Notifier, NotifierOptions};
