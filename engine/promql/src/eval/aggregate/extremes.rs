//! The largest or smallest samples of a group, for `topk` and `bottomk`.

/// Go's container/heap with Prometheus' comparison: which of several equal samples stays depends on the heap's own
/// moves, so they are the same here.
#[derive(Default)]
pub struct Heap {
    items: Vec<(f64, usize)>,
    ranked: Vec<(f64, usize, usize)>,
    top: bool,
}

impl Heap {
    /// Begins a group: its largest samples if `top`, else its smallest.
    pub fn start(&mut self, top: bool) {
        self.items.clear();
        self.top = top;
    }

    /// Makes room for groups of so many samples.
    pub fn reserve(&mut self, members: usize) {
        self.items.reserve(members);
        self.ranked.reserve(members);
    }

    /// Whether `a` is nearer to being thrown out.
    fn less(&self, a: f64, b: f64) -> bool {
        if a.is_nan() {
            return true;
        }
        if self.top { a < b } else { a > b }
    }

    /// Adds a sample, if it is among the best `k`, which is above 0.
    pub fn offer(&mut self, k: usize, value: f64, member: usize) {
        if self.items.len() < k {
            self.items.push((value, member));
            self.up();
            return;
        }
        let worst = self.items[0].0;
        let better = if self.top {
            worst < value
        } else {
            worst > value
        };
        if better || (worst.is_nan() && !value.is_nan()) {
            self.items[0] = (value, member);
            self.down();
        }
    }

    fn up(&mut self) {
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(self.items[at].0, self.items[parent].0) {
                return;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let (mut at, count) = (0, self.items.len());
        loop {
            let mut child = 2 * at + 1;
            if child >= count {
                return;
            }
            if child + 1 < count && self.less(self.items[child + 1].0, self.items[child].0) {
                child += 1;
            }
            if !self.less(self.items[child].0, self.items[at].0) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }

    /// Calls `take` with the samples that stay, best first, NaN last, and is empty again. Allocates nothing that it has not
    /// allocated before.
    pub fn finish(&mut self, mut take: impl FnMut(usize)) {
        let top = self.top;
        self.ranked.clear();
        let moved = self.items.drain(..).enumerate();
        self.ranked
            .extend(moved.map(|(place, (value, member))| (value, place, member)));
        // Equal samples stay in the order that the heap left them in.
        self.ranked.sort_unstable_by(|a, b| {
            let by_value = match (a.0.is_nan(), b.0.is_nan()) {
                (false, false) => {
                    let order = a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal);
                    if top { order.reverse() } else { order }
                }
                (a, b) => a.cmp(&b),
            };
            by_value.then(a.1.cmp(&b.1))
        });
        for (_, _, member) in &self.ranked {
            take(*member);
        }
    }
}
