//! `signals:` of the configuration, kept by the engine, under the names by which the faces ask for them.

use stillwell_adapters::host::{Element, Reading, Signals};
use stillwell_engine::signal::{SignalId, State};
use stillwell_engine::{Engine, Limits, Reader, Timestamp};

use crate::config::{Problem, SignalSpec};

/// The signals of one configuration.
pub struct Watched {
    signals: Vec<(SignalSpec, SignalId)>,
    reader: Reader,
}

/// Checks every expression of the configuration: whether the engine would keep it.
pub fn check(specs: &[SignalSpec]) -> Vec<Problem> {
    let (_, reader) = Engine::new(Limits::default());
    watch(specs, &reader, &[]).err().unwrap_or_default()
}

impl Watched {
    /// No signals.
    pub(super) fn none(reader: Reader) -> Watched {
        Watched {
            signals: Vec::new(),
            reader,
        }
    }

    /// The signals of a new configuration. One whose expression and jobs are as before goes on with what it has seen,
    /// under its new policy. With errors nothing changes.
    pub(super) fn replace(specs: &[SignalSpec], before: &Watched) -> Result<Watched, Vec<Problem>> {
        let reader = before.reader.clone();
        let signals = watch(specs, &reader, &before.signals)?;
        for (spec, id) in &signals {
            reader.set_policy(*id, spec.policy.clone());
        }
        Ok(Watched { signals, reader })
    }

    /// Ends the signals that `kept` does not go on with, once nobody reads them by name any more.
    pub(super) fn end_unless_in(&self, kept: &Watched) {
        for (_, id) in &self.signals {
            if kept.signals.iter().all(|(_, other)| other != id) {
                self.reader.unwatch(*id);
            }
        }
    }
}

fn watch(
    specs: &[SignalSpec],
    reader: &Reader,
    before: &[(SignalSpec, SignalId)],
) -> Result<Vec<(SignalSpec, SignalId)>, Vec<Problem>> {
    let (mut watched, mut started, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for spec in specs {
        let same = |(old, id): &&(SignalSpec, SignalId)| {
            // Two signals of one expression are two signals.
            let free = watched.iter().all(|(_, taken)| taken != id);
            free && old.expr == spec.expr && old.policy.jobs == spec.policy.jobs
        };
        let kept = before.iter().find(same).map(|(_, id)| *id);
        let id = match kept {
            Some(id) => Ok(id),
            None => reader
                .watch(&spec.expr, spec.policy.clone())
                .inspect(|id| started.push(*id)),
        };
        match id {
            Ok(id) => watched.push((spec.clone(), id)),
            Err(error) => {
                let message = format!("signal {:?}: expr: {error}", spec.name);
                problems.push(Problem::new(spec.line, message));
            }
        }
    }
    if problems.is_empty() {
        return Ok(watched);
    }
    for id in started {
        reader.unwatch(id);
    }
    Err(problems)
}

impl Signals for Watched {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .signals
            .iter()
            .map(|(spec, _)| spec.name.clone())
            .collect();
        names.sort();
        names
    }

    fn read(
        &self,
        name: &str,
        namespace: &str,
        pins: &[(String, String)],
        now: Timestamp,
    ) -> Option<Reading> {
        let (spec, id) = self
            .signals
            .iter()
            .find(|(spec, _)| spec.name.eq_ignore_ascii_case(name))?;
        let allowed = &spec.namespaces;
        if !allowed.is_empty() && !allowed.iter().any(|one| one == namespace) {
            return Some(Reading::Forbidden);
        }
        // Labels that the configuration adds are no labels of the query.
        let pins: Vec<(String, String)> = pins
            .iter()
            .filter(|(label, _)| spec.labels.get(label).is_none())
            .cloned()
            .collect();
        let reading = self.reader.signal(*id, now, &pins)?;
        let elements = reading.elements.into_iter().map(|element| {
            let mut labels = element.labels.to_builder();
            for (label, value) in spec.labels.iter() {
                labels.set(label, value);
            }
            Element {
                labels: labels.build(),
                value: element.value,
                at: element.time,
            }
        });
        Some(match reading.state {
            State::Value => Reading::Value(elements.collect()),
            State::Held { age_ms, why } => Reading::Held {
                elements: elements.collect(),
                age_ms,
                why,
            },
            State::Unknown { why } => Reading::Unknown(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::labels::Labels;
    use stillwell_engine::signal::Policy;

    use super::*;

    fn spec(name: &str, expr: &str, hold_ms: i64) -> SignalSpec {
        SignalSpec {
            name: name.to_owned(),
            expr: expr.to_owned(),
            namespaces: Vec::new(),
            labels: Labels::empty(),
            policy: Policy {
                hold_ms: Some(hold_ms),
                ..Policy::default()
            },
            line: 7,
        }
    }

    fn ids(watched: &Watched) -> Vec<SignalId> {
        watched.signals.iter().map(|(_, id)| *id).collect()
    }

    #[test]
    fn a_reload_keeps_what_it_does_not_change_and_a_bad_one_keeps_everything() {
        let (_writer, reader) = Engine::new(Limits::default());
        let none = Watched::none(reader);
        let first = Watched::replace(&[spec("a", "sum(x)", 1), spec("b", "sum(y)", 1)], &none)
            .expect("valid");
        let problems = Watched::replace(&[spec("a", "sum(x)", 9), spec("c", "sum(", 1)], &first)
            .err()
            .expect("an expression is broken");
        assert_eq!((problems.len(), problems[0].line), (1, 7));
        let second = Watched::replace(
            &[spec("n", "sum(z)", 1), spec("renamed", "sum(x)", 2)],
            &first,
        )
        .expect("valid");
        assert_eq!(
            ids(&second)[1],
            ids(&first)[0],
            "same expression, another name and policy"
        );
        assert!(!ids(&first)[..1].contains(&ids(&second)[0]));
        assert_eq!(second.names(), ["n", "renamed"]);
    }
}
