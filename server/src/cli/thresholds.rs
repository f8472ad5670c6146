//! Lint of `check config`: targets of HorizontalPodAutoscalers and thresholds of ScaledObjects that what they read never
//! reaches, because it is a share of a capacity (0 to 1). Such a scaler never scales out, and nothing says so.

use stillwell_engine::promql::Features;
use stillwell_engine::signal::{Bound, bound};

use crate::config::Config;
use crate::yaml::{Kind, Node, parse};

/// Read from a manifest.
const BYTES_MAX: u64 = 16 << 20;

/// A number that a scaler waits for.
struct Threshold {
    /// In its manifest.
    line: usize,
    /// Kind, namespace and name.
    scaler: String,
    reads: Reads,
    /// The key that holds it.
    key: &'static str,
    text: String,
}

enum Reads {
    /// A metric by name.
    Metric(String),
    /// A query of its own.
    Query(String),
}

/// What there is to say of the scalers in a manifest, with lines. Error: it cannot be read.
pub(super) fn of_file(config: &Config, path: &str) -> Result<Vec<(usize, String)>, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?;
    if size.len() > BYTES_MAX {
        return Err(format!("{path}: more than {BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    of_manifest(config, &text).map_err(|why| format!("{path}: {why}"))
}

/// The same of a text of one or more documents.
pub(super) fn of_manifest(config: &Config, text: &str) -> Result<Vec<(usize, String)>, String> {
    let mut found = Vec::new();
    for (before, document) in documents(text) {
        let tree = parse(&document).map_err(|problem| {
            let line = problem.line + before;
            format!("line {line}: {}", problem.message)
        })?;
        for threshold in thresholds(&tree) {
            if let Some(why) = never_reached(config, &threshold) {
                found.push((threshold.line + before, why));
            }
        }
    }
    Ok(found)
}

/// Documents of a YAML text, each with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut all = vec![(0, String::new())];
    for (at, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            all.push((at + 1, String::new()));
        } else if let Some((_, document)) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    all
}

fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| match &node.kind {
        Kind::Map(entries) => {
            let entry = entries.iter().find(|entry| entry.key == *key)?;
            Some(&entry.value)
        }
        _ => None,
    })
}

fn text<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    match &at(node, path)?.kind {
        Kind::Scalar { text } => Some(text),
        _ => None,
    }
}

fn list<'n>(node: &'n Node, path: &[&str]) -> &'n [Node] {
    match at(node, path).map(|node| &node.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}

/// The numbers that the scalers of a document wait for.
fn thresholds(tree: &Node) -> Vec<Threshold> {
    let kind = text(tree, &["kind"]).unwrap_or("");
    if kind == "List" || kind.ends_with("List") {
        return list(tree, &["items"]).iter().flat_map(thresholds).collect();
    }
    let namespace = text(tree, &["metadata", "namespace"]).unwrap_or("default");
    let name = text(tree, &["metadata", "name"]).unwrap_or("?");
    let scaler = format!("{kind} {namespace}/{name}");
    match kind {
        "HorizontalPodAutoscaler" => {
            let metrics = list(tree, &["spec", "metrics"]).iter();
            metrics
                .flat_map(|metric| of_metric(metric, &scaler))
                .collect()
        }
        "ScaledObject" => {
            let triggers = list(tree, &["spec", "triggers"]).iter();
            triggers.flat_map(|one| of_trigger(one, &scaler)).collect()
        }
        _ => Vec::new(),
    }
}

fn of_metric(metric: &Node, scaler: &str) -> Vec<Threshold> {
    let source = match text(metric, &["type"]) {
        Some("External") => "external",
        Some("Pods") => "pods",
        Some("Object") => "object",
        _ => return Vec::new(),
    };
    let Some(name) = text(metric, &[source, "metric", "name"]) else {
        return Vec::new();
    };
    let of_key = |key: &'static str| {
        let node = at(metric, &[source, "target", key])?;
        let Kind::Scalar { text } = &node.kind else {
            return None;
        };
        Some(Threshold {
            line: node.line,
            scaler: scaler.to_owned(),
            reads: Reads::Metric(name.to_owned()),
            key,
            text: text.clone(),
        })
    };
    ["value", "averageValue"]
        .into_iter()
        .filter_map(of_key)
        .collect()
}

