//! The shipped manifests: every field is one that Kubernetes knows, what belongs together fits together, and the server
//! runs with the flags and the configuration in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::api_server::ApiServer;
use crate::common::certificates::Files;
use crate::common::{eventually, get};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde_json::{Value, json};
use stillwell::serve::app;
use stillwell_testing::outside::{GUIDE, HELM, RIVALS};

const OVERLAYS: [&str; 8] = [
    "base",
    "overlays/hpa",
    "overlays/scale-to-zero",
    "overlays/keda-coexist",
    "overlays/llm-d",
    "overlays/monitors",
    "overlays/events",
    "overlays/resource-metrics",
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Every document of a YAML text.
fn documents(text: &str) -> Vec<Value> {
    let all: Result<Vec<Value>, _> = serde_saphyr::from_multiple(text);
    all.unwrap_or_else(|error| panic!("{error}"))
}

/// A document read as its type and written again: a key that the type does not know would be gone.
fn strict(document: &Value) {
    fn round<T: serde::de::DeserializeOwned + serde::Serialize>(document: &Value) -> Value {
        let typed: T = serde_json::from_value(document.clone())
            .unwrap_or_else(|error| panic!("{error}: {document}"));
        serde_json::to_value(&typed).expect("it was JSON before")
    }
    let again = match document["kind"].as_str().unwrap_or("") {
        "APIService" => round::<APIService>(document),
        "ClusterRole" => round::<ClusterRole>(document),
        "ClusterRoleBinding" => round::<ClusterRoleBinding>(document),
        "ConfigMap" => round::<ConfigMap>(document),
        "Deployment" => round::<Deployment>(document),
        "HorizontalPodAutoscaler" => round::<HorizontalPodAutoscaler>(document),
        "Namespace" => round::<Namespace>(document),
        "NetworkPolicy" => round::<NetworkPolicy>(document),
        "PodDisruptionBudget" => round::<PodDisruptionBudget>(document),
        "Role" => round::<Role>(document),
        "RoleBinding" => round::<RoleBinding>(document),
        "Service" => round::<Service>(document),
        "ServiceAccount" => round::<ServiceAccount>(document),
        other => panic!("a manifest of kind {other:?}"),
    };
    assert_eq!(&again, document, "a key that Kubernetes does not know");
}

fn kubectl() -> Option<PathBuf> {
    RIVALS.find_inside("usr/bin/kubectl")
}

/// One object of a rendered overlay, by kind and name.
fn find<'d>(documents: &'d [Value], kind: &str, name: &str) -> &'d Value {
    let fits = |one: &&Value| {
        let named = one["metadata"]["name"].as_str().unwrap_or("");
        one["kind"] == kind && (named == name || named.starts_with(&format!("{name}-")))
    };
    documents
        .iter()
        .find(fits)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn each_file_holds_only_what_kubernetes_knows() {
    let mut files = 0;
    for folder in OVERLAYS {
        for entry in std::fs::read_dir(deploy().join(folder)).expect("the folder is there") {
            let path = entry.expect("readable").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // The patch of the HPA leaves out what it does not change.
            let whole = name != "kustomization.yaml" && !path.ends_with("scale-to-zero/hpa.yaml");
            if whole && name.ends_with(".yaml") {
                let text = std::fs::read_to_string(&path).expect("readable");
                documents(&text).iter().for_each(strict);
                files += 1;
            }
        }
    }
    assert!(files >= 11, "{files}");
}

#[test]
fn configurations_load_with_their_rules_and_serve_both_of_the_guides_metrics() {
    for folder in ["base", "overlays/keda-coexist"] {
        let base = deploy().join(folder).join("config");
        let text = std::fs::read_to_string(base.join("stillwell.yml")).expect("readable");
        let features = stillwell_engine::promql::Features::default();
        let config = app::load(&text, &base, &features)
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .config;
        let names: Vec<&str> = config.signals.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["igw_queue_depth", "igw_running_requests"],
            "{folder}"
        );
        assert_eq!(config.monitors.len(), 1, "the gateways are found");
    }
}

