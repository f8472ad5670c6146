//! The watches of all kinds and namespaces that somebody names, and what they tell of together.
//!
//! What is not listed is not known: a query that may select it is unknown, with the reason, and no other is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use kube::Client;
use stillwell_engine::labels::{LabelsBuilder, Matcher};
use stillwell_engine::signal::{Namespaces, Partial, Unseen};
use tokio::sync::{mpsc, watch};

use super::Section;
use super::families::{KINDS, Kind};
use super::wanted::{Wanted, namespaces};
use super::watched::{PAGES_COUNTED, Watched};
use crate::cluster::list_watch::NO_SUCH_KIND;
use crate::config::{KubeState, ScrapeJob};
use crate::http_client::Url;
use crate::scrape::{Discovered, Found, JobTargets, PageSource, Target};

/// An API server whose address nobody gave.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// The watches that are wanted, and those that stand in for them until they have listed.
pub(super) struct Watches {
    section: Section,
    job: Arc<ScrapeJob>,
    client: Client,
    changed: mpsc::Sender<()>,
    /// By place of the kind in [`KINDS`] and namespace.
    watches: BTreeMap<(usize, String), One>,
    /// Of a kind of which all namespaces are watched together from now on, or no more: what was watched before, until all that is
    /// wanted has been listed.
    before: BTreeMap<usize, Vec<One>>,
}

/// What is seen as of one moment.
#[derive(PartialEq)]
pub(super) struct Seen {
    pub(super) targets: Vec<Target>,
    /// Every watch that is wanted has listed what there is.
    pub(super) are_listed: bool,
    /// Series that these targets do not tell of.
    pub(super) partial: Vec<Partial>,
    /// Why something that is wanted is not listed.
    pub(super) problem: Option<String>,
}

