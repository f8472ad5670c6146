//! The rows of the file: what each names, and what it is told.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use stillwell_engine::labels::{METRIC_NAME, Matcher};

use stillwell::rules::Objects;
use stillwell_adapters::objects::Selector;

use super::faces::{Faces, reference, series_of};
use super::generator::Generator;
use super::illegal;

/// What came of asking.
pub(crate) enum Outcome {
    /// A number, or several where a list is asked for.
    Served(String),
    /// An error that is right, and its text.
    Refused(String),
    /// Nothing that we are asked for.
    NotOurs(&'static str),
    /// Neither.
    Wrong(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Served(text) => write!(f, "served: {text}"),
            Outcome::Refused(text) => write!(f, "refused: {text}"),
            Outcome::NotOurs(why) => write!(f, "not ours: {why}"),
            Outcome::Wrong(text) => write!(f, "WRONG: {text}"),
        }
    }
}

pub(crate) struct Row {
    pub(crate) source: String,
    pub(crate) kind: String,
    text: String,
}

/// A metric that an HPA reads.
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) external: bool,
    /// `resource`, and the object's name.
    object: Option<(String, String)>,
    /// `matchLabels`.
    labels: Vec<(String, String)>,
}

impl Row {
    pub(crate) fn read(line: &str) -> Row {
        let row: Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |key: &str| row[key].as_str().expect("text").to_owned();
        Row {
            source: text("source"),
            kind: text("kind"),
            text: text("text"),
        }
    }

    /// Adds what it reads to the pages.
    pub(crate) fn generate(&self, generator: &mut Generator) {
        match self.kind.as_str() {
            "promql" => {
                generator.add_query(&self.text);
            }
            "scaledobject" => {
                for (_, metadata) in self.triggers() {
                    generator.add_query(metadata["query"].as_str().unwrap_or(""));
                }
            }
            "hpa" => {
                for metric in self.metrics() {
                    let own = metric.object.iter();
                    let own =
                        own.map(|(resource, name)| (label_of(resource).to_owned(), name.clone()));
                    let pairs = metric.labels.iter().cloned().chain(own);
                    let mut matchers: Vec<Matcher> = pairs
                        .map(|(label, value)| Matcher::equal(&label, &value))
                        .collect();
                    matchers.push(Matcher::equal(METRIC_NAME, &series_of(&metric.name)));
                    if !matchers.iter().any(|one| one.name() == "namespace") {
                        matchers.push(Matcher::equal("namespace", "v"));
                    }
                    generator.add_selector(&matchers, &BTreeSet::new());
                }
            }
            _ => {
                let (rules, _) = stillwell::rules::read(&self.text);
                for rule in rules.external.iter().chain(&rules.custom) {
                    let further = ["namespace", "pod", "service"].map(str::to_owned);
                    let Some(series) = generator.add_selector(&rule.series, &further.into()) else {
                        continue;
                    };
                    let selector = Selector::default();
                    let one = ("pod", Objects::One("v1"));
                    for query in [
                        stillwell::rules::query(rule, &series, "v", &selector),
                        stillwell::rules::object_query(rule, &series, "v", one, &selector),
                    ] {
                        generator.add_query(&query.unwrap_or_default());
                    }
                }
            }
        }
    }

