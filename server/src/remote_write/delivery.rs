//! One request to a receiver, until it is taken, refused, or too old.
//!
//! Tried again, after a wait that doubles: connections that fail, answers that do not come in time, 5xx, and 429 unless the
//! configuration says otherwise; a `Retry-After` that is longer is heeded. 401 and 403 are tried again once, with credentials
//! that are read anew. Other answers will not be different another time: what they refuse
//! is counted and logged, and the next request goes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::fmt::rfc2822;
use stillwell_adapters::remote_write::Protocol;
use stillwell_adapters::remote_write::outgoing::{self, Packed};
use stillwell_engine::feed::Feed;
use tracing::{info, warn};

use super::counts::Counts;
use crate::clock::{Clock, monotonic_ns};
use crate::config::RemoteWrite;
use crate::http_client::{
    Connection, Head, HttpError, Identity, Resolver, Stream, Url, connect, request_head, same_host,
};

/// Nobody reads what a receiver answers but people in the log.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// As much of it is logged.
const LOGGED_BYTES_MAX: usize = 300;
/// A receiver that asks for a longer rest is asked again after this one.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Descriptions of families are not tried longer than this: the next ones are due by then, and samples wait behind them.
const FAMILIES_MS_MAX: i64 = 60_000;
/// As many redirects as Go follows.
const REDIRECTS_MAX: usize = 10;

/// What the shards of one receiver share.
pub(super) struct Receiver {
    pub(super) config: RemoteWrite,
    url: Url,
    pub(super) identity: Arc<Identity>,
    pub(super) resolver: Resolver,
    pub(super) clock: Arc<Clock>,
    pub(super) counts: Arc<Counts>,
    /// Samples that are older are not sent any more.
    age_ms_max: i64,
    /// It does not take 2.0: what is sent from now on is 1.0.
    pub(super) knows_v1_only: AtomicBool,
    /// Whether its failures have been logged.
    failing: AtomicBool,
}

/// What became of one try.
enum Outcome {
    Taken(outgoing::Counts),
    /// Another try may help, after this rest where the receiver asks for one.
    Failed(String, Option<Duration>),
    /// No other try helps; what it has written nevertheless.
    Refused(String, outgoing::Counts),
    /// Another try helps where there are other credentials by now.
    Unauthorized(String),
    /// Nothing was written, for it does not know 2.0.
    OtherVersion(String),
}

impl Receiver {
    /// One to which nothing was sent yet. Samples of `reach_ms` are in history, less what a round may take.
    pub(super) fn new(
        (config, url): (RemoteWrite, Url),
        reach_ms: i64,
        resolver: Resolver,
        clock: Arc<Clock>,
        counts: Arc<Counts>,
    ) -> Receiver {
        let limit_ms = config.queue.age_limit_ms;
        let limit_ms = limit_ms.and_then(|ms| i64::try_from(ms).ok());
        Receiver {
            url,
            age_ms_max: limit_ms.unwrap_or(i64::MAX).min(reach_ms),
            identity: Identity::new(config.http.clone()),
            config,
            resolver,
            clock,
            counts,
            knows_v1_only: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        }
    }

    /// Samples before this time are not sent any more.
    pub(super) fn oldest_ms(&self) -> i64 {
        self.clock.now().minus_ms(self.age_ms_max).ms()
    }

    /// Notes what of a feed is left.
    pub(super) fn look(&self, feed: &Feed) {
        let pending = feed.pending();
        let counts = &self.counts;
        counts
            .pending_scrapes
            .store(pending.scrapes, Ordering::Relaxed);
        counts
            .newest_ms
            .fetch_max(pending.newest_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// The version that it is sent.
    pub(super) fn protocol(&self) -> Protocol {
        match self.knows_v1_only.load(Ordering::Relaxed) {
            true => Protocol::V1,
            false => self.config.protocol,
        }
    }

    /// Whether no try is worth it any more, for a request that was begun at a time.
    fn is_too_old(&self, request: &Packed, begun_ms: i64) -> bool {
        let outgoing::Counts {
            samples,
            histograms,
            exemplars,
            ..
        } = request.counts;
        let waits_ms = self.clock.now().ms() - begun_ms;
        match request.newest_ms {
            i64::MIN if samples + histograms + exemplars == 0 => waits_ms > FAMILIES_MS_MAX,
            i64::MIN => waits_ms > self.age_ms_max,
            newest_ms => newest_ms < self.oldest_ms(),
        }
    }

    fn taken(&self, request: &Packed, written: outgoing::Counts) {
        let counts = &self.counts;
        if self.failing.swap(false, Ordering::Relaxed) {
            let remote = &self.config.name;
            info!(remote, "a remote_write takes samples again");
        }
        counts.sent.add(written);
        counts.failed.add(missing(request.counts, written));
        Counts::add(&counts.bytes, request.bytes.len() as u64);
        counts
            .newest_sent_ms
            .fetch_max(request.newest_ms, Ordering::Relaxed);
    }

    fn refused(&self, request: &Packed, why: &str, written: outgoing::Counts) {
        let (remote, lost) = (&self.config.name, missing(request.counts, written));
        warn!(
            remote,
            why,
            samples = lost.samples + lost.histograms,
            "a remote_write refuses samples; they are dropped"
        );
        self.counts.sent.add(written);
        self.counts.failed.add(lost);
    }

    fn takes_v1_only(&self, why: &str) {
        let remote = &self.config.name;
        if !self.knows_v1_only.swap(true, Ordering::Relaxed) {
            warn!(
                remote,
                why, "a remote_write does not take version 2.0; it is sent 1.0"
            );
        }
    }

    fn failed(&self, why: &str) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let remote = &self.config.name;
            warn!(
                remote,
                why, "samples cannot be sent; they are kept in history and sent again"
            );
        }
    }
}

