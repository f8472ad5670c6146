//! Series that are no longer sent while their sender goes on.

use stillwell_engine::with_labels_of;

use super::*;

/// A collector whose source had died sent the others, and its last number was told as new for five minutes.
#[tokio::test(start_paused = true)]
async fn a_series_that_is_no_longer_sent_is_not_measured() {
    let sender = sender().await;
    let [often, slow, once] = ["often", "slow", "once"].map(|name| labels! { "__name__" => name });
    let text = |sender: &Sender| text(sender).expect("a page");
    send(&sender, "", &[(once, 0, 1.0)]);
    for at in 0..9 {
        let mut samples = vec![
            (labels! { "__name__" => "goes_on" }, 0, 1.0),
            (often.clone(), 0, 30.0),
        ];
        if at % 4 == 0 {
            samples.push((slow.clone(), 0, 7.0)); // its own interval is two seconds
        }
        send(&sender, "", &samples);
        assert!(
            text(&sender).contains("often{} 30\nonce{} 1\nslow{} 7\n"),
            "{at}"
        );
        advance(500).await;
    }
    for (at, shown, silent) in [
        (0, "often{} 30\nonce{} 1\nslow{} 7\n", &[][..]),
        (3, "once{} 1\nslow{} 7\n", &["often"]),
        (9, "once{} 1\n", &["often", "slow"]),
        (30, "", &["often", "once", "slow"]),
        (700, "", &[]),
    ] {
        for _ in 0..at {
            send(
                &sender,
                "",
                &[(labels! { "__name__" => "goes_on" }, 0, 1.0)],
            );
            advance(500).await;
        }
        send(
            &sender,
            "",
            &[(labels! { "__name__" => "goes_on" }, 0, 1.0)],
        );
        assert_eq!(text(&sender), format!("goes_on{{}} 1\n{shown}"), "{at}");
        let reasons = not_known(&sender);
        assert_eq!(reasons.len(), silent.len(), "{at}: {reasons:?}");
        for (reason, metric) in reasons.iter().zip(silent) {
            let said = format!("sender \"0\" has not sent {metric} since 20");
            assert!(reason.starts_with(&said), "{reason}");
        }
    }
    send(&sender, "", &[(often, 0, 8.0)]);
    assert!(text(&sender).contains("often{} 8\n"));
}

/// After a restart of ours a series that had died a second before was forgotten, and 5 was told of 35.
#[tokio::test(start_paused = true)]
async fn what_was_there_before_our_start_is_not_known_until_it_comes_ends_or_is_forgotten() {
    let target = labels! { "instance" => "0", "job" => "shards" };
    let of = |instance: &'static str| labels! { "__name__" => "q", "instance" => instance };
    let [goes_on, silent, ended, late] = ["a", "b", "c", "d"].map(of);
    let start = |memory: u64, sent: &[&Labels]| {
        let sender = new_sender(SenderMemory::of_limit(memory), None);
        let now_ms = sender.0.clock.now().ms();
        let of_page = sent.iter().map(|labels| ((*labels).clone(), now_ms));
        sender.remember(&target, of_page.collect());
        sender
    };
    let names = |sender: &Sender| {
        let reasons = not_known(sender);
        let found = reasons
            .iter()
            .filter_map(|one| one.split("instance=\"").nth(1));
        let names: Vec<String> = found.map(|rest| rest[..1].to_owned()).collect();
        names.concat()
    };
    let all = [&goes_on, &silent, &ended, &late];
    let sender = start(1 << 40, &all);
    let stale = f64::from_bits(STALE_NAN_BITS);
    let sends = async |sender: &Sender, more: &[(Labels, i64, f64)]| {
        advance(500).await;
        send(
            sender,
            "",
            &[&[(goes_on.clone(), 0, 5.0)][..], more].concat(),
        );
    };
    sends(&sender, &[(late.clone(), 600, 7.0)]).await;
    sends(&sender, &[]).await;
    assert_eq!(
        (text(&sender), &*names(&sender)),
        (Ok("q{instance=\"a\"} 5\n".to_owned()), "bcd")
    );
    // Another restart knows it as well, and what has come since does not count as silent.
    let of_silent = sender.silent().into_iter().map(|(labels, _)| labels);
    let merged = |labels: &Labels| with_labels_of(&target, labels);
    assert!(of_silent.eq([&silent, &ended, &late].map(merged)));
    sends(&sender, &[(ended.clone(), 900, stale)]).await;
    assert_eq!(names(&sender), "bd");
    sends(&sender, &[(late.clone(), 0, 7.0)]).await;
    assert_eq!(
        (
            text(&sender).map(|text| text.lines().count()),
            &*names(&sender)
        ),
        (Ok(2), "b")
    );
    for _ in 0..610 {
        sends(&sender, &[(late.clone(), 0, 7.0)]).await;
    }
    assert_eq!(names(&sender), "", "it counts as ended");
    // Where there is no place for it, there is no page.
    let long = "x".repeat(9 << 20);
    let large = Labels::from_pairs([("__name__", &*long)]);
    let full = start(0, &[&large]);
    sends(&full, &[]).await;
    sends(&full, &[]).await;
    assert!(
        text(&full)
            .expect_err("not all is known")
            .contains("no place")
    );
}

/// A pause of the sender was taken for the interval of each of its series, and a sample that came twice for a short one.
#[tokio::test(start_paused = true)]
async fn the_interval_of_a_series_is_that_in_which_its_sender_is_there() {
    let sender = sender().await;
    let [a, b] = ["a", "b"].map(|name| labels! { "__name__" => name });
    let shown = |sender: &Sender| text(sender).expect("a page").contains("b{} 7\n");
    let mut number = 0.0;
    let mut step = async |sends_b: bool, ms: u64| {
        number += 1.0;
        let mut samples = vec![(a.clone(), 0, number)];
        if sends_b {
            samples.push((b.clone(), 0, 7.0));
        }
        send(&sender, "", &samples);
        send(&sender, "", &samples); // a retry
        advance(ms).await;
    };
    for _ in 0..40 {
        step(true, 500).await;
    }
    advance(60_000).await; // the sender is away
    step(true, 500).await;
    step(true, 500).await;
    for at in 0..6 {
        step(false, 500).await;
        assert_eq!(shown(&sender), at < 2, "{at}");
    }
    // One that comes every five seconds, in bursts, is there in between.
    for _ in 0..4 {
        for _ in 0..4 {
            step(true, 200).await;
        }
        for _ in 0..10 {
            step(false, 500).await;
        }
    }
    for _ in 0..4 {
        step(true, 200).await;
    }
    for at in 0..10 {
        step(false, 500).await;
        assert!(shown(&sender), "{at}");
    }
}
