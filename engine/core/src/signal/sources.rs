//! S4b: which labels say that a page tells of several sources behind its target, as a collector's does. Each of them may be
//! down while the page is good, and may have counted long before the target started.

use super::assessment::Assessment;
use super::facts::TargetFacts;
use super::names::names_source;

/// Whether a label of a metric's series on a target names a source behind it. A label of the target itself names none, nor
/// does one that the names table gives the family, which is the process' own word (Ray Serve's `deployment`).
pub(super) fn is_source_behind(
    assessment: Assessment<'_>,
    target: &TargetFacts,
    metric: Option<&str>,
    label: &str,
) -> bool {
    let named = metric.and_then(|metric| assessment.names.family(metric));
    let is_own = named.is_some_and(|(_, name, _)| name.may_have(label));
    names_source(label) && !is_own && target.constant_label(label).is_none()
}
