//! Words of MetricsQL, VictoriaMetrics' language, that PromQL does not have, with the nearest that it has: rules and dashboards are
//! carried from one server to the other, and a parse error alone says nothing of where such a word is from.

use super::error::SourceError;
use crate::plan::Span;

/// Words that mean the same here, and what to write for them.
static WORDS: &[(&[&str], &str)] = &[
    // Operators and what stands among them.
    (
        &["default"],
        "`or vector(N)` after an aggregation without labels; where there are labels, a number for each group that is missing \
         cannot be written",
    ),
    (&["if"], "`and`"),
    (&["ifnot"], "`unless`"),
    (
        &["keep_metric_names"],
        "no such word: functions drop the name, and `label_replace` writes another",
    ),
    (&["limit"], "`limitk(N, ...)` or `topk(N, ...)`"),
    (&["with"], "the expression written out"),
    // Functions of a range.
    (
        &["rollup", "default_rollup", "keep_last_value"],
        "`last_over_time`",
    ),
    (&["rollup_rate", "rate_prometheus"], "`rate`"),
    (
        &["rollup_increase", "increase_pure", "increase_prometheus"],
        "`increase`",
    ),
    (&["rollup_delta", "delta_prometheus"], "`delta`"),
    (&["rollup_deriv", "ideriv"], "`deriv`"),
    (&["changes_prometheus"], "`changes`"),
    (
        &["rollup_candlestick", "aggr_over_time"],
        "`min_over_time`, `max_over_time` and the like, one query for each",
    ),
    (&["median_over_time"], "`quantile_over_time(0.5, x[5m])`"),
    (
        &["quantiles_over_time"],
        "one `quantile_over_time` for each quantile",
    ),
    (
        &[
            "count_eq_over_time",
            "count_ne_over_time",
            "count_gt_over_time",
            "count_le_over_time",
        ],
        "`sum_over_time((x > bool N)[5m:])` with the comparison that is meant",
    ),
    (
        &[
            "share_eq_over_time",
            "share_gt_over_time",
            "share_le_over_time",
        ],
        "`avg_over_time((x > bool N)[5m:])` with the comparison that is meant",
    ),
    (
        &["sum_eq_over_time", "sum_gt_over_time", "sum_le_over_time"],
        "`sum_over_time((x > N)[5m:])` with the comparison that is meant",
    ),
    (
        &["range_over_time"],
        "`max_over_time(x[5m]) - min_over_time(x[5m])`",
    ),
    (
        &["rate_over_sum"],
        "`sum_over_time(x[5m]) / 300`, by the seconds of the window",
    ),
    (&["integrate"], "`sum_over_time(x[5m:1s])`"),
    (&["tlast_over_time", "timestamp_with_name"], "`timestamp`"),
    (&["lag"], "`time() - timestamp(x)`"),
    (
        &["tmin_over_time"],
        "`ts_of_min_over_time`, which is experimental",
    ),
    (
        &["tmax_over_time"],
        "`ts_of_max_over_time`, which is experimental",
    ),
    (
        &[
            "running_sum",
            "running_avg",
            "running_max",
            "running_min",
            "range_sum",
            "range_avg",
            "range_max",
            "range_min",
            "range_first",
            "range_last",
            "range_median",
            "range_quantile",
        ],
        "the function `..._over_time` of a subquery, `max_over_time(x[1h:])`",
    ),
    (
        &["smooth_exponential"],
        "`avg_over_time`, or `double_exponential_smoothing`, which is experimental",
    ),
    // Functions of samples and labels.
    (
        &[
            "label_set",
            "label_copy",
            "label_move",
            "label_transform",
            "alias",
        ],
        "`label_replace`",
    ),
    (
        &["label_del", "drop_common_labels"],
        "`sum without (label) (x)`",
    ),
    (&["label_keep"], "`sum by (label) (x)`"),
    (
        &["label_match", "label_mismatch", "labels_equal"],
        "a condition of the selector, `x{label=~\"...\"}`",
    ),
    (
        &["label_value"],
        "no number of a label's text: `count_values` is the other way round",
    ),
    (
        &["sort_by_label_numeric", "sort_by_label_numeric_desc"],
        "`sort_by_label`, which is experimental",
    ),
    (&["union"], "`or`"),
    (&["now"], "`time()`"),
    (&["histogram_share"], "`histogram_fraction`"),
    (
        &["prometheus_buckets", "buckets_limit", "vmrange"],
        "histograms with `le` or native ones",
    ),
    // Aggregations.
    (&["median"], "`quantile(0.5, x)`"),
    (&["quantiles"], "one `quantile` for each quantile"),
    (
        &["any"],
        "`max`, or `group` where only the existence counts",
    ),
    (&["distinct"], "`count(count_values(\"value\", x))`"),
    (&["share"], "`x / on() group_left() sum(x)`"),
    (
        &[
            "topk_avg",
            "topk_max",
            "topk_min",
            "topk_last",
            "topk_median",
        ],
        "`topk(N, max_over_time(x[1h]))` with the function that is meant",
    ),
    (
        &[
            "bottomk_avg",
            "bottomk_max",
            "bottomk_min",
            "bottomk_last",
            "bottomk_median",
        ],
        "`bottomk(N, max_over_time(x[1h]))` with the function that is meant",
    ),
    (
        &["outliersk", "mad", "zscore"],
        "`abs(x - avg(x)) / stddev(x)`",
    ),
];

