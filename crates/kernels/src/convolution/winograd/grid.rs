//! Planes side by side: pixel by pixel, one plane a lane, on a grid that may reach over their edges.

use std::mem::MaybeUninit;

use pulp::{Simd, bytemuck};

use super::moments;
use crate::Real;
use crate::convolution::target::Moments;
use crate::convolution::turn;
use crate::source::LaneMap;

/// Pixels whose sums are added up at a time, about: enough for what follows each time to cost little.
const AT_ONCE: usize = 64;

/// What a grid holds of each plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grid {
    /// Height and width of a plane.
    pub plane: [usize; 2],
    /// The first row held, and the first column, which does not lie behind the plane's first.
    pub first: [isize; 2],
    /// Rows held, and columns, which reach to the plane's last; both may reach beyond.
    pub size: [usize; 2],
}

impl Grid {
    /// Places of a grid.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Puts those pixels of the planes that it holds to their places, mapped if there is a map; a plane without pixels stands for zeros. What lies
    /// outside of the planes stays as it is.
    #[inline(always)]
    pub(super) fn read<T: Real, S: Simd, const LANES: usize>(
        &self,
        simd: S,
        planes: &[&[T]; LANES],
        map: Option<LaneMap<T, S>>,
        places: &mut [T::Vector<S>],
    ) {
        let [height, width] = self.plane.map(|size| size as isize);
        let held = self.first[0].clamp(0, height)..(self.first[0] + self.size[0] as isize).clamp(0, height);
        let mut at = self.at_row(held.start);
        let [start, end] = [held.start, held.end].map(|row| (row * width) as usize);
        let whole = end - (end - start) % LANES;
        let zeros = [T::default(); LANES];
        for from in (start..whole).step_by(LANES) {
            let mut rows = [&zeros; LANES];
            for (row, plane) in rows.iter_mut().zip(planes) {
                if let Some(pixels) = plane.get(from..).and_then(<[T]>::first_chunk) {
                    *row = pixels;
                }
            }
            self.put(simd, &mut at, (&rows, LANES), map, places);
        }
        if whole < end {
            let mut rests = [zeros; LANES];
            for (rest, plane) in rests.iter_mut().zip(planes) {
                if let Some(pixels) = plane.get(whole..end) {
                    rest[..pixels.len()].copy_from_slice(pixels);
                }
            }
            self.put(simd, &mut at, (&rests.each_ref(), end - whole), map, places);
        }
    }

    /// Turns the next `count` pixels of all planes round, and puts those to their places that are held.
    #[inline(always)]
    fn put<T: Real, S: Simd, const LANES: usize>(
        &self,
        simd: S,
        at: &mut Cursor<'_>,
        (rows, count): (&[&[T; LANES]; LANES], usize),
        map: Option<LaneMap<T, S>>,
        places: &mut [T::Vector<S>],
    ) {
        let mut pixels = turn::turned::<T, S, LANES>(simd, rows);
        if let Some(map) = map {
            map.apply(simd, &mut pixels);
        }
        if count == LANES && at.stays_in_row(LANES) {
            for (place, &pixel) in places[at.place..][..LANES].iter_mut().zip(&pixels) {
                *place = pixel;
            }
            return at.pass(LANES);
        }
        for &pixel in pixels.iter().take(count) {
            places[at.place] = pixel;
            at.pass(1);
        }
    }

    /// Writes planes, of which the grid holds all: the first one's first pixel to `target[0]`, the next plane's `step` later, as many planes as it
    /// has room for.
    #[inline(always)]
    pub(super) fn write<T: Real, S: Simd, const LANES: usize>(
        &self,
        simd: S,
        places: &[[T; LANES]],
        (target, step): (&mut [MaybeUninit<T>], usize),
    ) {
        let [height, width] = self.plane;
        let whole = height * width / LANES * LANES;
        let mut at = self.at_row(0);
        for from in (0..whole).step_by(LANES) {
            match at.run(places) {
                Some(run) => store(simd, &run.each_ref(), LANES, (target, [from, step])),
                None => store(simd, &at.pixels(places, LANES), LANES, (target, [from, step])),
            }
        }
        let count = height * width - whole;
        if count > 0 {
            store(simd, &at.pixels(places, count), count, (target, [whole, step]));
        }
    }

    /// The moments of planes, of which the grid holds all.
    #[inline(always)]
    pub(super) fn moments<T: Real, S: Simd>(&self, simd: S, places: &[T::Vector<S>], moments: &mut [Moments]) {
        let [height, width] = self.plane;
        let mut sums = [T::splat(simd, T::default()); moments::REGISTERS];
        // Rows that lie one after the other.
        let at_once = if self.size[1] == width { (AT_ONCE / width).max(1) } else { 1 };
        for row in (0..height).step_by(at_once) {
            let start = self.at_row(row as isize).place;
            let pixels = at_once.min(height - row) * width;
            moments::add::<T, S>(simd, &mut sums, &places[start..start + pixels], row == 0);
        }
        moments::put::<T, S>(&sums, height * width, (moments, 1));
    }

