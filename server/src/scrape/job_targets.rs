//! The targets of each job as they are handed to the scraper, and what the APIs see of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::discovered::Discovered;
use super::found::Found;
use super::state::TargetState;
use crate::config::HttpClientConfig;

/// Dropped targets of a job that are listed where its `keep_dropped_targets` names no other number; all are counted. A list of
/// 100,000 would be 100 MB.
const DROPPED_MAX: usize = 10_000;

/// What the APIs see.
#[derive(Default)]
pub(super) struct View {
    pub(super) active: Vec<Arc<TargetState>>,
    /// By job.
    pub(super) jobs: BTreeMap<String, JobView>,
}

/// What is not scraped of a job.
#[derive(Clone)]
pub(super) struct JobView {
    pub(super) dropped: Arc<[Discovered]>,
    /// Labels of what has no address.
    pub(super) without_address: Arc<[Discovered]>,
    pub(super) dropped_count: usize,
}

/// The targets of a job.
#[derive(Clone, Debug)]
pub struct JobTargets {
    /// Its name.
    pub name: String,
    /// How targets are reached.
    pub http: HttpClientConfig,
    /// So many dropped targets are remembered; 0 is [`DROPPED_MAX`].
    pub dropped_targets_max: u64,
    /// The targets.
    pub found: Found,
}

impl JobView {
    pub(super) fn of(job: &JobTargets) -> JobView {
        let kept = match job.dropped_targets_max {
            0 => DROPPED_MAX,
            most => usize::try_from(most).unwrap_or(usize::MAX),
        };
        let (dropped, without_address) = (&job.found.dropped, &job.found.without_address);
        let rest = kept.saturating_sub(dropped.len());
        JobView {
            dropped_count: dropped.len() + without_address.len(),
            dropped: dropped.iter().take(kept).cloned().collect(),
            without_address: without_address.iter().take(rest).cloned().collect(),
        }
    }
}
