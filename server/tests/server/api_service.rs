//! The APIService of a group: our CA in it, and nobody's group taken without being told to.

use std::io::Write;
use std::process::{Command, Output};

use crate::common::api_server::{ApiServer, api_service};
use crate::common::certificates::{Authority, Files, SERVICE, get_tls};
use crate::common::{eventually, server_of, settings};
use k8s_openapi::ByteString;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use stillwell::cluster::ServiceName;
use stillwell::serve::secure::SecureOptions;
use stillwell::serve::{ApiOptions, Running};

const EXTERNAL: &str = "v1beta1.external.metrics.k8s.io";
const CUSTOM: &str = "v1beta2.custom.metrics.k8s.io";
const CUSTOM_V1BETA1: &str = "v1beta1.custom.metrics.k8s.io";

async fn replica(
    api: &ApiServer,
    files: &Files,
    name: &str,
    (write, take_over): (bool, bool),
) -> Running {
    let options = SecureOptions {
        address: "127.0.0.1:0".to_owned(),
        kubeconfig: Some(api.kubeconfig(files)),
        self_made_names: vec![SERVICE.to_owned()],
        replica: name.to_owned(),
        service: ServiceName::parse("default/stillwell"),
        write_ca_bundle: write,
        take_over,
        ..SecureOptions::default()
    };
    let apis = ApiOptions {
        secure: Some(options),
        ..ApiOptions::default()
    };
    server_of("global: {}\n", settings(None), apis).await
}

fn spec(api: &ApiServer, name: &str) -> Value {
    api.state.lock().api_services[name]["spec"].clone()
}

fn bundle(api: &ApiServer, name: &str) -> Vec<CertificateDer<'static>> {
    let bundle: ByteString =
        serde_json::from_value(spec(api, name)["caBundle"].clone()).unwrap_or_default();
    CertificateDer::pem_slice_iter(&bundle.0)
        .collect::<Result<_, _>>()
        .expect("PEM")
}

/// A cluster in which the external group is ours and the custom one is somebody else's.
async fn cluster() -> ApiServer {
    let api = ApiServer::start().await;
    let mut state = api.state.lock();
    for (name, service) in [(EXTERNAL, "stillwell"), (CUSTOM, "prometheus-adapter")] {
        let service = api_service(name, "default", service);
        state.api_services.insert(name.to_owned(), service);
    }
    drop(state);
    api
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_replica_adds_its_ca_and_the_api_server_verifies_both() {
    let (api, files) = (cluster().await, Files::new("api-service"));
    let first = replica(&api, &files, "first", (true, false)).await;
    let second = replica(&api, &files, "second", (true, false)).await;
    eventually("both CAs", || async { bundle(&api, EXTERNAL).len() == 2 }).await;
    assert_eq!(
        spec(&api, EXTERNAL),
        json!({
            "group": "external.metrics.k8s.io", "version": "v1beta1",
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"namespace": "default", "name": "stillwell", "port": 443},
            "caBundle": spec(&api, EXTERNAL)["caBundle"],
        }),
        "insecureSkipTLSVerify is gone, everything else as it was"
    );
    for running in [&first, &second] {
        let address = running.secure_address.expect("a secure listener");
        let mut verified = 0;
        for ca in bundle(&api, EXTERNAL) {
            let answer = get_tls(address, &ca, None, "", "/livez").await;
            verified += usize::from(answer == Ok((200, "ok".to_owned())));
        }
        assert_eq!(verified, 1);
    }
    let other = api_service(CUSTOM, "default", "prometheus-adapter");
    assert_eq!(spec(&api, CUSTOM), other["spec"], "left alone");
    first.stop().await;

    // Nine restarts of one replica pushed the other's CA out, and half of all requests failed.
    for _ in 0..9 {
        let before = bundle(&api, EXTERNAL);
        let next = replica(&api, &files, "first", (true, false)).await;
        eventually("its CA", || async { bundle(&api, EXTERNAL) != before }).await;
        next.stop().await;
    }
    let address = second.secure_address.expect("a secure listener");
    let mut verified = 0;
    for ca in bundle(&api, EXTERNAL) {
        let answer = get_tls(address, &ca, None, "", "/livez").await;
        verified += usize::from(answer == Ok((200, "ok".to_owned())));
    }
    assert_eq!((bundle(&api, EXTERNAL).len(), verified), (2, 1));
    second.stop().await;

    // Replicas come and go; what they leave behind is bounded.
    for number in 0..35 {
        let before = bundle(&api, EXTERNAL);
        let name = format!("pod-{number}");
        let next = replica(&api, &files, &name, (true, false)).await;
        eventually("its CA", || async { bundle(&api, EXTERNAL) != before }).await;
        next.stop().await;
    }
    assert_eq!(bundle(&api, EXTERNAL).len(), 32);
}

/// The older version of custom metrics had no CA, so no namespace of the cluster could be deleted any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_of_a_group_gets_our_ca() {
    let (api, files) = (cluster().await, Files::new("every-version"));
    for name in [CUSTOM, CUSTOM_V1BETA1] {
        api.put_api_service(name, api_service(name, "default", "stillwell"));
    }
    let running = replica(&api, &files, "one", (true, false)).await;
    for name in [EXTERNAL, CUSTOM, CUSTOM_V1BETA1] {
        eventually(name, || async { bundle(&api, name).len() == 1 }).await;
    }
    running.stop().await;
}

