//! What belongs to the program's machine and to no library: its allocator, and readings of its memory.

mod accounted;
pub mod heap;
mod memory;

pub use accounted::Accounted;
pub use memory::{keep_freed, peak_memory, resident_memory};
