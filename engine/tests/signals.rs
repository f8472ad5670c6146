//! The rules of SIGNALS.md, scenario by scenario: what a gateway does on the left, what a scaler may be told on the
//! right. Time and pages are arguments, so hours pass in microseconds.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Absent, Names, Nan, Policy, SignalId, State};
use stillwell_engine::{
    Engine, Format, Limits, Reader, ScrapeFacts, Stage, TargetSpec, Timestamp, Writer,
};

const INTERVAL_MS: i64 = 100;
const QUEUE: &str = "sum(inference_extension_flow_control_queue_size{inference_pool=\"a\"})";
const RUNNING: &str = "sum(inference_objective_running_requests)";

/// What a gateway's page shows.
#[derive(Clone)]
struct Gateway {
    pool: &'static str,
    prefix: &'static str,
    queue: Option<f64>,
    running: Option<f64>,
    flow_control: bool,
    start: f64,
    leads: Option<bool>,
}

impl Gateway {
    fn of(pool: &'static str) -> Gateway {
        Gateway {
            pool,
            prefix: "inference_extension",
            queue: Some(5.0),
            running: Some(7.0),
            flow_control: true,
            start: 1000.0,
            leads: None,
        }
    }

    fn page(&self) -> String {
        let Gateway { pool, prefix, .. } = self;
        let mut page = format!("process_start_time_seconds {}\n", self.start);
        page += &format!("{prefix}_info{{commit=\"x\"}} 1\n");
        let (ready, running) = match *prefix {
            "llm_d_epp" => ("llm_d_epp_ready_endpoints", "llm_d_epp_request_running"),
            _ => (
                "inference_pool_ready_pods",
                "inference_objective_running_requests",
            ),
        };
        page += &format!("{ready}{{name=\"{pool}\"}} 1\n");
        if self.flow_control {
            page += &format!(
                "{prefix}_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5\n"
            );
        }
        if let Some(queue) = self.queue {
            for model in ["m", "n"] {
                page += &format!(
                    "{prefix}_flow_control_queue_size{{fairness_id=\"f\",inference_pool=\"{pool}\",\
                     model_name=\"{model}\",priority=\"0\",target_model_name=\"{model}\"}} {}\n",
                    queue / 2.0
                );
            }
        }
        if let Some(value) = self.running {
            match *prefix {
                "llm_d_epp" => {
                    for tenant in ["f", "g"] {
                        page += &format!(
                            "{running}{{fairness_id=\"{tenant}\",model_name=\"m\",priority=\"0\",\
                             target_model_name=\"m\"}} {}\n",
                            value / 2.0
                        );
                    }
                }
                _ => page += &format!("{running}{{model_name=\"m\"}} {value}\n"),
            }
        }
        if let Some(leads) = self.leads {
            page += &format!(
                "leader_election_master_status{{name=\"lease\"}} {}\n",
                u8::from(leads)
            );
        }
        page
    }
}

struct World {
    writer: Writer,
    reader: Reader,
    now_ms: i64,
    stages: Vec<Option<Stage>>,
}

impl World {
    fn new() -> World {
        let (writer, reader) = Engine::new(Limits::default());
        World {
            writer,
            reader,
            now_ms: 1_000_000,
            stages: Vec::new(),
        }
    }

    fn target(&mut self, instance: &str) -> usize {
        self.target_of("epp", instance, &[])
    }

    fn target_of(&mut self, job: &str, instance: &str, labels: &[(&str, &str)]) -> usize {
        let own = [("job", job), ("instance", instance)];
        let labels = Labels::from_pairs(own.into_iter().chain(labels.iter().copied()));
        let spec = TargetSpec {
            labels,
            interval_ms: INTERVAL_MS as u64,
            ..TargetSpec::default()
        };
        let (_, stage) = self.writer.add_target(spec);
        self.stages.push(Some(stage));
        self.stages.len() - 1
    }

    fn watch(&mut self, query: &str) -> SignalId {
        self.watch_with(query, Policy::default())
    }

