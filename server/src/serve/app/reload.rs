//! Reloads: the configuration file read again and applied to every part, or not at all.

use std::sync::Arc;

use tracing::{error, info};

use super::App;
use super::configured::{Configured, folder, load, read_config, show};
use super::derived::{rule_options, subquery_step_ms, warn_of_short_history};
use crate::config;
use crate::discovery::Wanted;
use crate::serve::signals::ConfiguredSignals;

/// The notification after a reload that was refused, in Prometheus' words.
const RELOAD_FAILED: &str = "Configuration reload has failed.";

impl App {
    /// Reads the configuration file again. A bad one changes nothing; the error says why, line by line.
    pub async fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.try_reload().await;
        self.loaded.write().reload_succeeded = result.is_ok();
        match &result {
            Ok(()) => {
                self.notifications.remove(RELOAD_FAILED);
                info!("configuration reloaded");
            }
            Err(why) => {
                self.notifications.add(RELOAD_FAILED, self.clock.wall_now());
                error!(
                    why,
                    "configuration not reloaded; the old one stays in force"
                );
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<(), String> {
        let Some(path) = &self.settings.config_file else {
            return Err("there is no configuration file to read".to_owned());
        };
        let text = read_config(path).await?;
        let features = &self.settings.query.features;
        let configured = load(&text, folder(path), features).map_err(|problems| show(&problems))?;
        let Configured { config, rule_files } = configured;
        let (rules, step_ms) = (
            rule_options(&self.settings, &config),
            subquery_step_ms(&config),
        );
        let before = Arc::clone(&self.loaded.read().signals);
        warn_of_short_history(&config, &self.settings);
        let signals = ConfiguredSignals::replace(&config, &before, self.clock.wall_now())
            .map_err(|problems| show(&problems))?;
        self.reader.set_names(config.signal_names.clone());
        self.reader.set_subquery_step(step_ms);
        let external_labels = config.global.external_labels.clone();
        let wanted = Wanted {
            config: &config,
            rules: &rule_files,
            features: *features,
            written: self.senders.apply(&config.senders),
        };
        self.discovery.apply(wanted).await;
        let signals = Arc::new(signals);
        {
            self.notifier
                .apply(config.alerting, external_labels.clone());
            self.remote_writes
                .apply(config.remote_writes, external_labels.clone());
            let mut loaded = self.loaded.write();
            loaded.external_labels = external_labels;
            loaded.otlp = config.otlp;
            loaded.subquery_step_ms = step_ms;
            loaded.loaded_at = self.clock.now();
            loaded.signals = Arc::clone(&signals);
            loaded.text = Arc::new(config::masked(&text));
        }
        self.rules.apply(rule_files, rules);
        self.events.send_if_modified(|events| {
            let news = *events != config.events;
            events.clone_from(&config.events);
            news
        });
        self.keda.configured(Arc::clone(&signals));
        before.end_unless_in(&signals);
        Ok(())
    }
}
