//! Rule files: groups of rules, every mistake with its line.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use stillwell_engine::labels::{Labels, METRIC_NAME};
use stillwell_engine::promql::{Features, Query};

use super::template;
use crate::config::schema::{Key, decode, read};
use crate::config::units::duration_ms;
use crate::config::{Problem, Report, label_map};
use crate::files;
use crate::yaml::{Entry, Kind, Node};

/// Files of all patterns.
const FILES_MAX: usize = 10_000;
/// Faster than this and rules cost more than the pages that they read.
const INTERVAL_MS_MIN: u64 = 100;

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFile {
    /// As the pattern named it; the kind and name of an object of a cluster.
    pub path: String,
    /// Its groups.
    pub groups: Vec<GroupSpec>,
}

impl RuleFile {
    /// The rules in all of its groups.
    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }
}

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSpec {
    /// Once in its file.
    pub name: String,
    /// Where it is from.
    pub file: String,
    /// Between two evaluations, where it is given.
    pub interval_ms: Option<u64>,
    /// Evaluated this long before now, where it is given.
    pub query_offset_ms: Option<u64>,
    /// Series or alerts that a rule may yield; 0 is any number.
    pub limit: u64,
    /// The rules.
    pub rules: Vec<RuleSpec>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// The series or the alert.
    pub name: String,
    /// PromQL, as written.
    pub expr: String,
    /// The same, read; a rule whose query does not read is refused.
    pub query: Option<Query>,
    /// Added to what it yields; templates in an alert.
    pub labels: Labels,
    /// What it makes of its query.
    pub kind: RuleKindSpec,
    /// Where it stands.
    pub line: usize,
}

/// What a rule makes of its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKindSpec {
    /// A series.
    Record,
    /// An alert per element.
    Alert {
        /// How long an element must be there.
        for_ms: u64,
        /// How long it fires on without one.
        keep_firing_for_ms: u64,
        /// Templates.
        annotations: Labels,
    },
}

impl PartialEq for RuleSpec {
    fn eq(&self, other: &RuleSpec) -> bool {
        // The query follows from its text.
        (&self.name, &self.expr, &self.labels, &self.kind)
            == (&other.name, &other.expr, &other.labels, &other.kind)
    }
}

/// Reads every file that fits one of the patterns, which are relative to `base`. Problems are reported on `line`.
pub fn load(
    patterns: &[String],
    base: &Path,
    line: usize,
    features: &Features,
    report: &mut Report,
) -> Vec<RuleFile> {
    let (mut files, mut seen) = (Vec::new(), HashSet::new());
    for path in matching(patterns, base, FILES_MAX, line, report) {
        let name = path.display().to_string();
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut own = Report::default();
        let file = read_file(&path, features, &mut own);
        let told = |problem: Problem| Problem::new(line, format!("{name}: {problem}"));
        report.errors.extend(own.errors.into_iter().map(told));
        report.warnings.extend(own.warnings.into_iter().map(told));
        files.push(file);
    }
    files
}

/// The files that the patterns name. One that is no pattern must be there.
fn matching(
    patterns: &[String],
    base: &Path,
    files_max: usize,
    line: usize,
    report: &mut Report,
) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for pattern in patterns {
        let whole = base.join(pattern);
        match glob::glob(&whole.to_string_lossy()) {
            Ok(found) => {
                let before = paths.len();
                let more = found.filter_map(Result::ok);
                paths.extend(more.take(files_max + 1 - before));
                if paths.len() > files_max {
                    let why = format!("rule_files: {pattern:?}: more than {files_max} files");
                    report.error(line, why);
                    return Vec::new();
                }
                if paths.len() == before && !pattern.contains(['*', '?', '[']) {
                    report.warn(
                        line,
                        format!("{}: there is no such rule file", whole.display()),
                    );
                }
            }
            Err(error) => report.error(line, format!("rule_files: {pattern:?}: {error}")),
        }
    }
    paths
}

/// Reads one file. What is wrong in it is reported with its lines.
pub fn read_file(path: &Path, features: &Features, report: &mut Report) -> RuleFile {
    let name = path.display().to_string();
    let mut file = RuleFile {
        path: name.clone(),
        groups: Vec::new(),
    };
    match files::read(path) {
        Ok(text) => file.groups = read_text(&text, &name, features, report),
        Err(why) => report.error(1, why),
    }
    file
}

/// Reads the text of a file of this name. What is wrong in it is reported with its lines.
pub fn read_text(
    text: &str,
    file: &str,
    features: &Features,
    report: &mut Report,
) -> Vec<GroupSpec> {
    match report.first_document(text) {
        Some(tree) => groups(&tree, file, features, report),
        None => Vec::new(),
    }
}

