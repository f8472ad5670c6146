//! `/api/v1/status/*`: what this process is and how it was started.

use crate::host::Host;
use crate::json;
use crate::time::rfc3339;

/// The version whose API and PromQL this is. Clients (Grafana among them) switch features by it.
const COMPATIBLE_VERSION: &str = "3.14.0";

pub(super) fn buildinfo(host: &dyn Host) -> String {
    success(|out| write_version(out, host))
}

/// `/version`, which has no envelope.
pub(super) fn version(host: &dyn Host) -> String {
    let mut out = String::new();
    write_version(&mut out, host);
    out
}

fn write_version(out: &mut String, host: &dyn Host) {
    let revision = format!("stillwell-{}", host.build().version);
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
}

/// What there is of Go's runtime is left out, for there is none.
pub(super) fn runtimeinfo(host: &dyn Host) -> String {
    let build = host.build();
    success(|out| {
        let mut first = true;
        let mut text = |name: &str, value: &str| {
            out.push(if first { '{' } else { ',' });
            first = false;
            json::string(out, name);
            out.push(':');
            json::string(out, value);
        };
        text("startTime", &rfc3339(build.started));
        text("CWD", &build.folder);
        text("hostname", &build.hostname);
        text(
            "serverTime",
            &rfc3339(host.now().plus_ms(host.wall_offset_ms())),
        );
        text("lastConfigTime", &rfc3339(build.configured));
        text("storageRetention", &build.retention);
        let reloaded = host.reload_succeeded();
        out.push_str(&format!(
            ",\"reloadConfigSuccess\":{reloaded},\"corruptionCount\":0}}"
        ));
    })
}

/// What is switched on, by area, as far as clients could ask for it.
pub(super) fn features(host: &dyn Host) -> String {
    let features = host.query_settings().features;
    let promql = [
        ("anchored", features.extended_range_selectors),
        ("at_modifier", true),
        ("bool", true),
        ("by", true),
        ("delayed_name_removal", features.delayed_name_removal),
        ("duration_expr", features.duration_expressions),
        ("experimental_functions", features.experimental_functions),
        ("fill_modifiers", features.fill_modifiers),
        ("group_left", true),
        ("negative_offset", true),
        ("offset", true),
        ("smoothed", features.extended_range_selectors),
        ("subqueries", true),
        ("type_and_unit_labels", features.type_and_unit_labels),
        ("use_start_timestamps", features.start_timestamps),
    ];
    let api = [
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("lifecycle", true),
        ("query_warnings", true),
        ("remote_write_receiver", host.takes_writes()),
    ];
    let discovery = ["dns", "file", "http", "kubernetes", "static"].map(|name| (name, true));
    success(|out| {
        out.push('{');
        let areas: [(&str, &[(&str, bool)]); 3] = [
            ("api", &api),
            ("promql", &promql),
            ("service_discovery_providers", &discovery),
        ];
        json::joined(out, areas, |out, (area, features)| {
            json::string(out, area);
            out.push_str(":{");
            json::joined(out, features, |out, (name, on)| {
                json::string(out, name);
                out.push_str(&format!(":{on}"));
            });
            out.push('}');
        });
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
