//! Inner products and norms of vectors: of several vectors and all their tensors at one read.

use std::ops::RangeInclusive;

use super::{ParamTensor, ParamVector, Values};
use crate::ops::{self, Pending};

impl ParamTensor {
    /// The inner product with a tensor of the same shape: of two of rank one, `<a, c> <b, d>`.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn dot(&self, other: &Self) -> f64 {
        products(vec![self.asked_dot(other)])[0]
    }

    /// The factors of the inner product.
    fn asked_dot(&self, other: &Self) -> Vec<Pending> {
        match (&self.values, &other.values) {
            (Values::Outer(mine), Values::Outer(theirs)) => {
                mine.iter().zip(theirs.iter()).map(|(mine, theirs)| Pending::dot(mine, theirs)).collect()
            }
            _ => vec![Pending::dot(&self.values(), &other.values())],
        }
    }

    /// The factors of the largest magnitude of its elements.
    fn asked_largest(&self) -> Vec<Pending> {
        match &self.values {
            Values::Row(values) => vec![Pending::largest_magnitude(values)],
            Values::Outer(factors) => factors.iter().map(Pending::largest_magnitude).collect(),
        }
    }
}

impl ParamVector {
    /// `<self, other>` over the paths that both hold, in the order of the paths.
    ///
    /// # Panics
    /// If two tensors of one path differ in shape.
    pub fn dot(&self, other: &ParamVector) -> f64 {
        dots(&[[self, other]])[0]
    }

    /// The Euclidean norm, of vectors however small or large.
    pub fn norm(&self) -> f64 {
        norms(&[self])[0]
    }

    /// Whether every element is a finite number.
    pub fn is_finite(&self) -> bool {
        are_finite(&[self])[0]
    }
}

/// [`ParamVector::dot`] of each pair, at one read.
///
/// # Panics
/// If two tensors of one path differ in shape.
pub fn dots(pairs: &[[&ParamVector; 2]]) -> Vec<f64> {
    let asked = pairs.iter().map(|[a, b]| {
        let product = |(path, entry): (&String, &ParamTensor)| b.entries.get(path).map(|other| entry.asked_dot(other));
        a.entries.iter().filter_map(product).collect()
    });
    by_vector(asked.collect()).map(|own| own.into_iter().sum()).collect()
}

/// [`ParamVector::norm`] of each vector, at one read; at three where a sum of squares may have left the range of numbers.
pub fn norms(vectors: &[&ParamVector]) -> Vec<f64> {
    /// Sums that no device's precision is too narrow for: what squares below it would have added does not show.
    const IN_RANGE: RangeInclusive<f64> = 1e-20..=1e30;
    let squares = dots(&vectors.iter().map(|vector| [*vector; 2]).collect::<Vec<_>>());
    let doubtful = |square: &f64| !IN_RANGE.contains(square);
    let again: Vec<&ParamVector> = vectors.iter().zip(&squares).filter(|(_, s)| doubtful(s)).map(|(v, _)| *v).collect();
    let mut again = scaled_norms(&again).into_iter();
    let norm = |square: f64| if doubtful(&square) { again.next().unwrap_or(f64::NAN) } else { square.sqrt() };
    squares.into_iter().map(norm).collect()
}

/// Norms of vectors divided by their largest magnitudes, times these: two reads, since what to divide by is known after the first.
fn scaled_norms(vectors: &[&ParamVector]) -> Vec<f64> {
    let largest = |own: Vec<f64>| own.into_iter().fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
    let largest: Vec<f64> = largest_magnitudes(vectors).map(largest).collect();
    let has_squares = |largest: f64| largest != 0.0 && largest.is_finite();
    // Tensor by tensor, so that no second vector is ever there.
    let squares = |(vector, largest): (&&ParamVector, &f64)| {
        let entries = vector.entries.values().filter(|_| has_squares(*largest));
        let square = |entry: &ParamTensor| {
            let scaled = entry.scaled(1.0 / largest);
            scaled.asked_dot(&scaled)
        };
        entries.map(square).collect()
    };
    let squares = by_vector(vectors.iter().zip(&largest).map(squares).collect());
    let norm = |(largest, squares): (f64, Vec<f64>)| {
        if has_squares(largest) { largest * squares.into_iter().sum::<f64>().sqrt() } else { largest }
    };
    largest.into_iter().zip(squares).map(norm).collect()
}

