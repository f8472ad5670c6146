//! What all watches see together: their targets, and what these do not tell of.
//!
//! What is not listed, or not told of by a stored page, is not known: a query that may select it is unknown, with the reason, and no
//! other is.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillwell_engine::labels::{LabelsBuilder, Matcher};
use stillwell_engine::signal::{Namespaces, Partial, Unseen};

use super::Section;
use super::families::{KINDS, Kind};
use super::watches::{ALL, One, Watches, keys_of, may_select};
use crate::cluster::list_watch::NO_SUCH_KIND;
use crate::config::KubeState;
use crate::http_client::Url;
use crate::scrape::{Discovered, Found, JobTargets, Target};

/// An API server whose address nobody gave.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";
/// Before the kind, in the label `service` of a target.
const SERVICE_PREFIX: &str = "kube-state-metrics/";

/// What is seen as of one moment.
#[derive(PartialEq)]
pub(super) struct Seen {
    pub(super) targets: Vec<Target>,
    /// Kinds of which some watch that is wanted has listed nothing yet.
    pub(super) not_listed: BTreeSet<&'static str>,
    /// Series that these targets do not tell of.
    pub(super) partial: Vec<Partial>,
    /// Why something that is wanted is not listed.
    pub(super) problem: Option<String>,
}

impl Watches {
    /// What was listed is a target; what it tells is known when a page of it is stored.
    pub(super) fn seen(&mut self) -> Seen {
        self.settle();
        let mut seen = Seen {
            targets: Vec::new(),
            not_listed: BTreeSet::new(),
            partial: Vec::new(),
            problem: None,
        };
        let mut problems = Vec::new();
        for (at, kind) in KINDS.iter().enumerate() {
            let (mut scopes, mut why) = (BTreeSet::new(), None);
            for one in self.watches.range(keys_of(at)).map(|(_, one)| one) {
                match one.watched.listed() {
                    Ok(()) => {
                        if self.is_stored(one) {
                            scopes.insert(one.watched.what().1.to_owned());
                        }
                        seen.targets.extend(self.target(one));
                    }
                    Err(no_kind) if no_kind == NO_SUCH_KIND => {
                        scopes.insert(one.watched.what().1.to_owned());
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
            if why.is_some() {
                seen.not_listed.insert(kind.plural);
            }
            // The same reason for as long as an outage takes (S9e).
            let why = match why {
                Some(why) => Some(self.whys.entry(at).or_insert(why).clone()),
                None => {
                    self.whys.remove(&at);
                    None
                }
            };
            let own = self.own(at);
            let missing = partial(&self.section, kind, (scopes, &own), why);
            seen.partial.extend(missing);
            seen.partial.extend(self.not_told(at, kind, &own));
        }
        seen.problem = (!problems.is_empty()).then(|| problems.join("; "));
        seen
    }

    /// The namespaces of a kind with a watch of their own.
    fn own(&self, at: usize) -> BTreeSet<&str> {
        let keys = self.watches.range(keys_of(at)).map(|(key, _)| &*key.1);
        keys.filter(|namespace| *namespace != ALL).collect()
    }

    /// Whether the pages of a target are another process'.
    fn is_of_others(&self, one: &One) -> bool {
        let target = self
            .shard
            .and_then(|shard| Some((shard, self.target(one)?)));
        target.is_some_and(|(shard, target)| !shard.owns(&target))
    }

    fn is_stored(&self, one: &One) -> bool {
        one.watched.stored() > 0 || self.is_of_others(one)
    }

    /// What of a kind no stored page was written for: all but what is selected by these. `None` where all was selected.
    fn not_told(&self, at: usize, kind: &Kind, own: &BTreeSet<&str>) -> Option<Partial> {
        let of_kind = || self.watches.range(keys_of(at)).map(|(_, one)| one);
        let is_told = |selector: &[Matcher]| {
            of_kind().all(|one| {
                !may_select(selector, one.watched.what().1, own)
                    || one.selected.is_told(selector, one.watched.stored())
                    || one.watched.listed().is_err_and(|why| why == NO_SUCH_KIND)
                    || self.is_of_others(one)
            })
        };
        if of_kind().next().is_some() && is_told(&[]) {
            return None;
        }
        let wanted = self.wanted.get(at).map_or(&[][..], |of| &of.selectors);
        let of_before = of_kind().flat_map(|one| one.selected.told_sooner());
        let told = wanted.iter().chain(of_before);
        let told = told.filter(|selector| is_told(selector));
        Some(Partial {
            job: KubeState::JOB.to_owned(),
            is_of_any_name: false,
            unseen: Unseen {
                metrics: names_of(kind),
                namespaces: Namespaces::Any,
                but: told.cloned().collect(),
            },
            why: format!("no page tells yet of the {} that it names", kind.plural),
        })
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
        labels.set("service", &format!("{SERVICE_PREFIX}{}", kind.plural));
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

/// The kind of which a target tells.
pub(super) fn kind_of(target: &Target) -> Option<&str> {
    let service = target.labels.get("service")?;
    service.strip_prefix(SERVICE_PREFIX)
}

/// The metrics of a kind.
fn names_of(kind: &Kind) -> Vec<String> {
    let families = kind.families.iter();
    families.map(|family| family.name.to_owned()).collect()
}

/// What is not told of where pages of a kind are stored of these namespaces (of all but those with a watch of their `own`, where
/// one of them is [`ALL`]), and why, where that is known.
pub(super) fn partial(
    section: &Section,
    kind: &Kind,
    (stored, own): (BTreeSet<String>, &BTreeSet<&str>),
    why: Option<String>,
) -> Option<Partial> {
    let given = &section.options.cluster.namespaces;
    let missing = |all: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        let missing = all.filter(|name| !stored.contains(*name));
        missing.map(str::to_owned).collect()
    };
    let namespaces = match (given.is_empty(), stored.contains(ALL)) {
        (false, _) => Namespaces::Of(missing(&mut given.iter().map(String::as_str))),
        (true, true) => Namespaces::Of(missing(&mut own.iter().copied())),
        (true, false) => Namespaces::AllBut(stored),
    };
    if namespaces == Namespaces::Of(BTreeSet::new()) {
        return None;
    }
    Some(Partial {
        job: KubeState::JOB.to_owned(),
        is_of_any_name: false,
        unseen: Unseen {
            metrics: names_of(kind),
            namespaces,
            but: Vec::new(),
        },
        why: why.unwrap_or_else(|| format!("{} that it names are not watched yet", kind.plural)),
    })
}
