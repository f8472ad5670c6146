//! Rules files in both forms, and what becomes of their rules.

use stillwell_adapters::objects::{Kinds, Selector};

use super::load::standing;
use super::*;
use crate::yaml::Problem;

/// The guide's file (README.hpa-igw.md, step 3), as it is published: `namespaced` stands inside `overrides`.
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
    rules.external
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
        (rule("name: {matches: '(a)(b)'}"), 4, "2 groups"),
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
            "externalRules:\n- seriesQuery: a\n  metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}\n".to_owned(),
            3,
            "in max(series_name{object=\"a\"}",
        ),
        (
            "externalRules:\n- seriesQuery: a\n  metricsQuery: sum(rate(<<.Series>>[<<.LabelMatchers>>]))\n".to_owned(),
            3,
            "metricsQuery: ",
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
        rules.external.is_empty() && report.errors.is_empty(),
        "{:?}",
        report.errors
    );
}

#[test]
fn slips_whose_meaning_is_certain_are_read_with_a_warning() {
    let rule = "seriesQuery: a\n  metricsQuery: sum(a)\n  resources: {namespaced: false}\n";
    let custom = "seriesQuery: a\n  metricsQuery: 'sum(a{<<.LabelMatchers>>}) by (<<.GroupBy>>)'\n";
    for (text, external, objects, warns) in [
        (GUIDE.to_owned(), 2, 0, "read as resources.namespaced"),
        (format!("- {rule}"), 1, 0, "a list of rules without a key"),
        (
            format!("- {custom}  resources: {{template: <<.Resource>>}}\n"),
            1,
            1,
            "a list of rules without a key",
        ),
        (
            format!("rules:\n- {custom}  resources: {{overrides: {{pod: pod}}}}\n"),
            0,
            1,
            "pod: {resource: pod}",
        ),
        (
            format!("externalRules:\n- {rule}  name: {{matches: '^(.*)$', as: $1_now}}\n"),
            1,
            0,
            "read as ${1}",
        ),
        (
            "rules: {existing: mine, external: [{seriesQuery: a, metricsQuery: sum(a), resources: {namespaced: false}}]}\nloglevel: 1\ntls: {enable: false}\nextraArguments: [--x]\n"
            .to_owned(),
            1,
            0,
            "the ConfigMap \"mine\" is not read",
        ),
    ] {
        let (file, report) = read(&text);
        let errors: Vec<_> = report.errors.iter().collect();
        let bare = text.starts_with("- ");
        assert!(bare || errors.is_empty(), "{text}: {errors:?}");
        assert_eq!(
            (
                file.external.len(),
                file.custom.len() - usize::from(bare && objects == 0)
            ),
            (external, objects),
            "{text}"
        );
        let warned = |problem: &Problem| problem.message.contains(warns);
        assert!(
            report.warnings.iter().any(warned),
            "{text}: {:?}",
            report.warnings
        );
    }
}

#[test]
fn the_empty_value_of_the_chart_for_resource_rules_is_no_warning() {
    for text in [
        "rules: {resource: {}}\n",
        "resourceRules:\n",
        "resourceRules: []\n",
    ] {
        let (_, report) = read(text);
        assert!(report.warnings.is_empty(), "{text}: {:?}", report.warnings);
    }
}

#[test]
fn the_charts_own_rules_make_a_metric_of_each_series_and_rates_of_totals() {
    let (file, report) = read("rules:\n  external: []\n  default: true\n  custom: []\n");
    assert_eq!((report.errors, report.warnings), (vec![], vec![]));
    let rules = file.custom;
    assert!(rules.len() == 6 && rules.iter().all(|rule| rule.line == 3));
    for (series, at, metric) in [
        ("container_cpu_usage_seconds_total", 0, "cpu_usage"),
        (
            "container_network_receive_bytes_total",
            1,
            "network_receive_bytes",
        ),
        (
            "container_memory_working_set_bytes",
            2,
            "memory_working_set_bytes",
        ),
        ("vllm:num_requests_waiting", 3, "vllm:num_requests_waiting"),
        ("http_requests_total", 4, "http_requests"),
        ("process_cpu_seconds_total", 5, "process_cpu"),
    ] {
        let rule = &rules[at];
        assert_eq!(
            metric_name(rule, series).as_deref(),
            Some(metric),
            "{series}"
        );
        let object = ("pod", Objects::One("p"));
        let query = object_query(rule, series, "n", object, &Selector::default());
        let query = query.expect("filled in");
        assert_eq!(
            query.contains("rate("),
            series.ends_with("_total"),
            "{query}"
        );
        let parsed = stillwell_engine::promql::Query::parse(&query, &Default::default());
        assert!(parsed.is_ok() && query.contains(series), "{query}");
    }
    assert!(read("rules: {default: false}\n").0.custom.is_empty());
}

