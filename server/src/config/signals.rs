//! `signals` and `external_metrics`: what scalers may ask for, by name.

use stillwell_engine::labels::Labels;
use stillwell_engine::promql::plan::ExprKind;
use stillwell_engine::promql::{Features, Query};
use stillwell_engine::signal::{Absent, Fallback, FallbackNumber, Names, Nan, Policy};

use stillwell_adapters::kubernetes::{self, Groups};

use super::labels::labels;
use super::schema::{Key, decode, read};
use super::units::duration_ms;
use crate::floor::Floor;
use crate::signal_spec::{SignalSpec, selector};
use crate::yaml::Report;
use crate::yaml::{Entry, Line, Node};

/// The `external_metrics` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalMetrics {
    /// Served API groups.
    pub groups: Groups,
    /// Groups for CPU and memory, where they are given; otherwise `metrics.k8s.io` where there are rules for it.
    pub resource_api_groups: Option<Vec<String>>,
    /// Also on the plain listener.
    pub insecure: bool,
    /// prometheus-adapter's rules.
    pub rules_files: Vec<String>,
    /// Where they are named.
    pub rules_line: Line,
}

impl Default for ExternalMetrics {
    fn default() -> ExternalMetrics {
        ExternalMetrics {
            groups: Groups {
                external: vec![kubernetes::EXTERNAL.to_owned()],
                custom: vec![kubernetes::CUSTOM.to_owned()],
                resource: Vec::new(),
            },
            resource_api_groups: None,
            insecure: false,
            rules_files: Vec::new(),
            rules_line: Line(1),
        }
    }
}

static SIGNAL: &[Key<SignalSpec>] = &[
    read("name", |entry, signal, report| {
        signal.name = report.text(&entry.value, "name").unwrap_or("").to_owned();
    }),
    read("expr", |entry, signal, report| {
        let expr = report.text(&entry.value, "expr").unwrap_or("");
        signal.expr = expr.trim().to_owned();
    }),
    read("namespaces", |entry, signal, report| {
        signal.namespaces = report.texts(entry);
    }),
    read("labels", |entry, signal, report| {
        signal.labels = labels(entry, report);
    }),
    read("jobs", |entry, signal, report| {
        signal.policy.jobs = report.texts(entry);
    }),
    read("absent", |entry, signal, report| {
        let absent = report.parsed(entry, |text| match text {
            "auto" => Ok(Absent::Auto),
            "zero" | "0" => Ok(Absent::Zero),
            "unknown" => Ok(Absent::Unknown),
            _ => Err(format!("{text:?} is not auto, zero or unknown")),
        });
        signal.policy.absent = absent.unwrap_or_default();
    }),
    read("nan", |entry, signal, report| {
        let nan = report.parsed(entry, |text| match text {
            "unknown" => Ok(Nan::Unknown),
            "zero" | "0" => Ok(Nan::Zero),
            "last" => Ok(Nan::Last),
            _ => Err(format!("{text:?} is not unknown, zero or last")),
        });
        signal.policy.nan = nan.unwrap_or_default();
    }),
    read("selector", |entry, signal, report| {
        signal.sanitized = report.parsed(entry, selector).unwrap_or(false);
    }),
    read("fallback", |entry, signal, report| {
        signal.policy.fallback = fallback(&entry.value, report);
    }),
    read("floor", |entry, signal, report| {
        let floors = report.items(entry).iter();
        signal.floors = floors.filter_map(|node| floor(node, report)).collect();
    }),
    read("for_each", |entry, signal, report| {
        signal.for_each = report.texts(entry);
    }),
    read("hold", |entry, signal, report| {
        signal.policy.hold_ms = report.parsed(entry, signed_ms);
    }),
    read("restart_grace", |entry, signal, report| {
        let policy = &mut signal.policy;
        let grace_ms = report.parsed(entry, signed_ms);
        policy.restart_grace_ms = grace_ms.unwrap_or(policy.restart_grace_ms);
    }),
];

