//! What the templates of one evaluation of a rule may do together: anybody who may write a rule writes them, and all rules
//! wait for one another.

use std::cell::Cell;

/// Bytes of texts, labels and lists that are made or looked at; of an annotation some hundred.
const WORK_BYTES_MAX: usize = 64 << 20;
/// So many bytes are as much work as to look whether there is time left.
const LOOK_BYTES: usize = 64 << 10;

/// Counts down.
pub(in super::super) struct Budget<'a> {
    left_bytes: Cell<usize>,
    /// Until the next look.
    look_bytes: Cell<usize>,
    is_over: &'a dyn Fn() -> bool,
}

impl<'a> Budget<'a> {
    /// Until `is_over` says so.
    pub(in super::super) fn new(is_over: &'a dyn Fn() -> bool) -> Budget<'a> {
        Budget {
            left_bytes: Cell::new(WORK_BYTES_MAX),
            look_bytes: Cell::new(0),
            is_over,
        }
    }

    /// Counts so many bytes of work. Error: there was too much.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), String> {
        match self.look_bytes.get().checked_sub(bytes) {
            Some(rest) => self.look_bytes.set(rest),
            None if (self.is_over)() => {
                self.left_bytes.set(0);
                return Err("the templates of this rule take too long".to_owned());
            }
            None => self.look_bytes.set(LOOK_BYTES),
        }
        let left = self.left_bytes.get().checked_sub(bytes);
        self.left_bytes.set(left.unwrap_or(0));
        let why = || format!("the templates of this rule look at more than {WORK_BYTES_MAX} bytes");
        left.map(drop).ok_or_else(why)
    }
}
