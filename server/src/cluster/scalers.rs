//! The objects of a cluster that scale by metrics, for `check config`.

use std::time::Duration;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};

use super::Cluster;

/// Group, version, kind and plural of each.
const KINDS: [(&str, &str, &str, &str); 2] = [
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
];
const LIST: Duration = Duration::from_secs(30);
/// More are not looked at.
const SCALERS_MAX: u32 = 5_000;
const NOT_FOUND: u16 = 404;

impl Cluster {
    /// HorizontalPodAutoscalers and ScaledObjects of all namespaces, each as JSON. A cluster may have no KEDA.
    pub async fn scalers(&self) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for (group, version, kind, plural) in KINDS {
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let parameters = ListParams::default().limit(SCALERS_MAX);
            let listed = tokio::time::timeout(LIST, api.list(&parameters)).await;
            let listed = listed.map_err(|_| format!("{plural}: no list within {LIST:?}"))?;
            let objects = match listed {
                Ok(list) => list.items,
                Err(kube::Error::Api(status)) if status.code == NOT_FOUND => continue,
                Err(error) => return Err(format!("{plural}: {}", super::words(&error))),
            };
            for mut object in objects {
                object.types = Some(kube::core::TypeMeta {
                    api_version: resource.api_version.clone(),
                    kind: kind.to_owned(),
                });
                let json = serde_json::to_string(&object).map_err(|error| error.to_string())?;
                found.push(json);
            }
        }
        Ok(found)
    }
}
