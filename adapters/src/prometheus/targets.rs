//! `/api/v1/targets`: what is scraped, how that goes, and what was dropped.

use stillwell_engine::number_text::push_json;

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
