//! A file of rule tests, and its keys.

use std::collections::BTreeMap;

use stillwell_engine::Timestamp;
use stillwell_engine::labels::{Labels, LabelsBuilder};

use crate::config::schema::{Key, decode, read};
use crate::config::units::duration_ms;
use crate::config::{Report, label_map};
use crate::yaml::Node;

/// A file of tests.
#[derive(Default)]
pub(super) struct TestFile {
    pub(super) rule_files: Vec<String>,
    pub(super) interval_ms: Option<u64>,
    pub(super) order: Vec<String>,
    pub(super) fuzzy: bool,
    pub(super) tests: Vec<Test>,
}

/// One test: series that are given, and what is expected of the rules.
#[derive(Default)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) interval_ms: Option<u64>,
    pub(super) series: Vec<(String, String, usize)>,
    pub(super) alerts: Vec<AlertTest>,
    pub(super) queries: Vec<QueryTest>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
    pub(super) start_ms: i64,
}

/// Which alerts fire at a time.
#[derive(Default)]
pub(super) struct AlertTest {
    pub(super) at_ms: u64,
    pub(super) name: String,
    pub(super) expected: Vec<(Labels, Labels)>,
}

/// What a query yields at a time.
#[derive(Default)]
pub(super) struct QueryTest {
    pub(super) at_ms: u64,
    pub(super) expr: String,
    pub(super) expected: Vec<Expected>,
}

/// An element of what it yields.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) labels: String,
    pub(super) value: f64,
    pub(super) histogram: String,
}

static FILE: &[Key<TestFile>] = &[
    read("rule_files", |entry, file, report| {
        file.rule_files = report.texts(entry);
    }),
    read("evaluation_interval", |entry, file, report| {
        file.interval_ms = report.parsed(entry, duration_ms).filter(|ms| *ms > 0);
    }),
    read("group_eval_order", |entry, file, report| {
        file.order = report.texts(entry);
    }),
    read("fuzzy_compare", |entry, file, report| {
        file.fuzzy = report.flag(entry).unwrap_or(false);
    }),
    read("tests", |entry, file, report| {
        for item in report.items(entry) {
            file.tests.push(test(item, report));
        }
    }),
];

pub(super) fn test_file(tree: &Node, report: &mut Report) -> TestFile {
    let mut file = TestFile::default();
    decode(tree, "a file of rule tests", &[&FILE], &mut file, report);
    let mut seen = BTreeMap::new();
    for name in &file.order {
        if seen.insert(name.clone(), ()).is_some() {
            report.error(
                1,
                format!("group name repeated in evaluation order: {name}"),
            );
        }
    }
    file
}

static TEST: &[Key<Test>] = &[
    read("name", |entry, test, report| {
        test.name = report.string(entry);
    }),
    read("interval", |entry, test, report| {
        test.interval_ms = report.parsed(entry, duration_ms).filter(|ms| *ms > 0);
    }),
    read("input_series", |entry, test, report| {
        for item in report.items(entry) {
            static SERIES: &[Key<(String, String)>] = &[
                read("series", |entry, (series, _), report| {
                    *series = report.string(entry);
                }),
                read("values", |entry, (_, values), report| {
                    *values = report.string(entry);
                }),
            ];
            let mut pair = (String::new(), String::new());
            decode(item, "an input series", &[&SERIES], &mut pair, report);
            test.series.push((pair.0, pair.1, item.line));
        }
    }),
    read("alert_rule_test", |entry, test, report| {
        for item in report.items(entry) {
            test.alerts.push(alert_test(item, report));
        }
    }),
    read("promql_expr_test", |entry, test, report| {
        for item in report.items(entry) {
            test.queries.push(query_test(item, report));
        }
    }),
    read("external_labels", |entry, test, report| {
        test.external_labels = label_map(entry, report);
    }),
    read("external_url", |entry, test, report| {
        test.external_url = report.string(entry);
    }),
    read("start_timestamp", |entry, test, report| {
        let start = report.parsed(entry, |text| {
            let seconds = text.parse::<f64>().ok();
            let ms = seconds.map(|seconds| (seconds * 1000.0) as i64);
            let rfc3339 = || stillwell_adapters::time::parse_rfc3339(text).map(Timestamp::ms);
            ms.or_else(rfc3339)
                .ok_or_else(|| format!("{text:?} is neither seconds nor an RFC 3339 time"))
        });
        test.start_ms = start.unwrap_or(0);
    }),
];

fn test(node: &Node, report: &mut Report) -> Test {
    let mut test = Test::default();
    decode(node, "a test", &[&TEST], &mut test, report);
    test
}

fn alert_test(node: &Node, report: &mut Report) -> AlertTest {
    static ALERT: &[Key<AlertTest>] = &[
        read("eval_time", |entry, test, report| {
            test.at_ms = report.parsed(entry, duration_ms).unwrap_or(0);
        }),
        read("alertname", |entry, test, report| {
            test.name = report.string(entry);
        }),
        read("exp_alerts", |entry, test, report| {
            for item in report.items(entry) {
                static EXPECTED: &[Key<(Labels, Labels)>] = &[
                    read("exp_labels", |entry, (labels, _), report| {
                        *labels = label_map(entry, report);
                    }),
                    read("exp_annotations", |entry, (_, annotations), report| {
                        *annotations = label_map(entry, report);
                    }),
                ];
                let mut pair = (LabelsBuilder::default().build(), Labels::empty());
                decode(item, "an expected alert", &[&EXPECTED], &mut pair, report);
                test.expected.push(pair);
            }
        }),
    ];
    let mut test = AlertTest::default();
    decode(node, "an alert_rule_test", &[&ALERT], &mut test, report);
    if test.name.is_empty() {
        report.error(node.line, "an alert_rule_test needs an alertname");
    }
    test
}

fn query_test(node: &Node, report: &mut Report) -> QueryTest {
    static QUERY: &[Key<QueryTest>] = &[
        read("expr", |entry, test, report| {
            test.expr = report.string(entry);
        }),
        read("eval_time", |entry, test, report| {
            test.at_ms = report.parsed(entry, duration_ms).unwrap_or(0);
        }),
        read("exp_samples", |entry, test, report| {
            for item in report.items(entry) {
                static SAMPLE: &[Key<Expected>] = &[
                    read("labels", |entry, sample, report| {
                        sample.labels = report.string(entry);
                    }),
                    read("value", |entry, sample, report| {
                        let value = report.parsed(entry, number);
                        sample.value = value.unwrap_or(0.0);
                    }),
                    read("histogram", |entry, sample, report| {
                        sample.histogram = report.string(entry);
                    }),
                ];
                let mut sample = Expected::default();
                decode(item, "an expected sample", &[&SAMPLE], &mut sample, report);
                test.expected.push(sample);
            }
        }),
    ];
    let mut test = QueryTest::default();
    decode(node, "a promql_expr_test", &[&QUERY], &mut test, report);
    test
}

/// A number in YAML's spellings.
fn number(text: &str) -> Result<f64, String> {
    match text.to_ascii_lowercase().as_str() {
        ".inf" | "+.inf" => Ok(f64::INFINITY),
        "-.inf" => Ok(f64::NEG_INFINITY),
        ".nan" => Ok(f64::NAN),
        other => {
            let plain = other.replace('_', "");
            let hex = plain
                .strip_prefix("0x")
                .map(|digits| i64::from_str_radix(digits, 16));
            match hex {
                Some(Ok(value)) => Ok(value as f64),
                _ => plain
                    .parse()
                    .map_err(|_| format!("{text:?} is not a number")),
            }
        }
    }
}