/// Two processes on one host each took the other's CA for its own of before: 15 writes a second for ever, and half of all reads
/// failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_one_name_leave_each_other_s_ca() {
    let (api, files) = (cluster().await, Files::new("one-name"));
    let first = replica(&api, &files, "host", (true, false)).await;
    eventually("a CA", || async { bundle(&api, EXTERNAL).len() == 1 }).await;
    let second = replica(&api, &files, "host", (true, false)).await;
    eventually("both CAs", || async { bundle(&api, EXTERNAL).len() == 2 }).await;
    // What one of them then sees is no reason to write again.
    let before = bundle(&api, EXTERNAL);
    let looked = || {
        api.asked(&format!(
            "/apis/apiregistration.k8s.io/v1/apiservices/{EXTERNAL}"
        ))
    };
    let asked = looked().len();
    let mut touched = api.state.lock().api_services[EXTERNAL].clone();
    touched["metadata"]["annotations"] = json!({"a": "b"});
    api.put_api_service(EXTERNAL, touched);
    eventually("a look", || async { looked().len() >= asked + 2 }).await;
    assert_eq!(bundle(&api, EXTERNAL), before);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_taken_over_only_by_the_flag_that_says_so() {
    let (api, files) = (cluster().await, Files::new("take-over"));
    let service = || spec(&api, CUSTOM)["service"]["name"].clone();
    for (write, take_over, owner) in [
        (false, false, "prometheus-adapter"),
        (true, false, "prometheus-adapter"),
        (true, true, "stillwell"),
    ] {
        let looked = || {
            api.asked(&format!(
                "/apis/apiregistration.k8s.io/v1/apiservices/{CUSTOM}"
            ))
        };
        let before = looked().len();
        let running = replica(&api, &files, "one", (write, take_over)).await;
        // It looks, and where it may it writes; a patch is the second question about it.
        let questions = before + 1 + usize::from(take_over);
        eventually("a look", || async { looked().len() >= questions }).await;
        running.stop().await;
        assert_eq!(service(), json!(owner), "{write} {take_over}");
    }
    assert_eq!(bundle(&api, CUSTOM).len(), 1);
    assert_eq!(spec(&api, CUSTOM)["insecureSkipTLSVerify"], Value::Null);
}

/// A group that was moved here again, without our CA, was looked at every 30 s: until then every HPA got an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_comes_back_is_noticed_by_its_watch() {
    let (api, files) = (cluster().await, Files::new("comes-back"));
    let running = replica(&api, &files, "one", (true, false)).await;
    eventually("our CA, and watches", || async {
        bundle(&api, EXTERNAL).len() == 1 && api.api_service_watches() >= 2
    })
    .await;
    let began = tokio::time::Instant::now();
    api.put_api_service(EXTERNAL, api_service(EXTERNAL, "default", "stillwell"));
    eventually("our CA again", || async {
        bundle(&api, EXTERNAL).len() == 1
    })
    .await;
    assert!(
        began.elapsed().as_secs() < 20,
        "long before it is looked at without a change"
    );
    running.stop().await;
}

async fn stillwell(arguments: Vec<String>) -> Output {
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_stillwell"))
            .args(arguments)
            .output()
            .expect("the binary runs")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_says_who_owns_the_groups() {
    let (api, files) = (cluster().await, Files::new("check-owner"));
    let config = files.write("stillwell.yml", "signals:\n- {name: q, expr: 'sum(q)'}\n");
    let kubeconfig = api.kubeconfig(&files).display().to_string();
    let check = |service: &str| {
        stillwell(vec![
            "check".to_owned(),
            "config".to_owned(),
            config.display().to_string(),
            format!("--kubeconfig={kubeconfig}"),
            format!("--api-service.service={service}"),
        ])
    };
    let output = check("default/stillwell").await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    std::io::stderr().write_all(&output.stderr).ok();
    assert!(output.status.success(), "{text}");
    for line in [
        "APIService v1beta1.external.metrics.k8s.io: served by default/stillwell, as it should be",
        "warning: APIService v1beta2.custom.metrics.k8s.io: served by the Service default/prometheus-adapter (managed by keda-operator); HPAs are not sent to default/stillwell",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let output = check("nonsense").await;
    assert!(!output.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_that_do_not_go_together_are_refused() {
    let files = Files::new("flags");
    let pair = Authority::new("x").server("x");
    let certificate = files.write("tls.crt", &pair.certificate.pem());
    let key = files.write("tls.key", &pair.key.serialize_pem());
    let config = files.write("stillwell.yml", "global: {}\n");
    let certificate = format!("--tls-cert-file={}", certificate.display());
    let key = format!("--tls-private-key-file={}", key.display());
    let port = "--secure-port=0".to_owned();
    for (flags, says) in [
        (
            vec!["--kubeconfig=x".to_owned()],
            "failed to read kubeconfig",
        ),
        (vec![port.clone()], "nobody could be let in"),
        (
            vec![port.clone(), "--kubeconfig=/nonexistent".to_owned()],
            "--kubeconfig=/nonexistent",
        ),
        (vec![port.clone(), certificate.clone()], "come together"),
        (
            vec![
                port.clone(),
                certificate,
                key,
                "--api-service.ca-bundle".to_owned(),
            ],
            "--api-service.ca-bundle is for the certificate",
        ),
        (
            vec![port.clone(), "--api-service.take-over".to_owned()],
            "needs --api-service.ca-bundle",
        ),
        (
            vec![port, "--api-service.service=a/B".to_owned()],
            "is not NAMESPACE/NAME",
        ),
    ] {
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--config.file={}", config.display()),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ];
        arguments.extend(flags.clone());
        let output = stillwell(arguments).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && text.contains(says),
            "{flags:?}: {text}"
        );
    }
}
