//! Bytes in memory as what reads snapshots asks for them.

/// Fills each buffer with the next bytes. False: there are not so many left, and none of them are taken.
pub fn reading(mut bytes: &[u8]) -> impl FnMut(&mut [u8]) -> bool + '_ {
    move |buffer: &mut [u8]| match bytes.split_at_checked(buffer.len()) {
        Some((next, after)) => {
            buffer.copy_from_slice(next);
            bytes = after;
            true
        }
        None => false,
    }
}
