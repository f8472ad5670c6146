//! The steady state allocates nothing. Counted per thread by a global allocator, so these tests have a binary of their own.

mod pages;
mod retain;

use stillwell_testing::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
