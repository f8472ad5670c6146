//! What was seen of each kind, and which groups change with it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Endpoints, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use stillwell_engine::labels::Labels;

use super::lookup::Lookup;
use super::pod::PodFacts;
use super::{endpoints, endpointslice, ingress, node, pod, service};
use crate::cluster::list_watch::{Change, Kept, json_bytes, namespace_of};
use crate::config::{KubernetesDiscovery, KubernetesRole};
use crate::discovery::groups::Groups;
use crate::scrape::TargetGroup;

/// Kinds of objects that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    Node,
    Namespace,
}

impl Kind {
    /// Whether objects of it lie in namespaces.
    pub(super) fn is_namespaced(self) -> bool {
        !matches!(self, Kind::Node | Kind::Namespace)
    }
}

/// What is kept of an object.
#[derive(Debug)]
pub(super) enum Object {
    Pod(PodFacts),
    /// The group of an object that is all that it takes, until it is handed on.
    Made(Option<TargetGroup>),
    Service(Box<Service>),
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
    Ingress(Box<Ingress>),
    Node(Box<Node>),
    /// Labels that it gives to others.
    Namespace(Labels),
}

impl Kept for Object {
    fn bytes(&self) -> usize {
        size_of::<Object>()
            + match self {
                Object::Pod(pod) => pod.bytes(),
                Object::Made(group) => group.as_ref().map_or(0, TargetGroup::bytes),
                Object::Service(object) => json_bytes(object),
                Object::Endpoints(object) => json_bytes(object),
                Object::EndpointSlice(object) => json_bytes(object),
                Object::Ingress(object) => json_bytes(object),
                Object::Node(object) => json_bytes(object),
                Object::Namespace(labels) => labels.bytes(),
            }
    }
}

/// What was seen.
pub(super) struct State {
    role: KubernetesRole,
    attach_node: bool,
    attach_namespace: bool,
    objects: BTreeMap<Kind, BTreeMap<String, Object>>,
    /// What nodes give to others.
    nodes: BTreeMap<String, Labels>,
    /// By pod, the objects of the role that name it.
    named_by: BTreeMap<String, BTreeSet<String>>,
    /// Kinds and namespaces that were not listed yet.
    awaited: BTreeSet<(Kind, String)>,
    /// Of which a part is seen, and why.
    partial: BTreeMap<(Kind, String), String>,
    published: bool,
}

impl State {
    pub(super) fn new(config: &KubernetesDiscovery) -> State {
        State {
            role: config.role,
            attach_node: config.attach_node && config.role != KubernetesRole::Node,
            attach_namespace: config.attach_namespace && config.role != KubernetesRole::Node,
            objects: BTreeMap::new(),
            nodes: BTreeMap::new(),
            named_by: BTreeMap::new(),
            awaited: BTreeSet::new(),
            partial: BTreeMap::new(),
            published: false,
        }
    }