fn groups(tree: &Node, file: &str, features: &Features, report: &mut Report) -> Vec<GroupSpec> {
    static FILE: &[Key<Vec<Node>>] = &[read("groups", |entry, nodes, report| {
        nodes.extend_from_slice(report.items(entry));
    })];
    let mut nodes = Vec::new();
    decode(tree, "a rule file", &[&FILE], &mut nodes, report);
    let mut groups: Vec<GroupSpec> = Vec::new();
    for node in &nodes {
        let mut draft = GroupDraft::default();
        decode(node, "a group", &[&GROUP], &mut draft, report);
        let mut group = draft.group;
        file.clone_into(&mut group.file);
        if group.name.is_empty() {
            report.error(node.line, "a group needs a name");
        }
        if groups.iter().any(|first| first.name == group.name) {
            let name = &group.name;
            report.error(node.line, format!("a second group {name:?} in this file"));
        }
        for node in &draft.rules {
            let rule = rule(node, &draft.labels, features, report);
            group.rules.push(rule);
        }
        groups.push(group);
    }
    groups
}

#[derive(Default)]
struct GroupDraft {
    group: GroupSpec,
    labels: Labels,
    rules: Vec<Node>,
}

static GROUP: &[Key<GroupDraft>] = &[
    read("name", |entry, draft, report| {
        draft.group.name = report.string(entry);
    }),
    read("interval", |entry, draft, report| {
        let ms = report.parsed(entry, duration_ms).filter(|ms| *ms > 0);
        if ms.is_some_and(|ms| ms < INTERVAL_MS_MIN) {
            report.warn(entry.line, "the shortest interval of a group is 100ms");
        }
        draft.group.interval_ms = ms.map(|ms| ms.max(INTERVAL_MS_MIN));
    }),
    read("query_offset", |entry, draft, report| {
        draft.group.query_offset_ms = report.parsed(entry, duration_ms);
    }),
    read("limit", |entry, draft, report| {
        draft.group.limit = report.number(entry).unwrap_or(0);
    }),
    read("labels", |entry, draft, report| {
        draft.labels = label_map(entry, report);
        check_names(entry, &draft.labels, report);
    }),
    read("rules", |entry, draft, report| {
        draft.rules = report.items(entry).to_vec();
    }),
];

#[derive(Default)]
struct RuleDraft {
    record: String,
    alert: String,
    expr: String,
    for_ms: Option<u64>,
    keep_ms: Option<u64>,
    labels: Labels,
    annotations: Option<Labels>,
}

static RULE: &[Key<RuleDraft>] = &[
    read("record", |entry, draft, report| {
        draft.record = report.string(entry);
    }),
    read("alert", |entry, draft, report| {
        draft.alert = report.string(entry);
    }),
    read("expr", |entry, draft, report| {
        draft.expr = report.string(entry);
    }),
    read("for", |entry, draft, report| {
        draft.for_ms = report.parsed(entry, duration_ms);
    }),
    read("keep_firing_for", |entry, draft, report| {
        draft.keep_ms = report.parsed(entry, duration_ms);
    }),
    read("labels", |entry, draft, report| {
        draft.labels = label_map(entry, report);
        check_names(entry, &draft.labels, report);
    }),
    read("annotations", |entry, draft, report| {
        let given = !matches!(entry.value.kind, Kind::Null);
        draft.annotations = given.then(|| label_map(entry, report));
    }),
];

fn rule(node: &Node, group_labels: &Labels, features: &Features, report: &mut Report) -> RuleSpec {
    let mut draft = RuleDraft::default();
    decode(node, "a rule", &[&RULE], &mut draft, report);
    let line = node.line;
    let named = match (draft.record.is_empty(), draft.alert.is_empty()) {
        (false, false) => Err("a rule has either record or alert"),
        (true, true) => Err("a rule needs record or alert"),
        _ => Ok(()),
    };
    if let Err(why) = named {
        report.error(line, why);
    }
    let query = match draft.expr.trim() {
        "" => {
            report.error(line, "a rule needs an expr");
            None
        }
        expr => match Query::parse(expr, features) {
            Ok(query) => Some(query),
            Err(error) => {
                let line = line_of(node, "expr").unwrap_or(line);
                report.error(line, format!("expr: {error}"));
                None
            }
        },
    };
    let mut labels = group_labels.to_builder();
    for (name, value) in draft.labels.iter() {
        labels.set(name, value);
    }
    let labels = labels.build();
    let kind = if draft.alert.is_empty() {
        check_record(&draft, line, report);
        RuleKindSpec::Record
    } else {
        let annotations = draft.annotations.unwrap_or_default();
        check_templates(&labels, &annotations, line, report);
        RuleKindSpec::Alert {
            for_ms: draft.for_ms.unwrap_or(0),
            keep_firing_for_ms: draft.keep_ms.unwrap_or(0),
            annotations,
        }
    };
    RuleSpec {
        name: if draft.alert.is_empty() {
            draft.record
        } else {
            draft.alert
        },
        expr: draft.expr.trim().to_owned(),
        query,
        labels,
        kind,
        line,
    }
}

