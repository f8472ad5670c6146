//! Appended samples: Prometheus' rules of order, and native histograms as values.

use stillwell_engine::histogram::{Bucket, Buckets, FloatHistogram, ResetHint};
use stillwell_engine::labels::Labels;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{
    Appended, AppendedSeries, Engine, Limits, Reader, Refusal, TargetSpec, Timestamp, Writer,
};

const NOW_MS: i64 = 1_800_000_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(NOW_MS + ms)
}

fn floats(name: &str, samples: &[(i64, f64)]) -> AppendedSeries {
    AppendedSeries {
        labels: Labels::from_pairs([("__name__", name)]),
        floats: samples.iter().map(|&(ms, value)| (at(ms), value)).collect(),
        histograms: Vec::new(),
    }
}

fn histogram(count: f64) -> FloatHistogram {
    FloatHistogram {
        count,
        sum: count * 2.0,
        positive: Buckets::from_sorted(vec![Bucket { index: 1, count }]),
        ..FloatHistogram::default()
    }
}

fn histograms(name: &str, samples: &[(i64, f64)]) -> AppendedSeries {
    AppendedSeries {
        labels: Labels::from_pairs([("__name__", name)]),
        floats: Vec::new(),
        histograms: samples
            .iter()
            .map(|&(ms, count)| (at(ms), histogram(count)))
            .collect(),
    }
}

fn append(writer: &mut Writer, series: AppendedSeries) -> Appended {
    writer.append(vec![series], at(0)).expect("there is room")
}

fn why(appended: &Appended) -> Option<Refusal> {
    appended.first_refused.as_ref().map(|refused| refused.why)
}

fn ask(reader: &Reader, query: &str, at_ms: i64) -> Vec<(f64, Option<FloatHistogram>)> {
    let query = Query::parse(query, &Features::default()).expect("valid");
    let options = EvalOptions::default();
    let answer = query
        .instant(&reader.plain(), at(at_ms), &options)
        .expect("answers");
    let Value::Vector(samples) = answer.value else {
        panic!("a vector was asked for")
    };
    samples
        .iter()
        .map(|sample| (sample.value, sample.histogram.as_deref().cloned()))
        .collect()
}

#[test]
fn samples_are_judged_one_by_one() {
    let (mut writer, reader) = Engine::new(Limits::default());
    let first = append(&mut writer, floats("a", &[(-3000, 1.0), (-2000, 2.0)]));
    assert_eq!((first.floats, first.refused), (2, 0));
    for (samples, taken, expected) in [
        (vec![(-2000, 2.0)], 1, None),
        (vec![(-2000, 3.0)], 0, Some(Refusal::Duplicate)),
        (vec![(-2500, 3.0)], 0, Some(Refusal::OutOfOrder)),
        (vec![(-4_000_000, 3.0)], 0, Some(Refusal::TooOld)),
        (vec![(700_000, 3.0)], 0, Some(Refusal::TooNew)),
        (
            vec![(-2500, 3.0), (-1000, 4.0)],
            1,
            Some(Refusal::OutOfOrder),
        ),
    ] {
        let appended = append(&mut writer, floats("a", &samples));
        assert_eq!(
            (appended.floats, why(&appended)),
            (taken, expected),
            "{samples:?}"
        );
    }
    assert_eq!(ask(&reader, "a", 0), [(4.0, None)]);
    assert_eq!(ask(&reader, "sum_over_time(a[1m])", 0), [(7.0, None)]);
}

