//! A Kubernetes API server for tests, as far as we ask one: TokenReview, SubjectAccessReview, the authentication
//! ConfigMap with watches, APIServices. It remembers what it was asked and misbehaves on demand.
#![allow(dead_code, unreachable_pub, reason = "every test takes what it needs")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::certificates::{Authority, Files};

/// The token by which we are known to it.
const OWN_TOKEN: &str = "own-token";

/// How a kind of question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Answers,
    /// With this code, and a Status.
    Fails(u16),
    /// Takes the question and never answers.
    Hangs,
}

/// One question.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub content_type: String,
    pub accept: String,
    pub body: Value,
}

#[derive(Default)]
pub struct State {
    /// Users by token.
    pub tokens: BTreeMap<String, Value>,
    /// User names that may do everything.
    pub allowed: Vec<String>,
    pub config: BTreeMap<String, String>,
    pub version: u64,
    pub api_services: BTreeMap<String, Value>,
    pub asked: Vec<Asked>,
    pub token_mood: Option<Mood>,
    pub access_mood: Option<Mood>,
    pub config_mood: Option<Mood>,
    /// Objects by the path of their list: name and labels.
    pub objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Of lists of objects.
    pub objects_mood: Option<Mood>,
    object_watchers: BTreeMap<String, Vec<mpsc::UnboundedSender<Bytes>>>,
    watchers: Vec<mpsc::UnboundedSender<Bytes>>,
}

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

#[derive(Clone)]
pub struct ApiServer {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
    ca: String,
}

