//! What is read of a cluster's objects, and what they give.

use stillwell_engine::promql::Features;

use crate::config::{Global, Monitors, ScrapeJob};
use crate::rule_groups::RuleFile;

/// Which objects are read, and what their jobs inherit.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::discovery) struct Section {
    pub(in crate::discovery) options: Monitors,
    pub(in crate::discovery) global: Global,
    /// Of the queries in rules.
    pub(in crate::discovery) features: Features,
}

/// What an object gives, or all objects of a section.
#[derive(Clone, Debug, Default)]
pub(in crate::discovery) struct Found {
    pub(in crate::discovery) jobs: Vec<ScrapeJob>,
    pub(in crate::discovery) rules: Vec<RuleFile>,
}

/// What all objects of a section give, as of one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::discovery) struct Given {
    pub(in crate::discovery) found: Found,
    /// Every kind that gives targets has been listed.
    pub(in crate::discovery) are_targets_listed: bool,
    /// Why this is not all that there is, where that is so.
    pub(in crate::discovery) partial: Option<String>,
}
