//! What became of each object: its jobs or rules, or why it gives none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::Client;
use serde_json::Value;
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use super::job::{Job, Object};
use super::places::{Id, PLACES, Seen};
use super::render::{jobs_of, read};
use super::room::namespace_of;
use super::rooms::{Needs, Rooms};
use super::secrets::{NoValue, Secrets};
use super::section::{ByObject, Found, Given, NotRead, Part, Section};
use super::{endpoint, prometheus_rule};
use crate::cluster::list_watch::{Change, NO_SUCH_KIND};
use crate::config::MonitorKind;
use crate::rule_groups::RuleFile;

/// Jobs of one object, which has a list of endpoints.
const JOBS_OF_OBJECT_MAX: usize = 100;
/// An object of which a value could not be read for so long is left out of what is known to lack: an API server that never
/// answers for one Secret must not keep everybody's signals unknown.
const UNREAD_MISSED: Duration = Duration::from_secs(60);
/// Objects that are named in the log of those that come at a time; the rest is counted.
const LOGGED_MAX: usize = 20;

/// What became of an object.
enum Made {
    Gives(Arc<Found>),
    /// Why it gives nothing.
    Nothing(String),
    /// There is no room for so much, and why: it is tried again where room returns.
    NoRoom(Needs, String),
    /// A value that it refers to could not be read, why, and since when: that is tried again.
    Unread(String, Instant),
}

pub(super) struct State {
    section: Section,
    /// The `spec` of each.
    objects: BTreeMap<Id, Arc<Value>>,
    /// What became of each.
    made: BTreeMap<Id, Made>,
    /// Objects that are rendered next. What became of them before stands until then.
    changed: BTreeSet<Id>,
    /// Objects that there is no room for as they are now; some give what they gave before.
    refused: BTreeMap<Id, Needs>,
    rooms: Rooms,
    /// Whether an object went away since the last look.
    has_lost: bool,
    secrets: Secrets,
    /// Watches that have not listed anything yet.
    expected: BTreeSet<(usize, String)>,
    /// Watches that see nothing now, and why.
    failing: BTreeMap<(usize, String), String>,
    /// Watches that see a part of what there is, and why.
    partial: BTreeMap<(usize, String), String>,
}

impl State {
    pub(super) fn new(
        section: Section,
        client: Client,
        expected: BTreeSet<(usize, String)>,
    ) -> State {
        State {
            section,
            objects: BTreeMap::new(),
            made: BTreeMap::new(),
            changed: BTreeSet::new(),
            refused: BTreeMap::new(),
            rooms: Rooms::default(),
            has_lost: false,
            secrets: Secrets::new(client),
            expected,
            failing: BTreeMap::new(),
            partial: BTreeMap::new(),
        }
    }

    /// When values of Secrets are read again, where some are used.
    pub(super) fn secrets_due(&self) -> Option<Instant> {
        self.secrets.due()
    }

    /// Why a watch sees nothing now, where one does.
    pub(super) fn failure(&self) -> Option<&String> {
        self.failing.values().next()
    }

    /// Why some objects that give targets cannot be seen now, where that is so.
    pub(super) fn partial(&self) -> Option<Part> {
        let watches = || {
            self.partial
                .iter()
                .filter(|((at, _), _)| gives_targets(*at))
        };
        let missed = || {
            self.unread()
                .filter(|(.., since)| since.elapsed() < UNREAD_MISSED)
        };
        let why = watches().map(|(_, why)| why);
        let why = why.chain(missed().map(|(_, why, _)| why)).next()?;
        Some(Part {
            why: why.clone(),
            lacks: NotRead {
                watches: watches().map(|(watch, _)| watch.clone()).collect(),
                objects: missed().map(|(id, ..)| id.clone()).collect(),
            },
        })
    }

    /// Objects of which a value could not be read yet, why they give no targets, and since when.
    fn unread(&self) -> impl Iterator<Item = (&Id, &String, Instant)> {
        self.made.iter().filter_map(|(id, made)| match made {
            Made::Unread(why, since) => Some((id, why, *since)),
            _ => None,
        })
    }

    /// Whether every watch has listed what there is.
    pub(super) fn is_complete(&self) -> bool {
        self.expected.is_empty()
    }

    /// Whether every kind that gives targets has been listed.
    pub(super) fn are_targets_listed(&self) -> bool {
        let mut expected = self.expected.iter();
        !expected.any(|(at, _)| gives_targets(*at)) && self.unread().next().is_none()
    }

