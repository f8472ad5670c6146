//! What a snapshot keeps of the facts: scrapes and processes of targets, and what groups have ever shown (S1b, S4b, S6).
//!
//! What follows from the series of the newest page (metrics, leases, start times) is learned from them again; what it lacks
//! that the process has shown is not, and is kept.

use super::super::names::{TableMetric, TableMetrics};
use super::other_names::OtherNames;
use super::starts::Starts;
use super::target::TargetFacts;
use super::{Facts, GroupFacts};
use crate::limits::{GAPS_MAX, LOST_METRICS_MAX};
use crate::scrape::{Retain, TargetSpec};
use crate::store::TargetId;
use crate::wire::{
    In, WireError, put_bool, put_i, put_labels, put_list, put_option, put_text, put_u,
};

impl Facts {
    /// Writes a group.
    pub(crate) fn put_group(name: &str, group: &GroupFacts, out: &mut Vec<u8>) {
        put_text(out, name);
        put_list(out, group.exposed.iter(), |out, metric| {
            put_text(out, metric)
        });
        put_list(out, group.values.iter(), |out, (label, values)| {
            put_text(out, label);
            put_list(out, values.iter(), |out, value| put_text(out, value));
        });
        put_list(out, group.holders.iter(), |out, (lease, holder)| {
            put_text(out, lease);
            put_u(out, u64::from(holder.0));
        });
        put_option(out, group.empty_since_ms, put_i);
    }

    /// Reads a group, before its targets.
    pub(crate) fn take_group(&mut self, bytes: &mut In<'_>) -> Result<(), WireError> {
        let name = bytes.text()?.to_owned();
        let mut group = GroupFacts::default();
        for metric in bytes.list(In::text)? {
            group.add_exposed(metric, || true);
        }
        for (label, values) in bytes.list(|bytes| Ok((bytes.text()?, bytes.list(In::text)?)))? {
            values
                .iter()
                .for_each(|value| group.add_label_value(label, value));
        }
        for (lease, holder) in bytes.list(|bytes| Ok((bytes.text()?, bytes.u()?)))? {
            let holder = u32::try_from(holder).map_err(|_| "a target has an unknown number")?;
            group.holders.insert(lease.to_owned(), TargetId(holder));
        }
        group.empty_since_ms = bytes.option(In::time)?;
        self.groups.insert(name, group);
        Ok(())
    }
}

impl TargetFacts {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_labels(out, &self.labels);
        put_i(out, self.interval_ms);
        put_bool(out, self.retain == Retain::Signals);
        put_bool(out, self.may_replace);
        for time_ms in [
            self.first_good_ms,
            self.first_attempt_ms,
            self.last_good_ms,
            self.process_since_ms,
            self.starts.only_ms(),
        ] {
            put_option(out, time_ms, put_i);
        }
        put_option(out, self.last, |out, (time_ms, good)| {
            put_i(out, time_ms);
            put_bool(out, good);
        });
        put_text(out, &self.error);
        put_text(out, &self.first_error);
        put_text(out, &self.build_ref);
        put_option(out, self.starts.only(), put_u);
        put_list(out, self.replaced.iter(), |out, label| put_text(out, label));
        put_list(out, self.pools.iter(), |out, pool| put_text(out, pool));
        put_list(out, self.leases.iter(), |out, (lease, _, leads)| {
            put_text(out, lease);
            put_bool(out, *leads);
        });
        put_list(out, self.changes_ms.iter(), |out, ms| put_i(out, *ms));
        put_list(out, self.crashes_ms.iter(), |out, ms| put_i(out, *ms));
        put_list(out, self.gaps.iter(), |out, (after, before)| {
            put_i(out, *after);
            put_i(out, *before);
        });
        let mut gone: Vec<&str> = self.gone().map(TableMetric::text).collect();
        gone.extend(self.lost_others.iter().map(|one| &**one));
        put_list(out, gone.iter(), |out, metric| put_text(out, metric));
        put_list(out, self.shown_others.hashes(), put_u);
        put_bool(out, self.shown_others.has_more());
        put_option(out, self.reading.filter(|_| !self.awaits_page), put_u);
        put_text(out, &self.address);
        put_bool(out, self.has_moved);
    }
}

const NOT_SCRAPED_YET: &str = "it has not been scraped since this program started";

/// A target of a snapshot.
pub(crate) struct RestoredTarget {
    pub(crate) spec: TargetSpec,
    facts: TargetFacts,
    leases: Vec<(String, bool)>,
}

