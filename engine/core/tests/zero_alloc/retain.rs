//! Skipping lines that no signal needs allocates nothing, even when lines come and go inside the runs, and a page of
//! which most is skipped leaves a small template.

use std::fmt::Write as _;

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Policy, State};
use stillwell_engine::{Engine, Format, Limits, Retain, ScrapeFacts, TargetSpec, Timestamp};
use stillwell_testing::counting::allocations;

const MODELS: usize = 40;

/// One needed family between two of which the sizes change from page to page.
fn page(step: usize, out: &mut String) {
    out.clear();
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("a string takes everything");
    };
    for family in ["a_seconds", "z_seconds"] {
        line(format_args!(
            "# HELP {family} {step}\n# TYPE {family} histogram"
        ));
        for model in 0..MODELS + step % 5 {
            for bound in 0..10 + step % 3 {
                line(format_args!(
                    "{family}_bucket{{model_name=\"m{model}\",le=\"{bound}\"}} {step}"
                ));
            }
            line(format_args!(
                "{family}_sum{{model_name=\"m{model}\"}} {step}"
            ));
            line(format_args!(
                "{family}_count{{model_name=\"m{model}\"}} {step}"
            ));
        }
        if family == "a_seconds" {
            line(format_args!("process_start_time_seconds 1.7952e+09"));
            let queue = 1000 + step % 50;
            line(format_args!(
                "llm_d_epp_flow_control_queue_size{{inference_pool=\"p\"}} {queue}"
            ));
        }
    }
}

#[test]
fn a_thousand_pages_of_which_most_is_passed_over_allocate_nothing() {
    let limits = Limits {
        retention_ms: 20_000,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let query = "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})";
    let signal = writer.register(query, Policy::default()).expect("valid");
    let (_, mut stage) = writer.add_target(TargetSpec {
        labels: Labels::from_pairs([("job", "epp"), ("instance", "10.0.0.7:9090")]),
        interval_ms: 100,
        retain: Retain::Signals,
        ..TargetSpec::default()
    });
    let mut body = String::new();
    let (mut counted, mut now_ms) = (0, 1_000_000);
    for step in 0..1_600 {
        page(step, &mut body);
        now_ms += 100;
        let at = Timestamp::from_ms(now_ms);
        let before = allocations();
        let staged = stage.parse(body.as_bytes(), Format::Text);
        let committed = writer.commit(staged.expect("parses"), at, ScrapeFacts::default());
        let committed = committed.expect("taken");
        // The first scrapes fill the history; what comes after lives in the room that they made.
        if step >= 600 {
            counted += allocations() - before;
        }
        let lines = body.lines().count() as u64;
        assert_eq!(
            (committed.lines_skipped, committed.samples_post_relabel),
            (lines - 2, 2)
        );
        if step % 10 == 0 {
            writer.maintain(at);
        }
    }
    assert_eq!(counted, 0, "allocations in 1,000 scrapes");
    let reading = reader.signal(signal, Timestamp::from_ms(now_ms), &[]);
    let reading = reading.expect("registered");
    assert_eq!(
        (reading.state, reading.elements[0].value),
        (State::Value, 1049.0)
    );
    // Two bytes for each skipped line, its length, and a template of a few rows.
    let bytes_max = (2 * body.lines().count()).next_power_of_two() + (4 << 10);
    assert!(stage.bytes() < bytes_max, "{} bytes", stage.bytes());
}
