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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use stillwell_engine::Reader;
use stillwell_engine::labels::{LabelsBuilder, METRIC_NAME, MatchOp, Matcher};
use stillwell_engine::promql::Query;
use tokio::sync::{mpsc, watch};

use self::families::{KINDS, Kind};
use self::watched::Watched;
use super::groups::Groups;
use super::kubernetes::client;
use crate::cluster::list_watch::NO_SUCH_KIND;
use crate::config::{Global, KubeState, ScrapeJob, job_from_json};
use crate::http_client::Url;
use crate::rule_groups::RuleFile;
use crate::scrape::{Discovered, Found, JobTargets, PageSource, Target, target_options};

/// What signals and triggers name is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Watches at once; beyond them all namespaces of a kind are watched together.
const NAMESPACES_MAX: usize = 50;
/// An API server whose address nobody gave.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// Which objects are told of, and what else names some.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) options: KubeState,
    pub(super) global: Global,
    /// Rules of the configuration.
    pub(super) rules: Vec<RuleFile>,
}

impl Section {
    /// Whether what was begun for the other can go on.
    pub(super) fn is_like(&self, other: &Section) -> bool {
        (&self.options, &self.global, &self.rules) == (&other.options, &other.global, &other.rules)
    }
}

/// The job as of one moment.
pub(super) struct Told {
    pub(super) job: JobTargets,
    /// Every watch that is wanted has listed what there is.
    pub(super) are_listed: bool,
}

/// Conditions of selectors, by the kind that they name in the order of [`KINDS`].
type Wanted = Vec<Vec<Vec<Matcher>>>;