/// Every file under a folder, with its text.
fn texts(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            texts(&path, into);
        } else {
            let text = std::fs::read_to_string(&path).expect("readable");
            into.push((path, text));
        }
    }
}

/// The files for KEDA named port 9091, which neither Service nor Deployment opened.
#[test]
fn every_address_in_a_shipped_file_is_served_by_a_shipped_port() {
    let read = |name: &str| {
        let text = std::fs::read_to_string(deploy().join(name)).expect("readable");
        documents(&text).remove(0)
    };
    let (service, deployment) = (read("base/service.yaml"), read("base/deployment.yaml"));
    let policy = read("base/networkpolicy.yaml");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let named = |port: &Value| -> u64 {
        let ports = container["ports"].as_array().expect("ports");
        let found = ports.iter().find(|one| one["name"] == *port);
        found.expect("a port of the container")["containerPort"]
            .as_u64()
            .expect("a number")
    };
    let mut open: Vec<u64> = Vec::new();
    for rule in policy["spec"]["ingress"].as_array().expect("rules") {
        for port in rule["ports"].as_array().expect("ports") {
            open.push(named(&port["port"]));
        }
    }
    let mut served: Vec<u64> = Vec::new();
    for port in service["spec"]["ports"].as_array().expect("ports") {
        assert!(open.contains(&named(&port["targetPort"])), "{port}");
        served.push(port["port"].as_u64().expect("a number"));
    }
    let arguments = container["args"].to_string();
    let image = std::fs::read_to_string(deploy().join("Dockerfile")).expect("readable");
    for port in container["ports"].as_array().expect("ports") {
        let number = port["containerPort"].to_string();
        assert!(
            arguments.contains(&number) && image.contains(&number),
            "{port}"
        );
    }
    let mut files = Vec::new();
    texts(&deploy(), &mut files);
    let mut addresses = 0;
    for (path, text) in &files {
        for (at, host) in text.match_indices("stillwell.stillwell") {
            let rest = text[at + host.len()..]
                .trim_start_matches(".svc")
                .trim_start_matches(".cluster.local");
            let digits: String = match rest.strip_prefix(':') {
                Some(port) => port.chars().take_while(char::is_ascii_digit).collect(),
                None => continue,
            };
            let port = digits
                .parse()
                .unwrap_or_else(|_| panic!("{}: {rest:.20}", path.display()));
            assert!(served.contains(&port), "{}: port {port}", path.display());
            addresses += 1;
        }
    }
    assert!(addresses >= 5, "{addresses}");
}

#[test]
fn the_guides_hpa_is_unchanged() {
    let Some(folder) = GUIDE.find() else {
        return;
    };
    let mut entries = std::fs::read_dir(folder).expect("readable");
    let guide = entries.next().expect("one file").expect("readable").path();
    let guide = std::fs::read_to_string(guide).expect("readable");
    // The guide's copy has lost its indentation, so lines are compared without it.
    let start = guide.find("apiVersion: autoscaling/v2").expect("the HPA");
    let end = guide[start..].find("Note 1").expect("its end");
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let ours = std::fs::read_to_string(deploy().join("overlays/hpa/hpa.yaml")).expect("readable");
    assert_eq!(lines(&ours), lines(&guide[start..start + end]));
    let start = guide.find("rules:\nexternal:").expect("the rules");
    let end = guide[start..].find("Note:").expect("their end");
    let rules = deploy().join("base/config/igw-adapter-values.yaml");
    let rules = std::fs::read_to_string(rules).expect("readable");
    assert_eq!(lines(&rules), lines(&guide[start..start + end]));
}

