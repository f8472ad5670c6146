//! How many series a sender holds, and in how many bytes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_page_without_some_of_the_series_is_none() {
    let memory = SenderMemory::of_limit(0);
    let sender = new_sender(memory, None);
    let series = |name: &str| (Labels::from_pairs([("__name__", name)]), 0, 1.0);
    let large = |at: usize| series(&format!("{at}{}", "x".repeat(1 << 20)));
    send(&sender, "", &[series("a")]);
    advance(500).await;
    assert!(send(&sender, "", &(0..9).map(large).collect::<Vec<_>>()) > 0);
    let why = text(&sender).expect_err("not all is there");
    assert!(why.contains("no place"), "{why}");
    for _ in 0..400 {
        advance(800).await;
        send(&sender, "", &[series("a")]);
    }
    assert!(
        text(&sender).is_ok(),
        "what was refused would count no more"
    );
}

/// A write of which some series found no place, or beside which the store was full, comes again.
#[tokio::test(start_paused = true)]
async fn a_write_that_comes_again_neither_doubles_nor_loses() {
    let sender = new_sender(SenderMemory::of_limit(0), None);
    let series = |name: &str| (Labels::from_pairs([("__name__", name)]), 0, 1.0);
    let large = |at: usize| series(&format!("{at}{}", "x".repeat(1 << 20)));
    let batch: Vec<_> = (0..9).map(large).chain([series("a")]).collect();
    let refused = send(&sender, "", &batch);
    assert!(refused > 0 && refused < 9);
    for _ in 0..3 {
        assert_eq!(send(&sender, "", &batch), refused, "the same find room");
    }
}

#[tokio::test(start_paused = true)]
async fn series_and_their_labels_are_bounded() {
    let sender = sender().await;
    let number = |number: usize| {
        let labels = Labels::from_pairs([("__name__", "a"), ("n", &number.to_string())]);
        (labels, 0, 1.0)
    };
    let all: Vec<_> = (0..SERIES_MAX + 3).map(number).collect();
    assert_eq!(send(&sender, "", &all), 3);
    let long = "x".repeat(1 << 20);
    let other = new_sender(SenderMemory::of_limit(0), None);
    let number = |number: usize| {
        let labels = Labels::from_pairs([("__name__", long.as_str()), ("n", &number.to_string())]);
        (labels, 0, 1.0)
    };
    let all: Vec<_> = (0..40).map(number).collect();
    assert_eq!(
        send(&other, "", &all),
        40 - 3,
        "of 8 MiB it leaves as much as it holds"
    );
}
