//! `/signals` and `/signals/{name}`: everything about every signal, as JSON for programs and as a page of text for
//! whoever runs `curl`. It answers "why did it scale" after the fact.

mod json;
mod scalers;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use stillwell_engine::Timestamp;
use stillwell_engine::labels::Labels;
use stillwell_engine::nearest::nearest;
use stillwell_engine::number_text::push_json;
use stillwell_engine::promql::QueryError;
use stillwell_engine::signal::{Element, State, TargetState, Transition};

use crate::form::Form;
use crate::host::{Description, GuardedRefusal, Host, Outline, Signals};
use crate::objects::Kinds;
use crate::pool::Kind;
use crate::reply::{JSON, reply, reply_bytes, reply_encoded};
use crate::time::rfc3339;

/// A signal may have to be evaluated first.
const TIMEOUT_MS: u64 = 5_000;
/// How old the answer to `/signals?brief=true` may be. It says when it was made.
const BRIEF_MS: i64 = 500;
/// Columns of a query in the list; the whole one is in JSON.
const QUERY_COLUMNS_MAX: usize = 80;
/// Names that are listed where one is not known.
const NAMES_LISTED_MAX: usize = 50;

/// The routes.
pub fn router(host: Arc<dyn Host>) -> Router {
    let one = Arc::clone(&host);
    let recent = Arc::new(Recent::default());
    Router::new()
        .route(
            "/signals",
            get(
                move |RawQuery(query): RawQuery, headers: HeaderMap| async move {
                    let form = Form::parse(query.as_deref());
                    match form.get("brief") {
                        "true" => brief(&*host, &recent).await,
                        _ if wants_json(&headers) => all(&*host, &headers).await,
                        _ => list(&*host).await,
                    }
                },
            ),
        )
        .route(
            "/signals/{name}",
            get(
                move |Path(name): Path<String>, headers: HeaderMap| async move {
                    named(&*one, name, &headers).await
                },
            ),
        )
}

/// The newest answer to `/signals?brief=true`: every open page asks for it, and it is the same for all of them.
#[derive(Default)]
struct Recent {
    // Held while one of those who ask has it made: the others would make the same, and wait for nothing else.
    newest: tokio::sync::Mutex<Option<(Timestamp, Bytes)>>,
}

async fn brief(host: &dyn Host, recent: &Recent) -> Response<Body> {
    let mut newest = recent.newest.lock().await;
    let now = host.now();
    if let Some((made, body)) = &*newest
        && (0..BRIEF_MS).contains(&now.since_ms(*made))
    {
        return reply_bytes(StatusCode::OK, JSON, body.clone());
    }
    let outlines = match outlines(host, now).await {
        Ok(outlines) => outlines,
        Err(error) => return unavailable(&error),
    };
    let refusals = host.signals().guarded_refusals(now);
    let body = Bytes::from(json::brief(&outlines, &host.scalers(), &refusals, now));
    *newest = Some((now, body.clone()));
    drop(newest);
    reply_bytes(StatusCode::OK, JSON, body)
}

async fn all(host: &dyn Host, headers: &HeaderMap) -> Response<Body> {
    let now = host.now();
    let descriptions = match described(host, None, now).await {
        Ok(descriptions) => descriptions,
        Err(error) => return unavailable(&error),
    };
    let refusals = host.signals().guarded_refusals(now);
    let body = json::all(&descriptions, &host.scalers(), &refusals, now);
    reply_encoded(StatusCode::OK, JSON, body, headers)
}

/// The list for people.
async fn list(host: &dyn Host) -> Response<Body> {
    let now = host.now();
    let outlines = match outlines(host, now).await {
        Ok(outlines) => outlines,
        Err(error) => return unavailable(&error),
    };
    let refusals = host.signals().guarded_refusals(now);
    let text =
        table(&outlines, now) + &refused(&refusals, now) + &scalers::text(&host.scalers(), now);
    reply(StatusCode::OK, TEXT, text)
}

async fn named(host: &dyn Host, name: String, headers: &HeaderMap) -> Response<Body> {
    let now = host.now();
    let descriptions = match described(host, Some(name.clone()), now).await {
        Ok(descriptions) => descriptions,
        Err(error) => return unavailable(&error),
    };
    if descriptions.is_empty() {
        let (signals, kinds) = (host.signals(), host.objects().kinds());
        let made = move |_: &_| Ok(nobody_asked(&*signals, &kinds, &name));
        let text = host.queries().run(Kind::Scaler, TIMEOUT_MS, made).await;
        return match text {
            Ok(text) => reply(StatusCode::NOT_FOUND, TEXT, text),
            Err(error) => unavailable(&error),
        };
    }
    if wants_json(headers) {
        let refusals = host.signals().guarded_refusals(now);
        let body = json::all(&descriptions, &host.scalers(), &refusals, now);
        return reply_encoded(StatusCode::OK, JSON, body, headers);
    }
    let texts: Vec<String> = descriptions.iter().map(|one| detail(one, now)).collect();
    let text = texts.join("\n");
    reply(StatusCode::OK, TEXT, text)
}

