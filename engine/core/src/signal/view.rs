//! The signal view: failed scrapes are passed over, a frozen target is seen as it was at its last good scrape, a
//! target that stands by frozen is not seen, and families answer to all their names (S8).

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::labels::{Labels, METRIC_NAME, MatchOp, Matcher};
use crate::promql::QueryError;
use crate::promql::select::{
    LastSample, Projection, STALE_NAN_BITS, Samples, SelectRequest, Selection, View, is_stale,
};
use crate::store::{ClockId, ClockVisibility, SelectionSnapshot, Store, Visibility};

use super::facts::{Facts, NamesSeen};
use super::names::{FAMILIES, Name, Names};

/// What the view needs to know of one target.
#[derive(Clone, Debug)]
pub(crate) struct TargetLens {
    clock_visibility: ClockVisibility,
    names_seen: NamesSeen,
    /// The pool that it serves, where its pages named exactly one.
    pool: Option<String>,
}

/// The store as signals see it at one moment.
pub(crate) struct SignalView {
    store: Arc<RwLock<Store>>,
    /// By target.
    targets: Vec<Option<TargetLens>>,
    names: Names,
}

impl SignalView {
    /// As of `now_ms`; the `hidden` targets are not seen.
    pub(crate) fn new(
        store: Arc<RwLock<Store>>,
        facts: &Facts,
        names: &Names,
        hidden: &[crate::store::TargetId],
        now_ms: i64,
    ) -> SignalView {
        let targets = facts.targets.iter().enumerate().map(|(index, target)| {
            let target = target.as_ref()?;
            let fresh = target.is_fresh(now_ms);
            let clock_visibility = match target.last_good_ms {
                _ if hidden.iter().any(|id| id.index() == index) => ClockVisibility::Hidden,
                _ if fresh => ClockVisibility::Delayed(0),
                Some(good_ms) => ClockVisibility::Delayed((now_ms - good_ms).max(0)),
                None => ClockVisibility::Delayed(0),
            };
            let pool = (target.pools.len() == 1)
                .then(|| target.pools.first().cloned())
                .flatten();
            Some(TargetLens {
                clock_visibility,
                names_seen: target.names_seen.clone(),
                pool,
            })
        });
        SignalView {
            store,
            targets: targets.collect(),
            names: names.clone(),
        }
    }

    fn target(&self, clock: ClockId) -> Option<&TargetLens> {
        self.targets.get(clock.index() / 2)?.as_ref()
    }

    fn derived(
        &self,
        request: &SelectRequest<'_>,
        row: usize,
        asked: usize,
        instead: usize,
        suffix: &str,
    ) -> Result<Vec<(Labels, Samples)>, QueryError> {
        let family = &FAMILIES[row];
        let (want, have) = (&family.names[asked], &family.names[instead]);
        let mut matchers = vec![Matcher::equal(
            METRIC_NAME,
            &format!("{}{suffix}", have.family),
        )];
        let mut after = Vec::new();
        for matcher in request
            .matchers
            .iter()
            .filter(|matcher| matcher.name() != METRIC_NAME)
        {
            let label = matcher.name();
            if has(have, label) && !has(want, label) {
                // Under the name that was asked for, the label does not exist.
                if !matcher.matches("") {
                    return Ok(Vec::new());
                }
            } else if has(want, label) && !has(have, label) {
                if label != "inference_pool" {
                    return Err(missing_label(want, have, label));
                }
                after.push(matcher.clone());
            } else {
                matchers.push(matcher.clone());
            }
        }
        let only = DerivedLens {
            view: self,
            row,
            asked,
            instead,
        };
        let inner = SelectRequest {
            matchers: &matchers,
            projection: Projection::All,
            last_only: false,
            ..*request
        };
        let frame = SelectionSnapshot::copy(&self.store, &inner, &only);
        refuse_own_times(&frame)?;
        let mut sums = Sums::default();
        let mut samples = Samples::default();
        for index in 0..frame.len() {
            let pool = frame
                .clock(index)
                .and_then(|clock| self.target(clock))
                .and_then(|t| t.pool.as_deref());
            let labels = rename(frame.labels(index), want, have, suffix, pool);
            if after
                .iter()
                .all(|matcher: &Matcher| matcher.matches_labels(&labels))
            {
                frame.read(index, &mut samples);
                sums.add(labels, &samples);
            }
        }
        Ok(sums.finish())
    }
}

