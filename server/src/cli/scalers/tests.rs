//! Each metric and trigger is told with what it reads, or with why it never can.

use super::*;

fn config() -> Config {
    let text = "signals:\n- {name: igw_queue_depth, expr: sum(q)}\n- {name: by_pool, expr: 'sum by (pool) (q{zone=\"z\"})'}\n\
                - {name: each, expr: 'sum by (model) (q)', for_each: [model]}\n\
                - {name: private, expr: sum(q), namespaces: [a, b]}\n";
    crate::config::load(text).0.expect("valid")
}

fn said(text: &str) -> Vec<String> {
    let found = of_manifest(&config(), text).expect("YAML");
    let shown = found.iter().map(|one| {
        format!("{}: {one}", one.line)
            .replace("HorizontalPodAutoscaler default/h: ", "")
            .replace("HorizontalPodAutoscaler b/h: ", "")
            .replace("HorizontalPodAutoscaler c/h: ", "")
    });
    shown
        .map(|one| one.replace("ScaledObject default/s: ", ""))
        .collect()
}

fn hpa(metrics: &str) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: h}}\nspec: {{maxReplicas: 9, scaleTargetRef: {{kind: Deployment, name: d}}, metrics: [\n{metrics}\n]}}\n"
    )
}

fn external(metric: &str, target: &str) -> String {
    hpa(&format!(
        "{{type: External, external: {{metric: {metric}, target: {target}}}}}"
    ))
}

fn keda(kind: &str, metadata: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: s}}\nspec: {{scaleTargetRef: {{name: d}}, triggers: [\n{{type: {kind}, metadata: {metadata}}}\n]}}\n"
    )
}

const OK: &str = "{type: AverageValue, averageValue: 5}";

