//! What a program must not do with a hostile or unusual query: hold more than its limits, or yield a number that ordinary
//! evaluation does not. Each test tells the story of a fault.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Evaluated, Policy, SignalId};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

struct Scene {
    writer: Writer,
    reader: Reader,
    stages: Vec<Stage>,
}

impl Scene {
    fn new(targets: usize) -> Scene {
        let (mut writer, reader) = Engine::new(Limits::default());
        let stages = (0..targets).map(|target| {
            let instance = target.to_string();
            let spec = TargetSpec {
                labels: Labels::from_pairs([("job", "a"), ("instance", instance.as_str())]),
                interval_ms: 100,
                ..TargetSpec::default()
            };
            writer.add_target(spec).1
        });
        let stages = stages.collect();
        Scene {
            writer,
            reader,
            stages,
        }
    }

    fn register(&mut self, query: &str) -> SignalId {
        let registered = self.writer.register(query, Policy::default());
        registered.expect(query)
    }

    fn scrape(&mut self, target: usize, at_ms: i64, page: &str) {
        let staged = self.stages[target].parse(page.as_bytes(), Format::Text);
        let at = Timestamp::from_ms(1_700_000_000_000 + at_ms);
        let committed = self
            .writer
            .commit(staged.expect("parses"), at, ScrapeFacts::default());
        committed.expect("taken");
    }

    /// Whether there is an answer of the program, which is that of ordinary evaluation then.
    fn is_by_program(&self, id: SignalId, query: &str) -> bool {
        let (program, ordinary) = self.reader.both_ways(id).expect("registered");
        let Some(program) = program else {
            return false;
        };
        assert_eq!(shown(program), shown(ordinary), "{query}");
        true
    }
}

fn shown(outcome: Evaluated) -> String {
    let values = outcome.expect("it has an answer").values;
    format!("{values:?}")
}

/// A subquery of 3e11 steps aborted the process at the first page: rings of that length were made before any limit was read.
#[test]
fn windows_of_any_length_are_refused_before_room_is_made() {
    let mut scene = Scene::new(1);
    // Not compiled: evaluation from the plan has its own limit, which is not reached here.
    for query in [
        "max_over_time(x[10y:1ms])",
        "sum(max_over_time(sum(x)[30d:1ms]))",
        "absent_over_time(x[200y:1ms])",
    ] {
        let id = scene.register(query);
        let plan = scene.reader.explain(id, Timestamp::from_ms(0));
        let plan = plan.expect("registered").plan_reason;
        assert!(plan.contains("steps"), "{query}: {plan}");
        scene.reader.remove(id);
    }
    let refused = [
        "sum(rate(x[200y]))",
        "rate(x[200y] offset 50y)",
        "max_over_time(x[20y:1h])",
        "sum(quantile_over_time(0.5, x[200y]))",
    ];
    let refused = refused.map(|query| (query, scene.register(query)));
    let kept = ["sum(rate(x[10m]))", "max_over_time(x[1d:1h])"];
    let kept = kept.map(|query| (query, scene.register(query)));
    for page in 0..3 {
        scene.scrape(0, page * 100, &format!("x{{l=\"1\"}} {page}\n"));
    }
    for (query, id) in refused {
        assert!(!scene.is_by_program(id, query), "{query}");
    }
    for (query, id) in kept {
        assert!(scene.is_by_program(id, query), "{query}");
    }
}

/// A subquery that selects nothing passed with any number of steps, as none of them had a value: a commit took 20 s and more.
/// Several subqueries each had the whole limit.
#[test]
fn steps_without_values_count_too_and_subqueries_share_one_limit() {
    let mut scene = Scene::new(1);
    let queries = [
        ("max_over_time(x{l=\"9\"}[20s:1ms])", true),
        ("max_over_time((x{l=\"9\"} + 1 + 2 + 3)[100s:1ms])", false),
        (
            "max_over_time(x{l=\"9\"}[240s:1ms]) or min_over_time(x{l=\"9\"}[240s:1ms])",
            false,
        ),
        ("max_over_time(x[100s:1ms])", false),
        ("max_over_time(x[1s:1ms])", true),
    ];
    let queries = queries.map(|(query, fits)| (query, fits, scene.register(query)));
    // Many steps are spread over some pages.
    for page in 0..20 {
        scene.scrape(0, page * 100, "x{l=\"1\"} 1\n");
    }
    for (query, fits, id) in queries {
        assert_eq!(scene.is_by_program(id, query), fits, "{query}");
    }
}

