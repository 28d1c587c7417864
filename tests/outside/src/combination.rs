//! The direction of the largest inner product alone.

use foregrad::estimate::{Along, Combination};

/// The combination.
#[derive(Debug)]
pub struct Steepest;

impl Combination for Steepest {
    fn name(&self) -> &str {
        "steepest"
    }

    fn about(&self) -> &str {
        "the direction of the largest inner product alone"
    }

    fn coefficients(&self, along: &Along<'_>) -> Vec<f64> {
        let directions = 0..along.b.len();
        let slope = |direction: usize| along.slope(direction).abs();
        let steepest = directions.clone().max_by(|d, e| slope(*d).total_cmp(&slope(*e)));
        directions.map(|own| if Some(own) == steepest { along.alone(own) } else { 0.0 }).collect()
    }
}
