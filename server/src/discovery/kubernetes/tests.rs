//! Objects in, groups out: the labels of each role, and that a change of one object changes the groups that show it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::meta;
use super::*;
use crate::discovery::groups::BySource;
use crate::scrape::{LabelRoom, Outcome, outcomes, target_options};

fn config(role: KubernetesRole, attach: bool) -> KubernetesDiscovery {
    let text = format!(
        "scrape_configs: [{{job_name: j, kubernetes_sd_configs: [{{role: {}, attach_metadata: {{node: {attach}, namespace: {attach}}}}}]}}]\n",
        role.as_str()
    );
    let (config, report) = crate::config::load(&text);
    let config = config.unwrap_or_else(|| panic!("{:?}", report.errors));
    match &config.jobs[0].discovery[0] {
        crate::config::Discovery::Kubernetes(kubernetes) => (**kubernetes).clone(),
        other => panic!("{other:?}"),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of Kubernetes")
}

fn object(kind: Kind, value: Value) -> (String, Object) {
    let meta = &value["metadata"];
    let name = meta["name"].as_str().expect("a name");
    let key = match meta["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let object = match kind {
        Kind::Pod => Object::Pod(pod::facts(&read(value))),
        Kind::Service => Object::Service(read(value)),
        Kind::Endpoints => Object::Endpoints(read(value)),
        Kind::EndpointSlice => Object::EndpointSlice(read(value)),
        Kind::Ingress => Object::Ingress(read(value)),
        Kind::Node => Object::Node(read(value)),
        Kind::Namespace => {
            let namespace: k8s_openapi::api::core::v1::Namespace = read(value);
            Object::Namespace(meta::of(&namespace.metadata, "namespace"))
        }
    };
    (key, object)
}

struct World {
    state: State,
    groups: Groups,
}

impl World {
    fn new(role: KubernetesRole, attach: bool) -> World {
        let mut state = State::new(&config(role, attach));
        for kind in state.kinds() {
            state.expect(kind, "");
        }
        let groups = Groups::new("test".to_owned(), Arc::default());
        World { state, groups }
    }

    fn list(&mut self, kind: Kind, objects: Vec<Value>) {
        let all = objects.into_iter().map(|value| self.object(kind, value));
        let change = Change::All(all.collect());
        self.state.take(kind, "", change, &self.groups);
    }

    fn put(&mut self, kind: Kind, value: Value) {
        let (key, object) = self.object(kind, value);
        self.state
            .take(kind, "", Change::Put(key, object), &self.groups);
    }

    /// As a watch hands it on.
    fn object(&self, kind: Kind, value: Value) -> (String, Object) {
        match object(kind, value) {
            (key, Object::Pod(pod)) if self.state.makes_groups_at_once() => {
                (key, Object::Made(Some(pod::group(&pod, Vec::new()))))
            }
            other => other,
        }
    }

    /// Every target with all its labels, `__meta_kubernetes_` left out of their names.
    fn targets(&self) -> Vec<String> {
        let groups = self.groups.get().groups;
        let mut shown = Vec::new();
        for group in groups.values() {
            for target in &group.targets {
                let mut labels = group.labels.to_builder();
                for more in group.attached.iter().chain([target]) {
                    meta::merge(&mut labels, more);
                }
                let pairs = labels.build();
                let pairs = pairs.iter().map(|(name, value)| {
                    let name = name.strip_prefix(meta::PREFIX).unwrap_or(name);
                    format!("{name}={value}")
                });
                shown.push(pairs.collect::<Vec<_>>().join(" "));
            }
        }
        shown
    }
}

fn epp_pod(ready: &str) -> Value {
    json!({
        "metadata": {
            "name": "epp-0", "namespace": "llm", "uid": "u-1",
            "labels": {"app.kubernetes.io/name": "epp"},
            "annotations": {"a/b": "c"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "epp-5d", "uid": "x", "controller": true}
            ],
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                {"name": "epp", "image": "epp:1", "ports": [
                    {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
                    {"name": "grpc", "containerPort": 9002, "protocol": "TCP"},
                ]},
                {"name": "sidecar", "image": "s:1"},
            ],
            "initContainers": [{"name": "init", "image": "i:1"}],
        },
        "status": {
            "podIP": "10.0.0.7", "hostIP": "192.168.0.1", "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{
                "name": "epp", "containerID": "containerd://1", "image": "", "imageID": "", "ready": true,
                "restartCount": 0
            }],
        },
    })
}

