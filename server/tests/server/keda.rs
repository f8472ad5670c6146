//! KEDA's external scaler over gRPC, driven by a client over loopback, against targets under the test's control.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::certificates::{Authority, Files, SERVICE, connect_by};
use crate::common::{TestTarget, get, server_of, settings, until};
use stillwell::serve::{ApiOptions, KedaOptions, Running};
use stillwell_adapters::host::Host;
use stillwell_adapters::keda::{GetMetricsRequest, IsActiveResponse, ScaledObjectRef};
use stillwell_keda_client::{Client, Transport, connect, over};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status, Streaming};

/// A test that waits longer than this for a message has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const QUEUE: &str = "inference_extension_flow_control_queue_size";

fn page(queue: u64) -> String {
    format!(
        "# TYPE {QUEUE} gauge\n{QUEUE}{{inference_pool=\"p\",model_name=\"m\"}} {queue}\n\
         # TYPE inference_pool_ready_pods gauge\ninference_pool_ready_pods{{name=\"p\"}} 0\n"
    )
}

fn configuration(target: &TestTarget) -> String {
    format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- name: igw_queue_depth\n  expr: sum({QUEUE}{{inference_pool=\"p\"}})\n",
        target.address
    )
}

struct Scene {
    target: TestTarget,
    running: Running,
    client: Client<Transport>,
}

impl Scene {
    async fn start(queue: u64) -> Scene {
        Scene::with(queue, None).await
    }

    async fn with(queue: u64, config_file: Option<std::path::PathBuf>) -> Scene {
        let target = TestTarget::with_page(&page(queue)).await;
        let text = configuration(&target);
        if let Some(file) = &config_file {
            std::fs::write(file, &text).expect("writable");
        }
        let apis = ApiOptions {
            keda: Some(KedaOptions {
                address: "127.0.0.1:0".to_owned(),
                ..KedaOptions::default()
            }),
            ..ApiOptions::default()
        };
        let running = server_of(&text, settings(config_file), apis).await;
        until(&running.app, "ready", |app| app.ready()).await;
        let client = connect(running.keda_address.expect("it listens"))
            .await
            .expect("loopback");
        Scene {
            target,
            running,
            client,
        }
    }

    /// The signal as the server sees it shows this value.
    async fn shows(&self, queue: u64) {
        self.target.set_page(&page(queue));
        until(&self.running.app, "the new page", |app| {
            let signals = app.signals();
            let described = signals.describe(Some("igw_queue_depth"), app.now());
            described[0]
                .reading
                .elements
                .first()
                .is_some_and(|one| one.value == queue as f64)
        })
        .await;
    }
}

fn object(pairs: &[(&str, &str)]) -> ScaledObjectRef {
    ScaledObjectRef {
        name: "llama".to_owned(),
        namespace: "serving".to_owned(),
        scaler_metadata: metadata(pairs),
    }
}

fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    pairs.collect()
}

const BY_NAME: &[(&str, &str)] = &[
    ("scalerAddress", "stillwell:9091"),
    ("signal", "IGW_queue_depth"),
    ("threshold", "2.5"),
    ("latch", "0"),
];

fn by_query(query: &str) -> ScaledObjectRef {
    object(&[("query", query), ("threshold", "1"), ("latch", "0")])
}

async fn next(stream: &mut Streaming<IsActiveResponse>) -> Option<bool> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message.expect("a message in time").expect("no error");
    message.map(|message| message.result)
}

async fn number(
    client: &mut Client<Transport>,
    reference: ScaledObjectRef,
) -> Result<(i64, f64), Status> {
    let request = GetMetricsRequest {
        scaled_object_ref: Some(reference),
        metric_name: "igw_queue_depth".to_owned(),
    };
    let answer = client.get_metrics(request).await?;
    assert_eq!(answer.metric_values.len(), 1);
    let value = &answer.metric_values[0];
    assert_eq!(value.metric_name, "igw_queue_depth");
    Ok((value.metric_value, value.metric_value_float))
}

