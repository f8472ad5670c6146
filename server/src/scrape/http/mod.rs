//! Just enough of an HTTP/1.1 client (RFC 9112) to fetch pages: what comes after a response's head goes from the
//! socket straight into the page's buffer, and a connection holds 1 KiB between scrapes.
//!
//! A general client copies every page once more and keeps a read buffer per connection: a sixth of the CPU time of a
//! 430 kB page and 64 KiB a target. Heads are parsed by `httparse`; the framing of bodies is here. Bench: `rivals`.

mod chunks;
mod connection;
mod head;

pub use chunks::Chunks;
pub use connection::{Body, Connection};
pub use head::{Framing, Head};
