//! Every limit and budget of the engine, each with its reason. Relations between them are asserted at compile time.

/// Bytes of the longest line of a page. A label value from a client header may be long; a megabyte is an attack.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A page in protobuf as text is at most so many times as large. Real pages grow 3 to 8 times; one whose long labels belong
/// to many buckets could grow a million times.
pub const DECODED_RATIO_MAX: usize = 64;

/// Up to here the ratio does not matter.
pub const DECODED_SMALL_BYTES: usize = 8 << 20;

/// Exemplars that are kept, of all series together, the newest ones: some 4 MB. Prometheus keeps 100,000.
pub const EXEMPLARS_MAX: usize = 10_000;

/// Exemplars of one native histogram on one page, the newest ones; clients keep 10 unless they are told otherwise.
pub const HISTOGRAM_EXEMPLARS_MAX: usize = 100;

/// Characters of an exemplar's label names and values (OpenMetrics); one with more is left out.
pub const EXEMPLAR_CHARS_MAX: usize = 128;

/// Labels of one series on a page. Prometheus has no default limit; Kubernetes objects rarely pass 60.
pub const LABELS_PER_SERIES_MAX: usize = 512;

/// Series that a reader handles per lock hold: well under 100 us of walking their blocks, so that a commit, which takes
/// some 30 us, takes no more than twice its time whatever queries run (bench: `commit_wait`; 256 were 500 us).
pub const READ_BATCH_SERIES: usize = 32;

/// Families of a target whose texts a reader copies per lock hold: some 50 us.
pub const READ_BATCH_FAMILIES: usize = 256;

/// Rows that a reader looks at per lock hold, where it reads one label of each: some 100 us.
pub const READ_BATCH_ROWS: u32 = 2_048;

/// Bytes of history that a reader copies per lock hold, for the same reason.
pub const READ_BATCH_BYTES: usize = 16 << 10;

/// Objects that [`crate::Reader::objects`] judges per lock hold, or as many as there are targets: some milliseconds, while commits
/// wait.
pub const OBJECTS_AT_ONCE: usize = 1_024;

/// Targets that [`crate::Reader::signal_if_ready`] judges, once for each group where the result has groups: some 50 us
/// where the query names its metrics.
pub const READY_SIGNAL_TARGETS_MAX: usize = 256;

/// Elements of its result, which are copied.
pub const READY_SIGNAL_ELEMENTS_MAX: usize = 256;

/// Elements of a signal's result: each is judged when it is read. A query that yields more is none for a scaler, and is
/// unknown; of a signal that tells of objects there may be any number.
pub const SIGNAL_ELEMENTS_MAX: usize = 4_096;

/// Targets that are judged each second to find out which signals have changed their state, for all signals together: 3 ms
/// under the registry's lock. With more than that, signals take turns.
pub const TRANSITION_TARGETS_MAX: usize = 16_384;

/// Candidates per selector of a query that [`crate::Reader::instant_if_cheap`] answers: 300 us of copying and evaluating.
pub const CHEAP_QUERY_SERIES_MAX: usize = 1_024;

/// Bytes of history per selector of such a query: the changes of 1,024 series in 30 s.
pub const CHEAP_QUERY_HISTORY_BYTES_MAX: usize = 32 << 10;

/// Samples that such a query may hold at once: windows of unchanged values take no bytes, but are read sample by sample.
pub const CHEAP_QUERY_SAMPLES_MAX: u64 = 40_000;

/// Selectors of such a query; each may use all of the above.
pub const CHEAP_QUERY_SELECTORS_MAX: usize = 4;

/// Bytes of its text: work beside selectors is at most proportional to that.
pub const CHEAP_QUERY_TEXT_BYTES_MAX: usize = 2_000;

/// Series that the writer adds or changes per lock hold, so that a first page of 200,000 series does not block readers, or
/// those who wait for the writer, for its whole length: adding so many takes some 0.5 ms.
pub const WRITE_BATCH_SERIES: usize = 1_024;

/// Scrapes of one target that the clock may hold, whatever the retention: a day at 10 ms.
pub const CLOCK_ENTRIES_MAX: usize = 24 * 3600 * 100;

/// Rows of one template chunk after a split: an edit rewrites one chunk (about 20 kB), not the page.
pub const CHUNK_ROWS: usize = 256;

