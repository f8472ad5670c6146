//! One request and a receiver that answers by a script.

use std::path::PathBuf;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config;

/// The status for the requests so far and the `Authorization` of this one.
type Answer = fn(usize, &str) -> u16;

/// A receiver; what it was shown as `Authorization`.
async fn listen(answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let shown: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, Arc::clone(&seen)));
        }
    });
    (address, shown)
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        // Its body is empty.
        if !text.ends_with("\r\n\r\n") {
            continue;
        }
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("authorization: "));
        let value = value.unwrap_or("").to_owned();
        let status = answer(seen.lock().len(), &value);
        seen.lock().push(value);
        bytes.clear();
        let head = format!("HTTP/1.1 {status} x\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn delivery(address: &str, more: &str, reach_ms: i64) -> Delivery {
    let text = format!("remote_write: [{{url: 'http://{address}/w'{more}}}]");
    let (config, report) = config::load(&text);
    let config = config.unwrap_or_else(|| panic!("{:?}", report.errors));
    let config = config.remote_writes[0].clone();
    let url = Url::parse(&config.url).expect("valid");
    Delivery::new(Arc::new(Receiver::new(
        (config, url),
        reach_ms,
        Resolver::default(),
        Arc::new(Clock::start()),
        Arc::default(),
    )))
}

const HOUR_MS: i64 = 3_600_000;

fn request(newest_ms: i64) -> Packed {
    Packed {
        protocol: Protocol::V1,
        bytes: Vec::new(),
        counts: outgoing::Counts {
            samples: 1,
            ..outgoing::Counts::default()
        },
        newest_ms,
    }
}

/// Samples sent, failed and too old.
fn counted(delivery: &Delivery) -> [u64; 3] {
    let counts = &delivery.receiver.counts;
    [&counts.sent, &counts.failed, &counts.too_old].map(|kinds| kinds.get()[0])
}

#[tokio::test]
async fn a_request_that_fails_for_ever_is_given_up_when_it_is_too_old() {
    for (more, reach_ms) in [
        (
            ", queue_config: {sample_age_limit: 50ms, min_backoff: 5ms}",
            HOUR_MS,
        ),
        (", queue_config: {min_backoff: 5ms}", 50),
    ] {
        let (address, _) = listen(|_, _| 503).await;
        let mut delivery = delivery(&address, more, reach_ms);
        let now_ms = delivery.receiver.clock.now().ms();
        // Without an end it would hold up every request after it.
        delivery.deliver(&request(now_ms)).await;
        assert_eq!(counted(&delivery), [0, 0, 1], "{more}");
    }
}

#[test]
fn what_has_no_time_is_old_by_how_long_it_was_tried() {
    let delivery = delivery("127.0.0.1:1", "", HOUR_MS);
    let now_ms = delivery.receiver.clock.now().ms();
    let of = |samples, exemplars, metadata| outgoing::Counts {
        samples,
        exemplars,
        metadata,
        ..outgoing::Counts::default()
    };
    for (newest_ms, counts, begun_ms, too_old) in [
        (
            now_ms - HOUR_MS / 2,
            of(1, 0, 0),
            now_ms - 9 * HOUR_MS,
            false,
        ),
        (now_ms - HOUR_MS - 1, of(1, 0, 0), now_ms, true),
        (i64::MIN, of(0, 1, 0), now_ms - HOUR_MS / 2, false),
        (i64::MIN, of(0, 1, 0), now_ms - HOUR_MS - 1, true),
        (i64::MIN, of(0, 0, 1), now_ms - FAMILIES_MS_MAX / 2, false),
        (i64::MIN, of(0, 0, 1), now_ms - FAMILIES_MS_MAX - 1, true),
    ] {
        let request = Packed {
            counts,
            ..request(newest_ms)
        };
        let got = delivery.receiver.is_too_old(&request, begun_ms);
        assert_eq!(got, too_old, "{request:?}");
    }
}

#[test]
fn a_receiver_may_ask_for_a_longer_pause_and_for_no_shorter_one() {
    let s = Duration::from_secs;
    for (backoff, asked, expected) in [
        (s(5), None, s(5)),
        (s(5), Some(s(0)), s(5)),
        (s(5), Some(s(60)), s(60)),
        (s(5), Some(s(86_400)), RETRY_AFTER_MAX),
        (s(600), Some(s(86_400)), s(600)),
    ] {
        assert_eq!(pause(backoff, asked), expected, "{backoff:?}, {asked:?}");
    }
}

struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str) -> TokenFile {
        let name = format!("stillwell-{name}-{}", std::process::id());
        TokenFile(std::env::temp_dir().join(name))
    }

    fn write(&self, token: &str) {
        std::fs::write(&self.0, token).expect("a folder for tests");
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok(); // left to the system's cleaning
    }
}

#[tokio::test]
async fn credentials_that_have_changed_are_read_before_samples_are_dropped() {
    let (address, shown) = listen(|before, authorization| match (before, authorization) {
        (0, "bearer old") | (1.., "bearer new") => 200,
        _ => 401,
    })
    .await;
    let file = TokenFile::new("token");
    file.write("old");
    let more = format!(", bearer_token_file: '{}'", file.0.display());
    let mut delivery = delivery(&address, &more, HOUR_MS);
    let request = request(delivery.receiver.clock.now().ms());
    delivery.deliver(&request).await;
    file.write("new");
    delivery.deliver(&request).await;
    assert_eq!(counted(&delivery), [2, 0, 0], "{:?}", shown.lock());
    assert_eq!(shown.lock().last().map(String::as_str), Some("bearer new"));
}

#[tokio::test]
async fn who_is_never_let_in_is_asked_twice() {
    for (more, tries) in [("", 1), (", authorization: {credentials: x}", 2)] {
        for answer in [(|_, _| 401) as Answer, |_, _| 403] {
            let (address, shown) = listen(answer).await;
            let mut delivery = delivery(&address, more, HOUR_MS);
            let request = request(delivery.receiver.clock.now().ms());
            delivery.deliver(&request).await;
            assert_eq!(counted(&delivery), [0, 1, 0]);
            assert_eq!(shown.lock().len(), tries, "{more}");
        }
    }
}
