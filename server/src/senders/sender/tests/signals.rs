//! What a sender like this server says of its own signals, and what is told of those that are unknown there.

use super::*;

/// What the page says of the numbers of the signal.
fn numbers(sender: &Sender) -> Vec<String> {
    let text = text(sender).expect("a page");
    let numbers = text.lines().filter(|line| line.starts_with(VALUE));
    let shown = numbers.map(|line| line.trim_start_matches(VALUE).replace("cluster=\"c\",", ""));
    shown.collect()
}

/// A signal by pool that was unknown on one shard was the sum of the others for whoever asks for a pool.
#[tokio::test(start_paused = true)]
async fn a_signal_that_is_unknown_there_is_no_number_here_under_any_of_its_labels() {
    let sender = sender().await;
    let stale = f64::from_bits(STALE_NAN_BITS);
    send(
        &sender,
        "",
        &[state("unknown", false), value("a", 4.0), value("b", 5.0)],
    );
    assert_eq!(
        numbers(&sender),
        ["{pool=\"a\",signal=\"q\"} 4", "{pool=\"b\",signal=\"q\"} 5"]
    );
    // The end of a number comes before the state that it is about, in another request.
    send(&sender, "", &[value("a", stale), value("b", stale)]);
    assert_eq!(
        numbers(&sender),
        ["{pool=\"a\",signal=\"q\"} 4", "{pool=\"b\",signal=\"q\"} 5"]
    );
    send(&sender, "", &[state("unknown", true)]);
    let none = [
        "{pool=\"a\",signal=\"q\"} NaN",
        "{pool=\"b\",signal=\"q\"} NaN",
        "{signal=\"q\"} NaN",
    ];
    assert_eq!(numbers(&sender), none);
    let reasons = not_known(&sender);
    let said = "sender \"0\" says that its signal \"q\" is unknown";
    assert!(reasons.len() == 3 && reasons.iter().all(|one| one.starts_with(said)));
    // And the state before the number.
    send(&sender, "", &[state("unknown", false)]);
    assert_eq!(numbers(&sender)[2], none[2]);
    send(&sender, "", &[value("a", 6.0)]);
    assert!(numbers(&sender).contains(&"{pool=\"a\",signal=\"q\"} 6".to_owned()));
    for _ in 0..4 {
        advance(500).await;
        send(&sender, "", &[state("unknown", false), value("a", 6.0)]);
    }
    assert_eq!(
        numbers(&sender),
        ["{pool=\"a\",signal=\"q\"} 6"],
        "b has ended"
    );
}

/// A shard whose last gateway went to another one made every sum unknown for ever.
#[tokio::test(start_paused = true)]
async fn a_signal_that_ended_while_it_was_unknown_is_no_part_of_a_sum() {
    let sender = sender().await;
    let stale = f64::from_bits(STALE_NAN_BITS);
    send(&sender, "", &[state("unknown", false), value("a", 4.0)]);
    send(&sender, "", &[value("a", stale), state("unknown", true)]);
    assert!(!numbers(&sender).is_empty());
    let (labels, ..) = state("unknown", true);
    let alive = labels! { "__name__" => "stillwell_signal_count" };
    send(&sender, "", &[(labels, 0, stale), (alive.clone(), 0, 0.0)]);
    for _ in 0..3 {
        advance(500).await;
        send(&sender, "", &[(alive.clone(), 0, 0.0)]);
    }
    assert!(numbers(&sender).is_empty());
}
