//! Which jobs have given no list since this program started, for the signals (rule S6f).

use stillwell_engine::labels::{RelabelAction, RelabelRule};
use stillwell_engine::signal::Unlisted;

/// Sorts jobs (name, relabelling, whether it has given a list) and what makes jobs of a cluster's objects, which has not.
pub(super) fn unlisted<'j>(
    jobs: impl Iterator<Item = (&'j str, &'j [RelabelRule], bool)>,
    makers: Vec<String>,
) -> Unlisted {
    let mut unlisted = Unlisted {
        are_of_any_name: !makers.is_empty(),
        jobs: makers,
        ..Unlisted::default()
    };
    for (name, relabel, is_listed) in jobs {
        if is_listed {
            unlisted.listed.push(name.to_owned());
            continue;
        }
        unlisted.are_of_any_name |= relabel.iter().any(may_write_job);
        unlisted.jobs.push(name.to_owned());
    }
    unlisted
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
            assert_eq!(of(false).jobs, ["w"]);
            assert!(!of(true).are_of_any_name, "a list says what there is");
        }
        assert!(unlisted([].into_iter(), vec!["PodMonitor".to_owned()]).are_of_any_name);
    }
}
