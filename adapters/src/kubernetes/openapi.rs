//! `/openapi/v2` and `/openapi/v3`: that each group lists its metrics. Nobody reads more of it here, for metrics are found by
//! discovery; but an API server asks every APIService for both, and logs a failure each minute for as long as it gets none.

use serde_json::{Map, Value, json};

use super::etag::fnv;
use super::groups::Groups;

/// The document at this path below `/openapi/`; `None` where there is none.
pub(super) fn document(groups: &Groups, path: &str) -> Option<String> {
    let document = match path.trim_end_matches('/') {
        "v2" => json!({"swagger": "2.0", "info": info(), "paths": every_path(groups)}),
        "v3" => index(groups),
        path => {
            let of = path.strip_prefix("v3/")?;
            let (_, paths) = versions(groups).find(|(version, _)| version == of)?;
            of_version(&paths)
        }
    };
    Some(document.to_string())
}

fn info() -> Value {
    json!({"title": "stillwell", "version": env!("CARGO_PKG_VERSION")})
}

/// Each version of each group as `apis/GROUP/VERSION`, with its paths.
fn versions(groups: &Groups) -> impl Iterator<Item = (String, Map<String, Value>)> {
    groups.each().flat_map(|(group, content)| {
        content.versions().iter().map(move |version| {
            let name = format!("apis/{group}/{version}");
            let list = json!({"get": {
                "description": "get available resources",
                "operationId": format!("get{}APIResources", operation(group, version)),
                "tags": [format!("{}_{version}", group.replace('.', "_"))],
                "responses": {"200": {"description": "OK"}},
            }});
            let paths = Map::from_iter([(format!("/{name}/"), list)]);
            (name, paths)
        })
    })
}

/// A name that no other group's operation has, for an API server puts all of them into one document.
fn operation(group: &str, version: &str) -> String {
    let letters = format!("{group}.{version}");
    letters.split(['.', '-']).map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn every_path(groups: &Groups) -> Map<String, Value> {
    versions(groups).flat_map(|(_, paths)| paths).collect()
}

fn of_version(paths: &Map<String, Value>) -> Value {
    json!({"openapi": "3.0.0", "info": info(), "paths": paths})
}

/// Where the documents are; the hash says when one is another.
fn index(groups: &Groups) -> Value {
    let paths: Map<String, Value> = versions(groups)
        .map(|(name, paths)| {
            let hash = fnv(of_version(&paths).to_string().as_bytes());
            let url = format!("/openapi/v3/{name}?hash={hash:016X}");
            (name, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

#[cfg(test)]
mod tests {
    use super::super::groups::{CUSTOM, EXTERNAL, RESOURCE};
    use super::*;

    fn read(path: &str) -> Value {
        let groups = Groups {
            external: vec![EXTERNAL.to_owned()],
            custom: vec![CUSTOM.to_owned(), "custom.example-1.com".to_owned()],
            resource: vec![RESOURCE.to_owned()],
        };
        let text = document(&groups, path).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    #[test]
    fn every_version_is_in_every_document() {
        let (old, index) = (read("v2"), read("v3"));
        let index = index["paths"].as_object().expect("paths").clone();
        assert_eq!(old["paths"].as_object().map(Map::len), Some(index.len()));
        assert!(!index.is_empty());
        let mut operations = Vec::new();
        for (name, place) in index {
            let url = place["serverRelativeURL"].as_str().expect("a URL");
            let path = url.split('?').next().unwrap_or("");
            assert_eq!(path, format!("/openapi/v3/{name}"));
            let of_version = read(path.trim_start_matches("/openapi/"));
            assert_eq!(of_version["openapi"], "3.0.0", "{name}");
            let path = format!("/{name}/");
            assert_eq!(of_version["paths"][&path], old["paths"][&path]);
            operations.push(old["paths"][&path]["get"]["operationId"].clone());
        }
        let all = operations.len();
        operations.sort_by_key(Value::to_string);
        operations.dedup();
        assert_eq!(operations.len(), all, "{operations:?}");
        for nothing in ["", "v4", "v3/apis/apps/v1", "v3x"] {
            assert_eq!(read(nothing), Value::Null, "{nothing}");
        }
    }
}
