//! Random words into normal numbers and signs, a register at a time.
//!
//! Everything is computed by additions, products, one division and one root, in this order on every machine: the same words give the same bits
//! on every instruction set. Single precision is computed in single precision, which takes less than half the time: within `4e-6` of the same
//! words' numbers in double precision.

use crate::{Real, instructions};

mod double;
mod single;

/// Pairs of words that go through the formulae side by side: while one waits for its step before, others are computed.
const PAIRS: usize = 16;

/// Two normal numbers from each pair of words.
pub trait BoxMuller: Sized {
    /// Those of [`normals`].
    fn box_muller(words: &[[u32; 2]; PAIRS]) -> [[Self; 2]; PAIRS];
}

/// Standard normal numbers, two from two words (Box & Muller, 1958): with `u` and `v` the words as numbers in `(0, 1)`,
/// ```text
/// z_0 = sqrt(-2 ln u) cos(2 pi v)    z_1 = sqrt(-2 ln u) sin(2 pi v)
/// ```
/// An odd last number takes two words too.
///
/// # Panics
/// If there is not a word for each number of every pair.
pub fn normals<T: Real>(words: &[u32], values: &mut [T]) {
    assert_eq!(words.len(), values.len().next_multiple_of(2), "normals: words for {} numbers", values.len());
    instructions::vectorised(
        #[inline(always)]
        || {
            for (words, values) in words.chunks(2 * PAIRS).zip(values.chunks_mut(2 * PAIRS)) {
                let mut pairs = [[0; 2]; PAIRS];
                pairs.as_flattened_mut()[..words.len()].copy_from_slice(words);
                values.copy_from_slice(&T::box_muller(&pairs).as_flattened()[..values.len()]);
            }
        },
    );
}

/// -1 or 1 by the highest bit of each word.
///
/// # Panics
/// If there are not as many words as values.
pub fn signs<T: Real>(words: &[u32], values: &mut [T]) {
    assert_eq!(words.len(), values.len(), "signs: a word for each");
    let [one, minus] = [1.0, -1.0].map(T::of_f64);
    instructions::vectorised(
        #[inline(always)]
        || {
            for (value, word) in values.iter_mut().zip(words) {
                *value = if word >> 31 == 0 { one } else { minus };
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::double::unit;
    use super::*;

    /// The ends of the range, and many words between them.
    pub(super) fn words() -> Vec<u32> {
        let spread = (0..20_000_u32).map(|i| i.wrapping_mul(2_654_435_761));
        [0, 1, u32::MAX - 1, u32::MAX, 1 << 31, (1 << 31) - 1, 1 << 30, 3 << 30].into_iter().chain(spread).collect()
    }

    #[test]
    fn pairs_are_the_formula_of_box_and_muller() {
        for count in [0, 1, 2, 31, 32, 33, 1000] {
            let words: Vec<u32> = words().into_iter().take(count + count % 2).collect();
            let (mut double, mut single) = (vec![f64::NAN; count], vec![f32::NAN; count]);
            normals(&words, &mut double);
            normals(&words, &mut single);
            for (place, pair) in double.chunks(2).enumerate() {
                let (u, v) = (unit(words[2 * place]), unit(words[2 * place + 1]));
                let (sine, cosine) = (2.0 * std::f64::consts::PI * v).sin_cos();
                for (value, factor) in pair.iter().zip([cosine, sine]) {
                    assert!((value - (-2.0 * u.ln()).sqrt() * factor).abs() < 1e-14);
                }
            }
            let furthest = double.iter().zip(&single).map(|(double, single)| (double - f64::from(*single)).abs());
            assert!(furthest.fold(0.0, f64::max) < 4e-6, "single precision");
        }
    }

    #[test]
    fn signs_are_the_highest_bits() {
        let mut values = [0.0_f32; 4];
        signs(&[0, u32::MAX, 1 << 31, (1 << 31) - 1], &mut values);
        assert_eq!(values, [1.0, -1.0, -1.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "words for 3 numbers")]
    fn a_missing_word_is_an_error() {
        normals(&[1, 2, 3], &mut [0.0_f64; 3]);
    }
}