impl ApiServer {
    pub async fn start() -> ApiServer {
        let authority = Authority::new("cluster");
        let pair = authority.server("127.0.0.1");
        let acceptor = TlsAcceptor::from(Arc::new(pair.server_config()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let server = ApiServer {
            address: listener.local_addr().expect("bound"),
            state: Arc::default(),
            ca: authority.certificate.pem(),
        };
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request.map(Body::new)).await) }
                    });
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok(); // clients come and go
                });
            }
        });
        server
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self, files: &Files) -> std::path::PathBuf {
        let ca = files.write("cluster.crt", &self.ca);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.address), "certificate-authority": ca,
            }}],
            "users": [{"name": "us", "user": {"token": OWN_TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "us"}}],
        });
        files.write("kubeconfig", &text.to_string())
    }

    /// Replaces keys of the ConfigMap and tells whoever watches it.
    pub fn set_config<'k>(&self, pairs: impl IntoIterator<Item = (&'k str, String)>) {
        let mut state = self.state.lock();
        for (key, value) in pairs {
            state.config.insert(key.to_owned(), value);
        }
        state.version += 1;
        let event = json!({"type": "MODIFIED", "object": config_map(&state)});
        let line = Bytes::from(format!("{event}\n"));
        state
            .watchers
            .retain(|watcher| watcher.send(line.clone()).is_ok());
    }

    /// Adds or replaces an object of the list at this path, or removes it where there are no labels, and tells whoever
    /// watches the list.
    pub fn put_object(&self, path: &str, name: &str, labels: Option<Value>) {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        let objects = state.objects.entry(path.to_owned()).or_default();
        let (kind, labels) = match labels {
            Some(labels) => {
                objects.insert(name.to_owned(), labels.clone());
                ("MODIFIED", labels)
            }
            None => ("DELETED", objects.remove(name).unwrap_or_default()),
        };
        let event = json!({"type": kind, "object": partial(path, name, &labels, version)});
        tell(&mut state.object_watchers, path, &event);
    }

    /// Ends every watch.
    pub fn disconnect(&self) {
        self.state.lock().watchers.clear();
    }

    pub fn watchers(&self) -> usize {
        let mut state = self.state.lock();
        state.watchers.retain(|watcher| !watcher.is_closed());
        state.watchers.len()
    }

    /// The questions of one kind.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let state = self.state.lock();
        let asked = state.asked.iter().filter(|asked| asked.path == path);
        asked.cloned().collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| {
            let value = parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or("").to_owned()
        };
        if header("authorization") != format!("Bearer {OWN_TOKEN}") {
            return status(401, "Unauthorized");
        }
        let body = to_bytes(body, 1 << 20).await.expect("a small body");
        let asked = Asked {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or("").to_owned(),
            content_type: header("content-type"),
            accept: header("accept"),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        };
        self.state.lock().asked.push(asked.clone());
        let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
        match (asked.method.as_str(), segments.as_slice()) {
            ("POST", ["apis", "authentication.k8s.io", "v1", "tokenreviews"]) => {
                let mood = self.state.lock().token_mood;
                self.in_mood(mood, || self.token_review(&asked.body)).await
            }
            ("POST", ["apis", "authorization.k8s.io", "v1", "subjectaccessreviews"]) => {
                let mood = self.state.lock().access_mood;
                self.in_mood(mood, || self.access_review(&asked.body)).await
            }
            (
                "GET",
                [
                    "api",
                    "v1",
                    "namespaces",
                    "kube-system",
                    "configmaps",
                    rest @ ..,
                ],
            ) => {
                let mood = self.state.lock().config_mood;
                let watch = rest.is_empty();
                self.in_mood(mood, || if watch { self.watch() } else { self.config() })
                    .await
            }
            (method, ["apis", "apiregistration.k8s.io", "v1", "apiservices", name]) => {
                self.api_service(method, name, &asked.body)
            }
            ("GET", ["apis", "apiregistration.k8s.io", "v1", "apiservices"]) => {
                let (tell, told) = mpsc::unbounded_channel();
                let mut state = self.state.lock();
                let watchers = state
                    .object_watchers
                    .entry(API_SERVICES.to_owned())
                    .or_default();
                watchers.push(tell);
                Response::new(Body::new(Stream(told)))
            }
            ("GET", ["api"]) => discovery(&CORE_KINDS),
            ("GET", ["apis"]) => discovery(&KINDS),
            ("GET", _) => {
                let mood = self.state.lock().objects_mood;
                self.in_mood(mood, || self.objects(&asked)).await
            }
            _ => status(404, "NotFound"),
        }
    }

    /// A list of objects, or a watch on it.
    fn objects(&self, asked: &Asked) -> Response<Body> {
        let mut state = self.state.lock();
        let version = state.version;
        let Some(objects) = state.objects.get(&asked.path) else {
            return status(404, "NotFound");
        };
        if asked.query.contains("watch=") {
            let (tell, told) = mpsc::unbounded_channel();
            let watchers = state.object_watchers.entry(asked.path.clone()).or_default();
            watchers.push(tell);
            return Response::new(Body::new(Stream(told)));
        }
        let selector = selector_of(&asked.query);
        let fits = |labels: &Value| selector.matches_object(|label| labels[label].as_str());
        let objects = objects.iter().filter(|(_, labels)| fits(labels));
        let items = objects.map(|(name, labels)| partial(&asked.path, name, labels, version));
        let (api_version, kind) = match asked.accept.contains("PartialObjectMetadata") {
            true => ("meta.k8s.io/v1", "PartialObjectMetadataList".to_owned()),
            false => ("v1", list_kind(&asked.path)),
        };
        let list = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"resourceVersion": version.to_string()},
            "items": items.collect::<Vec<_>>(),
        });
        answer(200, &list)
    }

    async fn in_mood(
        &self,
        mood: Option<Mood>,
        answer: impl FnOnce() -> Response<Body>,
    ) -> Response<Body> {
        match mood.unwrap_or(Mood::Answers) {
            Mood::Answers => answer(),
            Mood::Fails(code) => status(code, "InternalError"),
            Mood::Hangs => std::future::pending().await,
        }
    }

    fn token_review(&self, review: &Value) -> Response<Body> {
        let token = review["spec"]["token"].as_str().unwrap_or("");
        let state = self.state.lock();
        let status = match state.tokens.get(token) {
            Some(user) => json!({"authenticated": true, "user": user}),
            None => json!({"authenticated": false, "error": "invalid bearer token"}),
        };
        reviewed(review, status)
    }

    fn access_review(&self, review: &Value) -> Response<Body> {
        let user = review["spec"]["user"].as_str().unwrap_or("");
        let allowed = self.state.lock().allowed.iter().any(|one| one == user);
        let status = if allowed {
            json!({"allowed": true, "reason": "RBAC: allowed by the test"})
        } else {
            json!({"allowed": false, "reason": "no rule of the test allows it"})
        };
        reviewed(review, status)
    }

    fn config(&self) -> Response<Body> {
        let state = self.state.lock();
        if state.config.is_empty() {
            return status(404, "NotFound");
        }
        answer(200, &config_map(&state))
    }

    fn watch(&self) -> Response<Body> {
        let (tell, told) = mpsc::unbounded_channel();
        self.state.lock().watchers.push(tell);
        Response::new(Body::new(Stream(told)))
    }

    fn api_service(&self, method: &str, name: &str, patch: &Value) -> Response<Body> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(service) = state.api_services.get_mut(name) else {
            return status(404, "NotFound");
        };
        if method == "PATCH" {
            let known = &service["metadata"]["resourceVersion"];
            if patch["metadata"]["resourceVersion"] != *known {
                return status(409, "Conflict");
            }
            let next: u64 = known
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
                + 1;
            merge(service, patch);
            service["metadata"]["resourceVersion"] = json!(next.to_string());
            let (event, path) = (json!({"type": "MODIFIED", "object": service}), API_SERVICES);
            tell(&mut state.object_watchers, path, &event);
        }
        answer(200, service)
    }

    /// Replaces an APIService, as somebody else would.
    pub fn put_api_service(&self, name: &str, service: Value) {
        let mut state = self.state.lock();
        let event = json!({"type": "MODIFIED", "object": service});
        state.api_services.insert(name.to_owned(), service);
        tell(&mut state.object_watchers, API_SERVICES, &event);
    }

    /// Watches on APIServices.
    pub fn api_service_watches(&self) -> usize {
        let mut state = self.state.lock();
        let watchers = state
            .object_watchers
            .entry(API_SERVICES.to_owned())
            .or_default();
        watchers.retain(|watcher| !watcher.is_closed());
        watchers.len()
    }
}

