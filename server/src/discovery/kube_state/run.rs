//! Watches what is wanted, and sends the job with the targets that come of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::Reader;
use stillwell_engine::signal::Partial;
use tokio::sync::mpsc;

use super::super::groups::Groups;
use super::super::kubernetes::client;
use super::super::shard::Shard;
use super::families::KINDS;
use super::wanted::wanted;
use super::watches::{self, Watches};
use super::{Rules, Section, Told};
use crate::config::{KubeState, ScrapeJob, job_from_json};
use crate::scrape::target_options;

/// What signals and triggers name is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Sends the job whenever its targets change, until it is dropped. `status` says how the watches go.
pub(in crate::discovery) async fn run(
    section: Section,
    (reader, shard): (Reader, Option<Shard>),
    rules: Rules,
    status: Groups,
    tell: mpsc::Sender<Told>,
) {
    let client = loop {
        match client::connect(&section.options.cluster).await {
            Ok((client, _)) => break client,
            Err(why) => status.fail(why),
        }
        tokio::time::sleep(client::TRY_AGAIN).await;
    };
    let job = match job(&section) {
        Ok(job) => job,
        Err(why) => return status.fail(why), // its text is ours: a test would have failed
    };
    let (changed, mut changes) = mpsc::channel(1);
    let mut watches = Watches::new(section, job, (client, shard), changed);
    let mut told = None;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let (configured, found) = (rules.configured.borrow(), rules.found.borrow());
                let wanted = wanted(watches.section(), &reader, configured.iter().chain(found.iter()));
                watches.watch(wanted);
            }
            Some(()) = changes.recv() => {}
        }
        let seen = watches.seen();
        match &seen.problem {
            Some(why) => status.fail(why.clone()),
            None => status.read_nothing(),
        }
        if told.as_ref() != Some(&seen) {
            let tells = Told {
                job: watches.job_targets(seen.targets.clone()),
                are_listed: seen.are_listed,
                partial: seen.partial.clone(),
            };
            told = Some(seen);
            if tell.send(tells).await.is_err() {
                return; // nobody scrapes any more
            }
        }
    }
}

/// What is not told of before anything is watched.
pub(in crate::discovery) fn nothing_seen(section: &Section) -> Vec<Partial> {
    let kinds = KINDS.iter();
    kinds
        .filter_map(|kind| {
            watches::partial(section, kind, (BTreeSet::new(), &BTreeSet::new()), None)
        })
        .collect()
}

pub(super) fn job(section: &Section) -> Result<Arc<ScrapeJob>, String> {
    let interval_ms = section.options.interval_ms;
    let keys = serde_json::json!({
        "job_name": KubeState::JOB, "honor_labels": true, "scrape_interval": format!("{interval_ms}ms"),
        "static_configs": [],
    });
    let read = job_from_json(&keys.to_string(), &section.global)?;
    Ok(target_options(&read))
}