fn service() -> Value {
    json!({
        "metadata": {"name": "epp", "namespace": "llm", "labels": {"x": "y"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.1",
            "ports": [{"name": "http-metrics", "port": 9090, "protocol": "TCP"}],
        },
    })
}

const POD_LABELS: &str = "pod_annotation_a_b=c pod_annotationpresent_a_b=true";

#[test]
fn a_pod_is_a_target_per_port_and_one_per_container_without() {
    let mut world = World::new(KubernetesRole::Pod, false);
    world.list(Kind::Pod, vec![epp_pod("True")]);
    let targets = world.targets();
    assert_eq!(targets.len(), 4);
    assert_eq!(
        targets[0],
        format!(
            "__address__=10.0.0.7:9090 namespace=llm {POD_LABELS} pod_container_id=containerd://1 \
             pod_container_image=epp:1 pod_container_init=false pod_container_name=epp \
             pod_container_port_name=metrics pod_container_port_number=9090 pod_container_port_protocol=TCP \
             pod_controller_kind=ReplicaSet pod_controller_name=epp-5d pod_host_ip=192.168.0.1 pod_ip=10.0.0.7 \
             pod_label_app_kubernetes_io_name=epp pod_labelpresent_app_kubernetes_io_name=true pod_name=epp-0 \
             pod_node_name=n1 pod_phase=Running pod_ready=true pod_uid=u-1"
        )
    );
    assert!(
        targets[2].starts_with("__address__=10.0.0.7 ")
            && targets[2].contains("pod_container_name=sidecar")
    );
    assert!(targets[3].contains("pod_container_init=true"));
    let mut starting = epp_pod("False");
    starting["status"]["podIP"] = Value::Null;
    world.put(Kind::Pod, starting);
    assert!(
        world.targets().is_empty(),
        "a pod without an address is no target"
    );
    world.list(Kind::Pod, Vec::new());
    assert_eq!(
        world.groups.get().groups.len(),
        0,
        "what a list no longer holds is gone"
    );
}

#[test]
fn nodes_and_namespaces_are_attached_and_followed() {
    let node = |zone: &str| json!({"metadata": {"name": "n1", "labels": {"zone": zone}}});
    let mut world = World::new(KubernetesRole::Pod, true);
    world.list(Kind::Pod, vec![epp_pod("True")]);
    world.list(
        Kind::Namespace,
        vec![json!({"metadata": {"name": "llm", "labels": {"team": "a"}}})],
    );
    assert!(
        world.targets().is_empty(),
        "nothing is told before all was listed"
    );
    world.list(Kind::Node, vec![node("z1")]);
    let first = world.targets().remove(0);
    for part in [
        "node_name=n1",
        "node_label_zone=z1",
        "node_labelpresent_zone=true",
        "namespace_label_team=a",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    world.put(Kind::Node, node("z2"));
    assert!(world.targets()[0].contains("node_label_zone=z2"));
}

#[test]
fn endpoints_show_their_service_and_pods() {
    let endpoints = json!({
        "metadata": {"name": "epp", "namespace": "llm"},
        "subsets": [{
            "addresses": [{"ip": "10.0.0.7", "nodeName": "n1",
                "targetRef": {"kind": "Pod", "name": "epp-0", "namespace": "llm"}}],
            "notReadyAddresses": [{"ip": "10.0.0.8", "hostname": "h"}],
            "ports": [{"name": "http-metrics", "port": 9090, "protocol": "TCP"}],
        }],
    });
    let mut world = World::new(KubernetesRole::Endpoints, false);
    world.list(Kind::Service, vec![service()]);
    world.list(Kind::Pod, vec![epp_pod("True")]);
    world.list(Kind::Endpoints, vec![endpoints]);
    let targets = world.targets();
    let all = targets.join("\n");
    assert_eq!(targets.len(), 3, "{all}");
    for part in [
        "__address__=10.0.0.7:9090 endpoint_address_target_kind=Pod endpoint_address_target_name=epp-0 \
         endpoint_node_name=n1 endpoint_port_name=http-metrics endpoint_port_protocol=TCP endpoint_ready=true \
         endpoints_name=epp namespace=llm",
        "pod_container_port_name=metrics pod_container_port_number=9090",
        "service_label_x=y service_labelpresent_x=true service_name=epp",
    ] {
        assert!(targets[0].contains(part), "{part} in {}", targets[0]);
    }
    assert!(targets[1].contains("endpoint_hostname=h endpoint_port_name=http-metrics"));
    assert!(targets[1].contains("endpoint_ready=false"));
    let other = &targets[2];
    assert!(
        other.starts_with("__address__=10.0.0.7:9002 endpoints_name=epp"),
        "{other}"
    );
    world.put(Kind::Pod, epp_pod("False"));
    assert!(
        world.targets()[0].contains("pod_ready=false"),
        "a change of the pod shows"
    );
    let mut renamed = service();
    renamed["metadata"]["labels"]["x"] = json!("z");
    world.put(Kind::Service, renamed);
    assert!(world.targets()[0].contains("service_label_x=z"));
}

#[test]
fn endpoint_slices_show_their_service_and_pods() {
    let slice = |address_type: &str| {
        json!({
            "metadata": {"name": "epp-abc", "namespace": "llm", "labels": {"kubernetes.io/service-name": "epp"}},
            "addressType": address_type,
            "endpoints": [{
                "addresses": ["10.0.0.7"], "zone": "z", "nodeName": "n1",
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "name": "epp-0", "namespace": "llm"},
            }],
            "ports": [{"name": "http-metrics", "port": 9090, "protocol": "TCP", "appProtocol": "http"}],
        })
    };
    let mut world = World::new(KubernetesRole::EndpointSlice, false);
    let mut dual = service();
    dual["spec"]["ipFamilyPolicy"] = json!("PreferDualStack");
    dual["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    world.list(Kind::Service, vec![dual]);
    world.list(Kind::Pod, vec![epp_pod("True")]);
    world.list(Kind::EndpointSlice, vec![slice("IPv4")]);
    let targets = world.targets();
    assert_eq!(targets.len(), 2);
    let expected = "__address__=10.0.0.7:9090 endpointslice_address_target_kind=Pod \
        endpointslice_address_target_name=epp-0 endpointslice_address_type=IPv4 \
        endpointslice_endpoint_conditions_ready=true endpointslice_endpoint_conditions_serving=true \
        endpointslice_endpoint_conditions_terminating=false endpointslice_endpoint_node_name=n1 \
        endpointslice_endpoint_zone=z endpointslice_label_kubernetes_io_service_name=epp \
        endpointslice_labelpresent_kubernetes_io_service_name=true endpointslice_name=epp-abc \
        endpointslice_port=9090 endpointslice_port_app_protocol=http endpointslice_port_name=http-metrics \
        endpointslice_port_protocol=TCP namespace=llm";
    assert!(targets[0].starts_with(expected), "{}", targets[0]);
    assert!(targets[0].contains("pod_name=epp-0") && targets[0].contains("service_name=epp"));
    world.put(Kind::EndpointSlice, slice("IPv6"));
    assert!(
        world.targets().is_empty(),
        "the second family repeats the first"
    );
}

#[test]
fn services_nodes_and_ingresses_are_targets() {
    let mut world = World::new(KubernetesRole::Service, false);
    world.list(Kind::Service, vec![service()]);
    assert_eq!(
        world.targets(),
        [
            "__address__=epp.llm.svc:9090 namespace=llm service_cluster_ip=10.96.0.1 service_label_x=y \
          service_labelpresent_x=true service_name=epp service_port_name=http-metrics service_port_number=9090 \
          service_port_protocol=TCP service_type=ClusterIP"
        ]
    );
    let mut world = World::new(KubernetesRole::Node, false);
    world.list(
        Kind::Node,
        vec![json!({
            "metadata": {"name": "n1"},
            "spec": {"providerID": "kind://n1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "n1"},
                    {"type": "InternalIP", "address": "192.168.0.1"},
                    {"type": "InternalIP", "address": "fd00::1"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        })],
    );
    assert_eq!(
        world.targets(),
        [
            "__address__=192.168.0.1:10250 node_address_Hostname=n1 node_address_InternalIP=192.168.0.1 \
          node_condition_ready=true node_name=n1 node_provider_id=kind://n1 instance=n1"
        ]
    );
    let mut world = World::new(KubernetesRole::Ingress, false);
    world.list(
        Kind::Ingress,
        vec![json!({
            "metadata": {"name": "i", "namespace": "llm"},
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["*.example.org"]}],
                "rules": [
                    {"host": "a.example.org", "http": {"paths": [
                        {"path": "/x", "pathType": "Prefix", "backend": {}},
                        {"pathType": "Prefix", "backend": {}},
                    ]}},
                    {"host": "plain"},
                ],
            },
        })],
    );
    let shown = "ingress_class_name=nginx ingress_host";
    assert_eq!(
        world.targets(),
        [
            format!(
                "__address__=a.example.org {shown}=a.example.org ingress_name=i ingress_path=/x ingress_scheme=https namespace=llm"
            ),
            format!(
                "__address__=a.example.org {shown}=a.example.org ingress_name=i ingress_path=/ ingress_scheme=https namespace=llm"
            ),
            format!(
                "__address__=plain {shown}=plain ingress_name=i ingress_path=/ ingress_scheme=http namespace=llm"
            ),
        ]
    );
}

#[test]
fn an_api_server_that_is_away_changes_nothing() {
    let mut world = World::new(KubernetesRole::Pod, false);
    world.list(Kind::Pod, vec![epp_pod("True")]);
    assert_eq!(world.targets().len(), 4);
    let failed = Change::Failed("connection refused".to_owned());
    world.state.take(Kind::Pod, "", failed, &world.groups);
    assert_eq!(world.targets().len(), 4);
    assert_eq!(
        world.groups.state().0,
        Some("connection refused".to_owned())
    );
}

/// Where there was more of a namespace than is kept, its pods left like those that are gone, and the sum of the others was told.
#[test]
fn pods_of_a_namespace_that_cannot_be_seen_stay() {
    let mut world = World::new(KubernetesRole::Pod, false);
    world.list(Kind::Pod, vec![epp_pod("True")]);
    let part = |left_out: &str| Change::AllBut {
        all: BTreeMap::new(),
        left_out: [left_out.to_owned()].into(),
        why: "too many".to_owned(),
    };
    world.state.take(Kind::Pod, "", part("llm"), &world.groups);
    assert_eq!(world.targets().len(), 4);
    assert_eq!(world.groups.partial(), Some("too many".to_owned()));
    world.list(Kind::Pod, vec![epp_pod("True")]);
    assert_eq!((world.groups.partial(), world.targets().len()), (None, 4));
    world.state.take(Kind::Pod, "", part("b"), &world.groups);
    assert_eq!(world.targets().len(), 0, "those of others go");
    // Where it is alone nothing is listed, and the last ones stay.
    world.list(Kind::Pod, vec![epp_pod("True")]);
    let beyond = || Change::Beyond("too many".to_owned());
    world.state.take(Kind::Pod, "", beyond(), &world.groups);
    assert_eq!(world.groups.partial(), Some("too many".to_owned()));
    assert_eq!(world.targets().len(), 4);
    // At our start, too, a part is no list.
    let mut world = World::new(KubernetesRole::Pod, false);
    world.state.take(Kind::Pod, "", part("llm"), &world.groups);
    assert!(world.groups.get().partial.is_some());
}

/// Of 100,000 pods that a job drops each took four kilobytes.
#[test]
fn of_a_pod_its_group_alone_is_kept_and_a_list_that_comes_again_is_no_change() {
    let mut world = World::new(KubernetesRole::Pod, false);
    let list = |world: &mut World| world.list(Kind::Pod, vec![epp_pod("True")]);
    list(&mut world);
    let kept = &world.state.objects[&Kind::Pod];
    assert!(matches!(kept["llm/epp-0"], Object::Made(None)));
    let (before, shown) = (world.groups.get(), world.targets());
    list(&mut world);
    let after = world.groups.get();
    let group = |of: &BySource| Arc::clone(&of["pod/llm/epp-0"]);
    assert_eq!(before.version, after.version);
    assert!(Arc::ptr_eq(&group(&before.groups), &group(&after.groups)));
    world.put(Kind::Pod, epp_pod("False"));
    assert_ne!(world.targets(), shown);
    world.list(Kind::Pod, Vec::new());
    assert!(world.targets().is_empty());
}

/// A pod with all the annotations that Kubernetes allows and thousands of ports was as many copies of them: gigabytes.
#[test]
fn labels_of_a_pod_take_less_where_it_has_more_ports() {
    let text = "scrape_configs:\n- {job_name: j, relabel_configs: [{action: labelmap, regex: '__meta_kubernetes_pod_annotation_(.+)', replacement: 'a_$1'}]}\n";
    let config = crate::config::load(text).0.expect("valid");
    let options = target_options(&config.jobs[0]);
    for ports in [1, 2_000, 20_000] {
        let mut pod = epp_pod("True");
        pod["metadata"]["annotations"] = json!({"b/small": "kept", "a/large": "x".repeat(250_000)});
        let ports: Vec<Value> = (0..ports)
            .map(|port| json!({"containerPort": port}))
            .collect();
        pod["spec"] = json!({"containers": [{"name": "c", "image": "i:1", "ports": ports}]});
        let mut world = World::new(KubernetesRole::Pod, false);
        world.list(Kind::Pod, vec![pod]);
        let groups = world.groups.get().groups;
        let group = groups.values().next().expect("a pod is a group");
        let targets = outcomes(&config.jobs[0], &options, group, &mut LabelRoom::default());
        assert_eq!(targets.len(), ports.len());
        let mut bytes = group.bytes();
        for target in &targets {
            let Outcome::Target(target) = target else {
                panic!("{target:?}");
            };
            bytes += target.labels.bytes();
            assert_eq!(target.labels.get("a_b_small"), Some("kept"));
            assert_eq!(target.labels.get("a_a_large"), None);
        }
        assert!(
            bytes < 1_000 * (ports.len() + 10),
            "{bytes} for {} ports",
            ports.len()
        );
    }
}

/// What a namespace gives to its pods was copied for each: 5 GB for 20,000 pods, whether they were scraped or not.
#[test]
fn what_a_namespace_gives_is_shared_by_its_pods() {
    let mut world = World::new(KubernetesRole::Pod, true);
    let namespace =
        json!({"metadata": {"name": "llm", "annotations": {"large": "x".repeat(30_000)}}});
    let pods = (0..100).map(|number| {
        let mut pod = epp_pod("True");
        pod["metadata"]["name"] = json!(format!("epp-{number}"));
        pod
    });
    let pods = pods.collect();
    world.list(Kind::Pod, pods);
    world.list(Kind::Namespace, vec![namespace]);
    world.list(Kind::Node, vec![json!({"metadata": {"name": "n1"}})]);
    let groups = world.groups.get().groups;
    let attached = groups.values().map(|group| &group.attached[1]);
    let first = attached.clone().next().expect("a group");
    assert!(first.bytes() > 30_000 && groups.len() == 100);
    assert!(attached.clone().all(|labels| labels.is_same(first)));
    assert!(groups.values().all(|group| group.bytes() < 4_000));
}
