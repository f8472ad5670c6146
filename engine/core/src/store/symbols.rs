//! Interned strings: every label name and value once.
//!
//! Symbols are reference-counted by the series that use them. A symbol ends with its last user; its id is retired
//! until no reader can hold it (`epoch_reclaim`).

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::sharded_table::ShardedTable;
use super::symbol::Symbol;

/// Overhead of the allocator per text.
pub(super) const MALLOC_OVERHEAD: usize = 16;

/// Bytes of a symbol beside its text: an entry, a place in the hash table, and the spare capacity of both.
pub(super) const SYMBOL_BYTES: usize = 2 * size_of::<SymbolEntry>() + MALLOC_OVERHEAD + 26;

/// The table of interned strings.
#[derive(Default)]
pub(crate) struct Symbols {
    entries: Vec<SymbolEntry>,
    by_text: ShardedTable,
    hasher: DefaultHashBuilder,
    text_bytes: usize,
}

#[derive(Default)]
struct SymbolEntry {
    text: Box<str>,
    users: u32,
}

impl Symbols {
    /// The symbol of `text` with one more user: `known` if given, else looked up or created. `reuse` returns a freed id
    /// if there is one.
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
        if let Some(at) = self
            .by_text
            .find(hash, |&at| *self.entries[at as usize].text == *text)
        {
            self.entries[at as usize].users += 1;
            return Symbol(at);
        }
        let at = reuse().unwrap_or_else(|| {
            self.entries.push(SymbolEntry::default());
            self.entries.len() as u32 - 1
        });
        self.entries[at as usize] = SymbolEntry {
            text: Box::from(text),
            users: 1,
        };
        self.text_bytes += text.len();
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_text
            .insert_unique(hash, at, |&at| hasher.hash_one(&*entries[at as usize].text));
        Symbol(at)
    }

    /// Removes a user. True: it was the last one, and the id must be retired.
    pub(crate) fn release(&mut self, symbol: Symbol) -> bool {
        let at = symbol.0;
        self.entries[at as usize].users -= 1;
        if self.entries[at as usize].users > 0 {
            return false;
        }
        let hash = self.hasher.hash_one(&*self.entries[at as usize].text);
        self.by_text.remove(hash, |&have| have == at);
        self.text_bytes -= self.entries[at as usize].text.len();
        self.entries[at as usize].text = Box::default();
        true
    }

    /// The symbol of `text`, if a series uses it.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        let hash = self.hasher.hash_one(text);
        self.by_text
            .find(hash, |&at| *self.entries[at as usize].text == *text)
            .map(Symbol)
    }

    /// The text of a symbol in use.
    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        &self.entries[symbol.0 as usize].text
    }

    /// Bytes by which the hash table is about to grow.
    pub(crate) fn imminent_growth_bytes(&self) -> usize {
        self.by_text.imminent_growth_bytes()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.text_bytes
            + self.by_text.len() * MALLOC_OVERHEAD
            + self.entries.capacity() * size_of::<SymbolEntry>()
            + self.by_text.bytes()
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
