//! Every label name and value once. Symbols are counted by the series that use them and end with the last of them;
//! their numbers rest in limbo until no reader can still hold one (`store/limbo`).

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::arena::bytes_soon;
use super::symbol::Symbol;

/// What the allocator adds to a text.
const MALLOC_OVERHEAD: usize = 16;

/// What a symbol takes beside its text: an entry, a place in the hash table, and a list of its own in the index.
pub(crate) const SYMBOL_BYTES: usize = size_of::<Entry>() + MALLOC_OVERHEAD + 200;

/// The table of interned strings.
#[derive(Default)]
pub(crate) struct Symbols {
    entries: Vec<Entry>,
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
    text_bytes: usize,
}

#[derive(Default)]
struct Entry {
    text: Box<str>,
    users: u32,
}

impl Symbols {
    /// The symbol of `text`, which is `known` or may have to be made, with one user more.
    /// `reuse` hands out a number that is free again, if there is one.
    pub(crate) fn acquire(
        &mut self,
        known: Option<Symbol>,
        text: &str,
        reuse: impl FnOnce() -> Option<u32>,
    ) -> Symbol {
        if let Some(symbol) = known {
            self.entries[symbol.0 as usize].users += 1;
            return symbol;
        }
        let hash = self.hasher.hash_one(text);
        if let Some(&at) = self
            .by_text
            .find(hash, |&at| *self.entries[at as usize].text == *text)
        {
            self.entries[at as usize].users += 1;
            return Symbol(at);
        }
        let at = reuse().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() as u32 - 1
        });
        self.entries[at as usize] = Entry {
            text: Box::from(text),
            users: 1,
        };
        self.text_bytes += text.len();
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_text
            .insert_unique(hash, at, |&at| hasher.hash_one(&*entries[at as usize].text));
        Symbol(at)
    }

    /// One user fewer. True when it was the last: the number then belongs into limbo.
    pub(crate) fn release(&mut self, symbol: Symbol) -> bool {
        let at = symbol.0;
        self.entries[at as usize].users -= 1;
        if self.entries[at as usize].users > 0 {
            return false;
        }
        let hash = self.hasher.hash_one(&*self.entries[at as usize].text);
        if let Ok(found) = self.by_text.find_entry(hash, |&have| have == at) {
            found.remove();
        }
        self.text_bytes -= self.entries[at as usize].text.len();
        self.entries[at as usize].text = Box::default();
        true
    }

    /// The symbol of `text`, if a series uses it.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        let hash = self.hasher.hash_one(text);
        self.by_text
            .find(hash, |&at| *self.entries[at as usize].text == *text)
            .map(|&at| Symbol(at))
    }

    /// The text of a symbol in use.
    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        &self.entries[symbol.0 as usize].text
    }

    /// See `Series::bytes_soon`.
    pub(crate) fn bytes_soon(&self) -> usize {
        let table = &self.by_text;
        bytes_soon(table.len(), table.capacity(), table.allocation_size())
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.text_bytes
            + self.by_text.len() * MALLOC_OVERHEAD
            + self.entries.capacity() * size_of::<Entry>()
            + self.by_text.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_lives_as_long_as_its_users() {
        let mut symbols = Symbols::default();
        let a = symbols.acquire(None, "a", || None);
        assert_eq!(symbols.acquire(None, "a", || None), a);
        assert!(!symbols.release(a));
        assert_eq!(symbols.find("a"), Some(a));
        assert!(symbols.release(a));
        assert_eq!(symbols.find("a"), None);
        let b = symbols.acquire(None, "b", || Some(a.0));
        assert_eq!((b, symbols.text(b)), (a, "b"));
    }
}
