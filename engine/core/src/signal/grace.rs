//! S6: the grace, the time after a change of serving process in which a sum of demand is held at its value before.
//!
//! A gateway that restarts begins with an empty queue, while its clients are still there and retry within seconds. So for
//! `restart_grace` after a change no lower number than before is reported. The value before has an age of its own: no
//! value older than twice the grace is used, or five times the grace in a crash loop.

use hashbrown::HashMap;

use crate::labels::Labels;

use super::assessment::{Assessment, clock_time, describe};
use super::facts::{ChangeKind, TargetFacts};
use super::policy::Policy;
use super::scope::Scope;
use crate::limits::GATEWAY_START_MS_MAX;
use crate::wire::{In, WireError, put_f64, put_i, put_labels, put_list, put_text};

/// How many graces the first grace can be extended to by further changes, each within the grace of the one before.
const EXTENDED_GRACES_MAX: i64 = 2;

/// How many graces old a value may be that is reported instead of a lower one.
const FLOOR_GRACES_MAX: i64 = 2;

/// Crashes of one target within [`CRASH_LOOP_GRACES`] that make a crash loop.
const CRASH_LOOP_CRASHES: usize = 3;

/// The length of time, in graces, in which they are counted.
const CRASH_LOOP_GRACES: i64 = 5;

/// The grace after a change of process.
#[derive(Debug)]
pub(super) struct Grace {
    /// When the newest change was noticed.
    start_ms: i64,
    /// When the first of the changes was noticed that followed one another within a grace.
    first_ms: i64,
    /// Values from before the change, per group: the highest and the newest.
    floors: Floors,
    /// Which process changed, and how.
    pub(super) why: String,
}

/// A number that was measured before a change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    pub(super) value: f64,
    pub(super) measured_ms: i64,
}

/// Such numbers by group: a signal may have a group for each of thousands of pods.
type Floors = HashMap<Labels, Vec<Floor>>;

/// A result: its time in milliseconds, and the value of each group.
pub(super) type Measured = (i64, Vec<(Labels, f64)>);

impl Grace {
    /// A change was noticed at `at_ms`; `before` is the grace in which it falls, if any.
    pub(super) fn start(
        before: Option<Grace>,
        measured: Option<&Measured>,
        change: (&str, &ChangeKind),
        at_ms: i64,
        grace_ms: i64,
    ) -> Grace {
        let (name, kind) = change;
        let continued = before.filter(|grace| grace.runs(at_ms, grace_ms));
        // One that is told late, as of a time before, ends no grace sooner.
        let first_ms = continued.as_ref().map_or(at_ms, |grace| grace.first_ms);
        let start_ms = continued
            .as_ref()
            .map_or(at_ms, |grace| grace.start_ms.max(at_ms));
        let mut floors = continued.map(|grace| grace.floors).unwrap_or_default();
        let oldest_ms = at_ms.saturating_sub(CRASH_LOOP_GRACES.saturating_mul(grace_ms));
        floors.retain(|_, of_group| {
            of_group.retain(|floor| floor.measured_ms > oldest_ms);
            !of_group.is_empty()
        });
        if let Some((measured_ms, values)) = measured
            && at_ms - measured_ms < grace_ms
        {
            for (labels, value) in values.iter().filter(|(_, value)| value.is_finite()) {
                let floor = Floor {
                    value: *value,
                    measured_ms: *measured_ms,
                };
                add_floor(floors.entry(labels.clone()).or_default(), floor);
            }
        }
        let why = match kind {
            ChangeKind::Restarted => format!("{name} restarted"),
            ChangeKind::MayHaveRestarted => {
                format!(
                    "{name} could not be reached, and its page does not say whether its process is the same"
                )
            }
            ChangeKind::SeriesLeft { counters: true, .. } => {
                format!("counters of {name} are gone, so that it may have restarted")
            }
            ChangeKind::SeriesLeft { .. } => {
                format!("the page of {name} has lost series of what is read")
            }
            ChangeKind::OneOfSeveral { .. } => {
                format!("one of the processes behind {name} may have restarted")
            }
            ChangeKind::LeftDiscovery => format!("{name} left discovery"),
            ChangeKind::LeadershipMoved => format!("leadership moved, as {name} says"),
        };
        Grace {
            start_ms,
            first_ms,
            floors,
            why,
        }
    }

    /// When the newest change was noticed.
    pub(super) fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// When the first change was noticed of those that followed one another.
    pub(super) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// Whether the grace has not ended.
    pub(super) fn runs(&self, now_ms: i64, grace_ms: i64) -> bool {
        now_ms - self.start_ms < grace_ms
            && now_ms - self.first_ms < EXTENDED_GRACES_MAX.saturating_mul(grace_ms)
    }

