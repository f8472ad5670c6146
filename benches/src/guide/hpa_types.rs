//! An HPA of every type of metric, up and down; and a pod that shows nothing.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Failure;
use super::control_plane::ControlPlane;
use super::gateway::Gateway;
use super::table::{Seen, Table, wait_for};
use super::walk::{available, deployment, is_active, picker, pool, scaled};

/// The pool that these HPAs are about.
pub const TYPES_POOL: &str = "types";
/// Queued per replica.
const TARGET: &str = "10";

/// Rules of prometheus-adapter for pods and objects, and the signal of `type: External`.
pub const RULES: &str = r#"rules:
  external:
  - seriesQuery: 'llm_d_epp_flow_control_queue_size{inference_pool="types"}'
    resources: {namespaced: false}
    name: {as: types_queue}
    metricsQuery: 'sum(llm_d_epp_flow_control_queue_size{inference_pool="types"})'
  custom:
  - seriesQuery: 'llm_d_epp_flow_control_queue_size{namespace!="",inference_pool!=""}'
    resources:
      overrides:
        namespace: {resource: namespace}
        inference_pool: {group: inference.networking.k8s.io, resource: inferencepool}
    name: {as: pool_queue}
    metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
  - seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
    resources:
      overrides:
        namespace: {resource: namespace}
        pod: {resource: pod}
    name: {as: requests_waiting}
    metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
"#;

fn page(queued: u32) -> String {
    format!(
        "llm_d_epp_flow_control_queue_size{{fairness_id=\"f\",priority=\"0\",inference_pool=\"{TYPES_POOL}\",model_name=\"m\",target_model_name=\"m\"}} {queued}\n\
         llm_d_epp_flow_control_pool_saturation{{inference_pool=\"{TYPES_POOL}\"}} 0.5\n"
    )
}

fn model_page(waiting: u32) -> String {
    format!("vllm:num_requests_waiting{{model_name=\"m\"}} {waiting}\n")
}

/// The metric of each HPA, by its name.
fn metrics() -> Vec<(&'static str, Value)> {
    let external = |target: Value| json!({"type": "External", "external": {"metric": {"name": "types_queue"}, "target": target}});
    let object = |api_version: &str, kind: &str, name: &str, target: Value| {
        json!({"type": "Object", "object": {
            "describedObject": {"apiVersion": api_version, "kind": kind, "name": name},
            "metric": {"name": "pool_queue"}, "target": target,
        }})
    };
    let value = json!({"type": "Value", "value": TARGET});
    let average = json!({"type": "AverageValue", "averageValue": TARGET});
    let group = "inference.networking.k8s.io/v1";
    vec![
        ("external-value", external(value.clone())),
        ("external-average", external(average.clone())),
        (
            "object-value",
            object(group, "InferencePool", TYPES_POOL, value.clone()),
        ),
        (
            "object-average",
            object(group, "InferencePool", TYPES_POOL, average.clone()),
        ),
        (
            "namespace-object",
            object("v1", "Namespace", "default", value),
        ),
        (
            "pods",
            json!({"type": "Pods", "pods": {"metric": {"name": "requests_waiting"}, "target": average}}),
        ),
    ]
}

fn hpa(name: &str, metric: &Value) -> Value {
    let window = json!({"stabilizationWindowSeconds": 0});
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1, "maxReplicas": 3, "metrics": [metric],
            "behavior": {"scaleUp": window, "scaleDown": window},
        },
    })
}

/// What the custom metrics API needs beside the shipped base.
pub fn custom_group() -> Vec<Value> {
    let mut objects: Vec<Value> = ["v1beta1", "v1beta2"]
        .iter()
        .map(|version| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": format!("{version}.custom.metrics.k8s.io")},
                "spec": {
                    "group": "custom.metrics.k8s.io", "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                    "service": {"namespace": "stillwell", "name": "stillwell", "port": 443},
                },
            })
        })
        .collect();
    let rules = json!([
        {"apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"],
         "resourceNames": ["v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"], "verbs": ["get", "watch", "patch"]},
        {"apiGroups": ["", "apps"], "resources": ["namespaces", "deployments"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["monitoring.coreos.com"], "resources": ["servicemonitors", "podmonitors", "scrapeconfigs", "prometheusrules"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ]);
    let kind = "rbac.authorization.k8s.io";
    objects.push(json!({
        "apiVersion": format!("{kind}/v1"), "kind": "ClusterRole", "metadata": {"name": "guide"}, "rules": rules,
    }));
    objects.push(json!({
        "apiVersion": format!("{kind}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "guide"},
        "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": "guide"},
        "subjects": [{"kind": "ServiceAccount", "name": "stillwell", "namespace": "stillwell"}],
    }));
    objects
}

/// A monitor of the model servers' pods, each of which asks its own page.
fn pod_monitor() -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor",
        "metadata": {"name": "models", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "pods"}},
            "podMetricsEndpoints": [{
                "port": "http",
                "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "__param_pod"}],
            }],
        },
    })
}

