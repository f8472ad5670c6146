//! Compiled queries against evaluation of the same queries from their plans, at the same times. Over random pages of
//! several targets, series that appear and disappear, failed scrapes, pauses, restarts, changes of leader, targets that
//! are removed and added again, and signals that are registered late, both must yield the same elements in the same
//! order, bit for bit (a NaN is a NaN), and the same empty parts.

#[path = "common/cases.rs"]
mod cases;
#[path = "common/commits.rs"]
mod commits;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cases::cases;
use proptest::prelude::*;
use stillwell_engine::labels::{Labels, METRIC_NAME, MatchOp};
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::{Evaluated, Policy, SignalId, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

/// Always by program.
const COMPILED: &[&str] = &[
    // Aggregations of current values.
    "sum(x)",
    "sum by (l) (x)",
    "sum without (instance, m) (x)",
    "avg by (l) (x)",
    "count by (l, m) (x)",
    "min by (l) (x)",
    "max(x{m=~\"1.*\"})",
    "group by (l) (x)",
    "stddev(x)",
    "stdvar by (l) (x)",
    "sum by (__name__) (x)",
    "sum by (missing) (x{l!=\"1\"})",
    "sum(llm_d_epp_flow_control_queue_size)",
    "sum by (model_name) (inference_extension_flow_control_queue_size)",
    "max by (model_name) (max_over_time(llm_d_epp_flow_control_queue_size[1s]))",
    "sum by (job) (nothing)",
    // Under other names: series with fewer labels, which are sums of those that are exposed, and with a pool.
    "sum(inference_objective_running_requests)",
    "sum by (__name__, model_name) (inference_objective_running_requests)",
    "inference_objective_running_requests > 1",
    "avg by (model_name) (inference_model_running_requests)",
    "sum by (model_name, target_model_name) (llm_d_epp_request_running)",
    "sum by (inference_pool) (rate(llm_d_epp_flow_control_queue_size[1s]))",
    // Ranges.
    "sum(rate(c_total[1s]))",
    "sum by (l) (rate(c_total[300ms]))",
    "sum by (l) (increase(c_total[2s]))",
    // Longer than the store remembers.
    "sum by (l) (increase(c_total[8s]))",
    "count by (l) (max_over_time(x[8s]))",
    "sum by (l) (delta(x[1s]))",
    "sum by (l) (rate(x[1s]))",
    "avg by (l) (irate(c_total[1s]))",
    "max(idelta(x[1s]))",
    "sum by (l) (changes(x[1s]))",
    "sum by (l) (resets(c_total[2s]))",
    "max by (l) (max_over_time(x[700ms]))",
    "min by (l) (min_over_time(x[1s]))",
    "sum(count_over_time(x[1s]))",
    "sum(present_over_time(x[1s]))",
    "sum by (l) (last_over_time(x[1s]))",
    "sum by (l) (first_over_time(x[1s]))",
    "sum by (l) (sum_over_time(x[1s]))",
    "sum by (l) (avg_over_time(x[1s]))",
    "avg_over_time(x[400ms])",
    "sum by (l) (stddev_over_time(x[1s]))",
    "max by (l) (stdvar_over_time(x[1s]))",
    "sum by (l) (quantile_over_time(0.7, x[1s]))",
    "sum by (l) (deriv(x[1s]))",
    "sum by (l) (predict_linear(c_total[1s], 5))",
    // One by one.
    "x",
    "x{l=\"2\"} > 0",
    "rate(c_total[1s])",
    "last_over_time(x[1s])",
    "-x",
    "abs(delta(x[1s]))",
    // Between them.
    "sum(x) + sum(c_total)",
    "sum(x) - (sum(c_total) + 2) * 3",
    "sum(rate(c_total[1s])) / sum(count_over_time(c_total[1s]))",
    "sum by (l) (rate(c_total[1s])) / on (l) count by (l) (x)",
    "sum by (l) (x) > bool count by (l) (x)",
    "sum by (l) (x) >= on (l) sum by (l) (c_total)",
    "sum by (l) (x) % ignoring (m) sum by (l, m) (c_total{m=\"1\"})",
    "2 ^ sum by (l) (x) * 3",
    "sum by (l) (x) > 5",
    "5 < bool sum by (l) (x)",
    "sum by (l) (x) == sum by (l) (x)",
    "sum(x) atan2 sum(c_total)",
    "clamp_max(sum by (l) (x), 10)",
    "clamp(sum by (l) (x), 5, 1)",
    "round(avg by (l) (x), 0.5)",
    "clamp_min(sum(x), 0) + sum(nothing)",
    "sum(sum by (l) (x))",
    "max without (l) (sum by (l, m) (x))",
    "count(sum by (l) (x) > 0)",
    "sum(x) or vector(7)",
    "(sum(x{l=\"3\"}) or vector(1)) + (sum(c_total{l=\"2\"}) or vector(2))",
    "sum by (l) (x) or sum by (l) (c_total)",
    "sum by (l) (x) and sum by (l) (c_total{m=\"1\"})",
    "sum by (l) (x) unless on (l) sum by (l) (c_total{m=\"1\"})",
    "sum(x) / scalar(count(c_total))",
    "vector(scalar(x{l=\"1\",m=\"1\"}))",
    "time() - max(x)",
    // Windows of such sums.
    "sum(max_over_time(inference_objective_running_requests[1s]))",
    "sum by (model_name) (rate(inference_objective_running_requests[700ms]))",
    "avg_over_time(inference_objective_running_requests[500ms])",
    "inference_objective_running_requests offset 300ms",
    "sum by (model_name) (changes(inference_model_running_requests[1s] offset 100ms))",
    "max_over_time(sum by (model_name) (inference_objective_running_requests)[1s:100ms])",
    "sum(deriv(inference_objective_running_requests[1s]))",
    // About scrapes, and without a metric name.
    "sum(up)",
    "count(up == 1)",
    "up{job=\"a\"}",
    "avg_over_time(up[1s])",
    "min by (job) (up offset 300ms)",
    "max_over_time(sum(up)[1s:100ms])",
    "sum(scrape_samples_scraped) / count(x)",
    "sum({__name__=~\"x|c_total\"})",
    "count by (__name__) ({l=\"1\"})",
    "max by (__name__) ({job=~\"a|b\",le=\"\"})",
    // As of an earlier time.
    "sum(x offset 200ms)",
    "x offset 1s",
    "x offset 3s unless x",
    "sum by (l) (x) - sum by (l) (x offset 500ms)",
    "sum by (l) (rate(c_total[500ms] offset 300ms))",
    "max by (l) (max_over_time(x[500ms] offset 400ms))",
    "min_over_time(x[1s] offset 20ms)",
    "sum(increase(c_total[1s] offset -200ms))",
    "sum by (l) (x offset -100ms)",
    "sum by (l) (predict_linear(x[1s] offset 500ms, 5))",
    "sum(x @ end())",
    "sum(rate(x[1s] @ start() offset 100ms))",
    "absent(x{l=\"1\"} offset 1s)",
    "avg by (l) (avg_over_time(x[2s] offset 4s))",
    // Subqueries.
    "max_over_time(sum(x)[1s:100ms])",
    "avg_over_time(max(x)[2s:300ms])",
    "max_over_time(sum by (l) (x)[1s:70ms])",
    "sum(min_over_time(sum by (m, l) (x)[700ms:100ms] offset 200ms))",
    "sum by (l) (last_over_time(x[500ms:50ms]))",
    "rate(sum(c_total)[1s:100ms])",
    "quantile_over_time(0.5, sum by (l) (rate(c_total[300ms]))[1s:100ms])",
    "deriv(avg by (l) (x)[1s:150ms])",
    "max_over_time((sum by (l) (x) / on (l) sum by (l) (c_total))[1s:100ms])",
    "count_over_time((sum by (m) (x) > 0 or sum by (l) (c_total))[1s:200ms])",
    "sum_over_time((sum by (l, m) (x) * on (l) group_left () max by (l) (c_total))[1s:250ms])",
    "max_over_time(histogram_quantile(0.9, sum by (l, le) (h_bucket))[600ms:200ms])",
    "avg_over_time(quantile by (l) (0.5, x)[1s:100ms])",
    "max_over_time((time() - max(x offset 300ms))[1s:100ms])",
    "absent_over_time(sum(x{l=\"1\"} > 5)[500ms:100ms])",
    "changes(label_replace(sum by (l) (x), \"k\", \"$1\", \"l\", \"(.)\")[1s:100ms])",
    // Longer than the store remembers.
    "max_over_time(sum(x)[8s:500ms])",
    // Joins.
    "sum by (l, m) (x) / on (l) group_left () sum by (l) (c_total)",
    "sum by (l, m) (x) * on (l) group_left (n) label_replace(max by (l) (x), \"n\", \"v$1\", \"l\", \"(.*)\")",
    "sum by (l) (x) - on (l) group_right () sum by (m, l) (c_total)",
    "sum by (l) (x) > ignoring (m) group_right (missing) sum by (m, l) (c_total)",
    // Elements that are chosen.
    "topk(2, x)",
    "bottomk(3, sum by (m) (x))",
    "topk by (l) (1, x)",
    "sum(topk without (m) (2, x))",
    "quantile(0.5, x)",
    "quantile by (l) (0.9, rate(c_total[1s]))",
    "quantile without (instance, m) (1.5, x)",
    "sort(x)",
    "sort_desc(sum by (m) (x))",
    "sum(sort(x))",
    // Other labels.
    "label_replace(sum by (l) (x), \"k\", \"$1\", \"l\", \"(.)\")",
    "sum by (k) (label_replace(x, \"k\", \"p$1\", \"m\", \"1(.)\"))",
    "label_join(sum by (l, m) (x), \"k\", \"-\", \"l\", \"missing\", \"m\")",
    "label_join(x, \"__name__\", \"_\", \"__name__\", \"l\")",
    // Absence.
    "absent(x)",
    "absent(nothing{l=\"1\",m=~\"2\"})",
    "absent(sum(x) > 5)",
    "absent_over_time(nothing{l=\"1\"}[1s])",
    "absent_over_time(x{l=\"1\"}[300ms])",
    "sum by (l) (x) > 3 and on () absent(nothing)",
    // Dates.
    "hour() + minute(vector(3600))",
    "day_of_week(x)",
    "days_in_month(sum by (l) (x) * 1e6)",
    "x or c_total",
    "sum by (__name__) (x or c_total)",
    "sum by (l) (x) + ignoring (m) sum by (l, m) (c_total{m=\"1\"})",
    // Histograms.
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[1s])))",
    "histogram_quantile(0.5, sum by (l, le) (h_bucket))",
    "histogram_quantile(0.99, h_bucket)",
    "histogram_quantile(scalar(min(x)), sum by (le) (h_bucket))",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[1s]))) > 0.6",
];

