//! `POST /api/v1/read`: samples of the selected series, as remote read asks for them: all in one message, or as frames of
//! compressed chunks (storage/remote/read_handler.go).
//!
//! An answer is put together within the time and the memory that queries have, and sent whole.

mod buffer;
mod chunk;
mod frames;
pub mod messages;
mod reading;
mod request;
mod route;
#[cfg(test)]
mod tests;

pub use route::router;