/// Why there is nothing to tell of a name: nobody asked for the metric lately, or there is none of this name.
fn nobody_asked(signals: &dyn Signals, kinds: &Kinds, name: &str) -> String {
    let (external, of_objects) = (signals.names(), signals.object_metrics(kinds));
    let same = |known: &str| known.eq_ignore_ascii_case(name);
    let mut out = String::new();
    let depends =
        "Its number depends on who asks, and nobody has within 5 minutes. An HPA's own read is";
    if external.iter().any(|known| same(known)) {
        let _ = writeln!(
            out,
            "{name} is an external metric of a rule. {depends}\n\
             kubectl get --raw '/apis/external.metrics.k8s.io/v1beta1/namespaces/NAMESPACE/{name}?labelSelector=...'"
        ); // writing to a String cannot fail
    }
    let of_name = of_objects.iter().filter(|metric| same(&metric.name));
    let kinds: Vec<&str> = of_name.map(|metric| metric.resource.as_str()).collect();
    if let [first, ..] = kinds.as_slice() {
        let place = match of_objects
            .iter()
            .any(|one| same(&one.name) && one.namespaced)
        {
            true => "namespaces/NAMESPACE/",
            false => "",
        };
        let _ = writeln!(
            out,
            "{name} is a custom metric, of {}. {depends}\n\
             kubectl get --raw '/apis/custom.metrics.k8s.io/v1beta2/{place}{first}/*/{name}'",
            kinds.join(", ")
        ); // as above
    }
    if !out.is_empty() {
        return out;
    }
    let mut known = external;
    known.extend(of_objects.into_iter().map(|metric| metric.name));
    known.sort();
    known.dedup();
    let near = nearest(name, known.iter().map(String::as_str));
    let near = near.map_or("; there are:".to_owned(), |near| {
        format!("; did you mean {near}? There are:")
    });
    let more = match known.len().saturating_sub(NAMES_LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    known.truncate(NAMES_LISTED_MAX);
    format!(
        "there is no signal {name}, and no metric of a rule{near} {}{more}\n",
        known.join(", ")
    )
}

async fn outlines(host: &dyn Host, now: Timestamp) -> Result<Vec<Outline>, QueryError> {
    let signals = host.signals();
    let made = move |_: &_| Ok(signals.outlines(now));
    host.queries().run(Kind::Scaler, TIMEOUT_MS, made).await
}

async fn described(
    host: &dyn Host,
    only: Option<String>,
    now: Timestamp,
) -> Result<Vec<Description>, QueryError> {
    let signals = host.signals();
    let made = move |_: &_| Ok(signals.describe(only.as_deref(), now));
    host.queries().run(Kind::Scaler, TIMEOUT_MS, made).await
}

fn unavailable(error: &QueryError) -> Response<Body> {
    reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error}\n"))
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Text is for people: `curl` asks for anything, a browser for HTML; programs say that they want JSON.
fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"))
}

fn age(now: Timestamp, then: Timestamp) -> String {
    format!("{:.1}s", now.since_ms(then) as f64 / 1000.0)
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::Value => "value",
        State::Held { .. } => "held",
        State::Configured { .. } => "configured",
        State::Unknown { .. } => "unknown",
    }
}

fn reason(state: &State) -> &str {
    match state {
        State::Value => "",
        State::Held { why, .. } | State::Configured { why } | State::Unknown { why } => why,
    }
}

fn number(value: f64) -> String {
    let mut out = String::new();
    push_json(&mut out, value);
    out
}

fn values(elements: &[Element]) -> String {
    match elements {
        [] => "-".to_owned(),
        [one] => number(one.value),
        [first, ..] => format!("{} and {} more", number(first.value), elements.len() - 1),
    }
}

