//! What the APIs see of the running process.

use std::sync::Arc;

use stillwell_adapters::host::{
    Build, Host, Objects, OtlpSettings, QuerySettings, RuleGroup, ScalersReport, Signals, Targets,
};
use stillwell_adapters::notifications::Notifications;
use stillwell_adapters::pool::QueryPool;
use stillwell_engine::labels::{Labels, RelabelRule};
use stillwell_engine::{AppendError, Appended, AppendedSeries, Reader, Timestamp, Writer};

use super::App;
use super::settings::OtlpReceiver;
use crate::config;
use crate::senders::Taken;

impl Host for App {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn queries(&self) -> &QueryPool {
        &self.queries
    }

    fn signals(&self) -> Arc<dyn Signals> {
        Arc::clone(&self.loaded.read().signals) as Arc<dyn Signals>
    }

    fn objects(&self) -> Arc<dyn Objects> {
        Arc::clone(&self.objects)
    }

    fn query_settings(&self) -> QuerySettings {
        QuerySettings {
            subquery_step_ms: self.loaded.read().subquery_step_ms,
            ..self.settings.query
        }
    }

    fn targets(&self) -> Targets {
        self.scraper.describe()
    }

    fn scrape_pools(&self) -> Vec<String> {
        self.discovery.scrape_pools()
    }

    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>> {
        self.discovery.relabel_rules(pool)
    }

    fn rule_groups(&self) -> Arc<Vec<RuleGroup>> {
        self.rules.groups()
    }

    fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        self.notifier.alertmanagers()
    }

    fn notifications(&self) -> Option<&Notifications> {
        Some(&self.notifications)
    }

    fn scrape_pool_config(&self, pool: &str) -> Option<String> {
        config::masked_job(&self.loaded.read().text, pool)
    }

    fn external_labels(&self) -> Labels {
        self.loaded.read().external_labels.clone()
    }

    fn build(&self) -> Build {
        Build {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            retention: self.settings.retention.clone(),
            folder: self.folder.clone(),
            hostname: self.hostname.clone(),
            configured: self.loaded.read().loaded_at,
        }
    }

    fn scalers(&self) -> ScalersReport {
        let (objects, more) = self.keda.describe();
        ScalersReport {
            objects,
            more,
            warnings: self.keda.warnings(),
        }
    }

    fn flags(&self) -> Vec<(String, String)> {
        self.settings.flags.clone()
    }

    fn config_text(&self) -> Arc<String> {
        Arc::clone(&self.loaded.read().text)
    }

    fn reload_succeeded(&self) -> bool {
        self.loaded.read().reload_succeeded
    }

    fn takes_writes(&self) -> bool {
        self.settings.remote_write
    }

    fn otlp(&self) -> Option<OtlpSettings> {
        let OtlpReceiver {
            enabled,
            adds_up_deltas,
        } = self.settings.otlp;
        enabled.then(|| OtlpSettings {
            adds_up_deltas,
            ..self.loaded.read().otlp.clone()
        })
    }

    fn wall_offset_ms(&self) -> i64 {
        self.clock.wall_offset_ms()
    }

    fn append(&self, mut batch: Vec<AppendedSeries>) -> Result<Appended, AppendError> {
        move_by(&mut batch, -self.clock.wall_offset_ms());
        let Taken {
            rest,
            floats,
            refused,
        } = self.senders.take(batch);
        let shared = self.scraper.shared();
        let appended = Writer::append_in_steps(&shared.writer, rest, self.clock.now());
        shared.scraped.notify_waiters(); // streams wait for whatever is new
        appended.map(|mut appended| {
            appended.floats += floats;
            appended.refused += refused.as_ref().map_or(0, |(count, _)| *count);
            let first = refused.map(|(_, first)| first);
            appended.first_refused = appended.first_refused.or(first);
            appended
        })
    }
}

/// Samples that are sent have the wall clock's times.
fn move_by(batch: &mut [AppendedSeries], ms: i64) {
    if ms == 0 {
        return;
    }
    for series in batch {
        let times = series.floats.iter_mut().map(|(time, _)| time);
        for time in times.chain(series.histograms.iter_mut().map(|(time, _)| time)) {
            *time = time.plus_ms(ms);
        }
    }
}
