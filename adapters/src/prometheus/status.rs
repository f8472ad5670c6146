//! `/api/v1/status/*`: what this process is and how it was started.

use crate::host::Host;
use crate::json;
use crate::time::rfc3339;

/// The version whose API and PromQL this is. Clients (Grafana among them) switch features by it.
const COMPATIBLE_VERSION: &str = "3.5.0";

pub(super) fn buildinfo(host: &dyn Host) -> String {
    let build = host.build();
    let revision = format!("stillwell-{}", build.version);
    success(|out| {
        json::object(
            out,
            [
                ("version", COMPATIBLE_VERSION),
                ("revision", &revision),
                ("branch", "stillwell"),
                ("buildUser", ""),
                ("buildDate", ""),
                ("goVersion", ""),
            ],
        );
    })
}

pub(super) fn runtimeinfo(host: &dyn Host) -> String {
    let build = host.build();
    success(|out| {
        let (start, now) = (rfc3339(build.started), rfc3339(host.now()));
        let retention = build.retention.as_str();
        out.push_str("{\"startTime\":");
        json::string(out, &start);
        out.push_str(",\"serverTime\":");
        json::string(out, &now);
        out.push_str(&format!(
            ",\"reloadConfigSuccess\":{}",
            host.reload_succeeded()
        ));
        out.push_str(",\"storageRetention\":");
        json::string(out, retention);
        out.push('}');
    })
}

/// How much is held; the lists of the largest are left empty.
pub(super) fn tsdb(host: &dyn Host) -> String {
    let stats = host.reader().stats();
    let oldest_ms = stats.oldest_ms.unwrap_or(0);
    success(|out| {
        out.push_str(&format!(
            "{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":0,\"chunkCount\":0,\"minTime\":{oldest_ms},\"maxTime\":{}}}",
            stats.series,
            host.now().ms()
        ));
        for list in [
            "seriesCountByMetricName",
            "labelValueCountByLabelName",
            "memoryInBytesByLabelName",
            "seriesCountByLabelValuePair",
        ] {
            out.push_str(&format!(",\"{list}\":[]"));
        }
        out.push('}');
    })
}

pub(super) fn flags(host: &dyn Host) -> String {
    let flags = host.flags();
    success(|out| {
        json::object(
            out,
            flags
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
    })
}

pub(super) fn config(host: &dyn Host) -> String {
    let text = host.config_text();
    success(|out| json::object(out, [("yaml", text.as_str())]))
}

fn success(data: impl FnOnce(&mut String)) -> String {
    let mut out = String::from("{\"status\":\"success\",\"data\":");
    data(&mut out);
    out.push('}');
    out
}
