//! The steady state allocates nothing, and what is read from a snapshot no more than may be held. Counted per thread by a global
//! allocator, so these tests have a binary of their own.

mod pages;
mod restore;
mod retain;

use stillwell_testing::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
