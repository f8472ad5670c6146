//! From what discovery finds to targets: labels, relabelling, URL, as Prometheus makes them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use stillwell_engine::TargetSpec;
use stillwell_engine::labels::{Labels, LabelsBuilder, relabel};

use super::client::FetchOptions;
use super::discovered::{Discovered, TargetGroup};
use super::label_room::{LabelRoom, NO_ROOM};
use super::page_source::PageSource;
use crate::config::units::{duration_ms, show_duration_ms};
use crate::config::{Discovery, INTERVAL_MS_MIN, ScrapeJob};
use crate::http_client::{Url, encode_query};

/// What of an address is shown where the labels of its target take too much.
const ADDRESS_SHOWN_BYTES_MAX: usize = 256;
const CUT_SHORT: &str = "relabel_configs write more than 512 labels or 256 KiB of them for this target: a rule doubles what others write";

/// Below this interval compression costs both sides more than it saves: gzip adds a fifth to two thirds to what a page
/// costs a gateway.
const COMPRESSED_INTERVAL_MS_MIN: u64 = 1_000;

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

/// One target, ready to be scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The options of its job, without what only finds targets: a reload that adds one leaves the others alone.
    pub job: Arc<ScrapeJob>,
    /// Before relabelling.
    pub discovered: Discovered,
    /// After it.
    pub labels: Labels,
    /// Where it is.
    pub url: Url,
    /// Between two scrapes.
    pub interval_ms: u64,
    /// For one scrape.
    pub timeout_ms: u64,
    /// Why it must not be scraped, though it is a target.
    pub refused: Option<String>,
    /// What writes its pages, where they are not fetched.
    pub source: Option<PageSource>,
}

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

impl Target {
    /// Whether both are the same but for what discovery says of it beside its labels: annotations and the state of a pod
    /// change while it is scraped, and its history goes on.
    pub fn is_scraped_as(&self, other: &Target) -> bool {
        let Target {
            job,
            discovered: _,
            labels,
            url,
            interval_ms,
            timeout_ms,
            refused,
            source,
        } = other;
        self.labels == *labels
            && self.url == *url
            && (self.interval_ms, self.timeout_ms) == (*interval_ms, *timeout_ms)
            && (&self.refused, &self.source) == (refused, source)
            && self.job == *job
    }

    /// What to fetch.
    pub fn fetch_options(&self) -> FetchOptions {
        let by_interval = self.interval_ms >= COMPRESSED_INTERVAL_MS_MIN;
        FetchOptions {
            url: self.url.clone(),
            timeout_ms: self.timeout_ms,
            body_bytes_max: self.job.limits.body_bytes_max,
            follow_redirects: self.job.http.follow_redirects,
            ask_compressed: self.job.compression.unwrap_or(by_interval),
            accept: self.job.accept.clone(),
            age_ms_max: self.interval_ms_max().saturating_mul(2),
        }
    }

    /// The longest time between two scrapes that go well: freshness is judged by it.
    pub fn interval_ms_max(&self) -> u64 {
        let stretched = self.job.pace.interval_ms_max;
        stretched.map_or(self.interval_ms, |most| most.max(self.interval_ms))
    }

    /// What the engine must know.
    pub fn spec(&self) -> TargetSpec {
        let limits = &self.job.limits;
        let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        TargetSpec {
            labels: self.labels.clone(),
            honor_labels: self.job.honor_labels,
            honor_timestamps: self.job.honor_timestamps,
            metric_relabel: self.job.metric_relabel.clone(),
            sample_limit: limits.samples_max,
            label_limit: count(limits.labels_max),
            label_name_bytes_max: count(limits.label_name_bytes_max),
            label_value_bytes_max: count(limits.label_value_bytes_max),
            interval_ms: self.interval_ms_max(),
            histograms: self.job.histograms,
            extra_metrics: self
                .job
                .extra_metrics
                .then_some(self.timeout_ms as f64 / 1000.0),
            retain: self.job.retain,
            not_ready: self.discovered.is_not_ready(),
        }
    }
}

