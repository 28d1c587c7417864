//! What belongs to the program's machine and to no library: its allocator, and readings of its memory.

pub mod heap;
mod memory;

pub use memory::{keep_freed, peak_memory};
