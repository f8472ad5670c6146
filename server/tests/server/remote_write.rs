//! Sending samples on: whatever a receiver does, what it has in the end is what is stored, once and in order; and the cases of
//! the specifications that are about senders.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stillwell::serve::Running;
use stillwell_adapters::host::Host;
use stillwell_adapters::remote_write::Protocol;
use stillwell_engine::labels::{Labels, MatchOp, Matcher};
use stillwell_engine::promql::select::{Samples, SelectRequest, View};

use crate::common::write_receiver::{Answer, Taken, WriteReceiver};
use crate::common::{TestTarget, eventually, get, server, server_with, settings};

const QUICK: &str = "batch_send_deadline: 40ms, min_backoff: 5ms, max_backoff: 20ms";

/// A configuration of one target and one receiver.
fn config(target: &TestTarget, receiver: &WriteReceiver, more: &str) -> String {
    format!(
        "global: {{scrape_interval: 20ms, external_labels: {{region: r}}}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n\
         remote_write:\n- url: 'http://{}/w'\n  {more}\n",
        target.address, receiver.address
    )
}

async fn page(number: usize) -> String {
    format!("# TYPE q gauge\nq{{l=\"x\"}} {number}\nsteady 1\n")
}

/// Everything that is stored, with the server's labels.
fn stored(running: &Running) -> Taken {
    let matchers = [Matcher::new(MatchOp::NotEqual, "__name__", "").expect("no pattern")];
    let request = SelectRequest::all(&matchers, i64::MIN, i64::MAX);
    let selection = running
        .app
        .reader()
        .plain()
        .select(&request)
        .expect("answers");
    let mut samples = Samples::default();
    let series = (0..selection.len()).map(|index| {
        selection.read(index, &mut samples);
        let values = samples.values.iter().map(|value| value.to_bits());
        let list = samples.times_ms.iter().copied().zip(values).collect();
        let mut labels = selection.labels(index).to_builder();
        labels.set("region", "r");
        (labels.build(), list)
    });
    series.collect()
}

/// Each series that arrived is the beginning of what is stored.
fn check(taken: &Taken, stored: &Taken) {
    for (labels, samples) in taken {
        let all = stored
            .get(labels)
            .unwrap_or_else(|| panic!("{labels} is not stored"));
        let have = &all[..samples.len().min(all.len())];
        assert_eq!(samples, have, "{labels}");
    }
}