    fn watch_with(&mut self, query: &str, policy: Policy) -> SignalId {
        self.writer
            .watch(query, policy)
            .expect("the query is valid")
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    /// One round: `None` is a failed scrape.
    fn scrape(&mut self, pages: &[(usize, Option<&Gateway>)]) {
        self.now_ms += INTERVAL_MS;
        self.scrape_now(pages);
    }

    fn scrape_now(&mut self, pages: &[(usize, Option<&Gateway>)]) {
        let at = self.at();
        for (target, gateway) in pages {
            let stage = self.stages[*target].as_mut().expect("the target is listed");
            match gateway {
                Some(gateway) => {
                    let page = gateway.page();
                    let staged = stage
                        .parse(page.as_bytes(), Format::Text)
                        .expect("the page parses");
                    self.writer
                        .commit(staged, at, ScrapeFacts::default())
                        .expect("the page is taken");
                }
                None => {
                    let id = stage.target();
                    let facts = ScrapeFacts::default();
                    self.writer
                        .fail(id, at, facts, "connection refused")
                        .expect("time ascends");
                }
            }
        }
        self.writer.maintain(at);
    }

    fn rounds(&mut self, count: usize, pages: &[(usize, Option<&Gateway>)]) {
        for _ in 0..count {
            self.scrape(pages);
        }
    }

    fn remove(&mut self, target: usize) {
        let stage = self.stages[target].take().expect("the target is listed");
        self.writer.remove_target(stage, self.at());
    }

    fn says(&self, signal: SignalId) -> Said {
        self.says_pinned(signal, &[])
    }

    fn says_pinned(&self, signal: SignalId, pins: &[(&str, &str)]) -> Said {
        let pins: Vec<_> = pins
            .iter()
            .map(|(l, v)| ((*l).to_owned(), (*v).to_owned()))
            .collect();
        let reading = self
            .reader
            .signal(signal, self.at(), &pins)
            .expect("the signal is watched");
        let values: Vec<f64> = reading
            .elements
            .iter()
            .map(|element| element.value)
            .collect();
        match reading.state {
            State::Value => Said::Value(values),
            State::Held { .. } => Said::Held(values),
            State::Unknown { why } => Said::Unknown(why),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Said {
    Value(Vec<f64>),
    Held(Vec<f64>),
    Unknown(String),
}

fn value(value: f64) -> Said {
    Said::Value(vec![value])
}

fn held(value: f64) -> Said {
    Said::Held(vec![value])
}

#[track_caller]
fn unknown(said: &Said, words: &[&str]) {
    match said {
        Said::Unknown(why) => {
            for word in words {
                assert!(why.contains(word), "{why:?} does not say {word:?}");
            }
        }
        other => panic!("{other:?} instead of unknown, {words:?}"),
    }
}

#[test]
fn a_fresh_target_gives_a_value() {
    let mut world = World::new();
    let (queue, running) = (world.watch(QUEUE), world.watch(RUNNING));
    let epp = world.target("a:1");
    unknown(&world.says(queue), &["waiting for the first scrape", "a:1"]);
    world.scrape(&[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(
        (world.says(queue), world.says(running)),
        (value(5.0), value(7.0))
    );
}

#[test]
fn first_start_with_two_gateways_one_down_tells_nothing_and_names_it() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let (up, down) = (world.target("a:1"), world.target("a:2"));
    world.rounds(50, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    unknown(
        &world.says(queue),
        &[
            "a:2",
            "never given a good page",
            "connection refused",
            "inference_pool",
        ],
    );
}

#[test]
fn one_pool_s_outage_is_not_another_s() {
    let mut world = World::new();
    let queue_a = world.watch(QUEUE);
    let queue_b = world.watch(&QUEUE.replace("\"a\"", "\"b\""));
    let queue_c = world.watch(&QUEUE.replace("\"a\"", "\"c\""));
    let (a, b, c) = (
        world.target("a:1"),
        world.target("b:1"),
        world.target("c:1"),
    );
    let (page_a, page_b, mut page_c) = (Gateway::of("a"), Gateway::of("b"), Gateway::of("c"));
    world.rounds(
        3,
        &[(a, Some(&page_a)), (b, Some(&page_b)), (c, Some(&page_c))],
    );
    page_c.start = 2000.0;
    page_c.queue = None;
    world.rounds(100, &[(a, Some(&page_a)), (b, None), (c, Some(&page_c))]);
    assert_eq!(world.says(queue_a), value(5.0));
    unknown(
        &world.says(queue_b),
        &["b:1", "fails since", "connection refused"],
    );
    assert_eq!(world.says(queue_c), held(5.0));
}

#[test]
fn an_outage_is_held_then_unknown_and_one_good_scrape_recovers() {
    let mut world = World::new();
    let (queue, guarded) = (
        world.watch(QUEUE),
        world.watch(&format!("{QUEUE} or vector(0)")),
    );
    let epp = world.target("a:1");
    let page = Gateway::of("a");
    world.rounds(3, &[(epp, Some(&page))]);
    world.rounds(1, &[(epp, None)]);
    assert_eq!(
        (world.says(queue), world.says(guarded)),
        (held(5.0), held(5.0))
    );
    world.rounds(18, &[(epp, None)]);
    assert_eq!(world.says(queue), held(5.0));
    world.rounds(1, &[(epp, None)]);
    unknown(&world.says(queue), &["a:1", "2.0 s"]);
    unknown(&world.says(guarded), &["a:1", "2.0 s"]);
    world.rounds(36_000, &[(epp, None)]);
    unknown(&world.says(guarded), &["a:1"]);
    world.scrape(&[(epp, Some(&page))]);
    assert_eq!(
        (world.says(queue), world.says(guarded)),
        (value(5.0), value(5.0))
    );
}

#[test]
fn a_scrape_that_never_ends_does_not_keep_its_target_fresh() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    world.rounds(3, &[(epp, Some(&Gateway::of("a")))]);
    world.now_ms += 250;
    assert_eq!(world.says(queue), held(5.0));
    world.now_ms += 2_000;
    unknown(&world.says(queue), &["a:1", "not ended"]);
}

#[test]
fn idle_is_zero_where_the_page_proves_it() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let running = world.watch(RUNNING);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    (page.queue, page.running) = (None, None);
    world.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(
        (world.says(queue), world.says(running)),
        (value(0.0), value(0.0)),
        "never any traffic"
    );
    page.queue = Some(3.0);
    world.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(3.0));
    page.queue = None;
    world.rounds(900_000 / 100, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(0.0), "flows deleted long ago");
    page.queue = Some(1.0);
    world.scrape(&[(epp, Some(&page))]);
    assert_eq!(
        world.says(queue),
        value(1.0),
        "the first request after a day"
    );
}

#[test]
fn a_gate_that_is_off_and_a_typo_are_not_idleness() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let typo = world.watch(&QUEUE.replace("\"a\"", "\"aa\""));
    let wrong_name = world.watch("sum(inference_extension_flow_control_queue_sise)");
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = None;
    world.rounds(3, &[(epp, Some(&page))]);
    unknown(&world.says(typo), &["aa"]);
    unknown(&world.says(wrong_name), &["queue_sise", "never seen"]);
    page.flow_control = false;
    world.rounds(3, &[(epp, Some(&page))]);
    unknown(&world.says(queue), &["flow control seems to be off on a:1"]);
}

#[test]
fn absence_by_policy() {
    let mut world = World::new();
    let policy = |absent| Policy {
        absent,
        ..Policy::default()
    };
    let typo = QUEUE.replace("\"a\"", "\"aa\"");
    let zero = world.watch_with("sum(something_else{x=\"never\"})", policy(Absent::Zero));
    let never = world.watch_with(QUEUE, policy(Absent::Unknown));
    let auto_max = world.watch(
        "max(inference_extension_flow_control_pool_saturation{inference_pool=\"a\",stage=\"x\"})",
    );
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = None;
    world.rounds(3, &[(epp, Some(&page))]);
    unknown(&world.says(never), &["absent: unknown"]);
    unknown(&world.says(auto_max), &["only of a sum"]);
    unknown(&world.says(zero), &["something_else", "never seen"]);
    let _ = typo;
}

#[test]
fn a_restart_is_smoothed_over_and_ends() {
    let mut world = World::new();
    let (queue, rate) = (
        world.watch(QUEUE),
        world.watch("sum(rate(process_start_time_seconds[1s]))"),
    );
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    world.rounds(30, &[(epp, Some(&page))]);
    world.rounds(5, &[(epp, None)]);
    page.start = 2000.0;
    page.queue = None;
    world.scrape(&[(epp, Some(&page))]);
    assert_eq!(world.says(queue), held(5.0));
    unknown(&world.says(rate), &["a:1", "restarted"]);
    page.queue = Some(9.0);
    world.rounds(10, &[(epp, Some(&page))]);
    assert_eq!(
        world.says(queue),
        held(9.0),
        "more than before the restart is told as it is"
    );
    page.queue = Some(2.0);
    world.rounds(588, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), held(5.0), "59.8 s after the restart");
    world.rounds(2, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(2.0));
    assert!(
        matches!(world.says(rate), Said::Value(_)),
        "{:?}",
        world.says(rate)
    );
}

#[test]
fn a_crash_loop_is_told_as_such() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    world.rounds(3, &[(epp, Some(&page))]);
    for restart in 1..=3 {
        page.start += 1.0;
        world.rounds(300, &[(epp, Some(&page))]);
        if restart < 3 {
            assert!(
                !matches!(world.says(queue), Said::Unknown(_)),
                "restart {restart}: {:?}",
                world.says(queue)
            );
        }
    }
    unknown(&world.says(queue), &["crash loop", "a:1", "3 times"]);
    world.rounds(3_000, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(5.0));
}

