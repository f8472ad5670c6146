//! `stillwell test rules`: unit tests of rule files in promtool's format. Series are given, the rules are evaluated over
//! them step by step, and what fires and what queries yield is compared with what the file expects.

mod file;

use std::path::Path;

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::script::{MemoryView, SeriesItem, read_metric, read_series};
use stillwell_engine::promql::select::View;
use stillwell_engine::promql::{EvalOptions, Features, Query, Value};
use stillwell_engine::{AppendedSeries, Timestamp};

use super::alert::ALERT_NAME;
use super::file::load;
use super::group::{Environment, Group, RuleStore};
use crate::config::Report;
use crate::config::units::show_duration_ms;
use crate::yaml;
use file::test_file;

/// What Prometheus takes where a file gives none.
const INTERVAL_MS_DEFAULT: u64 = 60_000;
/// More steps than this are a mistake in a time.
const STEPS_MAX: u64 = 1_000_000;

/// What came of one file.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    /// Tests that were as wanted.
    pub passed: usize,
    /// What was not, in words.
    pub failures: Vec<String>,
}

#[derive(Default)]
struct TestFile {
    rule_files: Vec<String>,
    interval_ms: Option<u64>,
    order: Vec<String>,
    fuzzy: bool,
    tests: Vec<Test>,
}

#[derive(Default)]
struct Test {
    name: String,
    interval_ms: Option<u64>,
    series: Vec<(String, String, usize)>,
    alerts: Vec<AlertTest>,
    queries: Vec<QueryTest>,
    external_labels: Labels,
    external_url: String,
    start_ms: i64,
}

#[derive(Default)]
struct AlertTest {
    at_ms: u64,
    name: String,
    expected: Vec<(Labels, Labels)>,
}

#[derive(Default)]
struct QueryTest {
    at_ms: u64,
    expr: String,
    expected: Vec<Expected>,
}

#[derive(Clone, Debug, Default)]
struct Expected {
    labels: String,
    value: f64,
    histogram: String,
}

/// Runs one file of tests.
pub fn run(path: &Path, features: &Features) -> TestReport {
    let mut report = TestReport::default();
    let mut problems = Report::default();
    let file = match std::fs::read_to_string(path) {
        Ok(text) => match yaml::parse(&text) {
            Ok(tree) => test_file(&tree, &mut problems),
            Err(problem) => {
                report.failures.push(problem.to_string());
                return report;
            }
        },
        Err(error) => {
            report.failures.push(error.to_string());
            return report;
        }
    };
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let rules = load(&file.rule_files, &base, 1, features, &mut problems);
    report
        .failures
        .extend(problems.errors.iter().map(ToString::to_string));
    if !report.failures.is_empty() {
        return report;
    }
    let interval_ms = file.interval_ms.unwrap_or(INTERVAL_MS_DEFAULT);
    for (at, test) in file.tests.iter().enumerate() {
        let mut groups: Vec<Group> = rules
            .iter()
            .flat_map(|file| &file.groups)
            .map(|spec| Group::new(spec.clone()))
            .collect();
        groups.sort_by_key(|group| {
            let named = file
                .order
                .iter()
                .position(|name| *name == group.spec().name);
            named.unwrap_or(0)
        });
        let failures = test.run(groups, interval_ms, features, file.fuzzy);
        let name = match test.name.as_str() {
            "" => format!("unnamed#{at}"),
            name => name.to_owned(),
        };
        match failures.is_empty() {
            true => report.passed += 1,
            false => report
                .failures
                .extend(failures.iter().map(|why| format!("{name}: {why}"))),
        }
    }
    report
}

/// The store of a test.
struct Store {
    memory: MemoryView,
}

impl RuleStore for Store {
    fn view(&self) -> Box<dyn View + '_> {
        Box::new(self.memory.clone())
    }

    fn append(&mut self, series: Vec<AppendedSeries>) -> Result<(), String> {
        for one in series {
            for (at, value) in one.floats {
                self.memory.add(&one.labels, at.ms(), value);
            }
            for (at, histogram) in one.histograms {
                self.memory
                    .add_histogram(&one.labels, at.ms(), histogram.into());
            }
        }
        Ok(())
    }
}

