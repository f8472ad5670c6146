//! Start timestamps: when what a sample counts began. They tell resets that the values do not show.

/// Whether the counter started over between two samples. A start of 0 is unknown; one at or behind its own sample
/// says nothing.
pub(super) fn is_reset(before_start: i64, before_ms: i64, start: i64, time_ms: i64) -> bool {
    if start == 0 || start >= time_ms || start < before_ms {
        return false;
    }
    if start > before_ms {
        return true;
    }
    // It began at the sample before: a delta, unless that sample's own start is unknown or makes no sense.
    before_start != 0 && before_start < before_ms
}

/// Whether a sample claims a start within what the sample before it already counts.
pub(super) fn overlaps(before_start: i64, before_ms: i64, start: i64) -> bool {
    start != 0 && start < before_ms && start != before_start
}
