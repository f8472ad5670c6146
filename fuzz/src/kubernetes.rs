//! What the Kubernetes API takes from outside: requests with their headers, selectors and certificates, and objects of
//! the API server. Nothing panics, and no identity header survives.

use std::collections::BTreeMap;

use stillwell::serve::secure::outside;
use stillwell_adapters::objects::Selector;
use stillwell_engine::labels;

/// A first line that begins with `{` is an object; else the lines are a path, a selector, headers up to an empty line,
/// and a certificate.
pub fn run(data: &[u8]) {
    if data.first() == Some(&b'{') {
        return object(&String::from_utf8_lossy(data));
    }
    let (text, certificate) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let path = lines.next().unwrap_or("");
    if let Ok(selector) = Selector::parse(lines.next().unwrap_or("")) {
        let _ = selector.matches(&labels! { "a" => "b", "inference_pool" => "p" });
        let _ = selector.pins();
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let left = outside::request(path, &headers, certificate);
    for name in left.keys() {
        let name = name.as_str();
        let identity = matches!(name, "x-remote-user" | "x-remote-uid" | "x-remote-group");
        assert!(
            !identity && !name.starts_with("x-remote-extra-"),
            "{name} is left"
        );
    }
}

fn object(text: &str) {
    let _ = outside::api_service(text);
    if let Ok(data) = serde_json::from_str::<BTreeMap<String, String>>(text) {
        let _ = outside::authentication_config(data);
    }
}
