//! The labels that a series is sent with.

use stillwell_engine::labels::Labels;

/// The labels of a series with those of the server, ascending by name: where both have one, the series' counts
/// (storage/remote/queue_manager.go, `processExternalLabels`).
pub fn with_external<'a>(
    series: &'a Labels,
    external: &'a Labels,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let (mut own, mut added) = (series.iter().peekable(), external.iter().peekable());
    std::iter::from_fn(move || match (own.peek(), added.peek()) {
        (Some((name, _)), Some((other, _))) if other < name => added.next(),
        (Some((name, _)), Some((other, _))) if other == name => {
            added.next();
            own.next()
        }
        (Some(_), _) => own.next(),
        (None, _) => added.next(),
    })
}
