//! The record: one line for each hot path, in git.
//!
//! ```text
//! name  instructions of one repetition
//! ```

/// How far a count may be from the record, in percent of it: what another build of the standard library may move.
const BAND_PERCENT: u64 = 3;

/// What the record says of a path; `None` where it names none of this name.
pub fn recorded(record: &str, name: &str) -> Option<u64> {
    let mut lines = record.lines().map(|line| line.split_whitespace());
    let mut of_name = lines.find(|fields| fields.clone().next() == Some(name))?;
    of_name.nth(1)?.parse().ok()
}

/// How a count compares with the record; an error where it is outside of the band, in either direction: a gain that is not
/// recorded hides the loss that comes after it.
pub fn compare(name: &str, counted: u64, record: &str) -> Result<String, String> {
    let Some(before) = recorded(record, name) else {
        return Err(format!("{name:28} {counted:>12}, not in the record"));
    };
    let change = counted as f64 / before.max(1) as f64 - 1.0;
    let said = format!(
        "{name:28} {counted:>12} {before:>12} {:>+7.1}%",
        change * 100.0
    );
    // In whole numbers, so that the edges of the band are in it.
    match counted.abs_diff(before).saturating_mul(100) <= before.saturating_mul(BAND_PERCENT) {
        true => Ok(said),
        false => Err(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_outside_of_the_band_is_an_error_in_either_direction() {
        let record = "# path\nscrape 1000\nread 50\n";
        for (name, counted, is_good) in [
            ("scrape", 1000, true),
            ("scrape", 1030, true),
            ("scrape", 970, true),
            ("scrape", 1031, false),
            ("scrape", 969, false),
            ("read", 50, true),
            ("missing", 1, false),
        ] {
            assert_eq!(
                compare(name, counted, record).is_ok(),
                is_good,
                "{name} {counted}"
            );
        }
    }
}