    /// The kinds that the role needs.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = match self.role {
            KubernetesRole::Pod => vec![Kind::Pod],
            KubernetesRole::Service => vec![Kind::Service],
            KubernetesRole::Endpoints => vec![Kind::Endpoints, Kind::Service, Kind::Pod],
            KubernetesRole::EndpointSlice => vec![Kind::EndpointSlice, Kind::Service, Kind::Pod],
            KubernetesRole::Ingress => vec![Kind::Ingress],
            KubernetesRole::Node => vec![Kind::Node],
        };
        if self.attach_node {
            kinds.push(Kind::Node);
        }
        if self.attach_namespace {
            kinds.push(Kind::Namespace);
        }
        kinds
    }

    /// Whether a pod is all that its group takes: of 100,000 pods what is kept to make their groups again was as much as these.
    pub(super) fn makes_groups_at_once(&self) -> bool {
        self.role == KubernetesRole::Pod && !self.attach_node && !self.attach_namespace
    }

    /// A kind in a namespace is going to be listed.
    pub(super) fn expect(&mut self, kind: Kind, namespace: &str) {
        self.awaited.insert((kind, namespace.to_owned()));
    }

    /// The kind whose objects are groups.
    fn own(&self) -> Kind {
        match self.role {
            KubernetesRole::Pod => Kind::Pod,
            KubernetesRole::Service => Kind::Service,
            KubernetesRole::Endpoints => Kind::Endpoints,
            KubernetesRole::EndpointSlice => Kind::EndpointSlice,
            KubernetesRole::Ingress => Kind::Ingress,
            KubernetesRole::Node => Kind::Node,
        }
    }

    /// Takes a change and tells the groups that change with it.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        namespace: &str,
        change: Change<Object>,
        groups: &Groups,
    ) {
        let mut concerned = BTreeSet::new();
        let watch = (kind, namespace.to_owned());
        match change {
            Change::Failed(why) => return groups.fail(why),
            Change::Beyond(why) => {
                self.partial.insert(watch, why.clone());
                groups.set_partial(Some(why.clone()));
                return groups.fail(why);
            }
            Change::All(all) => {
                self.partial.remove(&watch);
                self.replace(watch, all, &BTreeSet::new(), &mut concerned);
            }
            Change::AllBut { all, left_out, why } => {
                self.partial.insert(watch.clone(), why);
                self.replace(watch, all, &left_out, &mut concerned);
            }
            Change::Put(key, object) => self.put(kind, key, object, &mut concerned),
            Change::Gone(key) => self.remove(kind, &key, &mut concerned),
        }
        let partial = self.partial.values().next().cloned();
        if partial.is_some() {
            groups.set_partial(partial.clone()); // before a list that is none
        }
        if self.awaited.is_empty() {
            self.tell(&concerned, groups);
        }
        groups.set_partial(partial);
    }

    /// This is all that a watch sees, but for the namespaces that are left out.
    fn replace(
        &mut self,
        (kind, namespace): (Kind, String),
        all: BTreeMap<String, Object>,
        left_out: &BTreeSet<String>,
        concerned: &mut BTreeSet<String>,
    ) {
        let inside = format!("{namespace}/");
        let have = self.objects.entry(kind).or_default();
        let gone = have.keys().filter(|key| {
            (namespace.is_empty() || key.starts_with(&inside))
                && !all.contains_key(*key)
                && !left_out.contains(namespace_of(key))
        });
        for key in gone.cloned().collect::<Vec<_>>() {
            self.remove(kind, &key, concerned);
        }
        for (key, object) in all {
            self.put(kind, key, object, concerned);
        }
        self.awaited.remove(&(kind, namespace));
    }

    /// Tells the groups that changed; all of them at first.
    fn tell(&mut self, concerned: &BTreeSet<String>, groups: &Groups) {
        if !self.published {
            self.published = true;
            let keys = self.objects.get(&self.own()).map(|own| own.keys());
            let keys: Vec<String> = keys.into_iter().flatten().cloned().collect();
            groups.replace(keys.iter().filter_map(|key| {
                let source = self.source(key);
                Some((source, self.group(key)?))
            }));
            return;
        }
        for key in concerned {
            let source = self.source(key);
            groups.put(source, self.group(key));
        }
    }

    fn source(&self, key: &str) -> String {
        format!("{}/{key}", self.role.as_str())
    }

    fn put(&mut self, kind: Kind, key: String, object: Object, concerned: &mut BTreeSet<String>) {
        if kind == self.own() {
            self.forget_names(&key);
            for pod in named_pods(&object) {
                self.named_by.entry(pod).or_default().insert(key.clone());
            }
        }
        if let Object::Node(node) = &object
            && self.attach_node
        {
            self.nodes.insert(key.clone(), node::attached(node));
        }
        self.concern(kind, &key, concerned);
        self.objects.entry(kind).or_default().insert(key, object);
    }

    fn remove(&mut self, kind: Kind, key: &str, concerned: &mut BTreeSet<String>) {
        self.concern(kind, key, concerned);
        if kind == self.own() {
            self.forget_names(key);
        }
        if kind == Kind::Node {
            self.nodes.remove(key);
        }
        if let Some(have) = self.objects.get_mut(&kind) {
            have.remove(key);
        }
    }

    /// An object of the role no longer names the pods that it named.
    fn forget_names(&mut self, key: &str) {
        let have = self.objects.get(&self.own()).and_then(|own| own.get(key));
        for pod in have.map(named_pods).unwrap_or_default() {
            if let Some(by) = self.named_by.get_mut(&pod) {
                by.remove(key);
                if by.is_empty() {
                    self.named_by.remove(&pod);
                }
            }
        }
    }

    /// The objects of the role that change with this object.
    fn concern(&self, kind: Kind, key: &str, concerned: &mut BTreeSet<String>) {
        if kind == self.own() {
            concerned.insert(key.to_owned());
            return;
        }
        let own = self.objects.get(&self.own());
        match kind {
            Kind::Pod => concerned.extend(self.named_by.get(key).into_iter().flatten().cloned()),
            Kind::Service => {
                let of_service =
                    own.into_iter()
                        .flatten()
                        .filter(|(own_key, object)| match object {
                            Object::Endpoints(_) => own_key.as_str() == key,
                            Object::EndpointSlice(slice) => {
                                endpointslice::service_key(slice).as_deref() == Some(key)
                            }
                            _ => false,
                        });
                concerned.extend(of_service.map(|(key, _)| key.clone()));
            }
            Kind::Namespace => {
                let inside = format!("{key}/");
                let own = own.into_iter().flatten().map(|(key, _)| key);
                concerned.extend(own.filter(|key| key.starts_with(&inside)).cloned());
            }
            // A node changes seldom, but for its heartbeat, which changes none of what it gives.
            Kind::Node => {
                let on_node = own
                    .into_iter()
                    .flatten()
                    .filter(|(_, object)| match object {
                        Object::Pod(pod) => pod.node == key,
                        _ => true,
                    });
                concerned.extend(on_node.map(|(key, _)| key.clone()));
            }
            Kind::Endpoints | Kind::EndpointSlice | Kind::Ingress => {}
        }
    }

    /// The group of an object of the role; none where it is gone. One that was made is given once.
    fn group(&mut self, key: &str) -> Option<TargetGroup> {
        if let Some(Object::Made(made)) = self.objects.get_mut(&self.own())?.get_mut(key) {
            return made.take();
        }
        let object = self.objects.get(&self.own())?.get(key)?;
        let attached: Vec<Labels> = self
            .namespace(namespace_of(key))
            .cloned()
            .into_iter()
            .collect();
        match object {
            Object::Pod(pod) => {
                let mut attached = attached;
                if self.attach_node {
                    // A pod on a node that the selectors leave out is left out with it.
                    attached.insert(0, self.nodes.get(&pod.node)?.clone());
                }
                Some(pod::group(pod, attached))
            }
            Object::Service(one) => Some(service::group(one, attached)),
            Object::Endpoints(one) => Some(endpoints::group(one, self)),
            Object::EndpointSlice(one) => Some(endpointslice::group(one, self)),
            Object::Ingress(one) => Some(ingress::group(one, attached)),
            Object::Node(one) => node::group(one),
            Object::Made(_) | Object::Namespace(_) => None,
        }
    }
}

fn named_pods(object: &Object) -> Vec<String> {
    match object {
        Object::Endpoints(one) => endpoints::pods(one),
        Object::EndpointSlice(one) => endpointslice::pods(one),
        _ => Vec::new(),
    }
}

impl Lookup for State {
    fn pod(&self, key: &str) -> Option<&PodFacts> {
        match self.objects.get(&Kind::Pod)?.get(key)? {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    fn service(&self, key: &str) -> Option<&Service> {
        match self.objects.get(&Kind::Service)?.get(key)? {
            Object::Service(service) => Some(service),
            _ => None,
        }
    }

    fn node(&self, name: &str) -> Option<&Labels> {
        self.nodes.get(name)
    }

    fn namespace(&self, name: &str) -> Option<&Labels> {
        match self.objects.get(&Kind::Namespace)?.get(name)? {
            Object::Namespace(labels) => Some(labels),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
