//! A histogram as Prometheus prints it: `{count:4, sum:5, (1,2]:2, ...}`.

use std::fmt;

use super::FloatHistogram;
use crate::number_text::go_float;

impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{count:{}, sum:{}",
            go_float(self.count),
            go_float(self.sum)
        )?;
        for range in self.ranges().filter(|range| range.count != 0.0) {
            let open = if range.lower_inclusive { '[' } else { '(' };
            let close = if range.upper_inclusive { ']' } else { ')' };
            let (lower, upper) = (go_float(range.lower), go_float(range.upper));
            write!(
                f,
                ", {open}{lower},{upper}{close}:{}",
                go_float(range.count)
            )?;
        }
        f.write_str("}")
    }
}
