//! Of several directions one alone.

use super::Along;

/// The coefficients of a direction alone, that of the largest score: its own usual one, 0 for all others. Of equal scores the first counts,
/// and one that is no number counts most, so that the update is seen not to be finite.
pub(super) fn alone(along: &Along<'_>, score: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut selected = 0;
    for direction in 1..along.b.len() {
        if score(direction).abs().total_cmp(&score(selected).abs()).is_gt() {
            selected = direction;
        }
    }
    let mut coefficients = vec![0.0; along.b.len()];
    coefficients[selected] = along.alone(selected);
    coefficients
}

#[cfg(test)]
mod tests {
    use super::super::{Along, AnyCombination};
    use crate::estimate::Gram;

    fn coefficients(name: &str, b: &[f64], lengths: &[f64], has_unit_covariance: bool) -> Vec<f64> {
        let combination: AnyCombination = name.parse().expect("a combination");
        let gram = Gram::new(lengths.len(), |d, e| if d == e { lengths[d] * lengths[d] } else { 0.0 });
        let products = (combination.needs_products() || !has_unit_covariance).then_some(&gram);
        combination.coefficients(&Along { b, products, has_unit_covariance, dimension: 9 })
    }

    #[test]
    fn the_selected_direction_keeps_its_own_coefficient() {
        // A long direction, a short one that is nearer to the target, one of no length.
        let (b, lengths) = ([-6.0, 4.0, 0.0], [4.0, 1.0, 0.0]);
        for (name, random, expected) in [
            ("max", true, [-6.0, 0.0, 0.0]),
            ("max-normalised", true, [0.0, 4.0, 0.0]),
            ("max", false, [0.0, 4.0, 0.0]),
            ("max-normalised", false, [0.0, 4.0, 0.0]),
        ] {
            assert_eq!(coefficients(name, &b, &lengths, random), expected, "{name}, random: {random}");
        }
        assert_eq!(coefficients("max", &[6.0, 1.0], &[2.0, 1.0], false), [1.5, 0.0], "divided by its square norm");
    }

    #[test]
    fn of_equal_directions_the_first_is_selected_and_no_number_is_hidden() {
        for name in ["max", "max-normalised"] {
            for random in [false, true] {
                let lengths = [1.0; 4];
                assert_eq!(coefficients(name, &[1.0, -2.0, 2.0, -2.0], &lengths, random), [0.0, -2.0, 0.0, 0.0]);
                assert_eq!(coefficients(name, &[0.0; 3], &[0.0; 3], random), [0.0; 3]);
                let wrong = coefficients(name, &[9.0, -f64::NAN, 2.0, f64::INFINITY], &lengths, random);
                assert!(wrong[1].is_nan(), "{name}: {wrong:?}");
            }
        }
    }
}
