//! One round: everything of a window becomes requests, and all of them are dealt with.

use std::sync::Arc;
use std::time::Duration;

use stillwell_adapters::remote_write::Protocol;
use stillwell_adapters::remote_write::outgoing::{self, Outgoing, Packed, Packer, with_external};
use stillwell_engine::feed::{FedSeries, Feed, Interest};
use stillwell_engine::labels::{Labels, METRIC_NAME, relabel};
use stillwell_engine::limits::EXEMPLARS_MAX;
use stillwell_engine::promql::select::Samples;

use super::counts::Counts;
use super::delivery::Receiver;
use super::families::Families;
use super::shards::{Ended, Shards};
use super::thin;

/// A request that is as large before it is packed is complete, however few samples it has.
const REQUEST_BYTES_MAX: usize = 512 << 10;

/// What is left is looked at so often while requests are under way.
const LOOK: Duration = Duration::from_secs(1);

/// Why a round is made again.
#[derive(Debug)]
pub(super) enum Again {
    /// The receiver takes another version only.
    OtherVersion,
    /// A shard has ended.
    Ended,
}

impl From<Ended> for Again {
    fn from(_: Ended) -> Again {
        Again::Ended
    }
}

/// What becomes of series on their way out.
pub(super) struct Round {
    receiver: Arc<Receiver>,
    external: Labels,
    families: Families,
    /// Per shard, the request under way.
    open: Vec<Outgoing>,
    packer: Packer,
    /// Complete ones, with their shards.
    complete: Vec<(usize, Packed)>,
    /// Samples before this time are not sent any more.
    oldest_ms: i64,
    /// Samples of the series under way: those that are not too old, and those that are kept of each interval.
    trimmed: Samples,
    kept: Samples,
}

impl Round {
    pub(super) fn new(receiver: &Arc<Receiver>, external: Labels) -> Round {
        Round {
            receiver: Arc::clone(receiver),
            external,
            families: Families::default(),
            open: Vec::new(),
            packer: Packer::default(),
            complete: Vec::new(),
            oldest_ms: i64::MIN,
            trimmed: Samples::default(),
            kept: Samples::default(),
        }
    }

    /// Takes what is known of families from now on.
    pub(super) fn set_families(&mut self, families: Families) {
        self.families = families;
    }

    /// Sends the open window of a feed; where it was not given up, everything of it is dealt with.
    pub(super) async fn send(
        &mut self,
        feed: &mut Feed,
        shards: &mut Shards,
        with_metadata: bool,
    ) -> Result<(), Again> {
        let receiver = Arc::clone(&self.receiver);
        let protocol = receiver.protocol();
        self.complete.clear();
        self.open.clear();
        self.open
            .resize_with(shards.len(), || Outgoing::new(protocol));
        loop {
            self.oldest_ms = receiver.oldest_ms();
            let more = feed.read(&mut |series| self.series(series));
            while_looking(&receiver, feed, self.pass_on(shards, protocol)).await?;
            if !more {
                break;
            }
            tokio::task::yield_now().await; // requests of shards go out meanwhile
        }
        if self.receiver.config.exemplars {
            self.exemplars(feed);
        }
        if with_metadata && protocol == Protocol::V1 {
            self.metadata();
        }
        for shard in 0..self.open.len() {
            self.complete(shard);
        }
        while_looking(&receiver, feed, self.pass_on(shards, protocol)).await?;
        while_looking(&receiver, feed, shards.settle()).await?;
        if self.receiver.protocol() != protocol {
            return Err(Again::OtherVersion);
        }
        Counts::add(&receiver.counts.relabelled_away, feed.samples_passed_over());
        Ok(())
    }

    async fn pass_on(&mut self, shards: &Shards, protocol: Protocol) -> Result<(), Again> {
        for (shard, request) in self.complete.drain(..) {
            shards.send(shard, request).await?;
        }
        match self.receiver.protocol() == protocol {
            true => Ok(()),
            false => Err(Again::OtherVersion),
        }
    }

    fn series(&mut self, series: FedSeries<'_>) -> Interest {
        let mut trimmed = std::mem::take(&mut self.trimmed);
        let counts = &self.receiver.counts;
        let oldest_ms = self.oldest_ms;
        let is_old = |first_ms: &i64| *first_ms < oldest_ms;
        let samples = match series.samples.times_ms.first().is_some_and(is_old) {
            true => {
                counts
                    .too_old
                    .add(newer_than(series.samples, oldest_ms, &mut trimmed));
                &trimmed
            }
            false => series.samples,
        };
        let shard = series.number as usize % self.open.len();
        let interest = match (
            samples.times_ms.is_empty(),
            self.receiver.config.interval_ms,
        ) {
            (true, _) => Interest::Wanted,
            (false, Some(ms)) => self.thinned(shard, series.labels, samples, ms as i64),
            (false, None) => self.put(shard, series.labels, samples),
        };
        self.trimmed = trimmed;
        interest
    }