#[test]
fn rendered_by_the_real_kubectl_everything_fits_together() {
    let Some(kubectl) = kubectl() else { return };
    for overlay in OVERLAYS {
        let output = Command::new(&kubectl)
            .arg("kustomize")
            .arg(deploy().join(overlay))
            .output()
            .expect("kubectl runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "{overlay}: {errors}"
        );
        let all = documents(&String::from_utf8_lossy(&output.stdout));
        all.iter().for_each(strict);

        let deployment = find(&all, "Deployment", "stillwell");
        let template = &deployment["spec"]["template"];
        let labels = &template["metadata"]["labels"];
        let service = find(&all, "Service", "stillwell");
        for selector in [
            &service["spec"]["selector"],
            &deployment["spec"]["selector"]["matchLabels"],
            &find(&all, "PodDisruptionBudget", "stillwell")["spec"]["selector"]["matchLabels"],
            &find(&all, "NetworkPolicy", "stillwell")["spec"]["podSelector"]["matchLabels"],
        ] {
            for (key, value) in selector.as_object().expect("labels") {
                assert_eq!(&labels[key], value, "{overlay}: {key}");
            }
        }
        let pod = &template["spec"];
        let config = find(&all, "ConfigMap", "stillwell");
        assert_eq!(
            pod["volumes"][0]["configMap"]["name"],
            config["metadata"]["name"]
        );
        configuration_loads(overlay, config);
        let account = find(&all, "ServiceAccount", "stillwell");
        assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
        let ports: Vec<&Value> = pod["containers"][0]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| &port["name"])
            .collect();
        for port in service["spec"]["ports"].as_array().expect("ports") {
            assert!(ports.contains(&&port["targetPort"]), "{overlay}: {port}");
        }
        for api in all.iter().filter(|one| one["kind"] == "APIService") {
            assert_eq!(
                api["spec"]["service"],
                json!({
                    "name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"],
                    "port": 443,
                })
            );
            let granted = find(&all, "ClusterRole", "stillwell:api-service");
            let names = granted["rules"][0]["resourceNames"]
                .as_array()
                .expect("names");
            assert!(names.contains(&api["metadata"]["name"]), "{overlay}");
        }
        let owned: Vec<&str> = all
            .iter()
            .filter(|one| one["kind"] == "APIService")
            .filter_map(|one| one["metadata"]["name"].as_str())
            .collect();
        let expected: &[&str] = match overlay {
            "overlays/keda-coexist" => &[
                "v1beta1.custom.metrics.k8s.io",
                "v1beta2.custom.metrics.k8s.io",
            ],
            "overlays/resource-metrics" => {
                &["v1beta1.external.metrics.k8s.io", "v1beta1.metrics.k8s.io"]
            }
            _ => &["v1beta1.external.metrics.k8s.io"],
        };
        assert_eq!(owned, expected, "{overlay}");
        let reader = find(&all, "RoleBinding", "stillwell-auth-reader");
        assert_eq!(reader["metadata"]["namespace"], "kube-system");
        let strategy = &deployment["spec"]["strategy"]["rollingUpdate"];
        let probe = &pod["containers"][0]["readinessProbe"]["httpGet"];
        assert_eq!(
            (&strategy["maxUnavailable"], &probe["path"]),
            (&json!(0), &json!("/-/ready"))
        );
    }
}

/// A gateway in another namespace than `default` was found, and refused us: of four places that named the namespace, the README
/// named one.
#[test]
fn the_namespace_of_monitors_is_given_once() {
    let Some(kubectl) = kubectl() else { return };
    let files = Files::new("monitors-overlay");
    let clone = files.write("unused", "").with_file_name("deploy");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(deploy())
        .arg(&clone)
        .status();
    assert!(copied.expect("cp runs").success());
    let overlay = clone.join("overlays/monitors");
    let pool = overlay.join("pool.yaml");
    let text = std::fs::read_to_string(&pool).expect("readable");
    std::fs::write(
        &pool,
        text.replace("namespace: default", "namespace: llm-d"),
    )
    .expect("writable");
    let output = Command::new(&kubectl)
        .arg("kustomize")
        .arg(&overlay)
        .output()
        .expect("kubectl runs");
    let all = documents(&String::from_utf8_lossy(&output.stdout));
    for (kind, name) in [
        ("Role", "stillwell-monitors"),
        ("RoleBinding", "stillwell-monitors"),
        ("HorizontalPodAutoscaler", "vllm-llama3-8b-instruct"),
    ] {
        assert_eq!(
            find(&all, kind, name)["metadata"]["namespace"],
            "llm-d",
            "{kind}"
        );
    }
    let config = &find(&all, "ConfigMap", "stillwell")["data"]["stillwell.yml"];
    let config = config.as_str().expect("text");
    assert!(config.contains("namespaces: ['llm-d']"), "{config}");
}

