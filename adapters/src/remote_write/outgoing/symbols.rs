//! The table of symbols of a 2.0 request: each text once, the empty one first.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Texts by number.
pub(super) struct Symbols {
    texts: String,
    /// Where each ends.
    ends: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Default for Symbols {
    fn default() -> Symbols {
        Symbols {
            texts: String::new(),
            ends: vec![0],
            numbers: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl Symbols {
    /// The number of a text, which it gets where it has none.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let (texts, ends) = (&self.texts, &self.ends);
        let hash = self.hasher.hash_one(text);
        if let Some(number) = self
            .numbers
            .find(hash, |number| at(texts, ends, *number) == text)
        {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.texts.push_str(text);
        self.ends.push(self.texts.len() as u32);
        let (texts, ends, hasher) = (&self.texts, &self.ends, &self.hasher);
        let rehash = |number: &u32| hasher.hash_one(at(texts, ends, *number));
        self.numbers.insert_unique(hash, number, rehash);
        number
    }

    /// All of them, by number.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|number| at(&self.texts, &self.ends, number))
    }

    /// Bytes that they take in a request, about.
    pub(super) fn bytes(&self) -> usize {
        self.texts.len() + 3 * self.ends.len()
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.ends.truncate(1);
        self.numbers.clear();
    }
}

fn at<'t>(texts: &'t str, ends: &[u32], number: u32) -> &'t str {
    let number = number as usize;
    let from = number.checked_sub(1).map_or(0, |before| ends[before]);
    &texts[from as usize..ends[number] as usize]
}
