//! An API server with any objects: paged lists, watches from a version on with bookmarks, expiry (410), disconnects.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::read_head;

/// The objects of a collection by `namespace/name`.
type Collection = BTreeMap<String, Value>;

#[derive(Default)]
struct State {
    /// By the path of the collection, as all namespaces see it.
    collections: BTreeMap<String, Collection>,
    /// Every change since the last compaction: version, collection, event.
    log: Vec<(u64, String, Value)>,
    version: u64,
    /// Versions before this one are too old to watch from.
    compacted: u64,
    /// Connections are closed without an answer.
    is_away: bool,
    /// Lists are not answered.
    are_lists_held: bool,
    /// Grows when all streams have to end.
    streams: u64,
    watches: usize,
    lists: usize,
    /// Collections, of all namespaces or of one, that are refused (403).
    forbidden: Vec<String>,
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct ObjectServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

impl ObjectServer {
    /// With these collections, empty. What else is asked for is not there (404).
    pub async fn start(collections: &[&str]) -> ObjectServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let state = State {
            collections: collections
                .iter()
                .map(|path| ((*path).to_owned(), Collection::new()))
                .collect(),
            version: 1,
            ..State::default()
        };
        let server = ObjectServer {
            address: listener.local_addr().expect("bound"),
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(1).0,
        };
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.connection(stream).await });
            }
        });
        server
    }

    /// Adds an object, or replaces the one of its name.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let key = key(&object);
        let collection = state.collections.entry(path.to_owned()).or_default();
        let kind = match collection.insert(key, object.clone()) {
            None => "ADDED",
            Some(_) => "MODIFIED",
        };
        let event = json!({"type": kind, "object": object});
        state.log.push((version, path.to_owned(), event));
        drop(state);
        self.changed.send_replace(version);
    }

    /// Removes the object `namespace/name`.
    pub fn delete(&self, path: &str, key: &str) {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        let collection = state.collections.get_mut(path).expect("a collection");
        let mut object = collection.remove(key).expect("there is one");
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let event = json!({"type": "DELETED", "object": object});
        state.log.push((version, path.to_owned(), event));
        drop(state);
        self.changed.send_replace(version);
    }

    /// Tells every watch how far it is, as the API server does each minute.
    pub fn bookmark(&self) {
        let mut state = self.state.lock();
        let paths: Vec<String> = state.collections.keys().cloned().collect();
        for path in paths {
            state.version += 1;
            let version = state.version;
            let mark = json!({
                "kind": "Bookmark", "apiVersion": "v1",
                "metadata": {"resourceVersion": version.to_string(), "name": "", "creationTimestamp": null},
            });
            let event = json!({"type": "BOOKMARK", "object": mark});
            state.log.push((version, path, event));
        }
        let version = state.version;
        drop(state);
        self.changed.send_replace(version);
    }

    /// Forgets all changes: who watches from before has to list anew.
    pub fn compact(&self) {
        let mut state = self.state.lock();
        state.compacted = state.version;
        state.log.clear();
        drop(state);
        self.disconnect();
    }

    /// Ends every stream.
    pub fn disconnect(&self) {
        self.state.lock().streams += 1;
        self.changed.send_modify(|version| *version += 1);
    }

    /// Answers nobody any more, or does again.
    pub fn set_away(&self, is_away: bool) {
        self.state.lock().is_away = is_away;
        if is_away {
            self.disconnect();
        }
    }

    /// Answers no list any more, or does again. Watches go on.
    pub fn hold_lists(&self, are_held: bool) {
        self.state.lock().are_lists_held = are_held;
        self.changed.send_modify(|version| *version += 1);
    }

    /// Refuses to list and watch a collection.
    pub fn forbid(&self, path: &str) {
        self.state.lock().forbidden.push(path.to_owned());
        self.disconnect();
    }

    /// Streams that are open, and lists that were given (pages of one count each).
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.watches, state.lists)
    }

    async fn connection(&self, mut stream: TcpStream) {
        while let Some(head) = read_head(&mut stream).await {
            if self.state.lock().is_away {
                return;
            }
            let target = head.split(' ').nth(1).unwrap_or("").to_owned();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            // `/api/v1/namespaces/llm/secrets/token` is one object of the collection `/api/v1/secrets`.
            let (before, after) = path.split_once("/namespaces/").unwrap_or((path, ""));
            let parts: Vec<&str> = after.split('/').collect();
            let (collection, namespace, name) = match parts[..] {
                [namespace, kind] => (format!("{before}/{kind}"), namespace, ""),
                [namespace, kind, name] => (format!("{before}/{kind}"), namespace, name),
                _ => (path.to_owned(), "", ""),
            };
            let method = head.split(' ').next().unwrap_or("");
            if method != "GET" {
                let body = read_body(&mut stream, &head).await;
                let (code, body) = self.write(method, &collection, name, body);
                if stream.write_all(&answer(code, &body)).await.is_err() {
                    return;
                }
                continue;
            }
            if path != "/version" && name.is_empty() && !query.contains("watch=") {
                let mut changed = self.changed.subscribe();
                let are_held = || self.state.lock().are_lists_held;
                while are_held() && changed.changed().await.is_ok() {}
            }
            let is_forbidden = |one: &String| *one == collection || *one == path;
            let refused = self.state.lock().forbidden.iter().any(is_forbidden);
            let (code, body) = match (refused, path, query.contains("watch=")) {
                (true, _, _) => (403, status(403, "Forbidden", "forbidden by the test")),
                (_, "/version", _) => (
                    200,
                    json!({"major": "1", "minor": "35", "gitVersion": "v1.35.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
                ),
                (_, _, true) => return self.watch(stream, &collection, namespace, query).await,
                (_, _, false) if name.is_empty() => self.list(&collection, namespace, query),
                (_, _, false) => self.get(&collection, namespace, name),
            };
            if stream.write_all(&answer(code, &body)).await.is_err() {
                return;
            }
        }
    }

    /// POST of an object, PATCH of the uppermost keys of one.
    fn write(&self, method: &str, collection: &str, name: &str, body: Value) -> (u16, Value) {
        let mut state = self.state.lock();
        if state.forbidden.iter().any(|one| one == collection) {
            return (403, status(403, "Forbidden", "forbidden by the test"));
        }
        let Some(all) = state.collections.get_mut(collection) else {
            return (404, status(404, "NotFound", "404 page not found"));
        };
        let known = all.iter_mut().find(|(_, one)| match method {
            "POST" => one["metadata"]["name"] == body["metadata"]["name"],
            _ => one["metadata"]["name"] == name,
        });
        match (method, known) {
            ("POST", Some(_)) => (409, status(409, "AlreadyExists", "there is one")),
            ("POST", None) => {
                all.insert(key(&body), body.clone());
                (201, body)
            }
            (_, Some((_, object))) => {
                for (key, value) in body.as_object().into_iter().flatten() {
                    object[key] = value.clone();
                }
                (200, object.clone())
            }
            (_, None) => (404, status(404, "NotFound", "not found")),
        }
    }

    /// The objects of a collection.
    pub fn objects(&self, collection: &str) -> Vec<Value> {
        let state = self.state.lock();
        let all = state.collections.get(collection);
        all.into_iter()
            .flatten()
            .map(|(_, one)| one.clone())
            .collect()
    }

    fn get(&self, collection: &str, namespace: &str, name: &str) -> (u16, Value) {
        let state = self.state.lock();
        let found = state.collections.get(collection);
        match found.and_then(|all| all.get(&format!("{namespace}/{name}"))) {
            Some(object) => (200, object.clone()),
            None => (404, status(404, "NotFound", "not found")),
        }
    }

    fn list(&self, collection: &str, namespace: &str, query: &str) -> (u16, Value) {
        let mut state = self.state.lock();
        state.lists += 1;
        let version = state.version;
        let Some(all) = state.collections.get(collection) else {
            return (404, status(404, "NotFound", "404 page not found"));
        };
        let limit = parameter(query, "limit").and_then(|text| text.parse().ok());
        let limit: usize = limit.unwrap_or(usize::MAX);
        let from: usize = parameter(query, "continue")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let fits = |(key, _): &(&String, &Value)| in_namespace(key, namespace);
        let items: Vec<&Value> = all
            .iter()
            .filter(fits)
            .map(|(_, object)| object)
            .skip(from)
            .take(limit.saturating_add(1))
            .collect();
        let more = match items.len() > limit {
            true => (from + limit).to_string(),
            false => String::new(),
        };
        let items = &items[..items.len().min(limit)];
        let list = json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": version.to_string(), "continue": more}, "items": items,
        });
        (200, list)
    }

    async fn watch(&self, mut stream: TcpStream, collection: &str, namespace: &str, query: &str) {
        let mut changed = self.changed.subscribe();
        let from = parameter(query, "resourceVersion").and_then(|text| text.parse().ok());
        let (mut from, streams): (u64, u64) = {
            let mut state = self.state.lock();
            state.watches += 1;
            (from.unwrap_or(0), state.streams)
        };
        let open = Open(Arc::clone(&self.state));
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok();
        loop {
            let (events, ends) = {
                let state = open.0.lock();
                let mut events = Vec::new();
                let lost = from < state.compacted;
                if lost {
                    events.push(json!({"type": "ERROR", "object": status(410, "Expired", "too old resource version")}));
                }
                let read = state
                    .log
                    .partition_point(|(version, _, _)| *version <= from);
                for (version, of, event) in &state.log[read..] {
                    let bookmark = event["type"] == "BOOKMARK";
                    let fits = bookmark || in_namespace(&key(&event["object"]), namespace);
                    if of == collection && fits {
                        events.push(event.clone());
                    }
                    from = *version;
                }
                (events, lost || state.streams != streams)
            };
            for event in events {
                let line = format!("{event}\n");
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
            if ends {
                return;
            }
            // A client that hangs up shows as an end of what it sends.
            let mut byte = [0];
            tokio::select! {
                _ = tokio::io::AsyncReadExt::read(&mut stream, &mut byte) => return,
                change = changed.changed() => if change.is_err() { return },
            }
        }
    }
}

/// The body of a request, which says how long it is.
async fn read_body(stream: &mut TcpStream, head: &str) -> Value {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length
            .then(|| value.trim().parse::<usize>().ok())
            .flatten()
    });
    let mut body = vec![0; length.expect("a body with its length").min(1 << 20)];
    let read = tokio::io::AsyncReadExt::read_exact(stream, &mut body).await;
    read.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// Counts a stream while it is open.
struct Open(Arc<Mutex<State>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().watches -= 1;
    }
}

fn key(object: &Value) -> String {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or("");
    format!("{}/{}", text("namespace"), text("name"))
}

fn in_namespace(key: &str, namespace: &str) -> bool {
    namespace.is_empty() || key.split('/').next() == Some(namespace)
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn answer(code: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {code} Any\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
