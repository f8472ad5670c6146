//! A process for the tests of the APIs: a fixed clock, an empty engine, signals as given.

use std::sync::Arc;

use parking_lot::Mutex;
use stillwell_engine::labels::{Labels, RelabelRule, RelabelSpec};
use stillwell_engine::promql::{Features, QueryError};
use stillwell_engine::{
    AppendError, Appended, AppendedSeries, Engine, Limits, Reader, Timestamp, Writer,
};

use crate::client::ClientAddress;
use crate::host::{
    Build, Description, Host, NoObjects, Objects, OtlpSettings, QuerySettings, Reading, Signals,
    Targets,
};
use crate::objects::Selector;
use crate::pool::QueryPool;

/// 2026-11-23T19:00:00.25Z.
pub(crate) const NOW_MS: i64 = 1_795_460_400_250;

pub(crate) struct TestHost {
    reader: Reader,
    writer: Mutex<Writer>,
    pub(crate) takes_writes: bool,
    pub(crate) wall_offset_ms: i64,
    pub(crate) otlp: OtlpSettings,
    queries: QueryPool,
    signals: Arc<dyn Signals>,
}

impl TestHost {
    pub(crate) fn new(signals: Arc<dyn Signals>) -> TestHost {
        let (writer, reader) = Engine::new(Limits::default());
        TestHost {
            reader,
            writer: Mutex::new(writer),
            takes_writes: true,
            wall_offset_ms: 0,
            otlp: OtlpSettings::default(),
            queries: QueryPool::new(4, 10_000),
            signals,
        }
    }
}

impl Host for TestHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(NOW_MS)
    }

    fn wall_offset_ms(&self) -> i64 {
        self.wall_offset_ms
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn queries(&self) -> &QueryPool {
        &self.queries
    }

    fn signals(&self) -> Arc<dyn Signals> {
        Arc::clone(&self.signals)
    }

    fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(NoObjects::default())
    }

    fn query_settings(&self) -> QuerySettings {
        QuerySettings {
            timeout_ms: 10_000,
            lookback_ms: 300_000,
            samples_max: 1_000_000,
            subquery_step_ms: 60_000,
            features: Features::default(),
        }
    }

    fn targets(&self) -> Targets {
        Targets::default()
    }

    fn build(&self) -> Build {
        Build {
            version: "0.1.0",
            started: self.now(),
            retention: "1h".to_owned(),
            folder: "/".to_owned(),
            hostname: "h".to_owned(),
            configured: self.now(),
        }
    }

    fn scrape_pools(&self) -> Vec<String> {
        vec!["j".to_owned()]
    }

    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>> {
        let rule = RelabelRule::new(RelabelSpec {
            target_label: "x".to_owned(),
            replacement: "y".to_owned(),
            ..RelabelSpec::default()
        });
        (pool == "j").then(|| rule.into_iter().collect())
    }

    fn external_labels(&self) -> Labels {
        Labels::empty()
    }

    fn flags(&self) -> Vec<(String, String)> {
        vec![("query.timeout".to_owned(), "10s".to_owned())]
    }

    fn config_text(&self) -> Arc<String> {
        Arc::new("global: {}\n".to_owned())
    }

    fn reload_succeeded(&self) -> bool {
        true
    }

    fn takes_writes(&self) -> bool {
        self.takes_writes
    }

    fn otlp(&self) -> Option<OtlpSettings> {
        self.takes_writes.then(|| self.otlp.clone())
    }

    fn append(&self, batch: Vec<AppendedSeries>) -> Result<Appended, AppendError> {
        self.writer.lock().append(batch, self.now())
    }
}

/// Nothing can be asked for by name.
pub(crate) struct NoSignals;

impl Signals for NoSignals {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, _: &str, _: &str, _: &Selector, _: Timestamp) -> Option<Reading> {
        None
    }

    fn guarded(
        &self,
        _: &str,
        _: (Timestamp, Option<ClientAddress>),
        _: &stillwell_engine::promql::EvalOptions<'_>,
    ) -> Result<Reading, QueryError> {
        Ok(Reading::Forbidden)
    }

    fn describe(&self, _: Option<&str>, _: Timestamp) -> Vec<Description> {
        Vec::new()
    }
}
