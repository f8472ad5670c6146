//! Jobs of which nobody knows all targets yet (S6f).

use std::collections::BTreeSet;

use crate::labels::Matcher;

/// Jobs whose discovery has given no list since this program started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// Their names.
    pub jobs: BTreeSet<String>,
    /// Whether their targets may have another label `job` than that (relabelling, jobs that are made of objects).
    pub are_of_any_name: bool,
    /// Jobs that have given a list: what that does not name has left.
    pub listed: BTreeSet<String>,
    /// Whether signals wait for the lists, whatever is known of these jobs' targets.
    pub are_awaited: bool,
    /// Jobs whose discovery sees a part of what there is now.
    pub partial: Vec<Partial>,
}

/// A job of which some targets cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Its name.
    pub job: String,
    /// Whether its targets may have another label `job` than that.
    pub is_of_any_name: bool,
    /// What the series are that cannot be seen for it, where that is known.
    pub unseen: Unseen,
    /// Why they cannot be seen.
    pub why: String,
}

/// Series that cannot be seen; by default any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Their metrics; any where there are none.
    pub metrics: Vec<String>,
    /// Their label `namespace`.
    pub namespaces: Namespaces,
    /// Conditions of selectors: what fits all of one of them can be seen all the same.
    pub but: Vec<Vec<Matcher>>,
}

/// Values of the label `namespace`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// Whatever there is.
    #[default]
    Any,
    /// These.
    Of(BTreeSet<String>),
    /// Whatever else there is.
    AllBut(BTreeSet<String>),
}

impl Unlisted {
    /// Whether a target of an earlier run, with this label `job`, may be one of theirs.
    pub(crate) fn may_have(&self, job: &str) -> bool {
        !self.jobs.is_empty()
            && (self.jobs.contains(job) || self.are_of_any_name && !self.listed.contains(job))
    }
}
