//! The kinds of objects that the API server knows, custom resources among them.

use std::time::Duration;

use kube::Client;
use kube::core::discovery::v2::APIGroupDiscoveryList;
use stillwell_adapters::objects::Kind;

/// Two requests, or one for each group where the server is older than Kubernetes 1.27.
const DISCOVERY: Duration = Duration::from_secs(20);

/// All kinds in the versions that the server prefers.
pub(super) async fn kinds(client: &Client) -> Result<Vec<Kind>, String> {
    let asking = async {
        match aggregated(client).await {
            Ok(kinds) if !kinds.is_empty() => Ok(kinds),
            _ => group_by_group(client).await, // an older server lists groups alone
        }
    };
    match tokio::time::timeout(DISCOVERY, asking).await {
        Ok(found) => found.map_err(|error| super::words(&error)),
        Err(_) => Err(format!("no list of kinds within {DISCOVERY:?}")),
    }
}

async fn aggregated(client: &Client) -> kube::Result<Vec<Kind>> {
    let core = client.list_core_api_versions_aggregated().await?;
    let groups = client.list_api_groups_aggregated().await?;
    let mut found = Vec::new();
    for list in [core, groups] {
        of_list(list, &mut found);
    }
    Ok(found)
}

fn of_list(list: APIGroupDiscoveryList, found: &mut Vec<Kind>) {
    for group in list.items {
        let name = group.metadata.and_then(|metadata| metadata.name);
        let name = name.unwrap_or_default();
        // Versions stand in the order of preference; a kind may be in a later one alone.
        for version in group.versions {
            let shown = version.version.unwrap_or_default();
            for resource in version.resources {
                let kind = resource.response_kind.and_then(|kind| kind.kind);
                let plural = resource.resource.unwrap_or_default();
                let kind = Kind {
                    group: name.clone(),
                    version: shown.clone(),
                    singular: singular(resource.singular_resource, kind.as_deref()),
                    kind: kind.unwrap_or_default(),
                    namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    resource: plural,
                };
                add(kind, found);
            }
        }
    }
}

async fn group_by_group(client: &Client) -> kube::Result<Vec<Kind>> {
    let mut versions = vec![(String::new(), "v1".to_owned())];
    for group in client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.map(|version| version.version);
        versions.extend(preferred.map(|version| (group.name, version)));
    }
    let mut found = Vec::new();
    for (group, version) in versions {
        let listed = match group.as_str() {
            "" => client.list_core_api_resources(&version).await,
            group => {
                let version = format!("{group}/{version}");
                client.list_api_group_resources(&version).await
            }
        };
        // A group whose own server is down takes nothing from the others.
        let resources = listed.map(|list| list.resources).unwrap_or_default();
        for resource in resources.into_iter().filter(|one| !one.name.contains('/')) {
            let kind = Kind {
                group: group.clone(),
                version: version.clone(),
                singular: singular(Some(resource.singular_name), Some(&resource.kind)),
                kind: resource.kind,
                namespaced: resource.namespaced,
                resource: resource.name,
            };
            add(kind, &mut found);
        }
    }
    Ok(found)
}

/// Built-in kinds leave it out in some versions: it is the kind in lower case then.
fn singular(given: Option<String>, kind: Option<&str>) -> String {
    let given = given.filter(|name| !name.is_empty());
    given.unwrap_or_else(|| kind.unwrap_or_default().to_ascii_lowercase())
}

fn add(kind: Kind, found: &mut Vec<Kind>) {
    let known = |have: &Kind| have.group == kind.group && have.resource == kind.resource;
    // Metrics APIs list metrics as if they were kinds.
    let metrics = kind.group.ends_with("metrics.k8s.io") || kind.kind.is_empty();
    if !metrics && !found.iter().any(known) {
        found.push(kind);
    }
}