#[tokio::test]
async fn all_five_methods_answer() {
    let mut scene = Scene::start(0).await;
    let client = &mut scene.client.clone();
    let spec = client
        .get_metric_spec(object(BY_NAME))
        .await
        .expect("valid");
    let spec = &spec.metric_specs[..];
    assert_eq!(spec.len(), 1);
    assert_eq!(
        (
            spec[0].metric_name.as_str(),
            spec[0].target_size,
            spec[0].target_size_float
        ),
        ("igw_queue_depth", 3, 2.5)
    );
    assert!(!client.is_active(object(BY_NAME)).await.expect("known"));
    assert_eq!(
        number(client, object(BY_NAME)).await.expect("known"),
        (0, 0.0)
    );

    let mut specs = client
        .stream_metric_spec(object(BY_NAME))
        .await
        .expect("valid");
    let spec = specs.message().await.expect("no error").expect("a message");
    assert_eq!(spec.metric_specs[0].target_size_float, 2.5);
    let mut stream = client
        .stream_is_active(object(BY_NAME))
        .await
        .expect("valid");
    assert_eq!(next(&mut stream).await, Some(false), "the state at once");
    scene.shows(7).await;
    assert_eq!(next(&mut stream).await, Some(true), "the edge");
    assert!(client.is_active(object(BY_NAME)).await.expect("known"));
    assert_eq!(
        number(client, object(BY_NAME)).await.expect("known"),
        (7, 7.0)
    );
    assert_eq!(next(&mut stream).await, Some(true), "a second later");

    let (status, _, signals) = get(scene.running.addresses[0], "/signals").await;
    assert_eq!(status, 200);
    assert!(signals.contains("serving/llama"), "{signals}");
    let quit = scene.running.stop();
    let ends = async {
        while next(&mut stream).await.is_some() {}
        assert!(specs.message().await.expect("no error").is_none());
    };
    tokio::join!(quit, ends); // with OK, or `next` would have failed
    scene.client = client.clone();
}