impl Test {
    fn run(
        &self,
        mut groups: Vec<Group>,
        interval_ms: u64,
        features: &Features,
        fuzzy: bool,
    ) -> Vec<String> {
        let mut store = Store {
            memory: MemoryView::default(),
        };
        if let Err(why) = self.fill(&mut store.memory, interval_ms) {
            return vec![why];
        }
        let options = EvalOptions {
            subquery_step_ms: i64::try_from(interval_ms).unwrap_or(i64::MAX),
            features: *features,
            ..EvalOptions::default()
        };
        let environment = Environment {
            options,
            external_labels: self.external_labels.clone(),
            external_url: self.external_url.clone(),
            interval_ms: self.interval_ms.unwrap_or(interval_ms),
            query_offset_ms: 0,
            now_ns: || 0,
        };
        let alert_times = self.alerts.iter().map(|test| test.at_ms);
        let query_times = self.queries.iter().map(|test| test.at_ms);
        let last_ms = alert_times.chain(query_times).max().unwrap_or(0);
        if last_ms / interval_ms > STEPS_MAX {
            let interval = show_duration_ms(interval_ms);
            return vec![format!(
                "more than {STEPS_MAX} evaluations, one every {interval}"
            )];
        }
        let mut failures = Vec::new();
        let mut at_ms = 0;
        while at_ms <= last_ms {
            let at = Timestamp::from_ms(self.start_ms.saturating_add(at_ms as i64));
            for group in &mut groups {
                group.evaluate(at, &mut store, &environment);
                let time = show_duration_ms(at_ms);
                let errors = group.errors();
                failures.extend(
                    errors.map(|(rule, why)| format!("rule: {rule}, time: {time}, err: {why}")),
                );
            }
            if !failures.is_empty() {
                return failures;
            }
            // What holds at a step holds until the next one.
            let here = at_ms..at_ms + interval_ms;
            for test in self.alerts.iter().filter(|test| here.contains(&test.at_ms)) {
                failures.extend(test.check(&groups));
            }
            at_ms += interval_ms;
        }
        for test in &self.queries {
            failures.extend(test.check(&store, self.start_ms, &environment.options, fuzzy));
        }
        failures
    }

    fn fill(&self, memory: &mut MemoryView, interval_ms: u64) -> Result<(), String> {
        let step_ms = self.interval_ms.unwrap_or(interval_ms) as i64;
        for (series, values, line) in &self.series {
            let described = read_series(&format!("{series} {values}"));
            let (labels, items) = described.map_err(|why| format!("line {line}: {why}"))?;
            let times =
                (0_i64..).map(|at| self.start_ms.saturating_add(at.saturating_mul(step_ms)));
            for (time_ms, item) in times.zip(items) {
                match item {
                    SeriesItem::Nothing => {}
                    SeriesItem::Float(value) => memory.add(&labels, time_ms, value),
                    SeriesItem::Histogram(histogram) => {
                        memory.add_histogram(&labels, time_ms, histogram);
                    }
                }
            }
        }
        Ok(())
    }
}

impl AlertTest {
    fn check(&self, groups: &[Group]) -> Option<String> {
        let mut got: Vec<(Labels, Labels)> = groups
            .iter()
            .flat_map(|group| group.firing(&self.name))
            .collect();
        let wanted = self.expected.iter().map(|(labels, annotations)| {
            let labels = labels.to_builder().set(ALERT_NAME, &self.name).build();
            (labels, annotations.clone())
        });
        let mut wanted: Vec<(Labels, Labels)> = wanted.collect();
        got.sort();
        wanted.sort();
        let show = |alerts: &[(Labels, Labels)]| {
            let lines = alerts.iter().map(|(labels, annotations)| {
                format!("\n            Labels:{labels}\n            Annotations:{annotations}")
            });
            match alerts.is_empty() {
                true => "[]".to_owned(),
                false => lines.collect::<String>(),
            }
        };
        (got != wanted).then(|| {
            format!(
                "alertname: {}, time: {},\n        exp:{}\n        got:{}",
                self.name,
                show_duration_ms(self.at_ms),
                show(&wanted),
                show(&got)
            )
        })
    }
}