/// Scrapes pages that change, until so many samples of `q` have arrived.
async fn until_taken(target: &TestTarget, receiver: &WriteReceiver, count: usize) {
    let mut number = 0;
    eventually("samples arrive", || {
        number += 1;
        async move {
            target.set_page(&page(number).await);
            receiver.count("q") >= count
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_receiver_does_it_gets_every_sample_once_and_in_order() {
    let failures = [
        Answer::Status(500, ""),
        Answer::Take,
        Answer::Status(429, "Retry-After: 0\r\n"),
        Answer::Close,
        Answer::Hang,
        Answer::TakeLate(Duration::from_millis(100)),
        Answer::Status(503, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
        Answer::Close,
        Answer::Take,
        Answer::Status(502, ""),
        Answer::Take,
    ];
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        let target = TestTarget::with_page(&page(0).await).await;
        let receiver = WriteReceiver::start(&failures).await;
        let more = format!(
            "remote_timeout: 300ms\n  protobuf_message: {message}\n  queue_config: {{{QUICK}, min_shards: 2, max_samples_per_send: 7}}"
        );
        let running = server(&config(&target, &receiver, &more)).await;
        until_taken(&target, &receiver, 60).await;
        check(&receiver.taken(), &stored(&running));
        assert_eq!(receiver.refused(), 7, "each failure was met");
        let (_, _, metrics) = get(running.addresses[0], "/metrics").await;
        let lost = "stillwell_remote_write_samples_failed_total{remote_name=";
        let lost = metrics.lines().find(|line| line.starts_with(lost));
        assert!(lost.is_some_and(|line| line.ends_with(" 0")), "{lost:?}");
        running.stop().await;
        let (taken, at_the_end) = (receiver.taken(), receiver.count("q"));
        assert!(at_the_end >= 60);
        let up = taken
            .keys()
            .find(|labels| labels.metric_name() == Some("up"));
        assert!(
            up.is_some(),
            "series about scrapes are sent: {:?}",
            taken.keys()
        );
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn start_in(folder: &Path, text: &str) -> Running {
    let mut settings = settings(None);
    settings.storage_path = Some(folder.to_owned());
    server_with(text, settings, Default::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_before_a_restart_is_sent_after_it() {
    let folder = std::env::temp_dir().join(format!("stillwell-write-{}", std::process::id()));
    let folder = Folder(folder);
    let target = TestTarget::with_page(&page(0).await).await;
    let receiver = WriteReceiver::start(&[Answer::Take]).await;
    let text = config(&target, &receiver, &format!("queue_config: {{{QUICK}}}"));
    let running = start_in(&folder.0, &text).await;
    until_taken(&target, &receiver, 10).await;
    receiver.answer(Answer::Status(500, ""));
    let refused = receiver.refused();
    eventually("it is refused", || async {
        receiver.refused() > refused + 2
    })
    .await;
    let before = running.app.now();
    eventually("more is scraped", || async {
        let states = running.app.scraper().states();
        states.iter().all(|state| state.counts().scrapes > 40)
    })
    .await;
    running.stop().await;
    receiver.answer(Answer::Take);
    let running = start_in(&folder.0, &text).await;
    let arrived = receiver.count("q");
    until_taken(&target, &receiver, arrived + 40).await;
    let taken = receiver.taken();
    check(&taken, &stored(&running));
    let of_q = taken
        .iter()
        .find(|(labels, _)| labels.metric_name() == Some("q"));
    let (_, samples) = of_q.expect("it arrived");
    let during = |(at, _): &&(i64, u64)| *at <= before.ms();
    assert!(samples.iter().filter(during).count() >= 10, "{samples:?}");
    running.stop().await;
}

/// While a request is tried again and again, nothing but the clock goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pending_is_told_while_a_receiver_fails() {
    let target = TestTarget::with_page(&page(0).await).await;
    let receiver = WriteReceiver::start(&[Answer::Status(500, "")]).await;
    let more = format!("queue_config: {{{QUICK}}}");
    let running = server(&config(&target, &receiver, &more)).await;
    let address = running.addresses[0];
    let told = |name: &'static str| async move {
        let (_, _, metrics) = get(address, "/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit_once(' '));
        value.map_or(0.0, |(_, value)| value.parse().expect("a number"))
    };
    eventually("it is refused", || async { receiver.refused() > 2 }).await;
    let newest_s = told("stillwell_remote_write_highest_timestamp_seconds{").await;
    eventually("what waits is counted", || async {
        told("stillwell_remote_write_pending_scrapes{").await >= 60.0
    })
    .await;
    let later_s = told("stillwell_remote_write_highest_timestamp_seconds{").await;
    assert!(later_s > newest_s, "{newest_s} {later_s}");
    receiver.answer(Answer::Take);
    until_taken(&target, &receiver, 60).await;
    check(&receiver.taken(), &stored(&running));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_refuses_is_not_sent_again() {
    for (answer, more) in [
        (Answer::Status(400, ""), ""),
        (Answer::Status(404, ""), ""),
        (Answer::Status(413, ""), ""),
        (Answer::Status(301, "Location: /other\r\n"), ""),
        (
            Answer::Status(429, "Retry-After: 1\r\n"),
            ", retry_on_http_429: false",
        ),
    ] {
        let target = TestTarget::with_page(&page(0).await).await;
        let receiver = WriteReceiver::start(&[answer.clone(), Answer::Take]).await;
        let more = format!("metadata_config: {{send: false}}\n  queue_config: {{{QUICK}{more}}}");
        let running = server(&config(&target, &receiver, &more)).await;
        until_taken(&target, &receiver, 5).await;
        assert_eq!(receiver.refused(), 1, "{answer:?}");
        let taken = receiver.taken();
        let all = stored(&running);
        let (labels, samples) = taken
            .iter()
            .find(|(labels, _)| labels.metric_name() == Some("q"))
            .expect("it came");
        assert_ne!(
            samples[0], all[labels][0],
            "{answer:?}: the first request is gone"
        );
        let (_, _, metrics) = get(running.addresses[0], "/metrics").await;
        let failed = metrics
            .lines()
            .find(|line| line.starts_with("stillwell_remote_write_samples_failed_total{"));
        assert!(
            failed.is_some_and(|line| !line.ends_with(" 0")),
            "{answer:?}: {failed:?}"
        );
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_those_of_the_specifications() {
    let target = TestTarget::with_page(&page(0).await).await;
    let agent = concat!("user-agent: stillwell/", env!("CARGO_PKG_VERSION"));
    let common = [
        "post /w http/1.1",
        "content-encoding: snappy",
        agent,
        "x-scope-orgid: t",
        "authorization: basic dtpw",
    ];
    for (message, own) in [
        (
            "prometheus.WriteRequest",
            [
                "content-type: application/x-protobuf",
                "x-prometheus-remote-write-version: 0.1.0",
            ],
        ),
        (
            "io.prometheus.write.v2.Request",
            [
                "content-type: application/x-protobuf;proto=io.prometheus.write.v2.request",
                "x-prometheus-remote-write-version: 2.0.0",
            ],
        ),
    ] {
        let receiver = WriteReceiver::start(&[Answer::Take]).await;
        let more = format!(
            "headers: {{X-Scope-OrgID: t}}\n  basic_auth: {{username: u, password: p}}\n  protobuf_message: {message}\n  queue_config: {{{QUICK}}}"
        );
        let running = server(&config(&target, &receiver, &more)).await;
        until_taken(&target, &receiver, 3).await;
        let heads = receiver.heads();
        let lines: Vec<&str> = heads[0].lines().collect();
        for line in common.iter().chain(&own) {
            assert!(lines.contains(line), "{message}: no {line} in {lines:?}");
        }
        running.stop().await;
    }
}

/// A receiver of 1.0 answers 415 to 2.0, or reads nothing in it and says that all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_know_2_0_is_sent_1_0_and_loses_nothing() {
    for answer in [Answer::Status(415, ""), Answer::Status(200, "")] {
        let target = TestTarget::with_page(&page(0).await).await;
        let receiver = WriteReceiver::start(&[answer.clone(), Answer::Take]).await;
        let more = format!(
            "protobuf_message: io.prometheus.write.v2.Request\n  queue_config: {{{QUICK}}}"
        );
        let running = server(&config(&target, &receiver, &more)).await;
        until_taken(&target, &receiver, 20).await;
        assert!(
            receiver
                .bodies()
                .iter()
                .all(|(protocol, _)| *protocol == Protocol::V1)
        );
        check(&receiver.taken(), &stored(&running));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_that_keeps_the_request_is_followed() {
    let target = TestTarget::with_page(&page(0).await).await;
    let redirect = Answer::Status(307, "Location: /elsewhere\r\n");
    let receiver = WriteReceiver::start(&[redirect, Answer::Take]).await;
    let running = server(&config(
        &target,
        &receiver,
        &format!("queue_config: {{{QUICK}}}"),
    ))
    .await;
    until_taken(&target, &receiver, 5).await;
    assert!(
        receiver.heads()[1].starts_with("post /elsewhere "),
        "{:?}",
        receiver.heads()[1]
    );
    check(&receiver.taken(), &stored(&running));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_are_relabelled_and_thinned_out() {
    let target = TestTarget::with_page(&page(0).await).await;
    let receiver = WriteReceiver::start(&[Answer::Take]).await;
    let more = format!(
        "write_interval: 200ms\n  write_extremes: [max]\n  write_relabel_configs:\n  - {{source_labels: [__name__], regex: 'q(:max)?', action: keep}}\n  - {{target_label: to, replacement: far}}\n  queue_config: {{{QUICK}}}"
    );
    let running = server(&config(&target, &receiver, &more)).await;
    until_taken(&target, &receiver, 5).await;
    let taken = receiver.taken();
    let names: Vec<Option<&str>> = taken.keys().map(Labels::metric_name).collect();
    assert_eq!(names, [Some("q"), Some("q:max")], "{taken:?}");
    for (labels, samples) in &taken {
        assert_eq!(labels.get("to"), Some("far"));
        let intervals: Vec<i64> = samples.iter().map(|(at, _)| at / 200).collect();
        assert!(
            intervals.windows(2).all(|pair| pair[0] < pair[1]),
            "{labels}: {samples:?}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_are_sent_as_series_and_metadata_beside() {
    let target = TestTarget::with_page(&page(0).await).await;
    let receiver = WriteReceiver::start(&[Answer::Take]).await;
    let text = config(&target, &receiver, &format!("queue_config: {{{QUICK}}}"))
        + "signals: [{name: depth, expr: q}, {name: none, expr: not_there}]\n";
    let running = server(&text).await;
    eventually("states arrive", || async {
        receiver.count("stillwell_signal_state") >= 8
    })
    .await;
    let taken = receiver.taken();
    let find = |name: &str, label: (&str, &str)| {
        let found = taken.iter().find(|(labels, _)| {
            labels.metric_name() == Some(name)
                && labels.get("signal") == Some("depth")
                && labels.get(label.0) == Some(label.1)
        });
        found.map(|(_, samples)| f64::from_bits(samples[0].1))
    };
    assert_eq!(
        find("stillwell_signal_state", ("state", "value")),
        Some(1.0)
    );
    assert_eq!(find("stillwell_signal_value", ("l", "x")), Some(0.0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_where_samples_go_and_loses_none() {
    let target = TestTarget::with_page(&page(0).await).await;
    let (first, second) = (
        WriteReceiver::start(&[Answer::Take]).await,
        WriteReceiver::start(&[Answer::Take]).await,
    );
    let files = crate::common::certificates::Files::new("write-reload");
    let with = |receiver| {
        config(
            &target,
            receiver,
            &format!("name: n\n  queue_config: {{{QUICK}}}"),
        )
    };
    let path = files.write("config.yml", &with(&first));
    let running = server_with(&with(&first), settings(Some(path)), Default::default()).await;
    until_taken(&target, &first, 5).await;
    files.write("config.yml", &with(&second));
    running.app.reload().await.expect("a good configuration");
    until_taken(&target, &second, 5).await;
    let mut both = first.taken();
    for (labels, samples) in second.taken() {
        both.entry(labels).or_default().extend(samples);
    }
    check(&both, &stored(&running));
    running.stop().await;
}
