//! `static_configs`: targets of the file itself.

use stillwell_engine::labels::Labels;

use crate::config::labels::labels;
use crate::config::schema::{Key, decode, read};
use crate::yaml::{Entry, Line, Report};

/// One entry of `static_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticGroup {
    /// `host:port` each.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
    /// Where it stands.
    pub line: Line,
}

pub(super) fn static_groups(entry: &Entry, report: &mut Report) -> Vec<StaticGroup> {
    static GROUP: &[Key<StaticGroup>] = &[
        read("targets", |entry, group, report| {
            group.targets = report.texts(entry);
        }),
        read("labels", |entry, group, report| {
            group.labels = labels(entry, report);
        }),
    ];
    let mut groups = Vec::new();
    for item in report.sections(entry) {
        let mut group = StaticGroup {
            targets: Vec::new(),
            labels: Labels::empty(),
            line: Line(item.line),
        };
        decode(item, "a static_config", &[&GROUP], &mut group, report);
        groups.push(group);
    }
    groups
}
