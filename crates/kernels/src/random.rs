//! Random words into normal numbers and signs, a register at a time.
//!
//! Everything is computed by additions, products, one division and one root, in this order on every machine: the same words give the same bits
//! on every instruction set. Single precision is computed in single precision, which takes less than half the time: within `4e-6` of the same
//! words' numbers in double precision.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

use crate::{Real, instructions};

/// Pairs of words that go through the formulae side by side: while one waits for its step before, others are computed.
const PAIRS: usize = 16;

/// `2^32`, as many as there are words.
const WORDS: f64 = 4_294_967_296.0;

/// What the formulae need of a precision.
pub trait Precision: Sized {
    /// `2 k + 1` of the terms after the first of a logarithm's series, the last term first.
    const ODD: &[f64];
    /// `2 k` of the terms after the first of a cosine's and a sine's series, the last term first.
    const EVEN: &[f64];

    /// The nearest number.
    fn of_unsigned(word: u32) -> Self;
    /// The nearest number.
    fn of_signed(word: i32) -> Self;
    /// `m` in `[1, 2)` and `e` of a positive normal number `2^e m`.
    fn mantissa_and_exponent(self) -> [Self; 2];
    /// The square root.
    fn root(self) -> Self;
}

impl Precision for f64 {
    const ODD: &[f64] = &[21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0];
    const EVEN: &[f64] = &[16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0];

    #[inline(always)]
    fn of_unsigned(word: u32) -> f64 {
        f64::from(word)
    }
    #[inline(always)]
    fn of_signed(word: i32) -> f64 {
        f64::from(word)
    }
    #[inline(always)]
    fn mantissa_and_exponent(self) -> [f64; 2] {
        const MANTISSA: u64 = (1 << 52) - 1;
        /// `2^52`, whose bits make a number of the exponent's: no instruction that narrower sets lack.
        const WHOLE: f64 = 4_503_599_627_370_496.0;
        let bits = self.to_bits();
        let exponent = f64::from_bits((bits >> 52) | WHOLE.to_bits()) - WHOLE - 1023.0;
        [f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits()), exponent]
    }
    #[inline(always)]
    fn root(self) -> f64 {
        self.sqrt()
    }
}

impl Precision for f32 {
    const ODD: &[f64] = &[9.0, 7.0, 5.0, 3.0];
    const EVEN: &[f64] = &[10.0, 8.0, 6.0, 4.0, 2.0];

    #[inline(always)]
    fn of_unsigned(word: u32) -> f32 {
        word as f32
    }
    #[inline(always)]
    fn of_signed(word: i32) -> f32 {
        word as f32
    }
    #[inline(always)]
    fn mantissa_and_exponent(self) -> [f32; 2] {
        const MANTISSA: u32 = (1 << 23) - 1;
        let bits = self.to_bits();
        // Of a positive number the bits above the mantissa are the exponent alone.
        [f32::from_bits((bits & MANTISSA) | 1.0_f32.to_bits()), (bits >> 23) as i32 as f32 - 127.0]
    }
    #[inline(always)]
    fn root(self) -> f32 {
        self.sqrt()
    }
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
                values.copy_from_slice(&box_muller::<T>(&pairs).as_flattened()[..values.len()]);
            }
        },
    );
}

#[inline(always)]
fn box_muller<T: Real>(words: &[[u32; 2]; PAIRS]) -> [[T; 2]; PAIRS] {
    let (mut first, mut second) = ([0; PAIRS], [0; PAIRS]);
    for (place, words) in words.iter().enumerate() {
        [first[place], second[place]] = *words;
    }
    let logarithms = logarithms::<T>(&first);
    let [cosines, sines] = turns::<T>(&second);
    let mut normals = [[T::default(); 2]; PAIRS];
    for (place, normals) in normals.iter_mut().enumerate() {
        let radius = (T::of_f64(-2.0) * logarithms[place]).root();
        *normals = [radius * cosines[place], radius * sines[place]];
    }
    normals
}