/// What a pod mounts is a configuration without errors, and what it turns on may be done.
fn configuration_loads(overlay: &str, config: &Value) {
    let files = Files::new("overlay");
    for (name, text) in config["data"].as_object().expect("files") {
        files.write(name, text.as_str().expect("text"));
    }
    let text = config["data"]["stillwell.yml"].as_str().expect("text");
    let folder = files.write("unused", "");
    let features = stillwell_engine::promql::Features::default();
    let loaded = app::load(text, folder.parent().expect("a folder"), &features);
    let config = loaded
        .unwrap_or_else(|problems| panic!("{overlay}: {problems:?}"))
        .config;
    assert_eq!(
        config.events.is_some(),
        overlay == "overlays/events",
        "{overlay}"
    );
}

/// What the chart renders to with these values.
fn chart(helm: &Path, values: &str) -> Vec<Value> {
    let folder = Files::new("chart");
    let file = folder.write("values.yaml", values);
    let mut template = Command::new(helm);
    let chart = deploy().join("helm");
    template.args(["--kube-version", "1.34.0"]);
    template.args([
        "template",
        "stillwell",
        "--namespace",
        "stillwell",
        "--values",
    ]);
    let output = template.arg(file).arg(chart).output().expect("helm runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values}: {errors}");
    documents(&String::from_utf8_lossy(&output.stdout))
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

#[test]
fn the_chart_has_the_objects_of_the_manifests_and_takes_the_adapters_values_as_they_are() {
    let Some(helm) = HELM.find() else { return };
    let output = Command::new(&helm)
        .args(["lint", "--strict"])
        .arg(deploy().join("helm"))
        .output()
        .expect("helm runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let rules = std::fs::read_to_string(deploy().join("base/config/igw-adapter-values.yaml"));
    let rules = rules.expect("readable");
    let all = "monitors: {enabled: true, namespaces: [llm, web]}\nevents: {enabled: true}\napiServices: {external: true, custom: true, resource: true}\n\
               signals: [{name: a, expr: sum(b)}]\nextraConfig: {scrape_configs: [{job_name: j, static_configs: [{targets: ['h:1']}]}]}\n";
    for (values, metrics) in [
        ("{}", vec![]),
        (
            rules.as_str(),
            vec!["igw_queue_depth", "igw_running_requests"],
        ),
        (all, vec!["a"]),
        (
            "keda: {enabled: false}\napiServices: {external: false}\n",
            vec![],
        ),
    ] {
        let objects = chart(&helm, values);
        objects.iter().for_each(strict);
        let files = Files::new("chart-config");
        let data = &find(&objects, "ConfigMap", "stillwell")["data"];
        for (name, text) in data.as_object().expect("files") {
            files.write(name, text.as_str().expect("text"));
        }
        let text = data["stillwell.yml"].as_str().expect("text");
        let features = stillwell_engine::promql::Features::default();
        let folder = files.write("unused", "");
        let loaded = app::load(text, folder.parent().expect("a folder"), &features);
        let config = loaded
            .unwrap_or_else(|problems| panic!("{values}: {problems:?}\n{text}"))
            .config;
        let names: Vec<&str> = config.signals.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, metrics, "{values}");
        let role = find(&objects, "ClusterRole", "stillwell")["rules"].to_string();
        assert_eq!(
            config.events.is_some(),
            role.contains("horizontalpodautoscalers")
        );
    }
    // What both ship is the same, but for the labels of a release.
    let objects = chart(&helm, &rules);
    let text = |name: &str| std::fs::read_to_string(deploy().join(name)).expect("readable");
    for (file, kind, at) in [
        ("base/service.yaml", "Service", "/spec/ports"),
        ("base/networkpolicy.yaml", "NetworkPolicy", "/spec/ingress"),
        ("base/networkpolicy.yaml", "NetworkPolicy", "/spec/egress"),
        ("base/apiservice.yaml", "APIService", "/spec"),
        ("base/deployment.yaml", "Deployment", "/spec/strategy"),
        (
            "base/deployment.yaml",
            "Deployment",
            "/spec/template/spec/securityContext",
        ),
        (
            "base/deployment.yaml",
            "Deployment",
            "/spec/template/spec/containers/0/args",
        ),
        (
            "base/deployment.yaml",
            "Deployment",
            "/spec/template/spec/containers/0/ports",
        ),
        (
            "base/deployment.yaml",
            "Deployment",
            "/spec/template/spec/containers/0/readinessProbe",
        ),
        (
            "base/deployment.yaml",
            "Deployment",
            "/spec/template/spec/containers/0/resources",
        ),
        (
            "base/deployment.yaml",
            "Deployment",
            "/spec/template/spec/containers/0/securityContext",
        ),
    ] {
        let ours = documents(&text(file))
            .into_iter()
            .find(|one| one["kind"] == kind);
        let charted = objects
            .iter()
            .find(|one| one["kind"] == kind)
            .expect("one of the kind");
        let ours = ours.expect("one of the kind");
        let (ours, charted) = (ours.pointer(at), charted.pointer(at));
        assert!(
            ours.is_some() && ours == charted,
            "{kind} {at}: {ours:?} {charted:?}"
        );
    }
    // Everything that the manifests may do, the chart may do, and nothing else.
    let granted = |objects: &[Value]| {
        let mut rules: Vec<String> = Vec::new();
        for role in objects.iter().filter(|one| one["kind"] == "ClusterRole") {
            rules.extend(
                role["rules"]
                    .as_array()
                    .expect("rules")
                    .iter()
                    .map(Value::to_string),
            );
        }
        rules.sort();
        rules
    };
    assert_eq!(
        granted(&objects),
        granted(&documents(&text("base/rbac.yaml")))
    );
}

/// A server process, ended with the test.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_runs_with_the_flags_of_the_deployment() {
    let text = std::fs::read_to_string(deploy().join("base/deployment.yaml")).expect("readable");
    let deployment = &documents(&text)[0];
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let text = std::fs::read_to_string(deploy().join("base/apiservice.yaml")).expect("readable");
    let mut api_service = documents(&text).remove(0);
    api_service["metadata"]["resourceVersion"] = json!("1");
    let name = api_service["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();

    let api = ApiServer::start().await;
    api.set_config([("requestheader-allowed-names", "[]".to_owned())]);
    api.state.lock().api_services = BTreeMap::from([(name.clone(), api_service)]);
    let files = Files::new("deployment");
    let config = deploy().join("base/config");
    let free = |_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.local_addr().expect("bound").port()
    };
    let [http, https] = [(); 2].map(free);
    let mut arguments: Vec<String> = container["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(Value::as_str)
        .map(|argument| {
            argument
                .replace("/etc/stillwell", &config.display().to_string())
                .replace("0.0.0.0:9090", &format!("127.0.0.1:{http}"))
                .replace("0.0.0.0:9091", "127.0.0.1:0")
                .replace("6443", &https.to_string())
        })
        .collect();
    arguments.push(format!("--kubeconfig={}", api.kubeconfig(&files).display()));
    let started = Command::new(env!("CARGO_BIN_EXE_stillwell"))
        .args(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _process = Process(started.expect("the binary runs"));
    let address = format!("127.0.0.1:{http}").parse().expect("an address");
    let healthy = || async { tokio::net::TcpStream::connect(address).await.is_ok() };
    eventually("a listener", healthy).await;
    let live = container["livenessProbe"]["httpGet"]["path"]
        .as_str()
        .expect("a path");
    assert_eq!(get(address, live).await.0, 200);
    // Its gateway has no address here: a failing target makes nobody wait for ever.
    let ready = container["readinessProbe"]["httpGet"]["path"]
        .as_str()
        .expect("a path");
    eventually("ready", || async { get(address, ready).await.0 == 200 }).await;
    eventually("our CA in the APIService", || async {
        api.state.lock().api_services[&name]["spec"]["caBundle"].is_string()
    })
    .await;
}
