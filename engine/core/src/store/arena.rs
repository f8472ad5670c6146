//! An arena of short lists: one allocation for all of them, without header, pointer or capacity per list.
//!
//! The caller knows the length of each list. The place of a released list is reused by the next list of the same
//! length.

/// Lists of `T`, addressed by place.
pub(crate) struct Arena<T> {
    items: Vec<T>,
    /// Released places, by length of list.
    free: Vec<Vec<u32>>,
}

impl<T> Default for Arena<T> {
    fn default() -> Arena<T> {
        Arena {
            items: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Copy> Arena<T> {
    /// Stores a list and returns its place.
    pub(crate) fn put(&mut self, list: &[T]) -> u32 {
        if let Some(place) = self.free.get_mut(list.len()).and_then(Vec::pop) {
            self.items[place as usize..][..list.len()].copy_from_slice(list);
            return place;
        }
        let place = self.items.len() as u32;
        reserve_gradually(&mut self.items, list.len());
        self.items.extend_from_slice(list);
        place
    }

    /// The list of `len` items at a place.
    #[inline]
    pub(crate) fn get(&self, place: u32, len: usize) -> &[T] {
        &self.items[place as usize..][..len]
    }

    /// Everything from a place on, for callers that find the length in the list itself.
    #[inline]
    pub(crate) fn from(&self, place: u32) -> &[T] {
        &self.items[place as usize..]
    }

    /// Releases a list.
    pub(crate) fn release(&mut self, place: u32, len: usize) {
        if self.free.len() <= len {
            self.free.resize_with(len + 1, Vec::new);
        }
        self.free[len].push(place);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let places: usize = self.free.iter().map(Vec::capacity).sum();
        self.items.capacity() * size_of::<T>() + places * size_of::<u32>()
    }
}

/// Reserves room for `more` items, growing by an eighth: doubling a large column could exceed the memory limit for items
/// that may never come.
pub(crate) fn reserve_gradually<T>(items: &mut Vec<T>, more: usize) {
    const ITEMS_MIN: usize = 64;
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 8).max(ITEMS_MIN));
    }
}

/// The same from one item on, for lists of which there are many: twice as many each time while they are few.
pub(crate) fn reserve_few<T>(items: &mut Vec<T>) {
    const FEW: usize = 64;
    if items.len() == items.capacity() && items.len() < FEW {
        items.reserve_exact(items.len().max(1));
    } else {
        reserve_gradually(items, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_given_up_is_taken_by_the_next_list_of_its_length() {
        let mut arena = Arena::default();
        let (a, b) = (arena.put(&[1, 2]), arena.put(&[3, 4, 5]));
        arena.release(a, 2);
        let c = arena.put(&[6, 7, 8]);
        assert_eq!(arena.put(&[9, 9]), a);
        assert_eq!(
            [arena.get(a, 2), arena.get(b, 3), arena.get(c, 3)],
            [&[9, 9][..], &[3, 4, 5], &[6, 7, 8]]
        );
    }
}
