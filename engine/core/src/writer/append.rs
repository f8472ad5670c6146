//! Samples with explicit timestamps: what remote write delivers.
//!
//! A batch whose new series do not fit the memory limit is refused as a whole. Otherwise each sample is accepted or
//! refused by itself by Prometheus' rules (tsdb/head_append.go), and refusals are reported.

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Writer;
use super::in_turn::in_turn;
use super::make_room::make_room;
use super::steps::lines_of_histogram;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::limits::{FUTURE_MS_MAX, WRITE_BATCH_SERIES};
use crate::promql::select::STALE_NAN_BITS;
use crate::store::{
    AppendOutcome, ClockId, CountedGrowth, HISTOGRAM, Onward, STALE, SeriesId, Store,
    histogram_bytes,
};
use crate::time::Timestamp;

/// Samples of one series, each list ascending in time.
#[derive(Clone, Debug, Default)]
pub struct AppendedSeries {
    /// Its labels, the metric name among them.
    pub labels: Labels,
    /// Floats.
    pub floats: Vec<(Timestamp, f64)>,
    /// Native histograms. One whose sum is the stale marker ends the series, as in remote write.
    pub histograms: Vec<(Timestamp, FloatHistogram)>,
}

/// The result of a batch.
#[derive(Clone, Debug, Default)]
pub struct Appended {
    /// Floats accepted, including exact repetitions.
    pub floats: u64,
    /// Histograms accepted.
    pub histograms: u64,
    /// Samples refused.
    pub refused: u64,
    /// The first refused sample.
    pub first_refused: Option<Refused>,
}

/// A refused sample.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The labels of its series.
    pub labels: Labels,
    /// Its timestamp.
    pub at: Timestamp,
    /// Why it was refused.
    pub why: Refusal,
}

/// Why a sample is refused. The texts are those of Prometheus where it has the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The series has a newer sample.
    OutOfOrder,
    /// The series has another value at this time.
    Duplicate,
    /// Older than the retention.
    TooOld,
    /// Further in the future than `FUTURE_MS_MAX`.
    TooNew,
    /// The series belongs to a scraped target.
    Scraped,
    /// There is no place for its series or its sender: a limit of whoever embeds the engine.
    TooMany,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::OutOfOrder => "out of order sample",
            Refusal::Duplicate => "duplicate sample for timestamp",
            Refusal::TooOld => "out of bounds: older than --storage.retention.time",
            Refusal::TooNew => "out of bounds: too far in the future, check the sender's clock",
            Refusal::Scraped => {
                "a scraped target has this series; give the written one another label"
            }
            Refusal::TooMany => {
                "more senders than 1,000, more series of one than 100,000, or more of all than a sixteenth of \
                 --storage.memory.max"
            }
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: series {} at {} ms",
            self.why,
            self.labels,
            self.at.ms()
        )
    }
}

/// The batch does not fit the memory limit. Nothing of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendError {
    /// Bytes that the batch would add.
    pub new_bytes: usize,
    /// Bytes held.
    pub held_bytes: usize,
    /// The limit.
    pub limit_bytes: u64,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AppendError {
            new_bytes,
            held_bytes,
            limit_bytes,
        } = self;
        write!(
            f,
            "memory limit reached: {new_bytes} bytes of new series and histograms do not fit, {held_bytes} of \
             {limit_bytes} bytes are held; raise --storage.memory.max or write fewer series"
        )
    }
}

impl std::error::Error for AppendError {}

