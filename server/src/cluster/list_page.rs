//! A page of a list, of which each object is kept as soon as it is read: an object of Kubernetes takes ten times what is kept of it,
//! and not every server of the API ends a page where it is asked to.

use std::fmt;
use std::marker::PhantomData;

use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::ListParams;
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Api, Resource};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// What is kept of a page.
pub(super) struct ListPage<T> {
    /// By `namespace/name`.
    pub(super) objects: Vec<(String, T)>,
    pub(super) metadata: ListMeta,
}

/// Why there is no page.
pub(super) enum Refused {
    /// By the API server.
    Status(Box<Status>),
    /// It could not be asked, or what it answers is none.
    Failed(String),
}

impl From<kube::Error> for Refused {
    fn from(error: kube::Error) -> Refused {
        match error {
            kube::Error::Api(status) => Refused::Status(status),
            error => Refused::Failed(super::words(&error)),
        }
    }
}

/// Asks for a page.
pub(super) async fn ask<K, T>(
    api: &Api<K>,
    parameters: &ListParams,
    keep: &impl Fn(K) -> (String, T),
) -> Result<ListPage<T>, Refused>
where
    K: Resource + Clone + DeserializeOwned,
{
    let request = Request::new(api.resource_url());
    let request = match K::metadata_api() {
        true => request.list_metadata(parameters),
        false => request.list(parameters),
    };
    let request = request.map_err(|error| Refused::Failed(error.to_string()))?;
    let client = api.clone().into_client();
    let answer = client.send(request.map(Body::from)).await?;
    let status = answer.status();
    let (mut body, mut text) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
    }
    if !status.is_success() {
        let refused = serde_json::from_slice(&text).unwrap_or_else(|_| {
            let why = String::from_utf8_lossy(&text);
            Status::failure(why.trim(), "").with_code(status.as_u16())
        });
        return Err(Refused::Status(Box::new(refused)));
    }
    read(&text, keep).map_err(|error| Refused::Failed(format!("no list: {error}")))
}

/// Reads a page.
pub(super) fn read<K: DeserializeOwned, T>(
    text: &[u8],
    keep: &impl Fn(K) -> (String, T),
) -> Result<ListPage<T>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let page = PageReader {
        keep,
        object: PhantomData,
    };
    let page = json.deserialize_map(page)?;
    json.end()?;
    Ok(page)
}

/// Of the whole.
struct PageReader<'k, K, F> {
    keep: &'k F,
    object: PhantomData<K>,
}

impl<'de, K: DeserializeOwned, T, F: Fn(K) -> (String, T)> Visitor<'de> for PageReader<'_, K, F> {
    type Value = ListPage<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListPage<T>, A::Error> {
        let mut page = ListPage {
            objects: Vec::new(),
            metadata: ListMeta::default(),
        };
        while let Some(field) = map.next_key::<String>()? {
            match &*field {
                "items" => {
                    let items = ItemsReader {
                        of: &self,
                        into: &mut page.objects,
                    };
                    map.next_value_seed(items)?;
                }
                "metadata" => page.metadata = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(page)
    }
}

/// Of the list of objects, which may be `null`.
struct ItemsReader<'p, 'k, K, T, F> {
    of: &'p PageReader<'k, K, F>,
    into: &'p mut Vec<(String, T)>,
}

impl<'de, K: DeserializeOwned, T, F: Fn(K) -> (String, T)> DeserializeSeed<'de>
    for ItemsReader<'_, '_, K, T, F>
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, K: DeserializeOwned, T, F: Fn(K) -> (String, T)> Visitor<'de>
    for ItemsReader<'_, '_, K, T, F>
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(object) = items.next_element::<K>()? {
            self.into.push((self.of.keep)(object));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn objects_are_kept_one_by_one_whatever_stands_around_them() {
        let pods = |items: &str| {
            format!(
                r#"{{"kind":"PodList","apiVersion":"v1","more":[1],"items":{items},"metadata":{{"resourceVersion":"7","continue":"c"}}}}"#
            )
        };
        let kept = Cell::new(0);
        let keep = |pod: Pod| {
            kept.set(kept.get() + 1);
            (pod.metadata.name.unwrap_or_default(), pod.spec.is_some())
        };
        let two = pods(
            r#"[{"metadata":{"name":"a"},"spec":{"containers":[]}},{"metadata":{"name":"b"}}]"#,
        );
        let page = read(two.as_bytes(), &keep).expect("a list");
        assert_eq!(
            page.objects,
            [("a".to_owned(), true), ("b".to_owned(), false)]
        );
        assert_eq!(page.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(page.metadata.continue_.as_deref(), Some("c"));
        let none = read(pods("null").as_bytes(), &keep).expect("a list");
        assert!(none.objects.is_empty());
        // What follows a broken object is not made.
        let broken =
            pods(r#"[{"metadata":{"name":"c"}},{"metadata":5},{"metadata":{"name":"d"}}]"#);
        assert!(read(broken.as_bytes(), &keep).is_err());
        assert_eq!(kept.get(), 3);
        for garbage in ["", "[]", "{\"items\":{}}", "{} x"] {
            assert!(read(garbage.as_bytes(), &keep).is_err(), "{garbage}");
        }
    }
}
