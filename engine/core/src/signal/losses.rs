//! S4 for any number: whether something of what a query reads is missing from it. A page may have lost what its process has
//! shown, samples may have no series of their own, and whoever writes a page may know that a value is not known.

use crate::limits::REMEMBERED_METRICS_MAX;
use crate::scrape::REPORT;

use super::assessment::{Assessment, describe};
use super::carried;
use super::facts::{TargetFacts, WhyLeftOut, may_fit};
use super::names::TableMetric;
use super::policy::Absent;
use super::query::{Selector, SignalQuery};
use super::scope::{self, Scope};
use super::shown::{ShownOnce, has_series, read_of, reads, reads_page, shows, shows_metric};

/// S2b: the reason, if the query reads a series of which whoever writes the page knows that its value is not known.
pub(super) fn not_known<'a>(
    assessment: Assessment<'a>,
    scope: &'a Scope,
    query: &'a SignalQuery,
) -> Option<&'a str> {
    let not_known = with_losses(assessment, scope).flat_map(|target| {
        let sources = target.sources.not_known();
        let all = [&target.not_known, sources, target.replicated.not_known()];
        all.map(|not_known| (target, not_known))
    });
    let mut not_known = not_known.filter(|(_, one)| !one.is_empty());
    not_known.find_map(|(target, not_known)| {
        read_of(assessment, target, query).find_map(|selector| {
            let pinned = carried::conditions(&selector.carried, assessment.pins);
            let conditions = || selector.matchers.iter().chain(&pinned);
            not_known.find(
                |metric| reads(assessment, selector, metric),
                |labels| may_fit(labels, conditions()),
            )
        })
    })
}

/// S4: nothing of what the query reads is missing from its number. Costs nothing while no target has lost anything.
pub(super) fn nothing_is_missing(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
    absent: Absent,
) -> Result<(), String> {
    nothing_is_left_out(assessment, scope, query)?;
    match absent {
        Absent::Zero => Ok(()),
        Absent::Auto | Absent::Unknown => nothing_is_lost(assessment, scope, query),
    }
}

