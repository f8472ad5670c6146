//! Standing signals against ordinary evaluation: the same query once in the form that is folded over the store's
//! rows, once in a form that only the query engine takes. Over random pages, series that come and go, failures and
//! restarts both must say the same, bit for bit.

use std::fmt::Write as _;

use proptest::prelude::*;
use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Policy, Reading, SignalId, State};
use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};

const QUERIES: [&str; 8] = [
    "sum(x)",
    "sum by (l) (x)",
    "count by (l) (x)",
    "max(x)",
    "min by (l) (x)",
    "sum by (l) (x) * 3 + 1",
    "sum(x{l!=\"1\"}) / 7",
    "sum(llm_d_epp_flow_control_queue_size)",
];

#[derive(Clone, Debug)]
enum Step {
    Page(Vec<(u8, u8, f64)>),
    Fail,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let value = prop_oneof![
        -1e9..1e9f64,
        (-50i32..50).prop_map(f64::from),
        Just(f64::NAN),
        Just(1e308),
        Just(f64::INFINITY),
    ];
    let page = prop::collection::vec((0u8..4, 0u8..30, value), 0..40).prop_map(Step::Page);
    let step = prop_oneof![8 => page, 1 => Just(Step::Fail), 1 => Just(Step::Restart)];
    prop::collection::vec((0usize..2, step), 1..40)
}

fn render(lines: &[(u8, u8, f64)], start: u32) -> String {
    let mut page =
        format!("process_start_time_seconds {start}\nllm_d_epp_flow_control_pool_saturation 1\n");
    for (l, m, value) in lines {
        let _ = writeln!(page, "x{{l=\"{l}\",m=\"{m}\"}} {value}"); // a String takes everything
        let _ = writeln!(
            page,
            "llm_d_epp_flow_control_queue_size{{model_name=\"{l}{m}\"}} {value}"
        );
    }
    page
}

/// Everything of a reading, with NaN equal to itself.
fn bits(reading: Option<Reading>) -> (String, Vec<(Labels, u64)>) {
    let reading = reading.expect("watched");
    let state = match reading.state {
        State::Unknown { why } => why,
        State::Held { age_ms, .. } => format!("held {age_ms}"),
        State::Value => "value".to_owned(),
    };
    let mut elements: Vec<(Labels, u64)> = reading
        .elements
        .into_iter()
        .map(|element| (element.labels, element.value.to_bits()))
        .collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    (state, elements)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_fold_says_what_the_query_engine_says(steps in steps()) {
        let (mut writer, reader) = Engine::new(Limits::default());
        let policy = Policy { nan: stillwell_engine::signal::Nan::Zero, ..Policy::default() };
        let pairs: Vec<(SignalId, SignalId)> = QUERIES
            .iter()
            .map(|query| {
                let folded = writer.watch(query, policy.clone()).expect("valid");
                // `or` with itself changes nothing, and only the query engine knows how.
                let evaluated = writer.watch(&format!("({query}) or ({query})"), policy.clone()).expect("valid");
                (folded, evaluated)
            })
            .collect();
        let mut targets: Vec<_> = (0..2)
            .map(|target| {
                let labels = Labels::from_pairs([("job", "j"), ("instance", format!("{target}").as_str())]);
                let spec = TargetSpec { labels, interval_ms: 100, ..TargetSpec::default() };
                (writer.add_target(spec).1, 1u32, Vec::new())
            })
            .collect();
        for (round, (target, step)) in steps.iter().enumerate() {
            let at = Timestamp::from_ms(1_000_000 + round as i64 * 50);
            let (stage, start, lines) = &mut targets[*target];
            match step {
                Step::Fail => {
                    writer.fail(stage.target(), at, ScrapeFacts::default(), "refused").expect("time ascends");
                }
                Step::Page(new) => lines.clone_from(new),
                Step::Restart => *start += 1,
            }
            if !matches!(step, Step::Fail) {
                let page = render(lines, *start);
                let staged = stage.parse(page.as_bytes(), Format::Text).expect("parses");
                writer.commit(staged, at, ScrapeFacts::default()).expect("taken");
            }
            for (query, (folded, evaluated)) in QUERIES.iter().zip(&pairs) {
                let (folded, evaluated) = (reader.signal(*folded, at, &[]), reader.signal(*evaluated, at, &[]));
                // A restart is smoothed over for what `or` is not known to be: only where both are plain values.
                let both_plain = [&folded, &evaluated]
                    .iter()
                    .all(|reading| reading.as_ref().is_some_and(|reading| reading.state == State::Value));
                if both_plain && folded.as_ref().is_some_and(|reading| reading.elements.iter().all(|e| e.value != 0.0)) {
                    prop_assert_eq!(bits(folded), bits(evaluated), "{}", query);
                }
            }
        }
    }
}
