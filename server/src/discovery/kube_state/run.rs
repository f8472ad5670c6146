//! Watches what is wanted, and sends the job with the targets that come of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stillwell_engine::Reader;
use stillwell_engine::signal::Partial;
use tokio::sync::{mpsc, watch};

use super::super::groups::Groups;
use super::super::kubernetes::client;
use super::super::shard::Shard;
use super::families::KINDS;
use super::seen::partial;
use super::wanted::wanted;
use super::watches::Watches;
use super::{Rules, Section, Told};
use crate::config::{KubeState, ScrapeJob, job_from_json};
use crate::scrape::target_options;

/// What signals and triggers name is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Sends the job whenever its targets change, until it is dropped. All of `sections` read the same objects. `status` says how the
/// watches go.
pub(in crate::discovery) async fn run(
    mut sections: watch::Receiver<Section>,
    (reader, shard): (Reader, Option<Shard>),
    rules: Rules,
    status: Groups,
    tell: mpsc::Sender<Told>,
) {
    let cluster = sections.borrow().options.cluster.clone();
    let client = loop {
        match client::connect(&cluster).await {
            Ok((client, _)) => break client,
            Err(why) => status.fail(why),
        }
        tokio::time::sleep(client::TRY_AGAIN).await;
    };
    let section = sections.borrow_and_update().clone();
    let options = match job(&section) {
        Ok(options) => options,
        Err(why) => return status.fail(why), // its text is ours: a test would have failed
    };
    let (changed, mut changes) = mpsc::channel(1);
    let mut watches = Watches::new(section, options, (client, shard), changed);
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
            Ok(()) = sections.changed() => {
                let section = sections.borrow_and_update().clone();
                match job(&section) {
                    Ok(options) => watches.go_on(section, options),
                    Err(why) => return status.fail(why), // as above
                }
                look.reset_immediately(); // it may want other objects
            }
        }
        let seen = watches.seen();
        match &seen.problem {
            Some(why) => status.fail(why.clone()),
            None => status.read_nothing(),
        }
        if told.as_ref() != Some(&seen) {
            let tells = Told {
                job: watches.job_targets(seen.targets.clone()),
                not_listed: seen.not_listed.clone(),
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
        .filter_map(|kind| partial(section, kind, (BTreeSet::new(), &BTreeSet::new()), None))
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
