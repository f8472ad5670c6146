//! When a sender has a page, and of which replica.

mod bounds;
mod signals;
mod silent_series;

use stillwell_engine::labels;
use stillwell_engine::promql::select::STALE_NAN_BITS;

use super::*;
use crate::senders::unknown::{STATE, VALUE};

fn new_sender(memory: Arc<SenderMemory>, listens_since_ms: Option<i64>) -> Sender {
    let times = Times {
        age_ms_max: 1_000,
        listens_since_ms,
    };
    let sender = Sender::new("0", times, Arc::new(Clock::start()), memory);
    sender.set_forget_ms(300_000);
    sender
}

/// The lines of its page. Error: why there is none.
fn text(sender: &Sender) -> Result<String, String> {
    let page = sender.written()?;
    Ok(String::from_utf8(page.body).expect("text"))
}

/// Why which series are not known, of those that are not.
fn not_known(sender: &Sender) -> Vec<String> {
    let page = sender.written().expect("a page");
    page.not_known.reasons().map(str::to_owned).collect()
}

/// One that sends every half second, and for long enough to have a page.
async fn sender() -> Sender {
    let sender = new_sender(SenderMemory::of_limit(1 << 40), None);
    send(&sender, "", &[(labels! { "__name__" => "first" }, 0, 0.0)]);
    let stale = f64::from_bits(STALE_NAN_BITS);
    advance(500).await;
    send(
        &sender,
        "",
        &[(labels! { "__name__" => "first" }, 0, stale)],
    );
    sender
}

async fn advance(ms: u64) {
    tokio::time::advance(std::time::Duration::from_millis(ms)).await;
}

/// Sends samples that are so many milliseconds old; how many are refused.
fn send(sender: &Sender, replica: &str, samples: &[(Labels, i64, f64)]) -> usize {
    let now = sender.0.clock.now();
    let newest = samples.iter().map(|(labels, age_ms, value)| Newest {
        labels: labels.clone(),
        at_ms: now.minus_ms(*age_ms).ms(),
        value: *value,
    });
    sender.take(replica, newest.collect())
}

fn state(name: &'static str, is: bool) -> (Labels, i64, f64) {
    let labels =
        labels! { "__name__" => STATE, "cluster" => "c", "signal" => "q", "state" => name };
    (labels, 0, f64::from(u8::from(is)))
}

fn value(pool: &'static str, value: f64) -> (Labels, i64, f64) {
    let labels = labels! { "__name__" => VALUE, "cluster" => "c", "pool" => pool, "signal" => "q" };
    (labels, 0, value)
}

#[tokio::test(start_paused = true)]
async fn there_is_no_page_before_something_came_and_an_interval_later() {
    let sender = new_sender(SenderMemory::of_limit(1 << 40), None);
    let why = |sender: &Sender| text(sender).expect_err("no page");
    assert!(why(&sender).contains("nothing yet"));
    let a = labels! { "__name__" => "a" };
    send(&sender, "", &[(a.clone(), 0, 1.0)]);
    assert!(why(&sender).contains("every series has come"));
    advance(500).await;
    assert_eq!(text(&sender).as_deref(), Ok("a{} 1\n"));
    advance(502).await;
    assert!(why(&sender).contains("nothing since"));
    send(&sender, "", &[(a.clone(), 1_002, 3.0)]);
    assert!(text(&sender).is_err(), "old samples are no sign of life");
    send(&sender, "", &[(a, 0, 3.0)]);
    assert!(
        why(&sender).contains("every series has come"),
        "a new beginning"
    );
}

/// A sender whose clock was 3 s behind had sent nothing yet, as it was said, though it sent every second.
#[tokio::test(start_paused = true)]
async fn what_comes_late_is_told_from_what_does_not_come() {
    let sender = new_sender(SenderMemory::of_limit(1 << 40), None);
    let why = |sender: &Sender| text(sender).expect_err("no page");
    assert!(why(&sender).contains("sent nothing yet"));
    let mut whys = Vec::new();
    for _ in 0..5 {
        advance(500).await;
        send(&sender, "", &[(labels! { "__name__" => "a" }, 3_000, 1.0)]);
        whys.push(why(&sender));
    }
    assert!(whys[0].contains("its clock is behind"), "{}", whys[0]);
    whys.dedup();
    assert_eq!(whys.len(), 1, "a reason stays while its state does");
    advance(5_000).await;
    assert!(why(&sender).contains("sent nothing since"));
}