/// Tells whoever watches a collection.
fn tell(
    watchers: &mut BTreeMap<String, Vec<mpsc::UnboundedSender<Bytes>>>,
    path: &str,
    event: &Value,
) {
    let line = Bytes::from(format!("{event}\n"));
    let watchers = watchers.entry(path.to_owned()).or_default();
    watchers.retain(|watcher| watcher.send(line.clone()).is_ok());
}

/// An APIService that points at a Service.
pub fn api_service(name: &str, namespace: &str, service: &str) -> Value {
    let (version, group) = name.split_once('.').expect("version.group");
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "resourceVersion": "7", "labels": {"app.kubernetes.io/part-of": "keda-operator"}},
        "spec": {
            "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true,
            "service": {"namespace": namespace, "name": service, "port": 443},
        },
    })
}

/// An object, as far as its metadata says.
/// An object of a list. In one of all namespaces its name is `namespace/name`.
fn partial(path: &str, name: &str, labels: &Value, version: u64) -> Value {
    let of_path = path.split_once("/namespaces/");
    let of_path = of_path.and_then(|(_, rest)| Some(rest.split_once('/')?.0));
    let (namespace, name) = match (of_path, name.split_once('/')) {
        (Some(namespace), _) => (namespace, name),
        (None, Some(both)) => both,
        (None, None) => ("", name),
    };
    let mut metadata =
        json!({"name": name, "labels": labels, "resourceVersion": version.to_string()});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata,
    })
}

/// Of a list that is not asked for as metadata alone.
fn list_kind(path: &str) -> String {
    let plural = path.rsplit('/').next().unwrap_or("");
    let mut kinds = CORE_KINDS.iter().chain(&KINDS);
    let kind = kinds.find(|row| row.2 == plural).map_or("", |row| row.3);
    format!("{kind}List")
}

/// What a list is restricted to.
fn selector_of(query: &str) -> stillwell_adapters::objects::Selector {
    let form = stillwell_adapters::form::Form::parse(Some(query));
    stillwell_adapters::objects::Selector::parse(form.get("labelSelector")).expect("valid")
}

/// Group, version, plural, kind, singular, and whether its objects are in namespaces.
type KindRow = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
);

const CORE_KINDS: [KindRow; 4] = [
    ("", "v1", "pods", "Pod", "pod", true),
    ("", "v1", "services", "Service", "service", true),
    ("", "v1", "namespaces", "Namespace", "namespace", false),
    ("", "v1", "nodes", "Node", "node", false),
];

const KINDS: [KindRow; 4] = [
    ("cheese.io", "v2", "brands", "Brand", "brand", true),
    (
        "apps",
        "v1",
        "deployments",
        "Deployment",
        "deployment",
        true,
    ),
    ("batch", "v1", "jobs", "Job", "job", true),
    (
        "inference.networking.k8s.io",
        "v1",
        "inferencepools",
        "InferencePool",
        "inferencepool",
        true,
    ),
];

/// Aggregated discovery of these kinds.
fn discovery(kinds: &[KindRow]) -> Response<Body> {
    let mut items: Vec<Value> = Vec::new();
    for (group, version, plural, kind, singular, namespaced) in kinds {
        let scope = if *namespaced { "Namespaced" } else { "Cluster" };
        let resource = json!({
            "resource": plural, "responseKind": {"group": group, "version": version, "kind": kind},
            "scope": scope, "singularResource": singular, "verbs": ["get", "list", "watch"],
        });
        match items
            .iter_mut()
            .find(|item| item["metadata"]["name"] == *group)
        {
            Some(item) => {
                let resources = item["versions"][0]["resources"].as_array_mut();
                resources.expect("a list").push(resource);
            }
            None => items.push(json!({
                "metadata": {"name": group},
                "versions": [{"version": version, "freshness": "Current", "resources": [resource]}],
            })),
        }
    }
    let list = json!({
        "apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {},
        "items": items,
    });
    let mut response = answer(200, &list);
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let content_type = aggregated.parse().expect("a header");
    response.headers_mut().insert("content-type", content_type);
    response
}

fn config_map(state: &State) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "extension-apiserver-authentication", "namespace": "kube-system",
            "resourceVersion": state.version.to_string(),
        },
        "data": state.config,
    })
}

fn reviewed(review: &Value, status: Value) -> Response<Body> {
    let mut review = review.clone();
    review["status"] = status;
    answer(201, &review)
}

fn status(code: u16, reason: &str) -> Response<Body> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the test says {reason}"), "reason": reason, "code": code,
    });
    answer(code, &body)
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a code");
    let json = "application/json".parse().expect("a header");
    response.headers_mut().insert("content-type", json);
    response
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().expect("made one above");
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A body that goes on while somebody tells.
struct Stream(mpsc::UnboundedReceiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