/// Template rows that are searched for a line before the line counts as new.
pub const RESYNC_ROWS: usize = 64;

/// Default memory limit of the engine, in bytes.
pub const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

/// Default retention.
pub const RETENTION_MS_DEFAULT: i64 = 3_600_000;

/// How far back an instant selector looks (Prometheus' `--query.lookback-delta`).
pub const LOOKBACK_MS_DEFAULT: i64 = 300_000;

/// How far in the future an explicit timestamp may be: 10 minutes, as for remote write in Prometheus.
pub const FUTURE_MS_MAX: i64 = 600_000;

/// The limits that an embedder sets.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes for everything held. At the limit the oldest history is dropped, never the newest value of a series; new
    /// series that do not fit even then are refused.
    pub memory_bytes_max: u64,
    /// Samples older than this are dropped, in milliseconds.
    pub retention_ms: i64,
}

/// Lines of one page that are read at all. Known gateways show up to 250,000; each costs some 200 bytes while the page is
/// taken, whatever is kept of it.
pub const PAGE_LINES_MAX: usize = 2_000_000;

/// Bytes of the memory limit that stand behind each line of one page: half of what a series takes.
const BYTES_PER_PAGE_LINE: u64 = 256;

impl Limits {
    /// Lines that a page may have. What cannot fit is refused before it is read to its end.
    pub(crate) fn page_lines_max(&self) -> usize {
        let fit = self.memory_bytes_max / BYTES_PER_PAGE_LINE;
        usize::try_from(fit)
            .unwrap_or(usize::MAX)
            .min(PAGE_LINES_MAX)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            retention_ms: RETENTION_MS_DEFAULT,
        }
    }
}

const _: () = assert!(WINDOW_BYTES_MAX as u64 <= MEMORY_BYTES_DEFAULT / 4);
const _: () = assert!(READ_BATCH_SERIES <= WRITE_BATCH_SERIES);
const _: () = assert!(RETENTION_MS_DEFAULT > LOOKBACK_MS_DEFAULT);
const _: () = assert!(RESYNC_ROWS < CHUNK_ROWS);

/// The shortest default hold time: two seconds cover a slow scrape at any interval (rule S5).
pub const HOLD_MS_MIN: i64 = 2_000;

/// Default restart grace (rule S6b).
pub const RESTART_GRACE_MS_DEFAULT: i64 = 60_000;

/// After a start, no signal waits longer than this for the first scrape of a target (rules S6f, S9d).
pub const FIRST_SCRAPE_WAIT_MS_MAX: i64 = 10_000;

/// So long after a start what a snapshot knows of targets stays that nobody has named since, while some job that may have them has given
/// no list; then they have left (rule S6f).
pub const UNLISTED_KEPT_MS: i64 = 3_600_000;

/// Label values remembered without expiry per group of targets, to prove that a selector's value exists. Client headers
/// can create values without bound; beyond this number the label index, which expires with retention, is used.
pub const REMEMBERED_VALUES_MAX: usize = 65_536;

/// Bytes of a metric name or label value that is remembered without expiry: names of a line's length would be gigabytes. What is
/// not remembered proves no absence.
pub const REMEMBERED_TEXT_BYTES_MAX: usize = 1_024;

/// Gaps between good scrapes remembered per target; older ones count as one.
pub const GAPS_MAX: usize = 64;

/// State changes kept per signal, to explain later why it scaled.
pub const TRANSITIONS_MAX: usize = 32;

/// Signals at the same time: configured ones, those of `/guarded` queries (500), and those of KEDA triggers (1,000).
pub const SIGNALS_MAX: usize = 4_000;

/// Contributing series that an explanation lists; further ones are only counted.
pub const EXPLAINED_SERIES_MAX: usize = 200;

/// Metric names remembered without expiry per group of targets, beside those that signals read, and per target with `retain: signals`.
/// A page can contain any number; a gateway has about 150. Also: metrics that are not in the names table and that a process has shown, of which
/// no series is stored, as hashes (some 300 kB a target where a page has another name each time). Of one that has shown more it is
/// not known what it has lost: a signal that comes then and reads a metric that its page does not have is unknown.
pub const REMEMBERED_METRICS_MAX: usize = 16_384;

/// Families of which a target's type, help text and unit are kept, and the bytes of these texts.
pub const FAMILIES_MAX: usize = 65_536;
/// See [`FAMILIES_MAX`].
pub const FAMILY_TEXT_BYTES_MAX: usize = 8 << 20;

