//! What the newest good pages of targets show, for whoever goes on from a snapshot.

use hashbrown::HashMap;

use crate::labels::Labels;
use crate::reader::Reader;
use crate::time::Timestamp;

impl Reader {
    /// The series on the newest good page of each of these targets, which are known by their labels, with the time of that page;
    /// `None` where there is no such target or page. Cost: a look at every series, with the lock of the store; for a start.
    pub fn newest_pages(&self, targets: &[Labels]) -> Vec<Option<(Timestamp, Vec<Labels>)>> {
        let mut pages: Vec<Option<(Timestamp, Vec<Labels>)>> = vec![None; targets.len()];
        let at_of: HashMap<&Labels, usize> = targets.iter().zip(0..).collect();
        let mut wanted = HashMap::new();
        for (id, target) in self.registry().read().facts.listed() {
            if let (Some(&at), Some(good_ms)) = (at_of.get(&target.labels), target.last_good_ms) {
                pages[at] = Some((Timestamp::from_ms(good_ms), Vec::new()));
                wanted.insert(id, at);
            }
        }
        if wanted.is_empty() {
            return pages;
        }
        let store = self.store().read();
        for (clock, series) in store.present().filter(|(clock, _)| !clock.is_report()) {
            let at = clock.target().and_then(|target| wanted.get(&target));
            if let Some((_, shown)) = at.and_then(|&at| pages[at].as_mut()) {
                shown.push(store.series.labels(series));
            }
        }
        pages
    }
}
