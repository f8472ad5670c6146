//! The signal view: the store as the queries of signals read it (S8).
//!
//! It differs from what Prometheus would show in this: failed scrapes do not end series, a frozen target is read as of its
//! last good scrape, series of frozen standbys and of excluded targets are hidden, and a family can be read under every one
//! of its names, whatever name a target exposes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::labels::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::promql::QueryError;
use crate::promql::select::{
    LastSample, Projection, STALE_NAN_BITS, Samples, SelectRequest, Selection, View, is_stale,
};
use crate::store::{ClockId, ClockVisibility, SelectionSnapshot, Store, TargetId, Visibility};

use super::facts::{Facts, NamesSeen, TargetFacts};
use super::form::{Form, Requested};
use super::names::Names;
use super::scope::Scope;

/// What the view depends on of one target.
#[derive(Clone, Debug)]
pub(crate) struct TargetView {
    clock_visibility: ClockVisibility,
    names_seen: NamesSeen,
    /// The pool that it serves, if its process named exactly one.
    pool: Option<String>,
    /// Metrics that it exposes without the label `inference_pool`, which other releases give them.
    without_pool: Vec<String>,
}

/// The signal view as of one time.
pub(crate) struct SignalView {
    store: Arc<RwLock<Store>>,
    /// What of each target is seen, by its id. Beyond its end there are none that discovery lists.
    targets: Vec<Seen>,
    /// The targets whose series are seen.
    shown: Vec<TargetView>,
    names: Names,
}

/// What is seen of a target.
#[derive(Clone, Copy)]
enum Seen {
    /// It has left discovery: its series are as they were scraped.
    AsScraped,
    Hidden,
    /// As this one of `shown`.
    Shown(u32),
}

impl SignalView {
    /// The view as of `now_ms`: without the series of targets that the scope excludes and of frozen standbys. Of thousands
    /// of targets most may be excluded: the facts of those are not looked at.
    pub(crate) fn new(
        store: Arc<RwLock<Store>>,
        facts: &Facts,
        names: &Names,
        scope: &Scope,
        now_ms: i64,
    ) -> SignalView {
        let mut targets = vec![Seen::AsScraped; facts.targets.len()];
        let mut see = |id: TargetId, seen| {
            if let Some(one) = targets.get_mut(id.index()) {
                *one = seen;
            }
        };
        for &id in &scope.excluded {
            see(id, Seen::Hidden);
        }
        let mut shown = Vec::new();
        let counting = scope.counting.iter().map(|&id| (id, true));
        let standby = scope.standby.iter().map(|&id| (id, false));
        for (id, counts) in counting.chain(standby) {
            let Some(target) = facts.target(id) else {
                continue;
            };
            if counts || target.is_fresh(now_ms) {
                see(id, Seen::Shown(shown.len() as u32));
                shown.push(TargetView::of(target, names, now_ms));
            } else {
                see(id, Seen::Hidden);
            }
        }
        SignalView {
            store,
            targets,
            shown,
            names: names.clone(),
        }
    }

    fn seen(&self, clock: ClockId) -> Seen {
        let target = clock.target();
        let seen = target.and_then(|id| self.targets.get(id.index()));
        seen.copied().unwrap_or(Seen::AsScraped)
    }

    fn target(&self, clock: ClockId) -> Option<&TargetView> {
        match self.seen(clock) {
            Seen::Shown(at) => self.shown.get(at as usize),
            Seen::AsScraped | Seen::Hidden => None,
        }
    }