/// A connection to the receiver, kept from one request to the next.
pub(super) struct Delivery {
    receiver: Arc<Receiver>,
    kept: Option<Connection<Stream>>,
}

impl Delivery {
    pub(super) fn new(receiver: Arc<Receiver>) -> Delivery {
        Delivery {
            receiver,
            kept: None,
        }
    }

    /// Sends a request until it is dealt with.
    pub(super) async fn deliver(&mut self, request: &Packed) {
        let receiver = Arc::clone(&self.receiver);
        let (queue, counts) = (&receiver.config.queue, &receiver.counts);
        let mut backoff = Duration::from_millis(queue.backoff_min_ms);
        let most = Duration::from_millis(queue.backoff_max_ms);
        let mut is_identity_new = receiver.identity.adds_nothing();
        let begun_ms = receiver.clock.now().ms();
        loop {
            if receiver.is_too_old(request, begun_ms) {
                return counts.too_old.add(request.counts);
            }
            // Others found out that it does not take this version; the round is made again.
            if request.protocol != receiver.protocol() {
                return;
            }
            let began_ns = monotonic_ns();
            let outcome = self.attempt(request).await;
            counts.requests.record(monotonic_ns() - began_ns);
            match outcome {
                Outcome::Taken(written) => return receiver.taken(request, written),
                Outcome::Unauthorized(_) if !is_identity_new => {
                    is_identity_new = true;
                    counts.retried.add(request.counts);
                    receiver.identity.refused();
                }
                Outcome::Unauthorized(why) => {
                    receiver.identity.refused(); // the next request may have a new token
                    return receiver.refused(request, &why, outgoing::Counts::default());
                }
                Outcome::Refused(why, written) => return receiver.refused(request, &why, written),
                Outcome::OtherVersion(why) => return receiver.takes_v1_only(&why),
                Outcome::Failed(why, rest) => {
                    receiver.failed(&why);
                    counts.retried.add(request.counts);
                    tokio::time::sleep(pause(backoff, rest)).await;
                    backoff = (backoff * 2).min(most);
                }
            }
        }
    }

    async fn attempt(&mut self, request: &Packed) -> Outcome {
        let timeout_ms = self.receiver.config.timeout_ms;
        let posting = self.post(request);
        match tokio::time::timeout(Duration::from_millis(timeout_ms), posting).await {
            Ok(Ok((head, said))) => self.judge(request, &head, &said),
            Ok(Err(error)) => Outcome::Failed(error.to_string(), None),
            Err(_) => {
                let error = HttpError::Timeout(timeout_ms);
                Outcome::Failed(error.to_string(), None)
            }
        }
    }

    /// What an answer says of a request.
    fn judge(&self, request: &Packed, head: &Head, said: &str) -> Outcome {
        let why = format!("status {}: {said}", head.status);
        let is_v2 = request.protocol == Protocol::V2;
        let none_told = head.written.iter().all(Option::is_none);
        match head.status {
            // A receiver of 1.0 that does not look at Content-Type reads nothing in such a request.
            200..=299 if is_v2 && none_told => Outcome::OtherVersion(format!(
                "status {}, and no X-Prometheus-Remote-Write-Samples-Written",
                head.status
            )),
            200..=299 if is_v2 => Outcome::Taken(written(head, request.counts)),
            200..=299 => Outcome::Taken(request.counts),
            415 if is_v2 => Outcome::OtherVersion(why),
            429 if self.receiver.config.queue.retry_on_429 => Outcome::Failed(why, self.rest(head)),
            500..=599 => Outcome::Failed(why, self.rest(head)),
            401 | 403 => Outcome::Unauthorized(why),
            _ if is_v2 => Outcome::Refused(why, written(head, outgoing::Counts::default())),
            _ => Outcome::Refused(why, outgoing::Counts::default()),
        }
    }

