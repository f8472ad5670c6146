//! S4b: which labels say that a page tells of several sources behind its target, as a collector's does. Each of them may be
//! down while the page is good, and may have counted long before the target started.

/// Whether a label says from where a sample comes: in the words of Kubernetes and of Prometheus, or as collectors and
/// exporters write them (`exported_namespace`, `k8s_pod_name`).
pub(crate) fn names_source(label: &str) -> bool {
    const SOURCES: [&str; 10] = [
        "cluster",
        "container",
        "deployment",
        "instance",
        "job",
        "namespace",
        "node",
        "pod",
        "service",
        "statefulset",
    ];
    let prefixes = ["exported_", "kubernetes_", "kube_", "k8s_"];
    let bare = prefixes
        .iter()
        .find_map(|prefix| label.strip_prefix(prefix));
    let bare = bare.unwrap_or(label);
    SOURCES.contains(&bare.strip_suffix("_name").unwrap_or(bare))
}