    /// Whether nothing is known that was measured before the first of the changes: what was measured between two of them may
    /// be less.
    pub(super) fn has_no_floor(&self) -> bool {
        let mut floors = self.floors.values().flatten();
        !floors.any(|floor| floor.measured_ms <= self.first_ms)
    }

    /// Values from before the change that are young enough to be reported instead of lower ones, the highest of each group.
    pub(super) fn floors(
        &self,
        now_ms: i64,
        grace_ms: i64,
        in_crash_loop: bool,
    ) -> impl Iterator<Item = (&Labels, Floor)> {
        let oldest_ms = oldest_ms(now_ms, grace_ms, in_crash_loop);
        let floors = self.floors.iter();
        floors.filter_map(move |(labels, of_group)| Some((labels, highest(of_group, oldest_ms)?)))
    }

    /// That of one group.
    pub(super) fn floor(
        &self,
        labels: &Labels,
        now_ms: i64,
        grace_ms: i64,
        in_crash_loop: bool,
    ) -> Option<Floor> {
        let of_group = self.floors.get(labels)?;
        highest(of_group, oldest_ms(now_ms, grace_ms, in_crash_loop))
    }
}

/// Writes a grace into a snapshot.
pub(super) fn put(out: &mut Vec<u8>, grace: &Grace) {
    put_i(out, grace.start_ms);
    put_i(out, grace.first_ms);
    let mut floors: Vec<(&Labels, &Floor)> = Vec::new();
    for (labels, of_group) in &grace.floors {
        floors.extend(of_group.iter().map(|floor| (labels, floor)));
    }
    floors.sort_by_key(|(labels, _)| *labels); // the same grace is written the same way; of a group the order stays
    put_list(out, floors.into_iter(), |out, (labels, floor)| {
        put_labels(out, labels);
        put_f64(out, floor.value);
        put_i(out, floor.measured_ms);
    });
    put_text(out, &grace.why);
}

/// Reads one.
pub(super) fn take(bytes: &mut In<'_>) -> Result<Grace, WireError> {
    let (start_ms, first_ms) = (bytes.time()?, bytes.time()?);
    let listed: Vec<(Labels, Floor)> = bytes.list(|bytes| {
        let labels = bytes.labels()?;
        let floor = Floor {
            value: bytes.f64()?,
            measured_ms: bytes.time()?,
        };
        Ok((labels, floor))
    })?;
    let mut floors = Floors::new();
    for (labels, floor) in listed {
        floors.entry(labels).or_default().push(floor);
    }
    Ok(Grace {
        start_ms,
        first_ms,
        floors,
        why: bytes.text()?.to_owned(),
    })
}

/// Values measured at this time or before are too old to be reported.
fn oldest_ms(now_ms: i64, grace_ms: i64, in_crash_loop: bool) -> i64 {
    let graces = match in_crash_loop {
        true => CRASH_LOOP_GRACES,
        false => FLOOR_GRACES_MAX,
    };
    now_ms.saturating_sub(graces.saturating_mul(grace_ms))
}

fn highest(of_group: &[Floor], oldest_ms: i64) -> Option<Floor> {
    let young = of_group
        .iter()
        .filter(|floor| floor.measured_ms > oldest_ms);
    young
        .max_by(|a, b| a.value.total_cmp(&b.value)) // of equal ones the newest
        .copied()
}

/// Keeps the highest value of a group and the newest: the newest applies when the highest is too old.
fn add_floor(of_group: &mut Vec<Floor>, newest: Floor) {
    let highest = of_group
        .iter()
        .max_by(|a, b| a.value.total_cmp(&b.value))
        .filter(|floor| floor.value > newest.value)
        .copied();
    of_group.clear();
    of_group.extend(highest);
    of_group.push(newest);
}

/// S6d: the reason, if a target that counts is in a crash loop. It does not change while the loop lasts.
pub(super) fn crash_loop(
    assessment: Assessment<'_>,
    scope: &Scope,
    policy: &Policy,
) -> Option<String> {
    let window_ms = CRASH_LOOP_GRACES.saturating_mul(policy.restart_grace_ms);
    let mut counting = scope
        .counting
        .iter()
        .filter_map(|&id| assessment.facts.target(id));
    let looping = counting.find(|target| {
        let crashes = target.crashes_ms.iter();
        let recent = crashes.filter(|&&crash_ms| assessment.now_ms - crash_ms < window_ms);
        recent.count() >= CRASH_LOOP_CRASHES
    })?;
    Some(format!(
        "crash loop: {} restarted {CRASH_LOOP_CRASHES} times or more within {} s",
        looping.name,
        window_ms / 1000
    ))
}