#[tokio::test]
async fn an_outage_is_unavailable_and_streams_are_silent_through_it() {
    let scene = Scene::start(3).await;
    let mut client = scene.client.clone();
    // Held for no time at all, so that the outage shows at once.
    let trigger = object(&[
        ("signal", "igw_queue_depth"),
        ("threshold", "1"),
        ("hold", "0"),
        ("latch", "0"),
    ]);
    let mut stream = client
        .stream_is_active(trigger.clone())
        .await
        .expect("valid");
    assert_eq!(next(&mut stream).await, Some(true));
    scene.target.set(crate::common::Act::SayAndClose(
        b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let mut refused = Err(Status::ok(""));
    until(&scene.running.app, "the first failed scrape", |app| {
        !app.targets().active[0].last_error.is_empty()
    })
    .await;
    for _ in 0..1000 {
        refused = client.is_active(trigger.clone()).await;
        if refused.is_err() {
            break;
        }
    }
    let status = refused.expect_err("unknown is no number");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status
            .message()
            .contains(&scene.target.address.port().to_string()),
        "{status}"
    );
    assert_eq!(
        number(&mut client, trigger.clone())
            .await
            .expect_err("unknown")
            .code(),
        Code::Unavailable
    );
    let spec = client
        .get_metric_spec(trigger.clone())
        .await
        .expect("always answers");
    assert_eq!(spec.metric_specs.len(), 1);
    // Back, and below the threshold: nothing is said. Above it again: that is an edge.
    scene.shows(0).await;
    scene.shows(4).await;
    assert_eq!(next(&mut stream).await, Some(true));
}

#[tokio::test]
async fn bad_input_is_an_invalid_argument_that_names_the_key_and_is_shown() {
    let scene = Scene::start(0).await;
    let mut client = scene.client.clone();
    for (pairs, says) in [
        (
            &[("signal", "nope"), ("threshold", "1")][..],
            "signal: there is no signal \"nope\"; there are: igw_queue_depth",
        ),
        (&[("query", "sum("), ("threshold", "1")], "query: "),
        (
            &[("query", "sum(x)"), ("threshold", "lots")],
            "threshold: \"lots\" is not a number",
        ),
        (
            &[("query", "1 + 1"), ("threshold", "1")],
            "query: it reads nothing that is scraped",
        ),
        (
            &[("query", "x[5m]"), ("threshold", "1")],
            "query: it yields a range vector",
        ),
        (&[("query", "sum(x)")], "threshold: is missing"),
        (&[("threshold", "1")], "signal: is missing"),
        (
            &[
                ("signal", "igw_queue_depth"),
                ("threshold", "1"),
                ("activationThreshhold", "1"),
            ],
            "did you mean activationThreshold?",
        ),
    ] {
        let reference = object(pairs);
        let stream = client.stream_is_active(reference.clone()).await.map(|_| ());
        let specification = client.get_metric_spec(reference.clone()).await;
        let statuses = [
            client.is_active(reference.clone()).await.map(|_| ()),
            number(&mut client, reference.clone()).await.map(|_| ()),
            stream,
        ];
        // Which signals there are is no matter of the metadata: KEDA asks once, and the next reload may bring it.
        let known = says.starts_with("signal: there is no signal");
        assert_eq!(specification.is_ok(), known, "{says}");
        let specification = specification.map(|_| ());
        for status in statuses
            .into_iter()
            .chain((!known).then_some(specification))
        {
            let status = status.expect_err("bad");
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(
                status.message().contains(says),
                "{status} does not say {says}"
            );
        }
        let (_, _, signals) = get(scene.running.addresses[0], "/signals").await;
        let line = signals
            .lines()
            .find(|line| line.contains("serving/llama") && line.contains(says));
        assert!(
            line.is_some_and(|line| line.contains("refused")),
            "{says}: {signals}"
        );
    }
    // KEDA makes an HPA of a mistyped name, which looks healthy until its first poll: it is shown from then on.
    let mistyped = object(&[("signal", "igw_queue_dept"), ("threshold", "1")]);
    let specified = client
        .get_metric_spec(mistyped)
        .await
        .expect("it always answers");
    assert_eq!(specified.metric_specs[0].metric_name, "igw_queue_dept");
    let (_, _, signals) = get(scene.running.addresses[0], "/signals").await;
    let says = "there is no signal \"igw_queue_dept\"; did you mean igw_queue_depth?";
    assert!(signals.contains(says), "{signals}");
    // A query that yields several elements is no number either.
    let status = client
        .is_active(by_query(&format!("sum by (model_name) ({QUEUE})")))
        .await;
    let one = client
        .is_active(by_query(&format!(
            "sum by (model_name) ({QUEUE}) or sum by (inference_pool) ({QUEUE})"
        )))
        .await;
    assert!(!status.expect("one element"));
    assert_eq!(one.expect_err("two").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn queries_are_bounded_by_namespace() {
    let scene = Scene::start(0).await;
    let mut client = scene.client.clone();
    for n in 0..50 {
        client
            .is_active(by_query(&format!("sum({QUEUE}) + {n}")))
            .await
            .expect("there is room");
    }
    let full = by_query(&format!("sum({QUEUE}) + 50"));
    client
        .get_metric_spec(full.clone())
        .await
        .expect("it is of the metadata alone");
    let status = client.is_active(full).await.expect_err("full");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status
            .message()
            .contains("50 queries of namespace \"serving\""),
        "{status}"
    );
    client
        .is_active(by_query(&format!("sum({QUEUE}) + 7")))
        .await
        .expect("stands already");
    let elsewhere = ScaledObjectRef {
        namespace: "batch".to_owned(),
        ..by_query(&format!("sum({QUEUE}) + 51"))
    };
    client
        .is_active(elsewhere)
        .await
        .expect("another namespace has room");
}

#[tokio::test]
async fn a_reload_keeps_the_streams_of_what_stays_and_ends_those_of_what_goes_with_ok() {
    let folder = std::env::temp_dir().join(format!("stillwell-keda-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("stillwell.yml");
    let scene = Scene::with(0, Some(file.clone())).await;
    let mut client = scene.client.clone();
    let mut stream = client
        .stream_is_active(object(BY_NAME))
        .await
        .expect("valid");
    assert_eq!(next(&mut stream).await, Some(false));
    let text = configuration(&scene.target);
    std::fs::write(&file, format!("{text}  hold: 5s\n")).expect("writable");
    scene.running.app.reload().await.expect("valid");
    scene.shows(2).await;
    assert_eq!(next(&mut stream).await, Some(true), "the stream went on");
    std::fs::write(&file, text.replace("igw_queue_depth", "another")).expect("writable");
    scene.running.app.reload().await.expect("valid");
    while next(&mut stream).await.is_some() {}
    let status = client.is_active(object(BY_NAME)).await.expect_err("gone");
    assert_eq!(status.code(), Code::InvalidArgument);
    std::fs::remove_dir_all(&folder).ok();
}

#[tokio::test]
async fn an_unknown_method_and_garbage_are_errors_of_their_own() {
    let scene = Scene::start(0).await;
    let address = scene.running.keda_address.expect("it listens");
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0x16, 0x03, 0x01],
        &[0; 100],
    ] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(garbage).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok(); // it ends, one way or another
        assert!(!answer.starts_with(b"HTTP/1"), "HTTP/1 is not spoken");
    }
    let mut client = scene.client.clone();
    let long = object(&[("signal", &"x".repeat(1 << 20)), ("threshold", "1")]);
    let status = client.is_active(long).await.expect_err("too large");
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status}"
    );
    assert!(
        !client
            .is_active(object(BY_NAME))
            .await
            .expect("nobody was harmed")
    );
}

