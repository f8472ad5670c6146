//! The series of a request while they are collected.

use std::collections::BTreeMap;

use stillwell_engine::labels::Labels;
use stillwell_engine::{AppendedSeries, Timestamp};

/// The series about a resource.
pub(super) const TARGET_INFO: &str = "target_info";
/// Samples of it in a request, those of one time counted each: a resource of few bytes may become a thousand of them.
pub(super) const TARGET_INFOS_MAX: usize = 100_000;

/// What a request became.
#[derive(Debug, Default)]
pub(super) struct Converted {
    /// Series with their samples, ascending in time.
    pub(super) series: Vec<AppendedSeries>,
    /// Points that could not be, and why the first could not.
    pub(super) rejected: i64,
    pub(super) first: Option<String>,
}

/// Series by their labels.
#[derive(Default)]
pub(super) struct Out {
    series: BTreeMap<Labels, AppendedSeries>,
    target_infos: usize,
    rejected: i64,
    first: Option<String>,
}

impl Out {
    /// Notes points that are left out; of all reasons the first is told.
    pub(super) fn reject(&mut self, points: usize, why: String) {
        self.rejected += points as i64;
        self.first.get_or_insert(why);
    }

    pub(super) fn series(&mut self, labels: Labels) -> &mut AppendedSeries {
        let entry = self.series.entry(labels.clone());
        entry.or_insert_with(|| AppendedSeries {
            labels,
            ..AppendedSeries::default()
        })
    }

    /// Samples of [`TARGET_INFO`]. Several resources may be told in the same words: `finish` keeps one of each time.
    pub(super) fn target_info(&mut self, labels: Labels, times_ms: impl Iterator<Item = i64>) {
        let left = TARGET_INFOS_MAX - self.target_infos;
        let mut times_ms = times_ms.map(Timestamp::from_ms).peekable();
        let series = self.series(labels);
        let before = series.floats.len();
        series
            .floats
            .extend(times_ms.by_ref().take(left).map(|at| (at, 1.0)));
        let added = series.floats.len() - before;
        self.target_infos += added;
        if times_ms.peek().is_some() {
            let why = format!(
                "the request has more than {TARGET_INFOS_MAX} samples of {TARGET_INFO}, the others are left out; send \
                 fewer resources at a time"
            );
            self.reject(0, why);
        }
    }

    pub(super) fn finish(self) -> Converted {
        let mut series: Vec<AppendedSeries> = self.series.into_values().collect();
        for one in &mut series {
            one.floats.sort_by_key(|(at, _)| *at);
            one.histograms.sort_by_key(|(at, _)| *at);
            if one.labels.metric_name() == Some(TARGET_INFO) {
                one.floats.dedup_by_key(|(at, _)| *at);
            }
        }
        series.retain(|one| !one.floats.is_empty() || !one.histograms.is_empty());
        Converted {
            series,
            rejected: self.rejected,
            first: self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_told_in_the_same_words_take_time_by_their_number() {
        let labels = Labels::from_pairs([("__name__", TARGET_INFO), ("job", "j")]);
        let mut out = Out::default();
        // A comparison with each sample before would be 5 billion of them.
        for at_ms in (0..TARGET_INFOS_MAX as i64 / 2).rev() {
            out.target_info(labels.clone(), [at_ms, at_ms / 2].into_iter());
        }
        out.target_info(labels.clone(), [9_000_000].into_iter());
        let converted = out.finish();
        let times: Vec<i64> = converted.series[0]
            .floats
            .iter()
            .map(|(at, _)| at.ms())
            .collect();
        let whole: Vec<i64> = (0..TARGET_INFOS_MAX as i64 / 2).collect();
        assert_eq!(times, whole, "each time once, and none beyond the limit");
        let why = converted.first.expect("the last was left out");
        assert!(why.contains("send fewer resources"), "{why}");
        assert_eq!(converted.rejected, 0, "it is no point of the sender's");
    }
}