/// Sends the job whenever its targets change, until it is dropped. `status` says how the watches go; `found` are the
/// rules of the cluster.
pub(super) async fn run(
    section: Section,
    reader: Reader,
    found: watch::Receiver<Vec<RuleFile>>,
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
    let mut state = State {
        section,
        job,
        client,
        changed,
        watches: BTreeMap::new(),
    };
    let mut told = None;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let wanted = wanted(&state.section, &reader, &found.borrow());
                state.watch(wanted);
            }
            Some(()) = changes.recv() => {}
        }
        let (targets, are_listed, problem) = state.targets();
        match problem {
            Some(why) => status.fail(why),
            None => status.read_nothing(),
        }
        let tells = Some((targets, are_listed));
        if told != tells
            && let Some((targets, are_listed)) = tells.clone()
        {
            told = tells;
            let job = state.job_targets(targets);
            if tell.send(Told { job, are_listed }).await.is_err() {
                return; // nobody scrapes any more
            }
        }
    }
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
fn wanted(section: &Section, reader: &Reader, found: &[RuleFile]) -> Wanted {
    if section.options.all {
        return vec![vec![Vec::new()]; KINDS.len()];
    }
    let families = KINDS.iter().flat_map(|kind| kind.families);
    let families: Vec<&str> = families.map(|family| family.name).collect();
    let mut all = reader.selectors_of(&families);
    let rules = section.rules.iter().chain(found);
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

/// A watch, and who tells it what to tell of.
struct One {
    source: PageSource,
    watched: Arc<Watched>,
    selectors: watch::Sender<Vec<Vec<Matcher>>>,
}

struct State {
    section: Section,
    job: Arc<ScrapeJob>,
    client: Client,
    changed: mpsc::Sender<()>,
    /// By place of the kind in [`KINDS`] and namespace.
    watches: BTreeMap<(usize, String), One>,
}

impl State {
    /// Watches exactly what is wanted. Watches that stay go on undisturbed.
    fn watch(&mut self, wanted: Wanted) {
        let mut before = std::mem::take(&mut self.watches);
        for (at, selectors) in wanted.into_iter().enumerate() {
            let given = &self.section.options.cluster.namespaces;
            let scopes = match given.is_empty() {
                _ if selectors.is_empty() => BTreeSet::new(),
                true => namespaces(&selectors),
                false => given.iter().cloned().collect(),
            };
            for namespace in scopes {
                let key = (at, namespace);
                let one = match before.remove(&key) {
                    Some(one) => one,
                    None => self.begin(&KINDS[at], &key.1),
                };
                one.selectors.send_if_modified(|told| {
                    let news = *told != selectors;
                    if news {
                        told.clone_from(&selectors);
                    }
                    news
                });
                self.watches.insert(key, one);
            }
        }
    }

    fn begin(&self, kind: &'static Kind, namespace: &str) -> One {
        let (selectors, told) = watch::channel(Vec::new());
        let (client, changed) = (self.client.clone(), self.changed.clone());
        let watched = Arc::new(Watched::start(client, kind, namespace, told, changed));
        One {
            source: PageSource::new(Arc::clone(&watched) as _),
            watched,
            selectors,
        }
    }

    /// What was listed is a target. Whether all is, and why something is not.
    fn targets(&self) -> (Vec<Target>, bool, Option<String>) {
        let (mut targets, mut are_listed) = (Vec::new(), true);
        let mut problems = Vec::new();
        for one in self.watches.values() {
            match one.watched.listed() {
                Ok(()) => targets.extend(self.target(one)),
                Err(why) if why.is_empty() => are_listed = false, // not yet
                Err(why) => {
                    are_listed &= why == NO_SUCH_KIND;
                    let what = one.watched.what().0.plural;
                    problems.push(format!("{what}: {why}"));
                }
            }
        }
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        (targets, are_listed, problem)
    }

    fn target(&self, one: &One) -> Option<Target> {
        let (kind, namespace) = one.watched.what();
        let server = match self.section.options.cluster.api_server.as_str() {
            "" => IN_CLUSTER,
            given => given,
        };
        let base = match kind.group {
            "" => format!("/api/{}", kind.version),
            group => format!("/apis/{group}/{}", kind.version),
        };
        let path = match namespace {
            "" => format!("{base}/{}", kind.plural),
            namespace => format!("{base}/namespaces/{namespace}/{}", kind.plural),
        };
        let url = Url::parse(&format!("{}{path}", server.trim_end_matches('/'))).ok()?;
        let mut labels = LabelsBuilder::default();
        labels.set("job", KubeState::JOB);
        let address = server.split("://").nth(1).unwrap_or(server);
        labels.set("instance", address.trim_end_matches('/'));
        // A group of its own (S2c), so that what cannot be read of one kind keeps nothing of another back.
        labels.set("service", &format!("{}/{}", KubeState::JOB, kind.plural));
        let labels = labels.build();
        Some(Target {
            job: Arc::clone(&self.job),
            discovered: Discovered::given(&self.job, &labels),
            labels,
            url,
            interval_ms: self.job.interval_ms,
            timeout_ms: self.job.timeout_ms,
            refused: None,
            source: Some(one.source.clone()),
        })
    }

    fn job_targets(&self, targets: Vec<Target>) -> JobTargets {
        JobTargets {
            name: KubeState::JOB.to_owned(),
            http: self.job.http.clone(),
            dropped_targets_max: 0,
            found: Found {
                targets,
                ..Found::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A namespace that was not listed yet was missing from a sum over two, and what a snapshot knew of it was gone.
    #[tokio::test]
    async fn a_namespace_that_is_not_listed_yet_is_waited_for() {
        let (config, _) = crate::config::load("kube_state: {}\n");
        let section = Section {
            options: config.and_then(|one| one.kube_state).expect("it parses"),
            global: Global::default(),
            rules: Vec::new(),
        };
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let mut state = State {
            job: job(&section).expect("its text is ours"),
            section,
            client: Client::try_from(nowhere).expect("a client"),
            changed: mpsc::channel(1).0,
            watches: BTreeMap::new(),
        };
        assert!(state.targets().1, "nobody asks for anything");
        let of = |namespace| Matcher::new(MatchOp::Equal, "namespace", namespace).expect("valid");
        let mut wanted: Wanted = vec![Vec::new(); KINDS.len()];
        wanted[0] = vec![vec![of("a")], vec![of("b")]];
        state.watch(wanted);
        let (targets, are_listed, _) = state.targets();
        assert!(targets.is_empty() && !are_listed && state.watches.len() == 2);
    }
}
