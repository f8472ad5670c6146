//! `/api/v1/rules` and `/api/v1/alerts`: what is evaluated again and again, and what came of it.

use stillwell_engine::labels::{Labels, Matcher, labels_hash};
use stillwell_engine::number_text::push_general;

use super::lookup::selectors;
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::{Alert, Host, RuleGroup, RuleKind, RuleState};
use crate::json;
use crate::time::rfc3339;

/// Go's zero time stands for never.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) async fn rules(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let kind = form.get("type").to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let why = format!("not supported value {kind:?}");
        return Err(ApiError::parameter("type", why));
    }
    let without_alerts = match form.get("exclude_alerts").to_ascii_lowercase().as_str() {
        "" | "false" | "0" | "f" => false,
        "true" | "1" | "t" => true,
        other => {
            let why = format!(
                "error converting exclude_alerts: strconv.ParseBool: parsing {other:?}: invalid syntax"
            );
            return Err(ApiError::parameter("exclude_alerts", why));
        }
    };
    let among = |name: &str, value: &str| {
        let mut wanted = form.all(name).peekable();
        wanted.peek().is_none() || wanted.any(|one| one == value)
    };
    let selectors = selectors(host, form).await?;
    let selectors = selectors.map_err(|error| ApiError::parameter("match[]", error))?;
    let has_labels = |rule: &RuleState| {
        let mut selectors = selectors.iter();
        let fits = |matchers: &Vec<Matcher>| {
            let mut matchers = matchers.iter();
            matchers.all(|matcher| matcher.matches_labels(&rule.labels))
        };
        selectors.len() == 0 || selectors.any(fits)
    };
    let fits = |rule: &RuleState| {
        let of_kind = match rule.kind {
            RuleKind::Alerting { .. } => kind != "record",
            RuleKind::Recording => kind != "alert",
        };
        of_kind && among("rule_name[]", &rule.name) && has_labels(rule)
    };
    let groups = host.rule_groups();
    let shown = groups.iter().filter(|group| {
        among("rule_group[]", &group.name)
            && among("file[]", &group.file)
            && group.rules.iter().any(fits)
    });
    let (shown, next) = paged(shown, form)?;
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"groups\":[");
    json::joined(&mut out, shown, |out, group| {
        write_group(out, group, fits, without_alerts);
    });
    out.push(']');
    if let Some(token) = next {
        out.push_str(",\"groupNextToken\":");
        json::string(&mut out, &token);
    }
    out.push_str("}}");
    Ok(out)
}

/// The groups of one page, `group_limit` of them from the one that `group_next_token` names, and the token of the next.
fn paged<'g>(
    groups: impl Iterator<Item = &'g RuleGroup>,
    form: &Form,
) -> Result<(Vec<&'g RuleGroup>, Option<String>), ApiError> {
    let mut groups: Vec<&RuleGroup> = groups.collect();
    let token = form.get("group_next_token");
    let limit = match form.get("group_limit") {
        "" if token.is_empty() => return Ok((groups, None)),
        "" => {
            let why = "group_limit needs to be set in order to paginate over the groups";
            return Err(ApiError::parameter("group_next_token", why));
        }
        text => text.parse::<usize>().ok().filter(|limit| *limit > 0),
    };
    let Some(limit) = limit else {
        let why = "group_limit needs to be greater than 0";
        return Err(ApiError::parameter("group_limit", why));
    };
    if !token.is_empty() {
        let from = groups.iter().position(|group| page_token(group) == token);
        let Some(from) = from else {
            let why = format!("no group has {token:?}: were rule groups changed?");
            return Err(ApiError::parameter("group_next_token", why));
        };
        groups.drain(..from);
    }
    let next = groups.get(limit).map(|group| page_token(group));
    groups.truncate(limit);
    Ok((groups, next))
}

/// Names a group for the next request; clients pass it back unread.
fn page_token(group: &RuleGroup) -> String {
    let labels = [("file", group.file.as_str()), ("name", group.name.as_str())];
    format!("{:016x}", labels_hash(&Labels::from_pairs(labels)))
}

pub(super) fn alerts(host: &dyn Host) -> String {
    let groups = host.rule_groups();
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts = rules.flat_map(|rule| match &rule.kind {
        RuleKind::Alerting { alerts, .. } => alerts.as_slice(),
        RuleKind::Recording => &[],
    });
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"alerts\":[");
    json::joined(&mut out, alerts, write_alert);
    out.push_str("]}}");
    out
}

