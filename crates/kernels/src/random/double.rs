//! In double precision.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

use super::{BoxMuller, PAIRS};

/// One number of every pair.
type Numbers = [f64; PAIRS];

impl BoxMuller for f64 {
    #[inline(always)]
    fn box_muller(words: &[[u32; 2]; PAIRS]) -> [[f64; 2]; PAIRS] {
        let (mut first, mut second) = ([0.0; PAIRS], [0.0; PAIRS]);
        for (place, words) in words.iter().enumerate() {
            (first[place], second[place]) = (unit(words[0]), unit(words[1]));
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

/// A word as the middle of its interval of `(0, 1)`.
#[inline(always)]
pub(super) fn unit(word: u32) -> f64 {
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
    use super::super::tests::words;
    use super::*;

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
}