fn table(outlines: &[Outline], now: Timestamp) -> String {
    let mut rows = vec![["SIGNAL", "STATE", "VALUE", "AGE", "REASON"].map(str::to_owned)];
    for one in outlines {
        let newest = one
            .reading
            .elements
            .iter()
            .map(|element| element.time)
            .min();
        rows.push([
            shown_name(one),
            state_name(&one.reading.state).to_owned(),
            values(&one.reading.elements),
            newest.map_or("-".to_owned(), |time| age(now, time)),
            reason(&one.reading.state).to_owned(),
        ]);
    }
    let mut out = aligned(&rows);
    for one in outlines {
        for warning in &one.about.warnings {
            let _ = writeln!(out, "warning: {}: {warning}", shown_name(one)); // writing to a String cannot fail
        }
        for (name, why) in &one.missing {
            let _ = writeln!(out, "without a number: {name}: {why} ({})", shown_name(one)); // as above
        }
    }
    out
}

/// A metric with who asks for it; of a query without a name as much as leaves room for the rest of the line.
fn shown_name(one: &Outline) -> String {
    match &one.asker {
        Some(asker) => asker.to_string(),
        None if one.name.chars().count() > QUERY_COLUMNS_MAX => {
            let begin = one.name.chars().take(QUERY_COLUMNS_MAX - 1);
            begin.chain(['…']).collect()
        }
        None => one.name.clone(),
    }
}

/// Rows as a table, without blanks at the end of lines.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  "); // writing to a String cannot fail
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn detail(one: &Description, now: Timestamp) -> String {
    let mut out = String::new();
    let explained = &one.explanation;
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "{name:<12}{text}"); // writing to a String cannot fail
        }
    };
    line("signal", &one.name);
    if let Some(asker) = &one.asker {
        line("asked for", &format!("{}: {}", asker.api, asker.place()));
    }
    line("query", &explained.query);
    line("kind", explained.kind);
    line("plan", explained.plan);
    line("plan reason", &explained.plan_reason);
    line("state", state_name(&one.reading.state));
    line("reason", reason(&one.reading.state));
    for element in &one.reading.elements {
        let labels = labels_before(&element.labels);
        line(
            "value",
            &format!(
                "{labels}{}  measured {} ago",
                number(element.value),
                age(now, element.time)
            ),
        );
    }
    if !matches!(one.reading.state, State::Value) {
        // What the newest page says beside what is told: in a grace, say, or where a proof is missing.
        for (labels, value) in &explained.measured {
            let labels = labels_before(labels);
            line(
                "page says",
                &format!("{labels}{}  (not told)", number(*value)),
            );
        }
    }
    for warning in &explained.warnings {
        line("warning", warning);
    }
    for target in &explained.targets {
        line("target", &describe(target, now));
    }
    for (labels, value, time) in &explained.series {
        line(
            "series",
            &format!("{labels}  {}  {} ago", number(*value), age(now, *time)),
        );
    }
    let more = explained.series_count - explained.series.len();
    if more > 0 {
        line("", &format!("and {more} more series"));
    }
    if let Some((time, told)) = &one.last_read {
        line("last read", &format!("{} ago: {told}", age(now, *time)));
    }
    for transition in &one.transitions {
        line("was", &was(transition));
    }
    out
}

fn was(transition: &Transition) -> String {
    let Transition { time, state, value } = transition;
    let value = value.map_or(String::new(), |value| format!(" {}", number(value)));
    let why = reason(state);
    let colon = if why.is_empty() { "" } else { ": " };
    format!(
        "{} {}{value}{colon}{why}",
        rfc3339(*time),
        state_name(state)
    )
}

fn labels_before(labels: &Labels) -> String {
    match labels.is_empty() {
        true => String::new(),
        false => format!("{labels}  "),
    }
}

fn describe(target: &TargetState, now: Timestamp) -> String {
    let role = if target.counts { "counts" } else { "stands by" };
    let fresh = if target.fresh { "fresh" } else { "frozen" };
    let last = target
        .last_good
        .map_or("never a good page".to_owned(), |time| {
            format!("last good page {} ago", age(now, time))
        });
    let error = if target.error.is_empty() {
        String::new()
    } else {
        format!(": {}", target.error)
    };
    format!("{}  {role}, {fresh}, {last}{error}", target.labels)
}

/// The queries that `/guarded` refused, below the signals.
fn refused(refusals: &[GuardedRefusal], now: Timestamp) -> String {
    if refusals.is_empty() {
        return String::new();
    }
    let head = ["REFUSED BY /guarded", "TIMES", "LAST", "REASON"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(refusals.iter().map(|one| {
        [
            one.query.split_whitespace().collect::<Vec<_>>().join(" "),
            one.count.to_string(),
            format!("{} ago", age(now, one.last)),
            one.reason.clone(),
        ]
    }));
    format!("\n{}", aligned(&rows))
}

/// A key with its comma or bracket in front, and a text.
fn text(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    crate::json::string(out, value);
}
