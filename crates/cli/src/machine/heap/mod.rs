//! An allocator that keeps large arrays close together, so that a process holds little more than what lives at its peak.
//!
//! A training step allocates and frees the same large arrays again and again. Handing each back to the system costs a page
//! fault for every page at the next use; a general heap puts small, long-lived things between them, and the holes that are
//! left make up a third of the peak on a ResNet. Here arrays from an eighth of a mebibyte on have a stretch of addresses to themselves:
//! each goes to the smallest hole that it fits, and neighbouring holes become one. What was used once is used again; only where holes would
//! make the process larger than its arrays have ever been together, memory behind holes goes back to the system.

#![allow(unsafe_code, reason = "an allocator hands out addresses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

mod holes;

use holes::{CHUNK, Hole, NOTHING, RESERVED, State};

/// The allocator, unless a feature names another.
///
/// Smaller arrays are the system allocator's; so are all of them where the system has no addresses to reserve.
pub struct Heap;

/// Bytes from which an array is this heap's.
const LARGE: usize = 1 << 17;

const PAGE: usize = 4096;

static STATE: Mutex<State> = Mutex::new(State::new());

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of addresses that an array takes: whole pages, and one more so that arrays need not all begin at a page's first byte.
fn length_of(size: usize) -> usize {
    (size + PAGE).next_multiple_of(PAGE)
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= 64
}

/// A large array, and whether its memory has never been used; none if there is no hole for it.
fn allocate(size: usize) -> Option<(*mut u8, bool)> {
    let mut state = state();
    if !state.is_ready {
        let reserved = system::reserve(RESERVED);
        state.begin(reserved);
    }
    let start = state.take(length_of(size))?;
    let is_fresh = start >= state.untouched;
    state.untouched = state.untouched.max(start + length_of(size));
    state.trim(system::release);
    state.made += 1;
    // Arrays that are read side by side would compete for the same cache sets if all began alike.
    let offset = 64 * (state.made * 11 % 64);
    Some((std::ptr::with_exposed_provenance_mut(start + offset), is_fresh))
}

/// Whether an array is this heap's; if so, its addresses are free from now on.
fn release(array: *mut u8, size: usize) -> bool {
    let mut state = state();
    let start = array.addr() / PAGE * PAGE;
    let is_ours = state.reserved.start <= start && start < state.reserved.end();
    if is_ours {
        state.give(Hole { start, length: length_of(size) });
    }
    is_ours
}

// SAFETY: `allocate` gives arrays of the size asked for, at multiples of 64, within addresses that no other array has until
// `release` makes a hole of them again; everything else is the system allocator's throughout: what it gave lies outside the
// reserved addresses.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_large(layout).then(|| allocate(layout.size())).flatten() {
            Some((array, _)) => array,
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_large(layout).then(|| allocate(layout.size())).flatten() {
            Some((array, true)) => array,
            Some((array, false)) => {
                // SAFETY: the array has as many bytes, and nobody else knows it yet.
                unsafe { array.write_bytes(0, layout.size()) };
                array
            }
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, array: *mut u8, layout: Layout) {
        if !(is_large(layout) && release(array, layout.size())) {
            // SAFETY: the caller's promise; the array is not of the reserved addresses, so the system allocator gave it.
            unsafe { System.dealloc(array, layout) };
        }
    }

    unsafe fn realloc(&self, array: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` makes a layout with the array's alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if !is_large(layout) && !is_large(wanted) {
            // SAFETY: the caller's promise, and the system allocator gave the array.
            return unsafe { System.realloc(array, layout, size) };
        }
        // SAFETY: a new array, as many bytes of the old one as both have, and the old one given back by its own layout.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(array, moved, size.min(layout.size()));
                self.dealloc(array, layout);
            }
            moved
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{CHUNK, Hole, NOTHING};

    /// Addresses without memory behind them; nothing if the system refuses.
    pub(super) fn reserve(length: usize) -> Hole {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the system's choice touches no memory of ours.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind, -1, 0) };
        if address == libc::MAP_FAILED {
            return NOTHING;
        }
        // Large pages make a step 2 % faster. Where there are none the advice does nothing.
        // SAFETY: the mapping is our own, and advice changes nothing that it holds.
        unsafe { libc::madvise(address, length, libc::MADV_HUGEPAGE) };
        // From a large page's first byte on, so that giving one back takes none apart.
        let (start, end) = (address.expose_provenance(), address.addr() + length);
        let start = start.next_multiple_of(CHUNK);
        Hole { start, length: end - start }
    }

    /// Gives the memory behind addresses in a hole back; they read as zero when they are used again.
    pub(super) fn release(addresses: Hole) {
        let start = std::ptr::with_exposed_provenance_mut(addresses.start);
        // SAFETY: the addresses are of our own mapping, and in a hole: nobody has an array there.
        unsafe { libc::madvise(start, addresses.length, libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Hole, NOTHING};

    pub(super) fn reserve(_length: usize) -> Hole {
        NOTHING
    }

    pub(super) fn release(_addresses: Hole) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large and small arrays, cleared ones, and ones that grow, through the allocator's own functions.
    #[test]
    fn arrays_hold_what_was_written_to_them() {
        let layout = |size: usize| Layout::from_size_align(size, 64).expect("a layout");
        // SAFETY: every array is written within its size and freed by its own layout.
        unsafe {
            let first = Heap.alloc(layout(LARGE));
            let second = Heap.alloc(layout(2 * LARGE));
            first.write_bytes(1, LARGE);
            second.write_bytes(2, 2 * LARGE);
            assert_eq!((first.addr() % 64, *first.add(LARGE - 1), *second), (0, 1, 2));
            Heap.dealloc(first, layout(LARGE));
            let cleared = Heap.alloc_zeroed(layout(LARGE));
            assert!(std::slice::from_raw_parts(cleared, LARGE).iter().all(|byte| *byte == 0));
            let grown = Heap.realloc(second, layout(2 * LARGE), 3 * LARGE);
            assert!(std::slice::from_raw_parts(grown, 2 * LARGE).iter().all(|byte| *byte == 2));
            let shrunk = Heap.realloc(grown, layout(3 * LARGE), 100);
            assert!(std::slice::from_raw_parts(shrunk, 100).iter().all(|byte| *byte == 2));
            Heap.dealloc(shrunk, layout(100));
            Heap.dealloc(cleared, layout(LARGE));
        }
    }
}