fn write_group(
    out: &mut String,
    group: &RuleGroup,
    fits: impl Fn(&RuleState) -> bool,
    without_alerts: bool,
) {
    out.push_str("{\"name\":");
    json::string(out, &group.name);
    out.push_str(",\"file\":");
    json::string(out, &group.file);
    out.push_str(",\"rules\":[");
    let rules = group.rules.iter().filter(|rule| fits(rule));
    json::joined(out, rules, |out, rule| {
        write_rule(out, rule, without_alerts)
    });
    let last = group.last_evaluation.map_or(NEVER.to_owned(), rfc3339);
    out.push_str(&format!(
        "],\"interval\":{},\"limit\":{},\"evaluationTime\":{},\"lastEvaluation\":\"{last}\"}}",
        group.interval_ms as f64 / 1000.0,
        group.limit,
        group.evaluation_s
    ));
}

/// `alertmanagers`: where alerts are sent.
pub(super) fn alertmanagers(host: &dyn Host) -> String {
    let (active, dropped) = host.alertmanagers();
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"activeAlertmanagers\":[");
    let write = |out: &mut String, url: &String| {
        json::object(out, [("url", url.as_str())]);
    };
    json::joined(&mut out, &active, write);
    out.push_str("],\"droppedAlertmanagers\":[");
    json::joined(&mut out, &dropped, write);
    out.push_str("]}}");
    out
}

fn write_rule(out: &mut String, rule: &RuleState, without_alerts: bool) {
    out.push('{');
    if let RuleKind::Alerting { state, .. } = &rule.kind {
        out.push_str(&format!("\"state\":\"{state}\","));
    }
    out.push_str("\"name\":");
    json::string(out, &rule.name);
    out.push_str(",\"query\":");
    json::string(out, &rule.query);
    if let RuleKind::Alerting {
        for_ms,
        keep_firing_for_ms,
        annotations,
        alerts,
        ..
    } = &rule.kind
    {
        out.push_str(&format!(
            ",\"duration\":{},\"keepFiringFor\":{},\"annotations\":",
            *for_ms as f64 / 1000.0,
            *keep_firing_for_ms as f64 / 1000.0
        ));
        json::object(out, annotations.iter());
        out.push_str(",\"alerts\":");
        if without_alerts {
            out.push_str("null");
        } else {
            out.push('[');
            json::joined(out, alerts, write_alert);
            out.push(']');
        }
    }
    out.push_str(",\"labels\":");
    json::object(out, rule.labels.iter());
    out.push_str(&format!(",\"health\":\"{}\"", rule.health));
    if !rule.last_error.is_empty() {
        out.push_str(",\"lastError\":");
        json::string(out, &rule.last_error);
    }
    let last = rule.last_evaluation.map_or(NEVER.to_owned(), rfc3339);
    let kind = match rule.kind {
        RuleKind::Alerting { .. } => "alerting",
        RuleKind::Recording => "recording",
    };
    out.push_str(&format!(
        ",\"evaluationTime\":{},\"lastEvaluation\":\"{last}\",\"type\":\"{kind}\"}}",
        rule.evaluation_s
    ));
}

fn write_alert(out: &mut String, alert: &Alert) {
    out.push_str("{\"labels\":");
    json::object(out, alert.labels.iter());
    out.push_str(",\"annotations\":");
    json::object(out, alert.annotations.iter());
    out.push_str(&format!(
        ",\"state\":\"{}\",\"activeAt\":\"{}\"",
        alert.state,
        rfc3339(alert.active_at)
    ));
    if let Some(since) = alert.keep_firing_since {
        out.push_str(&format!(",\"keepFiringSince\":\"{}\"", rfc3339(since)));
    }
    out.push_str(",\"value\":\"");
    push_value(out, alert.value);
    out.push_str("\"}");
}

/// Go's `'e'` form: always an exponent.
fn push_value(out: &mut String, value: f64) {
    if !value.is_finite() {
        return push_general(out, value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0); // what `{:e}` wrote is a number
    let sign = if exponent < 0 { '-' } else { '+' };
    out.push_str(&format!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_alerts_always_have_an_exponent() {
        for (value, text) in [
            (1.0, "1e+00"),
            (0.0, "0e+00"),
            (-1234.5, "-1.2345e+03"),
            (1e-7, "1e-07"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = String::new();
            push_value(&mut out, value);
            assert_eq!(out, text);
        }
    }
}
