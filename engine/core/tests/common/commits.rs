//! The ways in which a page can be committed. They make no difference.

use stillwell_engine::{CommitError, Committed, ScrapeFacts, Staged, Timestamp, Writer};

/// Commits a page: at once or in steps of some lines, with its series added beforehand or not, as `how` says.
pub(crate) fn commit(
    writer: &mut Writer,
    staged: Staged<'_>,
    at: Timestamp,
    how: u32,
) -> Result<Committed, CommitError> {
    commit_beside(writer, staged, at, how, |_| ())
}

/// The same, and does something with the writer between two steps.
pub(crate) fn commit_beside(
    writer: &mut Writer,
    mut staged: Staged<'_>,
    at: Timestamp,
    how: u32,
    mut beside: impl FnMut(&mut Writer),
) -> Result<Committed, CommitError> {
    let facts = ScrapeFacts::default();
    while how % 2 == 1 && writer.add_series(&mut staged, at)? {}
    if (how / 2).is_multiple_of(2) {
        return writer.commit(staged, at, facts);
    }
    let lines_max = 1 + how as usize % 3;
    let mut commit = writer.begin_commit(staged, at, facts)?;
    beside(writer);
    while writer.commit_step(&mut commit, lines_max) {
        commit.prepare();
        beside(writer);
    }
    commit.gather();
    beside(writer);
    let (committed, page) = writer.finish_commit(commit);
    let template = page.into_template();
    beside(writer);
    writer.take_template(template);
    Ok(committed)
}
