//! Triggers of type `prometheus` (KEDA's `pkg/scalers/prometheus_scaler.go` and `authentication_types.go`).

use stillwell_adapters::keda::{THRESHOLD_MIN, THRESHOLD_TOO_SMALL, go_duration_ms};
use stillwell_adapters::prometheus::REMEDY;
use stillwell_adapters::single::is_single;
use stillwell_engine::nearest::near_or_all;
use stillwell_engine::promql::plan::{ExprKind, ValueType};
use stillwell_engine::promql::{Features, Query};

use super::Said;
use super::shapes::TRIGGER_KEYS;
use super::tree::{at, entries, on_one_line, text, unknown_key};
use crate::yaml::Node;

/// Keys of its metadata; those of `aws` and `azure` beside it are among them.
pub(super) const KEYS: [&str; 24] = [
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "metricName",
    "namespace",
    "queryParameters",
    "customHeaders",
    "ignoreNullValues",
    "unsafeSsl",
    "timeout",
    "authModes",
    "authMode",
    "apiKey",
    "method",
    "keyParamName",
    "cortexOrgID",
    "awsRegion",
    "awsEndpoint",
    "identityOwner",
    "credentialsFromEnv",
    "credentialsFromEnvFile",
    "username",
    "usernameFromEnv",
];

/// What Go reads as a flag (`strconv.ParseBool`).
pub(super) const FLAGS: [&str; 12] = [
    "true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False",
];

/// Ways to authenticate, and what each needs of a TriggerAuthentication.
const AUTH_MODES: [(&str, &str); 6] = [
    ("basic", "username and password"),
    ("bearer", "bearerToken"),
    ("tls", "cert and key"),
    ("custom", "customAuthHeader and customAuthValue"),
    ("apiKey", "apiKey"),
    ("oauth", "oauthTokenURI, clientID and clientSecret"),
];
/// Of these one alone.
const EXCLUSIVE_MODES: [&str; 3] = ["basic", "bearer", "oauth"];

/// What stands in the address of another server than this one: VictoriaMetrics, Cortex and those of clouds.
const OTHERS: [&str; 6] = [
    "/select/",
    "/api/prom",
    "aps-workspaces",
    "prometheus.monitor.azure.com",
    "monitoring.googleapis.com",
    "grafana.net",
];

/// What a trigger reads; `None` where an error says why it reads nothing. `has_formula`: of scalingModifiers, whose target counts
/// and not that of each trigger.
pub(super) fn check(
    trigger: &Node,
    metadata: &Node,
    place: &str,
    has_formula: bool,
    said: &mut Said,
) -> Option<String> {
    let line = |key: &str| at(metadata, &[key]).map_or(metadata.line, |node| node.line);
    for entry in entries(metadata) {
        let key = entry.key.as_str();
        // A key of the trigger is told where it belongs.
        if !KEYS.contains(&key) && !TRIGGER_KEYS.contains(&key) {
            let why = unknown_key(key, KEYS.into_iter());
            said.warn(entry.line, format!("{place}: {why}; KEDA passes it over"));
        }
    }
    if let Some(tenant) = at(metadata, &["cortexOrgID"]) {
        let why = "cortexOrgID is passed over since KEDA 2.15: write customHeaders: \"X-Scope-OrgID=...\"";
        said.warn(tenant.line, format!("{place}: {why}"));
    }
    for key in ["serverAddress", "query", "threshold"] {
        if text(metadata, &[key]).unwrap_or("").is_empty() {
            said.error(metadata.line, format!("{place}: {key} is missing"));
        }
    }
    for key in ["threshold", "activationThreshold"] {
        if let Some(number) = text(metadata, &[key]).filter(|text| !text.is_empty())
            && let Err(why) = threshold(number, key == "threshold" && !has_formula)
        {
            said.error(line(key), format!("{place}: {key} {number:?} {why}"));
        }
    }
    for (key, problem) in other_values(metadata) {
        said.error(line(key), format!("{place}: {key} {problem}"));
    }
    for (key, why) in authentication(trigger, metadata) {
        said.error(line(key), format!("{place}: {why}"));
    }
    let query = text(metadata, &["query"]).unwrap_or("");
    if !query.is_empty() {
        if let Some(why) = useless(query) {
            said.error(line("query"), format!("{place}: query: {why}"));
        } else if let Some(why) = several(query)
            && !text(metadata, &["queryParameters"]).is_some_and(|all| all.contains("multi="))
        {
            let remedy = match is_guarded(text(metadata, &["serverAddress"]).unwrap_or("")) {
                true => format!(", or {REMEDY}"),
                false => String::new(),
            };
            said.warn(line("query"), format!("{place}: query: {why}{remedy}"));
        }
    }
    server(metadata, place, query, said)
}

/// Why a number is none for KEDA (`strconv.ParseFloat`), or none for the HPA that KEDA makes, whose targets are in thousandths.
fn threshold(text: &str, is_target: bool) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(number) if text.trim() == text && number.is_finite() => {
            match is_target && number < THRESHOLD_MIN {
                true => Err(THRESHOLD_TOO_SMALL.to_owned()),
                false => Ok(()),
            }
        }
        _ => Err("is not a number".to_owned()),
    }
}

