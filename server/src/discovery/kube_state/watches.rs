//! The watches of all kinds and namespaces that somebody names, and what they tell of together.
//!
//! A namespace that selectors name has a watch of its own, while it can be listed and there are few; where some selector names
//! none, one of all namespaces tells of the others. That one stays while anybody needs it, so that whoever asks for all takes
//! nothing away from those who ask for one. What is not listed, or not told of by a stored page, is not known: a query that may
//! select it is unknown, with the reason, and no other is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use kube::Client;
use stillwell_engine::labels::{LabelsBuilder, Matcher};
use stillwell_engine::signal::{Namespaces, Partial, Unseen};
use tokio::sync::{mpsc, watch};
use tokio::time::Duration;

use super::Section;
use super::families::{KINDS, Kind};
use super::selection::{Selected, Selection, namespaces_of};
use super::wanted::{OfKind, Wanted};
use super::watched::Watched;
use crate::cluster::list_watch::NO_SUCH_KIND;
use crate::config::{KubeState, ScrapeJob};
use crate::discovery::shard::Shard;
use crate::http_client::Url;
use crate::scrape::{Discovered, Found, JobTargets, PageSource, Target};

/// An API server whose address nobody gave.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";
/// Namespaces of a kind with a watch of their own.
const NAMESPACES_MAX: usize = 50;
/// Before the kind, in the label `service` of a target.
const SERVICE_PREFIX: &str = "kube-state-metrics/";
/// A namespace's own watch gives way to that of all where it has seen nothing for so long, and that one has.
const GIVES_WAY: Duration = Duration::from_secs(180);
/// The namespace of a watch of all.
const ALL: &str = "";

/// The watches that are wanted.
pub(super) struct Watches {
    section: Section,
    job: Arc<ScrapeJob>,
    client: Client,
    shard: Option<Shard>,
    changed: mpsc::Sender<()>,
    /// By place of the kind in [`KINDS`].
    wanted: Wanted,
    /// By place of the kind and namespace.
    watches: BTreeMap<(usize, String), One>,
    /// Why something of a kind is not listed, as it was said first.
    whys: BTreeMap<usize, String>,
}

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
    pub(super) fn new(
        section: Section,
        job: Arc<ScrapeJob>,
        (client, shard): (Client, Option<Shard>),
        changed: mpsc::Sender<()>,
    ) -> Watches {
        Watches {
            section,
            job,
            client,
            shard,
            changed,
            wanted: Wanted::new(),
            watches: BTreeMap::new(),
            whys: BTreeMap::new(),
        }
    }

    pub(super) fn section(&self) -> &Section {
        &self.section
    }

    /// Goes on with the same watches for another section, which reads the same objects.
    pub(super) fn go_on(&mut self, section: Section, job: Arc<ScrapeJob>) {
        (self.section, self.job) = (section, job);
    }

    /// Watches exactly what is wanted. Watches that stay go on undisturbed.
    pub(super) fn watch(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.settle();
    }

    /// Begins and ends watches by what is wanted and listed now, and says to each what to tell of.
    fn settle(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        for (at, of_kind) in wanted.iter().enumerate() {
            let scopes = self.scopes(at, of_kind);
            self.watches
                .retain(|(of, namespace), _| *of != at || scopes.contains(namespace));
            for namespace in &scopes {
                let key = (at, namespace.clone());
                if !self.watches.contains_key(&key) {
                    let one = self.begin(&KINDS[at], namespace);
                    self.watches.insert(key, one);
                }
            }
            let own: BTreeSet<String> = scopes.into_iter().filter(|one| one != ALL).collect();
            for ((_, namespace), one) in self.watches.range_mut(keys_of(at)) {
                match namespace.as_str() {
                    ALL => one.select(&of_kind.selectors, &own),
                    own => one.select(&in_namespace(&of_kind.selectors, own), &BTreeSet::new()),
                }
            }
        }
        self.wanted = wanted;
    }

    /// The namespaces of which a kind is watched now, and [`ALL`].
    fn scopes(&self, at: usize, wanted: &OfKind) -> BTreeSet<String> {
        if wanted.selectors.is_empty() {
            return BTreeSet::new();
        }
        let given = &self.section.options.cluster.namespaces;
        if !given.is_empty() {
            return given.iter().cloned().collect();
        }
        let is_listed = |namespace: &str| {
            let one = self.watches.get(&(at, namespace.to_owned()));
            one.is_some_and(|one| one.watched.listed().is_ok())
        };
        // What a watch of all tells of already stays with it, and what has one of its own keeps that while it sees something.
        let keeps_own = |namespace: &&String| match is_listed(ALL) {
            true => is_listed(namespace) && !self.gives_way(at, namespace),
            false => self.watches.contains_key(&(at, (*namespace).clone())),
        };
        let (own, others): (Vec<&String>, Vec<&String>) =
            wanted.namespaces.iter().partition(keeps_own);
        let room = match is_listed(ALL) {
            true => 0,
            false => NAMESPACES_MAX.saturating_sub(own.len()),
        };
        let is_short = others.len() > room;
        let own = own.into_iter().chain(others.into_iter().take(room));
        let mut scopes: BTreeSet<String> = own.cloned().collect();
        if wanted.of_all_namespaces || is_short {
            scopes.insert(ALL.to_owned());
        }
        scopes
    }

    /// Whether a namespace's watch sees nothing any more, as where nobody may read it alone, while that of all does.
    fn gives_way(&self, at: usize, namespace: &str) -> bool {
        let sees = |namespace: &str| {
            let one = self.watches.get(&(at, namespace.to_owned()));
            one.map(|one| one.watched.sees())
        };
        match (sees(namespace), sees(ALL)) {
            (Some((false, lost)), Some((true, seen))) => lost.min(seen) >= GIVES_WAY,
            _ => false,
        }
    }

    fn begin(&self, kind: &'static Kind, namespace: &str) -> One {
        let (selection, told) = watch::channel(Selection::default());
        let (client, changed) = (self.client.clone(), self.changed.clone());
        One::new(
            Watched::start(client, kind, namespace, told, changed),
            selection,
        )
    }

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

