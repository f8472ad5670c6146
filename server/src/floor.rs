//! `floor` of a signal: the least number that is told between two times of a calendar, so that a pool is warm before its
//! users come.
//!
//! Times are those of KEDA's cron scaler: `start` and `end` in cron's five fields, in a time zone. The calendar and the zones
//! are `cronexpr`'s and `jiff`'s.

use std::sync::Arc;

use cronexpr::Crontab;
use parking_lot::Mutex;
use stillwell_engine::Timestamp;

/// One floor.
#[derive(Clone, Debug)]
pub struct Floor {
    /// The number.
    pub value: f64,
    /// When it begins and ends, as written.
    times: [String; 2],
    start: Arc<Crontab>,
    end: Arc<Crontab>,
    /// What was found last, and until when it holds, in milliseconds of the wall clock from when it was found.
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    from_ms: i64,
    until_ms: i64,
    is_on: bool,
}

impl PartialEq for Floor {
    fn eq(&self, other: &Floor) -> bool {
        self.value.to_bits() == other.value.to_bits() && self.times == other.times
    }
}

impl Floor {
    /// A floor from `start` to `end`, both in cron's five fields, in a time zone of the IANA database. Error: which of them
    /// cannot be read, and why.
    pub fn new(value: f64, start: &str, end: &str, timezone: &str) -> Result<Floor, String> {
        let read = |key: &str, text: &str| {
            let times = format!("{} {timezone}", text.trim());
            match cronexpr::parse_crontab(&times) {
                Ok(crontab) => Ok((times, Arc::new(crontab))),
                // Its message is several lines with a pointer into the text.
                Err(error) => Err(format!(
                    "{key}: {times:?} is no time in five fields (minute hour day month weekday) with a zone such as \
                     Europe/Berlin: {}",
                    error
                        .to_string()
                        .split_whitespace()
                        .collect::<Vec<_>>()
                        .join(" ")
                )),
            }
        };
        let (start_times, start) = read("start", start)?;
        let (end_times, end) = read("end", end)?;
        if start_times == end_times {
            return Err("start and end are the same time".to_owned());
        }
        Ok(Floor {
            value,
            times: [start_times, end_times],
            start,
            end,
            known: Arc::default(),
        })
    }

    /// Whether it applies at a time of the wall clock: what comes next is its end. Looked up in the calendar only at its
    /// edges, and after the clock was set back.
    pub fn is_on(&self, wall: Timestamp) -> bool {
        let mut known = self.known.lock();
        if let Some(known) = *known
            && (known.from_ms..known.until_ms).contains(&wall.ms())
        {
            return known.is_on;
        }
        let next = |crontab: &Crontab| -> Option<i64> {
            let at = jiff::Timestamp::from_millisecond(wall.ms()).ok()?;
            let next = crontab.find_next(at).ok()?;
            Some(next.timestamp().as_millisecond())
        };
        // A day that never comes has no next time.
        let (start_ms, end_ms) = (next(&self.start), next(&self.end));
        let (start_ms, end_ms) = (start_ms.unwrap_or(i64::MAX), end_ms.unwrap_or(i64::MAX));
        let is_on = end_ms < start_ms;
        *known = Some(Known {
            from_ms: wall.ms(),
            until_ms: start_ms.min(end_ms),
            is_on,
        });
        is_on
    }
}

/// The highest of the floors that apply at a time of the wall clock.
pub fn highest(floors: &[Floor], wall: Timestamp) -> Option<f64> {
    let on = floors.iter().filter(|floor| floor.is_on(wall));
    on.map(|floor| floor.value).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Timestamp::from_ms(time.as_millisecond())
    }

    #[test]
    fn it_applies_between_its_times_in_its_zone() {
        let floor = Floor::new(2.0, "50 8 * * 1-5", "0 18 * * 1-5", "Europe/Berlin");
        let floor = floor.expect("valid");
        for (time, is_on) in [
            // A Thursday in winter: UTC+1.
            ("2026-11-26T07:49:59Z", false),
            ("2026-11-26T07:50:00Z", true),
            ("2026-11-26T16:59:59Z", true),
            ("2026-11-26T17:00:00Z", false),
            // A Saturday.
            ("2026-11-28T12:00:00Z", false),
            // In summer: UTC+2. The clock went back, too.
            ("2026-07-02T06:50:00Z", true),
            ("2026-07-02T06:49:00Z", false),
        ] {
            assert_eq!(floor.is_on(at(time)), is_on, "{time}");
        }
        let night = Floor::new(5.0, "0 22 * * *", "0 4 * * *", "UTC").expect("valid");
        let both = [floor, night];
        assert_eq!(highest(&both, at("2026-11-26T23:00:00Z")), Some(5.0));
        assert_eq!(highest(&both, at("2026-11-26T12:00:00Z")), Some(2.0));
        assert_eq!(highest(&both, at("2026-11-26T20:00:00Z")), None);
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_key() {
        for (start, end, zone, says) in [
            ("0 9 * *", "0 18 * * *", "UTC", "start: \"0 9 * * UTC\""),
            ("0 9 * * *", "0 25 * * *", "UTC", "end: \"0 25 * * * UTC\""),
            ("0 9 * * *", "0 18 * * *", "Mars/Base", "start: "),
            ("0 9 * * *", "0 9 * * *", "UTC", "the same time"),
        ] {
            let error = Floor::new(1.0, start, end, zone).expect_err("refused");
            assert!(error.contains(says), "{error}");
        }
        // A day that never comes.
        let never = Floor::new(1.0, "0 9 31 2 *", "0 9 30 2 *", "UTC");
        assert!(
            never.is_err() || never.is_ok_and(|floor| !floor.is_on(at("2026-11-26T12:00:00Z")))
        );
    }
}
