//! What belongs to the program's machine and to no library: its allocator, and readings of its memory.

mod accounted;
mod chosen;
#[cfg(not(any(feature = "allocator-system", feature = "allocator-jemalloc", feature = "allocator-mimalloc")))]
mod heap;
mod memory;

use accounted::Accounted;
pub use chosen::{CHOSEN, Chosen, NAME as ALLOCATOR};
pub use memory::{file_memory, keep_freed, peak_memory, resident_memory};
