//! Every limit and budget of the engine, each with its reason. Relations are asserted at compile time.

/// Bytes of the longest line of a page. A label value from a client header may be long; a megabyte is an attack.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Labels of one series on a page. Prometheus has no default limit; Kubernetes objects rarely pass 60.
pub const LABELS_PER_SERIES_MAX: usize = 512;

/// Series that a reader handles per lock hold: well under 100 us of walking their blocks, so that a commit, which takes
/// some 30 us, takes no more than twice its time whatever queries run (bench: `commit_wait`; 256 were 500 us).
pub const READ_BATCH_SERIES: usize = 32;

/// Rows that a reader looks at per lock hold, where it reads one label of each: some 100 us.
pub const READ_BATCH_ROWS: u32 = 2_048;

/// Bytes of history that a reader copies per lock hold, for the same reason.
pub const READ_BATCH_BYTES: usize = 16 << 10;

/// Candidates per selector of a query that is answered in place: 300 us of copying and evaluating.
pub const CHEAP_QUERY_SERIES_MAX: usize = 1_024;

/// Bytes of history per selector of such a query: what 1,024 series change in half a minute.
pub const CHEAP_QUERY_HISTORY_BYTES_MAX: usize = 32 << 10;

/// Samples that such a query may hold at once: windows of values that stand cost no bytes, but are read sample by
/// sample.
pub const CHEAP_QUERY_SAMPLES_MAX: u64 = 40_000;

/// Selectors of such a query, for each may use all of the above.
pub const CHEAP_QUERY_SELECTORS_MAX: usize = 4;

/// Bytes of its text: work without selectors is at most proportional to that.
pub const CHEAP_QUERY_TEXT_BYTES_MAX: usize = 2_000;

/// Series that the writer adds or changes per lock hold, so that a first page of 200,000 series does not lock
/// readers out for its whole length.
pub const WRITE_BATCH_SERIES: usize = 4096;

/// Scrapes of one target that the clock may hold, whatever the retention: a day at 10 ms.
pub const CLOCK_ENTRIES_MAX: usize = 24 * 3600 * 100;

/// Rows of one template chunk after a split: an edit rewrites one chunk (about 20 kB), not the page.
pub const CHUNK_ROWS: usize = 256;

/// How far a changed page is searched for a line's old place before the line counts as new.
pub const RESYNC_ROWS: usize = 64;

/// Default bytes for everything that the engine holds.
pub const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

/// Default length of history.
pub const RETENTION_MS_DEFAULT: i64 = 3_600_000;

/// How far back an instant selector looks (Prometheus' `--query.lookback-delta`).
pub const LOOKBACK_MS_DEFAULT: i64 = 300_000;

/// How far ahead of our clock a written sample may be: remote write's own bound in Prometheus (10 minutes).
pub const FUTURE_MS_MAX: i64 = 600_000;

/// What an embedder may set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes for everything held: oldest history goes first, last values never; new series are refused at the limit.
    pub memory_bytes_max: u64,
    /// Samples older than this are dropped.
    pub retention_ms: i64,
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

/// The shortest default hold: two seconds ride out a slow scrape at any interval (`SIGNALS.md` S5).
pub const HOLD_MS_MIN: i64 = 2_000;

/// Default length of a restart grace (`SIGNALS.md` S6b).
pub const RESTART_GRACE_MS_DEFAULT: i64 = 60_000;

/// After a start nothing waits longer than this for a target's first scrape (`SIGNALS.md` S6d, S9d).
pub const FIRST_SCRAPE_WAIT_MS_MAX: i64 = 10_000;

/// Label values remembered for ever per group of targets, to prove that a selector's value is no typo. Client headers
/// can make values without end; past this the label index, which forgets with retention, has to do.
pub const REMEMBERED_VALUES_MAX: usize = 65_536;

/// Gaps between good scrapes remembered per target; older ones count as one.
pub const GAPS_MAX: usize = 64;

/// Changes of a signal's state that are kept for whoever asks later why it scaled.
pub const TRANSITIONS_MAX: usize = 32;

/// Signals at once: configured ones, those that queries of `/guarded` make (500), and those of KEDA's triggers (1,000).
pub const SIGNALS_MAX: usize = 4_000;

/// Contributing series that an explanation lists; it counts the others.
pub const EXPLAINED_SERIES_MAX: usize = 200;

/// Metric names remembered for ever per group of targets, and by each target that keeps only what signals need. A page
/// makes as many as it likes; a gateway has some 150.
pub const REMEMBERED_METRICS_MAX: usize = 16_384;

/// Pools remembered per target. A gateway serves one.
pub const POOLS_PER_TARGET_MAX: usize = 1_024;

/// Label names whose values are remembered because some query pinned them.
pub const REMEMBERED_LABELS_MAX: usize = 1_024;

/// Bytes that the windows of all standing programs may hold together: 10,000 series over 5 minutes at 1 s are 25 MB.
/// Past it a signal is evaluated from history. At most a quarter of what the engine may hold at all.
pub const WINDOW_BYTES_MAX: usize = 128 << 20;

/// Series that a standing program yields one by one, without aggregation. More are nobody's signal, and are looked at
/// only when somebody asks.
pub const STANDING_ELEMENTS_MAX: usize = 16_384;

/// Ops of one standing program; a larger query is evaluated as a plan.
pub const STANDING_OPS_MAX: usize = 512;

/// How deep a query may nest to become a standing program: the compiler recurses.
pub const STANDING_DEPTH_MAX: usize = 128;

/// Longest interval that freshness is reckoned by; a longer one is nobody's.
pub const INTERVAL_MS_MAX: i64 = 7 * 24 * 3_600_000;
