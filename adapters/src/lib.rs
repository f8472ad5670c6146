//! The faces of Stillwell.