/// S4a for any number: no target that counts has lost a family that its process has shown, for what the others show would be
/// told for all of them. Costs nothing while no target has lost anything, else a look at each target that counts.
fn nothing_is_lost(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Result<(), String> {
    for target in with_losses(assessment, scope) {
        if target.is_empty
            && let Some(selector) = read_of(assessment, target, query).next()
        {
            return Err(format!(
                "the page of {} is empty: nothing is known of its {}",
                describe(target),
                selector.text()
            ));
        }
        let shown = ShownOnce::new(assessment, target, query);
        for selector in read_of(assessment, target, query) {
            if let Some(lost) = lost_of_table(assessment, target, selector)
                && !is_replaced(assessment, (scope, &shown), query, selector, lost)
            {
                return Err(why_lost(target, lost, "`absent: zero` says"));
            }
            if query.fallback.is_some() || selector.alternatives.has_constant {
                continue;
            }
            if let Some(lost) = lost_of_others(assessment, target, selector)
                && !is_replaced(assessment, (scope, &shown), query, selector, lost)
            {
                let waiver = match query.selectors.len() {
                    1 => "`or vector(0)` and `absent: zero` say",
                    _ => "`or vector(0)` after its part of the query and `absent: zero` say",
                };
                return Err(why_lost(target, lost, waiver));
            }
        }
    }
    Ok(())
}

fn why_lost(target: &TargetFacts, lost: &str, waiver: &str) -> String {
    if target.may_have_shown(lost) {
        return format!(
            "the page of {} does not have {lost}, and its process has shown more than {REMEMBERED_METRICS_MAX} metrics that were \
             not read or are gone, of which it may have been one; if it may be missing, {waiver} so",
            describe(target),
        );
    }
    format!(
        "the page of {} no longer has {lost}, nor anything that proves its absence to mean 0, and its process has not \
         restarted; if it may go away, {waiver} so",
        describe(target),
    )
}

/// Whether the page shows what stands beside a selector in an `or`, and that is read: between aggregates it is only where nobody
/// has anything of the selector. A pattern of names that reads what is lost, as the selector does, is in part what is left of it.
fn is_replaced(
    assessment: Assessment<'_>,
    (scope, shown): (&Scope, &ShownOnce<'_>),
    query: &SignalQuery,
    selector: &Selector,
    lost: &str,
) -> bool {
    let is_lost = |at: usize| reads(assessment, &query.selectors[at], lost);
    let shows_whole = |at: usize| shown.shows(at).map(|shows| shows && !is_lost(at));
    if selector.window_ms > 0 {
        return false; // what was there before is read still, and less of it with every second
    }
    let alternatives = &selector.alternatives;
    alternatives.is_told_beside_others(&shows_whole, &is_lost)
        || (alternatives.is_told_instead(&shows_whole, &is_lost)
            && !is_read(assessment, scope, selector))
}

/// Whether some target of a scope has series of what a selector reads.
fn is_read(assessment: Assessment<'_>, scope: &Scope, selector: &Selector) -> bool {
    let ids = scope.counting.iter().chain(&scope.standby);
    let mut targets = ids.filter_map(|&id| assessment.facts.target(id));
    targets.any(|target| {
        reads_page(assessment, target, selector) && has_series(assessment, target, selector)
    })
}

/// What a selector reads of the names table that the target has lost, or may have begun to hide with what proved its absence.
fn lost_of_table<'a>(
    assessment: Assessment<'a>,
    target: &'a TargetFacts,
    selector: &'a Selector,
) -> Option<&'a str> {
    // Of a pattern of names each that fits is judged by itself: what is left of the others does not stand for it.
    let is_shown = |lost: &str| match &selector.metric {
        Some(_) => shows(assessment, target, selector),
        None => shows_metric(assessment, target, lost),
    };
    let mut lost = target.lost_metrics(assessment.names, &selector.of_table);
    let hidden = || {
        let metric = selector.metric.as_deref()?;
        let is_hidden = target.has_lost_witness(assessment.names, metric) && !is_shown(metric);
        is_hidden.then_some(metric)
    };
    let lost = lost.find(|lost| !is_shown(lost.text()));
    lost.map(TableMetric::text).or_else(hidden)
}

/// The same of a metric that the table does not know: nothing says that one which its process has shown may go. A pattern of
/// names reads whatever of these there is.
fn lost_of_others<'a>(
    assessment: Assessment<'a>,
    target: &'a TargetFacts,
    selector: &Selector,
) -> Option<&'a str> {
    let metric = selector.metric.as_deref()?;
    if target.lost_others.is_empty() {
        return None;
    }
    let lost = |metric: &str| target.lost_others.get(metric).map(|lost| &**lost);
    let mut equivalents = assessment.names.equivalents(metric).into_iter();
    let lost = lost(metric).or_else(|| equivalents.find_map(|(name, _)| lost(&name)));
    lost.filter(|_| !shows_metric(assessment, target, metric))
}

/// S4: what the query reads has no samples for which no series of their own stand.
fn nothing_is_left_out(
    assessment: Assessment<'_>,
    scope: &Scope,
    query: &SignalQuery,
) -> Result<(), String> {
    for target in with_losses(assessment, scope) {
        for (metric, left_out) in target.left_out.iter() {
            let concerns = |one: &Selector| {
                let pinned = carried::conditions(&one.carried, assessment.pins);
                reads(assessment, one, metric)
                    && left_out.may_fit(one.matchers.iter().chain(&pinned))
            };
            if read_of(assessment, target, query).any(concerns) {
                return Err(why_left_out(target, metric, left_out.why));
            }
        }
        let mut selectors = query.selectors.iter().filter(|_| target.lacks_reports);
        let report = selectors.find_map(|selector| {
            let report = REPORT.iter().find(|one| reads(assessment, selector, one))?;
            let (names, pins) = (assessment.names, assessment.pins);
            let contradiction = scope::contradiction(target, names, selector, pins);
            contradiction.is_none().then_some(report)
        });
        if let Some(report) = report {
            return Err(why_left_out(target, report, WhyLeftOut::OfTarget));
        }
    }
    Ok(())
}