    /// Series of a family that some targets expose in another form, with the labels of the requested name. Series that
    /// become equal are summed.
    fn derived(
        &self,
        request: &SelectRequest<'_>,
        requested: Requested<'_>,
        form: Form<'_>,
    ) -> Result<Vec<(Labels, Samples)>, QueryError> {
        let Some(matchers) = form.matchers(request.matchers)? else {
            return Ok(Vec::new());
        };
        let inner = SelectRequest {
            matchers: &matchers.exposed,
            projection: Projection::All,
            ..*request
        };
        let visibility = FormVisibility {
            view: self,
            requested,
            form,
        };
        let snapshot = SelectionSnapshot::copy(&self.store, &inner, &visibility, None)?;
        refuse_explicit_timestamps(&snapshot, request)?;
        let mut sums = Sums::default();
        let mut samples = Samples::default();
        for index in 0..snapshot.len() {
            if request.last_only {
                // Series without a sample at the newest time are not part of the newest sum, and one that has ended is
                // not asked for its pool.
                let last = snapshot.last(index, &mut samples);
                let Some(last) = last.filter(|last| !is_stale(last.value)) else {
                    continue;
                };
                samples.clear();
                samples.times_ms.push(last.time_ms);
                samples.values.push(last.value);
            } else {
                snapshot.read(index, &mut samples);
            }
            let target = snapshot.clock(index).and_then(|clock| self.target(clock));
            let pool = target.and_then(|target| target.pool.as_deref());
            let labels = form.labels(snapshot.labels(index), pool);
            if !form.fits(&matchers, &labels)? {
                continue;
            }
            sums.add(labels, &samples);
        }
        Ok(sums.finish())
    }

    /// The forms in which targets expose a family, without the requested one.
    fn other_forms(&self, requested: Requested<'_>) -> BTreeSet<(usize, bool)> {
        let forms = self.shown.iter().map(|target| target.form(requested));
        let direct = requested.direct().key();
        forms.filter(|&form| form != direct).collect()
    }
}

impl TargetView {
    fn of(target: &TargetFacts, names: &Names, now_ms: i64) -> TargetView {
        let delay_ms = match target.last_good_ms {
            Some(good_ms) if !target.is_fresh(now_ms) => (now_ms - good_ms).max(0),
            _ => 0,
        };
        TargetView {
            clock_visibility: ClockVisibility::Delayed(delay_ms),
            names_seen: target.names_seen.clone(),
            pool: target.certain_pool().map(str::to_owned),
            without_pool: target.metrics_without_pool(names),
        }
    }

    /// The form in which the target exposes a requested family.
    fn form(&self, requested: Requested<'_>) -> (usize, bool) {
        let exposed = self.names_seen.reads_as(requested.index);
        let metric = requested.form(exposed, false).exposed_metric();
        let is_derived = self.pool.is_some() || requested.names_pool;
        let lacks = || self.without_pool.iter().any(|one| *one == metric);
        (exposed, is_derived && lacks())
    }
}

impl Visibility for SignalView {
    fn clock_visibility(&self, clock: ClockId) -> ClockVisibility {
        match self.seen(clock) {
            Seen::AsScraped => ClockVisibility::AsScraped,
            // Of series about scrapes (`up`, ...) nothing is hidden. Those of a frozen target are as old as its others, so that
            // a query of both reads one time.
            Seen::Hidden if clock.is_report() => ClockVisibility::AsScraped,
            Seen::Hidden => ClockVisibility::Hidden,
            Seen::Shown(at) => self
                .shown
                .get(at as usize)
                .map_or(ClockVisibility::Hidden, |target| target.clock_visibility),
        }
    }

    fn clamps_negative(&self, metric: &str) -> bool {
        Names::is_amount(metric)
    }
}

/// Restricts the view to targets that expose a family in this form.
struct FormVisibility<'a> {
    view: &'a SignalView,
    requested: Requested<'a>,
    form: Form<'a>,
}

impl Visibility for FormVisibility<'_> {
    fn clock_visibility(&self, clock: ClockId) -> ClockVisibility {
        let form = match self.view.target(clock) {
            Some(target) => target.form(self.requested),
            None => self.requested.direct().key(),
        };
        if form == self.form.key() {
            self.view.clock_visibility(clock)
        } else {
            ClockVisibility::Hidden
        }
    }

    fn clamps_negative(&self, metric: &str) -> bool {
        self.view.clamps_negative(metric)
    }
}

