//! Why signals are unknown, for the log and for Events: looked at each second, so that what that takes is bounded.

use std::time::Duration;

use stillwell_engine::Timestamp;
use stillwell_engine::promql::{EvalOptions, Stop};
use stillwell_engine::signal::{Reading, SignalId, State, Transition};

use super::ConfiguredSignals;
use crate::clock::monotonic_ns;
use crate::config::SignalSpec;

/// What the reasons of all unknown signals may take each second, where they have to be evaluated for it, ...
const REASONS_MAX: Duration = Duration::from_millis(50);
/// ... and that of one.
const REASON_MAX: Duration = Duration::from_millis(5);

impl ConfiguredSignals {
    /// The newest change of each signal's state, by its name; of one that is unknown with the reason that is told now, as on
    /// `/signals`: at the change less was known. Where that takes more than it may, the reason is that of the change.
    pub(in crate::serve) fn newest_transitions(&self, now: Timestamp) -> Vec<(String, Transition)> {
        let round_ns = monotonic_ns() + REASONS_MAX.as_nanos() as u64;
        let newest = |(spec, id): &(SignalSpec, SignalId)| {
            let mut newest = self.reader.newest_transition(*id)?;
            let until_ns = || round_ns.min(monotonic_ns() + REASON_MAX.as_nanos() as u64);
            if let State::Unknown { .. } = newest.state
                && let Some(reading) = self.reading_until(*id, now, until_ns())
                && let State::Unknown { .. } = reading.state
            {
                newest.state = reading.state;
            }
            Some((spec.name.clone(), newest))
        };
        self.signals.iter().filter_map(newest).collect()
    }

    /// A reading, where it is ready, or takes little, and not beyond this moment.
    fn reading_until(&self, id: SignalId, now: Timestamp, until_ns: u64) -> Option<Reading> {
        if let Some(ready) = self.reader.signal_if_ready(id, now, &[]) {
            return Some(ready);
        }
        let stop = || (monotonic_ns() >= until_ns).then_some(Stop::Timeout);
        stop().is_none().then_some(())?;
        let within = EvalOptions {
            stop: Some(&stop),
            ..EvalOptions::default()
        };
        let read = self.reader.signal_within(id, now, &[], &within);
        read.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use stillwell_engine::signal::Policy;
    use stillwell_engine::{Engine, Format, Limits, ScrapeFacts, TargetSpec};

    use super::*;

    /// A thousand unknown signals that are evaluated when they are read held up floors, and what nobody asks about any more.
    #[test]
    fn a_reason_that_has_to_be_evaluated_is_left_as_it_was_where_there_is_no_time() {
        let (mut writer, reader) = Engine::new(Limits::default());
        let policy = Policy {
            when_read: true,
            ..Policy::default()
        };
        let id = reader.register("sum(q)", policy).expect("valid");
        let (_, mut stage) = writer.add_target(TargetSpec {
            interval_ms: 60_000,
            ..TargetSpec::default()
        });
        let at = Timestamp::from_ms(1_800_000_000_000);
        let staged = stage.parse(b"q 7\n", Format::Text).expect("it parses");
        let committed = writer.commit(staged, at, ScrapeFacts::default());
        committed.expect("it is taken");
        let signals = ConfiguredSignals::none(reader);
        let reading = |until_ns| signals.reading_until(id, at, until_ns);
        assert!(reading(0).is_none());
        assert!(reading(u64::MAX).is_some());
        assert!(reading(0).is_some(), "it is ready");
    }
}
