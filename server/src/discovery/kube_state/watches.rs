//! The watches of all kinds and namespaces that somebody names. What they see together is in `seen`.
//!
//! A namespace that selectors name has a watch of its own, while it can be listed and there are few; where some selector names
//! none, one of all namespaces tells of the others. That one stays while anybody needs it, so that whoever asks for all takes
//! nothing away from those who ask for one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use kube::Client;
use stillwell_engine::labels::Matcher;
use tokio::sync::{mpsc, watch};
use tokio::time::Duration;

use super::Section;
use super::families::{KINDS, Kind};
use super::selection::{Selected, Selection, namespaces_of};
use super::wanted::{OfKind, Wanted};
use super::watched::Watched;
use crate::config::ScrapeJob;
use crate::discovery::shard::Shard;
use crate::scrape::PageSource;

/// Namespaces of a kind with a watch of their own.
const NAMESPACES_MAX: usize = 50;
/// A namespace's own watch gives way to that of all where it has seen nothing for so long, and that one has.
const GIVES_WAY: Duration = Duration::from_secs(180);
/// The namespace of a watch of all.
pub(super) const ALL: &str = "";

/// The watches that are wanted.
pub(super) struct Watches {
    pub(super) section: Section,
    pub(super) job: Arc<ScrapeJob>,
    client: Client,
    pub(super) shard: Option<Shard>,
    changed: mpsc::Sender<()>,
    /// By place of the kind in [`KINDS`].
    pub(super) wanted: Wanted,
    /// By place of the kind and namespace.
    pub(super) watches: BTreeMap<(usize, String), One>,
    /// Why something of a kind is not listed, as it was said first.
    pub(super) whys: BTreeMap<usize, String>,
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
    pub(super) fn settle(&mut self) {
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
}

/// The keys of the watches of one kind.
pub(super) fn keys_of(at: usize) -> Range<(usize, String)> {
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
pub(super) fn may_select(selector: &[Matcher], namespace: &str, own: &BTreeSet<&str>) -> bool {
    match (namespaces_of(selector), namespace) {
        (None, _) => true,
        (Some(names), ALL) => names.iter().any(|name| !own.contains(name.as_str())),
        (Some(names), namespace) => names.iter().any(|name| name == namespace),
    }
}

/// A watch, and who tells it what to tell of.
pub(super) struct One {
    pub(super) source: PageSource,
    pub(super) watched: Arc<Watched>,
    pub(super) selected: Selected,
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
