//! Whole servers on loopback.

use std::sync::Arc;

use stillwell::clock::Clock;
use stillwell::serve::secure::SecureOptions;
use stillwell::serve::web::WebOptions;
use stillwell::serve::{AlertSettings, ApiOptions, Running, Settings, app};
use stillwell_adapters::host::{Health, QuerySettings};
use stillwell_engine::Limits;
use stillwell_engine::promql::Features;

use super::target::TestTarget;
use super::waiting::{state, until};

/// How a test's server evaluates.
pub fn settings(config_file: Option<std::path::PathBuf>) -> Settings {
    Settings {
        storage_path: None,
        snapshot_interval: stillwell::serve::snapshots::INTERVAL,
        query_bytes_max: 256 << 20,
        page_bytes_max: 128 << 20,
        config_file,
        query: QuerySettings {
            timeout_ms: 30_000,
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            subquery_step_ms: 60_000,
            features: Features::default(),
        },
        query_concurrency_max: 4,
        retention: "1h".to_owned(),
        remote_write: true,
        shard: None,
        otlp: stillwell::serve::OtlpReceiver {
            enabled: true,
            adds_up_deltas: false,
        },
        external_url: String::new(),
        alerts: AlertSettings::default(),
        notification_streams_max: 16,
        flags: Vec::new(),
    }
}

/// A server with this configuration.
pub async fn server(text: &str) -> Running {
    server_with(text, settings(None), WebOptions::default()).await
}

/// A server with everything as given.
pub async fn server_with(text: &str, settings: Settings, web: WebOptions) -> Running {
    let apis = ApiOptions {
        web,
        ..ApiOptions::default()
    };
    server_of(text, settings, apis).await
}

/// A server whose secure listener is so, and that has scraped the target whose `q` is its one signal.
pub async fn secure_server(target: &TestTarget, options: SecureOptions) -> Running {
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\nsignals:\n- {{name: q, expr: 'sum(q)'}}\n",
        target.address
    );
    let apis = ApiOptions {
        secure: Some(options),
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(None), apis).await;
    until(&running.app, "a scrape", |app| {
        state(app, target).health() == Health::Up
    })
    .await;
    running
}

/// A server with everything as given, the address of the plain listener excepted.
pub async fn server_of(text: &str, settings: Settings, apis: ApiOptions) -> Running {
    server_within(text, settings, apis, Limits::default()).await
}

/// The same with limits.
pub async fn server_within(
    text: &str,
    settings: Settings,
    apis: ApiOptions,
    limits: Limits,
) -> Running {
    let base = settings
        .config_file
        .as_deref()
        .map_or(std::path::Path::new(""), app::folder);
    let features = settings.query.features;
    let config = app::load(text, base, &features).unwrap_or_else(|problems| panic!("{problems:?}"));
    let apis = ApiOptions {
        listen: vec!["127.0.0.1:0".to_owned()],
        ..apis
    };
    let clock = Arc::new(Clock::start());
    stillwell::serve::start(settings, config, text.to_owned(), apis, limits, clock)
        .await
        .expect("loopback listens")
}