impl QueryTest {
    fn check(
        &self,
        store: &Store,
        start_ms: i64,
        options: &EvalOptions<'_>,
        fuzzy: bool,
    ) -> Option<String> {
        let time = show_duration_ms(self.at_ms);
        let told = |why: String| Some(format!("expr: {:?}, time: {time}, {why}", self.expr));
        let at = Timestamp::from_ms(start_ms.saturating_add(self.at_ms as i64));
        let mut got = match answer(&self.expr, store, at, options) {
            Ok(got) => got,
            Err(why) => return told(format!("err: {why}")),
        };
        let mut wanted = Vec::new();
        for sample in &self.expected {
            match sample.read() {
                Ok(read) => wanted.push(read),
                Err(why) => return told(format!("err: labels {:?}: {why}", sample.labels)),
            }
        }
        let by_labels = |a: &Sample, b: &Sample| a.0.cmp(&b.0);
        got.sort_by(by_labels);
        wanted.sort_by(by_labels);
        let same = |a: &Sample, b: &Sample| {
            a.0 == b.0 && a.2 == b.2 && (a.2.is_some() || equal(a.1, b.1, fuzzy))
        };
        let all = got.len() == wanted.len() && got.iter().zip(&wanted).all(|(a, b)| same(a, b));
        let show = |samples: &[Sample]| {
            let shown = samples.iter().map(|(labels, value, histogram)| {
                let value = histogram.clone().unwrap_or_else(|| value.to_string());
                format!("{labels} {value}")
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        match all {
            true => None,
            false => told(format!(
                "\n        exp: [{}]\n        got: [{}]",
                show(&wanted),
                show(&got)
            )),
        }
    }
}

/// Labels, value and, where it is one, a histogram as text.
type Sample = (Labels, f64, Option<String>);

fn equal(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (fuzzy && (a.next_down() == b || a.next_up() == b))
}

fn answer(
    expr: &str,
    store: &Store,
    at: Timestamp,
    options: &EvalOptions<'_>,
) -> Result<Vec<Sample>, String> {
    let query = Query::parse(expr, &options.features).map_err(|error| error.to_string())?;
    let answer = query.instant(&store.memory, at, options);
    match answer.map_err(|error| error.to_string())?.value {
        Value::Vector(elements) => Ok(elements
            .into_iter()
            .map(|one| {
                (
                    one.labels,
                    one.value,
                    one.histogram.map(|one| one.to_string()),
                )
            })
            .collect()),
        Value::Scalar(_, value) => Ok(vec![(Labels::empty(), value, None)]),
        Value::Matrix(_) | Value::String(..) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

impl Expected {
    fn read(&self) -> Result<Sample, String> {
        let labels = read_metric(&self.labels)?;
        if self.histogram.is_empty() {
            return Ok((labels, self.value, None));
        }
        let (_, items) = read_series(&format!("{{}} {}", self.histogram))?;
        match items.as_slice() {
            [SeriesItem::Histogram(histogram)] => Ok((labels, 0.0, Some(histogram.to_string()))),
            _ => Err(format!("{:?} is not one histogram", self.histogram)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
groups:
- name: slo
  rules:
  - record: pool:queue:sum
    expr: sum by (pool) (queue)
  - record: pool:queue:smoothed
    expr: avg_over_time(pool:queue:sum[3m])
  - alert: QueueIsLong
    expr: pool:queue:smoothed > 10
    for: 2m
    labels: {severity: page, zone: '{{ $externalLabels.zone }}'}
    annotations: {summary: "{{ $labels.pool }} holds {{ $value }}"}
"#;

    const TESTS: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- name: the queue grows
  interval: 1m
  external_labels: {zone: z}
  input_series:
  - {series: 'queue{pool="a", pod="1"}', values: '0+5x10'}
  - {series: 'queue{pool="a", pod="2"}', values: '0+5x10'}
  - {series: 'queue{pool="b", pod="3"}', values: '1x4 stale _x5'}
  alert_rule_test:
  - {eval_time: 3m, alertname: QueueIsLong, exp_alerts: []}
  - eval_time: 5m
    alertname: QueueIsLong
    exp_alerts:
    - exp_labels: {pool: a, severity: page, zone: z}
      exp_annotations: {summary: a holds 40}
  promql_expr_test:
  - expr: pool:queue:sum
    eval_time: 4m
    exp_samples:
    - {labels: 'pool:queue:sum{pool="a"}', value: 40}
    - {labels: 'pool:queue:sum{pool="b"}', value: 1}
  - expr: pool:queue:sum
    eval_time: 6m
    exp_samples: [{labels: 'pool:queue:sum{pool="a"}', value: 60}]
  - expr: ALERTS{alertstate="firing"}
    eval_time: 6m
    exp_samples:
    - labels: 'ALERTS{alertname="QueueIsLong", alertstate="firing", pool="a", severity="page", zone="z"}'
      value: 1
"#;

    fn report(tests: &str) -> TestReport {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!(
            "stillwell-rule-tests-{}-{number}",
            std::process::id()
        ));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        std::fs::write(folder.join("rules.yml"), RULES).expect("writable");
        let path = folder.join("tests.yml");
        std::fs::write(&path, tests).expect("writable");
        let report = run(&path, &Features::default());
        std::fs::remove_dir_all(&folder).ok();
        report
    }

    #[test]
    fn rules_in_a_chain_are_tested_step_by_step() {
        let report = report(TESTS);
        assert_eq!((report.passed, report.failures), (1, Vec::new()));
    }

    #[test]
    fn what_is_not_as_expected_is_told() {
        for (from, to, says) in [
            (
                "a holds 40",
                "a holds 41",
                "alertname: QueueIsLong, time: 5m",
            ),
            (
                "value: 60",
                "value: 61",
                "exp: [pool:queue:sum{pool=\"a\"} 61]",
            ),
            (
                "eval_time: 3m, alertname: QueueIsLong",
                "eval_time: 3m",
                "needs an alertname",
            ),
            ("'0+5x10'", "'0+5y10'", "line 9"),
            (
                "rule_files: [rules.yml]",
                "rule_files: ['none*.yml']",
                "got:[]",
            ),
            (
                "  interval: 1m",
                "  intervall: 1m",
                "did you mean interval?",
            ),
        ] {
            let report = report(&TESTS.replacen(from, to, 1));
            let all = report.failures.join("\n");
            assert!(all.contains(says), "{from} -> {to}: {all}");
        }
    }
}