/// `fallback`: what is told of a signal that stays unknown.
fn fallback(node: &Node, report: &mut Report) -> Option<Fallback> {
    static FALLBACK: &[Key<(Option<i64>, Option<Told>)>] = &[
        read("after", |entry, (after_ms, _), report| {
            *after_ms = report.parsed(entry, signed_ms);
        }),
        read("value", |entry, (_, told), report| {
            *told = report.parsed(entry, Told::parse);
        }),
    ];
    let mut given = (None, None);
    decode(node, "fallback", &[&FALLBACK], &mut given, report);
    let (Some(after_ms), Some(told)) = given else {
        report.error(
            node.line,
            "fallback needs after and value, for example {after: 5m, value: 3}",
        );
        return None;
    };
    match told {
        Told::Number(number) => Some(Fallback { after_ms, number }),
        Told::Error => None,
    }
}

/// `value` of a fallback.
enum Told {
    Number(FallbackNumber),
    /// An error keeps the replicas of an HPA, which is what every signal that is unknown is told as.
    Error,
}

impl Told {
    fn parse(text: &str) -> Result<Told, String> {
        match text {
            "last" => Ok(Told::Number(FallbackNumber::Last)),
            "replicas-preserving" => Ok(Told::Error),
            _ => match number(text) {
                Ok(value) => Ok(Told::Number(FallbackNumber::Fixed(value))),
                Err(_) => Err(format!(
                    "{text:?} is not a number, last or replicas-preserving"
                )),
            },
        }
    }
}

/// A number that a Kubernetes quantity can carry, and that means something to a scaler.
fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=9.2e15).contains(&value) => Ok(value),
        _ => Err(format!("{text:?} is not a number from 0 to 9.2e15")),
    }
}

/// One entry of `floor`.
fn floor(node: &Node, report: &mut Report) -> Option<Floor> {
    #[derive(Default)]
    struct Given {
        value: Option<f64>,
        start: String,
        end: String,
        timezone: String,
    }
    static FLOOR: &[Key<Given>] = &[
        read("value", |entry, given, report| {
            given.value = report.parsed(entry, number);
        }),
        read("start", |entry, given, report| {
            given.start = report.string(entry);
        }),
        read("end", |entry, given, report| {
            given.end = report.string(entry);
        }),
        read("timezone", |entry, given, report| {
            given.timezone = report.string(entry);
        }),
    ];
    let mut given = Given::default();
    decode(node, "floor", &[&FLOOR], &mut given, report);
    let Given {
        value: Some(value),
        start,
        end,
        timezone,
    } = given
    else {
        report.error(
            node.line,
            "floor needs value, start, end and timezone, for example {value: 2, start: \"50 8 * * 1-5\", \
             end: \"0 18 * * 1-5\", timezone: Europe/Berlin}",
        );
        return None;
    };
    let timezone = if timezone.is_empty() {
        "UTC"
    } else {
        &timezone
    };
    match Floor::new(value, &start, &end, timezone) {
        Ok(floor) => Some(floor),
        Err(why) => {
            report.error(node.line, format!("floor: {why}"));
            None
        }
    }
}

fn signed_ms(text: &str) -> Result<i64, String> {
    duration_ms(text).and_then(|ms| i64::try_from(ms).map_err(|error| error.to_string()))
}

pub(super) fn signal(node: &Node, report: &mut Report) -> SignalSpec {
    let mut signal = SignalSpec {
        name: String::new(),
        expr: String::new(),
        namespaces: Vec::new(),
        labels: Labels::empty(),
        policy: Policy::default(),
        line: Line(node.line),
        from_rules: false,
        sanitized: false,
        floors: Vec::new(),
        for_each: Vec::new(),
    };
    decode(node, "a signal", &[&SIGNAL], &mut signal, report);
    if signal.name.is_empty() {
        report.error(node.line, "a signal needs a name");
    } else if matches!(signal.name.as_str(), "." | "..")
        || signal.name.contains(['/', '%', '?', '#'])
    {
        let name = &signal.name;
        report.error(
            node.line,
            format!(
                "signal {name:?}: a name is one piece of a URL, without / % ? # and not . or .."
            ),
        );
    } else if signal.name.chars().any(char::is_uppercase) {
        let name = &signal.name;
        report.warn(
            node.line,
            format!(
                "signal {name:?}: the HPA asks for it in lower case; case is not looked at here"
            ),
        );
    }
    check_for_each(&signal, report);
    if signal.expr.is_empty() {
        report.error(node.line, format!("signal {:?} needs an expr", signal.name));
    }
    signal
}

