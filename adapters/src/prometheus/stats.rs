//! `stats`: how long a query took and how many samples it looked at (util/stats/query_stats.go).

use std::fmt::Write;
use std::sync::Arc;

use stillwell_engine::promql::SampleTally;
use tokio::time::Instant;

use crate::form::Form;

/// What is counted and timed of one query whose client asked for it.
#[derive(Clone)]
pub(super) struct QueryStats {
    asked: Instant,
    timings: Timings,
    pub(super) tally: Arc<SampleTally>,
}

/// Seconds of the parts.
#[derive(Clone, Copy, Default)]
struct Timings {
    preparation_s: f64,
    queue_s: f64,
    evaluation_s: f64,
}

impl QueryStats {
    /// `None` where nobody asks.
    pub(super) fn asked(form: &Form) -> Option<QueryStats> {
        (!form.get("stats").is_empty()).then(|| QueryStats {
            asked: Instant::now(),
            timings: Timings::default(),
            tally: Arc::default(),
        })
    }

    /// The query is read.
    pub(super) fn prepared(&mut self) {
        self.timings.preparation_s = self.asked.elapsed().as_secs_f64();
    }

    /// Its evaluation begins.
    pub(super) fn begins(&mut self) {
        self.timings.queue_s = self.asked.elapsed().as_secs_f64() - self.timings.preparation_s;
    }

    /// Its evaluation has ended.
    pub(super) fn ended(&mut self) {
        let before_s = self.timings.preparation_s + self.timings.queue_s;
        self.timings.evaluation_s = self.asked.elapsed().as_secs_f64() - before_s;
    }

    /// As a part of the data. Results come sorted, so sorting takes no time of its own.
    pub(super) fn write(&self, out: &mut String) {
        let Timings {
            preparation_s,
            queue_s,
            evaluation_s,
        } = self.timings;
        let total_s = preparation_s + queue_s + evaluation_s;
        // Writing to a text does not fail.
        write!(
            out,
            ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluation_s},\"resultSortTime\":0,\
             \"queryPreparationTime\":{preparation_s},\"innerEvalTime\":{evaluation_s},\
             \"execQueueTime\":{queue_s},\"execTotalTime\":{total_s}}},\"samples\":{{\
             \"totalQueryableSamples\":{},\"samplesRead\":{},\"peakSamples\":{}}}}}",
            self.tally.queryable(),
            self.tally.read(),
            self.tally.peak()
        )
        .ok();
    }
}

/// What Prometheus 3.14 says of values that it will refuse one day.
pub(super) fn warning(form: &Form) -> Option<String> {
    match form.get("stats") {
        "" | "true" | "all" => None,
        other => Some(format!(
            "value {other:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""
        )),
    }
}
