//! `/api/v1/targets`: what is scraped, how that goes, and what was dropped.

use stillwell_engine::labels::{Labels, RelabelSpec};
use stillwell_engine::number_text::push_json;

use super::lookup::parse_selectors;
use super::params;
use crate::api_error::ApiError;
use crate::form::Form;
use crate::host::{ActiveTarget, DroppedTarget, Health, Host};
use crate::json;
use crate::time::rfc3339;

pub(super) fn targets(host: &dyn Host, form: &Form) -> String {
    let targets = host.targets();
    let state = form.get("state").to_ascii_lowercase();
    let pool = form.get("scrapePool");
    let wanted = |job: &str| pool.is_empty() || pool == job;
    let (active, dropped) = match state.as_str() {
        "active" => (true, false),
        "dropped" => (false, true),
        _ => (true, true),
    };
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"activeTargets\":[");
    let shown = targets
        .active
        .iter()
        .filter(|target| active && wanted(&target.job));
    json::joined(&mut out, shown, write_active);
    out.push_str("],\"droppedTargets\":[");
    let shown = targets
        .dropped
        .iter()
        .filter(|target| dropped && wanted(&target.job));
    json::joined(&mut out, shown, write_dropped);
    out.push_str("],\"droppedTargetCounts\":{");
    let counts: &[_] = if dropped {
        &targets.dropped_counts
    } else {
        &[]
    };
    json::joined(&mut out, counts, |out, (job, count)| {
        json::string(out, job);
        out.push_str(&format!(":{count}"));
    });
    out.push_str("}}}");
    out
}

/// The entry of one job in the configuration.
pub(super) fn scrape_pool_config(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let pool = form.get("scrapePool");
    if pool.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let Some(yaml) = host.scrape_pool_config(pool) else {
        return Err(ApiError::bad_data(format!(
            "error retrieving scrape config: scrape pool {pool:?} not found"
        )));
    };
    let mut out = String::from("{\"status\":\"success\",\"data\":");
    json::object(&mut out, [("yaml", yaml.as_str())]);
    out.push('}');
    Ok(out)
}

/// The jobs whose targets are looked for.
pub(super) fn scrape_pools(host: &dyn Host) -> String {
    let pools = host.scrape_pools();
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"scrapePools\":");
    json::strings(&mut out, pools.iter().map(String::as_str));
    out.push_str("}}");
    out
}

/// Type and help of what each target shows.
pub(super) async fn metadata(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    let limit = params::limit_of_metadata(form)?;
    let asked = Some(form.get("match_target")).filter(|text| !text.is_empty());
    let asked = asked.map(str::to_owned).into_iter().collect();
    let matchers = parse_selectors(host, asked).await?;
    let matchers = matchers.map_err(|error| ApiError::parameter("match_target", error))?;
    let matchers = matchers.concat();
    let metric = form.get("metric");
    let mut rows = Vec::new();
    for target in &host.targets().active {
        if rows.len() >= limit {
            break;
        }
        if !matchers
            .iter()
            .all(|matcher| matcher.matches_labels(&target.labels))
        {
            continue;
        }
        let families = target.id.map(|id| host.reader().target_metadata(id));
        for (family, metadata) in families.into_iter().flatten() {
            if metric.is_empty() || metric == family {
                rows.push((target.labels.clone(), family, metadata));
            }
        }
    }
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    json::joined(&mut out, rows, |out, (target, family, metadata)| {
        out.push_str("{\"target\":");
        json::object(out, target.iter());
        if metric.is_empty() {
            out.push_str(",\"metric\":");
            json::string(out, &family);
        }
        for (name, value) in [
            ("type", metadata.family_type.as_str()),
            ("help", &metadata.help),
            ("unit", &metadata.unit),
        ] {
            out.push_str(&format!(",\"{name}\":"));
            json::string(out, value);
        }
        out.push('}');
    });
    out.push_str("]}");
    Ok(out)
}

/// What each relabelling rule of a job makes of a discovered target.
pub(super) fn relabel_steps(host: &dyn Host, form: &Form) -> Result<String, ApiError> {
    for name in ["scrapePool", "labels"] {
        if form.get(name).is_empty() {
            return Err(ApiError::bad_data(format!("no {name} parameter provided")));
        }
    }
    let pairs = json::read_strings(form.get("labels"))
        .map_err(|why| ApiError::bad_data(format!("error parsing labels: {why}")))?;
    let pool = form.get("scrapePool");
    let rules = host.relabel_rules(pool).ok_or_else(|| {
        let why = format!("error retrieving scrape config: scrape pool {pool:?} not found");
        ApiError::bad_data(why)
    })?;
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut labels = Labels::from_pairs(pairs).to_builder();
    let mut keep = true;
    let mut out = String::from("{\"status\":\"success\",\"data\":{\"steps\":[");
    json::joined(&mut out, &rules, |out, rule| {
        keep = keep && rule.apply(&mut labels);
        out.push_str("{\"rule\":");
        write_rule(out, rule.spec());
        out.push_str(",\"output\":");
        let shown = if keep {
            labels.build()
        } else {
            Labels::empty()
        };
        json::object(out, shown.iter());
        out.push_str(&format!(",\"keep\":{keep}}}"));
    });
    out.push_str("]}}");
    Ok(out)
}

fn write_rule(out: &mut String, spec: &RelabelSpec) {
    out.push_str("{\"source_labels\":");
    json::strings(out, spec.source_labels.iter().map(String::as_str));
    for (name, value) in [
        ("separator", spec.separator.as_str()),
        ("regex", &spec.regex),
        ("target_label", &spec.target_label),
        ("replacement", &spec.replacement),
        ("action", spec.action.as_str()),
    ] {
        out.push_str(&format!(",\"{name}\":"));
        json::string(out, value);
    }
    if spec.modulus > 0 {
        out.push_str(&format!(",\"modulus\":{}", spec.modulus));
    }
    out.push('}');
}

fn write_active(out: &mut String, target: &ActiveTarget) {
    let health = match target.health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Down => "down",
    };
    // Go's zero time stands for never.
    let last_scrape = target
        .last_scrape
        .map_or("0001-01-01T00:00:00Z".to_owned(), rfc3339);
    out.push_str("{\"discoveredLabels\":");
    json::object(out, target.discovered.iter());
    out.push_str(",\"labels\":");
    json::object(out, target.labels.iter());
    let mut text = |name: &str, value: &str| {
        out.push_str(&format!(",\"{name}\":"));
        json::string(out, value);
    };
    text("scrapePool", &target.job);
    text("scrapeUrl", &target.url);
    text("globalUrl", &target.url);
    text("lastError", &target.last_error);
    text("lastScrape", &last_scrape);
    out.push_str(",\"lastScrapeDuration\":");
    push_json(out, target.last_duration_s);
    let mut text = |name: &str, value: &str| {
        out.push_str(&format!(",\"{name}\":"));
        json::string(out, value);
    };
    text("health", health);
    text("scrapeInterval", &target.interval);
    text("scrapeTimeout", &target.timeout);
    out.push('}');
}

fn write_dropped(out: &mut String, target: &DroppedTarget) {
    out.push_str("{\"discoveredLabels\":");
    json::object(out, target.discovered.iter());
    out.push_str(",\"scrapePool\":");
    json::string(out, &target.job);
    out.push('}');
}
