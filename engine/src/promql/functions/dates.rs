//! Calendar functions, in UTC.

use crate::labels::Labels;
use crate::promql::QueryError;
use crate::promql::eval::{Column, Eval, Grid, Sink, is_absent};
use crate::promql::plan::Expr;
use crate::promql::select::Projection;

use super::FunctionId;

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
            .map(|ms| part(id, ms as f64 / 1000.0))
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

fn part(id: FunctionId, seconds: f64) -> f64 {
    use FunctionId as F;
    // Go's conversion of NaN and of what is out of range gives the smallest integer on amd64.
    let seconds = if seconds.is_nan() || seconds.abs() >= 9.3e18 {
        i64::MIN
    } else {
        seconds as i64
    };
    let days = seconds.div_euclid(86_400);
    let second_of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let value = match id {
        F::Minute => second_of_day / 60 % 60,
        F::Hour => second_of_day / 3_600,
        F::DayOfWeek => (days + 4).rem_euclid(7),
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
        _ => year,
    };
    value as f64
}

/// Year, month and day of a count of days since 1970-01-01 (proleptic Gregorian; eras of 400 years from March).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
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
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of `civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
    }
}
