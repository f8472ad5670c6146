//! From what discovery finds to the targets of a job.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use stillwell_engine::labels::{Labels, relabel};

use super::discovered::{Discovered, TargetGroup};
use super::label_room::{LabelRoom, NO_ROOM};
use super::relabelled::finish;
use super::target::{Target, target_options};
use crate::config::{Discovery, ScrapeJob};
use crate::http_client::Url;

/// Why a target is not scraped at all; what is wrong otherwise makes its scrapes fail.
pub const NO_ADDRESS: &str = "it has no __address__";

/// What discovery found for a job.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// To be scraped.
    pub targets: Vec<Target>,
    /// What relabelling dropped.
    pub dropped: Vec<Discovered>,
    /// What has no address after relabelling: it cannot be scraped ([`NO_ADDRESS`]).
    pub without_address: Vec<Discovered>,
}

/// What became of one discovered target.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is scraped.
    Target(Box<Target>),
    /// Relabelling dropped it.
    Dropped(Discovered),
    /// It has no address after relabelling.
    WithoutAddress(Discovered),
}

impl Outcome {
    /// Counts its labels where it is scraped.
    pub fn count_in(&self, room: &mut LabelRoom) {
        if let Outcome::Target(target) = self {
            room.count(&target.labels);
        }
    }

    /// Whether it is refused because others have the room for its labels, which may be free by now.
    pub fn lacks_room(&self) -> bool {
        matches!(self, Outcome::Target(target) if target.refused.as_deref() == Some(NO_ROOM))
    }
}

/// The targets of a job that stand in the configuration itself.
pub fn static_targets(job: &ScrapeJob) -> Found {
    let options = target_options(job);
    let groups = job.discovery.iter().filter_map(|way| match way {
        Discovery::Static(fixed) => Some(Arc::new(TargetGroup::from(fixed))),
        _ => None,
    });
    let mut room = LabelRoom::default();
    let found: Vec<_> = groups
        .flat_map(|group| outcomes(job, &options, &group, &mut room))
        .collect();
    collect(job, &found)
}

/// What becomes of the targets of one group. `options` are the job's own for its targets.
pub fn outcomes(
    job: &ScrapeJob,
    options: &Arc<ScrapeJob>,
    group: &Arc<TargetGroup>,
    room: &mut LabelRoom,
) -> Vec<Outcome> {
    let outcome = |at: usize| {
        let discovered = Discovered {
            options: Arc::clone(options),
            group: Arc::clone(group),
            at,
        };
        let mut labels = discovered.builder();
        if !relabel(&job.relabel, &mut labels) {
            return Outcome::Dropped(discovered);
        }
        match labels.get("__address__") {
            "" => Outcome::WithoutAddress(discovered),
            _ => Outcome::Target(Box::new(finish(options, discovered, labels, room))),
        }
    };
    (0..group.targets.len()).map(outcome).collect()
}