/// By program or not: what the program does not take must not be half taken.
const OTHERS: &[&str] = &[
    "sum(rate(x[1s] @ 1000000))",
    "max_over_time((x / on (l, m) c_total)[500ms:100ms])",
    "max_over_time(max_over_time(sum(x)[500ms:100ms])[1s:200ms])",
    "sum by (l) (x) / on (l) group_left () sum by (l, m) (x)",
    "sum by (l) (x) / on (l) group_left () (sum by (l, m) (x) > 0)",
    "label_replace(x, \"l\", \"same\", \"m\", \".*\")",
    "label_replace(x > 5, \"l\", \"same\", \"m\", \".*\")",
    "-(x or c_total)",
    "sum by (l, m) (x) == on (l) group_left (m) max by (l) (x)",
    "topk(scalar(x), x)",
    "max_over_time(topk(1, x)[1s:100ms])",
    "sum by (l) (x) + ignoring (m) sum by (l, m) (c_total)",
    "sum(inference_extension_flow_control_queue_size{inference_pool=\"p\"})",
    "sum(inference_extension_flow_control_queue_size{inference_pool=\"q\"})",
    "sum(llm_d_epp_request_running{target_model_name=\"1\"})",
    "rate({__name__=~\"x|c_total\"}[1s])",
    "sum by (l) (last_over_time({__name__=~\"x|c_total\"}[1s]))",
];