#[tokio::test(start_paused = true)]
async fn a_page_has_the_newest_samples() {
    let sender = sender().await;
    let a = labels! { "__name__" => "a", "x.y" => "q\"" };
    let b = labels! { "__name__" => "b.c" };
    send(&sender, "", &[(a.clone(), 0, 2.0)]);
    send(&sender, "", &[(a.clone(), 9, 7.0)]);
    send(&sender, "", &[(b.clone(), 0, f64::INFINITY)]);
    assert_eq!(
        text(&sender).as_deref(),
        Ok("a{\"x.y\"=\"q\\\"\"} 2\n{\"b.c\"} +Inf\n"),
        "what comes late is passed over"
    );
    send(&sender, "", &[(b, 0, f64::from_bits(STALE_NAN_BITS))]);
    assert_eq!(text(&sender).as_deref(), Ok("a{\"x.y\"=\"q\\\"\"} 2\n"));
}

/// One sample of a clock that was ahead was told for as long as it was ahead, whatever came after it.
#[tokio::test(start_paused = true)]
async fn times_that_lie_make_nothing_new_and_nothing_silent() {
    let sender = sender().await;
    let a = labels! { "__name__" => "a" };
    send(&sender, "", &[(a.clone(), -600_000, 9.0)]);
    advance(1).await;
    send(&sender, "", &[(a.clone(), 0, 1.0)]);
    assert_eq!(text(&sender).as_deref(), Ok("a{} 1\n"));
    for at_ms in [i64::MIN, 0] {
        let newest = Newest {
            labels: labels! { "__name__" => "old" },
            at_ms,
            value: 5.0,
        };
        sender.take("other", vec![newest]);
        send(&sender, "", &[(a.clone(), 0, 2.0)]);
        assert_eq!(text(&sender).as_deref(), Ok("a{} 2\n"), "{at_ms}");
    }
}

/// Of one that sends every half second the series that came every five were missing from the first pages after our start.
#[tokio::test(start_paused = true)]
async fn who_sends_right_after_our_start_may_have_sent_before() {
    let start_ms = Clock::start().now().ms();
    let sender = new_sender(SenderMemory::of_limit(1 << 40), Some(start_ms));
    let [often, slow] = ["often", "slow"].map(|name| labels! { "__name__" => name });
    let mut had_page = Vec::new();
    for at in 0..40 {
        let mut samples = vec![(often.clone(), 0, 5.0)];
        samples.extend((at % 10 == 9).then(|| (slow.clone(), 0, 30.0)));
        send(&sender, "", &samples);
        had_page.push(text(&sender).is_ok());
        advance(500).await;
    }
    assert_eq!(had_page.iter().position(|had| *had), Some(30));
    // A server like this one sends its signals together.
    let shard = new_sender(SenderMemory::of_limit(1 << 40), Some(start_ms));
    send(&shard, "", &[state("unknown", false), value("a", 4.0)]);
    advance(500).await;
    send(&shard, "", &[state("unknown", false), value("a", 4.0)]);
    assert!(text(&shard).is_ok());
    // After a pause, and of one that begins later, an interval is enough.
    advance(60_000).await;
    send(&sender, "", &[(often.clone(), 0, 5.0)]);
    advance(500).await;
    assert!(text(&sender).is_ok());
}

#[tokio::test(start_paused = true)]
async fn of_replicas_one_is_taken_until_it_is_silent() {
    let sender = new_sender(SenderMemory::of_limit(1 << 40), None);
    let a = labels! { "__name__" => "a" };
    let ended = labels! { "__name__" => "ended" };
    send(&sender, "x", &[(ended, 0, 1.0)]);
    for (after_ms, replica, value, shown) in [
        (500, "x", 1.0, Some("a{} 1\nended{} 1\n")),
        (100, "y", 2.0, Some("a{} 1\nended{} 1\n")),
        (300, "x", 3.0, Some("a{} 3\nended{} 1\n")),
        (900, "y", 4.0, Some("a{} 3\nended{} 1\n")),
        (200, "y", 5.0, None),
        (500, "y", 6.0, Some("a{} 6\nended{} 1\n")),
        (100, "x", 7.0, Some("a{} 6\nended{} 1\n")),
        (400, "y", 8.0, Some("a{} 8\n")),
    ] {
        advance(after_ms).await;
        send(&sender, replica, &[(a.clone(), 0, value)]);
        assert_eq!(text(&sender).ok().as_deref(), shown, "{replica} {value}");
    }
    assert!(not_known(&sender)[0].contains("has not sent ended since"));
}