#[test]
fn pods_that_replace_one_another_are_no_crash_loop() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let mut old = world.target("pod-0:1");
    let mut page = Gateway::of("a");
    world.rounds(3, &[(old, Some(&page))]);
    for pod in 1..10 {
        let new = world.target(&format!("pod-{pod}:1"));
        page.start += 1.0;
        world.rounds(20, &[(old, Some(&page)), (new, Some(&page))]);
        world.remove(old);
        old = new;
        world.rounds(20, &[(old, Some(&page))]);
        match world.says(queue) {
            Said::Value(values) | Said::Held(values) => assert!(values[0] >= 5.0),
            Said::Unknown(why) => panic!("pod {pod}: {why}"),
        }
    }
    world.rounds(700, &[(old, Some(&page))]);
    assert_eq!(world.says(queue), value(5.0));
}

#[test]
fn names_follow_a_rolling_upgrade() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let running = world.watch(RUNNING);
    let per_model = world.watch("sum by (model_name) (inference_objective_running_requests)");
    let new_name = world.watch("sum(llm_d_epp_request_running)");
    let wants_label = world.watch("sum(llm_d_epp_request_running{fairness_id=\"f\"})");
    let (old, new) = (world.target("old:1"), world.target("new:1"));
    let page_old = Gateway::of("a");
    let mut page_new = Gateway::of("a");
    page_new.prefix = "llm_d_epp";
    world.rounds(3, &[(old, Some(&page_old)), (new, Some(&page_new))]);
    for signal in [queue, running, new_name, per_model] {
        let double = if signal == queue { 10.0 } else { 14.0 };
        assert_eq!(world.says(signal), value(double));
    }
    unknown(
        &world.says(wants_label),
        &["fairness_id", "inference_objective_running_requests"],
    );
    page_new.queue = None;
    world.rounds(3, &[(old, Some(&page_old)), (new, Some(&page_new))]);
    assert_eq!(
        world.says(queue),
        value(5.0),
        "series of the new name end with their page"
    );
}

