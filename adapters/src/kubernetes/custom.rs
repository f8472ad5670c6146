//! Metrics of objects: the calls that the HPA makes for `type: Object` (one object) and `type: Pods` (all of a kind, `*`,
//! restricted by the labels of the objects).
//!
//! A metric is one of prometheus-adapter's rules, or a signal whose elements name the object by a label. KEDA does not own
//! this API, so it works beside it.

use std::sync::Arc;

use super::groups::Content;
use super::list::{Item, List, Object};
use super::quantity::quantity;
use super::read::{LISTED_MAX, TIMEOUT_MS};
use super::selected::Selected;
use super::status::Status;
use crate::form::Form;
use crate::host::{Element, Host, NoNumbers, NoneFits, ObjectList, ObjectQuestion, Reading};
use crate::objects::{Kind, Kinds};
use crate::pool;

/// Objects that a reason names.
const NAMED_MAX: usize = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path<'p> {
    /// Empty for objects that are in none.
    pub(super) namespace: &'p str,
    /// `resource.group`.
    pub(super) resource: &'p str,
    /// `*` is all.
    pub(super) name: &'p str,
    pub(super) metric: &'p str,
}

impl<'p> Path<'p> {
    /// Reads the pieces after the version, as custom-metrics-apiserver does (`pkg/apiserver/installer`).
    pub(super) fn parse(pieces: &[&'p str]) -> Option<Path<'p>> {
        let path = |namespace, resource, name, metric| Path {
            namespace,
            resource,
            name,
            metric,
        };
        match *pieces {
            ["namespaces", namespace, "metrics", metric] => {
                Some(path("", "namespaces", namespace, metric))
            }
            ["namespaces", namespace, resource, name, metric] => {
                Some(path(namespace, resource, name, metric))
            }
            [resource, name, metric] => Some(path("", resource, name, metric)),
            _ => None,
        }
    }
}

/// A metric of objects of a kind, with what selects them.
#[derive(Clone)]
struct Asked {
    metric: String,
    namespace: String,
    kind: Arc<Kind>,
    selected: Selected,
}

pub(super) async fn answer(
    host: &dyn Host,
    (group, version): (&str, &'static str),
    path: Path<'_>,
    form: &Form,
) -> Result<List, Status> {
    let kind = kind_of(host, &path).await?;
    let asked = Asked {
        metric: path.metric.to_owned(),
        namespace: path.namespace.to_owned(),
        kind,
        selected: Selected::of_metric(form, "metricLabelSelector")?,
    };
    let told = match path.name {
        "*" => all(host, &asked, form).await?,
        name => vec![(name.to_owned(), one(host, &asked, name).await?)],
    };
    let items: Result<Vec<Item>, Status> = told
        .into_iter()
        .map(|(name, element)| asked.item(name, element))
        .collect();
    Ok(List {
        group: group.to_owned(),
        content: Content::Custom,
        version,
        items: items?,
    })
}

async fn kind_of(host: &dyn Host, path: &Path<'_>) -> Result<Arc<Kind>, Status> {
    let objects = host.objects();
    let known = objects.kinds().of_path(path.resource).cloned();
    let kind = match known {
        Some(kind) => Some(kind),
        None => objects.find_kind(path.resource.to_owned()).await,
    };
    let Some(kind) = kind else {
        return Err(Status::not_found(format!(
            "{} of {}: there is no such kind of object, as far as is known here; outside of a cluster (--kubeconfig) \
             only the usual kinds are known",
            path.metric, path.resource
        )));
    };
    if !kind.namespaced && !path.namespace.is_empty() {
        return Err(Status::not_found(format!(
            "{} are in no namespace: ask for {}/{}/{}",
            kind.resource,
            kind.path(),
            path.name,
            path.metric
        )));
    }
    if kind.namespaced && path.namespace.is_empty() {
        return Err(Status::not_found(format!(
            "{} are in namespaces: ask for namespaces/NAMESPACE/{}/{}/{}",
            kind.resource,
            kind.path(),
            path.name,
            path.metric
        )));
    }
    Ok(kind)
}

/// The number of one object.
async fn one(host: &dyn Host, asked: &Asked, name: &str) -> Result<Element, Status> {
    let kinds = host.objects().kinds();
    let question = asked.question(&kinds);
    let ready = host
        .signals()
        .read_object_if_ready(&question, name, host.now());
    let reading = match ready {
        Some(reading) => Some(reading),
        None => {
            let object = name.to_owned();
            let read = asked.on_pool(host, move |signals, question, now| {
                signals.read_object(question, &object, now)
            });
            read.await?
        }
    };
    let (metric, label) = (&asked.metric, asked.kind.label());
    let elements = match reading {
        None => return Err(unknown(host, asked)),
        Some(Reading::Forbidden) => return Err(asked.forbidden(name)),
        Some(Reading::Unknown(why)) => {
            let selected = asked.selected.beside();
            let what = format!("{metric} of {name}{selected} is unknown: {why}");
            return Err(Status::unavailable(what));
        }
        Some(Reading::NotThere(why)) => {
            let (kind, place) = (&asked.kind.resource, asked.place());
            let what = format!("{metric} is not there for {kind} {name:?}{place}: {why}");
            return Err(Status::not_found(what));
        }
        Some(Reading::NoneFits(none)) => {
            return Err(Status::not_found(asked.none_fits(name, &none)));
        }
        Some(Reading::Value(elements) | Reading::Held { elements, .. }) => elements,
    };
    let count = elements.len();
    let mut elements = elements.into_iter();
    match (elements.next(), count) {
        (Some(element), 1) => Ok(element),
        // The HPA takes exactly one number; which way to make one of several is the query's to say.
        _ => Err(Status::unavailable(format!(
            "{metric} of {name}: {count} elements are about it, and the HPA takes one: group the query by {label} alone, \
             or select one (metric.selector)"
        ))),
    }
}

/// The numbers of all objects that are selected; never none.
async fn all(
    host: &dyn Host,
    asked: &Asked,
    form: &Form,
) -> Result<Vec<(String, Element)>, Status> {
    let of_objects = Selected::of_objects(form)?;
    let Asked {
        metric,
        namespace,
        kind,
        ..
    } = asked;
    let selector = of_objects.selector.clone();
    let names = host
        .objects()
        .names(Arc::clone(kind), namespace.clone(), selector)
        .await
        .map_err(|why| {
            Status::unavailable(format!(
                "{metric}: which {} there are is unknown: {why}",
                kind.resource
            ))
        })?;
    match &names {
        // The selector cannot be judged: neither all objects nor none would be a true answer.
        None if !of_objects.is_everything() => {
            return Err(Status::unavailable(format!(
                "{metric}: {} is about the labels of {}, and there is no API server to ask for them; \
                 run in a cluster, or give --kubeconfig",
                of_objects.name(),
                kind.resource
            )));
        }
        Some(names) if names.is_empty() => {
            return Err(Status::not_found(format!(
                "{metric}: namespace {namespace:?} has no {} that fit {}",
                kind.resource,
                of_objects.name()
            )));
        }
        _ => {}
    }
    let read = asked
        .on_pool(host, move |signals, question, now| {
            signals.read_objects(question, names.as_deref(), now)
        })
        .await?;
    let list = match read {
        None => return Err(unknown(host, asked)),
        Some(Err(none)) => return Err(asked.no_numbers(none)),
        Some(Ok(list)) => list,
    };
    match list.told.is_empty() {
        true => Err(nothing_told(asked, &list)),
        false => Ok(list.told),
    }
}

/// No object has a number: an empty list would say less.
fn nothing_told(asked: &Asked, list: &ObjectList) -> Status {
    let Asked { metric, kind, .. } = asked;
    let missing = list.missing.iter().take(NAMED_MAX);
    let named: Vec<String> = missing
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    if named.is_empty() {
        let (plural, singular) = (&kind.resource, &kind.singular);
        return Status::unavailable(format!(
            "{metric}: its series name none of the {plural} (by a label such as {singular:?})"
        ));
    }
    let more = match list.missing.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Status::unavailable(format!(
        "{metric}: no number may be told of any of the {}: {}{more}",
        kind.resource,
        named.join("; ")
    ))
}

fn unknown(host: &dyn Host, asked: &Asked) -> Status {
    let Asked { metric, kind, .. } = asked;
    let path = kind.path();
    let all = host.signals().object_metrics(&host.objects().kinds());
    let mut same = all.iter().filter(|one| one.resource == path);
    let of_kind: Vec<&str> = same
        .by_ref()
        .take(LISTED_MAX)
        .map(|one| one.name.as_str())
        .collect();
    let more = if same.next().is_some() { ", ..." } else { "" };
    let other_kinds: Vec<&str> = all
        .iter()
        .filter(|one| one.name.eq_ignore_ascii_case(metric))
        .take(LISTED_MAX)
        .map(|one| one.resource.as_str())
        .collect();
    Status::not_found(match (other_kinds.is_empty(), of_kind.is_empty()) {
        (false, _) => format!(
            "there is no metric {metric} of {path}; there is one of {}",
            other_kinds.join(", ")
        ),
        (true, false) => format!(
            "there is no metric {metric} of {path}; there are {}{more}",
            of_kind.join(", ")
        ),
        (true, true) => format!(
            "there is no metric {metric} of {path}, nor any other of that kind: rules make metrics of objects \
             (external_metrics.rules_files), or signals that are grouped by {}",
            kind.label()
        ),
    })
}

impl Asked {
    /// Where the objects are, as it stands behind their names.
    fn place(&self) -> String {
        let namespace = match self.namespace.as_str() {
            "" => String::new(),
            namespace => format!(" in namespace {namespace:?}"),
        };
        format!("{namespace}{}", self.selected.beside())
    }

    /// `name` is that of the object: a Namespace is in none, and is asked for by its name.
    fn forbidden(&self, name: &str) -> Status {
        let namespace = match self.kind.is_namespace() {
            true => name,
            false => &self.namespace,
        };
        Status::forbidden(format!(
            "{} is not for namespace {namespace} (signals[].namespaces)",
            self.metric
        ))
    }

    /// Why none of a metric's elements is the number of an object.
    fn none_fits(&self, name: &str, none: &NoneFits) -> String {
        let NoneFits { elements, seen, .. } = none;
        let (metric, label) = (&self.metric, self.kind.label());
        let about = format!(
            "{metric}: none of its {elements} elements is about {name:?} by its label {label}"
        );
        if none.label != label {
            let mut selected = self.selected.selector.requirements().iter();
            return match selected.any(|one| one.label() == none.label) {
                true => format!("{metric} of {name:?}: {}", self.selected.excludes(none)),
                false => format!("{metric} of {name:?}: {none}"), // the namespace
            };
        }
        match seen.as_str() {
            "" => format!(
                "{about}; group the query by {label}, pin {label} in each of its selectors, or give the signal \
                 `labels: {{{label}: {name}}}`"
            ),
            seen => format!("{about}{seen}"),
        }
    }

    /// Why there is no number of any object.
    fn no_numbers(&self, none: NoNumbers) -> Status {
        let (metric, place) = (&self.metric, self.place());
        let plural = &self.kind.resource;
        match none {
            NoNumbers::Unknown(why) => {
                let selected = self.selected.beside();
                Status::unavailable(format!("{metric}{selected} is unknown: {why}"))
            }
            NoNumbers::NotThere(why) => Status::not_found(format!(
                "{metric} is not there for any {plural}{place}: {why}"
            )),
            NoNumbers::NoneFits(none) => {
                Status::not_found(format!("{metric}: {}", self.selected.excludes(&none)))
            }
            NoNumbers::Forbidden => self.forbidden("*"),
        }
    }

    fn question<'q>(&'q self, kinds: &'q Kinds) -> ObjectQuestion<'q> {
        ObjectQuestion {
            metric: &self.metric,
            namespace: &self.namespace,
            kind: &self.kind,
            kinds,
            selector: &self.selected.selector,
        }
    }

    /// Asks the signals on the pool of autoscalers' reads.
    async fn on_pool<T: Send + 'static>(
        &self,
        host: &dyn Host,
        ask: impl FnOnce(
            &dyn crate::host::Signals,
            &ObjectQuestion<'_>,
            stillwell_engine::Timestamp,
        ) -> T
        + Send
        + 'static,
    ) -> Result<T, Status> {
        let (signals, now, kinds) = (host.signals(), host.now(), host.objects().kinds());
        let asked = self.clone();
        let work = move |_: &pool::Within| {
            let question = asked.question(&kinds);
            Ok(ask(&*signals, &question, now))
        };
        host.queries()
            .run(pool::Kind::Scaler, TIMEOUT_MS, work)
            .await
            .map_err(|error| {
                let selected = self.selected.beside();
                Status::unavailable(format!("{}{selected}: {error}", self.metric))
            })
    }

    fn item(&self, name: String, element: Element) -> Result<Item, Status> {
        let value = quantity(element.value).map_err(|error| {
            Status::unavailable(format!("{} of {name} is unknown: {error}", self.metric))
        })?;
        Ok(Item {
            metric: self.metric.clone(),
            labels: element.labels,
            object: Some(Object {
                api_version: self.kind.api_version(),
                kind: self.kind.kind.clone(),
                namespace: self.namespace.clone(),
                name,
                selector: self.selected.selector.clone(),
            }),
            at: element.at,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_custom_metrics_apiserver_reads_them() {
        let path = |namespace, resource, name, metric| {
            Some(Path {
                namespace,
                resource,
                name,
                metric,
            })
        };
        for (pieces, expected) in [
            (
                &["namespaces", "n", "pods", "*", "m"][..],
                path("n", "pods", "*", "m"),
            ),
            (
                &["namespaces", "n", "metrics", "m"],
                path("", "namespaces", "n", "m"),
            ),
            (
                &["namespaces", "n", "metrics", "o", "m"],
                path("n", "metrics", "o", "m"),
            ),
            (&["nodes", "a", "m"], path("", "nodes", "a", "m")),
            (&["namespaces", "n", "m"], path("", "namespaces", "n", "m")),
            (&["m"], None),
            (&["namespaces", "n", "pods", "a", "m", "x"], None),
        ] {
            assert_eq!(Path::parse(pieces), expected, "{pieces:?}");
        }
    }
}
