//! Just enough of an HTTP/1.1 client (RFC 9112) to fetch pages, target lists and tokens: what comes after a response's
//! head goes from the socket straight into the page's buffer, and a connection holds 1 KiB between scrapes.
//!
//! A general client copies every page once more and keeps a read buffer per connection: a sixth of the CPU time of a
//! 430 kB page and 64 KiB a target. Heads are parsed by `httparse`; the framing of bodies is here. Bench: `rivals`.
//!
//! `transport` is TLS and proxy, `connect` makes a connection of them, `call` is one request without a page's care, and
//! `identity` is what a client shows beside: credentials and headers.

mod call;
mod chunks;
mod connect;
mod connection;
mod error;
mod head;
mod identity;
mod lookups;
mod oauth2;
mod proxy;
mod resolver;
mod stream;
mod tls;
mod told;
mod transport;
mod url;
mod zone;

pub(crate) use call::same_host;
pub use call::{Answer, Call, call};
pub use chunks::Chunks;
pub use connect::{connect, request_head};
pub use connection::{Body, Connection};
pub use error::HttpError;
pub use head::{Framing, Head};
pub use identity::Identity;
pub use lookups::{LOOKUPS_MAX, bound_lookups};
pub(crate) use lookups::{Silence, look_up};
pub use resolver::Resolver;
pub(crate) use resolver::in_words;
pub use stream::Stream;
pub use transport::Transport;
pub use url::{Scheme, Url, UrlError, encode_query};
pub(crate) use zone::zoned;
