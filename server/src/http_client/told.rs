//! What an error repeats of what a peer told: it is kept for each target, and shown to whoever asks for a target or a signal.

const TOLD_BYTES_MAX: usize = 200;

/// The start of it.
pub(super) fn shortened(told: &str) -> &str {
    &told[..told.floor_char_boundary(TOLD_BYTES_MAX)]
}
