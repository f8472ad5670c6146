//! Counts what is kept of the objects of a watch. Beyond a bound the namespace that holds most gives way, whole, and whoever uses
//! the objects is told so: what was seen of it last stays, and no sum is made without it. Others' objects are followed on.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;

use serde::Serialize;

/// A namespace and a name (apimachinery, `IsDNS1123Subdomain`: 253 bytes each).
const KEY_BYTES_MAX: usize = 2 * 253 + 1;

/// What is kept of an object.
pub(crate) trait Kept {
    /// How many bytes it holds, about.
    fn bytes(&self) -> usize;
}

impl Kept for serde_json::Value {
    fn bytes(&self) -> usize {
        json_bytes(self)
    }
}

/// The length of an object as JSON, which is about what it takes.
pub(crate) fn json_bytes(object: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing does not fail, and a key that is no text ends it early: then it counts for what was written.
    serde_json::to_writer(&mut count, object).ok();
    count.0
}

/// How much is kept of a kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Objects.
    pub(crate) objects: usize,
    /// Bytes of what is kept of them.
    pub(crate) bytes: usize,
    /// Whether the namespace that holds most is left out where it is more. Else nothing can be seen.
    pub(crate) leaves_out: bool,
}

impl Default for Bounds {
    /// Objects are some forty times what a process is meant for; 200,000 pods take some 360 MB.
    fn default() -> Bounds {
        Bounds {
            objects: 200_000,
            bytes: 400 << 20,
            leaves_out: true,
        }
    }
}

/// Objects and bytes that whoever uses a watch keeps, by namespace.
pub(super) type Sizes = HashMap<String, (usize, usize)>;

/// Counts what is kept of all objects of a watch.
pub(super) struct Budget {
    bounds: Bounds,
    /// Namespace and bytes by the hash of a key, which nobody else can foretell: two keys of one hash count as one object.
    of: HashMap<u64, (u32, usize)>,
    hasher: RandomState,
    bytes: usize,
    /// By the number of a namespace.
    namespaces: Vec<Held>,
    numbers: HashMap<String, u32>,
}

#[derive(Default)]
struct Held {
    name: String,
    objects: usize,
    bytes: usize,
    is_left_out: bool,
}

/// What becomes of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Fits,
    /// Its namespace is left out.
    LeftOut,
    /// Not before all of this namespace is left out, which holds most.
    Instead(String),
}

/// The namespace of an object by its key; nothing where it has none.
pub(crate) fn namespace_of(key: &str) -> &str {
    key.split_once('/').map_or("", |(namespace, _)| namespace)
}