    pub(super) fn take(&mut self, seen: Seen) {
        let Seen {
            place,
            namespace,
            change,
        } = seen;
        let watch = (place, namespace.clone());
        let of_kind = |why: String| format!("{}: {why}", PLACES[place].plural);
        self.failing.remove(&watch);
        match change {
            Change::All(all) => {
                self.expected.remove(&watch);
                self.partial.remove(&watch);
                self.replace(watch, all, &BTreeSet::new());
            }
            Change::AllBut { all, left_out, why } => {
                self.expected.remove(&watch);
                self.partial.insert(watch.clone(), of_kind(why));
                self.replace(watch, all, &left_out);
            }
            Change::Put(key, spec) => self.put((place, key), spec),
            Change::Gone(key) => self.remove(&(place, key)),
            // Until somebody installs it.
            Change::Failed(why) if why == NO_SUCH_KIND => {
                self.expected.remove(&watch);
                self.partial.remove(&watch);
            }
            Change::Failed(why) => {
                self.failing.insert(watch, of_kind(why));
            }
            Change::Beyond(why) => {
                let why = of_kind(why);
                self.partial.insert(watch.clone(), why.clone());
                self.failing.insert(watch, why);
            }
        }
    }

    /// This is all that a watch sees, but for the namespaces that are left out.
    fn replace(
        &mut self,
        (place, namespace): (usize, String),
        all: BTreeMap<String, Value>,
        left_out: &BTreeSet<String>,
    ) {
        let in_scope = |id: &&Id| {
            let of = namespace_of(id);
            id.0 == place && (namespace.is_empty() || namespace == of) && !left_out.contains(of)
        };
        let known: Vec<Id> = self.objects.keys().filter(in_scope).cloned().collect();
        for id in known {
            if !all.contains_key(&id.1) {
                self.remove(&id);
            }
        }
        for (key, spec) in all {
            self.put((place, key), spec);
        }
    }

    fn put(&mut self, id: Id, spec: Value) {
        let same = self.objects.get(&id).is_some_and(|known| **known == spec);
        if !same {
            self.changed.insert(id.clone());
            self.objects.insert(id, Arc::new(spec));
        }
    }

    fn remove(&mut self, id: &Id) {
        if self.objects.remove(id).is_some() {
            self.made.remove(id);
            self.changed.remove(id);
            self.refused.remove(id);
            self.rooms.leave(id);
            self.has_lost = true;
        }
    }

    /// Objects that refer to a Secret are rendered again with what it says now.
    pub(super) fn read_secrets_again(&mut self) {
        for user in self.secrets.read_again() {
            if self.objects.contains_key(&user) {
                self.changed.insert(user);
            }
        }
    }