#[test]
fn leadership_moves_cleanly_and_with_a_dead_node() {
    for dead in [false, true] {
        let mut world = World::new();
        let queue = world.watch(QUEUE);
        let (first, second) = (world.target("first:1"), world.target("second:1"));
        let mut leader = Gateway::of("a");
        leader.leads = Some(true);
        let mut standby = Gateway::of("a");
        (standby.leads, standby.queue) = (Some(false), None);
        world.rounds(5, &[(first, Some(&leader)), (second, Some(&standby))]);
        assert_eq!(world.says(queue), value(5.0));
        let old = if dead { None } else { Some(&standby) };
        let mut new = leader.clone();
        new.queue = Some(1.0);
        world.rounds(5, &[(first, old), (second, Some(&new))]);
        assert_eq!(world.says(queue), held(5.0), "dead {dead}");
        world.rounds(700, &[(first, old), (second, Some(&new))]);
        assert_eq!(world.says(queue), value(1.0), "dead {dead}");
    }
}

#[test]
fn discovery_that_is_lost_takes_nothing_away() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    world.rounds(36_000, &[(epp, Some(&Gateway::of("a")))]);
    assert_eq!(world.says(queue), value(5.0));
    world.remove(epp);
    unknown(&world.says(queue), &["no target is in scope"]);
    world.now_ms += 100_000;
    world.writer.maintain(world.at());
    unknown(&world.says(queue), &["never seen"]);
}