fn check_record(draft: &RuleDraft, line: usize, report: &mut Report) {
    for (key, given) in [
        ("annotations", draft.annotations.is_some()),
        ("for", draft.for_ms.is_some()),
        ("keep_firing_for", draft.keep_ms.is_some()),
    ] {
        if given {
            report.error(line, format!("{key} belongs to an alert, not to a record"));
        }
    }
    if draft.record.contains(['{', '}']) {
        let name = &draft.record;
        report.error(
            line,
            format!("record {name:?} has braces; it is a name, and what selects goes into expr"),
        );
    }
}

fn check_templates(labels: &Labels, annotations: &Labels, line: usize, report: &mut Report) {
    for (kind, all) in [("label", labels), ("annotation", annotations)] {
        for (name, value) in all.iter() {
            if let Err(error) = template::check(value) {
                report.error(line, format!("{kind} {name}: {error}"));
            }
        }
    }
}

fn check_names(entry: &Entry, labels: &Labels, report: &mut Report) {
    if labels.get(METRIC_NAME).is_some() {
        report.error(
            entry.line,
            "labels cannot hold __name__: the name is that of the record",
        );
    }
}

fn line_of(node: &Node, key: &str) -> Option<usize> {
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.line),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<GroupSpec>, Vec<String>) {
        let mut report = Report::default();
        let groups = read_text(text, "f", &Features::default(), &mut report);
        let errors = report.errors.iter().map(ToString::to_string).collect();
        (groups, errors)
    }

    /// With 100,000 files that a pattern fits the process had not started after 35 s, without a word.
    #[test]
    fn a_pattern_that_fits_too_many_files_is_refused() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rule_groups");
        let patterns = ["*.rs".to_owned()];
        for (files_max, is_refused) in [(2, true), (10_000, false)] {
            let mut report = Report::default();
            let paths = matching(&patterns, &base, files_max, 7, &mut report);
            let errors: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
            assert_eq!(
                (paths.is_empty(), errors.len()),
                (is_refused, usize::from(is_refused))
            );
            assert!(
                errors.iter().all(|why| why.contains("more than 2 files")),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn every_key_of_a_rule_file_is_read() {
        let text = r#"
groups:
- name: g
  interval: 250ms
  query_offset: 1s
  limit: 5
  labels: {team: a, tier: x}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {tier: y}
  - alert: Down
    expr: up == 0
    for: 1m
    keep_firing_for: 2m
    annotations: {summary: "{{ $labels.job }} is down"}
"#;
        let (groups, errors) = told(text);
        assert!(errors.is_empty(), "{errors:?}");
        let group = &groups[0];
        assert_eq!(
            (group.interval_ms, group.query_offset_ms, group.limit),
            (Some(250), Some(1_000), 5)
        );
        let [record, alert] = group.rules.as_slice() else {
            panic!("{:?}", group.rules);
        };
        assert_eq!(record.labels.to_string(), r#"{team="a", tier="y"}"#);
        assert_eq!(
            (record.kind.clone(), alert.line),
            (RuleKindSpec::Record, 12)
        );
        let RuleKindSpec::Alert {
            for_ms,
            keep_firing_for_ms,
            ..
        } = alert.kind
        else {
            panic!("{alert:?}");
        };
        assert_eq!((for_ms, keep_firing_for_ms), (60_000, 120_000));
    }

    #[test]
    fn mistakes_have_lines() {
        let rule = |keys: &str| format!("groups:\n- name: g\n  rules:\n  - {keys}\n");
        for (text, says) in [
            (
                "groups:\n- rules: []\n".to_owned(),
                "line 2: a group needs a name",
            ),
            (
                "groups:\n- name: g\n- name: g\n".to_owned(),
                "line 3: a second group",
            ),
            (
                "groups:\n- {name: g, intervall: 1s}\n".to_owned(),
                "did you mean interval?",
            ),
            (rule("{expr: up}"), "line 4: a rule needs record or alert"),
            (
                rule("{record: a, alert: b, expr: up}"),
                "either record or alert",
            ),
            (rule("{record: a}"), "needs an expr"),
            (
                rule("{record: a, expr: 'sum('}"),
                "line 4: expr: 1:5: parse error",
            ),
            (
                rule("{record: a, expr: up, for: 1m}"),
                "for belongs to an alert",
            ),
            (rule("{record: 'a{b=\"c\"}', expr: up}"), "has braces"),
            (
                rule("{record: a, expr: up, labels: {__name__: x}}"),
                "cannot hold __name__",
            ),
            (
                rule("{alert: a, expr: up, annotations: {s: '{{ $value'}}"),
                "annotation s: template",
            ),
            (
                rule("{alert: a, expr: up, labels: {s: '{{ nosuch }}'}}"),
                "no function nosuch",
            ),
        ] {
            let (_, errors) = told(&text);
            assert!(
                errors.iter().any(|error| error.contains(says)),
                "{text}: {errors:?}"
            );
        }
    }
}
