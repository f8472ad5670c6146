//! PromQL text to plan, and the plan over a small store: any text is answered or refused.

use stillwell_engine::labels;
use stillwell_engine::promql::script::MemoryView;
use stillwell_engine::promql::{
    EvalOptions, Features, Query, parse_duration_ms, parse_metric_selector,
};
use stillwell_engine::time::Timestamp;

/// Parses and, where that goes well, evaluates.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = parse_metric_selector(&text);
    let _ = parse_duration_ms(&text);
    let _ = Query::parse(&text, &Features::default());
    let features = Features::all();
    let Ok(query) = Query::parse(&text, &features) else {
        return;
    };
    let options = EvalOptions {
        features,
        samples_max: 100_000,
        ..EvalOptions::default()
    };
    let view = store();
    let at = Timestamp::from_ms;
    let _ = query.instant(&view, at(60_000), &options);
    let _ = query.range(&view, at(0), at(120_000), 30_000, &options);
}

fn store() -> MemoryView {
    let mut view = MemoryView::default();
    for (index, le) in ["0.1", "1", "+Inf"].iter().enumerate() {
        let bucket = labels! { "__name__" => "b", "le" => le, "job" => "x" };
        let plain = labels! { "__name__" => "a", "job" => le };
        for step in 0..10 {
            let value = (step * (index as i64 + 1)) as f64;
            view.add(&bucket, step * 15_000, value);
            view.add(
                &plain,
                step * 15_000,
                if step == 5 { f64::NAN } else { -value },
            );
        }
    }
    view
}