#[derive(Clone, Debug)]
enum Step {
    /// Lines of a page: two labels and a value.
    Page(Vec<(u8, u8, f64)>),
    /// The page again, a little moved.
    Move(f64),
    /// Many pages, so many milliseconds apart: rings come round, and grow.
    Burst(u8, i64),
    Fail,
    Restart,
    /// The target names a second pool, or only one.
    Pools(bool),
    /// Nobody gives anything for so long.
    Silence(i64),
    /// The target becomes the leader, or nobody leads.
    Lead(bool),
    /// The target leaves and comes back as another.
    Readd,
    /// Signals are made anew.
    Register,
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        -1e9..1e9f64,
        (-50i32..50).prop_map(f64::from),
        (-50i32..50).prop_map(f64::from),
        Just(-0.0),
        Just(f64::NAN),
        Just(1e308),
        Just(f64::INFINITY),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(usize, i64, Step)>> {
    let page = prop::collection::vec((0u8..4, 0u8..12, value()), 0..25).prop_map(Step::Page);
    let step = prop_oneof![
        8 => page,
        12 => (-5i32..50).prop_map(|by| Step::Move(f64::from(by))),
        1 => (10u8..90, 2i64..40).prop_map(|(pages, apart_ms)| Step::Burst(pages, apart_ms)),
        2 => Just(Step::Fail),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Pools),
        1 => (100i64..2_500).prop_map(Step::Silence),
        1 => any::<bool>().prop_map(Step::Lead),
        1 => Just(Step::Readd),
        1 => Just(Step::Register),
    ];
    // Some pages take longer than a later one of another target.
    prop::collection::vec((0usize..3, -30i64..120, step), 1..60)
}

