//! S5 for `nan: zero`: a sample that is NaN counts as 0 in a sum, and a result that is NaN is 0 where nothing that it reads is a
//! number, or where no sample is NaN (0 divided by 0). What others measured is no 0.
//!
//! Cost: where a result is NaN it is evaluated from its plan, and once more with what it reads looked at.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::labels::{Labels, METRIC_NAME};
use crate::promql::select::{
    LastSample, Projection, Samples, SelectRequest, Selection, View, is_stale,
};
use crate::promql::{EvalOptions, QueryError};
use crate::time::Timestamp;

use super::evaluate::{Evaluation, vector};
use super::policy::Nan;
use super::query::{Kind, SignalQuery};

/// Series that are remembered of each kind; of more any may be one.
const SERIES_MAX: usize = 10_000;

/// Whether a policy asks which samples are NaN.
pub(super) fn concerns(nan: Nan, evaluation: &Evaluation) -> bool {
    nan == Nan::Zero && evaluation.values.iter().any(|(_, value)| value.is_nan())
}

/// Makes of an evaluation what it is with samples that are NaN as 0, where the query is a sum; of another query it is noted which
/// elements are NaN in part.
pub(super) fn resolve(
    query: &SignalQuery,
    view: &dyn View,
    at: Timestamp,
    options: &EvalOptions<'_>,
    evaluation: &mut Evaluation,
) -> Result<(), QueryError> {
    let read = Arc::new(Mutex::new(Read::default()));
    let looking = Looking {
        view,
        read: Arc::clone(&read),
    };
    let values = vector(&query.query, &looking, at, options)?;
    if query.kind != Kind::Other {
        evaluation.values = values;
        return Ok(());
    }
    let read = read.lock();
    let is_nan = |one: &&(Labels, f64)| one.1.is_nan();
    let in_part = evaluation.values.iter().filter(is_nan).map(|one| &one.0);
    let in_part = in_part.filter(|labels| read.is_nan_in_part(query, labels));
    evaluation.nan_in_part = in_part.cloned().collect();
    Ok(())
}

/// What was read: the series with a sample that is NaN, and those without.
#[derive(Default)]
struct Read {
    nan: Vec<Labels>,
    numbers: Vec<Labels>,
}

impl Read {
    fn add(&mut self, labels: &Labels, is_nan: bool) {
        let list = match is_nan {
            // Of a summary a quantile is NaN while nothing was observed.
            true if labels.get("quantile").is_some() => return,
            true => &mut self.nan,
            false => &mut self.numbers,
        };
        // One more than is looked at says that there are more.
        if list.len() <= SERIES_MAX {
            list.push(labels.clone());
        }
    }

    /// Whether of the series of a group some have a sample that is NaN and some have not. Where the query writes labels, those of
    /// a group say nothing of its series.
    fn is_nan_in_part(&self, query: &SignalQuery, group: &Labels) -> bool {
        let mut known = Vec::new();
        if !query.writes_labels {
            for label in query.grouping.iter().filter(|label| *label != METRIC_NAME) {
                let value = group.get(label).map(str::to_owned);
                known.extend(value.map(|value| (label.clone(), value)));
            }
        }
        let is_of_group = |labels: &Labels| {
            let has = |(label, value): &(String, String)| labels.get(label) == Some(value.as_str());
            known.iter().all(has)
        };
        let any = |list: &[Labels]| list.len() > SERIES_MAX || list.iter().any(is_of_group);
        any(&self.nan) && any(&self.numbers)
    }
}

/// A view in which samples that are NaN are 0, and which notes what is read.
struct Looking<'v> {
    view: &'v dyn View,
    read: Arc<Mutex<Read>>,
}

impl View for Looking<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn Selection>, QueryError> {
        let request = SelectRequest {
            projection: Projection::All,
            ..*request
        };
        Ok(Box::new(LookedAt {
            of: self.view.select(&request)?,
            read: Arc::clone(&self.read),
        }))
    }
}

struct LookedAt {
    of: Box<dyn Selection>,
    read: Arc<Mutex<Read>>,
}

fn is_nan(value: f64) -> bool {
    value.is_nan() && !is_stale(value)
}

impl Selection for LookedAt {
    fn len(&self) -> usize {
        self.of.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        self.of.labels(index)
    }

    fn samples_about(&self) -> usize {
        self.of.samples_about()
    }

    fn read(&self, index: usize, samples: &mut Samples) {
        self.of.read(index, samples);
        let mut nan = false;
        for value in samples.values.iter_mut().filter(|value| is_nan(**value)) {
            *value = 0.0;
            nan = true;
        }
        if !samples.values.is_empty() {
            self.read.lock().add(self.of.labels(index), nan);
        }
    }

    fn last(&self, index: usize, scratch: &mut Samples) -> Option<LastSample> {
        let mut last = self.of.last(index, scratch)?;
        if !is_stale(last.value) {
            let nan = last.histogram.is_none() && is_nan(last.value);
            self.read.lock().add(self.of.labels(index), nan);
            if nan {
                last.value = 0.0;
            }
        }
        Some(last)
    }
}
