//! `signals:` as the faces read them, until the engine keeps their states: evaluated when asked.
//!
//! Unknown never turns into a number: a signal is an error while a target that ever fed it is not up, and where its
//! result is empty. The states to come (hold, proven absence, restarts) replace this module.

use std::sync::Arc;

use stillwell_adapters::host::{Element, Health, QuerySettings, Reading, Signals};
use stillwell_engine::labels::{Labels, Matcher};
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{Reader, Timestamp};

use crate::config::{Problem, SignalSpec};
use crate::scrape::{Scraper, TargetState};

/// The signals of one configuration.
pub(super) struct Evaluated {
    signals: Vec<Signal>,
    reader: Reader,
    scraper: Scraper,
    settings: QuerySettings,
}

struct Signal {
    spec: SignalSpec,
    query: Query,
}

/// Checks every expression of the configuration.
pub(super) fn check(specs: &[SignalSpec], features: &Features) -> Result<(), Vec<Problem>> {
    let problems: Vec<Problem> = specs
        .iter()
        .filter_map(|spec| {
            let error = Query::parse(&spec.expr, features).err()?;
            Some(Problem::new(
                spec.line,
                format!("signal {:?}: expr: {error}", spec.name),
            ))
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

impl Evaluated {
    /// The signals that pass [`check`].
    pub(super) fn new(
        specs: &[SignalSpec],
        reader: Reader,
        scraper: Scraper,
        settings: QuerySettings,
    ) -> Evaluated {
        let signals = specs
            .iter()
            .filter_map(|spec| {
                let query = Query::parse(&spec.expr, &settings.features).ok()?;
                Some(Signal {
                    spec: spec.clone(),
                    query,
                })
            })
            .collect();
        Evaluated {
            signals,
            reader,
            scraper,
            settings,
        }
    }

    fn evaluate(&self, signal: &Signal, now: Timestamp) -> Result<Vec<Element>, String> {
        let states = self.scraper.states();
        for selector in signal.query.selectors() {
            self.check_sources(selector.matchers, &states, now)?;
        }
        let options = EvalOptions {
            lookback_ms: self.settings.lookback_ms,
            samples_max: self.settings.samples_max,
            subquery_step_ms: self.settings.subquery_step_ms,
            features: self.settings.features,
            stop: None,
        };
        let answer = signal
            .query
            .instant(&self.reader.plain(), now, &options)
            .map_err(|error| error.to_string())?;
        let element = |labels: Labels, value| Element {
            labels,
            value,
            at: now,
        };
        let mut elements = match answer.value {
            Value::Scalar(_, value) => vec![element(Labels::empty(), value)],
            Value::Vector(samples) => samples
                .into_iter()
                .map(|sample| element(sample.labels, sample.value))
                .collect(),
            Value::String(..) | Value::Matrix(..) => {
                return Err(
                    "the expression gives neither a scalar nor an instant vector".to_owned(),
                );
            }
        };
        if elements.is_empty() {
            return Err("the expression gives nothing: no series fits its selectors".to_owned());
        }
        for element in &mut elements {
            add_labels(&mut element.labels, &signal.spec.labels);
        }
        Ok(elements)
    }

    /// A target whose series fit the selector within the history must be up: without it the result is too small.
    fn check_sources(
        &self,
        matchers: &[Matcher],
        states: &[Arc<TargetState>],
        now: Timestamp,
    ) -> Result<(), String> {
        let down: Vec<&Arc<TargetState>> = states
            .iter()
            .filter(|state| state.health() == Health::Down)
            .collect();
        if down.is_empty() {
            return Ok(());
        }
        let seen = self
            .reader
            .series(&[matchers.to_vec()], Timestamp::MIN, now, 0);
        for state in down {
            let labels = &state.target.labels;
            let fed = |series: &Labels| {
                series.get("job") == labels.get("job")
                    && series.get("instance") == labels.get("instance")
            };
            // A target that never gave a page may be the one that has the series.
            let never_good = state.counts().scrapes == state.counts().failures;
            let could = matchers.iter().all(|matcher| {
                !matches!(matcher.name(), "job" | "instance") || matcher.matches_labels(labels)
            });
            if could && (never_good || seen.iter().any(fed)) {
                return Err(format!(
                    "target {}: {}",
                    state.target.url,
                    state.last_error()
                ));
            }
        }
        Ok(())
    }
}

impl Signals for Evaluated {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .signals
            .iter()
            .map(|signal| signal.spec.name.clone())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str, namespace: &str, now: Timestamp) -> Option<Reading> {
        let signal = self
            .signals
            .iter()
            .find(|signal| signal.spec.name.eq_ignore_ascii_case(name))?;
        let allowed = &signal.spec.namespaces;
        if !allowed.is_empty() && !allowed.iter().any(|one| one == namespace) {
            return Some(Reading::Forbidden);
        }
        Some(match self.evaluate(signal, now) {
            Ok(elements) => Reading::Values(elements),
            Err(why) => Reading::Unknown(why),
        })
    }
}

fn add_labels(labels: &mut Labels, more: &Labels) {
    if !more.is_empty() {
        let mut builder = labels.to_builder();
        for (name, value) in more.iter() {
            builder.set(name, value);
        }
        *labels = builder.build();
    }
}