    /// How long the receiver asks to be left alone: seconds or a date (RFC 9110, 10.2.3).
    fn rest(&self, head: &Head) -> Option<Duration> {
        let text = head.retry_after.as_deref()?;
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = rfc2822::parse(text).ok()?;
        let ms = date.timestamp().as_millisecond() - self.receiver.clock.wall_now().ms();
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    }

    /// Posts a request, on the kept connection or where there is none or it turns out dead on a new one.
    async fn post(&mut self, request: &Packed) -> Result<(Head, String), HttpError> {
        let receiver = Arc::clone(&self.receiver);
        let config = &receiver.config;
        let (mut url, mut ours) = (receiver.url.clone(), true);
        for _ in 0..=REDIRECTS_MAX {
            let message = self.message(request, &url, ours).await?;
            let (mut connection, head) = self.ask(&url, &message).await?;
            if let (307 | 308, true, Some(location)) =
                (head.status, config.http.follow_redirects, &head.location)
            {
                let next = url.join(location).map_err(HttpError::Redirect)?;
                ours = ours && same_host(&url, &next);
                url = next;
                continue;
            }
            let said = read(&mut connection, &head).await?;
            if head.keep_alive {
                self.kept = Some(connection);
            }
            return Ok((head, said));
        }
        Err(HttpError::Broken(format!(
            "stopped after {REDIRECTS_MAX} redirects"
        )))
    }

    async fn ask(
        &mut self,
        url: &Url,
        message: &[u8],
    ) -> Result<(Connection<Stream>, Head), HttpError> {
        let receiver = &self.receiver;
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.leads_to(url))
            && let Ok(head) = kept.ask(message).await
        {
            return Ok((kept, head));
        }
        let transport = receiver.identity.transport();
        let mut connection = connect(url, transport, &receiver.resolver).await?;
        let head = connection.ask(message).await?;
        Ok((connection, head))
    }

    /// Head and body.
    async fn message(&self, request: &Packed, url: &Url, ours: bool) -> Result<Vec<u8>, HttpError> {
        let identity = &self.receiver.identity;
        let head = request_head("POST", url, identity.transport())?;
        let shown = match ours {
            true => Some(identity.header_lines(&self.receiver.resolver).await?),
            false => None,
        };
        let shown = shown.as_ref().map_or("", |lines| lines.expose());
        let (content_type, version) = match request.protocol {
            Protocol::V1 => ("application/x-protobuf", "0.1.0"),
            Protocol::V2 => (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "2.0.0",
            ),
        };
        let agent = concat!("stillwell/", env!("CARGO_PKG_VERSION"));
        let length = request.bytes.len();
        let head = format!(
            "{head}user-agent: {agent}\r\ncontent-encoding: snappy\r\ncontent-type: {content_type}\r\n\
             x-prometheus-remote-write-version: {version}\r\ncontent-length: {length}\r\n{shown}\r\n"
        );
        let mut message = Vec::with_capacity(head.len() + length);
        message.extend_from_slice(head.as_bytes());
        message.extend_from_slice(&request.bytes);
        Ok(message)
    }
}

/// The wait before another try: what the receiver asks for may make it longer, not shorter.
fn pause(backoff: Duration, asked: Option<Duration>) -> Duration {
    let asked = asked.map_or(backoff, |asked| asked.min(RETRY_AFTER_MAX));
    asked.max(backoff)
}

/// The answer's body, as far as it is logged.
async fn read(connection: &mut Connection<Stream>, head: &Head) -> Result<String, HttpError> {
    let mut bytes = Vec::new();
    let mut body = connection.begin(head.framing, ANSWER_BYTES_MAX, &mut bytes)?;
    while !body.is_done() {
        connection.read_more(&mut body, &mut bytes).await?;
    }
    bytes.truncate(LOGGED_BYTES_MAX);
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// What the receiver says that it has written; what it does not say is as in `otherwise`.
fn written(head: &Head, otherwise: outgoing::Counts) -> outgoing::Counts {
    let told = |at: usize, otherwise: u64| head.written[at].unwrap_or(otherwise);
    outgoing::Counts {
        samples: told(0, otherwise.samples),
        histograms: told(1, otherwise.histograms),
        exemplars: told(2, otherwise.exemplars),
        metadata: otherwise.metadata,
    }
}

fn missing(sent: outgoing::Counts, written: outgoing::Counts) -> outgoing::Counts {
    outgoing::Counts {
        samples: sent.samples.saturating_sub(written.samples),
        histograms: sent.histograms.saturating_sub(written.histograms),
        exemplars: sent.exemplars.saturating_sub(written.exemplars),
        metadata: sent.metadata.saturating_sub(written.metadata),
    }
}

#[cfg(test)]
mod tests;