    /// The first pixel of a row.
    #[inline(always)]
    fn at_row(&self, row: isize) -> Cursor<'_> {
        let place = (row - self.first[0]) * self.size[1] as isize - self.first[1];
        Cursor { grid: self, place: place as usize, column: 0 }
    }
}

/// Turns `count` pixels of all planes back, and writes those of the first plane to `target[from]` on, of the next plane `step` later, as many planes
/// as there is room for.
#[inline(always)]
fn store<T: Real, S: Simd, const LANES: usize>(
    simd: S,
    pixels: &[&[T; LANES]; LANES],
    count: usize,
    (target, [from, step]): (&mut [MaybeUninit<T>], [usize; 2]),
) {
    let rows = turn::turned::<T, S, LANES>(simd, pixels);
    let (rows, _) = bytemuck::cast_slice::<_, T>(&rows).as_chunks::<LANES>();
    // Counted, since a number of chunks would be divided for.
    for (lane, row) in rows.iter().enumerate() {
        let Some(plane) = target.get_mut(lane * step + from..).and_then(|plane| plane.get_mut(..count)) else {
            break;
        };
        plane.write_copy_of_slice(&row[..count]);
    }
}

/// Where on a grid the next pixel of the planes lies.
struct Cursor<'a> {
    grid: &'a Grid,
    place: usize,
    /// Of the plane.
    column: usize,
}

impl Cursor<'_> {
    /// Whether so many pixels lie one after the other.
    #[inline(always)]
    fn stays_in_row(&self, pixels: usize) -> bool {
        self.column + pixels <= self.grid.plane[1]
    }

    /// The next pixels, if they lie one after the other.
    #[inline(always)]
    fn run<'p, P, const LANES: usize>(&mut self, places: &'p [P]) -> Option<&'p [P; LANES]> {
        if !self.stays_in_row(LANES) {
            return None;
        }
        let run = places[self.place..].first_chunk();
        self.pass(LANES);
        run
    }

    /// The next `count` pixels, of at least one; anything behind them.
    #[inline(always)]
    fn pixels<'p, T: Real, const LANES: usize>(
        &mut self,
        places: &'p [[T; LANES]],
        count: usize,
    ) -> [&'p [T; LANES]; LANES] {
        let mut pixels = [&places[self.place]; LANES];
        for pixel in pixels.iter_mut().take(count) {
            *pixel = &places[self.place];
            self.pass(1);
        }
        pixels
    }

    /// Goes on by some pixels of a row.
    #[inline(always)]
    fn pass(&mut self, pixels: usize) {
        (self.place, self.column) = (self.place + pixels, self.column + pixels);
        if self.column == self.grid.plane[1] {
            (self.place, self.column) = (self.place + self.grid.size[1] - self.grid.plane[1], 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::convolution::turn::with_lanes;
    use crate::instructions;

    /// Reads planes, one less than there are lanes, to a grid with a margin, and writes them back.
    struct ThereAndBack {
        plane: [usize; 2],
        margin: usize,
    }

    impl WithSimd for ThereAndBack {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            const OUTSIDE: f32 = -7.0;
            let Self { plane: [height, width], margin } = self;
            let size = [height, width].map(|pixels| pixels + 2 * margin);
            let grid = Grid { plane: [height, width], first: [-(margin as isize); 2], size };
            with_lanes!(f32, S, LANES => {
                let count = LANES.saturating_sub(1).max(1);
                let values: Vec<f32> = (0..count * height * width).map(|value| value as f32).collect();
                let mut planes = [&[][..]; LANES];
                planes.iter_mut().zip(values.chunks_exact(height * width)).for_each(|(to, plane)| *to = plane);
                let mut places = vec![f32::splat(simd, OUTSIDE); grid.pixels()];
                grid.read(simd, &planes, None, &mut places);
                let (places, _) = bytemuck::cast_slice::<_, f32>(&places).as_chunks::<LANES>();
                for (place, lanes) in places.iter().enumerate() {
                    let [row, column] = [place / size[1], place % size[1]].map(|place| place.wrapping_sub(margin));
                    let is_inside = row < height && column < width;
                    for (lane, &value) in lanes.iter().enumerate() {
                        let expected = match is_inside {
                            true if lane < count => ((lane * height + row) * width + column) as f32,
                            true => 0.0,
                            false => OUTSIDE,
                        };
                        assert!(value == expected, "{value}, not {expected} at {place} in lane {lane}");
                    }
                }
                let mut written = vec![MaybeUninit::new(OUTSIDE); values.len()];
                grid.write::<f32, S, LANES>(simd, places, (&mut written, height * width));
                // SAFETY: all have been written since they were made.
                let written: Vec<f32> = written.into_iter().map(|value| unsafe { value.assume_init() }).collect();
                assert_eq!(written, values, "{height} x {width}, margin {margin}");
            });
        }
    }

    #[test]
    fn planes_come_back_from_a_grid() {
        for plane in [[4, 4], [3, 5], [16, 8], [1, 33], [7, 17]] {
            for margin in 0..3 {
                instructions::dispatch(ThereAndBack { plane, margin });
            }
        }
    }
}