const CPU_AND_MEMORY: &str = r#"resourceRules:
  cpu:
    containerQuery: sum by (<<.GroupBy>>) (rate(cpu{container!="",<<.LabelMatchers>>}[3m]))
    nodeQuery: sum(rate(cpu{<<.LabelMatchers>>, id='/'}[3m])) by (<<.GroupBy>>)
    resources: {overrides: {instance: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}}
    containerLabel: container
  memory:
    containerQuery: sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    nodeQuery: sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    resources: {template: <<.Resource>>}
    containerLabel: container
  window: 3m
"#;

#[test]
fn cpu_and_memory_are_queried_by_pod_and_container_and_by_node() {
    let (file, report) = read(CPU_AND_MEMORY);
    assert_eq!((report.errors, report.warnings), (vec![], vec![]));
    let rules = file.resource.expect("they are there");
    assert_eq!(rules.window_ms, 180_000);
    let names = ["a".to_owned(), "b".to_owned()];
    let query = rules.cpu.of_pods("n", ("pod", Objects::Named(&names)));
    assert_eq!(
        query.expect("filled in"),
        r#"sum by (pod,container) (rate(cpu{container!="",namespace="n",pod=~"a|b"}[3m]))"#
    );
    let query = rules.cpu.of_nodes(("instance", Objects::One("x")));
    assert_eq!(
        query.expect("filled in"),
        r#"sum(rate(cpu{instance="x", id='/'}[3m])) by (instance)"#
    );
    // As the chart has it.
    let values = CPU_AND_MEMORY.replacen("resourceRules:", "rules:\n resource:", 1);
    let values = values.replace("\n  ", "\n   ");
    assert_eq!(
        read(&values).0.resource.expect("the same").cpu.resources,
        rules.cpu.resources
    );
    for (from, to, says) in [
        (
            "    containerLabel: container\n  memory",
            "  memory",
            "cpu needs containerLabel",
        ),
        ("window: 3m", "windows: 3m", "window"),
        ("  window: 3m", "  window: 3x", "3x"),
        (
            "sum(memory{<<.LabelMatchers>>})",
            "sum(memory{<<.Nope>>})",
            "Nope",
        ),
        (
            "sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            "sum(",
            "Query: ",
        ),
        (
            "    resources: {template: <<.Resource>>}\n",
            "",
            "memory needs resources",
        ),
    ] {
        let (_, report) = read(&CPU_AND_MEMORY.replacen(from, to, 1));
        let says_it = report.errors.iter().any(|one| one.message.contains(says));
        assert!(says_it, "{says}: {:?}", report.errors);
    }
}

#[test]
fn what_stands_in_a_config_map_is_read_and_its_lines_are_those_of_the_whole() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: adapter-config}\ndata:\n  config.yaml: |\n    rules:\n    - seriesQuery: a\n      resources: {template: <<.Resource>>}\n      metricsQuery: sum(<<.Nope>>)\n";
    let (file, report) = read(text);
    assert_eq!(file.custom.len(), 1);
    assert_eq!(file.custom[0].line, 7);
    let lines: Vec<usize> = report.errors.iter().map(|one| one.line).collect();
    assert_eq!(lines, [9], "{:?}", report.errors);
}

#[test]
fn a_slip_that_may_mean_several_things_is_an_error_with_its_line() {
    let quoted = "rules:\n- seriesQuery: a\n  resources: {template: <<.Resource>>}\n  metricsQuery: \"sum(a{container!=\"POD\"})\"\n";
    for (text, line, says) in [
        (quoted, 4, "stands in single quotes"),
        (
            "rules:\n- seriesQuery: a\n  metricsQuery: sum(a)\n",
            2,
            "which label names which object",
        ),
        (
            "rules:\n- seriesQuery: a\n  metricsQuery: sum(a)\n  resources: {overrides: {pod: {}}}\n",
            4,
            "names no resource",
        ),
        (
            "rules:\n- seriesQuery: a\n  metricsQuery: sum(a)\n  resources: {template: <<.Group>>}\n",
            4,
            "renders to nothing",
        ),
        ("kind: ConfigMap\n", 1, "without data"),
        ("just text\n", 1, "must be a mapping"),
    ] {
        let (_, report) = read(text);
        let fits = |problem: &&Problem| problem.line == line && problem.message.contains(says);
        assert!(
            report.errors.iter().any(|one| fits(&one)),
            "{text}: {:?}",
            report.errors
        );
    }
}

#[test]
fn the_whole_match_is_what_the_pattern_fits() {
    let text = "externalRules:\n- {seriesQuery: vllm:num_requests_running, name: {matches: 'num_(.*)_running', as: '${0}-$1'}, resources: {namespaced: false}, metricsQuery: sum(a)}\n";
    let rules = rules(text);
    let name = metric_name(&rules[0], "vllm:num_requests_running");
    assert_eq!(name.as_deref(), Some("num_requests_running-requests"));
}

