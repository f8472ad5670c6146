//! Elements of a vector in lists by group: the lists in order of their first elements, each in order of the
//! vector.

/// No element, or none behind it.
pub(super) const NO_ELEMENT: u32 = u32::MAX;

/// Lists by group.
#[derive(Default)]
pub(super) struct Buckets {
    /// By element.
    group_of: Vec<u32>,
    /// By element: the next of its group.
    next: Vec<u32>,
    /// By group: its first and last element.
    ends: Vec<(u32, u32)>,
    /// Groups with elements.
    order: Vec<u32>,
}

impl Buckets {
    /// Lists for so many groups; `group_of` is by element.
    pub(super) fn new(group_of: Vec<u32>, groups: usize) -> Buckets {
        Buckets {
            next: vec![NO_ELEMENT; group_of.len()],
            ends: vec![(NO_ELEMENT, NO_ELEMENT); groups],
            order: Vec::with_capacity(groups),
            group_of,
        }
    }

    /// The group of an element.
    pub(super) fn group_of(&self, element: u32) -> u32 {
        self.group_of[element as usize]
    }

    /// Takes these elements.
    pub(super) fn fill(&mut self, elements: &[u32]) {
        for group in self.order.drain(..) {
            self.ends[group as usize] = (NO_ELEMENT, NO_ELEMENT);
        }
        for &element in elements {
            self.next[element as usize] = NO_ELEMENT;
            let group = self.group_of[element as usize];
            let (first, last) = &mut self.ends[group as usize];
            if *first == NO_ELEMENT {
                *first = element;
                self.order.push(group);
            } else {
                self.next[*last as usize] = element;
            }
            *last = element;
        }
    }

    /// The groups that have elements.
    pub(super) fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().copied()
    }

    /// The elements of a group.
    pub(super) fn elements(&self, group: u32) -> impl Iterator<Item = u32> + '_ {
        let first = Some(self.ends[group as usize].0).filter(|first| *first != NO_ELEMENT);
        std::iter::successors(first, |element| {
            Some(self.next[*element as usize]).filter(|next| *next != NO_ELEMENT)
        })
    }
}