/// Label names remembered per metric that signals read, and target.
pub const SHOWN_LABELS_MAX: usize = 128;

/// Selectors of a query that nobody configured ([`crate::signal::Policy::is_of_anybody`]), what it reads of recording rules included: each
/// takes some three kilobytes for as long as the query is kept, with a metric name of its own, and whoever may ask has 500 queries kept,
/// or 2,000 as KEDA's.
pub const ASKED_SELECTORS_MAX: usize = 100;

/// Selectors of a query of which those beside an `or` may stand in for one another: for each that is missing all others are looked
/// at. A scaling query has some ten.
pub const ALTERNATIVE_SELECTORS_MAX: usize = 100;

/// Metrics that are not in the names table and that a target's page has lost while no signal read them, of which the names are kept:
/// some 60 kB a target. Of others the hashes are ([`REMEMBERED_METRICS_MAX`]).
pub const LOST_METRICS_MAX: usize = 1_024;
/// ... of names of so many bytes. Those that signals read are remembered in any case.
pub const LOST_METRIC_BYTES_MAX: usize = 256;

/// How long a gateway may take from the start of its process to its first page. A process that was younger than a
/// restart grace, and this, when its page was first seen may have restarted in front of a replica of ours that knows
/// what was before (S6e).
pub const GATEWAY_START_MS_MAX: i64 = 30_000;

/// Pools remembered per target. A gateway serves one.
pub const POOLS_PER_TARGET_MAX: usize = 1_024;

/// Processes behind one page of which it is known when they started: each is looked at with every page.
pub const STARTS_PER_TARGET_MAX: usize = 1_024;

/// Sources behind a page of which its `up` says whether they are down: each is looked at with every page.
pub const SOURCES_PER_TARGET_MAX: usize = 100_000;
/// Of those that are down, for how many at most it is looked with one page what they had: some 20 us each.
pub const LOOKED_AT_SOURCES_MAX: usize = 100;
/// Series of all of them together that are remembered: some 4 MB.
pub const SERIES_OF_SOURCES_MAX: usize = 20_000;

/// Label names whose values are remembered because some query fixed them to a value.
pub const REMEMBERED_LABELS_MAX: usize = 1_024;

/// Bytes of the windows of all compiled signals together: 10,000 series over 5 minutes at 1 s take 25 MB. Beyond it a
/// signal is evaluated from history. At most a quarter of the memory limit.
pub const WINDOW_BYTES_MAX: usize = 128 << 20;

/// Elements that a compiled signal yields. A query with more is evaluated only when it is read.
pub const COMPILED_ELEMENTS_MAX: usize = 16_384;

/// Series that the programs of queries which strangers ask (those with [`crate::signal::Policy::series_max`]) select with one page
/// together, and one query more: some 10 ms under the registry's lock. The others select theirs with pages that follow, and are
/// evaluated from their plans when they are read.
pub const SELECTED_SERIES_MAX: usize = 8_192;

/// Such a query that failed at a page, for it reads or yields too much, is not evaluated again for so long.
pub const REFUSED_REST_MS: i64 = 1_000;

/// Operations of one compiled signal; a larger query is evaluated from its plan.
pub const COMPILED_OPS_MAX: usize = 512;

/// So many times that with what tells why comparisons of a query leave nothing: the query with 0 for what is not there, and where all
/// hold. Each has an operation for each of the query's, and one for each sum.
pub const COMPARED_OPS_TIMES: usize = 4;

/// How much deeper than a query these are nested.
pub const COMPARED_DEPTH: usize = 2;

/// Nesting depth up to which a query is compiled: the compiler recurses.
pub const COMPILED_DEPTH_MAX: usize = 128;

/// Values that the inner query of a compiled subquery may have to compute with one page, when none of its steps can be kept:
/// 5 ms. A larger one is evaluated from its plan.
pub const SUBQUERY_VALUES_MAX: usize = 250_000;

/// Values of them that are computed with one page: 0.5 ms. More of them are spread over the pages that follow, and the query is
/// evaluated from its plan until all are there.
pub const SUBQUERY_VALUES_PER_PAGE: usize = 25_000;

/// Longest scrape interval with which freshness is computed.
pub const INTERVAL_MS_MAX: i64 = 7 * 24 * 3_600_000;
