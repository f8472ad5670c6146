//! Scraping end to end: sockets, scheduler, engine, APIs. Bad targets cost their own scrapes and nothing else.

use std::io::Write;

use crate::common::{Act, TestTarget, eventually, get, ok, server, state, until, value};
use stillwell_adapters::host::Health;

fn config(interval: &str, targets: &[&TestTarget]) -> String {
    let list: Vec<String> = targets
        .iter()
        .map(|target| format!("'{}'", target.address))
        .collect();
    format!(
        "global: {{scrape_interval: {interval}, body_size_limit: 1MB}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: [{}]}}]\n",
        list.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_breaks_fails_whole_and_the_next_good_page_recovers() {
    let target = TestTarget::with_page("a 1\nb 2\n").await;
    let running = server(&config("20ms", &[&target])).await;
    let (app, address) = (&running.app, running.addresses[0]);
    until(app, "a good scrape", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    assert_eq!(
        (
            value(address, "a + ignoring(x) b").await,
            value(address, "up").await
        ),
        (Some(3.0), Some(1.0))
    );

    target.set_page("a 5\nb 6\nc{ 7\n");
    until(app, "a failed scrape", |app| {
        state(app, &target).health() == Health::Down
    })
    .await;
    assert_eq!(
        (value(address, "a").await, value(address, "b").await),
        (None, None),
        "stale, not 5"
    );
    assert_eq!(value(address, "up").await, Some(0.0));
    let (_, _, targets) = get(address, "/api/v1/targets").await;
    assert!(
        targets.contains("\"health\":\"down\"") && targets.contains("line 3"),
        "{targets}"
    );

    target.set_page("a 7\n");
    until(app, "a good scrape again", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    assert_eq!(
        (value(address, "a").await, value(address, "b").await),
        (Some(7.0), None)
    );
    assert_eq!(value(address, "up").await, Some(1.0));
    assert_eq!(value(address, "scrape_samples_scraped").await, Some(1.0));
    running.stop().await;
}

/// A first page of a million lines took four seconds on the thread that scrapes everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_takes_long_to_read_keeps_no_other_target_waiting() {
    let (small, large) = (
        TestTarget::with_page("a 1\n").await,
        TestTarget::with_page("a 1\n").await,
    );
    let text = config("20ms", &[&small, &large]).replace("1MB", "10MB");
    let running = server(&text).await;
    let (app, address) = (&running.app, running.addresses[0]);
    // Nobody reads a page that takes long while the test has the turn.
    let shared = std::sync::Arc::clone(app.scraper().shared());
    let turn = shared
        .slow_pages
        .acquire()
        .await
        .expect("it is never closed");
    let mut page = String::new();
    for line in 0..9_000 {
        page += &format!("large{{n=\"{line:0500}\"}} 1\n");
    }
    large.set_page(&page);
    let requests = large.requests();
    eventually("the large page to be fetched", || async {
        large.requests() > requests
    })
    .await;
    let scrapes = || state(app, &small).counts().scrapes;
    let before = scrapes();
    until(app, "further scrapes of the small page", |_| {
        scrapes() > before + 5
    })
    .await;
    assert_eq!(value(address, "count(large)").await, None);
    drop(turn);
    eventually("the large page", || async {
        value(address, "count(large)").await == Some(9_000.0)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_target_harms_another() {
    let zeros = vec![0; 20 << 20];
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&zeros).expect("memory takes it");
    let bomb = bomb.finish().expect("memory takes it");
    let mut bombing = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    bombing.extend(bomb);
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 3 << 20]].concat();
    let bad = [
        (Act::Hang, "context deadline exceeded"),
        (
            Act::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf".to_vec()),
            "context deadline exceeded",
        ),
        (Act::SayAndClose(endless), "body size limit exceeded"),
        (
            Act::SayAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf".to_vec()),
            "ended after 4 of 1000 bytes",
        ),
        (
            Act::Say(
                b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            "10 redirects",
        ),
        (Act::Say(bombing), "inflated page is larger"),
        (Act::Reset, "reset by peer"),
        (Act::Say(ok("{{{{ garbage")), "line 1"),
        (
            Act::Say(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
            "HTTP status 503",
        ),
    ];
    let good = TestTarget::with_page("good 1\n").await;
    let mut targets = vec![good.clone()];
    for (act, _) in &bad {
        targets.push(TestTarget::start(act.clone()).await);
    }
    let running = server(&config("20ms", &targets.iter().collect::<Vec<_>>())).await;
    let app = &running.app;
    for (target, (_, says)) in targets[1..].iter().zip(&bad) {
        until(app, says, |app| {
            state(app, target).last_error().contains(says)
        })
        .await;
    }
    let before = state(app, &good).counts().scrapes;
    until(app, "the good target goes on", |app| {
        state(app, &good).counts().scrapes >= before + 20
    })
    .await;
    let counts = state(app, &good).counts();
    assert_eq!(counts.failures, 0);
    let hanging = state(app, &targets[1]).counts();
    assert!(
        hanging.skipped > 0,
        "ticks pass while a scrape is in flight: {hanging:?}"
    );
    let address = running.addresses[0];
    assert_eq!(value(address, "sum(up)").await, Some(1.0));
    assert_eq!(
        value(address, "count(up)").await,
        Some(targets.len() as f64)
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_limit_fails_the_scrape_whole() {
    let target = TestTarget::with_page("a 1\nb 1\nc 1\n").await;
    let text = config("20ms", &[&target]).replace("job_name: j", "job_name: j\n  sample_limit: 2");
    let running = server(&text).await;
    until(&running.app, "a failure", |app| {
        state(app, &target).health() == Health::Down
    })
    .await;
    let error = state(&running.app, &target).last_error();
    assert!(
        error.contains("sample_limit") && error.contains('3'),
        "{error}"
    );
    assert_eq!(
        value(
            running.addresses[0],
            "count({job=\"j\", __name__!~\"up|scrape_.*\"})"
        )
        .await,
        None
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_targets_and_a_bad_one_changes_nothing() {
    let first = TestTarget::with_page("one 1\n").await;
    let second = TestTarget::with_page("two 2\n").await;
    let path = std::env::temp_dir().join(format!("stillwell-reload-{}.yml", std::process::id()));
    std::fs::write(&path, config("20ms", &[&first])).expect("a temporary file");
    let text = std::fs::read_to_string(&path).expect("just written");
    let running = crate::common::server_with(
        &text,
        crate::common::settings(Some(path.clone())),
        Default::default(),
    )
    .await;
    let (app, address) = (&running.app, running.addresses[0]);
    until(app, "the first target", |app| {
        state(app, &first).health() == Health::Up
    })
    .await;
    let scrapes = state(app, &first).counts().scrapes;

    std::fs::write(&path, "scrape_confgis: []\n").expect("a temporary file");
    let why = app.reload().await.expect_err("a bad configuration");
    assert!(
        why.contains("line 1") && why.contains("scrape_configs"),
        "{why}"
    );
    assert_eq!(value(address, "one").await, Some(1.0));

    std::fs::write(&path, config("20ms", &[&first, &second])).expect("a temporary file");
    app.reload().await.expect("a good configuration");
    until(app, "the second target", |app| {
        state(app, &second).health() == Health::Up
    })
    .await;
    assert!(
        state(app, &first).counts().scrapes >= scrapes,
        "the first target went on as it was"
    );
    assert_eq!(
        value(address, "sum({__name__=~\"one|two\"})").await,
        Some(3.0)
    );

    std::fs::write(&path, config("20ms", &[&second])).expect("a temporary file");
    app.reload().await.expect("a good configuration");
    let more = state(app, &second).counts().scrapes + 2;
    until(app, "the second target goes on", |app| {
        state(app, &second).counts().scrapes >= more
    })
    .await;
    assert_eq!(
        (value(address, "one").await, value(address, "two").await),
        (None, Some(2.0))
    );
    assert_eq!(value(address, "count(up)").await, Some(1.0));
    std::fs::remove_file(&path).ok();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirected_and_a_gzipped_page_arrive() {
    let page = TestTarget::with_page("there 1\n").await;
    let moved = format!(
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: http://{}/metrics\r\nContent-Length: 0\r\n\r\n",
        page.address
    );
    let redirecting = TestTarget::start(Act::Say(moved.into_bytes())).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"packed 2\n").expect("memory takes it");
    let gzip = gzip.finish().expect("memory takes it");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        gzip.len()
    );
    let packed = TestTarget::start(Act::Say([head.into_bytes(), gzip].concat())).await;
    let running = server(&config("20ms", &[&redirecting, &packed])).await;
    until(&running.app, "both up", |app| {
        [&redirecting, &packed]
            .iter()
            .all(|target| state(app, target).health() == Health::Up)
    })
    .await;
    let address = running.addresses[0];
    assert_eq!(
        (
            value(address, "there").await,
            value(address, "packed").await
        ),
        (Some(1.0), Some(2.0))
    );
    running.stop().await;
}

/// Each scrape costs a gateway the encoding of its page: one that is idle need not pay it ten times a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_gateway_is_asked_less_often_and_loses_nothing_by_it() {
    let page = |queue: u32| {
        format!(
            "llm_d_epp_ready_endpoints{{name=\"p\"}} 1\nllm_d_epp_flow_control_queue_size{{inference_pool=\"p\"}} {queue}\n"
        )
    };
    let target = TestTarget::with_page(&page(0)).await;
    let job = config("20ms", &[&target]);
    let running = server(&format!(
        "{job}  scrape_interval_max: 200ms\nsignals: [{{name: q, expr: sum(llm_d_epp_flow_control_queue_size)}}]\n"
    ))
    .await;
    let (app, address) = (&running.app, running.addresses[0]);
    let stretched = || state(app, &target).counts().stretched;
    eventually("nine of ten ticks pass", || async {
        let (before, scrapes) = (stretched(), state(app, &target).counts().scrapes);
        eventually("some more scrapes", || async {
            state(app, &target).counts().scrapes >= scrapes + 5
        })
        .await;
        stretched() - before >= 5 * 8
    })
    .await;
    assert_eq!(
        value(address, "llm_d_epp_flow_control_queue_size").await,
        Some(0.0)
    );
    target.set_page(&page(7));
    until(app, "the queue is seen", |app| {
        state(app, &target).health() == Health::Up
    })
    .await;
    eventually("the queue is told", || async {
        value(address, "llm_d_epp_flow_control_queue_size").await == Some(7.0)
    })
    .await;
    running.stop().await;
}
