//! Budgets of queries: any query over a store that multiplies what it touches ends within its memory, and gives all of it
//! back.

use std::sync::Arc;

use stillwell_engine::labels;
use stillwell_engine::promql::script::MemoryView;
use stillwell_engine::promql::{EvalOptions, Features, Query, QueryMemory};
use stillwell_engine::time::Timestamp;
use stillwell_testing::counting::peak_bytes;

/// What one query may hold, by its own count.
const BYTES_MAX: u64 = 4 << 20;
/// What it may really hold: not everything is counted to the byte, and lists double as they grow.
const REAL_BYTES_MAX: u64 = 6 * BYTES_MAX;
/// Series of the store, which label functions and joins multiply.
const SERIES: usize = 300;

/// Parses and evaluates; asserts what was held meanwhile.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let features = Features::all();
    let Ok(query) = Query::parse(&text, &features) else {
        return;
    };
    thread_local! {
        static STORE: MemoryView = store();
    }
    let memory = Arc::new(QueryMemory::new(2 * BYTES_MAX));
    let options = EvalOptions {
        features,
        samples_max: 500_000,
        bytes_max: BYTES_MAX,
        memory: Some(&memory),
        ..EvalOptions::default()
    };
    let at = Timestamp::from_ms;
    STORE.with(|store| {
        let (_, peak) = peak_bytes(|| drop(query.instant(store, at(60_000), &options)));
        assert!(
            peak <= REAL_BYTES_MAX,
            "an instant query held {peak} bytes: {text}"
        );
        let (_, peak) = peak_bytes(|| drop(query.range(store, at(0), at(60_000), 5_000, &options)));
        assert!(
            peak <= REAL_BYTES_MAX,
            "a range query held {peak} bytes: {text}"
        );
    });
    assert_eq!(memory.used(), 0, "not given back: {text}");
}

fn store() -> MemoryView {
    let mut view = MemoryView::default();
    for index in 0..SERIES {
        let (index, group) = (index.to_string(), (index % 7).to_string());
        let labels = labels! { "__name__" => "a", "i" => index.as_str(), "g" => group.as_str() };
        for step in 0..5 {
            view.add(&labels, step * 15_000, step as f64);
        }
    }
    view
}
