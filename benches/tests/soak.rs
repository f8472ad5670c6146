//! The soak, small: nothing is left of clients that have gone. `cargo run --bin soak` plays it for ten minutes.

use std::time::Duration;

use stillwell_benches::soak::run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_die_leave_no_task_and_no_descriptor() {
    let rounds = run(Duration::from_secs(6), Duration::from_secs(2), |_| {}).await;
    let rounds = rounds.expect("nothing leaks");
    assert!(
        rounds.len() >= 2,
        "the second round is held against the first"
    );
    for round in &rounds {
        assert!(
            round.streams > 0 && round.calls > 0 && round.reloads + round.restarts > 0,
            "{round}"
        );
    }
}
