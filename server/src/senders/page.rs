//! One sender: when it has a page, and whose samples of several replicas are its.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use stillwell_adapters::time::rfc3339;
use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use tokio::sync::Notify;

use super::before::Sent;
use super::known::{FIRST_SILENCE_MS, Known, Newest, SERIES_MAX};
use super::memory::SenderMemory;
use crate::clock::Clock;
use crate::scrape::{WritesPages, WrittenPage};

/// A sender.
#[derive(Clone)]
pub(super) struct Sender(Arc<Inner>);

struct Inner {
    name: String,
    times: Times,
    /// After so long without a sample a series counts as ended.
    forget_ms: AtomicI64,
    clock: Arc<Clock>,
    known: Mutex<Known>,
    /// A batch was taken.
    news: Notify,
}

/// When a sender has a page, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Its newest sample is no older than this, or there is no page.
    pub(super) age_ms_max: i64,
    /// When this program began to listen without knowing who had sent what before. What begins right after that may have gone on
    /// for long, with series that come less often than every interval.
    pub(super) listens_since_ms: Option<i64>,
}

impl Times {
    /// How long a sender that sends since `since_ms` has to be waited for until every series has come.
    fn first_wait_ms(self, since_ms: i64) -> i64 {
        let interval_ms = self.age_ms_max / 2; // two intervals are the longest silence
        let since_start = |start_ms: i64| since_ms.saturating_sub(start_ms);
        match self.listens_since_ms.map(since_start) {
            Some(ms) if ms < FIRST_SILENCE_MS => interval_ms.max(FIRST_SILENCE_MS),
            _ => interval_ms,
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sender {:?}", self.0.name)
    }
}

impl Sender {
    pub(super) fn new(
        name: &str,
        times: Times,
        clock: Arc<Clock>,
        memory: Arc<SenderMemory>,
    ) -> Sender {
        Sender(Arc::new(Inner {
            name: name.to_owned(),
            times,
            forget_ms: AtomicI64::new(i64::MAX),
            clock,
            known: Mutex::new(Known::new(memory)),
            news: Notify::new(),
        }))
    }

    /// Adds what was known before this program started of the sender that is this target.
    pub(super) fn remember(&self, target: &Labels, sent: Sent) {
        let now_ms = self.0.clock.now().ms();
        self.0.known.lock().remember(target, sent, now_ms);
    }

    /// What a snapshot has to know beside its page: series that are silent.
    pub(super) fn silent(&self) -> Sent {
        let now_ms = self.0.clock.now().ms();
        self.0.known.lock().silent(now_ms, self.0.times.age_ms_max)
    }

    /// When it has last sent something that was new then.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.0.known.lock().newest_ms
    }

    /// Sets after how long without a sample a series counts as ended, in milliseconds.
    pub(super) fn set_forget_ms(&self, ms: i64) {
        self.0.forget_ms.store(ms, Ordering::Relaxed);
    }

    /// Takes what a replica has sent in one batch, all of it before the next page is written. Answers how many of the series
    /// there is no place for.
    pub(super) fn take(&self, replica: &str, batch: Vec<Newest>) -> usize {
        let now_ms = self.0.clock.now().ms();
        let Some(newest_ms) = batch.iter().map(|one| one.at_ms.min(now_ms)).max() else {
            return 0;
        };
        let age_ms_max = self.0.times.age_ms_max;
        let mut known = self.0.known.lock();
        if !known.takes(replica, newest_ms, age_ms_max) {
            return 0; // another one's are taken
        }
        let silent = known
            .newest_ms
            .is_none_or(|before_ms| now_ms.saturating_sub(before_ms) > age_ms_max);
        if silent {
            known.since_ms = now_ms;
        }
        known.newest_ms = known.newest_ms.max(Some(newest_ms));
        known.came_ms = Some(now_ms);
        let refused = batch.into_iter().map(|one| !known.take(one, now_ms));
        let refused = refused.filter(|refused| *refused).count();
        self.0.news.notify_one();
        refused
    }

