//! Leaders and standbys (S3d): who holds a lease counts, who waits for it does not.

use crate::world::{Gateway, QUEUE, Said, World, held, unknown, value};

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
    let mut world = World::new();
    let rate = world.watch("sum(rate(x_total[3s]))");
    let (leader, standby) = (world.target("leader:1"), world.target("standby:1"));
    let round = |world: &mut World, count: u32| {
        world.take(leader, &replica(Some(true), ""));
        world.take_now(
            standby,
            &replica(Some(false), &format!("x_total {count}\n")),
        );
    };
    for _ in 0..40 {
        round(&mut world, 0);
    }
    assert_eq!(world.counting(rate), ["leader:1"]);
    assert_eq!(world.says(rate), value(0.0));
    round(&mut world, 3);
    match world.says(rate) {
        Said::Value(values) => assert!(values[0] > 0.9, "{values:?}"),
        other => panic!("{other:?} instead of the new rate"),
    }
}

/// A target whose lease line had gone stood by until something else changed, and its outage went unnoticed.
#[test]
fn a_target_whose_lease_line_has_gone_counts_at_once() {
    let mut world = World::new();
    let sum = world.watch("sum(x)");
    let (leader, other) = (world.target("leader:1"), world.target("other:1"));
    for _ in 0..3 {
        world.take(leader, &replica(Some(true), "x 5\n"));
        world.take_now(other, &replica(Some(false), "x 2\n"));
    }
    assert_eq!(world.counting(sum), ["leader:1"]);
    world.take(leader, &replica(Some(true), "x 5\n"));
    world.take_now(other, &replica(None, "x 2\n"));
    assert_eq!(world.counting(sum), ["leader:1", "other:1"]);
    world.take(leader, &replica(Some(true), "x 5\n"));
    world.fail_now(other);
    assert_eq!(world.says(sum), held(7.0));
}

/// A target at which a lease line had come, and that did not lead, counted until something else changed, and its outage
/// held the signal.
#[test]
fn a_target_at_which_a_lease_line_comes_stands_by_at_once() {
    let mut world = World::new();
    let sum = world.watch("sum(x)");
    let (leader, other) = (world.target("leader:1"), world.target("other:1"));
    for _ in 0..3 {
        world.take(leader, &replica(Some(true), "x 5\n"));
        world.take_now(other, &replica(None, "x 2\n"));
    }
    assert_eq!(world.counting(sum), ["leader:1", "other:1"]);
    world.take(leader, &replica(Some(true), "x 5\n"));
    world.take_now(other, &replica(Some(false), "x 2\n"));
    assert_eq!(world.counting(sum), ["leader:1"]);
    world.take(leader, &replica(Some(true), "x 5\n"));
    world.fail_now(other);
    // Who counts is fresh, and a frozen standby is not seen from its first failure on.
    assert_eq!(world.says(sum), value(5.0));
}