impl Visibility for SignalView {
    fn clock_visibility(&self, clock: ClockId) -> ClockVisibility {
        // Reports (`up`, ...) are about scrapes: they are never frozen.
        if clock.index() % 2 == 1 {
            return ClockVisibility::AsScraped;
        }
        self.target(clock)
            .map_or(ClockVisibility::AsScraped, |target| target.clock_visibility)
    }

    fn clamps_negative(&self, metric: &str) -> bool {
        Names::is_queue_gauge(metric)
    }
}

/// Only targets from which a family is read under this name.
struct DerivedLens<'a> {
    view: &'a SignalView,
    row: usize,
    asked: usize,
    instead: usize,
}

impl Visibility for DerivedLens<'_> {
    fn clock_visibility(&self, clock: ClockId) -> ClockVisibility {
        let target = self.view.target(clock);
        let reads = target.map_or(self.asked, |target| {
            target.names_seen.reads_as(self.row, self.asked)
        });
        if reads == self.instead {
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
        let named = metric.and_then(|metric| self.names.family(metric.value()));
        let Some((family, name, suffix)) = named else {
            let frame = SelectionSnapshot::copy(&self.store, request, self);
            refuse_own_times(&frame)?;
            return Ok(Box::new(frame));
        };
        let row = FAMILIES
            .iter()
            .position(|have| std::ptr::eq(have, family))
            .unwrap_or_default();
        let asked = family
            .names
            .iter()
            .position(|have| have.family == name.family)
            .unwrap_or_default();
        let instead: std::collections::BTreeSet<usize> = self
            .targets
            .iter()
            .flatten()
            .map(|target| target.names_seen.reads_as(row, asked))
            .collect();
        let lens = DerivedLens {
            view: self,
            row,
            asked,
            instead: asked,
        };
        let own = SelectionSnapshot::copy(&self.store, request, &lens);
        refuse_own_times(&own)?;
        let mut derived = Vec::new();
        for &instead in instead.iter().filter(|&&instead| instead != asked) {
            derived.extend(self.derived(request, row, asked, instead, suffix)?);
        }
        if derived.is_empty() {
            return Ok(Box::new(own));
        }
        Ok(Box::new(WithDerived { own, derived }))
    }
}

/// A sample with a timestamp of its own says nothing of when it was measured that we could check, and no failed
/// scrape ends it: a scaler must not be told such a number.
fn refuse_own_times(frame: &SelectionSnapshot) -> Result<(), QueryError> {
    match (0..frame.len()).find(|&index| frame.clock(index).is_none()) {
        None => Ok(()),
        Some(index) => Err(QueryError::Execution(format!(
            "{} carries timestamps of its own, so nobody knows when it was measured; set `honor_timestamps: false` on \
             its job",
            frame.labels(index)
        ))),
    }
}

fn has(name: &Name, label: &str) -> bool {
    name.labels.contains(&label)
}

fn missing_label(want: &Name, have: &Name, label: &str) -> QueryError {
    QueryError::Execution(format!(
        "a gateway exposes {} only as {}, which has no label {label:?}; drop the label from the query, or upgrade the \
         gateway",
        want.family, have.family
    ))
}

fn rename(labels: &Labels, want: &Name, have: &Name, suffix: &str, pool: Option<&str>) -> Labels {
    let mut builder = labels.to_builder();
    builder.retain(|label| !has(have, label) || has(want, label));
    builder.set(METRIC_NAME, &format!("{}{suffix}", want.family));
    if let (true, false, Some(pool)) = (
        has(want, "inference_pool"),
        has(have, "inference_pool"),
        pool,
    ) {
        builder.set("inference_pool", pool);
    }
    builder.build()
}

/// Sums per label set and time. At a time at which all parts have ended, the sum ends.
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

/// Series of the store, then made ones.
struct WithDerived {
    own: SelectionSnapshot,
    derived: Vec<(Labels, Samples)>,
}

impl Selection for WithDerived {
    fn len(&self) -> usize {
        self.own.len() + self.derived.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        match index.checked_sub(self.own.len()) {
            None => self.own.labels(index),
            Some(index) => &self.derived[index].0,
        }
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        match index.checked_sub(self.own.len()) {
            None => self.own.read(index, samples),
            Some(index) => samples.clone_from(&self.derived[index].1),
        }
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        match index.checked_sub(self.own.len()) {
            None => self.own.last(index, scratch),
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
