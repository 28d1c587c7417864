//! In single precision. What a word is near is found among integers, where nothing is lost: how far `u` is below 1, how far an angle is from the
//! nearest quarter turn.

use std::f32::consts::{FRAC_PI_2, LN_2, SQRT_2};

use super::{BoxMuller, PAIRS};

/// One number of every pair.
type Numbers = [f32; PAIRS];

/// `2^32`, as many as there are words.
const WORDS: f32 = 4_294_967_296.0;

impl BoxMuller for f32 {
    #[inline(always)]
    fn box_muller(words: &[[u32; 2]; PAIRS]) -> [[f32; 2]; PAIRS] {
        let (mut first, mut second) = ([0; PAIRS], [0; PAIRS]);
        for (place, words) in words.iter().enumerate() {
            [first[place], second[place]] = *words;
        }
        let logarithms = logarithms(&first);
        let [cosines, sines] = turns(&second);
        let mut normals = [[0.0; 2]; PAIRS];
        for (place, normals) in normals.iter_mut().enumerate() {
            let radius = (-2.0 * logarithms[place]).sqrt();
            *normals = [radius * cosines[place], radius * sines[place]];
        }
        normals
    }
}

/// `ln u` of `u = (word + 1/2) / 2^32`: `u = 2^e m` with `m` in `[sqrt(1/2), sqrt(2))` and `s = (m - 1) / (m + 1)`;
/// `ln m = 2 (s + s^3 / 3 + s^5 / 5 + ...)`.
#[inline(always)]
fn logarithms(words: &[u32; PAIRS]) -> Numbers {
    /// The words from which on `u` is above `sqrt(1/2)`, so that `e = 0`.
    const NEAR_ONE: u32 = 0xb504_f334;
    let (mut exponents, mut s, mut squares) = ([0.0; PAIRS], [0.0; PAIRS], [0.0; PAIRS]);
    for (place, &word) in words.iter().enumerate() {
        let (m, exponent) = mantissa_and_exponent(word as f32 + 0.5);
        let below_one = (!word as f32 + 0.5) / WORDS;
        let (beyond, exponent) = if word >= NEAR_ONE { (-below_one, 0.0) } else { (m - 1.0, exponent - 32.0) };
        exponents[place] = exponent;
        s[place] = beyond / (beyond + 2.0);
        squares[place] = s[place] * s[place];
    }
    let mut series = [1.0 / 9.0; PAIRS];
    for odd in [7.0, 5.0, 3.0] {
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
fn mantissa_and_exponent(x: f32) -> (f32, f32) {
    const MANTISSA: u32 = (1 << 23) - 1;
    let bits = x.to_bits();
    let m = f32::from_bits((bits & MANTISSA) | 1.0_f32.to_bits());
    // Of a positive number the bits above the mantissa are the exponent alone.
    let exponent = (bits >> 23) as i32 as f32 - 127.0;
    if m > SQRT_2 { (0.5 * m, exponent + 1.0) } else { (m, exponent) }
}

/// Cosines and sines of `2 pi v`, `v = (word + 1/2) / 2^32`, by their series in the nearest quarter turn.
#[inline(always)]
fn turns(words: &[u32; PAIRS]) -> [Numbers; 2] {
    let (mut quarters, mut angles, mut squares) = ([0; PAIRS], [0.0; PAIRS], [0.0; PAIRS]);
    for (place, &word) in words.iter().enumerate() {
        let quarter = word.wrapping_add(1 << 29) >> 30;
        let beyond = word.wrapping_sub(quarter << 30).cast_signed();
        quarters[place] = quarter;
        angles[place] = (beyond as f32 + 0.5) * (4.0 * FRAC_PI_2 / WORDS);
        squares[place] = angles[place] * angles[place];
    }
    let (mut cosines, mut sines) = ([1.0; PAIRS], [1.0; PAIRS]);
    for k in [10.0, 8.0, 6.0, 4.0, 2.0] {
        for ((cosine, sine), square) in cosines.iter_mut().zip(&mut sines).zip(&squares) {
            *cosine = 1.0 - square * *cosine * (1.0 / (k * (k - 1.0)));
            *sine = 1.0 - square * *sine * (1.0 / (k * (k + 1.0)));
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

#[cfg(test)]
mod tests {
    use super::super::double::unit;
    use super::super::tests::words;
    use super::*;

    #[test]
    fn logarithms_and_turns_are_those_of_double_precision() {
        let edge = [0xb504_f332, 0xb504_f333, 0xb504_f334, 0xb504_f335, (1 << 29) - 1, 1 << 29, u32::MAX - (1 << 29)];
        for words in words().into_iter().chain(edge).collect::<Vec<_>>().chunks(PAIRS) {
            let mut all = [7; PAIRS];
            all[..words.len()].copy_from_slice(words);
            let (logarithms, [cosines, sines]) = (logarithms(&all), turns(&all));
            for (place, word) in all.into_iter().enumerate() {
                let u = unit(word);
                assert!((f64::from(logarithms[place]) / u.ln() - 1.0).abs() < 3e-7, "ln {u}: {}", logarithms[place]);
                let (sine, cosine) = (2.0 * std::f64::consts::PI * u).sin_cos();
                for (found, expected) in [(cosines[place], cosine), (sines[place], sine)] {
                    assert!((f64::from(found) - expected).abs() < 2e-7, "turn {u}: {found} and {expected}");
                }
            }
        }
    }
}
