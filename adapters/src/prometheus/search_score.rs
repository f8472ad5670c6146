//! How well a name fits what somebody is typing, for `search/*`: scores from 0 to 1, those of Prometheus 3.14
//! (util/strutil, web/api/v1/search_filters.go), so that its clients rank ours alike.

/// How terms are compared with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The term's characters stand in the name, in order.
    Subsequence,
    /// The term stands in the name, or the two are similar by Jaro and Winkler.
    JaroWinkler,
}

/// What somebody types; a name fits where any of the terms does.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    terms: Vec<Vec<char>>,
    algorithm: Algorithm,
    threshold: f64,
    case_sensitive: bool,
}

impl Filter {
    /// Empty terms fit everything, and are left out.
    pub(super) fn new<'t>(
        terms: impl IntoIterator<Item = &'t str>,
        algorithm: Algorithm,
        threshold: f64,
        case_sensitive: bool,
    ) -> Filter {
        let terms = terms.into_iter().filter(|term| !term.is_empty());
        Filter {
            terms: terms.map(|term| chars(term, case_sensitive)).collect(),
            algorithm,
            threshold,
            case_sensitive,
        }
    }

    /// How well the name fits; `None` where it does not.
    pub(super) fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let name = chars(name, self.case_sensitive);
        let scores = self
            .terms
            .iter()
            .filter_map(|term| self.of_term(term, &name));
        scores.reduce(f64::max)
    }

    fn of_term(&self, term: &[char], name: &[char]) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence if name.starts_with(term) => Some(1.0),
            Algorithm::Subsequence => {
                subsequence(term, name).filter(|score| *score > 0.0 && *score >= self.threshold)
            }
            Algorithm::JaroWinkler => substring(term, name).or_else(|| {
                let score = jaro_winkler(term, name);
                (self.threshold > 0.0 && score >= self.threshold).then_some(score)
            }),
        }
    }
}

fn chars(text: &str, case_sensitive: bool) -> Vec<char> {
    if case_sensitive {
        text.chars().collect()
    } else {
        text.chars().flat_map(char::to_lowercase).collect()
    }
}

/// 1 at the beginning, less the later it stands.
fn substring(term: &[char], name: &[char]) -> Option<f64> {
    let at = name.windows(term.len()).position(|part| part == term)?;
    let last = name.len() - term.len();
    Some(match at {
        0 => 1.0,
        at => 1.0 - 0.9 * at as f64 / last as f64,
    })
}

/// The best of the matches that begin at each occurrence of the first character: squares of the lengths of what stands
/// together, less the gaps.
fn subsequence(term: &[char], name: &[char]) -> Option<f64> {
    // An exact match alone has the highest score.
    const NOT_EXACT: f64 = 0.999;
    if term == name {
        return Some(1.0);
    }
    let last_start = name.len().checked_sub(term.len())?;
    let mut best: f64 = -1.0;
    for start in (0..=last_start).filter(|start| name[*start] == term[0]) {
        match from(start, term, name) {
            Some(score) => best = best.max(score),
            None => break, // what follows is a part of what did not do
        }
    }
    let whole = (term.len() * term.len()) as f64;
    (best >= 0.0).then_some(best / whole * NOT_EXACT)
}

/// The score of the match that begins at `start`, not normalised.
fn from(start: usize, term: &[char], name: &[char]) -> Option<f64> {
    let per_char = 1.0 / name.len() as f64;
    let (mut at, mut matched, mut score, mut gap_from) = (start, 0, 0.0, 0);
    while matched < term.len() {
        at += name[at..].iter().position(|c| *c == term[matched])?;
        let run_from = at;
        while at < name.len() && matched < term.len() && name[at] == term[matched] {
            at += 1;
            matched += 1;
        }
        let run = at - run_from;
        score += (run * run) as f64 - (run_from - gap_from) as f64 * per_char;
        gap_from = at;
    }
    // What follows the match counts half.
    Some(score - (name.len() - gap_from) as f64 * per_char * 0.5)
}

/// Jaro's similarity with Winkler's bonus for a common beginning.
fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    const PREFIX_MAX: usize = 4;
    const PREFIX_BONUS: f64 = 0.1;
    if a == b {
        return 1.0;
    }
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let distance = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut in_short = Vec::new();
    for (at, c) in short.iter().enumerate() {
        let near = at.saturating_sub(distance)..(at + distance + 1).min(long.len());
        if let Some(there) = near
            .into_iter()
            .find(|there| !taken[*there] && long[*there] == *c)
        {
            taken[there] = true;
            in_short.push(*c);
        }
    }
    if in_short.is_empty() {
        return 0.0;
    }
    let in_long = long.iter().zip(&taken).filter(|(_, taken)| **taken);
    let swapped = in_short.iter().zip(in_long).filter(|(a, (b, _))| a != b);
    let (matches, swapped) = (in_short.len() as f64, swapped.count() as f64);
    let shares = matches / short.len() as f64 + matches / long.len() as f64;
    let jaro = (shares + (matches - swapped / 2.0) / matches) / 3.0;
    let pairs = short.iter().zip(long).take(PREFIX_MAX);
    let prefix = pairs.take_while(|(a, b)| a == b).count() as f64;
    jaro + prefix * PREFIX_BONUS * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(algorithm: Algorithm, term: &str, name: &str, threshold: f64) -> Option<f64> {
        let score = Filter::new([term], algorithm, threshold, true).score(name);
        score.map(|score| (score * 1e6).round() / 1e6)
    }

    #[test]
    fn scores_fall_with_gaps_and_lateness() {
        use Algorithm::{JaroWinkler, Subsequence};
        for (algorithm, term, name, threshold, wanted) in [
            (Subsequence, "up", "up", 0.0, Some(1.0)),
            (Subsequence, "que", "queue_size", 0.0, Some(1.0)),
            // Two runs of 1, a gap of 2 and 1 behind: 0.999 * (2 - 2/5 - 1/10)/4.
            (Subsequence, "ad", "abcde", 0.0, Some(0.374625)),
            (Subsequence, "size", "queue_size", 0.0, Some(0.961538)),
            (Subsequence, "size", "queue_size", 0.99, None),
            (Subsequence, "ezis", "queue_size", 0.0, None),
            (Subsequence, "longer", "long", 0.0, None),
            (JaroWinkler, "size", "size_of", 0.0, Some(1.0)),
            (JaroWinkler, "size", "queue_size", 0.0, Some(0.1)),
            (JaroWinkler, "martha", "marhta", 0.0, None),
            (JaroWinkler, "martha", "marhta", 0.9, Some(0.961111)),
            (JaroWinkler, "dixon", "dicksonx", 0.8, Some(0.813333)),
            (JaroWinkler, "a", "z", 0.1, None),
        ] {
            let have = score(algorithm, term, name, threshold);
            assert_eq!(have, wanted, "{algorithm:?} {term} {name}");
        }
    }

    #[test]
    fn any_term_will_do_and_case_may_not_count() {
        let terms = ["nothing", "", "QUEUE"];
        let filter = |case| Filter::new(terms, Algorithm::Subsequence, 0.0, case);
        assert_eq!(filter(true).score("queue"), None);
        assert_eq!(filter(false).score("Queue"), Some(1.0));
        let none = Filter::new([""], Algorithm::Subsequence, 1.0, true);
        assert_eq!(none.score("anything"), Some(1.0));
        assert_eq!(filter(false).score(""), None);
    }
}
