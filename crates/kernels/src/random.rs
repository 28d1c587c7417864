//! Random words into normal numbers and signs, a register at a time.
//!
//! Everything is computed in `f64` by additions, products, one division and one root, in this order on every machine: the same
//! words give the same bits on every instruction set.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

use crate::{Real, instructions};

/// Pairs of words that go through the formulae together.
const PAIRS: usize = 16;

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
                let mut normals = [[T::default(); 2]; PAIRS];
                for place in 0..PAIRS {
                    normals[place] = pair(pairs[place]);
                }
                values.copy_from_slice(&normals.as_flattened()[..values.len()]);
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

#[inline(always)]
fn pair<T: Real>([first, second]: [u32; 2]) -> [T; 2] {
    let radius = (-2.0 * logarithm(unit(first))).sqrt();
    let [cosine, sine] = turn(unit(second));
    [T::of_f64(radius * cosine), T::of_f64(radius * sine)]
}

/// A word as the middle of its interval of `(0, 1)`.
#[inline(always)]
fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

/// `ln x` of a positive normal number: `x = 2^e m` with `m` in `[sqrt(1/2), sqrt(2))` and `s = (m - 1) / (m + 1)`;
/// `ln m = 2 (s + s^3 / 3 + s^5 / 5 + ...)`.
#[inline(always)]
fn logarithm(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let m = f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits());
    // The exponent's bits, made a number by those of 2^52: no instruction that narrower sets lack.
    let exponent =
        f64::from_bits((bits >> 52) | 4_503_599_627_370_496.0_f64.to_bits()) - 4_503_599_627_370_496.0 - 1023.0;
    let (m, exponent) = if m > SQRT_2 { (0.5 * m, exponent + 1.0) } else { (m, exponent) };
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut series = 1.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = series * square + 1.0 / odd;
    }
    exponent * LN_2 + (2.0 * s + 2.0 * s * square * series)
}

/// Cosine and sine of `2 pi v`, `v` in `[0, 1)`, by their series in the nearest quarter turn.
#[inline(always)]
fn turn(v: f64) -> [f64; 2] {
    // Adding 1.5 2^52 leaves no bits for fractions: the nearest integer, in every instruction set.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    let quarter = (4.0 * v + WHOLE) - WHOLE;
    let angle = (4.0 * v - quarter) * FRAC_PI_2;
    let square = angle * angle;
    let (mut cosine, mut sine) = (1.0, 1.0);
    for k in [16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0] {
        cosine = 1.0 - square * cosine * (1.0 / (k * (k - 1.0)));
        sine = 1.0 - square * sine * (1.0 / (k * (k + 1.0)));
    }
    sine *= angle;
    let odd = quarter == 1.0 || quarter == 3.0;
    let (x, y) = if odd { (sine, cosine) } else { (cosine, sine) };
    let x = if quarter == 1.0 || quarter == 2.0 { -x } else { x };
    let y = if quarter == 2.0 || quarter == 3.0 { -y } else { y };
    [x, y]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of the range, and many words between them.
    fn words() -> Vec<u32> {
        let spread = (0..20_000_u32).map(|i| i.wrapping_mul(2_654_435_761));
        [0, 1, u32::MAX - 1, u32::MAX, 1 << 31, (1 << 31) - 1, 1 << 30, 3 << 30].into_iter().chain(spread).collect()
    }

    #[test]
    fn logarithm_and_turn_are_those_of_the_standard_library() {
        for word in words() {
            let u = unit(word);
            assert!((logarithm(u) / u.ln() - 1.0).abs() < 1e-15, "ln {u}");
            let (sine, cosine) = (2.0 * std::f64::consts::PI * u).sin_cos();
            let found = turn(u);
            // The library's angle is rounded by half a unit in its last place: 4.4e-16.
            assert!((found[0] - cosine).abs() < 1e-15 && (found[1] - sine).abs() < 1e-15, "{u}: {found:?}");
        }
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
            assert!(double.iter().zip(&single).all(|(double, single)| *double as f32 == *single));
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
