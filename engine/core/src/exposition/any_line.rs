//! The full parser of a line, whatever its dialect.

use super::dialect::Dialect;
use super::line::{self, Cursor, Line};
use super::openmetrics_line;
use crate::limits::LINE_BYTES_MAX;

/// Parses the line at `start`. Returns it with the position after its line break, or the reason why it is malformed.
pub(super) fn parse(
    page: &[u8],
    start: usize,
    dialect: Dialect,
) -> Result<(Line<'_>, usize), String> {
    let mut cursor = Cursor { page, at: start };
    let line = match dialect {
        Dialect::Text => line::text(&mut cursor)?,
        Dialect::OpenMetrics | Dialect::Decoded => openmetrics_line::parse(&mut cursor, dialect)?,
    };
    cursor.line_break()?;
    if cursor.at - start > LINE_BYTES_MAX {
        return Err(format!(
            "the line is {} bytes long; the limit is {LINE_BYTES_MAX}",
            cursor.at - start
        ));
    }
    Ok((line, cursor.at))
}