    /// Renders what is new, and what there was no room for where there is now. Returns whether something is.
    pub(super) async fn make(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changed);
        let has_lost = std::mem::take(&mut self.has_lost);
        let mut rendered = 0;
        for id in &changed {
            self.render(id, &mut rendered).await;
        }
        if !has_lost && changed.is_empty() {
            return false;
        }
        for (id, needs) in self.without_room() {
            if self.rooms.check(&id, needs).is_ok() {
                self.render(&id, &mut rendered).await;
            }
        }
        if let Some(more @ 1..) = rendered.checked_sub(LOGGED_MAX) {
            let refused = self
                .made
                .values()
                .filter(|made| !matches!(made, Made::Gives(_)));
            info!(
                "{more} more objects were read; {} of all {} give nothing",
                refused.count(),
                self.objects.len()
            );
        }
        true
    }

    /// The objects that there was no room for; first those of namespaces that hold least.
    fn without_room(&self) -> Vec<(Id, Needs)> {
        let refused = self.refused.iter();
        let mut refused: Vec<(&Id, Needs)> = refused.map(|(id, needs)| (id, *needs)).collect();
        refused.sort_by_key(|(id, needs)| (self.held_beside(id, *needs), *id));
        let refused = refused.into_iter();
        refused.map(|(id, needs)| (id.clone(), needs)).collect()
    }

    fn held_beside(&self, id: &Id, needs: Needs) -> usize {
        match needs.rules {
            0 => self.rooms.jobs.held_beside(id),
            _ => self.rooms.rules.held_beside(id),
        }
    }

    /// Renders one. `rendered` counts those of one look.
    async fn render(&mut self, id: &Id, rendered: &mut usize) {
        let made = self.rendered(id).await;
        *rendered += 1;
        let before = self.made.get(id);
        let keeps = matches!(made, Made::NoRoom(..) | Made::Unread(..))
            && matches!(before, Some(Made::Gives(_)));
        if *rendered <= LOGGED_MAX {
            log_made(id, &made, keeps);
        }
        self.refused.remove(id);
        if let Made::NoRoom(needs, _) = made {
            self.refused.insert(id.clone(), needs);
        }
        if !keeps {
            if !matches!(made, Made::Gives(_)) {
                self.rooms.leave(id);
            }
            self.made.insert(id.clone(), made);
        }
        // Of thousands each takes a part of a millisecond: others have their turn, and the end of the process is seen.
        tokio::task::yield_now().await;
    }

    /// What an object gives.
    async fn rendered(&mut self, id: &Id) -> Made {
        let spec = Arc::clone(&self.objects[id]);
        let kind = PLACES[id.0].kind;
        let jobs = match kind {
            MonitorKind::PrometheusRule => Ok(Vec::new()),
            _ => self.jobs(kind, id, &spec),
        };
        let rules = match kind {
            MonitorKind::PrometheusRule => {
                let file = prometheus_rule::rules(&id.1, &spec, &self.section.features);
                file.map(|file| vec![file])
            }
            _ => Ok(Vec::new()),
        };
        let (jobs, rules) = match (jobs, rules) {
            (Ok(jobs), Ok(rules)) => (jobs, rules),
            (Err(why), _) | (_, Err(why)) => return Made::Nothing(why),
        };
        let needs = Needs {
            jobs: jobs.len(),
            rules: rules.iter().map(RuleFile::rule_count).sum(),
        };
        if let Err(why) = self.rooms.check(id, needs) {
            return Made::NoRoom(needs, why);
        }
        let mut found = Found {
            jobs: Vec::new(),
            rules,
        };
        for mut job in jobs {
            match self.secrets.resolve(id, &mut job).await {
                Ok(()) => {}
                Err(NoValue::Missing(why)) => return Made::Nothing(why),
                Err(NoValue::Unread(why) | NoValue::Silent(why)) => {
                    let since = match self.made.get(id) {
                        Some(Made::Unread(_, since)) => *since,
                        _ => Instant::now(),
                    };
                    return Made::Unread(why, since);
                }
            }
            match read(&job, &self.section) {
                Ok(job) => found.jobs.push(job),
                Err(why) => return Made::Nothing(why),
            }
        }
        self.rooms.put(id, needs);
        Made::Gives(Arc::new(found))
    }

    /// The jobs of an object as far as they are known without its Secrets.
    fn jobs(&self, kind: MonitorKind, id: &Id, spec: &Value) -> Result<Vec<Job>, String> {
        let object = Object {
            namespace: namespace_of(id),
            name: id.1.split_once('/').map_or(&*id.1, |(_, name)| name),
            spec,
            options: &self.section.options,
        };
        let jobs = jobs_of(kind, &object)?;
        if jobs.len() > JOBS_OF_OBJECT_MAX {
            return Err(format!(
                "it has {} endpoints; of one object {JOBS_OF_OBJECT_MAX} are taken",
                jobs.len()
            ));
        }
        for job in &jobs {
            endpoint::check_files(&job.keys, self.section.options.arbitrary_fs_access)?;
        }
        Ok(jobs)
    }

    pub(super) fn given(&self) -> Given {
        let gives = |(id, made): (&Id, &Made)| match made {
            Made::Gives(found) => Some((id.clone(), Arc::clone(found))),
            _ => None,
        };
        Given {
            by_object: self.made.iter().filter_map(gives).collect::<ByObject>(),
            not_read: self.not_read(),
            are_targets_listed: self.are_targets_listed(),
            partial: self.partial(),
        }
    }

    /// The objects of which it is not known what they give.
    pub(super) fn not_read(&self) -> NotRead {
        NotRead {
            watches: self.expected.clone(),
            objects: self.unread().map(|(id, ..)| id.clone()).collect(),
        }
    }
}

/// Whether objects of the kind that is read there give targets.
fn gives_targets(place: usize) -> bool {
    PLACES[place].kind != MonitorKind::PrometheusRule
}

/// `keeps`: it gives what it gave before, all the same.
fn log_made(id: &Id, made: &Made, keeps: bool) {
    let (kind, key) = (PLACES[id.0].kind.as_str(), &id.1);
    match made {
        Made::NoRoom(_, why) | Made::Unread(why, _) if keeps => {
            warn!(why, "{kind} {key} gives what it gave before");
        }
        Made::Gives(found) => match found.rules.first() {
            Some(file) => info!("{kind} {key} gives {} rules", file.rule_count()),
            None => info!("{kind} {key} gives {} scrape jobs", found.jobs.len()),
        },
        Made::Nothing(why) | Made::NoRoom(_, why) | Made::Unread(why, _) => {
            warn!(why, "{kind} {key} gives nothing");
        }
    }
}

#[cfg(test)]
mod tests;
