//! Absence is proven, not assumed (S4): an empty answer is 0 only where the pages show that it could have been more.

use stillwell_engine::signal::{Absent, Names, Policy};

use crate::world::{Gateway, QUEUE, RUNNING, World, unknown, value};

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
    world.take(target, &page(Some(3)));
    assert_eq!(world.says(signal), value(3.0));
    world.take(target, &page(None));
    unknown(&world.says(signal), &["neither my_queue"]);
    world.reader.set_names(Names {
        demand: vec!["my_queue".to_owned()],
        witnesses: vec![("my_queue".to_owned(), "my_info".to_owned())],
    });
    assert_eq!(world.says(signal), value(0.0));
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
fn values_of_a_label_that_is_pinned_late_are_those_of_the_pages_before() {
    let mut world = World::new();
    let epp = world.target("a:1");
    let tenants: String = (0..5_000)
        .map(|tenant| format!("mine{{tenant=\"t{tenant}\"}} 1\n"))
        .collect();
    for _ in 0..3 {
        world.scrape_text(epp, &tenants);
    }
    let mut watch = |tenant: &str| world.watch(&format!("sum(mine{{tenant=\"{tenant}\"}})"));
    let [first, last, never] = ["t0", "t4999", "t5000"].map(&mut watch);
    world.scrape_text(epp, "mine{tenant=\"t7\"} 1\n");
    assert_eq!(world.says(first), value(0.0));
    assert_eq!(world.says(last), value(0.0));
    unknown(&world.says(never), &["tenant", "t5000"]);
}
