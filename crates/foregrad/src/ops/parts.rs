//! Parts of a sample: tiles of its maps, and runs of its channels.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{Bins, Pending, average_pool, scale_rows};
use crate::rng::Placement;

/// How a sample's maps, `[c, h, w]`, are cut: into `tiles` by `tiles` tiles, and each of those into `groups` runs of `c / groups` channels.
///
/// Pixel `(y, x)` lies in tile `(floor(y P / h), floor(x P / w))` of `P` by `P`, channel `a` in run `floor(a G / c)` of `G`. Parts are
/// numbered run by run, the tiles of a run row by row. Values by part stand sample by sample: `[n G P P]`.
///
/// Source: Ren et al., *Scaling forward gradient with local losses* (2023), whose losses are by patch and channel group.
///
/// # Panics
/// Its functions panic on maps that it does not cut: fewer pixels a side than tiles, channels that are no multiple of the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Tiles a side.
    pub tiles: usize,
    /// Runs of channels.
    pub groups: usize,
}

impl Parts {
    /// A sample in one part.
    pub const WHOLE: Self = Self { tiles: 1, groups: 1 };

    /// The number of parts of a sample.
    pub fn count(self) -> usize {
        self.groups * self.area()
    }

    /// The number of tiles.
    pub fn area(self) -> usize {
        self.tiles * self.tiles
    }

    /// The number of coordinates of each part of a sample `[c, h, w]`.
    pub fn sizes(self, [channels, height, width]: [usize; 3]) -> Vec<usize> {
        let [rows, columns] = [height, width].map(|size| self.ranges(size));
        let run = rows.iter().flat_map(|rows| columns.iter().map(|columns| rows.len() * columns.len()));
        let run: Vec<usize> = run.map(|pixels| channels / self.groups * pixels).collect();
        run.repeat(self.groups)
    }

    /// `<a_p, b_p>` for every part of every sample.
    pub fn dots(self, a: &Tensor<4>, b: &Tensor<4>) -> Vec<f64> {
        self.asked_dots(a, b).alone()
    }

    /// [`Parts::dots`], to be read with others.
    pub fn asked_dots(self, a: &Tensor<4>, b: &Tensor<4>) -> Pending {
        if self.tiles == 1 {
            return Pending::row_dots(&self.runs(a.clone()), &self.runs(b.clone()));
        }
        let products = self.runs(a.clone().mul(b.clone())).sum_dim(1);
        Pending::There(self.tile_sums(products).flatten(0, 3))
    }

    /// `factors_p x_p` for every part of every sample.
    pub fn scale(self, x: Tensor<4>, factors: &[f64]) -> Tensor<4> {
        let shape @ [samples, _, height, width] = x.dims();
        let x = self.runs(x);
        if self.tiles == 1 {
            return scale_rows(x, factors).reshape(shape);
        }
        let tiles = self.tiles_of([height, width]);
        let at_pixels = factors.chunks_exact(self.area()).flat_map(|own| tiles.iter().map(|tile| own[*tile]));
        let mask = Placement::of(&x).tensor(at_pixels.collect(), [samples * self.groups, 1, height, width]);
        x.mul(mask).reshape(shape)
    }

    /// Each of some parts by itself, 0 elsewhere, stacked part by part: `[parts n, c, h, w]`.
    pub fn apart(self, x: &Tensor<4>, parts: Range<usize>) -> Tensor<4> {
        let samples = x.dims()[0];
        let only = |part: usize| {
            let factors: Vec<f64> =
                (0..samples * self.count()).map(|unit| of_part(unit % self.count(), part)).collect();
            self.scale(x.clone(), &factors)
        };
        Tensor::cat(parts.map(only).collect(), 0)
    }

    /// The sums over each tile of every map: `[n, c, P, P]`.
    pub fn tile_sums(self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let bins = Bins { size: [height, width], rows: self.ranges(height), columns: self.ranges(width) };
        let pixels = |rows: &Range<usize>| {
            let height = rows.len();
            bins.columns.iter().map(move |columns| (height * columns.len()) as f64)
        };
        let areas =
            Placement::of(&x).tensor(bins.rows.iter().flat_map(pixels).collect(), [1, 1, self.tiles, self.tiles]);
        average_pool(x, &bins).mul(areas)
    }

    /// Values of stacked tangents by direction, part and sample, `[k parts][n]`, as `[k][n parts]`.
    pub fn by_sample(self, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let interleaved = |parts: &[Vec<f64>]| {
            (0..parts[0].len()).flat_map(|sample| parts.iter().map(move |part| part[sample])).collect()
        };
        rows.chunks_exact(self.count()).map(interleaved).collect()
    }

    /// `[n, c, h, w]` as `[n G, c / G, h, w]`: a row a run of channels.
    fn runs(self, x: Tensor<4>) -> Tensor<4> {
        let [samples, channels, height, width] = x.dims();
        assert!(channels.is_multiple_of(self.groups), "{channels} channels in {} groups", self.groups);
        x.reshape([samples * self.groups, channels / self.groups, height, width])
    }

