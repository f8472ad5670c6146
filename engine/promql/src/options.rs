//! What a query may use and how far it may go.

use std::sync::Arc;

use crate::memory::QueryMemory;
use crate::tally::SampleTally;

/// Parts of the language that Prometheus keeps, or kept, behind `--enable-feature`. The default is that of Prometheus
/// 3.14: all off but duration expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: `info`, `limitk`, `limit_ratio`, `sort_by_label`, `mad_over_time`, ...
    pub experimental_functions: bool,
    /// `promql-delayed-name-removal`: the metric name is dropped at the end of the query, not in each step.
    pub delayed_name_removal: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-duration-expr`: arithmetic in ranges, offsets and steps. On by default since 3.14.
    pub duration_expressions: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// `type-and-unit-labels`: `__type__` and `__unit__` are part of a series' identity.
    pub type_and_unit_labels: bool,
    /// `use-start-timestamps`: range functions read the samples' start timestamps; `start_timestamp`.
    pub start_timestamps: bool,
}

impl Default for Features {
    fn default() -> Features {
        Features {
            experimental_functions: false,
            delayed_name_removal: false,
            extended_range_selectors: false,
            duration_expressions: true,
            fill_modifiers: false,
            type_and_unit_labels: false,
            start_timestamps: false,
        }
    }
}

impl Features {
    /// Everything on, as Prometheus' own test engine has it: type and unit labels are off there.
    pub const fn all() -> Features {
        Features {
            experimental_functions: true,
            delayed_name_removal: true,
            extended_range_selectors: true,
            duration_expressions: true,
            fill_modifiers: true,
            type_and_unit_labels: false,
            start_timestamps: true,
        }
    }

    /// From the values of `--enable-feature`, each of which may be a comma-separated list. Names that are not about
    /// PromQL are left to the caller.
    pub fn from_flag_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Features {
        let mut features = Features::default();
        for name in names.into_iter().flat_map(|list| list.split(',')) {
            match name.trim() {
                "promql-experimental-functions" => features.experimental_functions = true,
                "promql-delayed-name-removal" => features.delayed_name_removal = true,
                "promql-extended-range-selectors" => features.extended_range_selectors = true,
                "promql-duration-expr" => features.duration_expressions = true,
                "promql-binop-fill-modifiers" => features.fill_modifiers = true,
                "type-and-unit-labels" => features.type_and_unit_labels = true,
                "use-start-timestamps" => features.start_timestamps = true,
                _ => {}
            }
        }
        features
    }
}

/// Why a query must end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has had its time.
    Timeout,
    /// Nobody waits for it any more.
    Canceled,
}

/// Threads that may help with a query. Evaluation starts none: who calls it knows how many are free.
///
/// Helpers compute the columns of series; the thread that evaluates the query takes them in the order of the series, so an
/// answer has the same bits with and without them.
pub trait Helpers: Sync {
    /// Calls `helper` on as many other threads as are free for this query, perhaps on none, while `main` runs on this one.
    /// Returns when all have returned, which is soon after `main` has.
    fn run(&self, helper: &(dyn Fn() + Sync), main: &mut dyn FnMut());
}

/// How to evaluate. The defaults are those of Prometheus' server.
#[derive(Clone, Copy)]
pub struct EvalOptions<'a> {
    /// How far back an instant selector looks for a sample.
    pub lookback_ms: i64,
    /// How many samples a query may hold at once.
    pub samples_max: u64,
    /// How many bytes a query may hold at once.
    pub bytes_max: u64,
    /// What it shares with the other queries; `None`: nothing.
    pub memory: Option<&'a Arc<QueryMemory>>,
    /// The step of a subquery that names none.
    pub subquery_step_ms: i64,
    /// What evaluation may use (delayed name removal and start timestamps; the rest was decided when parsing).
    pub features: Features,
    /// What must be added to a sample's time for the wall clock's, in milliseconds: `time()`, `timestamp()` and `@` are
    /// about the wall clock.
    pub wall_offset_ms: i64,
    /// Where samples are counted; `None`: nowhere.
    pub tally: Option<&'a SampleTally>,
    /// Asked now and then whether to stop.
    pub stop: Option<&'a (dyn Fn() -> Option<Stop> + Sync)>,
    /// Who helps with many series; `None`: nobody. Nobody helps where a tally counts, so that its peak is exact.
    pub helpers: Option<&'a dyn Helpers>,
}

impl Default for EvalOptions<'_> {
    fn default() -> Self {
        EvalOptions {
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            bytes_max: u64::MAX,
            memory: None,
            subquery_step_ms: 60_000,
            features: Features::default(),
            wall_offset_ms: 0,
            tally: None,
            stop: None,
            helpers: None,
        }
    }
}

impl std::fmt::Debug for EvalOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvalOptions")
            .field("lookback_ms", &self.lookback_ms)
            .field("samples_max", &self.samples_max)
            .field("bytes_max", &self.bytes_max)
            .field("subquery_step_ms", &self.subquery_step_ms)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_comma_separated_lists_and_unknown_names_change_nothing() {
        let features =
            Features::from_flag_names(["promql-binop-fill-modifiers, native-histograms", "x"]);
        assert!(features.fill_modifiers && !features.experimental_functions);
    }
}
