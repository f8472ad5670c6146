//! Rule files: any text is groups or errors with lines; what reads can be evaluated, its templates filled in.

use std::sync::Arc;

use stillwell::config::Report;
use stillwell::rule_groups::{Environment, Group, RuleStore, read_text};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::script::MemoryView;
use stillwell_engine::promql::select::View;
use stillwell_engine::promql::{EvalOptions, Features};
use stillwell_engine::{AppendedSeries, Timestamp, labels};

/// Queries of a few elements need no more.
const SAMPLES_MAX: u64 = 10_000;
/// A file of more groups says nothing new.
const GROUPS_MAX: usize = 20;

struct Store(Arc<MemoryView>);

impl RuleStore for Store {
    fn view(&self) -> Box<dyn View + '_> {
        Box::new(MemoryView::clone(&self.0))
    }

    fn append(&mut self, _: Vec<AppendedSeries>) -> Result<(), String> {
        Ok(())
    }
}

/// Reads it and evaluates each group twice.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut report = Report::default();
    let groups = read_text(&text, "f", &Features::all(), &mut report);
    if !report.errors.is_empty() {
        return;
    }
    let mut memory = MemoryView::default();
    for (job, value) in [("a", 1.0), ("b", f64::NAN)] {
        let labels = labels! { "__name__" => "up", "job" => job };
        memory.add(&labels, 1_000, value);
    }
    let mut store = Store(Arc::new(memory));
    let environment = Environment {
        options: EvalOptions {
            samples_max: SAMPLES_MAX,
            features: Features::all(),
            ..EvalOptions::default()
        },
        external_labels: Labels::empty(),
        external_url: String::new(),
        interval_ms: 1_000,
        query_offset_ms: 0,
        now_ns: || 0,
    };
    for spec in groups.into_iter().take(GROUPS_MAX) {
        let mut group = Group::new(spec);
        for at_ms in [1_000, 2_000] {
            group.evaluate(Timestamp::from_ms(at_ms), &mut store, &environment);
        }
        let _ = group.describe(&environment);
    }
}
