//! The ways in which receivers fail, one after the other.

use std::time::Duration;

use crate::contender::{Contender, Kind};
use crate::write_proxy::{Mode, WriteProxy};

/// What a slow receiver takes for a request. The sender waits for 5 s.
const SLOW: Duration = Duration::from_secs(2);
/// More than any disk has, so that VictoriaMetrics takes its own for full.
const FULL: &str = "-storage.minFreeDiskSpaceBytes=1000000000000000";

/// What happens to a receiver.
#[derive(Clone, Copy)]
pub(super) enum Failure {
    Refuses(u16),
    Slow,
    Killed,
    DiskFull,
    Unanswered,
}

/// What happens from when to when, as parts of the whole time.
pub(super) const FAILURES: [(&str, f64, f64, Failure); 8] = [
    ("500", 0.06, 0.14, Failure::Refuses(500)),
    ("429", 0.18, 0.26, Failure::Refuses(429)),
    ("slow", 0.29, 0.37, Failure::Slow),
    ("killed", 0.40, 0.48, Failure::Killed),
    ("disk full", 0.51, 0.60, Failure::DiskFull),
    ("507", 0.63, 0.69, Failure::Refuses(507)),
    ("503 with Retry-After", 0.72, 0.78, Failure::Refuses(503)),
    ("no answer", 0.81, 0.88, Failure::Unanswered),
];

impl Failure {
    /// Begins it.
    pub(super) fn begin(self, proxy: &WriteProxy, receiver: &mut Contender) -> std::io::Result<()> {
        let is_victoria_metrics = receiver.kind == Kind::VictoriaMetrics;
        match self {
            Failure::Refuses(status) => proxy.set(Mode::Refuse(status)),
            Failure::Slow => proxy.set(Mode::Slow(receiver.port, SLOW)),
            Failure::Unanswered => proxy.set(Mode::Hold),
            // VictoriaMetrics loses what it has taken in its last seconds when it is killed; it is asked to end.
            Failure::Killed => receiver.end(!is_victoria_metrics)?,
            // It also ends where it cannot write, but stops taking samples before, where its disk is almost full.
            Failure::DiskFull if is_victoria_metrics => {
                receiver.end(false)?;
                receiver.restart_with(&[FULL])?;
            }
            Failure::DiskFull => receiver.limit_files(Some(0))?,
        }
        Ok(())
    }

    /// Ends it.
    pub(super) fn end(self, proxy: &WriteProxy, receiver: &mut Contender) -> std::io::Result<()> {
        match self {
            Failure::Refuses(_) | Failure::Slow | Failure::Unanswered => {
                proxy.set(Mode::Pass(receiver.port));
            }
            Failure::Killed => receiver.restart()?,
            Failure::DiskFull if receiver.kind == Kind::VictoriaMetrics => {
                receiver.end(false)?;
                receiver.restart()?;
            }
            Failure::DiskFull => receiver.limit_files(None)?,
        }
        Ok(())
    }
}