    /// The page as of now. Error: it has sent nothing for too long, or not all may have come.
    fn written(&self) -> Result<WrittenPage, String> {
        let Inner { name, times, .. } = &*self.0;
        let (now_ms, age_ms_max) = (self.0.clock.now().ms(), times.age_ms_max);
        let forget_ms = self.0.forget_ms.load(Ordering::Relaxed);
        let mut known = self.0.known.lock();
        let Some(newest_ms) = known.newest_ms else {
            return Err(format!("sender {name:?} has sent nothing yet"));
        };
        if now_ms.saturating_sub(newest_ms) > age_ms_max {
            let comes = |came_ms: i64| now_ms.saturating_sub(came_ms) <= age_ms_max;
            if known.came_ms.is_some_and(comes) {
                return Err(format!(
                    "what sender {name:?} sends is older than {age_ms_max} ms when it comes: its clock is behind, or it sends late"
                ));
            }
            let since = rfc3339(Timestamp::from_ms(newest_ms));
            return Err(format!("sender {name:?} has sent nothing since {since}"));
        }
        let sends_ms = now_ms.saturating_sub(known.since_ms);
        let wait_ms = times.first_wait_ms(known.since_ms);
        if sends_ms < age_ms_max / 2 || (sends_ms < wait_ms && !known.sends_signals()) {
            let since = rfc3339(Timestamp::from_ms(known.since_ms));
            return Err(format!(
                "sender {name:?} sends since {since}; after {wait_ms} ms every series has come"
            ));
        }
        if known.is_incomplete(now_ms, forget_ms) {
            return Err(format!(
                "sender {name:?} sends series for which there is no place: more than {SERIES_MAX}, or more than all senders may \
                 hold together"
            ));
        }
        known.forget(now_ms, newest_ms, forget_ms);
        let (text, not_known) = known.page(name, now_ms, age_ms_max);
        Ok(WrittenPage {
            body: text.into_bytes(),
            not_known,
        })
    }
}

impl WritesPages for Sender {
    /// Written on a thread that may block: a hundred thousand series take some tens of milliseconds.
    fn page(&self) -> Pin<Box<dyn Future<Output = Result<WrittenPage, String>> + Send + '_>> {
        let sender = self.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || sender.written()).await;
            written.map_err(|_| "writing its page failed".to_owned())?
        })
    }

    fn news(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.news.notified())
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels;
    use stillwell_engine::promql::select::STALE_NAN_BITS;
    use stillwell_engine::with_labels_of;

    use super::super::unknown::{STATE, VALUE};
    use super::*;

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
        let labels =
            labels! { "__name__" => VALUE, "cluster" => "c", "pool" => pool, "signal" => "q" };
        (labels, 0, value)
    }

    /// What the page says of the numbers of the signal.
    fn numbers(sender: &Sender) -> Vec<String> {
        let text = text(sender).expect("a page");
        let numbers = text.lines().filter(|line| line.starts_with(VALUE));
        let shown =
            numbers.map(|line| line.trim_start_matches(VALUE).replace("cluster=\"c\",", ""));
        shown.collect()
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

    /// A collector whose source had died sent the others, and its last number was told as new for five minutes.
    #[tokio::test(start_paused = true)]
    async fn a_series_that_is_no_longer_sent_is_not_measured() {
        let sender = sender().await;
        let [often, slow, once] =
            ["often", "slow", "once"].map(|name| labels! { "__name__" => name });
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
            let labels =
                Labels::from_pairs([("__name__", long.as_str()), ("n", &number.to_string())]);
            (labels, 0, 1.0)
        };
        let all: Vec<_> = (0..40).map(number).collect();
        assert_eq!(
            send(&other, "", &all),
            40 - 3,
            "of 8 MiB it leaves as much as it holds"
        );
    }
}