#[tokio::test]
async fn namespaces_bind_whoever_shows_a_certificate() {
    let files = Files::new("keda-mtls");
    let authority = Authority::new("ca");
    files.serve(&authority.server(SERVICE));
    files.write("ca.crt", &authority.certificate.pem());
    let section = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, \
                   client_auth_type: VerifyClientCertIfGiven}\n";
    let target = TestTarget::with_page(&page(0)).await;
    let text = format!("{}  namespaces: [serving]\n", configuration(&target));
    let apis = ApiOptions {
        keda: Some(KedaOptions {
            address: "127.0.0.1:0".to_owned(),
            config_file: Some(files.write("keda.yml", section)),
            ..KedaOptions::default()
        }),
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(None), apis).await;
    until(&running.app, "ready", |app| app.ready()).await;
    let address = running.keda_address.expect("it listens");
    let keda = authority.client_with_alternative_name("keda-operator.keda.svc");
    let elsewhere = ScaledObjectRef {
        namespace: "batch".to_owned(),
        ..object(BY_NAME)
    };
    for (certificate, reference, code) in [
        (Some(&keda), object(BY_NAME), None),
        (Some(&keda), elsewhere.clone(), Some(Code::PermissionDenied)),
        (None, elsewhere, None), // a claim that anybody can make, and is not believed either way
    ] {
        let stream = connect_by(address, &authority.der(), certificate, &[b"h2"])
            .await
            .expect("a handshake");
        let mut client = over(stream).await.expect("HTTP/2");
        let answer = client.is_active(reference).await;
        assert_eq!(answer.err().map(|status| status.code()), code);
    }
    let stranger = Authority::new("other").client_with_alternative_name("keda-operator.keda.svc");
    let refused = match connect_by(address, &authority.der(), Some(&stranger), &[b"h2"]).await {
        Err(_) => true,
        Ok(stream) => match over(stream).await {
            Err(_) => true,
            Ok(mut client) => client.is_active(object(BY_NAME)).await.is_err(),
        },
    };
    assert!(refused, "another CA's certificate is none");
    let (_, _, metrics) = get(running.addresses[0], "/metrics").await;
    let counted = "stillwell_keda_handshake_failures_total 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    let (_, _, signals) = get(running.addresses[0], "/signals").await;
    assert!(
        signals.contains("namespace \"batch\" may not read"),
        "{signals}"
    );
}

#[tokio::test]
async fn an_activation_outlasts_the_queue_that_caused_it() {
    let scene = Scene::start(0).await;
    let mut client = scene.client.clone();
    let latched = object(&[("signal", "igw_queue_depth"), ("threshold", "1")]);
    let bare = object(BY_NAME);
    let mut stream = client
        .stream_is_active(latched.clone())
        .await
        .expect("valid");
    assert_eq!(next(&mut stream).await, Some(false));
    assert!(!client.is_active(bare.clone()).await.expect("known"));
    scene.shows(1).await;
    assert_eq!(next(&mut stream).await, Some(true));
    scene.shows(0).await;
    assert!(
        client.is_active(latched.clone()).await.expect("known"),
        "its requests timed out"
    );
    assert!(
        !client.is_active(bare).await.expect("known"),
        "no latch was asked for"
    );
    assert_eq!(
        number(&mut client, latched).await.expect("known"),
        (0, 0.0),
        "the number is the truth"
    );
    assert_eq!(
        next(&mut stream).await,
        Some(true),
        "it is told again while it lasts"
    );
    let (_, _, signals) = get(scene.running.addresses[0], "/signals").await;
    assert!(signals.contains("latched, 29"), "{signals}");
}

#[tokio::test]
async fn requests_given_up_at_zero_are_warned_of_in_signals() {
    let scene = Scene::start(1).await;
    let evicted = |count: u64| {
        format!(
            "{}llm_d_epp_flow_control_requests_total{{outcome=\"EvictedNoEndpoints\",priority=\"0\",inference_pool=\"p\"}} {count}\n",
            page(1)
        )
    };
    let mut count = 3;
    let mut signals = String::new();
    // Counters are looked at once a second, so one of these steps is seen.
    while !signals.contains("warning") {
        count += 1;
        scene.target.set_page(&evicted(count));
        scene
            .running
            .app
            .scraper()
            .shared()
            .scraped
            .notified()
            .await;
        signals = get(scene.running.addresses[0], "/signals").await.2;
    }
    assert!(signals.contains("pool \"p\" is at zero"), "{signals}");
    assert!(
        signals.contains("flowControl.noEndpointRequestTTL"),
        "{signals}"
    );
    let request =
        "GET /signals HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let (_, _, body) = crate::common::http(scene.running.addresses[0], request).await;
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert!(
        json["warnings"][0]
            .as_str()
            .expect("a text")
            .contains("EvictedNoEndpoints"),
        "{body}"
    );
}