struct Target {
    stage: Option<Stage>,
    fails: bool,
    last_ms: i64,
    start: u32,
    leads: bool,
    two_pools: bool,
    lines: BTreeMap<(u8, u8), f64>,
    counters: BTreeMap<(u8, u8), f64>,
}

struct Scenario {
    writer: Writer,
    reader: Reader,
    targets: Vec<Target>,
    /// Query, whether it must be by program, and its signals.
    signals: Vec<(&'static str, bool, SignalId)>,
    now_ms: i64,
    readded: bool,
    /// The last page was older than another target's.
    late: bool,
    somebody_leads: bool,
    part: usize,
}

/// A case has every fourth query: most of its time is that of queries, and other steps find more than the same once more.
const PARTS: usize = 4;

fn spec(target: usize) -> TargetSpec {
    let instance = format!("{target}");
    let job = if target == 2 { "b" } else { "a" };
    TargetSpec {
        labels: Labels::from_pairs([("job", job), ("instance", instance.as_str())]),
        interval_ms: 100,
        ..TargetSpec::default()
    }
}

impl Scenario {
    fn new(part: usize) -> Scenario {
        let (mut writer, reader) = Engine::new(Limits {
            retention_ms: 5_000,
            ..Limits::default()
        });
        let targets = (0..3).map(|target| Target {
            stage: Some(writer.add_target(spec(target)).1),
            fails: false,
            last_ms: 0,
            start: 1,
            leads: false,
            two_pools: false,
            lines: BTreeMap::new(),
            counters: BTreeMap::new(),
        });
        let targets = targets.collect();
        let mut scenario = Scenario {
            writer,
            reader,
            targets,
            signals: Vec::new(),
            now_ms: 1_000_000,
            readded: false,
            late: false,
            somebody_leads: false,
            part,
        };
        scenario.register();
        scenario
    }

    fn register(&mut self) {
        for (_, _, id) in self.signals.drain(..) {
            self.reader.remove(id);
        }
        let queries = COMPILED.iter().map(|query| (*query, true));
        let queries = queries.chain(OTHERS.iter().map(|query| (*query, false)));
        for (query, compiled) in queries.skip(self.part).step_by(PARTS) {
            for jobs in [Vec::new(), vec!["a".to_owned()]] {
                let policy = Policy {
                    jobs,
                    ..Policy::default()
                };
                let id = self.writer.register(query, policy).expect(query);
                self.signals.push((query, compiled, id));
            }
        }
    }

