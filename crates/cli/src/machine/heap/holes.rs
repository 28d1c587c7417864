//! Addresses that arrays have, and the holes between them.

use std::ops::Range;

/// Bytes of addresses to ask for; no memory is behind them until they are used.
pub(super) const RESERVED: usize = 1 << 38;

/// Holes that are remembered; what more there were would not be used again.
const HOLES: usize = 1024;

/// Bytes of addresses whose memory is given back at once: a large page.
pub(super) const CHUNK: usize = 1 << 21;

/// Memory behind holes that is kept whatever the arrays take, in bytes, and as a part of the most that they have taken: giving it back and
/// asking for it again every step would cost more than it is worth.
const SPARE: usize = 1 << 22;
const SPARE_PART: usize = 64;

/// Bytes of memory up to which none is given back at all: of a small network's time a tenth went into clearing it anew.
const FEW: usize = 1 << 26;

/// Free addresses.
#[derive(Clone, Copy)]
pub(super) struct Hole {
    pub(super) start: usize,
    pub(super) length: usize,
}

impl Hole {
    pub(super) fn end(self) -> usize {
        self.start + self.length
    }
}

/// The addresses and their holes.
pub(super) struct State {
    /// The reserved addresses; empty before the first array, and where the system refused.
    pub(super) reserved: Hole,
    pub(super) is_ready: bool,
    /// In the order of their addresses.
    holes: [Hole; HOLES],
    count: usize,
    /// Addresses from here on have never been used: their memory is zero.
    pub(super) untouched: usize,
    /// Whether there is memory behind a chunk of addresses, a bit each.
    backed: [u64; RESERVED / CHUNK / 64],
    /// Chunks with memory behind them.
    chunks: usize,
    /// Bytes of addresses that arrays have, and the most that they have had.
    living: usize,
    most: usize,
    /// Arrays so far.
    pub(super) made: usize,
}

pub(super) const NOTHING: Hole = Hole { start: 0, length: 0 };

impl State {
    pub(super) const fn new() -> Self {
        Self {
            reserved: NOTHING,
            is_ready: false,
            holes: [NOTHING; HOLES],
            count: 0,
            untouched: 0,
            backed: [0; RESERVED / CHUNK / 64],
            chunks: 0,
            living: 0,
            most: 0,
            made: 0,
        }
    }

    /// Takes some addresses over.
    pub(super) fn begin(&mut self, reserved: Hole) {
        (self.reserved, self.is_ready, self.untouched) = (reserved, true, reserved.start);
        (self.holes[0], self.count) = (reserved, 1);
    }

    /// As many bytes of the smallest hole that has them, the lowest of several.
    pub(super) fn take(&mut self, length: usize) -> Option<usize> {
        let fitting = self.holes[..self.count].iter().enumerate().filter(|(_, hole)| hole.length >= length);
        let (place, _) = fitting.min_by_key(|(_, hole)| hole.length)?;
        let hole = &mut self.holes[place];
        let start = hole.start;
        (hole.start, hole.length) = (start + length, hole.length - length);
        if hole.length == 0 {
            self.remove(place);
        }
        self.living += length;
        self.most = self.most.max(self.living);
        self.chunks_of(Hole { start, length }).for_each(|chunk| self.back(chunk));
        Some(start)
    }

    /// The numbers of the chunks that some addresses are in.
    fn chunks_of(&self, addresses: Hole) -> Range<usize> {
        let first = self.reserved.start;
        (addresses.start - first) / CHUNK..(addresses.end() - first).div_ceil(CHUNK)
    }

    /// Notes that there is memory behind a chunk.
    fn back(&mut self, chunk: usize) {
        let (word, bit) = (&mut self.backed[chunk / 64], 1 << (chunk % 64));
        self.chunks += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// Chunks that have memory behind them, lie in holes, and are more than arrays have ever needed: the highest first, since the lowest
    /// will be used again the soonest. Each is handed to `release`, and no longer counts.
    pub(super) fn trim(&mut self, mut release: impl FnMut(Hole)) {
        let allowed = (self.most + SPARE.max(self.most / SPARE_PART)).max(FEW).div_ceil(CHUNK);
        for place in (0..self.count).rev() {
            if self.chunks <= allowed {
                return;
            }
            let Hole { start, length } = self.holes[place];
            let first = self.reserved.start;
            let end = (start + length).min(self.untouched.max(first));
            for chunk in ((start.saturating_sub(first)).div_ceil(CHUNK)..end.saturating_sub(first) / CHUNK).rev() {
                let (word, bit) = (&mut self.backed[chunk / 64], 1 << (chunk % 64));
                if self.chunks > allowed && *word & bit != 0 {
                    *word &= !bit;
                    self.chunks -= 1;
                    release(Hole { start: first + chunk * CHUNK, length: CHUNK });
                }
            }
        }
    }

    /// Makes a hole, one with its neighbours.
    pub(super) fn give(&mut self, mut hole: Hole) {
        self.living -= hole.length;
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
    fn arrays_go_to_the_smallest_hole_that_fits() {
        let mut state = state();
        assert_eq!([10, 20, 30].map(|length| state.take(length)), [Some(1000), Some(1010), Some(1030)]);
        state.give(Hole { start: 1000, length: 10 });
        assert_eq!([20, 10, 21, 20].map(|length| state.take(length)), [Some(1060), Some(1000), None, Some(1080)]);
        assert_eq!((state.take(1), holes(&state)), (None, vec![]));
        state.give(Hole { start: 1010, length: 20 });
        state.give(Hole { start: 1060, length: 15 });
        assert_eq!([15, 20].map(|length| state.take(length)), [Some(1060), Some(1010)]);
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

    #[test]
    fn memory_behind_holes_goes_back_once_the_process_would_outgrow_its_arrays() {
        let mut state = Box::new(State::new());
        state.begin(Hole { start: 10 * CHUNK, length: 100 * CHUNK });
        state.untouched = 110 * CHUNK;
        let trim = |state: &mut State| {
            let mut released = Vec::new();
            state.trim(|hole| released.push([hole.start / CHUNK, hole.length / CHUNK]));
            released
        };
        let arrays = [10, 10, 10].map(|chunks| state.take(chunks * CHUNK).expect("a hole"));
        assert_eq!((trim(&mut state), state.chunks), (vec![], 30));
        state.give(Hole { start: arrays[0], length: 10 * CHUNK });
        state.give(Hole { start: arrays[2], length: 10 * CHUNK });
        assert_eq!((trim(&mut state), state.chunks), (vec![], 30), "no more than arrays have had");
        // No hole is large enough; two chunks are spare.
        assert_eq!(state.take(20 * CHUNK), Some(30 * CHUNK));
        assert_eq!(trim(&mut state), (12..20).rev().map(|chunk| [chunk, 1]).collect::<Vec<_>>());
        assert_eq!((state.chunks, trim(&mut state)), (32, vec![]));
        assert_eq!(state.take(CHUNK), Some(10 * CHUNK));
        assert_eq!(state.chunks, 32, "the lowest of the hole was kept");
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
}
