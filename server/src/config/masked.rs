//! The configuration as it may be shown: as read, comments and aliases written out, with secrets replaced.

use super::secret::MASK;
use crate::yaml::{self, Kind, Node};

/// Keys whose values nobody may see, wherever they stand.
const SECRET_KEYS: [&str; 20] = [
    "password",
    "credentials",
    "bearer_token",
    "client_secret",
    "client_certificate_key",
    "secrets",
    "key",
    "token",
    "auth_token",
    "access_key",
    "secret_key",
    "application_credential_secret",
    "application_key",
    "application_secret",
    "consumer_key",
    "key_passphrase",
    "service_account_key",
    "private_key",
    "proxy_connect_header",
    "headers",
];
/// Mappings of the user's own names: what stands there is no key of ours.
const FREE_KEYS: [&str; 4] = ["labels", "external_labels", "annotations", "params"];

/// The configuration with its secrets masked; nothing of a text that is no YAML is shown.
pub fn masked(text: &str) -> String {
    let mut out = String::new();
    if let Ok(tree) = yaml::parse(text) {
        block(&mut out, &tree, 0, true);
    }
    out
}

/// One job of the configuration with its secrets masked; `None` where it is not in this text.
pub fn masked_job(text: &str, name: &str) -> Option<String> {
    let tree = yaml::parse(text).ok()?;
    let jobs = entry(&tree, "scrape_configs")?;
    let Kind::List(jobs) = &jobs.kind else {
        return None;
    };
    let is_named = |job: &&Node| {
        let named = entry(job, "job_name");
        named.is_some_and(|node| matches!(&node.kind, Kind::Scalar { text, .. } if text == name))
    };
    let job = jobs.iter().find(is_named)?;
    let mut out = String::new();
    block(&mut out, job, 0, true);
    Some(out)
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Kind::Map(entries) = &node.kind else {
        return None;
    };
    let found = entries.iter().find(|entry| entry.key == key);
    found.map(|entry| &entry.value)
}

/// Writes a value on lines of its own.
fn block(out: &mut String, node: &Node, indent: usize, ours: bool) {
    match &node.kind {
        Kind::Null => {}
        Kind::Scalar { text, .. } => {
            margin(out, indent);
            scalar(out, text);
            out.push('\n');
        }
        Kind::List(items) => {
            for item in items {
                margin(out, indent);
                out.push_str("- ");
                let start = out.len();
                block(out, item, indent + 2, ours);
                // The first line of the item follows the dash.
                let first = out[start..].len() - out[start..].trim_start_matches(' ').len();
                out.replace_range(start..start + first, "");
                if out.len() == start {
                    out.push_str("null\n");
                }
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                margin(out, indent);
                scalar(out, &entry.key);
                out.push(':');
                let secret = ours && SECRET_KEYS.contains(&entry.key.as_str());
                if secret && !matches!(entry.value.kind, Kind::Null) {
                    out.push(' ');
                    out.push_str(MASK);
                    out.push('\n');
                    continue;
                }
                let ours = ours && !FREE_KEYS.contains(&entry.key.as_str());
                value(out, &entry.value, indent, ours);
            }
        }
    }
}

fn value(out: &mut String, node: &Node, indent: usize, ours: bool) {
    match &node.kind {
        Kind::Null => out.push_str(" null\n"),
        Kind::Scalar { text, .. } => {
            out.push(' ');
            scalar(out, &without_password(text));
            out.push('\n');
        }
        Kind::List(items) if items.is_empty() => out.push_str(" []\n"),
        Kind::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Kind::List(_) | Kind::Map(_) => {
            out.push('\n');
            block(out, node, indent + 2, ours);
        }
    }
}

fn margin(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A text as YAML reads it back as one: plain where nothing in it could mean anything else.
fn scalar(out: &mut String, text: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./@<>".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/<".contains(c));
    if starts && text.chars().all(plain) && !matches!(text, "null" | "Null" | "NULL") {
        out.push_str(text);
        return;
    }
    stillwell_adapters::json::string(out, text); // a JSON string is a double-quoted YAML one
}

/// The password in `scheme://user:password@host`, masked.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((user, host)) = rest[..end].rsplit_once('@') else {
        return text.to_owned();
    };
    let Some((name, _)) = user.split_once(':') else {
        return text.to_owned();
    };
    format!("{scheme}://{name}:{MASK}@{host}{}", &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"global:
  external_labels:
    token: zone
remote_write:
  - url: "https://u:<secret>@h/x?y=1"
    basic_auth:
      username: u
      password: <secret>
    headers: <secret>
scrape_configs:
  - job_name: "a b: c"
    authorization:
      credentials: <secret>
    tls_config:
      key: <secret>
      ca_file: /ca.pem
    static_configs:
      - targets:
          - "h:1"
          - "[::1]:2"
        labels: {}
    params:
      token:
        - t
    empty: []
    nothing: null
"#;

    #[test]
    fn secrets_are_masked_and_the_rest_reads_back_the_same() {
        let text = r#"
global: {external_labels: {token: zone}} # a comment
remote_write:
- url: https://u:pw-1@h/x?y=1
  basic_auth: {username: u, password: pw-2}
  headers: {Authorization: pw-3}
scrape_configs:
- job_name: 'a b: c'
  authorization: {credentials: pw-4}
  tls_config: {key: "pw-5", ca_file: /ca.pem}
  static_configs: [{targets: ['h:1', '[::1]:2'], labels: {}}]
  params: {token: [t]}
  empty: []
  nothing:
"#;
        assert_eq!(masked(text), SHOWN);
        assert_eq!(masked(SHOWN), SHOWN, "it reads back");
        assert!(!masked(text).contains("pw-"));
        assert_eq!(masked("password: [x"), "");
    }
}