impl RestoredTarget {
    pub(crate) fn take(bytes: &mut In<'_>) -> Result<RestoredTarget, WireError> {
        let labels = bytes.labels()?;
        let interval_ms = bytes.time()?.max(1);
        let spec = TargetSpec {
            labels,
            interval_ms: interval_ms.unsigned_abs(),
            retain: match bytes.bool()? {
                true => Retain::Signals,
                false => Retain::All,
            },
            honor_labels: bytes.bool()?,
            ..TargetSpec::default()
        };
        let mut facts = TargetFacts::new(&spec);
        let mut started_ms = None;
        for field in [
            &mut facts.first_good_ms,
            &mut facts.first_attempt_ms,
            &mut facts.last_good_ms,
            &mut facts.process_since_ms,
            &mut started_ms,
        ] {
            *field = bytes.option(In::time)?;
        }
        facts.last = bytes.option(|bytes| Ok((bytes.time()?, bytes.bool()?)))?;
        facts.error = bytes.text()?.to_owned();
        facts.first_error = bytes.text()?.to_owned();
        facts.build_ref = bytes.text()?.to_owned();
        facts.starts = Starts::restored(bytes.option(In::u)?, started_ms);
        facts.replaced = bytes
            .list(|bytes| Ok(bytes.text()?.into()))?
            .into_iter()
            .collect();
        facts.pools = bytes
            .list(|bytes| Ok(bytes.text()?.to_owned()))?
            .into_iter()
            .collect();
        let leases = bytes.list(|bytes| Ok((bytes.text()?.to_owned(), bytes.bool()?)))?;
        facts.changes_ms = bytes.list(In::time)?.into();
        facts.crashes_ms = bytes.list(In::time)?.into();
        facts.gaps = bytes
            .list(|bytes| Ok((bytes.time()?, bytes.time()?)))?
            .into();
        facts.gaps.truncate(GAPS_MAX);
        let gone = bytes.list(In::text)?;
        let (of_table, others): (Vec<&str>, Vec<&str>) = gone
            .iter()
            .partition(|metric| TableMetric::of(metric).is_some());
        facts.shown = TableMetrics::among(of_table.into_iter());
        let others = others.into_iter().take(LOST_METRICS_MAX);
        facts.lost_others = others.map(Into::into).collect();
        let hashes = bytes.list(In::u)?;
        facts.shown_others = OtherNames::restored(hashes.into_iter(), bytes.bool()?);
        facts.reading = bytes.option(In::u)?;
        facts.address = bytes.text()?.to_owned();
        facts.has_moved = bytes.bool()?;
        Ok(RestoredTarget {
            spec,
            facts,
            leases,
        })
    }

    /// Sets what the series of its newest page do not tell, after they were made known.
    pub(crate) fn finish(self, id: TargetId, facts: &mut Facts, now_ms: i64) {
        let Some(learned) = facts.targets.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let RestoredTarget {
            facts: mut saved,
            leases,
            ..
        } = self;
        // Until its first page it is frozen as of its last one: what it shows now nobody has seen (S2a, S6f).
        saved.restored_ms = Some(now_ms);
        saved.is_unclaimed = true;
        if let Some((_, good)) = &mut saved.last
            && std::mem::replace(good, false)
        {
            NOT_SCRAPED_YET.clone_into(&mut saved.error);
            NOT_SCRAPED_YET.clone_into(&mut saved.first_error);
        }
        saved.values_version = learned.values_version;
        saved.metrics = std::mem::take(&mut learned.metrics);
        saved.names_seen = learned.names_seen.clone();
        saved.shown_labels = std::mem::take(&mut learned.shown_labels);
        // What the process had lost before the snapshot it lacks until a page shows it, or another process answers. Where only
        // what signals need is stored, it is looked for when they come.
        saved.shown.add(&learned.shown);
        if saved.retain == Retain::All {
            let gone: Vec<TableMetric> = saved.gone().collect();
            gone.into_iter().for_each(|one| saved.lost.insert(one));
        }
        let metrics = &saved.metrics;
        saved.lost_others.retain(|one| !metrics.contains_key(one));
        saved.has_losses = learned.has_losses;
        saved.starts.add_all(std::mem::take(&mut learned.starts));
        saved.sources.add_all(std::mem::take(&mut learned.sources));
        saved.leases = std::mem::take(&mut learned.leases);
        for (lease, _, leads) in &mut saved.leases {
            let known = leases.iter().find(|(name, _)| name == lease);
            *leads = known.is_some_and(|(_, leads)| *leads);
        }
        let awaits_page = saved.reading.is_none();
        *learned = saved;
        if awaits_page {
            facts.await_page(id);
        }
        facts.update_losses(id);
        facts.epoch += 1;
    }
}
