//! Those who ask: queries, and KEDA.

use stillwell_adapters::host::Host;

use super::family::Families;
use super::scraping::pages_under_way;
use crate::serve::app::App;

/// What those who ask hold.
pub(super) fn readers(page: &mut Families, app: &App) {
    page.gauge(
        "stillwell_query_memory_bytes",
        "Bytes that queries under way hold together.",
        app.queries().memory_used() as f64,
    );
    pages_under_way(page, app);
    let (objects, _) = app.keda().describe();
    let streams: usize = objects.iter().map(|object| object.streams).sum();
    page.gauge(
        "stillwell_keda_triggers",
        "Triggers of ScaledObjects that are served or refused.",
        objects.len() as f64,
    );
    page.gauge(
        "stillwell_keda_streams",
        "Streams to KEDA that are open.",
        streams as f64,
    );
}

pub(super) fn keda(page: &mut Families, app: &App) {
    page.counter(
        "stillwell_keda_handshake_failures_total",
        "TLS handshakes on KEDA's port that failed, for a client's certificate or otherwise.",
        app.keda().handshakes_failed() as f64,
    );
}