/// The targets that count and of which something is lost or left out.
fn with_losses<'a>(
    assessment: Assessment<'a>,
    scope: &'a Scope,
) -> impl Iterator<Item = &'a TargetFacts> {
    let counting = match assessment.facts.targets_with_losses {
        0 => &[][..],
        _ => &scope.counting[..],
    };
    let counting = counting.iter();
    let targets = counting.filter_map(move |&id| assessment.facts.target(id));
    targets.filter(|target| target.has_losses)
}

fn why_left_out(target: &TargetFacts, metric: &str, why: WhyLeftOut) -> String {
    let of = describe(target);
    match why {
        WhyLeftOut::OfTarget => format!(
            "{of} gives series of {metric} that another target gives, too, and only one of them is stored: give each target \
             labels of its own, such as `instance`"
        ),
        WhyLeftOut::SaidTwice => format!(
            "the page of {of} says a series of {metric} twice with different values, and only the first is stored: give what it \
             speaks of labels that tell them apart"
        ),
        WhyLeftOut::Relabelled => format!(
            "metric_relabel_configs make several lines of {metric} of {of} one series, and only one of them is stored: keep \
             the labels that tell them apart"
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::signal::names::FAMILIES;
    use crate::signal::shown::SEARCHES;
    use crate::signal::{Class, Policy, State};
    use crate::{Engine, Format, Limits, ScrapeFacts, TargetSpec, Timestamp};

    /// How often all names of a page are looked at that has lost all that a query reads but the last.
    fn searches(names: &[&str]) -> usize {
        let (mut writer, reader) = Engine::new(Limits::default());
        let query = format!("sum({})", names.join(" or "));
        let signal = writer.register(&query, Policy::default()).expect("valid");
        let (_, mut stage) = writer.add_target(TargetSpec::default());
        let page = |names: &[&str]| {
            let lines = names.iter().map(|name| format!("{name} 1\n"));
            lines.collect::<String>()
        };
        let kept = page(&names[names.len() - 1..]);
        let mut at = Timestamp::from_ms(1_000_000);
        for page in [&page(names), &kept, &kept] {
            at = Timestamp::from_ms(at.ms() + 60_000);
            let staged = stage.parse(page.as_bytes(), Format::Text).expect("a page");
            writer
                .commit(staged, at, ScrapeFacts::default())
                .expect("taken");
        }
        SEARCHES.set(0);
        let reading = reader.signal(signal, at, &[]).expect("it stands");
        assert_eq!(reading.state, State::Value, "what is left is told");
        SEARCHES.take()
    }

    /// Of an `or` of 100 sides over a page of 200,000 names each was looked for for each other one at each reading.
    #[test]
    fn a_page_is_searched_once_for_each_selector_and_not_for_names() {
        let own: Vec<String> = (0..80).map(|at| format!("m_{at}")).collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        assert_eq!(searches(&own), 0);
        let of_gateways = FAMILIES
            .iter()
            .filter(|one| one.class == Class::FlowControl && !one.replicated);
        let of_gateways: Vec<&str> = of_gateways.map(|one| one.names[0].family).collect();
        for lost in [2, 4, of_gateways.len()] {
            let names: Vec<&str> = of_gateways[..lost]
                .iter()
                .copied()
                .chain(["kept"])
                .collect();
            let found = searches(&names);
            assert!((lost..=6 * lost).contains(&found), "{lost}: {found}");
        }
    }
}
