use super::*;
use crate::config::{Credentials, load};

fn read(text: &str) -> (Vec<RemoteWrite>, Vec<String>, Vec<String>) {
    let (config, report) = load(text);
    let texts = |problems: &[crate::yaml::Problem]| {
        let texts = problems.iter().map(|problem| problem.message.clone());
        texts.collect::<Vec<String>>()
    };
    let found = config.map_or(Vec::new(), |config| config.remote_writes);
    (found, texts(&report.errors), texts(&report.warnings))
}

#[test]
fn what_is_not_given_is_as_in_prometheus() {
    let (all, errors, warnings) = read("remote_write: [{url: 'http://h:1/api/v1/write?x=1'}]\n");
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
    let one = &all[0];
    assert_eq!(
        (one.name.as_str(), one.timeout_ms),
        ("h:1/api/v1/write", 30_000)
    );
    assert_eq!(one.protocol, Protocol::V1);
    assert!(!one.exemplars && !one.histograms && one.signals && one.metadata.send);
    assert_eq!(one.queue, QueueConfig::default());
    assert_eq!((one.interval_ms, one.extremes), (None, Extremes::default()));
}

#[test]
fn every_key_is_read() {
    let (all, errors, warnings) = read(
        "remote_write:\n- url: https://u:p%40w@h/w\n  name: n\n  remote_timeout: 5s\n  headers: {X-Scope-OrgID: t}\n  write_relabel_configs: [{action: labeldrop, regex: x}]\n  protobuf_message: io.prometheus.write.v2.Request\n  send_exemplars: true\n  send_native_histograms: true\n  send_signals: false\n  write_interval: 15s\n  write_extremes: [min, max]\n  queue_config: {capacity: 1, max_shards: 2, min_shards: 2, max_samples_per_send: 3, batch_send_deadline: 4ms, min_backoff: 5ms, max_backoff: 6ms, retry_on_http_429: false, sample_age_limit: 1m}\n  metadata_config: {send: false, send_interval: 1s, max_samples_per_send: 7}\n",
    );
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
    let one = &all[0];
    assert_eq!(
        (one.name.as_str(), one.timeout_ms, one.signals),
        ("n", 5_000, false)
    );
    assert_eq!(one.protocol, Protocol::V2);
    assert!(one.exemplars && one.histograms);
    assert_eq!((one.relabel.len(), one.interval_ms), (1, Some(15_000)));
    assert_eq!(
        one.extremes,
        Extremes {
            min: true,
            max: true
        }
    );
    let queue = QueueConfig {
        capacity: 1,
        shards_max: 2,
        shards_min: 2,
        samples_per_send_max: 3,
        deadline_ms: 4,
        backoff_min_ms: 5,
        backoff_max_ms: 6,
        retry_on_429: false,
        age_limit_ms: Some(60_000),
    };
    assert_eq!(one.queue, queue);
    let metadata = MetadataConfig {
        send: false,
        interval_ms: 1_000,
        per_send_max: 7,
    };
    assert_eq!(one.metadata, metadata);
    assert_eq!(one.http.headers[0].name, "X-Scope-OrgID");
    let Credentials::Basic(basic) = one.http.credentials() else {
        panic!("the URL names a user");
    };
    assert_eq!(
        basic.password,
        Some(SecretSource::Given(Secret::new("p@w")))
    );
}

#[test]
fn two_receivers_have_two_names() {
    let (all, errors, _) = read("remote_write: [{url: 'http://h/w'}, {url: 'http://h/w'}]\n");
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!([&*all[0].name, &*all[1].name], ["h/w", "h/w-2"]);
    let (_, errors, _) =
        read("remote_write: [{url: 'http://h/w', name: a}, {url: 'http://i/w', name: a}]\n");
    assert!(errors[0].contains("named \"a\""), "{errors:?}");
}

#[test]
fn what_is_wrong_is_an_error_and_what_cannot_be_sent_a_warning() {
    for (inner, says) in [
        ("name: x", "needs a url"),
        (
            "url: 'http://h', queue_config: {min_shards: 9, max_shards: 3}",
            "more than max_shards",
        ),
        (
            "url: 'http://h', queue_config: {max_samples_per_send: 0}",
            "1 or more",
        ),
        (
            "url: 'http://h', headers: {Content-Type: x}",
            "set by the client",
        ),
        (
            "url: 'http://h', protobuf_message: x",
            "neither prometheus.WriteRequest",
        ),
        (
            "url: 'http://h', write_extremes: [min]",
            "needs a write_interval",
        ),
        (
            "url: 'http://h', write_interval: 1s, write_extremes: [mean]",
            "neither min nor max",
        ),
        (
            "url: 'http://h', sigv4: {region: x}, basic_auth: {username: u}",
            "at most one of",
        ),
    ] {
        let (_, errors, _) = read(&format!("remote_write: [{{{inner}}}]\n"));
        assert!(
            errors.iter().any(|error| error.contains(says)),
            "{inner}: {errors:?}"
        );
    }
    for (inner, says) in [
        ("url: x", "no samples are sent to this remote_write: url"),
        (
            "url: 'http://h', sigv4: {region: x}",
            "not signed by AWS' sigv4",
        ),
        (
            "url: 'http://h', proxy_url: 'socks5://p'",
            "no samples are sent",
        ),
    ] {
        let (all, errors, warnings) = read(&format!("remote_write: [{{{inner}}}]\n"));
        assert_eq!((all.len(), errors), (0, Vec::new()), "{inner}");
        assert!(
            warnings.iter().any(|text| text.contains(says)),
            "{inner}: {warnings:?}"
        );
    }
}