/// `ln u` of `u = (word + 1/2) / 2^32`: `u = 2^e m` with `m` in `[sqrt(1/2), sqrt(2))` and `s = (m - 1) / (m + 1)`;
/// `ln m = 2 (s + s^3 / 3 + s^5 / 5 + ...)`. How far `u` is below 1 is found among integers, where nothing is lost.
#[inline(always)]
fn logarithms<T: Real>(words: &[u32; PAIRS]) -> [T; PAIRS] {
    /// The words from which on `u` is above `sqrt(1/2)`, so that `e = 0`.
    const NEAR_ONE: u32 = 0xb504_f334;
    let [half, one, two, ln_2] = [0.5, 1.0, 2.0, LN_2].map(T::of_f64);
    let [mut exponents, mut s, mut squares, mut series] = [[T::default(); PAIRS]; 4];
    for (place, &word) in words.iter().enumerate() {
        let [m, e] = (T::of_unsigned(word) + half).mantissa_and_exponent();
        let [m, e] = if m > T::of_f64(SQRT_2) { [half * m, e + one] } else { [m, e] };
        let below_one = (T::of_unsigned(!word) + half) * T::of_f64(1.0 / WORDS);
        let [beyond, e] = if word >= NEAR_ONE { [-below_one, T::default()] } else { [m - one, e - T::of_f64(32.0)] };
        exponents[place] = e;
        s[place] = beyond / (beyond + two);
        squares[place] = s[place] * s[place];
    }
    for odd in T::ODD {
        for (series, &square) in series.iter_mut().zip(&squares) {
            *series = *series * square + T::of_f64(1.0 / odd);
        }
    }
    let mut logarithms = [T::default(); PAIRS];
    for (place, logarithm) in logarithms.iter_mut().enumerate() {
        let s = s[place];
        *logarithm = exponents[place] * ln_2 + (two * s + two * s * squares[place] * series[place]);
    }
    logarithms
}

/// Cosines and sines of `2 pi v`, `v = (word + 1/2) / 2^32`, by their series from the nearest quarter turn, which is found among integers.
#[inline(always)]
fn turns<T: Real>(words: &[u32; PAIRS]) -> [[T; PAIRS]; 2] {
    let [half, one] = [0.5, 1.0].map(T::of_f64);
    let (mut quarters, [mut angles, mut squares]) = ([0; PAIRS], [[T::default(); PAIRS]; 2]);
    for (place, &word) in words.iter().enumerate() {
        let quarter = word.wrapping_add(1 << 29) >> 30;
        let beyond = word.wrapping_sub(quarter << 30).cast_signed();
        quarters[place] = quarter;
        angles[place] = (T::of_signed(beyond) + half) * T::of_f64(4.0 * FRAC_PI_2 / WORDS);
        squares[place] = angles[place] * angles[place];
    }
    let [mut cosines, mut sines] = [[one; PAIRS]; 2];
    for k in T::EVEN {
        let [of_cosine, of_sine] = [k - 1.0, k + 1.0].map(|next| T::of_f64(1.0 / (k * next)));
        for ((cosine, sine), &square) in cosines.iter_mut().zip(&mut sines).zip(&squares) {
            *cosine = one - square * *cosine * of_cosine;
            *sine = one - square * *sine * of_sine;
        }
    }
    for place in 0..PAIRS {
        let (cosine, sine, quarter) = (cosines[place], sines[place] * angles[place], quarters[place]);
        let (x, y) = if quarter & 1 == 1 { (sine, cosine) } else { (cosine, sine) };
        cosines[place] = if quarter == 1 || quarter == 2 { -x } else { x };
        sines[place] = if quarter >= 2 { -y } else { y };
    }
    [cosines, sines]
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
    use super::*;

    /// The ends of the range, where formulae change, and many words between them.
    fn words() -> Vec<u32> {
        let spread = (0..20_000_u32).map(|i| i.wrapping_mul(2_654_435_761));
        let ends = [0, 1, u32::MAX - 1, u32::MAX, 1 << 31, (1 << 31) - 1, 1 << 30, 3 << 30];
        let edges = [0xb504_f332, 0xb504_f333, 0xb504_f334, 0xb504_f335, (1 << 29) - 1, 1 << 29, u32::MAX - (1 << 29)];
        ends.into_iter().chain(edges).chain(spread).collect()
    }

    /// A word as the middle of its interval of `(0, 1)`.
    fn unit(word: u32) -> f64 {
        (f64::from(word) + 0.5) / WORDS
    }

    fn logarithms_and_turns_are_those_of_the_standard_library<T: Real>([of_logarithm, of_turn]: [f64; 2]) {
        for words in words().as_chunks::<PAIRS>().0 {
            let (logarithms, [cosines, sines]) = (logarithms::<T>(words), turns::<T>(words));
            for (place, &word) in words.iter().enumerate() {
                let u = unit(word);
                let logarithm = logarithms[place].to_f64();
                assert!((logarithm / u.ln() - 1.0).abs() < of_logarithm, "ln {u}: {logarithm}");
                let (sine, cosine) = (2.0 * std::f64::consts::PI * u).sin_cos();
                for (found, expected) in [(cosines[place], cosine), (sines[place], sine)] {
                    assert!((found.to_f64() - expected).abs() < of_turn, "turn {u}: {} and {expected}", found.to_f64());
                }
            }
        }
    }

    #[test]
    fn double_precision_is_that_of_the_standard_library() {
        // The library's angle is rounded by half a unit in its last place: 4.4e-16.
        logarithms_and_turns_are_those_of_the_standard_library::<f64>([1e-15, 1e-15]);
    }

    #[test]
    fn single_precision_is_that_of_double_precision() {
        logarithms_and_turns_are_those_of_the_standard_library::<f32>([3e-7, 2e-7]);
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
