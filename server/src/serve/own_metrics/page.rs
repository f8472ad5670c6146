//! The page in its formats, and its families as JSON.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use stillwell_adapters::form::Form;
use stillwell_adapters::host::Host;
use stillwell_adapters::json;
use stillwell_adapters::pool::{Kind as PoolKind, Within};
use stillwell_adapters::prometheus::ApiError;
use stillwell_engine::labels::Re2;

use super::alerting::{notifications, rules};
use super::family::{Families, Family};
use super::held::{held, snapshot};
use super::process::process;
use super::readers::{keda, readers};
use super::remote_write;
use super::scraping::{commits, discovery, scraping};
use super::signals::signals;
use crate::serve::app::App;

/// The page and its type, as the client takes it.
pub(in crate::serve) async fn page(app: &App, request: &HeaderMap) -> (&'static str, Bytes) {
    let openmetrics = takes_openmetrics(request);
    let (content_type, shared) = match openmetrics {
        true => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            &app.own_pages().openmetrics,
        ),
        false => (
            "text/plain; version=0.0.4; charset=utf-8",
            &app.own_pages().text,
        ),
    };
    (
        content_type,
        shared.get(|| write_page(app, openmetrics)).await,
    )
}

/// `/api/v1/status/self_metrics`: the families whose whole names fit a pattern, as JSON.
pub(in crate::serve) async fn self_metrics(app: &App, form: &Form) -> Result<String, ApiError> {
    let fits = match form.get("metric_name_pattern") {
        "" => None,
        // In a query's turn: a short pattern may take a tenth of a second to compile.
        pattern => {
            let pattern = pattern.to_owned();
            let compile = move |_: &Within| Ok(Re2::new(&pattern));
            let timeout_ms = app.query_settings().timeout_ms;
            let compiled = app
                .queries()
                .run(PoolKind::Query, timeout_ms, compile)
                .await?;
            Some(compiled.map_err(|error| {
                ApiError::bad_data(format!("invalid metric_name_pattern: {error}"))
            })?)
        }
    };
    let families = families(app).await.into_iter();
    let wanted = families.filter(|family| match &fits {
        Some(fits) => fits.is_match(family.name),
        None => true,
    });
    let mut out = String::from("{\"status\":\"success\",\"data\":[");
    json::joined(&mut out, wanted, |out, family| family.write_json(out));
    out.push_str("]}");
    Ok(out)
}

async fn write_page(app: &App, openmetrics: bool) -> String {
    let mut out = String::with_capacity(16 << 10);
    for family in families(app).await {
        family.write_text(&mut out, openmetrics);
    }
    if openmetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// Prometheus asks for OpenMetrics first; whoever asks for nothing gets the text format.
fn takes_openmetrics(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

/// Everything that is told, in order.
async fn families(app: &App) -> Vec<Family> {
    let now = app.now();
    let readings = app.signal_readings(now).await;
    let mut page = Families::new();
    process(&mut page, app);
    scraping(&mut page, app);
    discovery(&mut page, app);
    rules(&mut page, app);
    keda(&mut page, app);
    notifications(&mut page, &app.notifier().counts());
    remote_write::receivers(&mut page, &app.remote_writes().shown());
    readers(&mut page, app);
    held(&mut page, &app.reader().stats(), app.now());
    if let Some(snapshots) = app.snapshots() {
        snapshot(&mut page, &snapshots.done());
    }
    commits(&mut page, app);
    signals(&mut page, &readings, now);
    page.into_inner()
}