impl Writer {
    /// Stores samples with explicit timestamps. `now` bounds how old (retention) and how far in the future they may be.
    pub fn append(
        &mut self,
        batch: Vec<AppendedSeries>,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let growth = growth_of(&self.store, &batch);
        let mut reserved = self.admit_batch(&growth)?;
        let mut appended = Appended::default();
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            self.append_some(&mut batch, now, (&mut appended, &mut reserved));
        }
        self.reserved_bytes -= reserved.bytes;
        Ok(appended)
    }

    /// [`Writer::append`] for a writer that others wait for: nobody waits for longer than some [`WRITE_BATCH_SERIES`] samples
    /// take.
    pub fn append_in_steps(
        writer: &Mutex<Writer>,
        batch: Vec<AppendedSeries>,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let store = Arc::clone(&writer.lock().store);
        let growth = growth_of(&store, &batch);
        make_room(writer, &growth, 0);
        let mut reserved = in_turn(writer, |writer| writer.admit_batch(&growth))?;
        let mut appended = Appended::default();
        let mut batch = batch.into_iter().flat_map(in_parts).peekable();
        while batch.peek().is_some() {
            in_turn(writer, |writer| {
                writer.append_some(&mut batch, now, (&mut appended, &mut reserved));
            });
        }
        in_turn(writer, |writer| writer.reserved_bytes -= reserved.bytes);
        Ok(appended)
    }

    /// Reserves memory for the new series and histograms of the batch. Floats need none: history is bounded by dropping the
    /// oldest.
    fn admit_batch(&mut self, growth: &CountedGrowth) -> Result<Reserved, AppendError> {
        let admitted = self.admit(growth.at_most_bytes(), |store| growth.bytes(store));
        let bytes = admitted.map_err(|new_bytes| AppendError {
            new_bytes,
            held_bytes: self.held_bytes(),
            limit_bytes: self.limits.memory_bytes_max,
        })?;
        self.reserved_bytes += bytes;
        let of_series = bytes.saturating_sub(growth.more_bytes);
        Ok(Reserved {
            bytes,
            series_bytes: of_series / growth.series.max(1),
        })
    }

    /// Stores the samples of the next series, some [`WRITE_BATCH_SERIES`] samples.
    fn append_some(
        &mut self,
        batch: &mut impl Iterator<Item = AppendedSeries>,
        now: Timestamp,
        (appended, reserved): (&mut Appended, &mut Reserved),
    ) {
        let oldest_ms = now.minus_ms(self.limits.retention_ms).ms();
        let newest_ms = now.ms().saturating_add(FUTURE_MS_MAX);
        let store = Arc::clone(&self.store);
        let mut store = store.write();
        let held = |store: &Store| (store.series.len(), store.native_histograms.bytes());
        let (series_before, histograms_before) = held(&store);
        let (mut changed_names, mut done) = (Vec::new(), 0);
        while done < WRITE_BATCH_SERIES
            && let Some(series) = batch.next()
        {
            done += work_of(&series);
            let owned_before = self.explicit_series.len();
            let mut pass = SeriesAppend {
                store: &mut store,
                explicit_series: &mut self.explicit_series,
                id: None,
                bounds_ms: (oldest_ms, newest_ms),
            };
            pass.append(&series.labels, series.floats, series.histograms, appended);
            if self.explicit_series.len() > owned_before {
                changed_names.extend(series.labels.metric_name().map(str::to_owned));
            }
        }
        let (series, histograms) = held(&store);
        drop(store);
        self.reserved_bytes -= reserved.lower(
            series.saturating_sub(series_before),
            histograms.saturating_sub(histograms_before),
        );
        changed_names.sort_unstable();
        changed_names.dedup();
        if !changed_names.is_empty() {
            let mut registry = self.registry.write();
            for name in &changed_names {
                registry.facts.record_structure_change(name);
            }
        }
    }
}

/// What is left of the memory that was reserved for a batch: what was stored of it is counted with the store.
struct Reserved {
    bytes: usize,
    /// For each new series.
    series_bytes: usize,
}

impl Reserved {
    /// Lowers it by what was stored. Answers by how much.
    fn lower(&mut self, series: usize, histogram_bytes: usize) -> usize {
        let stored = series * self.series_bytes + histogram_bytes;
        let lowered = stored.min(self.bytes);
        self.bytes -= lowered;
        lowered
    }
}

/// The samples of a series, none of the parts with more than are stored at once.
fn in_parts(series: AppendedSeries) -> Vec<AppendedSeries> {
    if work_of(&series) <= 2 * WRITE_BATCH_SERIES {
        return vec![series];
    }
    let AppendedSeries {
        labels,
        floats,
        histograms,
    } = series;
    let part = |floats: Vec<(Timestamp, f64)>, histograms| AppendedSeries {
        labels: labels.clone(),
        floats,
        histograms,
    };
    let floats = floats.chunks(WRITE_BATCH_SERIES);
    let mut parts: Vec<AppendedSeries> = floats
        .map(|floats| part(floats.to_vec(), Vec::new()))
        .collect();
    let one_by_one = histograms.into_iter();
    parts.extend(one_by_one.map(|histogram| part(Vec::new(), vec![histogram])));
    parts
}

/// As how many samples a series counts.
fn work_of(series: &AppendedSeries) -> usize {
    let histograms = series.histograms.iter();
    let histograms = histograms.map(|(_, histogram)| lines_of_histogram(histogram));
    1 + series.floats.len() + histograms.sum::<usize>()
}

