//! Random series: counters with resets, gauges, whole and broken numbers, gaps, stale markers, odd floats, classic
//! histograms.

use stillwell_promql::model::labels;
use stillwell_promql::model::labels::Labels;
use stillwell_promql::select::STALE_NAN_BITS;

use super::Dice;

/// One series with its samples.
#[derive(Clone, Debug)]
pub struct DataSeries {
    /// Its labels.
    pub labels: Labels,
    /// Time in milliseconds and value; ascending.
    pub samples: Vec<(i64, f64)>,
}

/// How the values of a series come about.
#[derive(Clone, Copy)]
enum Shape {
    Counter,
    Gauge,
    Broken,
    Odd,
}

/// The data of a seed: samples from `start_ms` on, one each `step_ms` or so.
pub fn dataset(seed: u64, start_ms: i64, step_ms: i64, samples: usize) -> Vec<DataSeries> {
    let mut dice = Dice::new(seed);
    let mut all = Vec::new();
    for job in ["a", "b"] {
        for instance in ["1", "2", "3"] {
            for (name, shape) in [
                ("requests_total", Shape::Counter),
                ("queue", Shape::Gauge),
                ("ratio", Shape::Broken),
                ("odd", Shape::Odd),
            ] {
                if dice.once_in(8) {
                    continue;
                }
                let labels = labels! { "__name__" => name, "job" => job, "instance" => instance };
                all.push(series(&mut dice, labels, shape, start_ms, step_ms, samples));
            }
        }
        histogram(&mut dice, job, start_ms, step_ms, samples, &mut all);
    }
    let info =
        labels! { "__name__" => "build", "job" => "a", "version" => "v1", "instance" => "1" };
    all.push(series(
        &mut dice,
        info,
        Shape::Gauge,
        start_ms,
        step_ms,
        samples,
    ));
    all
}

fn series(
    dice: &mut Dice,
    labels: Labels,
    shape: Shape,
    start_ms: i64,
    step_ms: i64,
    count: usize,
) -> DataSeries {
    let mut samples = Vec::with_capacity(count);
    let (mut value, mut gap, mut stale) = (dice.below(100) as f64, 0, false);
    for at in 0..count {
        if gap > 0 {
            gap -= 1;
            continue;
        }
        if dice.once_in(40) {
            gap = 1 + dice.below(12);
        }
        let jitter = if dice.once_in(5) {
            dice.below((step_ms / 3).max(1) as usize) as i64
        } else {
            0
        };
        let time_ms = start_ms + at as i64 * step_ms + jitter;
        if dice.once_in(60) && !stale {
            stale = true;
            samples.push((time_ms, f64::from_bits(STALE_NAN_BITS)));
            continue;
        }
        stale = false;
        value = next(dice, shape, value);
        samples.push((time_ms, value));
    }
    DataSeries { labels, samples }
}

fn next(dice: &mut Dice, shape: Shape, value: f64) -> f64 {
    match shape {
        Shape::Counter if dice.once_in(30) => dice.below(5) as f64,
        Shape::Counter => value + dice.below(20) as f64,
        Shape::Gauge => (value + dice.below(9) as f64 - 4.0).max(0.0),
        Shape::Broken => dice.below(1_000_000) as f64 / 7919.0 - 50.0,
        Shape::Odd => {
            const ODD: [f64; 10] = [
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                0.0,
                -0.0,
                1e308,
                -1e308,
                5e-324,
                1e-9,
                3.5,
            ];
            ODD[dice.below(ODD.len())]
        }
    }
}

fn histogram(
    dice: &mut Dice,
    job: &str,
    start_ms: i64,
    step_ms: i64,
    count: usize,
    all: &mut Vec<DataSeries>,
) {
    let bounds = ["0.1", "0.5", "1", "5", "+Inf"];
    let mut counts = [0.0; 5];
    let mut columns: Vec<Vec<(i64, f64)>> = vec![Vec::with_capacity(count); bounds.len()];
    for at in 0..count {
        if dice.once_in(50) {
            counts = [0.0; 5];
        }
        for _ in 0..dice.below(6) {
            let from = dice.below(bounds.len());
            counts[from..].iter_mut().for_each(|count| *count += 1.0);
        }
        for (column, count) in columns.iter_mut().zip(counts) {
            column.push((start_ms + at as i64 * step_ms, count));
        }
    }
    for (bound, samples) in bounds.iter().zip(columns) {
        let labels = labels! { "__name__" => "wait_bucket", "job" => job, "le" => bound };
        all.push(DataSeries { labels, samples });
    }
}
