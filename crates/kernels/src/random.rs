//! Random words into normal numbers and signs, a register at a time.
//!
//! Everything is computed in `f64` by additions, products, one division and one root, in this order on every machine: the same
//! words give the same bits on every instruction set.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

use crate::{Real, instructions};

/// Pairs of words that go through the formulae side by side: while one waits for its step before, others are computed.
const PAIRS: usize = 16;

/// One number of every pair.
type Numbers = [f64; PAIRS];

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
                values.copy_from_slice(&box_muller(&pairs).as_flattened()[..values.len()]);
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
fn box_muller<T: Real>(words: &[[u32; 2]; PAIRS]) -> [[T; 2]; PAIRS] {
    let (mut first, mut second) = ([0.0; PAIRS], [0.0; PAIRS]);
    for (place, words) in words.iter().enumerate() {
        (first[place], second[place]) = (unit(words[0]), unit(words[1]));
    }
    let logarithms = logarithms(&first);
    let [cosines, sines] = turns(&second);
    let mut normals = [[T::default(); 2]; PAIRS];
    for (place, normals) in normals.iter_mut().enumerate() {
        let radius = (-2.0 * logarithms[place]).sqrt();
        *normals = [T::of_f64(radius * cosines[place]), T::of_f64(radius * sines[place])];
    }
    normals
}

/// A word as the middle of its interval of `(0, 1)`.
#[inline(always)]
fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

/// `ln x` of positive normal numbers: `x = 2^e m` with `m` in `[sqrt(1/2), sqrt(2))` and `s = (m - 1) / (m + 1)`;
/// `ln m = 2 (s + s^3 / 3 + s^5 / 5 + ...)`.
#[inline(always)]
fn logarithms(x: &Numbers) -> Numbers {
    let (mut exponents, mut s, mut squares) = ([0.0; PAIRS], [0.0; PAIRS], [0.0; PAIRS]);
    for (place, &x) in x.iter().enumerate() {
        let (m, exponent) = mantissa_and_exponent(x);
        exponents[place] = exponent;
        s[place] = (m - 1.0) / (m + 1.0);
        squares[place] = s[place] * s[place];
    }
    let mut series = [1.0 / 21.0; PAIRS];
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        for (series, square) in series.iter_mut().zip(&squares) {
            *series = *series * square + 1.0 / odd;
        }
    }
    let mut logarithms = [0.0; PAIRS];
    for (place, logarithm) in logarithms.iter_mut().enumerate() {
        let s = s[place];
        *logarithm = exponents[place] * LN_2 + (2.0 * s + 2.0 * s * squares[place] * series[place]);
    }
    logarithms
}

/// `m` in `[sqrt(1/2), sqrt(2))` and `e` of `x = 2^e m`.
#[inline(always)]
fn mantissa_and_exponent(x: f64) -> (f64, f64) {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let m = f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits());
    // The exponent's bits, made a number by those of 2^52: no instruction that narrower sets lack.
    let exponent =
        f64::from_bits((bits >> 52) | 4_503_599_627_370_496.0_f64.to_bits()) - 4_503_599_627_370_496.0 - 1023.0;
    if m > SQRT_2 { (0.5 * m, exponent + 1.0) } else { (m, exponent) }
}

/// Cosines and sines of `2 pi v`, `v` in `[0, 1)`, by their series in the nearest quarter turn.
#[inline(always)]
fn turns(v: &Numbers) -> [Numbers; 2] {
    // Adding 1.5 2^52 leaves no bits for fractions: the nearest integer, in every instruction set.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    let (mut quarters, mut angles, mut squares) = ([0.0; PAIRS], [0.0; PAIRS], [0.0; PAIRS]);
    for (place, &v) in v.iter().enumerate() {
        quarters[place] = (4.0 * v + WHOLE) - WHOLE;
        angles[place] = (4.0 * v - quarters[place]) * FRAC_PI_2;
        squares[place] = angles[place] * angles[place];
    }
    let (mut cosines, mut sines) = ([1.0; PAIRS], [1.0; PAIRS]);
    for k in [16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0] {
        for ((cosine, sine), square) in cosines.iter_mut().zip(&mut sines).zip(&squares) {
            *cosine = 1.0 - square * *cosine * (1.0 / (k * (k - 1.0)));
            *sine = 1.0 - square * *sine * (1.0 / (k * (k + 1.0)));
        }
    }
    for place in 0..PAIRS {
        let (cosine, sine, quarter) = (cosines[place], sines[place] * angles[place], quarters[place]);
        let odd = quarter == 1.0 || quarter == 3.0;
        let (x, y) = if odd { (sine, cosine) } else { (cosine, sine) };
        cosines[place] = if quarter == 1.0 || quarter == 2.0 { -x } else { x };
        sines[place] = if quarter == 2.0 || quarter == 3.0 { -y } else { y };
    }
    [cosines, sines]
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
    fn logarithms_and_turns_are_those_of_the_standard_library() {
        for words in words().chunks(PAIRS) {
            let mut units = [0.5; PAIRS];
            units.iter_mut().zip(words).for_each(|(number, &word)| *number = unit(word));
            let (logarithms, [cosines, sines]) = (logarithms(&units), turns(&units));
            for (place, u) in units.into_iter().enumerate() {
                assert!((logarithms[place] / u.ln() - 1.0).abs() < 1e-15, "ln {u}");
                let (sine, cosine) = (2.0 * std::f64::consts::PI * u).sin_cos();
                let found = [cosines[place], sines[place]];
                // The library's angle is rounded by half a unit in its last place: 4.4e-16.
                assert!((found[0] - cosine).abs() < 1e-15 && (found[1] - sine).abs() < 1e-15, "{u}: {found:?}");
            }
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