    fn step(&mut self, index: usize, after_ms: i64, step: &Step) {
        let target = &mut self.targets[index];
        match step {
            Step::Page(lines) => {
                target.lines = lines.iter().map(|&(l, m, value)| ((l, m), value)).collect();
            }
            Step::Move(by) => {
                for (at, value) in target.lines.values_mut().enumerate() {
                    *value += by * (at % 3) as f64;
                }
            }
            Step::Restart => {
                target.start += 1;
                target.counters.clear();
            }
            Step::Pools(two) => target.two_pools = *two,
            Step::Silence(ms) => {
                self.now_ms += ms;
                return;
            }
            Step::Lead(leads) => {
                self.somebody_leads = true;
                for target in &mut self.targets {
                    target.leads = false;
                }
                self.targets[index].leads = *leads;
            }
            Step::Readd => {
                let at = Timestamp::from_ms(target.last_ms.max(self.now_ms) + 1);
                let stage = target.stage.take().expect("there is one");
                self.writer.remove_target(stage, at);
                target.stage = Some(self.writer.add_target(spec(index)).1);
                (target.last_ms, self.readded) = (at.ms(), true);
                return;
            }
            Step::Burst(pages, apart_ms) => {
                for page in 0..*pages {
                    let by = f64::from(i32::from(page) * 7 % 11 - 4);
                    self.step(index, *apart_ms, &Step::Move(by));
                }
                return;
            }
            Step::Register => return self.register(),
            Step::Fail => {}
        }
        self.now_ms += after_ms.max(0);
        let target = &mut self.targets[index];
        let at_ms = (self.now_ms + after_ms.min(0)).max(target.last_ms + 1);
        target.last_ms = at_ms;
        self.late = at_ms < self.now_ms;
        self.now_ms = self.now_ms.max(at_ms);
        target.fails = matches!(step, Step::Fail);
        let (at, facts) = (Timestamp::from_ms(at_ms), ScrapeFacts::default());
        let page = target.page(index, self.somebody_leads);
        let stage = target.stage.as_mut().expect("there is one");
        if matches!(step, Step::Fail) {
            let failed = self.writer.fail(stage.target(), at, facts, "refused");
            return failed.expect("time ascends");
        }
        let staged = stage.parse(page.as_bytes(), Format::Text).expect("parses");
        let committed = commits::commit(&mut self.writer, staged, at, at_ms.count_ones());
        committed.expect("taken");
    }

    fn pages(&self) -> Vec<Option<u64>> {
        self.reader
            .pages(self.signals.iter().map(|signal| signal.2))
    }

