//! The orthogonal projection, made as long as the target on average.

use super::{Along, Combination, Projection};
use crate::estimate::EstimatorConfig;
use crate::{Error, Result};

/// `c = mu_n / mu_k (B^T B)^+ b`, `n` the slot's number of coordinates and `k` that of directions (at most `n`), where
/// ```text
/// mu_m = E |N(0, I_m)| = sqrt 2 Gamma((m + 1) / 2) / Gamma(m / 2)
/// ```
/// The span of `k` gaussian directions is uniform among all of its dimension, so the part of a vector that lies in it has `mu_k / mu_n` of
/// its length on average. Signs and matrices of rank 1 have no such symmetry; theirs is near it where `n` is large.
///
/// A projection on `k` of `n` coordinates is `sqrt(k / n)` of the gradient's length or so; without this the rate of learning has to grow
/// with the network.
///
/// Source: Fluegel et al. (2024), multi-tangent forward gradients; the scaling correction of its public code.
#[derive(Debug)]
pub struct ProjectionLength;

impl Combination for ProjectionLength {
    fn name(&self) -> &str {
        "projection-length"
    }

    fn about(&self) -> &str {
        "the projection, as long as the target on average (random guesses)"
    }

    fn needs_products(&self) -> bool {
        true
    }

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        let span = along.b.len().min(along.dimension);
        let factor = mean_length(along.dimension) / mean_length(span);
        Projection.coefficients(along).into_iter().map(|coefficient| factor * coefficient).collect()
    }

    fn validate(&self, config: &EstimatorConfig) -> Result<()> {
        if config.along().support().is_random {
            return Ok(());
        }
        let reason = format!(
            "how much of the target's length lies in the span of `{}` is not known, but for random guesses",
            config.guess
        );
        let nearest = "`estimator.combination = projection`, or `estimator.guess = gaussian`";
        Err(Error::meaningless(reason, nearest))
    }
}

/// From this dimension on the series below is exact to the last bits.
const LARGE: usize = 256;

/// `mu_m`, the mean length of `m` standard normal numbers; 0 of none.
///
/// `mu_m mu_(m+1) = m` up to [`LARGE`]; beyond, with `x = m / 2`, the series
/// `sqrt(m) (1 - 1/(8x) + 1/(128x^2) + 5/(1024x^3) - 21/(32768x^4) - 399/(262144x^5))` (Tricomi & Erdelyi 1951). Differences of logarithms
/// of the gamma function lose six digits where networks are large.
fn mean_length(dimension: usize) -> f64 {
    if dimension <= LARGE {
        let first = (2.0 / std::f64::consts::PI).sqrt();
        let next = |mean: f64, m: usize| if m == 0 { first } else { m as f64 / mean };
        return (0..dimension).fold(0.0, next);
    }
    let inverse = 2.0 / dimension as f64;
    let series = [-399.0 / 262_144.0, -21.0 / 32_768.0, 5.0 / 1024.0, 1.0 / 128.0, -1.0 / 8.0, 1.0];
    (dimension as f64).sqrt() * series.into_iter().fold(0.0, |sum, coefficient| sum * inverse + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_lengths_follow_their_recurrence_for_every_dimension() {
        assert_eq!(mean_length(0), 0.0);
        for dimension in (1..600).chain([10_000, 12_345_678, 1_000_000_000]) {
            let product = mean_length(dimension) * mean_length(dimension + 1);
            assert!((product / dimension as f64 - 1.0).abs() < 1e-14, "{dimension}: {product}");
        }
        // The definition, to twenty digits.
        let known = [
            (1, 0.797_884_560_802_865_4),
            (7, 2.553_230_594_569_169),
            (256, 15.984_382_666_608_528),
            (257, 16.015_632_592_104_14),
            (1_000_000, 999.999_750_000_031_2),
            (1_000_000_000, 31_622.776_593_778_1),
        ];
        for (dimension, length) in known {
            assert!((mean_length(dimension) / length - 1.0).abs() < 1e-14, "{dimension}: {}", mean_length(dimension));
        }
    }
}
