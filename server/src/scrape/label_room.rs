//! What labels of targets may take after relabelling. Counts of targets say nothing of it: one pod with thousands of ports and a
//! quarter of a megabyte of annotations took gigabytes.

use stillwell_engine::labels::Labels;

/// What the labels of a target may take after relabelling. The engine keeps them once for each series.
pub(super) const LABELS_BYTES_MAX: usize = 32 << 10;
/// What those of all targets of a job may take: 200,000 of a usual size.
pub(super) const JOB_LABELS_BYTES_MAX: usize = 128 << 20;
/// Why a target is refused whose labels find no room.
pub(super) const NO_ROOM: &str = "the labels of the job's targets take more than 128 MiB after relabelling: relabel_configs with `drop` or \
                       `labeldrop` leave some out";

/// How much of what the labels of a job's targets may take is left.
#[derive(Debug)]
pub struct LabelRoom(pub(super) usize);

impl Default for LabelRoom {
    fn default() -> LabelRoom {
        LabelRoom(JOB_LABELS_BYTES_MAX)
    }
}

impl LabelRoom {
    /// Counts the labels of a target that is known already.
    pub(super) fn count(&mut self, labels: &Labels) {
        self.0 = self.0.saturating_sub(labels.bytes());
    }

    /// Counts the labels of a target. Error: why it cannot have them.
    pub(super) fn take(&mut self, labels: &Labels) -> Result<(), String> {
        let bytes = labels.bytes();
        if bytes > LABELS_BYTES_MAX {
            return Err(format!(
                "its labels take {bytes} bytes after relabelling, and {LABELS_BYTES_MAX} at most: relabel_configs with \
                 `labeldrop` leave some out"
            ));
        }
        self.0 = self
            .0
            .checked_sub(bytes)
            .ok_or_else(|| NO_ROOM.to_owned())?;
        Ok(())
    }
}