/// The keys of the watches of one kind.
fn keys_of(at: usize) -> Range<(usize, String)> {
    (at, String::new())..(at + 1, String::new())
}

/// The selectors that may select something in a namespace.
fn in_namespace(selectors: &[Vec<Matcher>], namespace: &str) -> Vec<Vec<Matcher>> {
    let none = BTreeSet::new();
    let selectors = selectors.iter();
    let fitting = selectors.filter(|selector| may_select(selector, namespace, &none));
    fitting.cloned().collect()
}

/// Whether a selector may select something in a namespace, or, of a watch of all, in one but these.
fn may_select(selector: &[Matcher], namespace: &str, own: &BTreeSet<&str>) -> bool {
    match (namespaces_of(selector), namespace) {
        (None, _) => true,
        (Some(names), ALL) => names.iter().any(|name| !own.contains(name.as_str())),
        (Some(names), namespace) => names.iter().any(|name| name == namespace),
    }
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

/// A watch, and who tells it what to tell of.
struct One {
    source: PageSource,
    watched: Arc<Watched>,
    selected: Selected,
    selection: watch::Sender<Selection>,
}

impl One {
    fn new(watched: Watched, selection: watch::Sender<Selection>) -> One {
        let watched = Arc::new(watched);
        One {
            source: PageSource::new(Arc::clone(&watched) as _),
            watched,
            selected: Selected::default(),
            selection,
        }
    }

    /// It tells of these, but for what is in namespaces of others.
    fn select(&mut self, selectors: &[Vec<Matcher>], but: &BTreeSet<String>) {
        let (watched, selection) = (&self.watched, &self.selection);
        let tell = |next: &Selection| {
            selection.send_replace(next.clone());
            watched.stored()
        };
        if self.selected.select(selectors, but, tell) {
            self.watched.await_page(self.selected.all_told_after());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::job;
    use super::*;
    use crate::config::Global;

    /// No watches yet, of an API server that is not there.
    fn watches() -> Watches {
        let (config, _) = crate::config::load("kube_state: {}\n");
        let section = Section {
            options: config.and_then(|one| one.kube_state).expect("it parses"),
            global: Global::default(),
        };
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let job = job(&section).expect("its text is ours");
        let client = Client::try_from(nowhere).expect("a client");
        Watches::new(section, job, (client, None), mpsc::channel(1).0)
    }

    /// What these selectors want of the first kind.
    fn wanted(selectors: Vec<Vec<Matcher>>) -> Wanted {
        let mut wanted: Wanted = KINDS.iter().map(|_| OfKind::default()).collect();
        wanted[0] = OfKind::by(selectors);
        wanted
    }

    fn of(namespace: &str) -> Vec<Matcher> {
        vec![Matcher::equal("namespace", namespace)]
    }

    /// A namespace that was not listed yet was missing from a sum over two, and what a snapshot knew of it was gone.
    #[tokio::test]
    async fn a_namespace_that_is_not_listed_yet_is_waited_for() {
        let mut watches = watches();
        assert!(
            watches.seen().not_listed.is_empty(),
            "nobody asks for anything"
        );
        watches.watch(wanted(vec![of("a"), of("b")]));
        let seen = watches.seen();
        assert!(seen.targets.is_empty() && watches.watches.len() == 2);
        assert!(seen.not_listed.contains(KINDS[0].plural));
    }

    /// A namespace that nobody might read alone any more was unknown until a restart, though the watch of all saw it.
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_sees_nothing_gives_way_to_that_of_all() {
        let mut watches = watches();
        let begin = |watches: &mut Watches, namespace: &str, sees: bool| {
            let watched = Watched::idle(&KINDS[0], namespace, sees);
            let one = One::new(watched, watch::channel(Selection::default()).0);
            watches.watches.insert((0, namespace.to_owned()), one);
        };
        let scopes = |watches: &Watches| {
            let keys = watches.watches.keys();
            keys.map(|(_, namespace)| namespace.clone())
                .collect::<Vec<_>>()
        };
        for namespace in ["a", "b"] {
            begin(&mut watches, namespace, namespace == "b");
        }
        let minute = Duration::from_secs(60);
        tokio::time::advance(10 * minute).await;
        begin(&mut watches, ALL, false);
        let all = || wanted(vec![of("a"), of("b"), Vec::new()]);
        tokio::time::advance(10 * minute).await;
        watches.watch(all());
        assert_eq!(
            scopes(&watches),
            ["", "a", "b"],
            "that of all sees nothing either"
        );
        begin(&mut watches, ALL, true);
        tokio::time::advance(2 * minute).await;
        watches.watch(all());
        assert_eq!(
            scopes(&watches),
            ["", "a", "b"],
            "it may come back as that has"
        );
        tokio::time::advance(2 * minute).await;
        watches.watch(all());
        assert_eq!(scopes(&watches), ["", "b"]);
        watches.watch(wanted(vec![of("a"), of("b")]));
        assert_eq!(scopes(&watches), ["", "b"], "nobody else sees it");
    }
}