/// The options of a job that its targets carry.
pub fn target_options(job: &ScrapeJob) -> Arc<ScrapeJob> {
    Arc::new(ScrapeJob {
        discovery: Vec::new(),
        relabel: Vec::new(),
        line: 0,
        ..job.clone()
    })
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

/// The target that relabelling made of what was discovered. One that cannot be asked is a target whose every scrape fails, as in
/// Prometheus: without it a sum over the others would be told for all.
fn finish(
    job: &Arc<ScrapeJob>,
    discovered: Discovered,
    mut labels: LabelsBuilder,
    room: &mut LabelRoom,
) -> Target {
    let address = labels.get("__address__").to_owned();
    let (url, no_url) = match url_of(job, &labels, &address) {
        Ok(url) => (url, None),
        Err(why) => {
            let path = labels.get("__metrics_path__");
            (Url::that_is_never_asked(&address, path), Some(why))
        }
    };
    let (times, no_times) = match times_of(&labels) {
        Ok(times) => (times, None),
        Err(why) => ((job.interval_ms, job.timeout_ms), Some(why)),
    };
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    let is_cut_short = labels.is_cut_short();
    labels.retain(|name| !name.starts_with("__"));
    let mut labels = labels.build();
    let no_room = match is_cut_short {
        true => Some(CUT_SHORT.to_owned()),
        false => room.take(&labels).err(),
    };
    if no_room.is_some() {
        let mut fewer = LabelsBuilder::default();
        fewer.set("job", &job.name);
        fewer.set("instance", shortened(&address));
        labels = fewer.build();
    }
    Target {
        job: Arc::clone(job),
        discovered,
        labels,
        url,
        interval_ms: times.0,
        timeout_ms: times.1,
        refused: no_room.or(no_url).or(no_times),
        source: None,
    }
}

/// What of an address is shown where its labels are left out.
fn shortened(address: &str) -> &str {
    &address[..address.floor_char_boundary(ADDRESS_SHOWN_BYTES_MAX)]
}

fn url_of(job: &ScrapeJob, labels: &LabelsBuilder, address: &str) -> Result<Url, String> {
    if address.contains('/') {
        return Err(format!(
            "address {address:?} must be host:port; the path goes into metrics_path"
        ));
    }
    Url::from_parts(
        labels.get("__scheme__"),
        address,
        labels.get("__metrics_path__"),
        &query(job, labels),
    )
    .map_err(|error| error.to_string())
}

/// Interval and timeout, as relabelling left them.
fn times_of(labels: &LabelsBuilder) -> Result<(u64, u64), String> {
    let interval_ms = duration_ms(labels.get("__scrape_interval__"))
        .map_err(|error| format!("__scrape_interval__: {error}"))?;
    let timeout_ms = duration_ms(labels.get("__scrape_timeout__"))
        .map_err(|error| format!("__scrape_timeout__: {error}"))?;
    if interval_ms < INTERVAL_MS_MIN || timeout_ms == 0 {
        let least = show_duration_ms(INTERVAL_MS_MIN);
        return Err(format!(
            "the interval must be at least {least} and the timeout longer than 0"
        ));
    }
    Ok((interval_ms, timeout_ms))
}

/// The query of the URL: the job's parameters, the first value of each as relabelling left it.
fn query(job: &ScrapeJob, labels: &LabelsBuilder) -> String {
    let mut params: Vec<(String, Vec<String>)> = job.params.clone();
    for (label, value) in labels.iter() {
        let Some(name) = label.strip_prefix("__param_") else {
            continue;
        };
        match params.iter_mut().find(|(have, _)| have == name) {
            Some((_, values)) if values.is_empty() => values.push(value.to_owned()),
            Some((_, values)) => value.clone_into(&mut values[0]),
            None => params.push((name.to_owned(), vec![value.to_owned()])),
        }
    }
    params.sort();
    let mut out = String::new();
    for (name, values) in &params {
        for value in values {
            if !out.is_empty() {
                out.push('&');
            }
            encode_query(name, &mut out);
            out.push('=');
            encode_query(value, &mut out);
        }
    }
    out
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
