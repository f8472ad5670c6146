//! The target that relabelling makes of what was discovered: its labels, URL and times, as Prometheus makes them.

use std::sync::Arc;

use stillwell_engine::labels::LabelsBuilder;

use super::discovered::Discovered;
use super::label_room::LabelRoom;
use super::target::Target;
use crate::config::units::{duration_ms, show_duration_ms};
use crate::config::{INTERVAL_MS_MIN, ScrapeJob};
use crate::http_client::{Url, encode_query};

/// What of an address is shown where the labels of its target take too much.
const ADDRESS_SHOWN_BYTES_MAX: usize = 256;
const CUT_SHORT: &str = "relabel_configs write more than 512 labels or 256 KiB of them for this target: a rule doubles what others write";

/// The target that relabelling made of what was discovered. One that cannot be asked is a target whose every scrape fails, as in
/// Prometheus: without it a sum over the others would be told for all.
pub(super) fn finish(
    job: &Arc<ScrapeJob>,
    discovered: Discovered,
    mut labels: LabelsBuilder,
    room: &mut LabelRoom,
) -> Target {
    let address = labels.get("__address__").to_owned();
    let (url, no_url) = match url_of(job, &labels, &address) {
        Ok(url) => (url, None),
        Err(why) => {
            let path = labels.get("__metrics_path__");
            (Url::that_is_never_asked(&address, path), Some(why))
        }
    };
    let (times, no_times) = match times_of(&labels) {
        Ok(times) => (times, None),
        Err(why) => ((job.interval_ms, job.timeout_ms), Some(why)),
    };
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    let is_cut_short = labels.is_cut_short();
    labels.retain(|name| !name.starts_with("__"));
    let mut labels = labels.build();
    let no_room = match is_cut_short {
        true => Some(CUT_SHORT.to_owned()),
        false => room.take(&labels).err(),
    };
    if no_room.is_some() {
        let mut fewer = LabelsBuilder::default();
        fewer.set("job", &job.name);
        fewer.set("instance", shortened(&address));
        labels = fewer.build();
    }
    Target {
        job: Arc::clone(job),
        discovered,
        labels,
        url,
        interval_ms: times.0,
        timeout_ms: times.1,
        refused: no_room.or(no_url).or(no_times),
        source: None,
    }
}

/// What of an address is shown where its labels are left out.
fn shortened(address: &str) -> &str {
    &address[..address.floor_char_boundary(ADDRESS_SHOWN_BYTES_MAX)]
}

fn url_of(job: &ScrapeJob, labels: &LabelsBuilder, address: &str) -> Result<Url, String> {
    if address.contains('/') {
        return Err(format!(
            "address {address:?} must be host:port; the path goes into metrics_path"
        ));
    }
    Url::from_parts(
        labels.get("__scheme__"),
        address,
        labels.get("__metrics_path__"),
        &query(job, labels),
    )
    .map_err(|error| error.to_string())
}

/// Interval and timeout, as relabelling left them.
fn times_of(labels: &LabelsBuilder) -> Result<(u64, u64), String> {
    let interval_ms = duration_ms(labels.get("__scrape_interval__"))
        .map_err(|error| format!("__scrape_interval__: {error}"))?;
    let timeout_ms = duration_ms(labels.get("__scrape_timeout__"))
        .map_err(|error| format!("__scrape_timeout__: {error}"))?;
    if interval_ms < INTERVAL_MS_MIN || timeout_ms == 0 {
        let least = show_duration_ms(INTERVAL_MS_MIN);
        return Err(format!(
            "the interval must be at least {least} and the timeout longer than 0"
        ));
    }
    Ok((interval_ms, timeout_ms))
}

/// The query of the URL: the job's parameters, the first value of each as relabelling left it.
fn query(job: &ScrapeJob, labels: &LabelsBuilder) -> String {
    let mut params: Vec<(String, Vec<String>)> = job.params.clone();
    for (label, value) in labels.iter() {
        let Some(name) = label.strip_prefix("__param_") else {
            continue;
        };
        match params.iter_mut().find(|(have, _)| have == name) {
            Some((_, values)) if values.is_empty() => values.push(value.to_owned()),
            Some((_, values)) => value.clone_into(&mut values[0]),
            None => params.push((name.to_owned(), vec![value.to_owned()])),
        }
    }
    params.sort();
    let mut out = String::new();
    for (name, values) in &params {
        for value in values {
            if !out.is_empty() {
                out.push('&');
            }
            encode_query(name, &mut out);
            out.push('=');
            encode_query(value, &mut out);
        }
    }
    out
}