#[test]
fn groups_are_judged_one_by_one() {
    let mut world = World::new();
    let grouped =
        world.watch("sum by (inference_pool) (inference_extension_flow_control_queue_size)");
    let (a, b) = (world.target("a:1"), world.target("b:1"));
    let (page_a, page_b) = (Gateway::of("a"), Gateway::of("b"));
    world.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
    assert_eq!(world.says(grouped), Said::Value(vec![5.0, 5.0]));
    world.rounds(50, &[(a, Some(&page_a)), (b, None)]);
    assert_eq!(
        world.says_pinned(grouped, &[("inference_pool", "a")]),
        value(5.0)
    );
    unknown(&world.says(grouped), &["b:1"]);
    unknown(
        &world.says_pinned(grouped, &[("inference_pool", "typo")]),
        &["no target is in scope"],
    );
    let mut idle = page_a.clone();
    idle.queue = None;
    world.rounds(3, &[(a, Some(&idle)), (b, Some(&page_b))]);
    assert_eq!(
        world.says_pinned(grouped, &[("inference_pool", "a")]),
        value(0.0)
    );
}

#[test]
fn numbers_that_are_none() {
    let mut world = World::new();
    let policy = |nan| Policy {
        nan,
        ..Policy::default()
    };
    let ratio =
        "sum(inference_objective_running_requests) / sum(inference_objective_running_requests)";
    let (plain, zero) = (
        world.watch(ratio),
        world.watch_with(ratio, policy(Nan::Zero)),
    );
    let last = world.watch_with(ratio, policy(Nan::Last));
    let huge = world.watch("sum(inference_objective_running_requests) * 1e17");
    let infinite = world.watch("sum(inference_objective_running_requests) / 0");
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    page.queue = Some(-2.0);
    world.rounds(3, &[(epp, Some(&page))]);
    assert_eq!(
        (world.says(plain), world.says(last)),
        (value(1.0), value(1.0))
    );
    unknown(&world.says(huge), &["quantity"]);
    unknown(&world.says(infinite), &["quantity"]);
    assert_eq!(
        world.says(queue),
        value(0.0),
        "a negative queue is the gateway's race"
    );
    page.running = Some(0.0);
    world.rounds(3, &[(epp, Some(&page))]);
    unknown(&world.says(plain), &["NaN", "nan: zero"]);
    assert_eq!(
        (world.says(zero), world.says(last)),
        (value(0.0), value(1.0))
    );
}

#[test]
fn a_policy_that_changes_keeps_what_was_seen() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let mut page = Gateway::of("a");
    world.rounds(10, &[(epp, Some(&page))]);
    page.start = 2000.0;
    page.queue = Some(1.0);
    world.rounds(10, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), held(5.0));
    world.reader.set_policy(
        queue,
        Policy {
            hold_ms: Some(10_000),
            ..Policy::default()
        },
    );
    assert_eq!(world.says(queue), held(5.0), "the grace goes on");
    world.rounds(80, &[(epp, None)]);
    assert_eq!(
        world.says(queue),
        held(5.0),
        "the longer hold counts at once"
    );
}

#[test]
fn our_own_start_tells_nothing_that_is_not_covered() {
    let mut world = World::new();
    let rate = world.watch("sum(rate(inference_objective_running_requests[10s]))");
    let queue = world.watch(QUEUE);
    let epp = world.target("a:1");
    let page = Gateway::of("a");
    world.rounds(50, &[(epp, Some(&page))]);
    assert_eq!(world.says(queue), value(5.0));
    unknown(&world.says(rate), &["10.0 s", "not covered"]);
    world.rounds(60, &[(epp, Some(&page))]);
    assert!(
        matches!(world.says(rate), Said::Value(_)),
        "{:?}",
        world.says(rate)
    );
}

#[test]
fn a_dead_pool_with_a_label_of_its_own_disturbs_nobody() {
    let mut world = World::new();
    let queue = world.watch(QUEUE);
    let up = world.target("a:1");
    let down = world.target_of("epp", "b:1", &[("inference_pool", "b")]);
    world.rounds(30, &[(up, Some(&Gateway::of("a"))), (down, None)]);
    assert_eq!(world.says(queue), value(5.0));
}

