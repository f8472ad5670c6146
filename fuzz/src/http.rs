//! Answers of targets: any bytes are a page within the limit or an error, and in which pieces they come does not matter.

use stillwell::http_client::{Chunks, Connection, Head};
use tokio::io::{join, sink};
use tokio::runtime::Builder;

const LIMIT_BYTES: u64 = 4_096;

/// Reads them as the answer to a request.
pub fn run(data: &[u8]) {
    let runtime = Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    let page = runtime.block_on(read(data));
    if let Ok(page) = &page {
        assert!(page.len() as u64 <= LIMIT_BYTES);
    }
    if let Ok(Some((_, length))) = Head::parse(data) {
        assert!(length <= data.len());
        let coded = &data[length..];
        let whole = decoded(coded, coded.len().max(1));
        assert_eq!(whole.is_ok(), decoded(coded, 1).is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, decoded(coded, 3)) {
            assert_eq!(whole, pieces);
        }
    }
}

async fn read(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut connection = Connection::new("a:1".to_owned(), join(data, sink()));
    let head = connection.ask(b"GET / HTTP/1.1\r\n\r\n").await;
    let head = head.map_err(|error| error.to_string())?;
    let mut page = Vec::new();
    let mut body = connection
        .begin(head.framing, LIMIT_BYTES, &mut page)
        .map_err(|error| error.to_string())?;
    while !body.is_done() {
        let read = connection.read_more(&mut body, &mut page).await;
        read.map_err(|error| error.to_string())?;
    }
    Ok(page)
}

fn decoded(coded: &[u8], piece: usize) -> Result<(Vec<u8>, bool), String> {
    let (mut chunks, mut page) = (Chunks::default(), Vec::new());
    for part in coded.chunks(piece) {
        let from = page.len();
        page.extend_from_slice(part);
        chunks.take_off(&mut page, from)?;
    }
    Ok((page, chunks.is_done()))
}
