//! Collects annotations: each text once, in order of first appearance. A text that occurs at several positions is
//! shown with the last of them, as in Prometheus, which keys annotations by text.

use crate::Annotations;
use crate::arithmetic::Monotonicity;
use crate::plan::Span;
use crate::source::line_and_column;
use stillwell_model::number_text::go_float;
use stillwell_model::time::Timestamp;

/// More distinct texts than this are dropped; Prometheus shows 10 by default.
const KEPT_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct AnnotationCollector {
    warnings: Vec<Annotation>,
    infos: Vec<Annotation>,
    forced: Vec<Forced>,
}

#[derive(Debug)]
struct Annotation {
    message: String,
    place: String,
}

/// Raised buckets of one position in the query.
#[derive(Debug)]
struct Forced {
    message: String,
    place: String,
    seen: Monotonicity,
    first_ms: i64,
    last_ms: i64,
    count: u64,
}

impl AnnotationCollector {
    pub(crate) fn warn(&mut self, text: &str, span: Span, message: &str) {
        add(
            &mut self.warnings,
            format!("PromQL warning: {message}"),
            line_and_column(text, span.start),
        );
    }

    pub(crate) fn info(&mut self, text: &str, span: Span, message: &str) {
        add(
            &mut self.infos,
            format!("PromQL info: {message}"),
            line_and_column(text, span.start),
        );
    }

    /// Records that classic buckets had to be raised; all occurrences at one position are merged into one annotation.
    pub(crate) fn forced(
        &mut self,
        text: &str,
        span: Span,
        message: String,
        seen: &Monotonicity,
        at_ms: i64,
    ) {
        self.add_forced(Forced {
            message,
            place: line_and_column(text, span.start),
            seen: *seen,
            first_ms: at_ms,
            last_ms: at_ms,
            count: 1,
        });
    }

    /// Adds what another collector has, as if it had been collected here after the rest.
    pub(crate) fn append(&mut self, later: AnnotationCollector) {
        for Annotation { message, place } in later.warnings {
            add(&mut self.warnings, message, place);
        }
        for Annotation { message, place } in later.infos {
            add(&mut self.infos, message, place);
        }
        for forced in later.forced {
            self.add_forced(forced);
        }
    }

    fn add_forced(&mut self, later: Forced) {
        let same = |have: &&mut Forced| have.message == later.message && have.place == later.place;
        if let Some(have) = self.forced.iter_mut().find(same) {
            have.seen.lowest = have.seen.lowest.min(later.seen.lowest);
            have.seen.highest = have.seen.highest.max(later.seen.highest);
            have.seen.difference = have.seen.difference.max(later.seen.difference);
            have.first_ms = have.first_ms.min(later.first_ms);
            have.last_ms = have.last_ms.max(later.last_ms);
            have.count += later.count;
        } else if self.forced.len() < KEPT_MAX {
            self.forced.push(later);
        }
    }

    pub(crate) fn into_annotations(mut self) -> Annotations {
        for forced in std::mem::take(&mut self.forced) {
            let Monotonicity {
                lowest,
                highest,
                difference,
            } = forced.seen;
            let message = format!(
                "PromQL info: {}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                forced.message,
                go_float(lowest),
                go_float(highest),
                go_float(difference),
                forced.count,
                Timestamp::from_ms(forced.first_ms),
                Timestamp::from_ms(forced.last_ms),
            );
            add(&mut self.infos, message, forced.place);
        }
        let finish = |annotations: Vec<Annotation>| {
            annotations
                .into_iter()
                .map(|Annotation { message, place }| format!("{message} ({place})"))
                .collect()
        };
        Annotations {
            warnings: finish(self.warnings),
            infos: finish(self.infos),
        }
    }
}

fn add(annotations: &mut Vec<Annotation>, message: String, place: String) {
    let room = annotations.len() < KEPT_MAX;
    match annotations.iter_mut().find(|note| note.message == message) {
        Some(note) => note.place = place,
        None if room => annotations.push(Annotation { message, place }),
        None => {}
    }
}
