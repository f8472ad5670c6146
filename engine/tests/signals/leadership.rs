//! Leaders and standbys (S3d): who holds a lease counts, who waits for it does not.

use crate::world::{Gateway, QUEUE, World, held, unknown, value};

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
