//! Records the edit from template to page: kept, removed and new rows, in the order of the new page.

use std::ops::Range;

use super::super::line::Line;
use super::super::template::{Place, RowKind};
use super::diff::NewLine;
use super::near_line::SampleLine;
use super::{Compare, EditOp, ExemplarOf, Metadata, NewKind};
use crate::labels::Labels;

impl Compare<'_, '_> {
    /// The rows from the expected one until `until` are not on the page: records them as removed.
    pub(super) fn skip_to(&mut self, until: Place) {
        if self.place >= until {
            return;
        }
        self.keep_until(self.place);
        while self.place < until {
            let Some(chunk) = self.chunks.get(self.place.chunk as usize) else {
                break;
            };
            let Some(row) = chunk.rows.get(self.place.row as usize) else {
                self.normalise();
                continue;
            };
            match row.kind() {
                RowKind::Series(series) => self.page.removed.push(series),
                RowKind::Type(of) | RowKind::Skipped(of) => self.old_type = of,
                _ => {}
            }
            self.text_at = chunk.next_text(row, self.text_at);
            self.place.row += 1;
        }
        self.normalise();
        self.kept_from = self.place;
        self.page.edits.push(EditOp::Keep(self.place, self.place));
    }

    /// Records that the rows from `kept_from` until `until` are kept.
    pub(super) fn keep_until(&mut self, until: Place) {
        if self.kept_from < until {
            self.page.edits.push(EditOp::Keep(self.kept_from, until));
        }
        self.kept_from = until;
    }

    /// Moves `place` from the end of a chunk to the start of the next.
    pub(super) fn normalise(&mut self) {
        if self
            .chunks
            .get(self.place.chunk as usize)
            .is_some_and(|c| self.place.row as usize >= c.rows.len())
        {
            self.place = Place {
                chunk: self.place.chunk + 1,
                row: 0,
            };
            self.text_at = 0;
        }
    }

    /// Records a line without a sample that the template does not contain.
    pub(super) fn take_other(&mut self, line: Line<'_>, next: usize) {
        self.keep_until(self.place);
        let end = line_end(self.body, next);
        let mut kind = NewKind::Comment;
        match line {
            Line::Blank | Line::Comment | Line::Sample(_) => {}
            Line::Help { family, text } => {
                let help = Metadata::Help(family.into_owned(), text.into_owned());
                self.page.metadata.push(help);
            }
            Line::Type {
                family,
                family_type,
            } => {
                let of = Metadata::Type(family.into_owned(), family_type);
                self.page.metadata.push(of);
                self.new_type = family_type;
                kind = NewKind::Type(family_type);
            }
            Line::Unit { family, unit } => {
                let unit = Metadata::Unit(family.into_owned(), unit.to_owned());
                self.page.metadata.push(unit);
            }
        }
        self.push_new(self.at..end, end..end, kind);
    }

    /// Records a sample that the template does not contain.
    pub(super) fn take_sample(&mut self, sample: SampleLine) -> Result<(), String> {
        self.keep_until(self.place);
        let mut labels = self.map.map(&self.near.labels, self.new_type)?;
        if let Some(retain_filter) = &self.retain_filter {
            let left_out = labels.take_if(|labels| !retain_filter.keeps(labels));
            self.page.learned.extend(left_out);
        }
        self.page.samples += 1;
        match &labels {
            None => self.page.dropped += 1,
            Some(labels) => {
                let before = self.page.new_lines.last().and_then(NewLine::labels);
                self.page.new_series.add(labels, before);
                self.page.new_metrics += usize::from(self.is_next_metric(labels));
                self.page.new_label_bytes += labels.bytes();
            }
        }
        let time_ms = sample.time_ms.filter(|_| self.honor_timestamps);
        let kind = NewKind::Sample {
            labels,
            bits: sample.bits,
            histogram: sample.histogram,
            time_ms,
        };
        if let Some(text) = sample.exemplar {
            let of = ExemplarOf::New(self.page.new_samples);
            self.page.exemplars.push((of, text));
        }
        self.page.new_samples += 1;
        self.push_new(self.at..sample.value.start, sample.value, kind);
        Ok(())
    }

    /// Whether the new line before has another metric.
    fn is_next_metric(&self, labels: &Labels) -> bool {
        let before = self.page.new_lines.last().map(|line| &line.kind);
        match before {
            Some(NewKind::Sample {
                labels: Some(before),
                ..
            }) => before.metric_name() != labels.metric_name(),
            _ => true,
        }
    }

    pub(super) fn push_new(&mut self, key: Range<usize>, value: Range<usize>, kind: NewKind) {
        self.page
            .edits
            .push(EditOp::New(self.page.new_lines.len() as u32));
        self.page.new_lines.push(NewLine { key, value, kind });
    }
}

/// Where a line ends, without its line break.
pub(super) fn line_end(body: &[u8], next: usize) -> usize {
    if next > 0 && body.get(next - 1) == Some(&b'\n') {
        next - 1
    } else {
        next
    }
}