    /// Compares the signals that have been evaluated since there were so many pages.
    fn check(&self, pages_before: &[Option<u64>]) -> Result<(), TestCaseError> {
        let evaluated = self.pages();
        for (at, (query, compiled, id)) in self.signals.iter().enumerate() {
            // What a signal sees no more leaves it to whoever reads, who evaluates from the plan.
            if evaluated[at] == pages_before[at] || self.reader.is_outdated(*id) {
                continue;
            }
            // No target that counts has given a page: none serves the pool, or the first page of one shows that it has nothing of it.
            let Some((program, ordinary)) = self.reader.both_ways(*id) else {
                let told = self
                    .reader
                    .signal(*id, Timestamp::from_ms(self.now_ms), &[]);
                let state = told.expect("it is registered").state;
                let is_unknown = matches!(state, State::Unknown { .. });
                prop_assert!(is_unknown, "{query} is not evaluated, and {state:?}");
                continue;
            };
            match program {
                Some(program) => prop_assert_eq!(bits(program), bits(ordinary), "{}", query),
                // A series of a target that came back has history under another's times; what was before a
                // standby's newest page is only in history. So are those about scrapes of a frozen target.
                None => {
                    let is_earlier = reads_reports(query)
                        && self
                            .targets
                            .iter()
                            .any(|one| one.fails || self.now_ms - one.last_ms > 200);
                    let gives_way = self.readded || self.late || is_earlier;
                    prop_assert!(!compiled || gives_way, "{query} gave way");
                }
            }
        }
        Ok(())
    }
}

/// Whether a query reads series about scrapes.
fn reads_reports(query: &str) -> bool {
    let query = Query::parse(query, &Features::all()).expect("it is registered");
    let is_report = |name: &str| name == "up" || name.starts_with("scrape_");
    query.selectors().any(|selector| {
        let mut named = selector
            .matchers
            .iter()
            .filter(|one| one.name() == METRIC_NAME);
        named.all(|one| one.op() != MatchOp::Equal || is_report(one.value()))
    })
}

impl Target {
    fn page(&mut self, index: usize, somebody_leads: bool) -> String {
        let mut page = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            writeln!(page, "{text}").expect("a String takes everything");
        };
        let (queue, running) = match index {
            2 => (
                "inference_extension_flow_control_queue_size",
                "inference_objective_running_requests",
            ),
            _ => (
                "llm_d_epp_flow_control_queue_size",
                "llm_d_epp_request_running",
            ),
        };
        line(format_args!("process_start_time_seconds {}", self.start));
        line(format_args!("inference_pool_ready_pods{{name=\"p\"}} 1"));
        if self.two_pools {
            line(format_args!("inference_pool_ready_pods{{name=\"q\"}} 1"));
        }
        if somebody_leads && index < 2 {
            let leads = u8::from(self.leads);
            line(format_args!(
                "leader_election_master_status{{name=\"lease\"}} {leads}"
            ));
        }
        for ((l, m), value) in &self.lines {
            let counter = self.counters.entry((*l, *m)).or_default();
            if value.is_finite() && value.abs() < 1e6 {
                *counter += value.abs() / 8.0;
            }
            line(format_args!("x{{l=\"{l}\",m=\"{m}\"}} {value}"));
            line(format_args!("c_total{{l=\"{l}\",m=\"{m}\"}} {counter}"));
            line(format_args!(
                "{queue}{{model_name=\"{l}\",priority=\"{m}\"}} {value}"
            ));
            match index {
                2 => line(format_args!("{running}{{model_name=\"{l}{m}\"}} {value}")),
                _ => line(format_args!(
                    "{running}{{model_name=\"{l}\",target_model_name=\"{m}\"}} {value}"
                )),
            }
            let bound = ["0.5", "1", "1.0", "2.5", "+Inf", "none"][usize::from(*m) % 6];
            line(format_args!(
                "h_bucket{{l=\"{l}\",le=\"{bound}\",k=\"{m}\"}} {counter}"
            ));
        }
        page
    }
}

/// Labels, bits, and empty parts; errors as they are.
type Bits = Result<(Vec<(Labels, u64)>, Vec<usize>), String>;

fn bits(outcome: Evaluated) -> Bits {
    let bits = |value: f64| if value.is_nan() { f64::NAN } else { value }.to_bits();
    let outcome = outcome?;
    let values = outcome.values.into_iter();
    Ok((
        values
            .map(|(labels, value)| (labels, bits(value)))
            .collect(),
        outcome.empty_parts,
    ))
}

fn both_ways_agree(part: usize, steps: &[(usize, i64, Step)]) -> Result<(), TestCaseError> {
    let mut scenario = Scenario::new(part);
    for (number, (target, after_ms, step)) in steps.iter().enumerate() {
        if number % 10 == 9 {
            scenario
                .writer
                .maintain(Timestamp::from_ms(scenario.now_ms));
        }
        let pages = scenario.pages();
        scenario.step(*target, *after_ms, step);
        // Only a page is evaluated; what comes after it changes what ordinary evaluation sees.
        let fails = matches!(
            step,
            Step::Fail | Step::Silence(_) | Step::Readd | Step::Register
        );
        if !fails {
            scenario.check(&pages)?;
        }
    }
    Ok(())
}

// The longest test there is, so its cases are two tests: each has a core.
proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn a_program_yields_what_ordinary_evaluation_yields(part in 0..PARTS, steps in steps()) {
        both_ways_agree(part, &steps)?;
    }

    #[test]
    fn a_program_yields_what_ordinary_evaluation_yields_in_other_cases(part in 0..PARTS, steps in steps()) {
        both_ways_agree(part, &steps)?;
    }
}