impl Budget {
    pub(super) fn new(bounds: Bounds) -> Budget {
        Budget {
            bounds,
            of: HashMap::new(),
            hasher: RandomState::new(),
            bytes: 0,
            namespaces: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// Counts an object, in the place of an earlier one, if it fits. Error: nothing more can be kept, for this reason.
    pub(super) fn put(&mut self, key: &str, kept: &impl Kept) -> Result<Room, String> {
        if key.len() > KEY_BYTES_MAX {
            return Err(format!(
                "an object whose namespace and name take {} bytes: in Kubernetes they take {KEY_BYTES_MAX} at most",
                key.len()
            ));
        }
        let number = self.number(namespace_of(key));
        if self.namespaces[number as usize].is_left_out {
            return Ok(Room::LeftOut);
        }
        let (hash, bytes) = (self.hasher.hash_one(key), key.len() + kept.bytes());
        let (before, one) = match self.of.get(&hash) {
            Some((_, bytes)) => (*bytes, 0),
            None => (0, 1),
        };
        let more = (self.of.len() + one, self.bytes - before + bytes);
        let held = &mut self.namespaces[number as usize];
        let was = (held.objects, held.bytes);
        (held.objects, held.bytes) = (was.0 + one, was.1 - before + bytes);
        if more.0 > self.bounds.objects || more.1 > self.bounds.bytes {
            let most = self.most(more.0 > self.bounds.objects);
            let held = &mut self.namespaces[number as usize];
            (held.objects, held.bytes) = was;
            return most.map(Room::Instead).ok_or_else(|| self.beyond());
        }
        self.of.insert(hash, (number, bytes));
        self.bytes = more.1;
        Ok(Room::Fits)
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some((number, bytes)) = self.of.remove(&self.hasher.hash_one(key)) {
            let held = &mut self.namespaces[number as usize];
            // Of two keys of one hash each may be of another namespace.
            held.objects = held.objects.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(bytes);
            self.bytes -= bytes;
        }
    }

    /// Takes none of the objects of a namespace from now on, of which all were removed.
    pub(super) fn leave_out(&mut self, namespace: &str) {
        let number = self.number(namespace);
        self.namespaces[number as usize].is_left_out = true;
    }

    /// The namespaces that are left out.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &str> {
        let left_out = self.namespaces.iter().filter(|held| held.is_left_out);
        left_out.map(|held| &*held.name)
    }

    pub(super) fn is_left_out(&self, namespace: &str) -> bool {
        let number = self.numbers.get(namespace);
        number.is_some_and(|number| self.namespaces[*number as usize].is_left_out)
    }

    /// What is kept of each namespace from now on, where it was `before`: what is counted, and what was there of those that are
    /// left out. Error: that alone is more than is kept.
    pub(super) fn sizes(&self, before: &Sizes) -> Result<Sizes, String> {
        let (mut sizes, mut last) = (Sizes::new(), (0, 0));
        for held in &self.namespaces {
            let mut size = (held.objects, held.bytes);
            if held.is_left_out {
                size = before.get(&held.name).copied().unwrap_or_default();
                last = (last.0 + size.0, last.1 + size.1);
            }
            sizes.insert(held.name.clone(), size);
        }
        match last.0 > self.bounds.objects || last.1 > self.bounds.bytes {
            true => Err(self.beyond()),
            false => Ok(sizes),
        }
    }

    /// What is more than is kept.
    pub(super) fn beyond(&self) -> String {
        format!(
            "there are more than {} objects, or more than {} MiB of what is kept of them: narrow them by `selectors` or `namespaces`",
            self.bounds.objects,
            self.bounds.bytes >> 20
        )
    }

    /// The namespace that holds most, if it may be left out and is not all that there is.
    fn most(&self, by_objects: bool) -> Option<String> {
        let holding = self.namespaces.iter();
        let holding = holding.filter(|held| held.objects > 0 && !held.is_left_out);
        let others = holding.clone().count() > 1;
        let most = holding.max_by_key(|held| match by_objects {
            true => held.objects,
            false => held.bytes,
        });
        most.filter(|_| others && self.bounds.leaves_out)
            .map(|most| most.name.clone())
    }

    fn number(&mut self, namespace: &str) -> u32 {
        if let Some(number) = self.numbers.get(namespace) {
            return *number;
        }
        let number = self.namespaces.len() as u32; // of some hundred thousand objects
        self.namespaces.push(Held {
            name: namespace.to_owned(),
            ..Held::default()
        });
        self.numbers.insert(namespace.to_owned(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(usize);

    impl Kept for Bytes {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn put(budget: &mut Budget, key: &str, bytes: usize) -> Result<Room, String> {
        budget.put(key, &Bytes(bytes))
    }

    /// A watch added what it was sent, as long as it was sent: 1.2 GB in 20 s.
    #[test]
    fn what_a_watch_keeps_is_bounded() {
        let bounds = Bounds::default();
        let mut budget = Budget::new(bounds);
        let put = |budget: &mut Budget, key: &str, bytes| put(budget, key, bytes);
        assert!(
            put(&mut budget, &"n".repeat(3 << 20), 1).is_err(),
            "no name of Kubernetes"
        );
        let half = bounds.bytes / 2;
        for _ in 0..3 {
            // In the place of the one before.
            assert_eq!(put(&mut budget, "a", half), Ok(Room::Fits));
        }
        let why = put(&mut budget, "b", half).expect_err("both are more than there may be");
        assert!(
            why.contains("400 MiB") && why.contains("selectors"),
            "{why}"
        );
        assert_eq!(put(&mut budget, "b", 1_000), Ok(Room::Fits));
        budget.remove("a");
        assert_eq!(put(&mut budget, "c", half), Ok(Room::Fits), "a is gone");
        for key in ["b", "c", "never"] {
            budget.remove(key);
        }
        assert_eq!(budget.bytes, 0);
        for at in 0..bounds.objects {
            let fits = put(&mut budget, &at.to_string(), 1);
            assert_eq!(fits, Ok(Room::Fits), "so many there may be");
        }
        assert!(put(&mut budget, "one more", 1).is_err());
        assert_eq!(put(&mut budget, "0", 2), Ok(Room::Fits), "it is there");
    }

    /// A tenant's thousand large Services ended discovery for the cluster.
    #[test]
    fn the_namespace_that_holds_most_is_left_out() {
        let bounds = |leaves_out| Bounds {
            objects: 10,
            bytes: 1_000,
            leaves_out,
        };
        let fill = |budget: &mut Budget| {
            assert_eq!(put(budget, "mine/a", 100), Ok(Room::Fits));
            for at in 0..8 {
                assert_eq!(put(budget, &format!("zoo/{at}"), 90), Ok(Room::Fits));
            }
        };
        let mut budget = Budget::new(bounds(true));
        fill(&mut budget);
        let zoo = Ok(Room::Instead("zoo".to_owned()));
        assert_eq!(put(&mut budget, "zoo/8", 700), zoo);
        assert_eq!(put(&mut budget, "mine/b", 130), zoo, "whoever asks");
        for at in 0..8 {
            budget.remove(&format!("zoo/{at}"));
        }
        budget.leave_out("zoo");
        assert_eq!(put(&mut budget, "zoo/8", 1), Ok(Room::LeftOut));
        assert_eq!(put(&mut budget, "mine/b", 130), Ok(Room::Fits));
        budget.remove("zoo/0");
        assert_eq!((budget.of.len(), budget.bytes), (2, 242));
        assert!(budget.left_out().eq(["zoo"]) && budget.is_left_out("zoo"));
        // What stays of it counts, too.
        let before = |objects| Sizes::from([("zoo".to_owned(), (objects, 100))]);
        let sizes = budget.sizes(&before(10)).expect("as many as there may be");
        assert_eq!((sizes["zoo"], sizes["mine"]), ((10, 100), (2, 242)));
        assert!(budget.sizes(&before(11)).is_err());
        // What is alone is not left out: what was there stays.
        assert!(put(&mut budget, "mine/c", 1_000).is_err());
        // By number as well.
        for at in 0..8 {
            assert_eq!(put(&mut budget, &format!("few/{at}"), 1), Ok(Room::Fits));
        }
        let few = Ok(Room::Instead("few".to_owned()));
        assert_eq!(put(&mut budget, "mine/c", 1), few);
        let mut whole = Budget::new(bounds(false));
        fill(&mut whole);
        assert!(put(&mut whole, "zoo/8", 700).is_err());
    }
}