/// Scales with each type.
pub fn walk(plane: &ControlPlane, table: &mut Table) -> Result<(), Failure> {
    let gateway = Gateway::start(Some(&plane.proxy))?;
    let models = Gateway::start(None)?;
    gateway.show(&page(0));
    models.show(&model_page(0));
    let mut objects = custom_group();
    objects.extend(picker("types-epp", &gateway));
    objects.push(pool(TYPES_POOL, "types-epp"));
    objects.push(pod_monitor());
    for (name, metric) in &metrics() {
        objects.push(deployment(name, 1, ("http", models.port)));
        objects.push(hpa(name, metric));
    }
    plane.apply(&objects)?;
    table.step("the custom metrics API becomes available", || {
        let (_, took) = wait_for("AVAILABLE True", 90, || {
            available(plane, "v1beta2.custom.metrics.k8s.io")
        })?;
        Ok(Seen::after("`AVAILABLE True`", took))
    });
    for (name, _) in metrics() {
        let path =
            format!("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/{name}");
        table.step(&format!("HPA {name} reads its metric"), || {
            let (_, took) = wait_for("ScalingActive", 90, || {
                Ok(is_active(&plane.get(&path)?).then_some(()))
            })?;
            Ok(Seen::after("`ScalingActive True`", took))
        });
    }
    for (queued, to) in [(30, 3), (0, 1)] {
        gateway.show(&page(queued));
        models.show(&model_page(queued));
        for (name, _) in metrics() {
            let done = format!("HPA {name}: {queued} queued, {TARGET} a replica");
            table.step(&done, || scaled(plane, name, to, 120));
        }
    }
    silent_pod(plane, &models, table)
}

/// The HPA takes a pod without metrics for idle when it would scale out, and for one at its target when it would scale in.
fn silent_pod(plane: &ControlPlane, models: &Gateway, table: &mut Table) -> Result<(), Failure> {
    models.show(&model_page(30));
    scaled(plane, "pods", 3, 120)?;
    models.show(&model_page(10));
    thread::sleep(Duration::from_secs(20)); // at its target: it stays
    let pods = plane.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dpods")?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let pods: Vec<String> = pods
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    table.step("HPA pods: one of 3 pods shows nothing, the others 15: out would be 5, with the silent one idle it is 3", || {
        models.show_for(pods.first().ok_or("no pods")?, "");
        models.show(&model_page(15));
        let metric = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/requests_waiting?labelSelector=app%3Dpods";
        let (count, took) = wait_for("the silent pod to leave the list", 60, || {
            let items = plane.get(metric)?["items"].as_array().map_or(0, Vec::len);
            Ok((items == pods.len() - 1).then_some(items))
        })?;
        thread::sleep(Duration::from_secs(35)); // two looks of the HPA
        match plane.replicas("pods")? {
            3 => Ok(Seen::after(format!("the list has {count} of {} pods; replicas stay at 3", pods.len()), took)),
            other => Err(format!("{other} replicas").into()),
        }
    });
    table.step(
        "HPA pods: the others show 2: in would be 1, with the silent one at its target it is 2",
        || {
            models.show(&model_page(2));
            let (first, took) = wait_for("a decision", 60, || {
                let now = plane.replicas("pods")?;
                Ok((now != 3).then_some(now))
            })?;
            match first {
                2 => Ok(Seen::after("replicas 3 → 2", took)),
                other => Err(format!("{other} replicas: the silent pod counted as idle").into()),
            }
        },
    );
    models.forget_pods();
    Ok(())
}
