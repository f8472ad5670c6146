//! The series of a leaf. They are selected again when the structure of a page changes, in the order in which the signal
//! view yields them: ascending by id, then those that are read in another form (`form`), by their labels.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::labels::{Labels, Matcher};
use crate::limits::COMPILED_ELEMENTS_MAX;
use crate::promql::QueryError;
use crate::promql::incremental::{KeyRule, Keys, is_reserved, without_reserved};
use crate::store::{ClockId, HISTOGRAM, LabelGroups, SeriesId, Store, for_each_match_within};

use super::super::facts::TargetFacts;
use super::super::form::{Form, Requested};
use super::super::names::Names;
use super::EvalContext;
use super::halt::Blocked;

/// What a leaf selects, and how its series are grouped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) matchers: Vec<Matcher>,
    /// The metric name, if some matcher requires one by `=`.
    pub(super) metric: Option<String>,
    /// `None`: each series by itself.
    pub(super) grouping: Option<Grouping>,
    /// Whether the metric name is removed before grouping.
    pub(super) drops_name: bool,
    /// Whether series that have ended are members, too.
    pub(super) with_ended: bool,
}

/// `by` or `without` labels; by default all series together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grouping {
    pub(super) labels: Vec<std::sync::Arc<str>>,
    pub(super) without: bool,
}

impl Grouping {
    /// The group of each of these, and the labels of the groups in order of their first ones.
    pub(super) fn groups_of(&self, input: &[Labels]) -> (Vec<u32>, Vec<Labels>) {
        let mut keys = Keys::new(self.rule());
        let group_of: Vec<u32> = input
            .iter()
            .map(|labels| keys.find_or_add(labels) as u32)
            .collect();
        let count = group_of.iter().max().map_or(0, |max| *max as usize + 1);
        let groups = (0..count).map(|at| keys.key(at).clone()).collect();
        (group_of, groups)
    }

    pub(super) fn rule(&self) -> KeyRule {
        if self.without {
            KeyRule::without(&self.labels)
        } else {
            KeyRule::only(&self.labels)
        }
    }
}

/// Why a leaf of so many elements is not bound.
const TOO_MANY: Blocked = Blocked::ByStructure("it yields more elements than a program may have");

/// One series of a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) series: SeriesId,
    pub(super) clock: ClockId,
    pub(super) group: u32,
    pub(super) clamp_negative: bool,
}

/// The series of a leaf, in order, and the labels of their groups.
#[derive(Default)]
pub(super) struct Found {
    pub(super) members: Vec<Member>,
    /// Behind the members: series that are equal under the requested name, which are read as their sum. Those of one sum
    /// are of one clock and group.
    pub(super) sums: Vec<Vec<Member>>,
    pub(super) groups: Vec<Labels>,
}

/// Clocks, numbered in the order in which they come. There may be thousands, in any order.
#[derive(Default)]
pub(super) struct Clocks {
    pub(super) ids: Vec<ClockId>,
    numbers: HashMap<ClockId, u32>,
}

impl Clocks {
    /// The number of a clock, which is added if it is missing.
    pub(super) fn find_or_add(&mut self, clock: ClockId) -> u32 {
        *self.numbers.entry(clock).or_insert_with(|| {
            self.ids.push(clock);
            self.ids.len() as u32 - 1
        })
    }

    /// The number of a clock.
    pub(super) fn find(&self, clock: ClockId) -> Option<usize> {
        self.numbers.get(&clock).map(|at| *at as usize)
    }
}

/// Selects the series of a leaf. Error: why the query cannot be evaluated by a program now.
pub(super) fn find(source: &Source, context: &EvalContext<'_>) -> Result<Found, Blocked> {
    let metric = source.metric.as_deref();
    let requested =
        metric.and_then(|metric| Requested::find(metric, &source.matchers, context.names));
    let mut finder = Finder {
        source,
        context,
        requested,
        found: Found::default(),
    };
    finder.find_direct()?;
    if let Some(requested) = requested {
        let forms = other_forms(requested, context);
        if !forms.is_empty() {
            finder.find_derived(requested, &forms)?;
        }
    }
    Ok(finder.found)
}