fn of_trigger(trigger: &Node, scaler: &str) -> Vec<Threshold> {
    let reads = || match text(trigger, &["type"])? {
        "external" | "external-push" => match text(trigger, &["metadata", "signal"]) {
            Some(name) => Some(Reads::Metric(name.trim().to_owned())),
            None => Some(Reads::Query(
                text(trigger, &["metadata", "query"])?.to_owned(),
            )),
        },
        "prometheus" => Some(Reads::Query(
            text(trigger, &["metadata", "query"])?.to_owned(),
        )),
        _ => None,
    };
    let of_key = |key: &'static str| {
        let node = at(trigger, &["metadata", key])?;
        let Kind::Scalar { text } = &node.kind else {
            return None;
        };
        Some(Threshold {
            line: node.line,
            scaler: scaler.to_owned(),
            reads: reads()?,
            key,
            text: text.clone(),
        })
    };
    ["threshold", "activationThreshold"]
        .into_iter()
        .filter_map(of_key)
        .collect()
}

/// Why what a scaler reads never gets as far as its threshold; `None` where it may, or nothing is known.
fn never_reached(config: &Config, threshold: &Threshold) -> Option<String> {
    let (query, what) = match &threshold.reads {
        Reads::Query(query) => (query.as_str(), format!("{query:?}")),
        Reads::Metric(name) => {
            let mut signals = config.signals.iter();
            let signal = signals.find(|signal| signal.name.eq_ignore_ascii_case(name))?;
            (signal.expr.as_str(), format!("signal {:?}", signal.name))
        }
    };
    let Bound { metric, most } = bound(query, &config.signal_names, &Features::all()).ok()??;
    let number = quantity(&threshold.text)?;
    let Threshold {
        scaler, key, text, ..
    } = threshold;
    (number > most).then(|| {
        format!(
            "{scaler}: {key} {text} is never reached: {what} is made of {metric}, which goes from 0 to 1, and is {most} at \
             most; write a share of that ({}), or multiply the query",
            most * 0.8
        )
    })
}

/// A quantity of Kubernetes as a number: decimal digits and one of its suffixes.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return Some(number);
    }
    SUFFIXES.iter().find_map(|(suffix, factor)| {
        let digits = text.strip_suffix(suffix)?;
        Some(digits.parse::<f64>().ok()? * factor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "signals:\n- {name: cache, expr: max(vllm:kv_cache_usage_perc)}\n\
                    - {name: cache-percent, expr: 100 * max(vllm:kv_cache_usage_perc)}\n\
                    - {name: queue, expr: sum(vllm:num_requests_waiting)}\n";
        crate::config::load(text).0.expect("valid")
    }

    fn hpa(metric: &str, target: &str) -> String {
        format!(
            "# a comment\n---\nkind: HorizontalPodAutoscaler\nmetadata: {{name: h, namespace: n}}\nspec:\n  metrics:\n  - type: External\n    external:\n\
             \x20     metric: {{name: {metric}}}\n      target: {target}\n"
        )
    }

    #[test]
    fn a_target_that_a_share_never_reaches_is_named_with_its_line() {
        for (text, says) in [
            (hpa("Cache", "{type: Value, value: '80'}"), Some((10, "HorizontalPodAutoscaler n/h: value 80 is never reached"))),
            (hpa("cache", "{type: AverageValue, averageValue: 1500m}"), Some((10, "1 at most"))),
            (hpa("cache", "{type: Value, value: 800m}"), None),
            (hpa("cache-percent", "{type: Value, value: 80}"), None),
            (hpa("cache-percent", "{type: Value, value: 1k}"), Some((10, "100 at most"))),
            (hpa("queue", "{type: Value, value: 80}"), None),
            (hpa("another", "{type: Value, value: 80}"), None),
            (
                "kind: ScaledObject\nmetadata: {name: s}\nspec:\n  triggers:\n  - type: prometheus\n    metadata:\n      query: avg(vllm:gpu_cache_usage_perc)\n      threshold: '70'\n".to_owned(),
                Some((8, "threshold 70 is never reached")),
            ),
            (
                "kind: ScaledObject\nspec:\n  triggers:\n  - type: external-push\n    metadata: {signal: cache, threshold: '0.8', activationThreshold: '5'}\n".to_owned(),
                Some((5, "activationThreshold 5")),
            ),
            ("kind: Deployment\n".to_owned(), None),
            ("3\n".to_owned(), None),
        ] {
            let found = of_manifest(&config(), &text).expect("YAML");
            match says {
                None => assert!(found.is_empty(), "{text}: {found:?}"),
                Some((line, says)) => {
                    assert_eq!(found.len(), 1, "{text}: {found:?}");
                    assert_eq!(found[0].0, line, "{text}");
                    assert!(found[0].1.contains(says), "{:?}", found[0]);
                }
            }
        }
        let error = of_manifest(&config(), "a: 1\n---\nb: [\n").expect_err("not YAML");
        assert!(error.contains("line "), "{error}");
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, number) in [
            ("80", Some(80.0)),
            ("0.8", Some(0.8)),
            ("800m", Some(0.8)),
            ("2k", Some(2000.0)),
            ("1Ki", Some(1024.0)),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(quantity(text), number, "{text}");
        }
    }
}
