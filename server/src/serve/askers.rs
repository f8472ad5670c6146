//! Who asked lately for metrics whose query depends on who asks, and what was told: "why is it not scaling" is asked by the
//! name of a metric, and not by the query that a rule made of it.

use std::collections::HashMap;

use parking_lot::Mutex;
use stillwell_adapters::host::{Asker, ObjectQuestion};
use stillwell_adapters::objects::Selector;
use stillwell_engine::Timestamp;
use stillwell_engine::signal::SignalId;

/// At once; who asked longest ago makes room.
const ASKERS_MAX: usize = 2_000;

/// What is known of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The signal of the query; `None` where no query could be made.
    pub(super) signal: Option<SignalId>,
    pub(super) last: Timestamp,
    pub(super) told: String,
}

/// All of them.
#[derive(Default)]
pub(super) struct Askers(Mutex<HashMap<Asker, Asked>>);

impl Askers {
    /// Somebody was told this.
    pub(super) fn note(
        &self,
        asker: Asker,
        signal: Option<SignalId>,
        told: String,
        now: Timestamp,
    ) {
        let asked = Asked {
            signal,
            last: now,
            told,
        };
        let mut askers = self.0.lock();
        if let Some(known) = askers.get_mut(&asker) {
            *known = asked;
            return;
        }
        if askers.len() >= ASKERS_MAX
            && let Some(oldest) = askers
                .iter()
                .min_by_key(|(_, one)| one.last)
                .map(|(asker, _)| asker.clone())
        {
            askers.remove(&oldest);
        }
        askers.insert(asker, asked);
    }

    /// Forgets whoever has not asked for this long.
    pub(super) fn expire(&self, age_ms: i64, now: Timestamp) {
        let mut askers = self.0.lock();
        askers.retain(|_, one| now.since_ms(one.last) < age_ms);
    }

    /// Who they are, by metric.
    pub(super) fn list(&self) -> Vec<(Asker, Asked)> {
        let askers = self.0.lock();
        let mut list: Vec<_> = askers
            .iter()
            .map(|(asker, asked)| (asker.clone(), asked.clone()))
            .collect();
        drop(askers);
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }
}

/// A caller of the external metrics API.
pub(super) fn external(metric: &str, namespace: &str, selector: &Selector) -> Asker {
    Asker {
        metric: metric.to_owned(),
        api: "external",
        namespace: namespace.to_owned(),
        object: String::new(),
        selector: selector.to_string(),
    }
}

/// A caller of the custom metrics API; `name` is `*` for many objects.
pub(super) fn custom(question: &ObjectQuestion<'_>, name: &str) -> Asker {
    Asker {
        metric: question.metric.to_owned(),
        api: "custom",
        namespace: question.namespace.to_owned(),
        object: format!("{}/{name}", question.kind.resource),
        selector: question.selector.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn askers_are_remembered_once_bounded_and_forgotten() {
        let (askers, at) = (Askers::default(), Timestamp::from_ms);
        let of = |namespace: &str| external("lag", namespace, &Selector::default());
        askers.note(of("a"), None, "1".to_owned(), at(0));
        askers.note(of("a"), None, "2".to_owned(), at(1_000));
        let list = askers.list();
        assert_eq!((list.len(), list[0].1.told.as_str()), (1, "2"));
        for namespace in 0..2 * ASKERS_MAX as i64 {
            let asker = of(&namespace.to_string());
            askers.note(asker, None, String::new(), at(2_000 + namespace));
        }
        assert_eq!(askers.list().len(), ASKERS_MAX);
        askers.expire(1_000, at(1_000_000));
        assert_eq!(askers.list(), []);
        assert_eq!(of("a").to_string(), "lag (a)");
    }
}
