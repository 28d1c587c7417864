//! Named counter-based random streams: every draw is a function of (seed, purpose, indices), so it can be redrawn instead of
//! stored, on this machine or another, and changing one purpose's draws changes no other's.
//!
//! Source: Philox4x32-10, Salmon et al., *Parallel random numbers: as easy as 1, 2, 3* (2011), by the `rand_philox` crate.

use burn::tensor::{DType, Device, Element, Tensor, TensorData};
use foregrad_kernels::{Real, random};
use rand_philox::{Philox, splitmix64, u32_to_unit_f64};
use rayon::prelude::*;

/// Elements drawn from one counter range: the unit of parallel work. Changing it changes every draw.
const CHUNK: usize = 1 << 14;

/// Words that wait between the generator and the formula, in the first-level cache. Even, and a divisor of [`CHUNK`].
const WORDS: usize = 1 << 10;

/// Where tensors are made: a device and a floating-point type.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The device that holds the tensor.
    pub device: Device,
    /// `F32` in training, `F64` where derivatives are checked.
    pub dtype: DType,
}

impl Placement {
    /// A tensor of `shape` holding `values` (row by row).
    ///
    /// # Panics
    /// If the shape holds another number of elements.
    pub fn tensor<const D: usize>(&self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        let data = match self.dtype {
            DType::F64 => TensorData::new(values, shape),
            _ => TensorData::new(values.into_iter().map(|x| x as f32).collect::<Vec<_>>(), shape),
        };
        Tensor::from_data(data, (&self.device, self.dtype))
    }

    /// A tensor of `shape` full of zeros.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::zeros(shape, (&self.device, self.dtype))
    }

    /// A tensor of `shape` full of ones.
    pub fn ones<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::ones(shape, (&self.device, self.dtype))
    }

    /// The placement of an existing tensor.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self { device: tensor.device(), dtype: tensor.dtype() }
    }
}

/// A random stream with a name: a seed, a purpose and any number of indices (step, block, tensor, direction).
///
/// ```
/// use foregrad::rng::Stream;
/// let guesses = Stream::new(1, "guess").at(7);                // step 7
/// let draw = guesses.named("conv1.weight").normal(3);
/// assert_eq!(draw, Stream::new(1, "guess").at(7).named("conv1.weight").normal(3));
/// assert_ne!(draw, guesses.named("conv2.weight").normal(3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    seed: u64,
    id: u64,
    /// Draws that are left out at its beginning.
    skipped: usize,
}

impl Stream {
    /// The stream of a purpose ("guess", "data-order", "initial-weights") under a seed.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self { seed, id: 0, skipped: 0 }.named(purpose)
    }

    /// The sub-stream with one more index.
    pub fn at(self, index: u64) -> Self {
        // The odd constant is 2^64 over the golden ratio: neighbouring indices land far apart before mixing.
        let mixed = splitmix64(self.id.rotate_left(23) ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { seed: self.seed, id: mixed, skipped: 0 }
    }

    /// The same stream without its first draws, as many again for every call: `stream.after(a).normal(b)` is the end of
    /// `stream.normal(a + b)`.
    pub fn after(self, draws: usize) -> Self {
        Self { skipped: self.skipped + draws, ..self }
    }

    /// The sub-stream with one more name.
    pub fn named(self, name: &str) -> Self {
        name.bytes().fold(self.at(name.len() as u64), |stream, byte| stream.at(u64::from(byte)))
    }

    /// The stream's generator, at its beginning.
    pub fn generator(self) -> Philox {
        Philox::from_u64_seed_stream(self.seed, self.id)
    }

    /// `length` standard normal numbers (Box-Muller).
    pub fn normal(self, length: usize) -> Vec<f64> {
        self.fill(length, random::normals)
    }

    /// `length` signs, -1 or 1 with equal probability.
    pub fn signs(self, length: usize) -> Vec<f64> {
        self.fill(length, signs)
    }

    /// `length` numbers uniform in `(low, high)`.
    pub fn uniform(self, length: usize, low: f64, high: f64) -> Vec<f64> {
        self.fill(length, |words, values| {
            for (value, word) in values.iter_mut().zip(words) {
                *value = low + (high - low) * u32_to_unit_f64(*word);
            }
        })
    }

    /// A permutation of `0..length` (Fisher-Yates), uniform over all; `length` is at most 2^32 - 1.
    pub fn permutation(self, length: usize) -> Vec<usize> {
        let mut generator = self.generator();
        let mut order: Vec<usize> = (0..length).collect();
        for i in (1..length).rev() {
            order.swap(i, generator.bounded(i as u32 + 1) as usize);
        }
        order
    }

    /// A standard normal tensor.
    pub fn normal_tensor<const D: usize>(self, shape: [usize; D], placement: &Placement) -> Tensor<D> {
        self.tensor(shape, placement, random::normals, random::normals)
    }

    /// A tensor of random signs.
    pub fn sign_tensor<const D: usize>(self, shape: [usize; D], placement: &Placement) -> Tensor<D> {
        self.tensor(shape, placement, signs, signs)
    }

    /// Drawn in the type that it will have: of the same words, the same numbers but for rounding.
    fn tensor<const D: usize>(
        self,
        shape: [usize; D],
        placement: &Placement,
        single: fn(&[u32], &mut [f32]),
        double: fn(&[u32], &mut [f64]),
    ) -> Tensor<D> {
        let length = shape.iter().product();
        let data = match placement.dtype {
            DType::F64 => TensorData::new(self.fill(length, double), shape),
            _ => TensorData::new(self.fill(length, single), shape),
        };
        Tensor::from_data(data, (&placement.device, placement.dtype))
    }

    /// Fills in pairs, a chunk per counter range, so that the values do not depend on the number of threads.
    fn fill<T: Real + Element>(self, length: usize, draw: impl Fn(&[u32], &mut [T]) + Sync) -> Vec<T> {
        let mut values = vec![T::default(); length];
        // A chunk that is not wanted from its beginning is drawn aside.
        let (first, skipped) = (self.skipped / CHUNK, self.skipped % CHUNK);
        let aside = if skipped == 0 { 0 } else { length.min(CHUNK - skipped) };
        let (begun, whole) = values.split_at_mut(aside);
        if aside > 0 {
            let mut chunk = vec![T::default(); skipped + aside];
            self.fill_chunk(first, &mut chunk, &draw);
            begun.copy_from_slice(&chunk[skipped..]);
        }
        let first = first + usize::from(aside > 0);
        whole
            .par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(chunk, values)| self.fill_chunk(first + chunk, values, &draw));
        values
    }

    /// Fills what is one counter range's, from its beginning.
    fn fill_chunk<T>(self, chunk: usize, values: &mut [T], draw: &impl Fn(&[u32], &mut [T])) {
        let mut generator = self.generator();
        generator.seek((u128::from(self.id) << 64) | (chunk * CHUNK) as u128);
        let mut words = [0; WORDS];
        for values in values.chunks_mut(WORDS) {
            let words = &mut words[..values.len().next_multiple_of(2)];
            generator.fill_u32(words);
            draw(words, values);
        }
    }
}