    /// Type and metadata of the triggers of a ScaledObject.
    fn triggers(&self) -> Vec<(String, Value)> {
        let document = document(&self.text);
        let triggers = document["spec"]["triggers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        triggers
            .into_iter()
            .map(|trigger| {
                (
                    trigger["type"].as_str().unwrap_or("").to_owned(),
                    trigger["metadata"].clone(),
                )
            })
            .collect()
    }

    /// The metrics that an HPA reads.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        if self.kind != "hpa" {
            return Vec::new();
        }
        let document = document(&self.text);
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let sources = document["spec"]["metricsSources"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let of_sources = sources.into_iter().map(|source| Metric {
            name: text(&source["targetMetric"]),
            external: source["metricSourceType"] == "external",
            object: None,
            labels: Vec::new(),
        });
        let metrics = match document["metrics"].as_array() {
            Some(metrics) => metrics.clone(), // an excerpt
            None => document["spec"]["metrics"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        };
        let of_metrics = metrics.into_iter().filter_map(|metric| {
            let (kind, source) = match metric["type"].as_str()? {
                "External" => ("external", &metric["external"]),
                "Pods" => ("pods", &metric["pods"]),
                "Object" => ("object", &metric["object"]),
                _ => return None,
            };
            let labels = source["metric"]["selector"]["matchLabels"]
                .as_object()
                .into_iter()
                .flatten();
            // In v2beta1 the name stands beside the target.
            let name = source["metric"]["name"].as_str();
            let name = name.or(source["metricName"].as_str())?;
            let described = |kind: &str| match kind {
                "Namespace" => "namespaces".to_owned(),
                kind => format!("{}s", kind.to_ascii_lowercase()),
            };
            let object = match kind {
                "external" => None,
                "pods" => Some(("pods".to_owned(), "*".to_owned())),
                _ => {
                    let object = if source["describedObject"].is_null() {
                        &source["target"]
                    } else {
                        &source["describedObject"]
                    };
                    Some((described(object["kind"].as_str()?), text(&object["name"])))
                }
            };
            Some(Metric {
                name: name.to_owned(),
                external: kind == "external",
                object,
                labels: labels
                    .map(|(key, value)| (key.clone(), text(value)))
                    .collect(),
            })
        });
        of_sources.chain(of_metrics).collect()
    }

    /// What it is told: a line for each thing that it asks for.
    pub(crate) async fn ask(&self, faces: &Faces) -> Vec<(String, Outcome)> {
        faces.scrape();
        match self.kind.as_str() {
            "promql" => vec![(one_line(&self.text), ask_query(faces, &self.text).await)],
            "scaledobject" => self.ask_triggers(faces).await,
            "hpa" => self.ask_metrics(faces).await,
            _ => self.ask_rules(faces).await,
        }
    }

    async fn ask_triggers(&self, faces: &Faces) -> Vec<(String, Outcome)> {
        let mut outcomes = Vec::new();
        for (kind, metadata) in self.triggers() {
            let outcome = match kind.as_str() {
                "prometheus" => ask_query(faces, metadata["query"].as_str().unwrap_or("")).await,
                "external" | "external-push" => {
                    // Written for another scaler: what it is told is which key to write.
                    let mut keda = faces.keda.clone();
                    match keda.is_active(reference(&metadata)).await {
                        Ok(active) => Outcome::Served(format!("active {active}")),
                        Err(status)
                            if status.code() == tonic::Code::InvalidArgument
                                && status.message().contains(": ") =>
                        {
                            Outcome::Refused(status.message().to_owned())
                        }
                        Err(status) => Outcome::Wrong(status.to_string()),
                    }
                }
                _ => Outcome::NotOurs("a trigger of KEDA's own"),
            };
            outcomes.push((kind, outcome));
        }
        outcomes
    }

    async fn ask_metrics(&self, faces: &Faces) -> Vec<(String, Outcome)> {
        faces.rules_of_hpas().await;
        let mut outcomes = Vec::new();
        for metric in self.metrics() {
            let name = metric.name.replace('|', "%7C");
            let group = "/apis/custom.metrics.k8s.io/v1beta2";
            let path = match &metric.object {
                None => {
                    let labels: Vec<String> = metric
                        .labels
                        .iter()
                        .map(|(key, value)| format!("{key}%3D{value}"))
                        .collect();
                    format!(
                        "/apis/external.metrics.k8s.io/v1beta1/namespaces/v/{name}?labelSelector={}",
                        labels.join("%2C")
                    )
                }
                Some((resource, object)) if resource == "namespaces" => {
                    format!("{group}/namespaces/{object}/metrics/{name}")
                }
                Some((resource, object)) => {
                    format!("{group}/namespaces/v/{resource}/{object}/{name}")
                }
            };
            let (code, body) = faces.get(&path).await;
            let outcome = match (code, illegal(&self.text)) {
                (200, _) => Outcome::Served(values(&body)),
                _ => Outcome::Wrong(format!("{path}: {code} {}", body["message"])),
            };
            outcomes.push((metric.name, outcome));
        }
        if outcomes.is_empty() {
            let outcome = match self.text.contains("{{") {
                true => Outcome::NotOurs("a template that names its metric elsewhere"),
                false => Outcome::Wrong(one_line(&self.text)),
            };
            outcomes.push(("no metric".to_owned(), outcome));
        }
        outcomes
    }

    async fn ask_rules(&self, faces: &Faces) -> Vec<(String, Outcome)> {
        let what = one_line(&self.text);
        match (faces.rules(&self.text).await, illegal(&self.text)) {
            (Err(why), Some(says)) if why.contains(says) && why.contains("line ") => {
                return vec![(what, Outcome::Refused(why))];
            }
            (Err(why), _) => return vec![(what, Outcome::Wrong(why))],
            (Ok(()), Some(says)) => {
                return vec![(
                    what,
                    Outcome::Wrong(format!("taken, and {says:?} was expected")),
                )];
            }
            (Ok(()), None) => {}
        }
        let (rules, _) = stillwell::rules::read(&self.text);
        // The chart's own rules list each series under each kind that one of its labels names, `job` among them.
        let of_the_chart = self.text.contains("default: true");
        let mut outcomes = Vec::new();
        for (group, own) in [("external", &rules.external), ("custom", &rules.custom)] {
            if own.is_empty() {
                continue;
            }
            let version = "v1beta1";
            let base = format!("/apis/{group}.metrics.k8s.io/{version}");
            let (_, list) = faces.get(&base).await;
            let names = list["resources"].as_array().cloned().unwrap_or_default();
            for name in names.iter().filter_map(|one| one["name"].as_str()) {
                let path = match name.split_once('/') {
                    None => format!("{base}/namespaces/v/{name}"),
                    Some(("namespaces", metric)) => format!("{base}/namespaces/v/metrics/{metric}"),
                    Some((resource, metric)) => {
                        let metric = metric.replace('|', "%7C");
                        format!("{base}/namespaces/v/{resource}/*/{metric}")
                    }
                };
                let (code, body) = faces.get(&path).await;
                let message = body["message"].as_str().unwrap_or("");
                let outcome = match code {
                    200 => Outcome::Served(values(&body)),
                    // One of several labels that the series have names the kind; what the query yields has none.
                    503 | 404
                        if message.contains("the query")
                            || message.contains("group")
                            || message.contains("elements")
                            // The pages have other namespaces, which it names.
                            || (message.contains("is not there for") && message.contains("seen:"))
                            || (of_the_chart && message.contains("its series name none of"))
                            || says_why(message) =>
                    {
                        Outcome::Refused(message.to_owned())
                    }
                    _ => Outcome::Wrong(format!("{path}: {code} {body}")),
                };
                outcomes.push((name.to_owned(), outcome));
            }
        }
        if outcomes.is_empty() {
            outcomes.push((what, Outcome::Wrong("no metric is listed".to_owned())));
        }
        outcomes
    }
}

/// Asks for a query as a dashboard does and as KEDA does, and compares.
async fn ask_query(faces: &Faces, query: &str) -> Outcome {
    let form = encoded(query);
    let (code, plain) = faces.get(&format!("/api/v1/query?query={form}")).await;
    let (guarded_code, guarded) = faces
        .get(&format!("/guarded/api/v1/query?query={form}"))
        .await;
    let error = guarded["error"].as_str().unwrap_or("").to_owned();
    if let Some(says) = illegal(query) {
        let refused = code == 400 && guarded_code == 400 && error.contains(says);
        return match refused {
            true => Outcome::Refused(error),
            false => Outcome::Wrong(format!("{code} {guarded_code} {error}")),
        };
    }
    if code != 200 {
        return Outcome::Wrong(format!("{code} {plain}"));
    }
    let elements = plain["data"]["result"].as_array().map_or(1, Vec::len);
    match (elements, guarded_code) {
        (1, 200) => same(&plain, &guarded),
        (0, 503) if says_why(&error) => Outcome::Refused(error),
        (0, 200) => Outcome::Served(format!("proven {}", number(&guarded))),
        (2.., 422) if error.contains("multi=sum") => {
            let (code, summed) = faces
                .get(&format!("/guarded/api/v1/query?query={form}&multi=sum"))
                .await;
            match code {
                200 => Outcome::Served(format!(
                    "{elements} elements, their sum {}",
                    number(&summed)
                )),
                code => Outcome::Wrong(format!("{elements} elements, multi=sum: {code} {summed}")),
            }
        }
        // A bucket that only another query reads makes a quantile NaN.
        (_, 503) if error.contains("(`@`)") || error.contains("nan: zero") => {
            Outcome::Refused(error)
        }
        _ => Outcome::Wrong(format!("{elements} elements, {guarded_code} {guarded}")),
    }
}

/// Whether a reason for an empty result says what to write.
fn says_why(error: &str) -> bool {
    [
        "or vector(0)",
        "`@`",
        "absent: zero",
        "take the sum of it",
        "pin the label",
        "nan: zero",
        "multi",
    ]
    .iter()
    .any(|fix| error.contains(fix))
}

fn same(plain: &Value, guarded: &Value) -> Outcome {
    let (plain, guarded) = (number(plain), number(guarded));
    // Rates differ by the page that came in between.
    let near = (plain - guarded).abs() <= 0.02 * plain.abs().max(1e-9);
    match near || (plain.is_nan() && guarded.is_nan()) {
        true => Outcome::Served(guarded.to_string()),
        false => Outcome::Wrong(format!("{plain} by the query, {guarded} guarded")),
    }
}

fn number(body: &Value) -> f64 {
    let result = &body["data"]["result"];
    let value = if result[0].is_object() {
        &result[0]["value"][1]
    } else {
        &result[1]
    };
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN)
}

fn values(body: &Value) -> String {
    let items = body["items"].as_array().into_iter().flatten();
    let values: Vec<&str> = items.filter_map(|item| item["value"].as_str()).collect();
    values.join(", ")
}

/// The label by which the rules of this test name objects of a resource.
fn label_of(resource: &str) -> &str {
    resource.trim_end_matches('s')
}

/// A manifest, without the lines of a template around it.
fn document(text: &str) -> Value {
    let plain = text.lines().filter(|line| !line.contains("{{"));
    let plain: Vec<&str> = plain.collect();
    serde_saphyr::from_str(&plain.join("\n")).unwrap_or(Value::Null)
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line[..line.floor_char_boundary(90)].to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
