//! Sets of metrics of the names table: each name, and each with a part of a histogram, has a bit. A target remembers in some
//! sixty bytes which of them its process has shown, whether a signal reads them or not.

use std::sync::LazyLock;

use super::lookup::Names;
use super::table::{self, FAMILIES, NAMES};
use super::well_known::SUFFIXES;
use crate::labels::Matcher;

const METRICS: usize = NAMES * SUFFIXES.len();
const WORDS: usize = METRICS.div_ceil(u64::BITS as usize);

/// The metrics by their bits.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let names = FAMILIES.iter().flat_map(|family| family.names);
    let parts = |name: &'static str| SUFFIXES.map(|suffix| format!("{name}{suffix}"));
    names.flat_map(|name| parts(name.family)).collect()
});

/// A metric of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableMetric(usize);

impl TableMetric {
    /// `None` if it is in no row.
    pub(crate) fn of(metric: &str) -> Option<TableMetric> {
        let mut suffixes = SUFFIXES.iter().enumerate();
        suffixes.find_map(|(at, suffix)| {
            let place = table::place(metric.strip_suffix(suffix)?)?;
            Some(TableMetric(place.number * SUFFIXES.len() + at))
        })
    }

    pub(crate) fn text(self) -> &'static str {
        &TEXTS[self.0]
    }
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableMetrics([u64; WORDS]);

impl TableMetrics {
    /// Those among these metrics.
    pub(crate) fn among<'m>(metrics: impl Iterator<Item = &'m str>) -> TableMetrics {
        let mut found = TableMetrics::default();
        for metric in metrics.filter_map(TableMetric::of) {
            found.insert(metric);
        }
        found
    }

    /// Those that a selector reads: the metric that it names with its other names, else each that fits its conditions on the
    /// name.
    pub(crate) fn read_by(metric: Option<&str>, of_name: &[&Matcher]) -> TableMetrics {
        match metric {
            Some(metric) => {
                let others = Names::default().equivalents(metric);
                let others = others.iter().map(|(name, _)| name.as_str());
                TableMetrics::among(others.chain([metric]))
            }
            None => TableMetrics::that(|text| of_name.iter().all(|one| one.matches(text))),
        }
    }

    /// All of the table of which that is so.
    pub(crate) fn that(is_so: impl Fn(&str) -> bool) -> TableMetrics {
        let texts = TEXTS.iter().map(String::as_str);
        TableMetrics::among(texts.filter(|text| is_so(text)))
    }

    pub(crate) fn insert(&mut self, metric: TableMetric) {
        self.0[metric.0 / 64] |= 1 << (metric.0 % 64);
    }

    pub(crate) fn remove(&mut self, metric: TableMetric) {
        self.0[metric.0 / 64] &= !(1 << (metric.0 % 64));
    }

    pub(crate) fn add(&mut self, others: &TableMetrics) {
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word |= other;
        }
    }

    pub(crate) fn contains(&self, metric: TableMetric) -> bool {
        self.0[metric.0 / 64] & 1 << (metric.0 % 64) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Those that are in both.
    pub(crate) fn and(&self, others: &TableMetrics) -> TableMetrics {
        let mut both = self.clone();
        for (word, other) in both.0.iter_mut().zip(&others.0) {
            *word &= other;
        }
        both
    }

    /// Those of these that are not in the others.
    pub(crate) fn without(&self, others: &TableMetrics) -> TableMetrics {
        let mut rest = self.clone();
        for (word, other) in rest.0.iter_mut().zip(&others.0) {
            *word &= !other;
        }
        rest
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = TableMetric> + '_ {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(at, word)| {
            let bits = (0..64).filter(move |bit| *word & 1 << bit != 0);
            bits.map(move |bit| TableMetric(at * 64 + bit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{METRIC_NAME, MatchOp};

    #[test]
    fn each_metric_of_the_table_has_a_bit_of_its_own() {
        let mut all = TableMetrics::default();
        for (at, text) in TEXTS.iter().enumerate() {
            // A name that ends like a part of a histogram is that name.
            let metric = TableMetric::of(text).expect("in the table");
            assert_eq!(metric.text(), text);
            assert!(!all.contains(metric) && metric.0 == at, "{text}");
            all.insert(metric);
        }
        assert_eq!(all.iter().count(), METRICS);
        assert_eq!(TableMetric::of("unheard_of"), None);
        let size = size_of::<TableMetrics>();
        assert!(size <= 80, "{size} bytes for each target");
    }

    #[test]
    fn a_selector_reads_the_other_names_of_its_metric_or_what_fits_its_pattern() {
        let texts = |read: TableMetrics| read.iter().map(TableMetric::text).collect::<Vec<_>>();
        let named = TableMetrics::read_by(Some("sglang_num_queue_reqs"), &[]);
        assert_eq!(
            texts(named),
            ["sglang:num_queue_reqs", "sglang_num_queue_reqs"]
        );
        assert!(TableMetrics::read_by(Some("unheard_of"), &[]).is_empty());
        let pattern = Matcher::new(MatchOp::Regex, METRIC_NAME, "tgi_(queue|batch).*size");
        let pattern = pattern.expect("valid");
        let read = texts(TableMetrics::read_by(None, &[&pattern]));
        assert_eq!(read, ["tgi_queue_size", "tgi_batch_current_size"]);
    }
}