/// What a batch adds to the store.
fn growth_of(store: &RwLock<Store>, batch: &[AppendedSeries]) -> CountedGrowth {
    let histograms = batch.iter().flat_map(|series| &series.histograms);
    let histograms = histograms.map(|(_, histogram)| histogram_bytes(histogram));
    let labels = batch.iter().map(|series| &series.labels);
    CountedGrowth::of(store, labels, histograms.sum())
}

/// Appends the samples of one series.
struct SeriesAppend<'a> {
    store: &'a mut Store,
    explicit_series: &'a mut Vec<SeriesId>,
    /// The series, once it is on the explicit clock.
    id: Option<SeriesId>,
    bounds_ms: (i64, i64),
}

impl SeriesAppend<'_> {
    fn append(
        &mut self,
        labels: &Labels,
        floats: Vec<(Timestamp, f64)>,
        histograms: Vec<(Timestamp, FloatHistogram)>,
        appended: &mut Appended,
    ) {
        let mut refuse = |at, why| {
            appended.refused += 1;
            let first = || Refused {
                labels: labels.clone(),
                at,
                why,
            };
            appended.first_refused.get_or_insert_with(first);
        };
        for (at, value) in floats {
            let bits = match value.to_bits() {
                HISTOGRAM => f64::NAN.to_bits(), // these bits are the placeholder of histograms
                bits => bits,
            };
            match self.float(labels, at.ms(), bits) {
                Ok(()) => appended.floats += 1,
                Err(why) => refuse(at, why),
            }
        }
        for (at, histogram) in histograms {
            let result = match histogram.sum.to_bits() {
                STALE_NAN_BITS => self.float(labels, at.ms(), STALE),
                _ => self.histogram(labels, at.ms(), histogram),
            };
            match result {
                Ok(()) => appended.histograms += 1,
                Err(why) => refuse(at, why),
            }
        }
    }

    fn float(&mut self, labels: &Labels, time_ms: i64, bits: u64) -> Result<(), Refusal> {
        match self.open(labels, time_ms, bits)? {
            Some(id) => outcome(self.store.append_explicit(id, time_ms, bits)),
            None => Ok(()),
        }
    }

    fn histogram(
        &mut self,
        labels: &Labels,
        time_ms: i64,
        histogram: FloatHistogram,
    ) -> Result<(), Refusal> {
        match self.open(labels, time_ms, HISTOGRAM)? {
            Some(id) => outcome(self.store.append_explicit_histogram(id, time_ms, histogram)),
            None => {
                if let Some(id) = self.id {
                    self.store
                        .native_histograms
                        .push(id, time_ms, histogram, false);
                }
                Ok(())
            }
        }
    }

    /// The series to append to. `None`: creating or moving the series has stored the sample already.
    fn open(
        &mut self,
        labels: &Labels,
        time_ms: i64,
        bits: u64,
    ) -> Result<Option<SeriesId>, Refusal> {
        if time_ms < self.bounds_ms.0 {
            return Err(Refusal::TooOld);
        }
        if time_ms > self.bounds_ms.1 {
            return Err(Refusal::TooNew);
        }
        if self.id.is_some() {
            return Ok(self.id);
        }
        let Some(id) = self.store.series.find_near_last(labels) else {
            let id = self.store.create(labels, ClockId::EXPLICIT, bits, time_ms);
            self.take(id);
            return Ok(None);
        };
        let row = *self.store.series.row(id);
        if row.clock == ClockId::EXPLICIT {
            self.id = Some(id);
            return Ok(Some(id));
        }
        if row.is_present() {
            return Err(Refusal::Scraped);
        }
        let onward = Onward::explicit(time_ms, bits);
        if !self.store.move_to_clock(id, onward) {
            return Err(Refusal::OutOfOrder);
        }
        self.take(id);
        Ok(None)
    }

    fn take(&mut self, id: SeriesId) {
        self.explicit_series.push(id);
        self.id = Some(id);
    }
}

fn outcome(sample: AppendOutcome) -> Result<(), Refusal> {
    match sample {
        AppendOutcome::Appended | AppendOutcome::Same => Ok(()),
        AppendOutcome::Duplicate => Err(Refusal::Duplicate),
        AppendOutcome::OutOfOrder => Err(Refusal::OutOfOrder),
    }
}
