//! `kube_state`: what kube-state-metrics tells of workloads and pods, from watches of this process.
//!
//! ```text
//!  signals, rules, triggers --selectors--> which kinds and namespaces --watched: list, watch--> pages --scraper--> store
//! ```
//!
//! Only objects that somebody names are told of, in the namespaces that are named, unless all are asked for: what nobody
//! reads is not watched. Each kind and namespace is a target of its own, so that one that may not be read harms no other.

mod families;
mod watched;
mod watches;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::Reader;
use stillwell_engine::labels::{METRIC_NAME, MatchOp, Matcher};
use stillwell_engine::promql::Query;
use stillwell_engine::signal::Partial;
use tokio::sync::{mpsc, watch};

use self::families::{KINDS, Kind};
use self::watches::Watches;
use super::groups::Groups;
use super::kubernetes::client;
use crate::config::{Global, KubeState, ScrapeJob, job_from_json};
use crate::rule_groups::RuleFile;
use crate::scrape::{JobTargets, target_options};

/// What signals and triggers name is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Watches at once; beyond them all namespaces of a kind are watched together.
const NAMESPACES_MAX: usize = 50;

/// Which objects are told of.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) options: KubeState,
    pub(super) global: Global,
}

impl Section {
    /// Whether what was begun for the other can go on.
    pub(super) fn is_like(&self, other: &Section) -> bool {
        (&self.options, &self.global) == (&other.options, &other.global)
    }
}

/// What names objects, beside the signals.
pub(super) struct Rules {
    /// Of the configuration.
    pub(super) configured: watch::Receiver<Vec<RuleFile>>,
    /// Of the cluster.
    pub(super) found: watch::Receiver<Vec<RuleFile>>,
}

/// The job as of one moment.
pub(super) struct Told {
    pub(super) job: JobTargets,
    /// Every watch that is wanted has listed what there is.
    pub(super) are_listed: bool,
    /// Series that its targets do not tell of.
    pub(super) partial: Vec<Partial>,
}

/// Conditions of selectors, by the kind that they name in the order of [`KINDS`].
type Wanted = Vec<Vec<Vec<Matcher>>>;

/// Sends the job whenever its targets change, until it is dropped. `status` says how the watches go.
pub(super) async fn run(
    section: Section,
    reader: Reader,
    rules: Rules,
    status: Groups,
    tell: mpsc::Sender<Told>,
) {
    let client = loop {
        match client::connect(&section.options.cluster).await {
            Ok((client, _)) => break client,
            Err(why) => status.fail(why),
        }
        tokio::time::sleep(client::TRY_AGAIN).await;
    };
    let job = match job(&section) {
        Ok(job) => job,
        Err(why) => return status.fail(why), // its text is ours: a test would have failed
    };
    let (changed, mut changes) = mpsc::channel(1);
    let mut watches = Watches::new(section, job, client, changed);
    let mut told = None;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let (configured, found) = (rules.configured.borrow(), rules.found.borrow());
                let wanted = wanted(watches.section(), &reader, configured.iter().chain(found.iter()));
                watches.watch(wanted);
            }
            Some(()) = changes.recv() => {}
        }
        let seen = watches.seen();
        match &seen.problem {
            Some(why) => status.fail(why.clone()),
            None => status.read_nothing(),
        }
        if told.as_ref() != Some(&seen) {
            let tells = Told {
                job: watches.job_targets(seen.targets.clone()),
                are_listed: seen.are_listed,
                partial: seen.partial.clone(),
            };
            told = Some(seen);
            if tell.send(tells).await.is_err() {
                return; // nobody scrapes any more
            }
        }
    }
}

/// What is not told of before anything is watched.
pub(super) fn nothing_seen(section: &Section) -> Vec<Partial> {
    let kinds = KINDS.iter();
    kinds
        .filter_map(|kind| watches::partial(section, kind, BTreeSet::new(), None))
        .collect()
}

fn job(section: &Section) -> Result<Arc<ScrapeJob>, String> {
    let interval_ms = section.options.interval_ms;
    let keys = serde_json::json!({
        "job_name": KubeState::JOB, "honor_labels": true, "scrape_interval": format!("{interval_ms}ms"),
        "static_configs": [],
    });
    let read = job_from_json(&keys.to_string(), &section.global)?;
    Ok(target_options(&read))
}

/// The selectors of all that may be told to somebody.
fn wanted<'r>(
    section: &Section,
    reader: &Reader,
    rules: impl Iterator<Item = &'r RuleFile>,
) -> Wanted {
    if section.options.all {
        return vec![vec![Vec::new()]; KINDS.len()];
    }
    let families = KINDS.iter().flat_map(|kind| kind.families);
    let families: Vec<&str> = families.map(|family| family.name).collect();
    let mut all = reader.selectors_of(&families);
    let rules = rules
        .flat_map(|file| &file.groups)
        .flat_map(|group| &group.rules);
    for query in rules.filter_map(|rule| rule.query.as_ref()) {
        all.extend(Query::selectors(query).map(|one| one.matchers.to_vec()));
    }
    let of_kind = |kind: &Kind| {
        let names = |matchers: &&Vec<Matcher>| names(matchers, kind);
        let mut of_kind: Vec<Vec<Matcher>> = all.iter().filter(names).cloned().collect();
        of_kind.sort_by_key(|matchers| text_of(matchers));
        of_kind.dedup_by_key(|matchers| text_of(matchers));
        of_kind
    };
    KINDS.iter().map(of_kind).collect()
}

/// Whether a selector means a family of this kind by name. One without a condition on the name means whatever there is.
fn names(matchers: &[Matcher], kind: &Kind) -> bool {
    let of_name = |one: &&Matcher| one.name() == METRIC_NAME;
    let of_name: Vec<&Matcher> = matchers.iter().filter(of_name).collect();
    let fits = |name: &str| of_name.iter().all(|one| one.matches(name));
    !of_name.is_empty() && kind.families.iter().any(|family| fits(family.name))
}

fn text_of(matchers: &[Matcher]) -> String {
    let one = |matcher: &Matcher| {
        format!(
            "{}{}{:?}",
            matcher.name(),
            matcher.op().as_str(),
            matcher.value()
        )
    };
    matchers.iter().map(one).collect::<Vec<_>>().join(",")
}

/// The namespaces in which these selectors select; all of them where one does not say.
fn namespaces(selectors: &[Vec<Matcher>]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for matchers in selectors {
        let of = matchers.iter().filter(|one| one.name() == "namespace");
        let mut literal = of.filter_map(|one| match one.op() {
            MatchOp::Equal => Some(vec![one.value().to_owned()]),
            MatchOp::Regex => one.literal_values().map(<[String]>::to_vec),
            _ => None,
        });
        match literal.next() {
            Some(values) => named.extend(values),
            None => return BTreeSet::from([String::new()]),
        }
    }
    named.retain(|name| !name.is_empty());
    match named.len() > NAMESPACES_MAX {
        true => BTreeSet::from([String::new()]),
        false => named,
    }
}
