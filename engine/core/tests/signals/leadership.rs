//! Leaders and standbys (S3d): who holds a lease counts, who waits for it does not.

use crate::scenario::{Gateway, QUEUE, Reported, Scenario, held, unknown, value};

#[test]
fn leadership_moves_cleanly_and_with_a_dead_node() {
    for dead in [false, true] {
        let mut scenario = Scenario::new();
        let queue = scenario.register(QUEUE);
        let (first, second) = (scenario.target("first:1"), scenario.target("second:1"));
        let mut leader = Gateway::of("a");
        leader.leads = Some(true);
        let mut standby = Gateway::of("a");
        (standby.leads, standby.queue) = (Some(false), None);
        scenario.rounds(5, &[(first, Some(&leader)), (second, Some(&standby))]);
        assert_eq!(scenario.reported(queue), value(5.0));
        let old = if dead { None } else { Some(&standby) };
        let mut new = leader.clone();
        new.queue = Some(1.0);
        scenario.rounds(5, &[(first, old), (second, Some(&new))]);
        assert_eq!(scenario.reported(queue), held(5.0), "dead {dead}");
        scenario.rounds(700, &[(first, old), (second, Some(&new))]);
        assert_eq!(scenario.reported(queue), value(1.0), "dead {dead}");
    }
}

#[test]
fn leases_of_the_same_name_in_other_namespaces_are_others() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(inference_extension_flow_control_queue_size)");
    let first = scenario.target_of("epp", "a:1", &[("namespace", "n1")]);
    let second = scenario.target_of("epp", "b:1", &[("namespace", "n2")]);
    let mut page = Gateway::of("a");
    page.leads = Some(true);
    scenario.rounds(5, &[(first, Some(&page)), (second, Some(&page))]);
    assert_eq!(
        scenario.reported(signal),
        value(10.0),
        "nobody's leadership moves"
    );
    let mut more = page.clone();
    more.prefix = "llm_d_epp";
    scenario.rounds(30, &[(first, Some(&more)), (second, None)]);
    unknown(&scenario.reported(signal), &["b:1"]);
}

/// A page of one of two replicas; the lease is `l`.
fn replica(leads: Option<bool>, more: &str) -> String {
    let lease = leads.map(|leads| {
        format!(
            "leader_election_master_status{{name=\"l\"}} {}\n",
            u8::from(leads)
        )
    });
    format!(
        "process_start_time_seconds 1000\n{}{more}",
        lease.unwrap_or_default()
    )
}

/// A signal whose only series a standby has kept its number of before until a target that counts gave its next page.
#[test]
fn a_standby_s_page_is_taken_into_account_as_soon_as_it_has_come() {
    let mut scenario = Scenario::new();
    let rate = scenario.register("sum(rate(x_total[3s]))");
    let (leader, standby) = (scenario.target("leader:1"), scenario.target("standby:1"));
    let round = |scenario: &mut Scenario, count: u32| {
        scenario.take(leader, &replica(Some(true), ""));
        scenario.take_now(
            standby,
            &replica(Some(false), &format!("x_total {count}\n")),
        );
    };
    for _ in 0..40 {
        round(&mut scenario, 0);
    }
    assert_eq!(scenario.counting(rate), ["leader:1"]);
    assert_eq!(scenario.reported(rate), value(0.0));
    round(&mut scenario, 3);
    match scenario.reported(rate) {
        Reported::Value(values) => assert!(values[0] > 0.9, "{values:?}"),
        other => panic!("{other:?} instead of the new rate"),
    }
}

/// A target whose lease line had gone stood by until something else changed, and its outage went unnoticed.
#[test]
fn a_target_whose_lease_line_has_gone_counts_at_once() {
    let mut scenario = Scenario::new();
    let sum = scenario.register("sum(x)");
    let (leader, other) = (scenario.target("leader:1"), scenario.target("other:1"));
    for _ in 0..3 {
        scenario.take(leader, &replica(Some(true), "x 5\n"));
        scenario.take_now(other, &replica(Some(false), "x 2\n"));
    }
    assert_eq!(scenario.counting(sum), ["leader:1"]);
    scenario.take(leader, &replica(Some(true), "x 5\n"));
    scenario.take_now(other, &replica(None, "x 2\n"));
    assert_eq!(scenario.counting(sum), ["leader:1", "other:1"]);
    scenario.take(leader, &replica(Some(true), "x 5\n"));
    scenario.fail_now(other);
    assert_eq!(scenario.reported(sum), held(7.0));
}

/// A target at which a lease line had come, and that did not lead, counted until something else changed, and its outage
/// held the signal.
#[test]
fn a_target_at_which_a_lease_line_comes_stands_by_at_once() {
    let mut scenario = Scenario::new();
    let sum = scenario.register("sum(x)");
    let (leader, other) = (scenario.target("leader:1"), scenario.target("other:1"));
    for _ in 0..3 {
        scenario.take(leader, &replica(Some(true), "x 5\n"));
        scenario.take_now(other, &replica(None, "x 2\n"));
    }
    assert_eq!(scenario.counting(sum), ["leader:1", "other:1"]);
    scenario.take(leader, &replica(Some(true), "x 5\n"));
    scenario.take_now(other, &replica(Some(false), "x 2\n"));
    assert_eq!(scenario.counting(sum), ["leader:1"]);
    scenario.take(leader, &replica(Some(true), "x 5\n"));
    scenario.fail_now(other);
    // Who counts is fresh, and a frozen standby is not seen from its first failure on.
    assert_eq!(scenario.reported(sum), value(5.0));
}
