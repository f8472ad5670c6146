//! `http_sd_configs`: a list of targets that an HTTP server gives, asked for again and again.

use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::labels::Labels;

use super::groups::Groups;
use super::target_list::{ListFormat, parse};
use crate::config::{HttpDiscovery, Secret};
use crate::http_client::{Answer, Call, Identity, Resolver, Url, call};
use crate::scrape::TargetGroup;

/// A list of a hundred thousand targets is some ten megabytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Keeps `groups` up to date until it is dropped.
pub(super) async fn run(config: HttpDiscovery, groups: Groups, resolver: Resolver) {
    let url = match Url::parse(&config.url) {
        Ok(url) => url,
        Err(error) => return groups.fail(format!("url: {error}")),
    };
    let identity = Identity::new(config.http.clone());
    loop {
        match list(&config, &url, &identity, &resolver).await {
            Ok(list) => groups.replace(labelled(&config.url, list)),
            Err(why) => groups.fail(format!("{url}: {why}")),
        }
        tokio::time::sleep(Duration::from_millis(config.refresh_ms)).await;
    }
}

async fn list(
    config: &HttpDiscovery,
    url: &Url,
    identity: &Arc<Identity>,
    resolver: &Resolver,
) -> Result<Vec<TargetGroup>, String> {
    let refresh_s = config.refresh_ms as f64 / 1000.0;
    let headers = format!(
        "accept: application/json\r\nx-prometheus-refresh-interval-seconds: {refresh_s}\r\n"
    );
    let shown = identity.header_lines(resolver).await;
    let request = Call {
        method: "GET",
        url: url.clone(),
        headers: Secret::new(headers),
        shown: shown.map_err(|error| error.to_string())?,
        follow_redirects: config.http.follow_redirects,
        body: Vec::new(),
        timeout_ms: config.refresh_ms,
        answer_bytes_max: LIST_BYTES_MAX,
    };
    let answer = call(request, identity.transport(), resolver).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status == 401 {
        identity.refused();
    }
    read(&answer)
}

fn read(answer: &Answer) -> Result<Vec<TargetGroup>, String> {
    if answer.status != 200 {
        return Err(format!("server returned HTTP status {}", answer.status));
    }
    let media_type = answer.content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let kind = &answer.content_type;
        return Err(format!("content type {kind:?}, not application/json"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
    parse(text, ListFormat::Json)
}

/// The groups with their sources, and the URL among their labels.
fn labelled(url: &str, list: Vec<TargetGroup>) -> Vec<(String, TargetGroup)> {
    let with_url = |labels: &Labels| labels.to_builder().set("__meta_url", url).build();
    let sources = list.into_iter().enumerate().map(|(at, group)| {
        let group = TargetGroup {
            labels: with_url(&group.labels),
            targets: group.targets,
            attached: Vec::new(),
        };
        (format!("{url}:{at}"), group)
    });
    sources.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_with_status_200_is_a_list() {
        let answer = |status, content_type: &str, body: &str| {
            let content_type = content_type.to_owned();
            read(&Answer {
                status,
                content_type,
                body: body.as_bytes().to_vec(),
            })
        };
        let body = r#"[{"targets":["a:1"]}]"#;
        for kind in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(answer(200, kind, body).map(|list| list.len()), Ok(1));
        }
        for (status, kind, says) in [
            (500, "application/json", "HTTP status 500"),
            (204, "application/json", "HTTP status 204"),
            (200, "text/html", "content type"),
            (200, "", "content type"),
        ] {
            let error = answer(status, kind, body).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