#[test]
fn a_rule_about_objects_makes_the_query_that_the_adapter_makes() {
    let text = r#"
rules:
- seriesQuery: '{__name__=~"^vllm:.*",namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pods}, kube_deploy: {group: apps, resource: deployment}}}
  name: {matches: "^vllm:(.*)$", as: "vllm_${1}"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: x
  resources: {template: "kube_<<.Group>>_<<.Resource>>"}
  metricsQuery: sum(x{pod="<<index .LabelValuesByName "kube__pod">>"}) by (<<index .GroupBySlice 0>>)
"#;
    let (file, report) = read(text);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let kinds = Kinds::usual();
    let all = Selector::default();
    let label = |rule: &Rule, kind: &str| {
        let kind = kinds.named(kind, "").expect("usual");
        rule.resources.label(kind, &kinds)
    };
    let [first, second] = file.custom.as_slice() else {
        panic!("two rules");
    };
    assert_eq!(label(first, "pod").as_deref(), Some("pod"));
    assert_eq!(label(first, "deployments").as_deref(), Some("kube_deploy"));
    assert_eq!(label(first, "service"), None);
    assert_eq!(
        label(second, "deployment").as_deref(),
        Some("kube_apps_deployment")
    );
    let ask = |rule, objects| object_query(rule, "vllm:q", "n", ("pod", objects), &all);
    assert_eq!(
        ask(first, Objects::One("a")).as_deref(),
        Ok(r#"sum(vllm:q{namespace="n",pod="a"}) by (pod)"#)
    );
    assert_eq!(
        shared_query(first, "vllm:q", "n", "pod", &all).as_deref(),
        Some(r#"sum(vllm:q{namespace="n",pod=~".+"}) by (pod)"#)
    );
    let root = object_query(first, "vllm:q", "", ("namespace", Objects::One("n")), &all);
    assert_eq!(
        root.as_deref(),
        Ok(r#"sum(vllm:q{namespace="n"}) by (namespace)"#)
    );
    let own = object_query(second, "x", "n", ("kube__pod", Objects::One("a")), &all);
    assert_eq!(own.as_deref(), Ok(r#"sum(x{pod="a"}) by (kube__pod)"#));
    assert_eq!(shared_query(second, "x", "n", "kube__pod", &all), None);
}

/// The chart's own values file, with its own rules off.
#[test]
fn values_that_say_nothing_are_no_warning() {
    let (file, report) = read(
        "rules:\n  default: false\n  custom: []\n  existing:\n  external: []\n  resource: {}\n",
    );
    assert!(
        report.errors.is_empty() && report.warnings.is_empty(),
        "{report:?}"
    );
    assert!(file.external.is_empty() && file.custom.is_empty());
}

/// The adapter starts with such a rule and serves all others; here nothing started.
#[test]
fn a_rule_that_lacks_its_namespace_is_refused_when_it_is_read() {
    let text = "externalRules:\n- seriesQuery: a\n  metricsQuery: 'a{<<.LabelMatchers>>}'\n";
    let (rules, report) = read(text);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let warned = |problem: &Problem| {
        problem.line == 2 && problem.message.contains("which label holds the namespace")
    };
    assert!(report.warnings.iter().any(warned), "{:?}", report.warnings);
    let refused = query(&rules.external[0], "a", "default", &Selector::default());
    let refused = refused.expect_err("no namespace").to_string();
    assert!(
        refused.contains("line 2: resources: which label"),
        "{refused}"
    );
}

/// Templates that index the selector's values by name were taken for constant queries: `queue!=b` was told as 0.
#[test]
fn whatever_reads_the_selector_depends_on_who_asks() {
    for (metrics_query, reads) in [
        ("sum(a{<<.LabelMatchers>>})", true),
        (r#"sum(a{q=~"<<index .LabelValuesByName "q">>"})"#, true),
        (r#"sum(a{q="<<.LabelValuesByName.q>>"})"#, true),
        ("<<range $k, $v := .LabelValuesByName>><<$k>><<end>>a", true),
        (
            "<<with $x := .GroupBy>><<$.LabelMatchers>><<else>>a<<end>>",
            true,
        ),
        (
            "sum(a{<<if eq (index .LabelValuesByName \"q\") \"x\">>b=\"1\"<<end>>})",
            true,
        ),
        ("sum(<<.Series>>)", false),
        ("sum(a) by (<<.GroupBy>>)", false),
    ] {
        let template = super::template::Template::parse(metrics_query).expect(metrics_query);
        let found = template.reads("LabelMatchers") || template.reads("LabelValuesByName");
        assert_eq!(found, reads, "{metrics_query}");
    }
}