/// Signs of a pair's words: an odd last value leaves one over.
fn signs<T: Real>(words: &[u32], values: &mut [T]) {
    random::signs(&words[..values.len()], values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_stream_has_the_moments_of_a_standard_normal() {
        let count = 400_000;
        let draw = Stream::new(3, "test").normal(count);
        let moment = |power: i32| draw.iter().map(|x| x.powi(power)).sum::<f64>() / count as f64;
        // Bounds of five standard errors: var(x) = 1, var(x^2) = 2, var(x^3) = 15, var(x^4) = 96.
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64)] {
            let error = (moment(power) - expected).abs();
            assert!(error < 5.0 * (variance / count as f64).sqrt(), "moment {power} is off by {error}");
        }
        let lag: f64 = draw.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / count as f64;
        assert!(lag.abs() < 5.0 / (count as f64).sqrt(), "neighbours correlate: {lag}");
    }

    #[test]
    fn a_prefix_of_a_draw_is_the_shorter_draw() {
        let stream = Stream::new(0, "test");
        assert_eq!(stream.normal(CHUNK + 5)[..7], stream.normal(7)[..]);
        assert_eq!(stream.signs(9)[..4], stream.signs(4)[..]);
    }

    #[test]
    fn the_rest_of_a_draw_is_the_whole_without_its_beginning() {
        let (stream, length) = (Stream::new(0, "test").at(3), 2 * CHUNK + 7);
        let [normal, signs] = [stream.normal(length), stream.signs(length)];
        for skipped in [1, 2, 5, WORDS, CHUNK - 1, CHUNK, CHUNK + 3, 2 * CHUNK + 6] {
            let rest = stream.after(skipped);
            assert_eq!(rest.normal(length - skipped), normal[skipped..], "{skipped}");
            assert_eq!(rest.signs(length - skipped), signs[skipped..], "{skipped}");
        }
        assert_eq!(stream.after(2).after(3), stream.after(5));
        assert_eq!(stream.after(2).at(1), stream.at(1), "a stream of its own begins at its beginning");
    }

    #[test]
    fn names_and_indices_do_not_run_together() {
        let stream = Stream::new(0, "test");
        assert_ne!(stream.named("ab").named("c"), stream.named("a").named("bc"));
        assert_ne!(stream.at(1).at(2), stream.at(2).at(1));
        assert_ne!(Stream::new(0, "test").normal(2), Stream::new(1, "test").normal(2));
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Stream::new(5, "order").permutation(1000);
        assert_ne!(order[..10], (0..10).collect::<Vec<_>>()[..]);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