impl View for SignalView {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let metric = request
            .matchers
            .iter()
            .find(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal);
        let requested =
            metric.and_then(|m| Requested::find(m.value(), request.matchers, &self.names));
        let Some(requested) = requested else {
            let snapshot = SelectionSnapshot::copy(&self.store, request, self, None)?;
            refuse_explicit_timestamps(&snapshot, request)?;
            return Ok(Box::new(snapshot));
        };
        let visibility = FormVisibility {
            view: self,
            requested,
            form: requested.direct(),
        };
        let direct = SelectionSnapshot::copy(&self.store, request, &visibility, None)?;
        refuse_explicit_timestamps(&direct, request)?;
        let mut derived = Vec::new();
        for (exposed, without_pool) in self.other_forms(requested) {
            let form = requested.form(exposed, without_pool);
            derived.extend(self.derived(request, requested, form)?);
        }
        if derived.is_empty() {
            return Ok(Box::new(direct));
        }
        Ok(Box::new(WithDerived { direct, derived }))
    }
}

/// Refuses samples with explicit timestamps: when they were measured cannot be checked, and a failed scrape does not end
/// them, so they must not be reported to a scaler. A series that is on a page and has no sample in the range is not absent.
fn refuse_explicit_timestamps(
    snapshot: &SelectionSnapshot,
    request: &SelectRequest<'_>,
) -> Result<(), QueryError> {
    let mut clocks = (0..snapshot.len()).map(|index| snapshot.clock(index));
    if clocks.all(|clock| clock.is_some()) && !snapshot.lists_unread() {
        return Ok(());
    }
    // An aggregation reads series without their labels: what it selects says which they are.
    let conditions: Vec<String> = request.matchers.iter().map(Matcher::to_string).collect();
    Err(QueryError::Execution(format!(
        "a series of {{{}}} carries timestamps of its own, so nobody knows when it was measured; set \
         `honor_timestamps: false` on its job",
        conditions.join(", ")
    )))
}

/// Sums per label set and time. The sum is stale at a time at which all of its series are.
#[derive(Default)]
struct Sums {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
}

impl Sums {
    fn add(&mut self, labels: Labels, samples: &Samples) {
        let sums = self.series.entry(labels).or_default();
        for (&time_ms, &value) in samples.times_ms.iter().zip(&samples.values) {
            let sum = sums
                .entry(time_ms)
                .or_insert(f64::from_bits(STALE_NAN_BITS));
            if is_stale(*sum) {
                *sum = value;
            } else if !is_stale(value) {
                *sum += value;
            }
        }
    }

    fn finish(self) -> Vec<(Labels, Samples)> {
        let series = self.series.into_iter().map(|(labels, sums)| {
            let (times_ms, values) = sums.into_iter().unzip();
            (
                labels,
                Samples {
                    times_ms,
                    values,
                    ..Samples::default()
                },
            )
        });
        series.collect()
    }
}

/// Series of the store, then derived ones.
struct WithDerived {
    direct: SelectionSnapshot,
    derived: Vec<(Labels, Samples)>,
}

impl Selection for WithDerived {
    fn len(&self) -> usize {
        self.direct.len() + self.derived.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        match index.checked_sub(self.direct.len()) {
            None => self.direct.labels(index),
            Some(index) => &self.derived[index].0,
        }
    }

    fn samples_about(&self) -> usize {
        self.direct.samples_about()
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        match index.checked_sub(self.direct.len()) {
            None => self.direct.read(index, samples),
            Some(index) => samples.clone_from(&self.derived[index].1),
        }
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        match index.checked_sub(self.direct.len()) {
            None => self.direct.last(index, scratch),
            Some(index) => {
                let samples = &self.derived[index].1;
                let (&time_ms, &value) = (samples.times_ms.last()?, samples.values.last()?);
                Some(LastSample {
                    time_ms,
                    value,
                    histogram: None,
                })
            }
        }
    }
}
