//! Numbers that are no longer used but may still be held by a reader that started before.
//!
//! Readers hold a [`Pin`] while they work. A freed number joins the current batch; `turn` closes the batch under a
//! new pin, and frees it once every reader that held the old one is gone. So a stream of overlapping readers delays
//! reuse by the longest of them, never for good.

use std::sync::Arc;

/// Held by a reader from its first look at the store to its last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pin(Arc<()>);

/// Freed numbers of one kind.
#[derive(Default)]
pub(crate) struct Limbo {
    pin: Pin,
    current: Vec<u32>,
    waiting: Option<(Pin, Vec<u32>)>,
    free: Vec<u32>,
}

impl Limbo {
    /// For a reader that starts now.
    pub(crate) fn pin(&self) -> Pin {
        self.pin.clone()
    }

    /// Nobody will hand out `number` before every present reader is gone.
    pub(crate) fn put(&mut self, number: u32) {
        self.current.push(number);
    }

    /// A number that is free to use again; the lowest first, so that columns stay dense.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// How many numbers are free to use again.
    pub(crate) fn ready(&self) -> usize {
        self.free.len()
    }

    /// Moves on; call it now and then.
    pub(crate) fn turn(&mut self) {
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
        let mut limbo = Limbo::default();
        let old_reader = limbo.pin();
        limbo.put(7);
        limbo.turn();
        let new_reader = limbo.pin();
        limbo.turn();
        assert_eq!(limbo.take(), None);
        drop(old_reader);
        limbo.turn();
        assert_eq!(limbo.take(), Some(7));
        drop(new_reader);
    }
}