/// The error, with the nearest way of PromQL where the text at its place is a word of MetricsQL.
pub(super) fn explained(text: &str, error: SourceError, call: Option<Span>) -> SourceError {
    if error.message.contains("in label matching") {
        return error; // a label may have any name
    }
    let at = [Some(error.span), call];
    let hint = at.into_iter().flatten().find_map(|span| hint(text, span));
    match hint {
        None => error,
        Some(hint) => SourceError::new(error.span, format!("{}; {hint}", error.message)),
    }
}

/// What to write for the word that begins there.
fn hint(text: &str, span: Span) -> Option<String> {
    let rest = text.get(span.start..)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let word = &rest[..end.unwrap_or(rest.len())];
    let same = |known: &&str| known.eq_ignore_ascii_case(word);
    let (_, instead) = WORDS.iter().find(|(words, _)| words.iter().any(same))?;
    Some(format!(
        "{word} is MetricsQL (VictoriaMetrics), in PromQL: {instead}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Features, Query};

    #[test]
    fn words_of_metricsql_name_what_promql_has() {
        for (text, says) in [
            (
                "sum(x) default 0",
                "default is MetricsQL (VictoriaMetrics), in PromQL: `or vector(N)`",
            ),
            ("sum(rate(x[5m])) by (a) default 0", "default is MetricsQL"),
            ("rollup_rate(x[5m])", "in PromQL: `rate`"),
            ("keep_last_value(x)", "in PromQL: `last_over_time`"),
            ("sum(keep_last_value(x[5m]))", "in PromQL: `last_over_time`"),
            ("a if b", "in PromQL: `and`"),
            ("a ifnot b", "in PromQL: `unless`"),
            ("rate(x[5m]) keep_metric_names", "functions drop the name"),
            ("sum(x) by (a) limit 3", "`limitk(N, ...)`"),
            ("WITH (a = x) sum(a)", "the expression written out"),
            ("median(x)", "`quantile(0.5, x)`"),
            ("label_set(x, \"a\", \"b\")", "in PromQL: `label_replace`"),
        ] {
            let error = Query::parse(text, &Features::all())
                .expect_err(text)
                .to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        // A word that is wrong for another reason, and names of metrics and labels.
        let error = Query::parse("nonsense(x)", &Features::all()).expect_err("no function");
        assert!(!error.to_string().contains("MetricsQL"), "{error}");
        for text in ["default", "sum by (default) (limit)", "if{with=\"a\"}"] {
            Query::parse(text, &Features::all()).expect(text);
        }
    }

    #[test]
    fn no_word_is_one_of_promql_or_twice_in_the_table() {
        let mut words: Vec<&str> = WORDS
            .iter()
            .flat_map(|(words, _)| *words)
            .copied()
            .collect();
        for word in &words {
            assert!(crate::Function::from_name(word).is_none(), "{word}");
        }
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }
}