#[test]
fn each_metric_of_an_hpa_is_told_or_refused() {
    for (text, says) in [
        (
            external("{name: IGW_queue_depth}", OK),
            "5: metrics[0]: reads signal \"igw_queue_depth\"",
        ),
        (
            external("{name: private}", OK).replace("{name: h}", "{name: h, namespace: b}"),
            "5: metrics[0]: reads signal \"private\"",
        ),
        (
            external("{name: private}", OK).replace("{name: h}", "{name: h, namespace: c}"),
            "5: error: metrics[0]: signal \"private\" is told in a, b alone (signals[].namespaces), and this asks in c",
        ),
        (
            external("{name: igw_queue_dept}", OK),
            "5: error: metrics[0]: igw_queue_dept: no signal and no external rule of this configuration makes it; did you mean igw_queue_depth?",
        ),
        (
            external("{name: each-qwen}", OK),
            "5: warning: metrics[0]: each-qwen is answered by signal \"each\" where a value of model makes that name",
        ),
        (
            external(
                "{name: by_pool, selector: {matchLabels: {pool: x, zone: z}}}",
                OK,
            ),
            "5: metrics[0]: reads signal \"by_pool\"",
        ),
        (
            external(
                "{name: igw_queue_depth, selector: {matchLabels: {pool: x}}}",
                OK,
            ),
            "5: error: metrics[0]: no element of signal \"igw_queue_depth\" has the label pool: its query does not group by it (sum(q))",
        ),
        (
            external(
                "{name: s0-prometheus, selector: {matchLabels: {scaledobject.keda.sh/name: s}}}",
                OK,
            ),
            "5: metrics[0]: reads s0-prometheus of KEDA's own metrics server",
        ),
        (
            external("{name: by_pool}", "{type: AverageValue, averageValue: 0}"),
            "5: error: metrics[0]: target.averageValue 0 must be above 0",
        ),
        (
            external("{name: by_pool}", "{type: Foo, value: 1}"),
            "5: error: metrics[0]: target.type \"Foo\" is none of Utilization, Value, AverageValue",
        ),
        (
            external("{name: by_pool}", "{type: Value, value: abc}"),
            "5: error: metrics[0]: target.value \"abc\" is not a quantity",
        ),
        (
            external("{name: by_pool}", "{type: Value, averageValue: 1}"),
            "5: warning: metrics[0]: target.averageValue is what counts, and target.type says Value",
        ),
        (
            external("{name: by_pool}", "{type: Value, vlaue: 1}"),
            "5: error: metrics[0].external.target: unknown key vlaue; did you mean value?",
        ),
        (
            hpa("{type: Extrenal}"),
            "5: error: metrics[0]: type \"Extrenal\" is none of External, Pods, Object, Resource, ContainerResource; did you mean External?",
        ),
        (
            hpa(
                "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}",
            ),
            "5: metrics[0]: reads cpu of metrics.k8s.io, and not this server",
        ),
        (
            hpa(
                "{type: Pods, pods: {metric: {name: by_pool}, target: {type: AverageValue, averageValue: 1}}}",
            ),
            "5: error: metrics[0]: no element of signal \"by_pool\" has the label pod: its query does not group by it (sum by (pool) (q{zone=\"z\"})), which names pods",
        ),
        (
            hpa(
                "{type: Object, object: {metric: {name: nope}, describedObject: {kind: Service, name: s}, target: {type: Value, value: 1}}}",
            ),
            "5: error: metrics[0]: nope: no custom rule and no signal of this configuration makes it",
        ),
        (
            "kind: HorizontalPodAutoscaler\napiVersion: autoscaling/v2beta1\nmetadata: {name: h}\n"
                .to_owned(),
            "2: error: autoscaling/v2beta1 is not served since Kubernetes 1.25; write it as autoscaling/v2",
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
            "5: error: triggers[0]: threshold: must be above 0, and at least 0.001: the API server refuses the HPA that KEDA makes of it",
        ),
        (
            keda(
                "external-push",
                "{scalerAddress: 's:9091', signal: by_pool, threshold: '0.0004'}",
            ),
            "5: error: triggers[0]: threshold: must be above 0, and at least 0.001: the API server refuses the HPA that KEDA makes of it",
        ),
        (
            keda(
                "external",
                "{scalerAddress: 'http://s:9091', signal: by_pool, threshold: '1'}",
            ),
            "5: error: triggers[0]: scalerAddress http://s:9091 is asked by gRPC, whose addresses have no scheme: write s:9091",
        ),
        (
            keda(
                "external",
                "{scalerAddress: 's:9091', signal: by_pool, threshold: '1', enableTLS: maybe}",
            ),
            "5: error: triggers[0]: enableTLS: \"maybe\" is not true or false",
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

/// What is said of a spec, without what is read.
fn complaints(kind: &str, spec: &str) -> Vec<String> {
    let version = match kind {
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        _ => "keda.sh/v1alpha1",
    };
    let name = &kind[..1].to_ascii_lowercase();
    let text =
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    let found = of_manifest(&config(), &text).expect("YAML");
    let bad = found.iter().filter(|one| one.level != Level::Told);
    let prefix = format!("{kind} default/{name}: ");
    bad.map(|one| one.to_string().replace(&prefix, ""))
        .collect()
}

const METRICS: &str = "metrics: [{type: External, external: {metric: {name: igw_queue_depth}, target: {type: Value, value: 5}}}]";
const TO: &str = "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}";

#[test]
fn an_hpa_that_the_api_server_refuses_is_told_apart() {
    for (spec, says) in [
        (
            "maxReplicas: 3, minReplicas: 0, METRICS, TO, behavior: {scaleDown: {stabilizationWindowSeconds: 300, selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 60}], tolerance: 0.05}}",
            "",
        ),
        (
            "maxReplicas: 3, minReplicas: 5, METRICS, TO",
            "error: spec.maxReplicas 3 is below minReplicas 5, which the API server refuses",
        ),
        (
            "minReplicas: 1, METRICS, TO",
            "error: spec.maxReplicas is missing",
        ),
        (
            "maxReplicas: '3', METRICS, TO",
            "error: spec.maxReplicas: \"3\" is a text, and the API server takes a whole number here; write 3, without quotes",
        ),
        (
            "maxReplicas: 3, METRICS",
            "error: spec.scaleTargetRef is missing",
        ),
        (
            "maxReplicas: 3, METRICS, scaleTargetRef: {name: d}",
            "error: spec.scaleTargetRef.kind is missing",
        ),
        (
            "maxReplicas: 3, minReplicas: 0, TO",
            "error: spec.minReplicas 0 needs a metric of type Object or External, which alone say when to start again",
        ),
        (
            "maxReplicaCount: 3, maxReplicas: 3, METRICS, TO",
            "error: spec: unknown key maxReplicaCount; there are scaleTargetRef, minReplicas, maxReplicas, metrics, behavior",
        ),
        (
            "maxReplicas: 3, METRICS, TO, behavior: {scaleUp: {policies: [{type: Pods, value: 4, periodSeconds: 3600}]}}",
            "error: spec.behavior.scaleUp.policies[0].periodSeconds: 3600 must be 1800 or less",
        ),
        (
            "maxReplicas: 3, TO, metrics: [{type: External, external: {metric: {name: igw_queue_depth}, target: {type: Value, value: '0'}}}]",
            "error: metrics[0]: target.value 0 must be above 0",
        ),
        (
            "maxReplicas: 3, TO, metrics: [{type: External, external: {metric: {name: by_pool, selector: {matchLabels: {pool: 5}}}, target: {type: Value, value: 5}}}]",
            "error: metrics[0].external.metric.selector.matchLabels.pool: 5 is a number, and the API server takes nothing but a text here; write \"5\", in quotes",
        ),
        (
            "maxReplicas: 3, TO, metrics: [{type: External, external: {metric: {name: by_pool, selector: {matchLabels: {zone: x}}}, target: {type: Value, value: 5}}}]",
            "error: metrics[0]: the selector asks for zone=x, and signal \"by_pool\" reads nothing but zone=\"z\" (sum by (pool) (q{zone=\"z\"}))",
        ),
        (
            "maxReplicas: 3, TO, metrics: [{type: External, external: {metric: {name: by_pool, selector: {matchExpressions: [{key: zone, operator: In, values: [x, z]}]}}, target: {type: Value, value: 5}}}]",
            "",
        ),
    ] {
        let spec = spec.replace("METRICS", METRICS).replace("TO", TO);
        let said = complaints("HorizontalPodAutoscaler", &format!("{{{spec}}}"));
        let expected: Vec<&str> = (!says.is_empty()).then_some(says).into_iter().collect();
        assert_eq!(said, expected, "{spec}");
    }
}

#[test]
fn a_scaled_object_that_keda_refuses_is_told_apart() {
    let trigger = |metadata: &str| {
        format!(
            "scaleTargetRef: {{name: d}}, triggers: [{{type: prometheus, metadata: {{serverAddress: 'http://s:9090/guarded', query: sum(q), {metadata}}}}}]"
        )
    };
    let ok = trigger("threshold: '5'");
    for (spec, says) in [
        (ok.clone(), ""),
        (
            format!(
                "{ok}, minReplicaCount: 0, idleReplicaCount: 0, maxReplicaCount: 5, pollingInterval: 5, fallback: {{failureThreshold: 3, replicas: 2}}, advanced: {{restoreToOriginalReplicaCount: true}}"
            ),
            "",
        ),
        (
            format!("{ok}, minReplicaCount: 3, maxReplicaCount: 2"),
            "error: spec.minReplicaCount 3 is above maxReplicaCount 2; KEDA refuses that",
        ),
        (
            format!("{ok}, minReplicaCount: 101"),
            "error: spec.minReplicaCount 101 is above maxReplicaCount, which is 100 where it is not given; KEDA refuses that",
        ),
        (
            format!("{ok}, minReplicaCount: 3, idleReplicaCount: 4"),
            "error: spec.idleReplicaCount 4 has to be below minReplicaCount 3; KEDA refuses it otherwise",
        ),
        (
            format!("{ok}, idleReplicaCount: 0"),
            "error: spec.idleReplicaCount 0 has to be below minReplicaCount, which has to be given beside it; KEDA refuses it otherwise",
        ),
        (
            format!("{ok}, pollingInterval: 0"),
            "error: spec.pollingInterval: 0 must be 1 or more",
        ),
        (
            format!("{ok}, fallback: {{replicas: 2}}"),
            "error: spec.fallback.failureThreshold is missing",
        ),
        (
            format!("{ok}, advanced: {{scalingModifiers: {{formula: a}}}}"),
            "error: spec.advanced.scalingModifiers.target is missing, which a formula needs",
        ),
        (
            trigger("threshold: 5"),
            "error: triggers[0].metadata.threshold: 5 is a number, and the API server takes nothing but a text here; write \"5\", in quotes",
        ),
        (
            trigger("threshold: '5', ignoreNullValues: false"),
            "error: triggers[0].metadata.ignoreNullValues: false is a flag, and the API server takes nothing but a text here; write \"false\", in quotes",
        ),
        (
            trigger("threshold: '0'"),
            "error: triggers[0]: threshold \"0\" must be above 0, and at least 0.001: the API server refuses the HPA that KEDA makes of it",
        ),
        (
            trigger("threshold: '-5'"),
            "error: triggers[0]: threshold \"-5\" must be above 0, and at least 0.001: the API server refuses the HPA that KEDA makes of it",
        ),
        (
            format!(
                "{}, advanced: {{scalingModifiers: {{formula: a, target: '5'}}}}",
                trigger("threshold: '0'")
            ),
            "",
        ),
        (
            trigger("threshold: '5', authModes: basic"),
            "error: triggers[0]: authModes basic without authenticationRef: username and password come from a TriggerAuthentication, and KEDA refuses the trigger without; write authenticationRef: {name: ...} beside metadata",
        ),
        (
            trigger("threshold: '5', authModes: basci"),
            "error: triggers[0]: authModes \"basci\" is no way to authenticate; did you mean basic?",
        ),
        (
            trigger("threshold: '5', metricType: Value"),
            "warning: triggers[0]: metricType stands in metadata, where KEDA passes it over; it belongs beside type, one level up",
        ),
        (
            trigger("threshold: '5', timeout: soon"),
            "error: triggers[0]: timeout \"soon\" is not a duration; write it like 5s, or in milliseconds",
        ),
        (
            trigger("threshold: '5', customHeaders: a"),
            "error: triggers[0]: customHeaders has \"a\", and takes pairs: name=value,name=value",
        ),
        (
            ok.replace("metadata", "metricType: Utilization, metadata"),
            "error: triggers[0]: metricType \"Utilization\" is none of AverageValue, Value, which a trigger of type prometheus has",
        ),
        (
            ok.replace("metadata", "threshold: '5', metadata"),
            "error: triggers[0]: threshold stands beside metadata; it belongs into it",
        ),
        (
            ok.replace("'http://", "'"),
            "error: triggers[0]: serverAddress \"s:9090/guarded\" begins with neither http:// nor https://, and every poll of KEDA fails; write http://s:9090/guarded",
        ),
        (
            ok.replace("s:9090/guarded", "s:9090/prometheus"),
            "warning: triggers[0]: serverAddress http://s:9090/prometheus is without /guarded: if this is Stillwell, an outage is an empty vector there, which KEDA reads as 0; write http://s:9090/prometheus/guarded",
        ),
        (
            ok.replace(
                "http://s:9090/guarded",
                "http://vm:8481/select/0/prometheus",
            ),
            "",
        ),
        (
            ok.replace("sum(q)", "sum by (model_name) (q)"),
            "warning: triggers[0]: query: it may give several elements, one for each model_name, and a scaler fails with more than one; write sum(sum by (model_name) (q)), or ask for their sum or highest by `multi=sum` or `multi=max` in the trigger's queryParameters",
        ),
        (
            ok.replace("sum(q)", "sum by (model_name) (q)")
                .replace("threshold", "queryParameters: multi=sum, threshold"),
            "",
        ),
    ] {
        let said = complaints("ScaledObject", &format!("{{{spec}}}"));
        let expected: Vec<&str> = (!says.is_empty()).then_some(says).into_iter().collect();
        assert_eq!(said, expected, "{spec}");
    }
}

#[test]
fn a_file_without_a_scaler_says_what_it_has() {
    for (text, says) in [
        (
            "",
            "there is no HorizontalPodAutoscaler, ScaledObject or ScaledJob in it",
        ),
        (
            "hello\n",
            "there is no HorizontalPodAutoscaler, ScaledObject or ScaledJob in it",
        ),
        (
            "kind: PodAutoscaler\n---\nkind: Deployment\n",
            "there is no HorizontalPodAutoscaler, ScaledObject or ScaledJob in it; it has Deployment, PodAutoscaler, of which nothing is looked at",
        ),
    ] {
        let found = of_manifest(&config(), text).expect("YAML");
        let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts, [says], "{text}");
    }
}