impl Watches {
    pub(super) fn new(
        section: Section,
        job: Arc<ScrapeJob>,
        client: Client,
        changed: mpsc::Sender<()>,
    ) -> Watches {
        Watches {
            section,
            job,
            client,
            changed,
            watches: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }

    pub(super) fn section(&self) -> &Section {
        &self.section
    }

    /// Watches exactly what is wanted. Watches that stay go on undisturbed.
    pub(super) fn watch(&mut self, wanted: Wanted) {
        let mut before = std::mem::take(&mut self.watches);
        for (at, selectors) in wanted.into_iter().enumerate() {
            let given = &self.section.options.cluster.namespaces;
            let scopes = match given.is_empty() {
                _ if selectors.is_empty() => BTreeSet::new(),
                true => namespaces(&selectors),
                false => given.iter().cloned().collect(),
            };
            let is_of_all = scopes.contains("");
            let mut now = before.range(keys_of(at));
            let pages_needed =
                match now.any(|((_, namespace), _)| is_of_all != namespace.is_empty()) {
                    true => PAGES_COUNTED,
                    false => 1,
                };
            for namespace in scopes {
                let key = (at, namespace);
                let one = match before.remove(&key) {
                    Some(one) => one,
                    None => self.begin(&KINDS[at], &key.1, pages_needed),
                };
                one.select(&selectors);
                self.watches.insert(key, one);
            }
            let gone = before.extract_if(keys_of(at), |_, _| true);
            let gone: Vec<((usize, String), One)> = gone.collect();
            // Those of other namespaces are not wanted by anybody.
            let stand_in = is_of_all || gone.iter().any(|((_, namespace), _)| namespace.is_empty());
            let gone = gone.into_iter().map(|(_, one)| one);
            let listed = gone.filter(|one| stand_in && one.watched.stored() > 0);
            let kept = self.before.entry(at).or_default();
            kept.extend(listed);
            kept.iter().for_each(|one| one.select(&selectors));
        }
    }

    fn begin(&self, kind: &'static Kind, namespace: &str, pages_needed: usize) -> One {
        let (selectors, told) = watch::channel(Vec::new());
        let (client, changed) = (self.client.clone(), self.changed.clone());
        let watched = Arc::new(Watched::start(client, kind, namespace, told, changed));
        One {
            source: PageSource::new(Arc::clone(&watched) as _),
            watched,
            selectors,
            pages_needed,
        }
    }

    /// What was listed is a target; what it tells is known when a page of it is stored.
    pub(super) fn seen(&mut self) -> Seen {
        let mut seen = Seen {
            targets: Vec::new(),
            are_listed: true,
            partial: Vec::new(),
            problem: None,
        };
        let mut problems = Vec::new();
        for (at, kind) in KINDS.iter().enumerate() {
            let mut scopes = BTreeSet::new();
            let (mut listed, mut why) = (Vec::new(), None);
            for one in self.of_kind(at) {
                let scope = one.watched.what().1.to_owned();
                match one.watched.listed() {
                    Ok(()) => {
                        listed.extend(self.target(one));
                        if one.watched.stored() >= one.pages_needed {
                            scopes.insert(scope);
                        }
                    }
                    Err(no_kind) if no_kind == NO_SUCH_KIND => {
                        scopes.insert(scope);
                        problems.push(format!("{}: {no_kind}", kind.plural));
                    }
                    Err(not_yet) if not_yet.is_empty() => {
                        why.get_or_insert_with(|| format!("{} are not listed yet", kind.plural));
                    }
                    Err(failure) => {
                        let failure = format!("{}: {failure}", kind.plural);
                        why = Some(failure.clone());
                        problems.push(failure);
                    }
                }
            }
            if why.is_none() {
                self.before.remove(&at);
            }
            seen.are_listed &= why.is_none();
            if let Some(before) = self.before.get(&at).filter(|before| !before.is_empty()) {
                // They overlap with what is listed now.
                scopes = before
                    .iter()
                    .map(|one| one.watched.what().1.to_owned())
                    .collect();
                listed = before.iter().filter_map(|one| self.target(one)).collect();
            }
            seen.targets.extend(listed);
            seen.partial
                .extend(partial(&self.section, kind, scopes, why));
        }
        seen.problem = (!problems.is_empty()).then(|| problems.join("; "));
        seen
    }

    fn of_kind(&self, at: usize) -> impl Iterator<Item = &One> {
        self.watches.range(keys_of(at)).map(|(_, one)| one)
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

    pub(super) fn job_targets(&self, targets: Vec<Target>) -> JobTargets {
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

/// The keys of the watches of one kind.
fn keys_of(at: usize) -> Range<(usize, String)> {
    (at, String::new())..(at + 1, String::new())
}

/// What is not told of where a kind was listed in these namespaces (all, where one of them is empty), and why, where that is known.
pub(super) fn partial(
    section: &Section,
    kind: &Kind,
    listed: BTreeSet<String>,
    why: Option<String>,
) -> Option<Partial> {
    if listed.contains("") {
        return None;
    }
    let given = &section.options.cluster.namespaces;
    let namespaces = match given.is_empty() {
        true => Namespaces::AllBut(listed),
        false => {
            let missing = given.iter().filter(|name| !listed.contains(*name));
            let missing: BTreeSet<String> = missing.cloned().collect();
            if missing.is_empty() {
                return None;
            }
            Namespaces::Of(missing)
        }
    };
    let families = kind.families.iter();
    Some(Partial {
        job: KubeState::JOB.to_owned(),
        is_of_any_name: false,
        unseen: Unseen {
            metrics: families.map(|family| family.name.to_owned()).collect(),
            namespaces,
        },
        why: why.unwrap_or_else(|| format!("{} that it names are not watched yet", kind.plural)),
    })
}

/// A watch, and who tells it what to tell of.
struct One {
    source: PageSource,
    watched: Arc<Watched>,
    selectors: watch::Sender<Vec<Vec<Matcher>>>,
    /// After so many pages what it tells is known: where it takes the place of others, whose series end with them, one that was
    /// scraped when they had.
    pages_needed: usize,
}

impl One {
    /// It tells of these.
    fn select(&self, selectors: &[Vec<Matcher>]) {
        self.selectors.send_if_modified(|told| {
            let news = told.as_slice() != selectors;
            if news {
                *told = selectors.to_vec();
            }
            news
        });
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels::MatchOp;

    use super::super::run::job;
    use super::*;
    use crate::config::Global;

    /// A namespace that was not listed yet was missing from a sum over two, and what a snapshot knew of it was gone.
    #[tokio::test]
    async fn a_namespace_that_is_not_listed_yet_is_waited_for() {
        let (config, _) = crate::config::load("kube_state: {}\n");
        let section = Section {
            options: config.and_then(|one| one.kube_state).expect("it parses"),
            global: Global::default(),
        };
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let job = job(&section).expect("its text is ours");
        let client = Client::try_from(nowhere).expect("a client");
        let mut watches = Watches::new(section, job, client, mpsc::channel(1).0);
        assert!(watches.seen().are_listed, "nobody asks for anything");
        let of = |namespace| Matcher::new(MatchOp::Equal, "namespace", namespace).expect("valid");
        let mut wanted: Wanted = vec![Vec::new(); KINDS.len()];
        wanted[0] = vec![vec![of("a")], vec![of("b")]];
        watches.watch(wanted);
        let seen = watches.seen();
        assert!(seen.targets.is_empty() && !seen.are_listed && watches.watches.len() == 2);
    }
}
