//! `static_configs`: the targets of the file itself.

use stillwell_engine::labels::{Labels, LabelsBuilder};

use super::groups::TargetGroup;
use crate::config::{Discovery, ScrapeJob, StaticGroup};
use crate::scrape::{Found, collect, outcomes, target_options};

pub(super) fn group(fixed: &StaticGroup) -> TargetGroup {
    TargetGroup {
        targets: fixed.targets.iter().map(|at| address(at)).collect(),
        labels: fixed.labels.clone(),
    }
}

/// A target of which nothing is known but where it is.
pub(super) fn address(address: &str) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set("__address__", address);
    labels.build()
}

/// The targets of a job that stand in the configuration itself.
pub fn static_targets(job: &ScrapeJob) -> Found {
    let options = target_options(job);
    let groups = job.discovery.iter().filter_map(|way| match way {
        Discovery::Static(fixed) => Some(group(fixed)),
        _ => None,
    });
    let found: Vec<_> = groups
        .flat_map(|group| outcomes(job, &options, &group))
        .collect();
    collect(job, &found)
}
