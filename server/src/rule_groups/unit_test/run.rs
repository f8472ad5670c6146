//! A file of tests run: its rules are evaluated step by step over the series that a test gives.

use std::path::Path;

use stillwell_engine::promql::script::{MemoryView, SeriesItem, read_series};
use stillwell_engine::promql::select::View;
use stillwell_engine::promql::{EvalOptions, Features};
use stillwell_engine::{AppendedSeries, Timestamp};

use super::file::{Test, test_file};
use crate::config::Report;
use crate::config::units::show_duration_ms;
use crate::rule_groups::file::load;
use crate::rule_groups::group::{Environment, Group, RuleStore};
use crate::yaml;

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
            failures.extend(test.check(&store.memory, self.start_ms, &environment.options, fuzzy));
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
