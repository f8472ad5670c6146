//! Epoch-based reuse of ids: an id that is freed is handed out again only when no reader can hold it any more.
//!
//! A reader holds a [`Pin`] of the current epoch while it works. A freed id joins the batch of the current epoch.
//! `advance` closes that batch and starts a new epoch; once every pin of the closed epoch is dropped, the batch is
//! free. Overlapping readers therefore delay reuse by the longest of them, never forever.

use std::sync::Arc;

/// A reader's hold on an epoch, from its first access to the store to its last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pin(Arc<()>);

/// Freed ids of one kind (series or symbols).
#[derive(Default)]
pub(crate) struct EpochReclaim {
    pin: Pin,
    current: Vec<u32>,
    waiting: Option<(Pin, Vec<u32>)>,
    free: Vec<u32>,
}

impl EpochReclaim {
    /// A pin of the current epoch, for a reader that starts now.
    pub(crate) fn pin(&self) -> Pin {
        self.pin.clone()
    }

    /// Frees an id. It is not reused before every present reader has finished.
    pub(crate) fn retire(&mut self, number: u32) {
        self.current.push(number);
    }

    /// An id that can be reused, if there is one; the lowest first, so that columns stay dense.
    pub(crate) fn reuse(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// How many ids can be reused now.
    pub(crate) fn reusable(&self) -> usize {
        self.free.len()
    }

    /// Advances one epoch and frees the ids that no live reader can hold. To be called about once a second.
    pub(crate) fn advance(&mut self) {
        if let Some((pin, numbers)) = self.waiting.take() {
            if Arc::strong_count(&pin.0) > 1 {
                self.waiting = Some((pin, numbers));
                return;
            }
            self.free.extend(numbers);
            self.free.sort_unstable_by(|a, b| b.cmp(a));
        }
        if !self.current.is_empty() {
            let pin = std::mem::take(&mut self.pin);
            self.waiting = Some((pin, std::mem::take(&mut self.current)));
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let waiting = self
            .waiting
            .as_ref()
            .map_or(0, |(_, numbers)| numbers.capacity());
        (self.current.capacity() + waiting + self.free.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_reused_while_an_older_reader_works() {
        let mut epoch_reclaim = EpochReclaim::default();
        let old_reader = epoch_reclaim.pin();
        epoch_reclaim.retire(7);
        epoch_reclaim.advance();
        let new_reader = epoch_reclaim.pin();
        epoch_reclaim.advance();
        assert_eq!(epoch_reclaim.reuse(), None);
        drop(old_reader);
        epoch_reclaim.advance();
        assert_eq!(epoch_reclaim.reuse(), Some(7));
        drop(new_reader);
    }
}