/// S6e: the reason, if a gateway that counts restarted before this signal had a value, so recently that another replica of
/// Stillwell may still hold the value from before the restart. The present page may show less than that replica reports.
pub(super) fn restarted_unseen(
    assessment: Assessment<'_>,
    scope: &Scope,
    known_since_ms: Option<i64>,
    grace_ms: i64,
) -> Option<String> {
    let target = unseen_restart(assessment, scope, known_since_ms, grace_ms)?;
    Some(format!(
        "{} started at {}, and what was true before is not known here: within {} s of that no 0 is told",
        describe(target),
        clock_time(target.newest_start_ms().unwrap_or_default()),
        grace_ms / 1000
    ))
}

/// Whether there would be such a reason for a signal that had no value so far.
pub(super) fn has_restarted_unseen(
    assessment: Assessment<'_>,
    scope: &Scope,
    grace_ms: i64,
) -> bool {
    unseen_restart(assessment, scope, None, grace_ms).is_some()
}

fn unseen_restart<'a>(
    assessment: Assessment<'a>,
    scope: &Scope,
    known_since_ms: Option<i64>,
    grace_ms: i64,
) -> Option<&'a TargetFacts> {
    let is_unseen = |target: &TargetFacts| {
        let started = target.newest_start_ms().zip(target.process_since_ms);
        let Some((started_ms, since_ms)) = started else {
            return false;
        };
        let seen_ms = since_ms.saturating_add(grace_ms);
        let held_elsewhere_ms = started_ms
            .saturating_add(grace_ms)
            .saturating_add(GATEWAY_START_MS_MAX);
        assessment.now_ms < seen_ms.min(held_elsewhere_ms)
            && known_since_ms.is_none_or(|ms| ms >= since_ms)
    };
    let mut counting = scope
        .counting
        .iter()
        .filter_map(|&id| assessment.facts.target(id));
    counting.find(|target| is_unseen(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE_MS: i64 = 60_000;

    fn started(before: Option<Grace>, value: f64, measured_ms: i64, at_ms: i64) -> Grace {
        let measured = (measured_ms, vec![(Labels::empty(), value)]);
        let change = ("a:1", &ChangeKind::Restarted);
        Grace::start(before, Some(&measured), change, at_ms, GRACE_MS)
    }

    fn floor(grace: &Grace, now_ms: i64) -> Option<f64> {
        let floors = grace.floors(now_ms, GRACE_MS, false);
        floors.map(|(_, floor)| floor.value).reduce(f64::max)
    }

    /// A target that a job's first list did not have left as of our start, and whoever was in a grace was told 0 at once.
    #[test]
    fn a_change_that_is_told_late_ends_no_grace() {
        let grace = started(None, 12.0, 589_000, 590_000);
        let late = started(Some(grace), 12.0, 589_000, 531_000);
        assert_eq!((late.first_ms, late.start_ms), (590_000, 590_000));
        assert!(late.runs(640_000, GRACE_MS));
    }

    #[test]
    fn a_change_inside_a_grace_keeps_the_highest_number_until_it_is_too_old_and_the_newest_after() {
        let first = started(None, 218.0, 0, 1_000);
        let second = started(Some(first), 30.0, 40_000, 41_000);
        assert_eq!(floor(&second, 100_000), Some(218.0));
        assert_eq!(floor(&second, 120_000), Some(30.0));
        let third = started(Some(second), 5.0, 80_000, 81_000);
        assert_eq!(floor(&third, 110_000), Some(218.0));
        assert_eq!(
            floor(&third, 130_000),
            Some(5.0),
            "one high and one new are kept"
        );
    }

    #[test]
    fn graces_that_follow_one_another_end_after_twice_the_first() {
        let mut grace = started(None, 1.0, 0, 0);
        for at_ms in [50_000, 100_000] {
            grace = started(Some(grace), 1.0, at_ms, at_ms);
        }
        assert!(grace.runs(119_999, GRACE_MS));
        assert!(!grace.runs(120_000, GRACE_MS));
        let next = started(Some(grace), 1.0, 130_000, 130_000);
        assert!(next.runs(189_999, GRACE_MS) && !next.runs(190_000, GRACE_MS));
    }

    #[test]
    fn what_was_measured_too_long_before_the_change_is_no_floor() {
        let grace = started(None, 7.0, 0, GRACE_MS);
        assert!(grace.has_no_floor());
    }
}
