//! Lint of `check config`: targets of HorizontalPodAutoscalers and thresholds of ScaledObjects that what they read never
//! reaches, because it is a share of a capacity (0 to 1). Such a scaler never scales out, and nothing says so.

use stillwell_engine::promql::Features;
use stillwell_engine::signal::{Bound, bound};

use super::tree::{at, list, quantity, text};
use crate::config::Config;
use crate::yaml::{Kind, Node};

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

/// What there is to say of the scaler that a document is, with lines.
pub(super) fn of_document(config: &Config, tree: &Node, scaler: &str) -> Vec<(usize, String)> {
    let thresholds = thresholds(tree, scaler).into_iter();
    thresholds
        .filter_map(|threshold| Some((threshold.line, never_reached(config, &threshold)?)))
        .collect()
}

/// The numbers that the scalers of a document wait for.
fn thresholds(tree: &Node, scaler: &str) -> Vec<Threshold> {
    match text(tree, &["kind"]).unwrap_or("") {
        "HorizontalPodAutoscaler" => {
            let metrics = list(tree, &["spec", "metrics"]).iter();
            metrics
                .flat_map(|metric| of_metric(metric, scaler))
                .collect()
        }
        "ScaledObject" | "ScaledJob" => {
            let triggers = list(tree, &["spec", "triggers"]).iter();
            triggers.flat_map(|one| of_trigger(one, scaler)).collect()
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
        let Kind::Scalar { text, .. } = &node.kind else {
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
        let Kind::Scalar { text, .. } = &node.kind else {
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

#[cfg(test)]
mod tests {
    use super::super::{Level, of_manifest};
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
            let mut found = of_manifest(&config(), &text).expect("YAML");
            found.retain(|one| one.level == Level::Warning && one.text.contains("reached"));
            match says {
                None => assert!(found.is_empty(), "{text}: {found:?}"),
                Some((line, says)) => {
                    assert_eq!(found.len(), 1, "{text}: {found:?}");
                    assert_eq!(found[0].line, line, "{text}");
                    assert!(found[0].text.contains(says), "{:?}", found[0]);
                }
            }
        }
        let error = of_manifest(&config(), "a: 1\n---\nb: [\n").expect_err("not YAML");
        assert!(error.contains("line "), "{error}");
    }
}