struct Finder<'a> {
    source: &'a Source,
    context: &'a EvalContext<'a>,
    requested: Option<Requested<'a>>,
    found: Found,
}

impl Finder<'_> {
    /// Calls `take` for each series that the matchers select on the pages of targets that expose it in the form of this
    /// key.
    fn each(
        &self,
        matchers: &[Matcher],
        form: Option<(usize, bool)>,
        mut take: impl FnMut(&Store, SeriesId, ClockId) -> Result<(), Blocked>,
    ) -> Result<(), Blocked> {
        let blocked = Cell::new(None);
        let goes_on = || blocked.get().is_none();
        let walked =
            for_each_match_within(self.context.store, matchers, None, &goes_on, |store, id| {
                let row = store.series.row(id);
                if !row.is_present() && !self.source.with_ended && row.clock != ClockId::EXPLICIT {
                    return 0;
                }
                if !is_number_of_target(row.clock, row.bits) {
                    blocked.set(Some(Blocked::ForNow(
                        "a series has native histograms, or timestamps of its own",
                    )));
                    return 0;
                }
                let has = self.requested.map(|requested| {
                    let target = self.context.facts.target_of(row.clock);
                    target.map_or(requested.direct().key(), |target| {
                        form_of(requested, target)
                    })
                });
                if has == form
                    && let Err(why) = take(store, id, row.clock)
                {
                    blocked.set(Some(why));
                }
                0
            });
        let _ = walked; // without a budget none is exceeded
        blocked.get().map_or(Ok(()), Err)
    }

    /// The series under the requested name.
    fn find_direct(&mut self) -> Result<(), Blocked> {
        let source = self.source;
        let rule = source.grouping.as_ref().map(Grouping::rule);
        let keep = |name: &str| {
            !(source.drops_name && is_reserved(name))
                && rule.as_ref().is_none_or(|rule| rule.counts(name))
        };
        let form = self.requested.map(|requested| requested.direct().key());
        if source.grouping.is_none() {
            // Counting costs a tenth of collecting labels, and most that are refused are far too many.
            let mut count = 0;
            self.each(&source.matchers, form, |_, _, _| {
                count += 1;
                match count > COMPILED_ELEMENTS_MAX {
                    true => Err(TOO_MANY),
                    false => Ok(()),
                }
            })?;
        }
        let mut groups = LabelGroups::new(keep);
        let mut single = Vec::new();
        let mut members = Vec::new();
        let of_metric = source.metric.as_deref().map(Names::is_amount);
        self.each(&source.matchers, form, |store, series, clock| {
            let group = match source.grouping {
                Some(_) => groups.number(store, series),
                None if single.len() == COMPILED_ELEMENTS_MAX => return Err(TOO_MANY),
                None => {
                    single.push(source.element_labels(store.series.labels(series)));
                    single.len() as u32 - 1
                }
            };
            let of_series = || store.metric_name(series).is_some_and(Names::is_amount);
            members.push(Member {
                series,
                clock,
                group,
                clamp_negative: of_metric.unwrap_or_else(of_series),
            });
            Ok(())
        })?;
        self.found.members = members;
        self.found.groups = match source.grouping {
            Some(_) => groups.into_labels(),
            None => single,
        };
        Ok(())
    }

    /// The series that targets expose in other forms, in the order of the signal view: by form, then by their converted
    /// labels.
    fn find_derived(
        &mut self,
        requested: Requested<'_>,
        forms: &BTreeSet<(usize, bool)>,
    ) -> Result<(), Blocked> {
        let mut derived = Vec::new();
        for &(exposed, without_pool) in forms {
            let form = requested.form(exposed, without_pool);
            derived.extend(self.in_form(form)?);
        }
        if derived.len() + self.found.groups.len() > COMPILED_ELEMENTS_MAX {
            return Err(TOO_MANY);
        }
        let grouped = self.source.grouping.as_ref();
        let mut keys = Keys::new(grouped.map_or_else(KeyRule::all, Grouping::rule));
        for labels in &self.found.groups {
            keys.find_or_add(labels);
        }
        let is_plain = derived.iter().all(|(_, rows)| rows.len() == 1);
        for (labels, mut rows) in derived {
            let labels = self.source.element_labels(labels);
            let group = match grouped {
                Some(_) => keys.find_or_add(&labels),
                // Each element by itself, equal ones too: whoever binds the program refuses those.
                None => self.found.groups.len(),
            };
            if group == self.found.groups.len() {
                let key = grouped.map_or(labels, |_| keys.key(group).clone());
                self.found.groups.push(key);
            }
            for member in &mut rows {
                member.group = group as u32;
            }
            match is_plain {
                true => self.found.members.append(&mut rows),
                false => self.found.sums.push(rows),
            }
        }
        Ok(())
    }

    /// The series in one form, those with equal converted labels together.
    fn in_form(&self, form: Form<'_>) -> Result<BTreeMap<Labels, Vec<Member>>, Blocked> {
        // The signal view yields an error for what is one here.
        let by_structure = |_: QueryError| {
            Blocked::ByStructure(
                "a gateway exposes a metric without a label that the query selects by",
            )
        };
        let mut derived = BTreeMap::<Labels, Vec<Member>>::new();
        let matchers = form.matchers(&self.source.matchers).map_err(by_structure)?;
        let Some(matchers) = matchers else {
            return Ok(derived);
        };
        let clamp_negative = Names::is_amount(&form.exposed_metric());
        self.each(
            &matchers.exposed,
            Some(form.key()),
            |store, series, clock| {
                let target = self.context.facts.target_of(clock);
                let pool = target.and_then(TargetFacts::certain_pool);
                let labels = form.labels(&store.series.labels(series), pool);
                if !form.fits(&matchers, &labels).map_err(by_structure)? {
                    return Ok(());
                }
                let rows = derived.entry(labels).or_default();
                // A sum of two targets has the newest time of both, and leaves out who has none then.
                if rows.first().is_some_and(|first| first.clock != clock) {
                    return Err(Blocked::ByStructure(
                        "series of two targets are summed under another name",
                    ));
                }
                rows.push(Member {
                    series,
                    clock,
                    group: 0,
                    clamp_negative,
                });
                Ok(())
            },
        )?;
        Ok(derived)
    }
}

impl Source {
    /// The labels of an element, from those of a series under the requested name.
    fn element_labels(&self, labels: Labels) -> Labels {
        match self.drops_name {
            true => without_reserved(&labels),
            false => labels,
        }
    }
}

/// The form in which a target exposes a requested family.
fn form_of(requested: Requested<'_>, target: &TargetFacts) -> (usize, bool) {
    let exposed = target.reads_as(requested.index);
    let form = requested.form(exposed, false);
    let is_derived = requested.names_pool || target.certain_pool().is_some();
    let lacks = || target.lacks_pool(&form.exposed_metric(), form.exposed_name());
    (exposed, is_derived && lacks())
}

/// The forms in which targets expose a family, without the requested one.
fn other_forms(requested: Requested<'_>, context: &EvalContext<'_>) -> BTreeSet<(usize, bool)> {
    let targets = context.facts.listed();
    let forms = targets.map(|(_, target)| form_of(requested, target));
    let direct = requested.direct().key();
    forms.filter(|form| *form != direct).collect()
}

/// Whether a series has numbers on a target's clock: not timestamps of its own, no native histogram.
fn is_number_of_target(clock: ClockId, bits: u64) -> bool {
    clock != ClockId::EXPLICIT && bits != HISTOGRAM
}
