//! Each metric and trigger is told with what it reads, or with why it never can.

use super::*;

fn config() -> Config {
    let text = "signals:\n- {name: igw_queue_depth, expr: sum(q)}\n- {name: by_pool, expr: 'sum by (pool) (q{zone=\"z\"})'}\n\
                - {name: each, expr: 'sum by (model) (q)', for_each: [model]}\n";
    crate::config::load(text).0.expect("valid")
}

fn said(text: &str) -> Vec<String> {
    let found = of_manifest(&config(), text).expect("YAML");
    let shown = found.iter().map(|one| {
        format!("{}: {one}", one.line).replace("HorizontalPodAutoscaler default/h: ", "")
    });
    shown
        .map(|one| one.replace("ScaledObject default/s: ", ""))
        .collect()
}

fn hpa(metrics: &str) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: h}}\nspec:\n  metrics:\n{metrics}\n"
    )
}

fn external(metric: &str, target: &str) -> String {
    hpa(&format!(
        "  - {{type: External, external: {{metric: {metric}, target: {target}}}}}"
    ))
}

fn keda(kind: &str, metadata: &str) -> String {
    format!(
        "kind: ScaledObject\nmetadata: {{name: s}}\nspec:\n  triggers:\n  - {{type: {kind}, metadata: {metadata}}}\n"
    )
}

const OK: &str = "{type: AverageValue, averageValue: 5}";

#[test]
fn each_metric_of_an_hpa_is_told_or_refused() {
    for (text, says) in [
        (
            external("{name: IGW_queue_depth}", OK),
            "6: metrics[0]: reads signal \"igw_queue_depth\"",
        ),
        (
            external("{name: igw_queue_dept}", OK),
            "6: error: metrics[0]: igw_queue_dept: no signal and no external rule of this configuration makes it; did you mean igw_queue_depth?",
        ),
        (
            external("{name: each-qwen}", OK),
            "6: warning: metrics[0]: each-qwen is answered by signal \"each\" where a value of model makes that name",
        ),
        (
            external(
                "{name: by_pool, selector: {matchLabels: {pool: x, zone: z}}}",
                OK,
            ),
            "6: metrics[0]: reads signal \"by_pool\"",
        ),
        (
            external(
                "{name: igw_queue_depth, selector: {matchLabels: {pool: x}}}",
                OK,
            ),
            "6: error: metrics[0]: no element of signal \"igw_queue_depth\" has the label pool: its query does not group by it (sum(q))",
        ),
        (
            external(
                "{name: s0-prometheus, selector: {matchLabels: {scaledobject.keda.sh/name: s}}}",
                OK,
            ),
            "6: metrics[0]: reads s0-prometheus of KEDA's own metrics server",
        ),
        (
            external("{name: by_pool}", "{type: AverageValue, averageValue: 0}"),
            "6: error: metrics[0]: target.averageValue 0 must be above 0",
        ),
        (
            external("{name: by_pool}", "{type: Foo, value: 1}"),
            "6: error: metrics[0]: target.type \"Foo\" is none of Utilization, Value, AverageValue",
        ),
        (
            external("{name: by_pool}", "{type: Value, value: abc}"),
            "6: error: metrics[0]: target.value \"abc\" is not a quantity",
        ),
        (
            external("{name: by_pool}", "{type: Value, averageValue: 1}"),
            "6: warning: metrics[0]: target.averageValue is what counts, and target.type says Value",
        ),
        (
            external("{name: by_pool}", "{type: Value, vlaue: 1}"),
            "6: error: metrics[0]: unknown key vlaue; did you mean value?",
        ),
        (
            hpa("  - {type: Extrenal}"),
            "6: error: metrics[0]: type \"Extrenal\" is none of External, Pods, Object, Resource, ContainerResource; did you mean External?",
        ),
        (
            hpa(
                "  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}",
            ),
            "6: metrics[0]: reads cpu of metrics.k8s.io, and not this server",
        ),
        (
            hpa(
                "  - {type: Pods, pods: {metric: {name: by_pool}, target: {type: AverageValue, averageValue: 1}}}",
            ),
            "6: error: metrics[0]: no element of signal \"by_pool\" has the label pod: its query does not group by it (sum by (pool) (q{zone=\"z\"})), which names pods",
        ),
        (
            hpa(
                "  - {type: Object, object: {metric: {name: nope}, describedObject: {kind: Service, name: s}, target: {type: Value, value: 1}}}",
            ),
            "6: error: metrics[0]: nope: no custom rule and no signal of this configuration makes it",
        ),
        (
            "kind: HorizontalPodAutoscaler\napiVersion: autoscaling/v2beta1\nmetadata: {name: h}\n"
                .to_owned(),
            "1: error: autoscaling/v2beta1 is not served since Kubernetes 1.25; write it as autoscaling/v2",
        ),
    ] {
        let said = said(&text);
        assert!(said.contains(&says.to_owned()), "{text}: {said:#?}");
    }
}