/// What is wrong with flags, pairs and durations, each with its key.
fn other_values(metadata: &Node) -> Vec<(&'static str, String)> {
    let of = |key: &str| text(metadata, &[key]).filter(|text| !text.is_empty());
    let mut wrong = Vec::new();
    for key in ["ignoreNullValues", "unsafeSsl"] {
        if let Some(flag) = of(key).filter(|flag| !FLAGS.contains(flag)) {
            wrong.push((key, format!("{flag:?} is not true or false")));
        }
    }
    for key in ["queryParameters", "customHeaders"] {
        let mut pairs = of(key).into_iter().flat_map(|pairs| pairs.split(','));
        if let Some(pair) = pairs.find(|pair| pair.matches('=').count() != 1) {
            let why = format!(
                "has {:?}, and takes pairs: name=value,name=value",
                pair.trim()
            );
            wrong.push((key, why));
        }
    }
    if let Some(timeout) = of("timeout")
        && timeout.parse::<u64>().is_err()
        && go_duration_ms(timeout).is_none()
    {
        let why = format!("{timeout:?} is not a duration; write it like 5s, or in milliseconds");
        wrong.push(("timeout", why));
    }
    if let Some(address) = of("serverAddress") {
        let scheme = address
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            let fix = match &scheme {
                None => format!("; write http://{address}"),
                Some(_) => String::new(),
            };
            let why = format!(
                "{address:?} begins with neither http:// nor https://, and every poll of KEDA fails{fix}"
            );
            wrong.push(("serverAddress", why));
        }
    }
    wrong
}

/// Why KEDA's authentication refuses a trigger, with the key.
fn authentication(trigger: &Node, metadata: &Node) -> Vec<(&'static str, String)> {
    let keys = ["authModes", "authMode"];
    let Some((key, modes)) = keys.into_iter().find_map(|key| {
        let modes = text(metadata, &[key]).filter(|modes| !modes.trim().is_empty());
        Some((key, modes?))
    }) else {
        return Vec::new();
    };
    let modes: Vec<&str> = modes.split(',').map(str::trim).collect();
    let mut wrong = Vec::new();
    let exclusive = modes.iter().filter(|mode| EXCLUSIVE_MODES.contains(mode));
    if exclusive.count() > 1 {
        let why = format!(
            "{key} {:?}: of {} one alone",
            modes.join(","),
            EXCLUSIVE_MODES.join(", ")
        );
        wrong.push((key, why));
    }
    let is_given = at(trigger, &["authenticationRef", "name"]).is_some();
    for mode in modes {
        let known = AUTH_MODES.iter().find(|(name, _)| *name == mode);
        let Some((_, needs)) = known else {
            let hint = near_or_all(mode, AUTH_MODES.iter().map(|(name, _)| *name));
            wrong.push((
                key,
                format!("{key} {mode:?} is no way to authenticate{hint}"),
            ));
            continue;
        };
        let stands_here = mode == "apiKey" && at(metadata, &["apiKey"]).is_some();
        if !is_given && !stands_here {
            let why = format!(
                "{key} {mode} without authenticationRef: {needs} come from a TriggerAuthentication, and KEDA refuses the trigger \
                 without; write authenticationRef: {{name: ...}} beside metadata"
            );
            wrong.push((key, why));
        }
    }
    wrong
}

/// Which server reads the query.
fn server(metadata: &Node, place: &str, query: &str, said: &mut Said) -> Option<String> {
    let line = |key: &str| at(metadata, &[key]).map_or(metadata.line, |node| node.line);
    let address = text(metadata, &["serverAddress"]).filter(|text| !text.is_empty())?;
    if is_guarded(address) {
        if let Some(namespace) = text(metadata, &["namespace"]).filter(|text| !text.is_empty()) {
            said.warn(
                line("namespace"),
                format!(
                    "{place}: namespace {namespace} is a parameter for proxies of tenants, which is passed over here as by \
                     Prometheus: the number is of all namespaces; write namespace={namespace:?} into the query"
                ),
            );
        }
        return Some(format!("reads /guarded: {}", on_one_line(query)));
    }
    // Tenants, and keys of clouds: it is another server.
    let of_others = ["cortexOrgID", "awsRegion"];
    let is_another = OTHERS.iter().any(|other| address.contains(other))
        || of_others.iter().any(|key| at(metadata, &[key]).is_some());
    if !is_another {
        said.warn(
            line("serverAddress"),
            format!(
                "{place}: serverAddress {address} is without /guarded: if this is Stillwell, an outage is an empty vector \
                 there, which KEDA reads as 0; write {}/guarded",
                address.trim_end_matches('/')
            ),
        );
    }
    Some(format!(
        "reads the Prometheus API at {address}: {}",
        on_one_line(query)
    ))
}

fn is_guarded(address: &str) -> bool {
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    path.trim_end_matches('/').ends_with("guarded")
}

/// Why a query never gives a number.
fn useless(query: &str) -> Option<String> {
    let parsed = match Query::parse(query, &Features::all()) {
        Ok(parsed) => parsed,
        Err(error) => return Some(error.to_string()),
    };
    match parsed.plan().value_type() {
        ValueType::Vector | ValueType::Scalar => None,
        ValueType::Matrix => Some(
            "a range vector is no number: put a function around it, such as rate() or max_over_time()".to_owned(),
        ),
        ValueType::String => Some("a text is no number".to_owned()),
    }
}

/// Why a query may give several elements, of which a scaler takes one alone, and what to write.
pub(super) fn several(query: &str) -> Option<String> {
    let parsed = Query::parse(query, &Features::all()).ok()?;
    let plan = parsed.plan();
    if plan.value_type() != ValueType::Vector || is_single(plan) {
        return None;
    }
    let each = match &plan.bare().kind {
        ExprKind::Aggregate(aggregate) if !aggregate.without && !aggregate.grouping.is_empty() => {
            format!("one for each {}", aggregate.grouping.join(", "))
        }
        _ => "one for each series".to_owned(),
    };
    Some(format!(
        "it may give several elements, {each}, and a scaler fails with more than one; write sum({})",
        on_one_line(query)
    ))
}