#[test]
fn a_scraped_series_is_not_written_until_it_ends() {
    use stillwell_engine::{Format, ScrapeFacts};
    let (mut writer, reader) = Engine::new(Limits::default());
    let (_, mut stage) = writer.add_target(TargetSpec::default());
    for (ms, page) in [(-3000, "a 1\n"), (-2000, "b 1\n")] {
        let staged = stage.parse(page.as_bytes(), Format::Text).expect("a page");
        writer
            .commit(staged, at(ms), ScrapeFacts::default())
            .expect("in order");
        if ms == -3000 {
            let appended = append(&mut writer, floats("a", &[(-2500, 9.0)]));
            assert_eq!(why(&appended), Some(Refusal::Scraped));
        }
    }
    let early = append(&mut writer, floats("a", &[(-2500, 9.0)]));
    assert_eq!(why(&early), Some(Refusal::OutOfOrder));
    assert_eq!(append(&mut writer, floats("a", &[(-1000, 9.0)])).refused, 0);
    assert_eq!(ask(&reader, "a", 0), [(9.0, None)]);
}

#[test]
fn histograms_stand_among_floats_and_end_with_them() {
    let (mut writer, reader) = Engine::new(Limits::default());
    append(&mut writer, floats("h", &[(-9000, 5.0)]));
    let counts = [(-8000, 4.0), (-7000, 6.0), (-6000, 2.0)];
    assert_eq!(append(&mut writer, histograms("h", &counts)).histograms, 3);
    let again = append(&mut writer, histograms("h", &[(-6000, 2.0)]));
    assert_eq!(again.refused, 0);
    let other = append(&mut writer, histograms("h", &[(-6000, 3.0)]));
    assert_eq!(why(&other), Some(Refusal::Duplicate));
    let float = append(&mut writer, floats("h", &[(-6000, 3.0)]));
    assert_eq!(why(&float), Some(Refusal::Duplicate));

    let hints = |ms| ask(&reader, "h", ms).remove(0).1.map(|h| h.hint);
    assert_eq!(hints(-9000), None);
    assert_eq!(hints(-8000), Some(ResetHint::Unknown));
    assert_eq!(hints(-7000), Some(ResetHint::NotReset));
    assert_eq!(hints(-6000), Some(ResetHint::Unknown));
    assert_eq!(ask(&reader, "count_over_time(h[1m])", 0), [(4.0, None)]);
    assert_eq!(ask(&reader, "histogram_count(h)", 0), [(2.0, None)]);

    let mut stale = histograms("h", &[(-1000, 1.0)]);
    stale.histograms[0].1.sum = f64::from_bits(0x7ff0_0000_0000_0002);
    assert_eq!(append(&mut writer, stale).refused, 0);
    assert!(ask(&reader, "h", 0).is_empty());
}

#[test]
fn what_is_too_old_leaves_and_the_series_can_come_back() {
    let (mut writer, reader) = Engine::new(Limits::default());
    let before = reader.stats().series;
    append(&mut writer, histograms("h", &[(-8000, 4.0), (-7000, 6.0)]));
    append(&mut writer, floats("a", &[(-8000, 4.0)]));
    for late_ms in [3_700_000, 3_701_000, 7_900_000] {
        writer.maintain(at(late_ms));
    }
    assert_eq!(reader.stats().series, before);
    let later = writer.append(vec![histograms("h", &[(7_899_000, 1.0)])], at(7_900_000));
    assert_eq!(later.expect("there is room").histograms, 1);
    assert_eq!(ask(&reader, "histogram_count(h)", 7_900_000), [(1.0, None)]);
    assert_eq!(
        ask(&reader, "count_over_time(h[2h])", 7_900_000),
        [(1.0, None)]
    );
}

#[test]
fn a_batch_that_does_not_fit_is_refused_whole() {
    let limits = Limits {
        memory_bytes_max: 100_000,
        ..Limits::default()
    };
    let (mut writer, reader) = Engine::new(limits);
    let batch = (0..1000).map(|n| floats(&format!("a{n}"), &[(0, 1.0)]));
    let error = writer.append(batch.collect(), at(0)).expect_err("too much");
    assert!(
        error.to_string().contains("--storage.memory.max"),
        "{error}"
    );
    assert_eq!(reader.stats().series, 0);
    assert_eq!(append(&mut writer, floats("a", &[(0, 1.0)])).floats, 1);
}