/// A signal can be read for each value of a label only where its elements have it.
fn check_for_each(signal: &SignalSpec, report: &mut Report) {
    let Ok(query) = Query::parse(&signal.expr, &Features::all()) else {
        return; // said where it is registered
    };
    let ExprKind::Aggregate(aggregate) = &query.plan().kind else {
        return;
    };
    for label in &signal.for_each {
        let listed = aggregate.grouping.iter().any(|one| **one == **label);
        if listed == aggregate.without {
            report.error(
                signal.line.0,
                format!(
                    "signal {:?}: for_each names {label:?}, which its query aggregates away: group by it, `by ({label})`",
                    signal.name
                ),
            );
        }
    }
}

static NAMES: &[Key<Names>] = &[
    read("demand", |entry, names, report| {
        names.demand = report.texts(entry);
    }),
    read("witnesses", |entry, names, report| {
        for item in report.items(entry) {
            names.witnesses.push(witness(item, report));
        }
    }),
];

/// `signal_names`: families that measure demand, and metrics that prove that a gateway would show another (S4, S7).
pub(super) fn names(node: &Node, report: &mut Report) -> Names {
    let mut names = Names::default();
    decode(node, "signal_names", &[&NAMES], &mut names, report);
    names
}

fn witness(node: &Node, report: &mut Report) -> (String, String) {
    static WITNESS: &[Key<(String, String)>] = &[
        read("family", |entry, (family, _), report| {
            *family = report.text(&entry.value, "family").unwrap_or("").to_owned();
        }),
        read("witness", |entry, (_, witness), report| {
            *witness = report
                .text(&entry.value, "witness")
                .unwrap_or("")
                .to_owned();
        }),
    ];
    let mut pair = (String::new(), String::new());
    decode(node, "a witness", &[&WITNESS], &mut pair, report);
    if pair.0.is_empty() || pair.1.is_empty() {
        report.error(
            node.line,
            "a witness needs family and witness, both metric names",
        );
    }
    pair
}

static EXTERNAL: &[Key<ExternalMetrics>] = &[
    read("api_groups", |entry, section, report| {
        section.groups.external = groups(entry, report);
        if section.groups.external.is_empty() {
            report.error(
                entry.line,
                "api_groups: at least one group, or leave the key out",
            );
        }
    }),
    read("custom_api_groups", |entry, section, report| {
        section.groups.custom = groups(entry, report);
    }),
    read("resource_api_groups", |entry, section, report| {
        section.resource_api_groups = Some(groups(entry, report));
    }),
    read("insecure", |entry, section, report| {
        section.insecure = report.flag(entry).unwrap_or(false);
    }),
    read("rules_files", |entry, section, report| {
        section.rules_files = report.texts(entry);
        section.rules_line = Line(entry.line);
    }),
];

pub(super) fn external_metrics(node: &Node, report: &mut Report) -> ExternalMetrics {
    let mut section = ExternalMetrics::default();
    decode(node, "external_metrics", &[&EXTERNAL], &mut section, report);
    let Groups {
        external, custom, ..
    } = &section.groups;
    let resource = section.resource_api_groups.iter().flatten();
    let all: Vec<&String> = external.iter().chain(custom).chain(resource).collect();
    let twice = (1..all.len()).find(|&at| all[..at].contains(&all[at]));
    if let Some(at) = twice {
        let both = all[at];
        report.error(
            node.line,
            format!(
                "external_metrics: {both:?} is in two of api_groups, custom_api_groups and resource_api_groups; a group \
                 holds one kind"
            ),
        );
    }
    section
}

/// Names of API groups: DNS names, a piece of a URL.
fn groups(entry: &Entry, report: &mut Report) -> Vec<String> {
    let groups = report.texts(entry);
    for group in &groups {
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let short = group.len() <= GROUP_BYTES_MAX;
        if !short || !group.contains('.') || !group.chars().all(plain) {
            report.error(
                entry.line,
                format!(
                    "{}: {group:?} is no name of an API group, such as {}",
                    entry.key,
                    kubernetes::EXTERNAL
                ),
            );
        }
    }
    groups
}

/// A DNS name's length.
const GROUP_BYTES_MAX: usize = 253;