/// What a peer was found to do wrong (kedify's otel-add-on v0.1.4), one by one, does not happen here.
mod faults_of_a_peer {
    use super::*;

    fn world_of(text: &str, query: &str) -> (World, usize, SignalId) {
        let mut world = World::new();
        let signal = world.watch(query);
        let target = world.target("a:1");
        scrape_text(&mut world, target, text);
        (world, target, signal)
    }

    fn scrape_text(world: &mut World, target: usize, text: &str) {
        world.now_ms += INTERVAL_MS;
        let at = world.at();
        let stage = world.stages[target].as_mut().expect("listed");
        let staged = stage.parse(text.as_bytes(), Format::Text).expect("parses");
        world
            .writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("taken");
    }

    #[test]
    fn a_name_once_seen_does_not_make_an_outage_a_zero() {
        let (mut world, target, signal) = world_of("x{a=\"1\"} 4\n", "sum(x{a=\"1\"})");
        assert_eq!(world.says(signal), value(4.0));
        world.rounds(40, &[(target, None)]);
        unknown(&world.says(signal), &["a:1"]);
    }

    #[test]
    fn a_series_that_left_the_page_is_not_told_once_more() {
        let (mut world, target, signal) = world_of("x{a=\"1\"} 4\nx{a=\"2\"} 3\n", "sum(x)");
        scrape_text(&mut world, target, "x{a=\"2\"} 3\n");
        assert_eq!(world.says(signal), value(3.0));
    }

    #[test]
    fn a_series_without_the_label_is_not_summed() {
        let (world, _, signal) =
            world_of("x 100\nx{b=\"1\"} 100\nx{a=\"1\"} 4\n", "sum(x{a=\"1\"})");
        assert_eq!(world.says(signal), value(4.0));
    }

    #[test]
    fn series_that_come_and_go_leave_nothing_behind() {
        let (writer, reader) = Engine::new(Limits {
            retention_ms: 60_000,
            ..Limits::default()
        });
        let mut world = World {
            writer,
            reader,
            now_ms: 1_000_000,
            stages: Vec::new(),
        };
        let target = world.target("a:1");
        for round in 0..20_000 {
            scrape_text(&mut world, target, &format!("x{{pod=\"pod-{round}\"}} 1\n"));
            if round % 10 == 0 {
                world.writer.maintain(world.at());
            }
        }
        let stats = world.reader.stats();
        assert!(stats.series < 1_000, "{stats:?}");
        assert!(stats.bytes.total() < 4 << 20, "{stats:?}");
    }

    #[test]
    fn the_number_is_told_as_it_is_and_the_threshold_is_the_scaler_s() {
        let (world, _, signal) = world_of("x 0.25\n", "sum(x)");
        assert_eq!(world.says(signal), value(0.25));
    }

    #[test]
    fn changes_within_a_second_and_whole_histograms_are_seen() {
        let page = |count: u64| {
            format!(
                "# TYPE h histogram\nh_bucket{{le=\"1\"}} {count}\nh_bucket{{le=\"+Inf\"}} {}\nx {count}\n",
                2 * count
            )
        };
        let (mut world, target, signal) = world_of(&page(1), "sum(x)");
        let nan_is_zero = Policy {
            nan: Nan::Zero,
            ..Policy::default()
        };
        let quantile = world.watch_with(
            "histogram_quantile(0.5, sum by (le) (rate(h_bucket[1s])))",
            nan_is_zero,
        );
        for count in 2..30 {
            scrape_text(&mut world, target, &page(count));
            assert_eq!(world.says(signal), value(count as f64), "100 ms later");
        }
        assert_eq!(world.says(quantile), value(1.0));
    }
}