/// [`ParamVector::is_finite`] of each vector, at one read.
pub fn are_finite(vectors: &[&ParamVector]) -> Vec<bool> {
    largest_magnitudes(vectors).map(|own| own.into_iter().all(f64::is_finite)).collect()
}

/// The largest magnitude of each tensor, by vector.
fn largest_magnitudes(vectors: &[&ParamVector]) -> impl Iterator<Item = Vec<f64>> {
    let asked = |vector: &&ParamVector| vector.entries.values().map(ParamTensor::asked_largest).collect();
    by_vector(vectors.iter().map(asked).collect())
}

/// What was asked for of each tensor of each vector, all of it read at once; of the factors of a number their product.
fn by_vector(asked: Vec<Vec<Vec<Pending>>>) -> impl Iterator<Item = Vec<f64>> {
    let lengths: Vec<usize> = asked.iter().map(Vec::len).collect();
    let mut numbers = products(asked.into_iter().flatten().collect()).into_iter();
    lengths.into_iter().map(move |length| numbers.by_ref().take(length).collect())
}

/// The product of the numbers of each group, all of them read at once.
fn products(groups: Vec<Vec<Pending>>) -> Vec<f64> {
    let lengths: Vec<usize> = groups.iter().map(Vec::len).collect();
    let mut factors = ops::read(groups.into_iter().flatten().collect()).into_iter().flatten();
    lengths.into_iter().map(|length| factors.by_ref().take(length).product()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Placement;
    use burn::tensor::{DType, Device};

    fn vector(values: &[f64]) -> ParamVector {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let mut vector = ParamVector::default();
        vector.insert("a", placement.tensor::<1>(values[..1].to_vec(), [1]));
        vector.insert("b", placement.tensor::<1>(values[1..].to_vec(), [values.len() - 1]));
        vector
    }

    #[test]
    fn the_largest_magnitude_of_an_outer_product_is_that_of_its_elements() {
        let row = |values: &[f64]| vector(values).entry("b").expect("a tensor").values();
        let (a, b) = (row(&[0.0, 1.0, -2.0]), row(&[0.0, 3.0, -1.0, 2.0]));
        let lazy = ParamTensor::outer(a, b, &[2, 3]);
        assert_eq!(products(vec![lazy.asked_largest()]), [6.0]);
        assert_eq!(products(vec![lazy.with_values(lazy.values()).asked_largest(), lazy.asked_dot(&lazy)]), [6.0, 70.0]);
    }

    #[test]
    fn several_vectors_give_what_each_gives_alone() {
        let all = [
            vector(&[3.0, 0.0, 4.0]),
            vector(&[0.0, 0.0, 0.0]),
            vector(&[1e-200, 0.0, 0.0]),
            vector(&[1.0, f64::NAN, 2.0]),
            ParamVector::default(),
            vector(&[1.0, f64::INFINITY, 2.0]),
        ];
        let together = norms(&all.each_ref());
        assert_eq!(together[..3], [5.0, 0.0, 1e-200]);
        assert!(together[3].is_nan() && together[4] == 0.0 && together[5] == f64::INFINITY);
        assert_eq!(are_finite(&all.each_ref()), [true, true, true, false, true, false]);
        let pairs = [[&all[0], &all[0]], [&all[1], &all[0]], [&all[4], &all[0]], [&all[0], &all[2]]];
        assert_eq!(dots(&pairs), [25.0, 0.0, 0.0, 3e-200]);
    }
}