    /// The pixels of each tile along a side: those with `floor(pixel P / size)` its number.
    fn ranges(self, size: usize) -> Vec<Range<usize>> {
        assert!(self.tiles <= size, "{} tiles along {size} pixels", self.tiles);
        let start = |tile: usize| (tile * size).div_ceil(self.tiles);
        (0..self.tiles).map(|tile| start(tile)..start(tile + 1)).collect()
    }

    /// The tile of each pixel, row by row.
    fn tiles_of(self, [height, width]: [usize; 2]) -> Vec<usize> {
        let numbered = |size: usize| {
            let pixels = |(tile, range): (usize, Range<usize>)| range.map(move |_| tile);
            self.ranges(size).into_iter().enumerate().flat_map(pixels).collect::<Vec<_>>()
        };
        let (rows, columns) = (numbered(height), numbered(width));
        rows.iter().flat_map(|row| columns.iter().map(move |column| row * self.tiles + column)).collect()
    }
}

fn of_part(part: usize, wanted: usize) -> f64 {
    if part == wanted { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::host;
    use super::*;
    use crate::rng::Stream;
    use burn::tensor::{DType, Device};

    const CUTS: [Parts; 5] = [
        Parts::WHOLE,
        Parts { tiles: 1, groups: 3 },
        Parts { tiles: 3, groups: 1 },
        Parts { tiles: 2, groups: 2 },
        Parts { tiles: 5, groups: 6 },
    ];

    fn drawn(name: &str, dtype: DType) -> Tensor<4> {
        Stream::new(0, name).normal_tensor([2, 6, 5, 7], &Placement { device: Device::flex(), dtype })
    }

    /// The part of each element of one sample, by the definition.
    fn part_of(parts: Parts, channel: usize, y: usize, x: usize) -> usize {
        channel * parts.groups / 6 * parts.area() + y * parts.tiles / 5 * parts.tiles + x * parts.tiles / 7
    }

    /// Of a value an element, the sum over each part.
    fn summed(parts: Parts, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; 2 * parts.count()];
        for (place, value) in values.iter().enumerate() {
            let (sample, channel, y, x) = (place / 210, place / 35 % 6, place / 7 % 5, place % 7);
            sums[sample * parts.count() + part_of(parts, channel, y, x)] += value;
        }
        sums
    }

    fn close(a: &[f64], b: &[f64], limit: f64) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < limit)
    }

    #[test]
    fn parts_are_those_of_the_definition_on_sides_that_the_tiles_do_not_divide() {
        for (dtype, limit) in [(DType::F64, 1e-13), (DType::F32, 1e-4)] {
            let (a, b) = (drawn("a", dtype), drawn("b", dtype));
            let products: Vec<f64> = host(a.clone()).iter().zip(host(b.clone())).map(|(a, b)| a * b).collect();
            for parts in CUTS {
                let dots = parts.dots(&a, &b);
                assert!(close(&dots, &summed(parts, &products), limit), "{parts:?}");
                let factors: Vec<f64> = (0..2 * parts.count()).map(|unit| unit as f64 - 3.5).collect();
                let scaled = parts.scale(a.clone(), &factors);
                assert_eq!(scaled.dims(), a.dims());
                let expected: Vec<f64> = dots.iter().zip(&factors).map(|(dot, factor)| dot * factor).collect();
                assert!(close(&parts.dots(&scaled, &b), &expected, limit * 100.0), "{parts:?}");
            }
        }
    }

    #[test]
    fn sizes_count_the_elements_of_each_part() {
        let ones = drawn("x", DType::F64).ones_like();
        for parts in CUTS {
            let sizes: Vec<f64> = parts.sizes([6, 5, 7]).into_iter().map(|size| size as f64).collect();
            assert!(close(&parts.dots(&ones, &ones), &sizes.repeat(2), 1e-9), "{parts:?}");
        }
    }

    #[test]
    fn parts_by_themselves_add_up_to_the_whole_and_share_nothing() {
        let x = drawn("x", DType::F64);
        for parts in CUTS {
            let stacked = parts.apart(&x, 0..parts.count());
            let all = stacked.split(2, 0);
            let sum = all.iter().cloned().reduce(|sum, part| sum + part).expect("at least one part");
            assert_eq!(host(sum), host(x.clone()), "{parts:?}");
            let of_part = |part: &Tensor<4>| parts.dots(part, part).iter().filter(|square| **square > 0.0).count();
            assert!(all.iter().all(|part| of_part(part) == 2), "{parts:?}: one part of each of two samples");
        }
    }

    #[test]
    fn values_by_part_and_sample_stand_sample_by_sample() {
        let parts = Parts { tiles: 1, groups: 3 };
        let rows: Vec<Vec<f64>> = (0..6).map(|row| vec![f64::from(row), f64::from(row) + 0.5]).collect();
        let expected = [[0.0, 1.0, 2.0, 0.5, 1.5, 2.5], [3.0, 4.0, 5.0, 3.5, 4.5, 5.5]];
        assert_eq!(parts.by_sample(&rows), expected);
    }
}
