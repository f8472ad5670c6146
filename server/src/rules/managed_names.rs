//! Metric names of Google's Managed Service for Prometheus, as HPAs on GKE have them:
//! `prometheus.googleapis.com|vllm:num_requests_waiting|gauge`. The name says which series it is of and how to read it, so
//! such an HPA needs no rule.

use std::sync::{Arc, LazyLock};

use super::rule::Rule;

const PREFIX: &str = "prometheus.googleapis.com|";

/// A gauge is summed over the series of an object; of a counter its rate is, as Cloud Monitoring aligns it.
const RULES: &str = "rules:
- seriesQuery: gauge
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: counter
  resources: {template: <<.Resource>>}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
";

static READ: LazyLock<Vec<Arc<Rule>>> = LazyLock::new(|| {
    let (file, _) = super::read(RULES);
    file.custom.into_iter().map(Arc::new).collect()
});

/// The rule that such a name stands for, and the series; `None` for any other name.
pub fn managed_name(metric: &str) -> Option<(&'static Arc<Rule>, &str)> {
    let (series, kind) = metric.strip_prefix(PREFIX)?.rsplit_once('|')?;
    let at = match kind {
        "gauge" | "unknown" => 0,
        "counter" => 1,
        _ => return None,
    };
    Some((READ.get(at)?, series)).filter(|_| !series.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_series_and_how_it_is_read() {
        assert_eq!(READ.len(), 2);
        let read = |metric| {
            let (rule, series) = managed_name(metric)?;
            Some((rule.line, series))
        };
        for (metric, expected) in [
            (
                "prometheus.googleapis.com|vllm:x|gauge",
                Some((2, "vllm:x")),
            ),
            (
                "prometheus.googleapis.com|x_total|counter",
                Some((5, "x_total")),
            ),
            ("prometheus.googleapis.com|x|histogram", None),
            ("prometheus.googleapis.com||gauge", None),
            ("vllm:x", None),
        ] {
            assert_eq!(read(metric), expected, "{metric}");
        }
    }
}