#[test]
fn users_say_what_measures_demand_and_what_proves_it() {
    let mut world = World::new();
    let signal = world.watch("sum(my_queue)");
    let target = world.target("a:1");
    let page = |queue: Option<u32>| {
        format!(
            "my_info 1\n{}",
            queue.map_or(String::new(), |queue| format!("my_queue {queue}\n"))
        )
    };
    let scrape = |world: &mut World, text: String| {
        world.now_ms += INTERVAL_MS;
        let at = world.at();
        let stage = world.stages[target].as_mut().expect("listed");
        let staged = stage.parse(text.as_bytes(), Format::Text).expect("parses");
        world
            .writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("taken");
    };
    scrape(&mut world, page(Some(3)));
    assert_eq!(world.says(signal), value(3.0));
    scrape(&mut world, page(None));
    unknown(&world.says(signal), &["neither my_queue"]);
    world.reader.set_names(Names {
        demand: vec!["my_queue".to_owned()],
        witnesses: vec![("my_queue".to_owned(), "my_info".to_owned())],
    });
    assert_eq!(world.says(signal), value(0.0));
}

/// Scenarios that a review found told wrongly.
mod found_in_review {
    use super::*;

    fn scrape_text(world: &mut World, target: usize, text: &str) {
        world.now_ms += INTERVAL_MS;
        let at = world.at();
        let stage = world.stages[target].as_mut().expect("listed");
        let staged = stage.parse(text.as_bytes(), Format::Text).expect("parses");
        world
            .writer
            .commit(staged, at, ScrapeFacts::default())
            .expect("taken");
        world.writer.maintain(at);
    }

    #[test]
    fn one_empty_side_of_a_sum_is_zero_and_the_other_still_counts() {
        let mut world = World::new();
        let demand =
            world.watch("sum(llm_d_epp_flow_control_queue_size) + sum(llm_d_epp_request_running)");
        let clamped = world.watch("clamp_min(sum(llm_d_epp_flow_control_queue_size), 3)");
        let unproven = world.watch("sum(llm_d_epp_flow_control_queue_size) + sum(my_own)");
        let target = world.target("a:1");
        let mut page = Gateway::of("a");
        (page.prefix, page.queue, page.running) = ("llm_d_epp", Some(9.0), None);
        world.rounds(3, &[(target, Some(&page))]);
        assert_eq!(world.says(demand), value(9.0));
        unknown(&world.says(unproven), &["my_own"]);
        page.queue = None;
        world.rounds(3, &[(target, Some(&page))]);
        assert_eq!(
            (world.says(demand), world.says(clamped)),
            (value(0.0), value(3.0))
        );
        page.running = Some(2.0);
        world.rounds(3, &[(target, Some(&page))]);
        assert_eq!(world.says(demand), value(2.0));
    }

    #[test]
    fn a_number_given_to_another_series_is_not_summed() {
        let (writer, reader) = Engine::new(Limits {
            retention_ms: 1_000,
            ..Limits::default()
        });
        let mut world = World {
            writer,
            reader,
            now_ms: 1_000_000,
            stages: Vec::new(),
        };
        let signal = world.watch("sum(llm_d_epp_flow_control_queue_size)");
        let target = world.target("a:1");
        let base = "llm_d_epp_flow_control_pool_saturation 1\n";
        for _ in 0..2 {
            scrape_text(
                &mut world,
                target,
                &format!("{base}llm_d_epp_flow_control_queue_size{{m=\"x\"}} 5\n"),
            );
        }
        for _ in 0..40 {
            scrape_text(&mut world, target, base);
        }
        for number in 0..5 {
            let line = format!("{base}go_memstats_{number}_bytes 123456\n");
            scrape_text(&mut world, target, &line);
            assert_eq!(world.says(signal), value(0.0));
        }
    }

    #[test]
    fn targets_of_other_jobs_are_not_summed() {
        let mut world = World::new();
        let policy = Policy {
            jobs: vec!["epp".to_owned()],
            ..Policy::default()
        };
        let signal = world.watch_with("sum(inference_extension_flow_control_queue_size)", policy);
        let (ours, other) = (world.target("a:1"), world.target_of("other", "b:1", &[]));
        let mut page = Gateway::of("a");
        page.queue = Some(0.0);
        world.rounds(3, &[(ours, Some(&page)), (other, Some(&Gateway::of("b")))]);
        world.rounds(30, &[(ours, Some(&page)), (other, None)]);
        assert_eq!(world.says(signal), value(0.0));
    }

