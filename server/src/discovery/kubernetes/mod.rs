//! `kubernetes_sd_configs`: targets from the objects of an API server, by list and watch.
//!
//! ```text
//!  API server --list, watch--> list_watch (one per kind and namespace) --changes--> state --groups--> Groups
//! ```
//!
//! `state` holds what the role needs of each object and knows which groups an object takes part in; the files named like
//! roles make a group of an object, with Prometheus' labels (discovery/kubernetes/*.go). Nothing is told before every
//! kind was listed once, so that no target appears half labelled. An API server that is away changes nothing.

pub(super) mod client;
mod endpoints;
mod endpointslice;
mod ingress;
mod lookup;
pub(super) mod meta;
mod node;
mod pod;
mod service;
mod state;

use k8s_openapi::api::core::v1::{Endpoints, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::state::{Kind, Object, State};
use super::groups::Groups;
use crate::cluster::list_watch::{Change, Selectors, follow};
use crate::config::{KubernetesDiscovery, KubernetesRole};

/// Changes under way between the watches and the state. A list of ten thousand pods waits here page by page.
const CHANGES_MAX: usize = 64;

/// A change of what one watch sees.
struct Seen {
    kind: Kind,
    /// The namespace that the watch looks at; all where it is empty.
    namespace: String,
    change: Change<Object>,
}

/// Keeps `groups` up to date until it is dropped.
pub(super) async fn run(config: KubernetesDiscovery, groups: Groups) {
    let (client, namespaces) = loop {
        match client::connect(&config).await {
            Ok(connected) => break connected,
            Err(why) => groups.fail(why),
        }
        tokio::time::sleep(client::TRY_AGAIN).await;
    };
    let (tell, mut told) = mpsc::channel(CHANGES_MAX);
    // Dropped with this future, and the watches with it.
    let mut watches = JoinSet::new();
    let mut state = State::new(&config);
    for kind in state.kinds() {
        let scopes = match kind.is_namespaced() {
            true => namespaces.clone(),
            false => vec![String::new()],
        };
        for namespace in scopes {
            state.expect(kind, &namespace);
            let selectors = selectors(kind, &config);
            let of = (kind, state.makes_groups_at_once());
            let watch = watch(of, namespace, selectors, client.clone(), tell.clone());
            watches.spawn(watch);
        }
    }
    while let Some(seen) = told.recv().await {
        state.take(seen.kind, &seen.namespace, seen.change, &groups);
    }
}

/// Follows the objects of one kind in one namespace. Of pods whose groups can be made `at_once` nothing else is kept.
async fn watch(
    (kind, at_once): (Kind, bool),
    namespace: String,
    selectors: Selectors,
    client: Client,
    tell: mpsc::Sender<Seen>,
) {
    let scope = namespace.clone();
    let send = move |change: Change<Object>| {
        let (tell, namespace) = (tell.clone(), scope.clone());
        async move {
            let seen = Seen {
                kind,
                namespace,
                change,
            };
            tell.send(seen).await.ok(); // nobody listens: then this future is dropped next
        }
    };
    macro_rules! namespaced {
        ($type:ty, $object:expr) => {{
            let api: Api<$type> = match namespace.as_str() {
                "" => Api::all(client),
                namespace => Api::namespaced(client, namespace),
            };
            follow(api, selectors, $object, send).await
        }};
    }
    match kind {
        Kind::Pod if at_once => namespaced!(Pod, |pod| {
            Object::Made(Some(pod::group(&pod::facts(&pod), Vec::new())))
        }),
        Kind::Pod => namespaced!(Pod, |pod| Object::Pod(pod::facts(&pod))),
        Kind::Service => namespaced!(Service, |service| Object::Service(Box::new(service))),
        Kind::Endpoints => namespaced!(Endpoints, |one| Object::Endpoints(Box::new(one))),
        Kind::EndpointSlice => {
            namespaced!(EndpointSlice, |one| Object::EndpointSlice(Box::new(one)))
        }
        Kind::Ingress => namespaced!(Ingress, |one| Object::Ingress(Box::new(one))),
        Kind::Node => {
            let api: Api<Node> = Api::all(client);
            follow(api, selectors, |node| Object::Node(Box::new(node)), send).await;
        }
        Kind::Namespace => {
            let api: Api<Namespace> = Api::all(client);
            let labels = |one: Namespace| Object::Namespace(meta::of(&one.metadata, "namespace"));
            follow(api, selectors, labels, send).await;
        }
    }
}

/// What of a kind is asked for.
fn selectors(kind: Kind, config: &KubernetesDiscovery) -> Selectors {
    let role = match kind {
        Kind::Pod => KubernetesRole::Pod,
        Kind::Service => KubernetesRole::Service,
        Kind::Endpoints => KubernetesRole::Endpoints,
        Kind::EndpointSlice => KubernetesRole::EndpointSlice,
        Kind::Ingress => KubernetesRole::Ingress,
        Kind::Node => KubernetesRole::Node,
        Kind::Namespace => return Selectors::default(),
    };
    let selector = config.selectors.iter().find(|one| one.role == role);
    selector.map_or_else(Selectors::default, |one| Selectors {
        label: one.label.clone(),
        field: one.field.clone(),
        ..Selectors::default()
    })
}
