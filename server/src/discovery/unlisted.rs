//! Which jobs have given no list since this program started, for the signals (rule S6f).

use std::time::Duration;

use stillwell_engine::labels::{RelabelAction, RelabelRule};
use stillwell_engine::limits::UNLISTED_KEPT_MS;
use stillwell_engine::signal::{Partial, Unlisted, Unseen};
use tokio::time::Instant;

use crate::scrape::SETTLING_MS_MAX;

/// Signals wait for lists as long as readiness waits for scrapes: one discovery that is broken keeps nobody's numbers for ever.
pub(super) const LISTS_AWAITED: Duration = Duration::from_millis(SETTLING_MS_MAX);

/// Whether signals wait for the first list of each job.
pub(super) enum FirstLists {
    /// They do, until then.
    AwaitedUntil(Instant),
    /// They do not any more, though some have given none; what a snapshot knows of their targets stays until then.
    Missed(Instant),
    /// That has left, too.
    GivenUp,
    /// Each has given one.
    There,
}

impl FirstLists {
    /// When that changes by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            FirstLists::AwaitedUntil(until) | FirstLists::Missed(until) => Some(*until),
            FirstLists::GivenUp | FirstLists::There => None,
        }
    }

    /// Whether signals wait for them.
    pub(super) fn are_awaited(&self) -> bool {
        matches!(self, FirstLists::AwaitedUntil(_))
    }

    /// Takes notice of who has given none. What there is to say where signals are judged without them as of now.
    pub(super) fn look(&mut self, unlisted: &Unlisted, now: Instant) -> Option<&'static str> {
        let kept = Duration::from_millis(UNLISTED_KEPT_MS.unsigned_abs());
        match self {
            _ if unlisted.jobs.is_empty() => {
                *self = FirstLists::There;
                None
            }
            FirstLists::AwaitedUntil(until) if *until <= now => {
                *self = FirstLists::Missed(now + kept);
                Some(
                    "discovery has given no list since the start; signals are told without its targets, but for those of the snapshot",
                )
            }
            FirstLists::Missed(until) if *until <= now => {
                *self = FirstLists::GivenUp;
                Some(
                    "discovery has given no list for an hour; what the snapshot knew of its targets counts as gone",
                )
            }
            _ => None,
        }
    }
}

/// Sorts jobs (name, relabelling, whether it has given a list) and what makes jobs of a cluster's objects, which has not.
pub(super) fn unlisted<'j>(
    jobs: impl Iterator<Item = (&'j str, &'j [RelabelRule], bool)>,
    makers: Vec<String>,
) -> Unlisted {
    let mut unlisted = Unlisted {
        are_of_any_name: !makers.is_empty(),
        jobs: makers.into_iter().collect(),
        ..Unlisted::default()
    };
    for (name, relabel, is_listed) in jobs {
        if is_listed {
            unlisted.listed.insert(name.to_owned());
            continue;
        }
        unlisted.are_of_any_name |= relabel.iter().any(may_write_job);
        unlisted.jobs.insert(name.to_owned());
    }
    unlisted
}

/// A job of which some targets cannot be seen, and why.
pub(super) fn partial(name: &str, relabel: &[RelabelRule], why: String) -> Partial {
    Partial {
        job: name.to_owned(),
        is_of_any_name: relabel.iter().any(may_write_job),
        unseen: Unseen::default(),
        why,
    }
}

fn may_write_job(rule: &RelabelRule) -> bool {
    let label = &rule.spec().target_label;
    rule.changes_labels()
        && match rule.spec().action {
            RelabelAction::LabelMap => true,
            RelabelAction::LabelDrop | RelabelAction::LabelKeep => false,
            _ => label == "job" || label.contains('$'),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillwell_engine::labels::RelabelSpec;

    /// After ten seconds with every list the timer was due for ever, and nothing that was discovered was handed on.
    #[test]
    fn lists_that_are_there_or_late_are_not_awaited() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let last = later + Duration::from_secs(3_600);
        let none = Unlisted::default();
        let one = Unlisted {
            jobs: ["w".to_owned()].into(),
            ..Unlisted::default()
        };
        for (looks, due) in [
            (&[(&one, start, false)][..], Some(later)),
            (&[(&none, start, false)], None),
            (&[(&one, start, false), (&none, start, false)], None),
            (&[(&one, later, true)], Some(last)),
            (&[(&one, later, true), (&one, later, false)], Some(last)),
            (&[(&one, later, true), (&none, later, false)], None),
            (&[(&one, later, true), (&one, last, true)], None),
            (&[(&one, later, true), (&none, last, false)], None),
        ] {
            let mut lists = FirstLists::AwaitedUntil(later);
            for (unlisted, now, says) in looks {
                assert_eq!(lists.look(unlisted, *now).is_some(), *says);
            }
            assert_eq!(lists.due(), due, "{looks:?}");
        }
    }

    #[test]
    fn targets_of_a_job_whose_rules_write_the_label_may_be_of_any_name() {
        let rule = |action, label: &str| {
            let spec = RelabelSpec {
                action,
                target_label: label.to_owned(),
                ..RelabelSpec::default()
            };
            vec![RelabelRule::new(spec).expect("a rule")]
        };
        for (rules, expected) in [
            (Vec::new(), false),
            (rule(RelabelAction::Replace, "pod"), false),
            (rule(RelabelAction::Replace, "job"), true),
            (rule(RelabelAction::Replace, "${1}"), true),
            (rule(RelabelAction::LabelMap, ""), true),
            (rule(RelabelAction::Keep, ""), false),
        ] {
            let of = |is_listed: bool| {
                let jobs = [("w", &rules[..], is_listed), ("v", &[], true)];
                unlisted(jobs.into_iter(), Vec::new())
            };
            assert_eq!(of(false).are_of_any_name, expected, "{rules:?}");
            assert!(of(false).jobs.contains("w"));
            assert!(!of(true).are_of_any_name, "a list says what there is");
        }
        assert!(unlisted([].into_iter(), vec!["PodMonitor".to_owned()]).are_of_any_name);
    }
}
