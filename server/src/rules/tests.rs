//! Rules files in both forms, and what becomes of their rules.

use super::*;

/// The guide's file (README.hpa-igw.md, step 3), with the indentation that its copy has lost.
const GUIDE: &str = r#"
rules:
  external:
  - seriesQuery: 'inference_extension_flow_control_queue_size'
    resources:
      overrides:
        namespace:
          resource: "namespace"
      namespaced: false
    name:
      as: "igw_queue_depth"
    metricsQuery: 'sum(inference_extension_flow_control_queue_size{inference_pool="vllm-llama3-8b-instruct"})'
  - seriesQuery: 'inference_objective_running_requests'
    resources:
      overrides:
        namespace:
          resource: "namespace"
      namespaced: false
    name:
      as: "igw_running_requests"
    metricsQuery: 'sum(inference_objective_running_requests{top_level_controller_name="vllm-llama3-8b-instruct-epp"})'
"#;

fn rules(text: &str) -> Vec<Rule> {
    let (rules, report) = read(text);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    rules
}

#[test]
fn the_guides_file_becomes_two_signals() {
    let standing: Vec<_> = rules(GUIDE).iter().filter_map(standing).collect();
    assert_eq!(standing[0].0, "igw_queue_depth");
    assert_eq!(
        standing[0].1,
        r#"sum(inference_extension_flow_control_queue_size{inference_pool="vllm-llama3-8b-instruct"})"#
    );
    assert_eq!(standing[1].0, "igw_running_requests");
}

#[test]
fn a_rule_that_looks_at_its_caller_makes_a_query_for_each() {
    let text = r#"
externalRules:
- seriesQuery: '{__name__=~"^queue_.*"}'
  seriesFilters: [{isNot: _total$}]
  resources: {overrides: {ns: {resource: namespaces}}}
  name: {matches: "^queue_(.*)$", as: "q_$1"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
"#;
    let rules = rules(text);
    let rule = &rules[0];
    assert_eq!(standing(rule), None);
    assert_eq!(metric_name(rule, "queue_size").as_deref(), Some("q_size"));
    assert_eq!(metric_name(rule, "queue_total"), None);
    assert_eq!(metric_name(rule, "other"), None);
    let selector = Selector::parse("pool=a").expect("valid");
    assert_eq!(
        query(rule, "queue_size", "team-a", &selector).as_deref(),
        Ok(r#"sum(queue_size{pool="a",ns="team-a"}) by ()"#)
    );
}

#[test]
fn names_default_as_in_the_adapter() {
    for (matches, name, metric) in [
        ("", "", Some("http_requests_total")),
        ("^(.*)_total$", "", Some("http_requests")),
        (
            "^(.*)_total$",
            "${1}_per_second",
            Some("http_requests_per_second"),
        ),
        ("requests", "fixed", Some("fixed")),
        ("^requests", "fixed", None),
    ] {
        let text = format!(
            "externalRules:\n- {{seriesQuery: http_requests_total, name: {{matches: '{matches}', as: '{name}'}}, resources: {{namespaced: false}}, metricsQuery: 'sum(<<.Series>>)'}}\n"
        );
        let rules = rules(&text);
        assert_eq!(
            metric_name(&rules[0], "http_requests_total").as_deref(),
            metric,
            "{matches} {name}"
        );
    }
}

#[test]
fn errors_name_the_line() {
    let rule =
        |rest: &str| format!("externalRules:\n- seriesQuery: a\n  metricsQuery: a\n  {rest}\n");
    for (text, line, says) in [
        (
            "externalRule: []\n".to_owned(),
            1,
            "did you mean externalRules?",
        ),
        (rule("metricQuery: b"), 4, "did you mean metricsQuery?"),
        (rule("name: {match: x}"), 4, "unknown key match"),
        (rule("seriesFilters: [{is: a, isNot: b}]"), 4, "exactly one"),
        (rule("seriesFilters: [{is: '('}]"), 4, "is: "),
        (rule("name: {matches: '(a)(b)'}"), 2, "2 groups"),
        (
            rule("resources: {overides: {}}"),
            4,
            "did you mean overrides?",
        ),
        (
            "externalRules:\n- metricsQuery: a\n".to_owned(),
            2,
            "needs a seriesQuery",
        ),
        (
            "externalRules:\n- seriesQuery: a\n".to_owned(),
            2,
            "needs a metricsQuery",
        ),
        (
            "externalRules:\n- seriesQuery: sum(a)\n  metricsQuery: a\n".to_owned(),
            2,
            "seriesQuery: ",
        ),
        (
            "externalRules:\n- seriesQuery: a\n  metricsQuery: sum(<<.Nope>>)\n".to_owned(),
            3,
            "there is no .Nope",
        ),
        (
            "externalRules:\n- seriesQuery: a\n  metricsQuery: '<<if .GroupBy>>x<<end>>'\n"
                .to_owned(),
            3,
            "renders to nothing",
        ),
        (
            "externalRules:\n- seriesQuery: a\n  metricsQuery: 'a{<<.LabelMatchers>>}'\n"
                .to_owned(),
            2,
            "which label holds the namespace",
        ),
        (
            "rules:\n  externl: []\n".to_owned(),
            2,
            "did you mean external?",
        ),
    ] {
        let (_, report) = read(&text);
        let fits = |problem: &&Problem| problem.line == line && problem.message.contains(says);
        assert!(
            report.errors.iter().any(|problem| fits(&problem)),
            "{text}: {:?}",
            report.errors
        );
    }
}

#[test]
fn other_values_of_the_chart_are_none_of_our_business() {
    let text = "prometheus: {url: 'http://p', port: 9090}\nreplicas: 2\nrules:\n  default: false\n  external: []\n";
    let (rules, report) = read(text);
    assert!(
        rules.is_empty() && report.errors.is_empty(),
        "{:?}",
        report.errors
    );
}