#[test]
fn each_trigger_is_told_or_refused() {
    let at = |address: &str, query: &str, more: &str| {
        keda(
            "prometheus",
            &format!("{{serverAddress: '{address}', query: '{query}', {more}}}"),
        )
    };
    let guarded = "http://stillwell:9090/guarded";
    for (text, says) in [
        (
            at(guarded, "sum(q)", "threshold: '5'"),
            "5: triggers[0]: reads /guarded: sum(q)",
        ),
        (
            at(guarded, "sum(q", "threshold: '5'"),
            "5: error: triggers[0]: query: 1:6: parse error: unclosed left parenthesis",
        ),
        (
            at(guarded, "q[5m]", "threshold: '5'"),
            "5: error: triggers[0]: query: a range vector is no number: put a function around it, such as rate() or max_over_time()",
        ),
        (
            at(guarded, "sum(q)", "threshold: abc"),
            "5: error: triggers[0]: threshold \"abc\" is not a number",
        ),
        (
            at(guarded, "sum(q)", "treshold: '5'"),
            "5: error: triggers[0]: threshold is missing",
        ),
        (
            at(guarded, "sum(q)", "threshold: '5', namespace: n"),
            "5: warning: triggers[0]: namespace n is a parameter for proxies of tenants, which is passed over here as by \
             Prometheus: the number is of all namespaces; write namespace=\"n\" into the query",
        ),
        (
            at(guarded, "sum(q)", "threshold: '5', nonsense: x"),
            "5: warning: triggers[0]: unknown key nonsense; KEDA passes it over",
        ),
        (
            at("http://stillwell:9090", "sum(q)", "threshold: '5'"),
            "5: warning: triggers[0]: serverAddress http://stillwell:9090 is without /guarded: if this is Stillwell, an outage is an empty vector there, which KEDA reads as 0; write http://stillwell:9090/guarded",
        ),
        (
            keda(
                "external-push",
                "{scalerAddress: 's:9091', signal: igw_nope, threshold: '5'}",
            ),
            "5: error: triggers[0]: igw_nope: no signal and no external rule of this configuration makes it",
        ),
        (
            keda(
                "external",
                "{scalerAddress: 's:9091', signal: by_pool, threshold: '5'}",
            ),
            "5: triggers[0]: reads signal \"by_pool\"",
        ),
        (
            keda(
                "external",
                "{scalerAddress: 's:9091', signal: by_pool, threshold: '0'}",
            ),
            "5: error: triggers[0]: threshold: must be above 0",
        ),
        (
            keda("external", "{scalerAddress: 'other:1', hosts: a}"),
            "5: triggers[0]: asks another scaler at other:1; this server needs signal or query",
        ),
        (
            keda("kafka", "{topic: t}"),
            "5: triggers[0]: type kafka: reads no server of this kind",
        ),
    ] {
        let said = said(&text);
        assert!(said.contains(&says.to_owned()), "{text}: {said:#?}");
    }
}