/// Puts together what becomes of the targets of all groups.
pub fn collect<'o>(job: &ScrapeJob, outcomes: impl IntoIterator<Item = &'o Outcome>) -> Found {
    let mut found = Found::default();
    let mut seen: HashMap<(&Labels, &Url), usize> = HashMap::new();
    for outcome in outcomes {
        match outcome {
            // Two ways to the same target are one target, which is ready where one of them says so.
            Outcome::Target(target) => match seen.entry((&target.labels, &target.url)) {
                Entry::Vacant(place) => {
                    place.insert(found.targets.len());
                    found.targets.push(Target::clone(target));
                }
                Entry::Occupied(place) => {
                    let known = &mut found.targets[*place.get()];
                    if known.discovered.is_not_ready() && !target.discovered.is_not_ready() {
                        known.discovered = target.discovered.clone();
                    }
                }
            },
            Outcome::Dropped(dropped) => found.dropped.push(dropped.clone()),
            Outcome::WithoutAddress(discovered) => found.without_address.push(discovered.clone()),
        }
    }
    let (count, limit) = (found.targets.len() as u64, job.limits.targets_max);
    if limit > 0 && count > limit {
        for target in &mut found.targets {
            let why = format!("target_limit exceeded (number of targets: {count}, limit: {limit})");
            target.refused = Some(why);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;

    use super::super::discovered::address_labels;
    use super::super::label_room::{JOB_LABELS_BYTES_MAX, LABELS_BYTES_MAX};
    use super::*;

    fn found(text: &str) -> Found {
        let (config, report) = crate::config::load(text);
        let config = config.unwrap_or_else(|| panic!("{:?}", report.errors));
        static_targets(&config.jobs[0])
    }

    #[test]
    fn labels_and_url_are_those_of_prometheus() {
        let found = found(
            "scrape_configs:\n- job_name: epp\n  scrape_interval: 100ms\n  params: {\"name[]\": [a b, c], z: [1]}\n  static_configs:\n  - {targets: ['h:1'], labels: {pool: p, __meta: x}}\n",
        );
        let target = &found.targets[0];
        assert_eq!(
            target.labels,
            labels! { "instance" => "h:1", "job" => "epp", "pool" => "p" }
        );
        assert_eq!(
            target.url.to_string(),
            "http://h:1/metrics?name%5B%5D=a+b&name%5B%5D=c&z=1"
        );
        assert_eq!((target.interval_ms, target.timeout_ms), (100, 1000));
        let discovered = target.discovered.labels();
        assert_eq!(discovered.get("__scrape_interval__"), Some("100ms"));
        assert!(!target.fetch_options().ask_compressed);
    }

    #[test]
    fn relabelling_decides_about_everything() {
        let found = found(
            r#"
scrape_configs:
- job_name: j
  static_configs: [{targets: ['a:1', 'b:1', 'c:1', 'd:1']}]
  relabel_configs:
  - {source_labels: [__address__], regex: 'b:1', action: drop}
  - {source_labels: [__address__], regex: 'c:1', target_label: __address__, replacement: 'a:1'}
  - {source_labels: [__address__], regex: 'd:1', target_label: __scheme__, replacement: gopher}
  - {target_label: __metrics_path__, replacement: /m}
  - {target_label: __param_q, replacement: v}
  - {target_label: __scrape_interval__, replacement: 5s}
  - {target_label: instance, replacement: me}
"#,
        );
        assert_eq!(found.targets.len(), 2, "a and c are the same target");
        let target = &found.targets[0];
        assert_eq!(target.url.to_string(), "http://a:1/m?q=v");
        assert_eq!(
            (target.interval_ms, target.labels.get("instance")),
            (5000, Some("me"))
        );
        let dropped = found.dropped[0].labels();
        assert_eq!(dropped.get("__address__"), Some("b:1"));
        assert_eq!(dropped.get("__metrics_path__"), Some("/metrics"));
        let refused = &found.targets[1];
        assert_eq!(refused.labels.get("instance"), Some("me"));
        assert!(
            refused
                .refused
                .as_ref()
                .is_some_and(|why| why.contains("gopher"))
        );
    }

    /// The labels of 100,000 dropped targets were a kilobyte each, several times.
    #[test]
    fn what_is_dropped_takes_no_labels_of_its_own() {
        let text = "scrape_configs:\n- {job_name: j, relabel_configs: [{action: drop}]}\n";
        let config = crate::config::load(text).0.expect("valid");
        let group = Arc::new(TargetGroup {
            targets: ["a:1", "b:1"].map(address_labels).to_vec(),
            labels: Labels::from_pairs([("__meta_from", "a group")]),
            attached: Vec::new(),
        });
        let options = target_options(&config.jobs[0]);
        let known = outcomes(&config.jobs[0], &options, &group, &mut LabelRoom::default());
        let found = collect(&config.jobs[0], &known);
        assert_eq!(Arc::strong_count(&group), 1 + 2 * 2);
        let labels = found.dropped[1].labels();
        let shown = ["__address__", "__meta_from", "job"].map(|name| labels.get(name));
        assert_eq!(shown, [Some("b:1"), Some("a group"), Some("j")]);
    }

    /// Of a list of 1 MB one group gave 600 kB of labels to 5,000 targets: 2 GB.
    #[test]
    fn targets_with_too_many_labels_are_there_without_them_and_fail() {
        let config = crate::config::load("scrape_configs:\n- {job_name: j}\n").0;
        let job = &config.expect("valid").jobs[0];
        let large = "x".repeat(LABELS_BYTES_MAX);
        let targets = |large: &str, room: usize| {
            let group = TargetGroup {
                targets: ["a:1", "b:1"].map(address_labels).to_vec(),
                labels: Labels::from_pairs([("large", large)]),
                attached: Vec::new(),
            };
            let found = outcomes(
                job,
                &target_options(job),
                &Arc::new(group),
                &mut LabelRoom(room),
            );
            collect(job, &found).targets
        };
        for (large, room, says) in [
            (
                large.as_str(),
                JOB_LABELS_BYTES_MAX,
                ["its labels take", "its labels take"],
            ),
            (&large[..1_000], 1_500, ["", "of the job's targets"]),
            (&large[..1_000], JOB_LABELS_BYTES_MAX, ["", ""]),
        ] {
            let targets = targets(large, room);
            assert_eq!(targets.len(), 2);
            for (target, says) in targets.iter().zip(says) {
                let refused = target.refused.as_deref().unwrap_or("");
                assert!(
                    refused.contains(says) && refused.is_empty() == says.is_empty(),
                    "{refused}"
                );
                let shown = target.labels.get("large").is_some();
                assert_eq!(shown, says.is_empty());
                assert!(target.labels.get("instance").is_some());
            }
        }
    }

    #[test]
    fn an_address_is_judged_after_relabelling() {
        let found = found(
            r#"
scrape_configs:
- job_name: bb
  metrics_path: /probe
  params: {module: [http_2xx]}
  static_configs: [{targets: ['https://example.org', 'https://example.net/x']}]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {source_labels: [__address__], regex: '.*org', target_label: __address__, replacement: '127.0.0.1:9115'}
"#,
        );
        let target = &found.targets[0];
        assert_eq!(
            target.url.to_string(),
            "http://127.0.0.1:9115/probe?module=http_2xx&target=https%3A%2F%2Fexample.org"
        );
        assert_eq!(target.labels.get("instance"), Some("https://example.org"));
        let refused = found.targets[1].refused.as_ref();
        assert!(refused.is_some_and(|why| why.contains("must be host:port")));
    }

    #[test]
    fn equal_labels_and_another_url_are_another_target() {
        let found = found(
            r#"
scrape_configs:
- job_name: j
  static_configs:
  - {targets: ['a:1'], labels: {__param_q: x}}
  - {targets: ['a:1'], labels: {__param_q: y}}
  - {targets: ['a:1'], labels: {__param_q: x}}
"#,
        );
        assert_eq!(found.targets.len(), 2);
    }

    #[test]
    fn more_targets_than_allowed_are_all_refused() {
        let text = "scrape_configs:\n- {job_name: j, target_limit: 1, static_configs: [{targets: ['a:1', 'b:1']}]}\n";
        for target in found(text).targets {
            assert!(
                target
                    .refused
                    .is_some_and(|why| why.contains("number of targets: 2, limit: 1"))
            );
        }
    }
}