/// 0 and -0 were one constant to a program, which computed what is divided by them once: +Inf + +Inf instead of NaN.
#[test]
fn constants_are_equal_by_their_bits() {
    let mut scene = Scene::new(1);
    let queries = [
        "sum(x) / 0 + sum(x) / -0",
        "clamp_min(sum(y), 0) / 0 - 1 / clamp_max(sum(x) * 0, -0)",
        "max_over_time((x / 0)[1s:100ms]) + max_over_time((x / -0)[1s:100ms])",
    ];
    let queries = queries.map(|query| (query, scene.register(query)));
    for page in 0..3 {
        scene.scrape(0, page * 100, "x 1\ny 2\n");
    }
    for (query, id) in queries {
        assert!(scene.is_by_program(id, query), "{query}");
    }
    let (program, _) = scene.reader.both_ways(queries[0].1).expect("registered");
    let values = program.expect("compiled").expect("answers").values;
    assert!(values[0].1.is_nan(), "{values:?}");
}

/// Targets change their pools, and pages come that are older than others: a subquery with an offset keeps steps that no page
/// is older than, and they must be those of ordinary evaluation.
#[test]
fn the_steps_of_a_subquery_follow_late_pages() {
    let mut scene = Scene::new(2);
    let pool = |pool: &str| format!("inference_pool_ready_pods{{name=\"{pool}\"}} 1\n");
    let page = |target: usize, name: &str, x: i64| match target {
        0 => format!(
            "{}inference_pool_average_queue_size{{name=\"p\"}} {x}\n",
            pool(name)
        ),
        _ => pool(name),
    };
    let inner = "sum(inference_pool_average_queue_size{name=\"p\"})";
    let queries = ["count", "max", "sum"].map(|function| {
        let query = format!("{function}_over_time({inner}[300ms:10ms] offset 1s)");
        let id = scene.register(&query);
        (query, id)
    });
    let mut behind = 0;
    for round in 0..10 {
        let at_ms = round * 1_000;
        for (target, after_ms, name) in [(0, 0, "p"), (1, 600, "p"), (1, 650, "q"), (0, 400, "p")] {
            scene.scrape(
                target,
                at_ms + after_ms,
                &page(target, name, round * 3 % 7 + after_ms),
            );
            for (query, id) in &queries {
                let by_program =
                    scene.is_by_program(*id, &format!("{query} at {at_ms}+{after_ms}"));
                behind += usize::from(by_program && after_ms == 400);
            }
        }
    }
    assert!(behind > 10, "{behind}");
}

/// `label_replace` compiled its pattern at each bind; it still changes the labels of series that come later.
#[test]
fn a_relabelled_vector_takes_in_new_series() {
    let mut scene = Scene::new(1);
    let query = "sum by (to) (label_replace(x, \"to\", \"$1\", \"l\", \"(.).*\"))";
    let id = scene.register(query);
    let mut page = String::new();
    for series in 0..30 {
        page.push_str(&format!("x{{l=\"{}\"}} {series}\n", series * 7));
        scene.scrape(0, series * 100, &page);
        assert!(scene.is_by_program(id, query), "{query}");
    }
}

/// While a target was frozen each page computed all steps of a subquery, 5 ms of a commit. Now ordinary evaluation answers, and
/// the program goes on some pages after the target is back.
#[test]
fn a_frozen_target_makes_no_page_compute_all_steps() {
    let mut scene = Scene::new(2);
    let query = "max_over_time(sum by (l) (x)[20s:10ms])";
    let id = scene.register(query);
    let page = |round: i64| {
        (0..20).fold(String::new(), |page, l| {
            page + &format!("x{{l=\"{l}\"}} {}\n", (round * 7 + l) % 23)
        })
    };
    let mut by_program = [0; 4];
    for round in 0..400 {
        scene.scrape(0, round * 100, &page(round));
        let phase = (round / 100) as usize;
        by_program[phase] += usize::from(scene.is_by_program(id, query));
        // Frozen from the tenth second on, back from the twentieth.
        if phase == 1 {
            let target = scene.stages[1].target();
            let at = Timestamp::from_ms(1_700_000_000_000 + round * 100 + 50);
            let failed = scene
                .writer
                .fail(target, at, ScrapeFacts::default(), "refused");
            failed.expect("time moves on");
        } else {
            scene.scrape(1, round * 100 + 50, &page(round + 3));
        }
    }
    let [before, frozen, after, later] = by_program;
    assert!(before > 80 && after > 50 && later == 100, "{by_program:?}");
    assert!(frozen < 5, "{by_program:?}");
}