    #[test]
    fn leases_of_the_same_name_in_other_namespaces_are_others() {
        let mut world = World::new();
        let signal = world.watch("sum(inference_extension_flow_control_queue_size)");
        let first = world.target_of("epp", "a:1", &[("namespace", "n1")]);
        let second = world.target_of("epp", "b:1", &[("namespace", "n2")]);
        let mut page = Gateway::of("a");
        page.leads = Some(true);
        world.rounds(5, &[(first, Some(&page)), (second, Some(&page))]);
        assert_eq!(world.says(signal), value(10.0), "nobody's leadership moves");
        let mut more = page.clone();
        more.prefix = "llm_d_epp";
        world.rounds(30, &[(first, Some(&more)), (second, None)]);
        unknown(&world.says(signal), &["b:1"]);
    }

    #[test]
    fn a_group_that_vanishes_in_a_restart_is_held() {
        let mut world = World::new();
        let grouped =
            world.watch("sum by (inference_pool) (inference_extension_flow_control_queue_size)");
        let (a, b) = (world.target("a:1"), world.target("b:1"));
        let (mut page_a, page_b) = (Gateway::of("a"), Gateway::of("b"));
        world.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
        (page_a.start, page_a.queue) = (2000.0, None);
        world.rounds(3, &[(a, Some(&page_a)), (b, Some(&page_b))]);
        assert_eq!(world.says(grouped), Said::Held(vec![5.0, 5.0]));
    }

    #[test]
    fn subqueries_look_back_too() {
        let mut world = World::new();
        let signal = world.watch("max_over_time(sum(rate(x_total[1s]))[10m:1s])");
        let target = world.target("a:1");
        for count in 0..50 {
            scrape_text(&mut world, target, &format!("x_total {count}\n"));
        }
        unknown(&world.says(signal), &["601.0 s"]);
    }

    #[test]
    fn timestamps_on_the_page_are_not_told_to_a_scaler() {
        let mut world = World::new();
        let signal = world.watch("sum(x)");
        let labels = Labels::from_pairs([("job", "epp"), ("instance", "a:1")]);
        let spec = TargetSpec {
            labels,
            interval_ms: INTERVAL_MS as u64,
            honor_timestamps: true,
            ..TargetSpec::default()
        };
        let (_, stage) = world.writer.add_target(spec);
        world.stages.push(Some(stage));
        let at_ms = world.now_ms;
        scrape_text(&mut world, 0, &format!("x 7 {at_ms}\n"));
        unknown(
            &world.says(signal),
            &["timestamps of its own", "honor_timestamps"],
        );
        scrape_text(&mut world, 0, &format!("x 7 {}\n", i64::MAX / 2));
        assert!(world.reader.signal(signal, Timestamp::MIN, &[]).is_some());
    }

    #[test]
    fn a_row_that_cannot_stay_does_not_lend_its_prefix_to_another() {
        use stillwell_engine::labels::Matcher;
        use stillwell_engine::promql::select::{Projection, Samples, SelectRequest, View};
        let (mut writer, reader) = Engine::new(Limits::default());
        let spec = TargetSpec {
            honor_timestamps: true,
            ..TargetSpec::default()
        };
        let (_, mut stage) = writer.add_target(spec);
        let pages = [
            "aaa{x=\"1\"} 1\nbbb{x=\"1\"} 2\nbbb{x=\"2\"} 3\n",
            "aaa{x=\"1\"} 1\nbbb{x=\"1\"} 2 1000\naaa{x=\"2\"} 9\n",
        ];
        for (round, page) in pages.into_iter().enumerate() {
            let staged = stage.parse(page.as_bytes(), Format::Text).expect("parses");
            let at = Timestamp::from_ms(500 + 1000 * round as i64);
            writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("taken");
        }
        let request = SelectRequest {
            matchers: &[Matcher::equal("x", "2")],
            after_ms: 1_400,
            until_ms: 1_500,
            projection: Projection::All,
            last_only: false,
        };
        let selection = reader.plain().select(&request).expect("answers");
        let mut seen = Vec::new();
        for index in 0..selection.len() {
            let mut samples = Samples::default();
            selection.read(index, &mut samples);
            let is_nan = samples.values.first().is_some_and(|value| value.is_nan());
            let shown = if is_nan {
                "stale".to_owned()
            } else {
                format!("{:?}", samples.values)
            };
            seen.push(format!("{} {shown}", selection.labels(index)));
        }
        seen.sort();
        assert_eq!(seen, ["aaa{x=\"2\"} [9.0]", "bbb{x=\"2\"} stale"]);
    }
}
