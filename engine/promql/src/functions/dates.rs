//! Calendar functions, in UTC.

use crate::QueryError;
use crate::eval::{Column, Eval, Grid, Sink, is_absent};
use crate::plan::Expr;
use crate::select::Projection;
use stillwell_model::labels::Labels;

use crate::plan::FunctionId;

/// Whether it is one of these functions.
pub fn is_calendar(id: FunctionId) -> bool {
    use FunctionId as F;
    matches!(
        id,
        F::DayOfMonth
            | F::DayOfWeek
            | F::DayOfYear
            | F::DaysInMonth
            | F::Hour
            | F::Minute
            | F::Month
            | F::Year
    )
}

pub(super) fn stream(
    eval: &Eval<'_>,
    id: FunctionId,
    args: &[Expr],
    grid: Grid,
    need: Projection<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), QueryError> {
    let Some(arg) = args.first() else {
        let floats = grid
            .times()
            .map(|ms| part(id, eval.wall_seconds(ms)))
            .collect();
        return sink(
            &Labels::empty(),
            false,
            &mut Column {
                floats,
                histograms: Vec::new(),
            },
        );
    };
    eval.stream_mapped(arg, grid, need, sink, &mut |column| {
        column.histograms.clear();
        for value in column.floats.iter_mut().filter(|value| !is_absent(**value)) {
            *value = part(id, *value);
        }
        Ok(())
    })
}

/// Go counts time from this year's March on, in unsigned seconds that wrap around; a multiple of 400 years.
const ABSOLUTE_YEARS: i128 = 292_277_022_400;
const DAYS_PER_ERA: i128 = 146_097;
/// 1970-01-01, in days from March of year 0.
const UNIX_DAYS: i128 = 719_468;
const SECONDS_PER_DAY: i128 = 86_400;

/// The part of a date that a calendar function tells, of a time in seconds.
pub fn part(id: FunctionId, seconds: f64) -> f64 {
    use FunctionId as F;
    // Go's conversion of NaN and of what is out of range gives the smallest integer on amd64.
    let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&seconds);
    let seconds = if in_range { seconds as i64 } else { i64::MIN };
    let epoch = (ABSOLUTE_YEARS / 400 * DAYS_PER_ERA + UNIX_DAYS) * SECONDS_PER_DAY;
    let absolute = i128::from((i128::from(seconds) + epoch) as u64);
    let (days, second_of_day) = (absolute / SECONDS_PER_DAY, absolute % SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    let value = match id {
        F::Minute => second_of_day / 60 % 60,
        F::Hour => second_of_day / 3_600,
        F::DayOfWeek => (days + 3) % 7,
        F::DayOfMonth => day,
        F::DayOfYear => days - days_of(year, 1, 1) + 1,
        F::DaysInMonth => {
            let (next_year, next_month) = if month == 12 {
                (year + 1, 1)
            } else {
                (year, month + 1)
            };
            days_of(next_year, next_month, 1) - days_of(year, month, 1)
        }
        F::Month => month,
        _ => year - ABSOLUTE_YEARS,
    };
    value as f64
}

/// Year, month and day of a count of days since March 1 of year 0 (Gregorian; eras of 400 years).
fn civil(days: i128) -> (i128, i128, i128) {
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    (year_of_era + era * 400 + i128::from(month <= 2), month, day)
}

/// The inverse of `civil`.
fn days_of(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-1_000_000..1_000_000).step_by(37) {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), days);
        }
        assert_eq!(civil(UNIX_DAYS), (1970, 1, 1));
        assert_eq!(civil(UNIX_DAYS + 19_782), (2024, 2, 29));
    }
}