    /// Adds one sample for each interval, and the extremes where they are wanted.
    fn thinned(
        &mut self,
        shard: usize,
        labels: &Labels,
        samples: &Samples,
        interval_ms: i64,
    ) -> Interest {
        let mut kept = std::mem::take(&mut self.kept);
        thin::last(samples, interval_ms, &mut kept);
        let mut interest = self.put(shard, labels, &kept);
        let extremes = self.receiver.config.extremes;
        let metric = labels.metric_name().unwrap_or("");
        if extremes.min || extremes.max {
            // Under another name relabelling may keep what it drops under its own.
            interest = Interest::Wanted;
        }
        if (extremes.min || extremes.max) && self.families.is_gauge(metric) {
            let ways = [(extremes.min, "min", false), (extremes.max, "max", true)];
            for (_, word, greatest) in ways.into_iter().filter(|(wanted, _, _)| *wanted) {
                thin::extreme(samples, interval_ms, greatest, &mut kept);
                let mut labels = labels.to_builder();
                labels.set(METRIC_NAME, &format!("{metric}:{word}"));
                self.put(shard, &labels.build(), &kept);
            }
        }
        self.kept = kept;
        interest
    }

    /// Adds samples to the request of a shard. Answers whether relabelling lets the series through.
    fn put(&mut self, shard: usize, labels: &Labels, samples: &Samples) -> Interest {
        let config = &self.receiver.config;
        let described = match self.receiver.protocol() {
            Protocol::V2 if config.metadata.send => labels
                .metric_name()
                .and_then(|metric| self.families.of(metric)),
            Protocol::V1 | Protocol::V2 => None,
        };
        let how = (self.receiver.clock.wall_offset_ms(), config.histograms);
        let request = &mut self.open[shard];
        let joined = with_external(labels, &self.external);
        if config.relabel.is_empty() {
            request.push(joined, described, samples, how);
        } else {
            let mut builder = Labels::from_sorted(joined).to_builder();
            let kept = relabel(&config.relabel, &mut builder);
            let labels = builder.build();
            if !kept || labels.is_empty() {
                let count = samples.times_ms.len() as u64;
                Counts::add(&self.receiver.counts.relabelled_away, count);
                return Interest::Never;
            }
            request.push(labels.iter(), described, samples, how);
        }
        let counts = request.counts();
        let is_full = counts.samples + counts.histograms >= config.queue.samples_per_send_max;
        if is_full || request.bytes() >= REQUEST_BYTES_MAX {
            self.complete(shard);
        }
        Interest::Wanted
    }

    fn complete(&mut self, shard: usize) {
        if let Some(request) = self.open[shard].take(&mut self.packer) {
            self.complete.push((shard, request));
        }
    }

    fn exemplars(&mut self, feed: &mut Feed) {
        let (exemplars, lost) = feed.exemplars(EXEMPLARS_MAX);
        Counts::add(&self.receiver.counts.exemplars_lost, lost);
        let receiver = Arc::clone(&self.receiver);
        let offset_ms = receiver.clock.wall_offset_ms();
        for (series, exemplar) in exemplars {
            let joined = with_external(&series, &self.external);
            let mut labels = Labels::from_sorted(joined).to_builder();
            if !relabel(&receiver.config.relabel, &mut labels) {
                continue;
            }
            self.open[0].push_exemplar(labels.build().iter(), &exemplar, offset_ms);
            self.complete_if_full(0);
        }
    }

    fn complete_if_full(&mut self, shard: usize) {
        let outgoing::Counts {
            exemplars,
            metadata,
            ..
        } = self.open[shard].counts();
        let config = &self.receiver.config;
        let is_full = exemplars >= config.queue.samples_per_send_max
            || metadata >= config.metadata.per_send_max;
        if is_full || self.open[shard].bytes() >= REQUEST_BYTES_MAX {
            self.complete(shard);
        }
    }

    /// Families are told in requests of their own.
    fn metadata(&mut self) {
        self.complete(0);
        let families = std::mem::take(&mut self.families);
        for (family, metadata) in families.iter() {
            self.open[0].push_metadata(family, metadata);
            self.complete_if_full(0);
        }
        self.families = families;
    }
}

/// Waits for requests, which may take as long as a receiver is away: what is told of the receiver stays current.
async fn while_looking<T>(receiver: &Receiver, feed: &Feed, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => receiver.look(feed),
        }
    }
}

/// Copies the samples that are not older. Answers what is left out.
fn newer_than(samples: &Samples, oldest_ms: i64, out: &mut Samples) -> outgoing::Counts {
    let from = samples
        .times_ms
        .partition_point(|time_ms| *time_ms < oldest_ms);
    out.clear();
    out.times_ms.extend_from_slice(&samples.times_ms[from..]);
    out.values.extend_from_slice(&samples.values[from..]);
    let histograms = samples.histograms.get(..from).unwrap_or(&[]);
    let left_out = histograms.iter().flatten().count() as u64;
    out.histograms
        .extend(samples.histograms.iter().skip(from).cloned());
    outgoing::Counts {
        samples: from as u64 - left_out,
        histograms: left_out,
        ..outgoing::Counts::default()
    }
}
