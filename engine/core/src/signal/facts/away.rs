//! Whether a target was away: that nothing answered at its address for so long that another process may answer now (S6a).

/// What of that is known of a target.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// When it answered this program last, be it with an error, in milliseconds.
    heard_ms: Option<i64>,
    /// A scrape since then had no answer.
    is_silent: bool,
    /// It was away after its last good page.
    was_away: bool,
}

impl Away {
    /// A scrape has failed. Whoever answers with an error is there.
    pub(super) fn note_failure(&mut self, answered: bool, at_ms: i64, interval_ms: i64) {
        match answered {
            true => self.hear(at_ms, interval_ms),
            false => self.is_silent = true,
        }
    }

    /// It gives a good page. Whether it was away since the one before.
    pub(super) fn note_page(&mut self, at_ms: i64, interval_ms: i64) -> bool {
        self.hear(at_ms, interval_ms);
        std::mem::take(&mut self.was_away)
    }

    /// What [`Away::note_page`] would say.
    pub(super) fn is_back(&self, at_ms: i64, interval_ms: i64) -> bool {
        // One scrape that fails alone leaves two intervals, and a little more where scrapes are late.
        let for_ms = at_ms.saturating_sub(self.heard_ms.unwrap_or(at_ms));
        let is_long = for_ms.saturating_mul(2) > interval_ms.saturating_mul(5);
        self.was_away || self.is_silent && is_long
    }

    fn hear(&mut self, at_ms: i64, interval_ms: i64) {
        self.was_away = self.is_back(at_ms, interval_ms);
        self.heard_ms = Some(at_ms);
        self.is_silent = false;
    }
}
