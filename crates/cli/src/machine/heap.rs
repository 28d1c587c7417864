//! An allocator that keeps large arrays close together, so that a process holds little more than what lives at its peak.
//!
//! A training step allocates and frees the same large arrays again and again. Handing each back to the system costs a page
//! fault for every page at the next use; a general heap puts small, long-lived things between them, and the holes that are
//! left make up a third of the peak on a ResNet. Here arrays from an eighth of a mebibyte on have a stretch of addresses to themselves:
//! each goes to the lowest hole that it fits, and neighbouring holes become one. Nothing is given back; what was used once is
//! used again, so a training run touches every page in its first step.

#![allow(unsafe_code, reason = "an allocator hands out addresses")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The allocator, unless a feature names another.
///
/// Smaller arrays are the system allocator's; so are all of them where the system has no addresses to reserve.
pub struct Heap;

/// Bytes from which an array is this heap's.
const LARGE: usize = 1 << 17;

const PAGE: usize = 4096;

/// Bytes of addresses to ask for; no memory is behind them until they are used.
const RESERVED: usize = 1 << 38;

/// Holes that are remembered; what more there were would not be used again.
const HOLES: usize = 1024;

/// Free addresses.
#[derive(Clone, Copy)]
struct Hole {
    start: usize,
    length: usize,
}

impl Hole {
    fn end(self) -> usize {
        self.start + self.length
    }
}

/// The addresses and their holes.
struct State {
    /// The reserved addresses; empty before the first array, and where the system refused.
    reserved: Hole,
    is_ready: bool,
    /// In the order of their addresses.
    holes: [Hole; HOLES],
    count: usize,
    /// Addresses from here on have never been used: their memory is zero.
    untouched: usize,
    /// Arrays so far.
    made: usize,
}

const NOTHING: Hole = Hole { start: 0, length: 0 };

static STATE: Mutex<State> = Mutex::new(State::new());

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    const fn new() -> Self {
        Self { reserved: NOTHING, is_ready: false, holes: [NOTHING; HOLES], count: 0, untouched: 0, made: 0 }
    }

    /// Takes some addresses over.
    fn begin(&mut self, reserved: Hole) {
        (self.reserved, self.is_ready, self.untouched) = (reserved, true, reserved.start);
        (self.holes[0], self.count) = (reserved, 1);
    }

    /// As many bytes of the lowest hole that has them.
    fn take(&mut self, length: usize) -> Option<usize> {
        let place = self.holes[..self.count].iter().position(|hole| hole.length >= length)?;
        let hole = &mut self.holes[place];
        let start = hole.start;
        (hole.start, hole.length) = (start + length, hole.length - length);
        if hole.length == 0 {
            self.remove(place);
        }
        Some(start)
    }

    /// Makes a hole, one with its neighbours.
    fn give(&mut self, mut hole: Hole) {
        let mut place = self.holes[..self.count].partition_point(|other| other.start < hole.start);
        if place < self.count && hole.end() == self.holes[place].start {
            hole.length += self.holes[place].length;
            self.remove(place);
        }
        if place > 0 && self.holes[place - 1].end() == hole.start {
            place -= 1;
            hole = Hole { start: self.holes[place].start, length: self.holes[place].length + hole.length };
            self.remove(place);
        }
        if self.count < HOLES {
            self.holes.copy_within(place..self.count, place + 1);
            self.holes[place] = hole;
            self.count += 1;
        }
    }

    fn remove(&mut self, place: usize) {
        self.holes.copy_within(place + 1..self.count, place);
        self.count -= 1;
    }
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
    use super::{Hole, NOTHING};

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
        Hole { start: address.expose_provenance(), length }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Hole, NOTHING};

    pub(super) fn reserve(_length: usize) -> Hole {
        NOTHING
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A heap of 100 bytes.
    fn state() -> Box<State> {
        let mut state = Box::new(State::new());
        state.begin(Hole { start: 1000, length: 100 });
        state
    }

    fn holes(state: &State) -> Vec<[usize; 2]> {
        state.holes[..state.count].iter().map(|hole| [hole.start, hole.length]).collect()
    }

    #[test]
    fn arrays_go_to_the_lowest_hole_that_fits() {
        let mut state = state();
        assert_eq!([10, 20, 30].map(|length| state.take(length)), [Some(1000), Some(1010), Some(1030)]);
        state.give(Hole { start: 1000, length: 10 });
        assert_eq!([20, 10, 21, 20].map(|length| state.take(length)), [Some(1060), Some(1000), None, Some(1080)]);
        assert_eq!((state.take(1), holes(&state)), (None, vec![]));
    }

    #[test]
    fn neighbouring_holes_become_one() {
        let mut state = state();
        for _ in 0..10 {
            assert!(state.take(10).is_some());
        }
        for start in [1020, 1000, 1080] {
            state.give(Hole { start, length: 10 });
        }
        assert_eq!(holes(&state), [[1000, 10], [1020, 10], [1080, 10]]);
        state.give(Hole { start: 1010, length: 10 });
        state.give(Hole { start: 1090, length: 10 });
        assert_eq!(holes(&state), [[1000, 30], [1080, 20]]);
        state.give(Hole { start: 1030, length: 50 });
        assert_eq!(holes(&state), [[1000, 100]]);
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: no two arrays overlap, and in the end one hole is left.
        #[test]
        fn arrays_never_overlap(choices in proptest::collection::vec((1..40_usize, any::<proptest::sample::Index>()), 1..80)) {
            let mut state = state();
            let mut living: Vec<[usize; 2]> = Vec::new();
            for (length, index) in choices {
                match state.take(length) {
                    Some(start) => {
                        prop_assert!(start >= 1000 && start + length <= 1100);
                        prop_assert!(living.iter().all(|[other, end]| start + length <= *other || *end <= start));
                        living.push([start, start + length]);
                    }
                    None => {
                        let [start, end] = living.swap_remove(index.index(living.len()));
                        state.give(Hole { start, length: end - start });
                    }
                }
            }
            for [start, end] in living {
                state.give(Hole { start, length: end - start });
            }
            prop_assert_eq!(holes(&state), vec![[1000, 100]]);
        }
    }

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
