//! The semi-orthogonal matrix nearest to a weight: all of its singular values, or the largest, made 1.
//!
//! With `W = U S V^T`, a row an output, it is `U_k V_k^T`, `k` the rank that is asked for, or all singular values that are not 0. A weight of
//! groups is the matrix with zeros between them, so that its singular values are those of all groups.
//!
//! Singular vectors serve every rank, and weights that lack some; the cubic Newton-Schulz iteration by itself would need many rounds for
//! small singular values, and has no rank. They come from the Gram matrix of the shorter side, `W W^T = U S^2 U^T`, which takes a quarter of
//! the time of a whole decomposition and loses digits where singular values are small; two rounds or so of that iteration bring them back.
//!
//! Source: Wang et al., *Towards scalable backpropagation-free gradient estimation* (2025), arXiv 2511.03110; Schulz (1933).

use nalgebra::DMatrix;

use super::gram::eigen;
use crate::ops;
use crate::vector::ParamTensor;

/// Singular values below this part of the largest are rounding noise of single precision.
const RANK_TOLERANCE: f64 = 1e-6;

/// How far from 1 the rows' products with themselves may be, and how many rounds they get for it: each squares the error.
const ORTHONORMAL: f64 = 1e-14;
const ROUNDS: usize = 6;

/// The matrix nearest to a weight `[outputs, ...]` of some groups, in the weight's shape; no numbers where the weight is not finite.
pub fn nearest(weight: &ParamTensor, groups: usize, rank: Option<usize>) -> ParamTensor {
    let (values, outputs) = (ops::host(weight.values()), weight.shape()[0]);
    let (rows, length) = (outputs / groups, values.len() / groups);
    let matrix = |group: &[f64]| DMatrix::from_row_slice(rows, length / rows, group);
    let parts: Option<Vec<Spectrum>> = values.chunks_exact(length).map(|group| Spectrum::of(matrix(group))).collect();
    let found = match parts {
        Some(parts) => parts.iter().zip(kept(&parts, rank)).flat_map(|(part, kept)| part.with_ones(&kept)).collect(),
        None => vec![f64::NAN; values.len()],
    };
    let length = found.len();
    weight.with_values(weight.placement().tensor(found, [length]))
}

/// A matrix with the left singular vectors and the squares of the singular values of its wide form.
struct Spectrum {
    wide: DMatrix<f64>,
    /// Whether the matrix itself is the transpose.
    is_tall: bool,
    vectors: DMatrix<f64>,
    squares: Vec<f64>,
}

impl Spectrum {
    /// None of a matrix that is not finite.
    fn of(matrix: DMatrix<f64>) -> Option<Self> {
        let is_tall = matrix.nrows() > matrix.ncols();
        let wide = if is_tall { matrix.transpose() } else { matrix };
        let found = eigen(&wide * wide.transpose())?;
        Some(Self { wide, is_tall, vectors: found.eigenvectors, squares: found.eigenvalues.iter().copied().collect() })
    }

    /// The matrix with 1 for the singular values that are kept and 0 for the others, row by row.
    fn with_ones(&self, kept: &[usize]) -> Vec<f64> {
        let left = self.vectors.select_columns(kept);
        let mut right = left.tr_mul(&self.wide);
        for (mut row, index) in right.row_iter_mut().zip(kept) {
            row /= self.squares[*index].sqrt();
        }
        let matrix = left * orthonormal(right);
        // The elements of a matrix are in memory column by column.
        if self.is_tall { matrix.as_slice().to_vec() } else { matrix.transpose().as_slice().to_vec() }
    }
}

/// Which singular values of each part are kept: the largest of all, as many as the rank says, without those that are noise.
fn kept(parts: &[Spectrum], rank: Option<usize>) -> Vec<Vec<usize>> {
    let all = parts.iter().enumerate().flat_map(|(part, own)| (0..own.squares.len()).map(move |index| (part, index)));
    let mut all: Vec<(usize, usize)> = all.collect();
    let square = |(part, index): (usize, usize)| parts[part].squares[index];
    all.sort_by(|a, b| square(*b).total_cmp(&square(*a)));
    let largest = all.first().map_or(0.0, |first| square(*first));
    all.retain(|own| square(*own) > RANK_TOLERANCE * RANK_TOLERANCE * largest);
    all.truncate(rank.unwrap_or(all.len()));
    let mut kept = vec![Vec::new(); parts.len()];
    all.into_iter().for_each(|(part, index)| kept[part].push(index));
    kept
}

/// Rows that are nearly orthonormal made so: `X <- X + (I - X X^T) X / 2`.
fn orthonormal(mut rows: DMatrix<f64>) -> DMatrix<f64> {
    for _ in 0..ROUNDS {
        let gap = DMatrix::identity(rows.nrows(), rows.nrows()) - &rows * rows.transpose();
        if gap.iter().all(|gap| gap.abs() < ORTHONORMAL) {
            break;
        }
        rows += 0.5 * (gap * &rows);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Placement, Stream};
    use burn::tensor::{DType, Device};
    use nalgebra::SVD;

    fn weight(values: Vec<f64>, shape: &[usize]) -> ParamTensor {
        let placement = Placement { device: Device::flex(), dtype: DType::F64 };
        let length = values.len();
        ParamTensor::shaped(placement.tensor(values, [length]), shape)
    }

    fn random(shape: &[usize]) -> ParamTensor {
        weight(Stream::new(3, "orthogonal").normal(shape.iter().product()), shape)
    }

    /// A weight of groups as the matrix of the whole map, `[outputs, groups inputs]`.
    fn whole(weight: &ParamTensor, groups: usize) -> DMatrix<f64> {
        let (values, outputs) = (ops::host(weight.values()), weight.shape()[0]);
        let columns = values.len() / outputs;
        DMatrix::from_fn(outputs, columns * groups, |row, column| {
            let is_own = row / (outputs / groups) == column / columns;
            if is_own { values[row * columns + column % columns] } else { 0.0 }
        })
    }

    fn largest(matrix: &DMatrix<f64>) -> f64 {
        matrix.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()))
    }

    #[test]
    fn it_is_semi_orthogonal_of_its_rank_and_has_the_weights_singular_vectors() {
        for (shape, groups) in [
            (&[5, 4, 3, 3][..], 1),
            (&[12, 2, 1, 1], 1),
            (&[7, 7], 1),
            (&[6, 2, 3, 3], 3),
            (&[8, 1, 3, 3], 8),
            (&[1, 1], 1),
        ] {
            let weight = random(shape);
            let SVD { u, v_t, singular_values } = SVD::new(whole(&weight, groups), true, true);
            let (u, v_t) = (u.expect("vectors"), v_t.expect("vectors"));
            let full = singular_values.iter().filter(|value| **value > 1e-9).count();
            for rank in [None, Some(1), Some(2), Some(1000)] {
                let found = nearest(&weight, groups, rank);
                assert_eq!(found.shape(), shape);
                let found = whole(&found, groups);
                let ones = rank.unwrap_or(full).min(full);
                let values = found.singular_values();
                let mut sorted: Vec<f64> = values.iter().copied().collect();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let far = |(index, value): (usize, &f64)| (value - if index < ones { 1.0 } else { 0.0 }).abs();
                let worst = sorted.iter().enumerate().map(far).fold(0.0, f64::max);
                assert!(worst < 1e-12, "{shape:?}, {groups} groups, rank {rank:?}: {sorted:?}");
                let expected = u.columns(0, ones) * v_t.rows(0, ones);
                let gap = largest(&(found - expected));
                assert!(gap < 1e-10, "{shape:?}, {groups} groups, rank {rank:?}: {gap:e}");
            }
        }
    }

    #[test]
    fn a_weight_that_lacks_ranks_keeps_those_it_has() {
        let columns = 9;
        let rows: Vec<Vec<f64>> = (0..2).map(|row| Stream::new(row, "row").normal(columns)).collect();
        // The third row is the sum of the others, the fourth is zero, the fifth nearly the first.
        let row = |index: usize| -> Vec<f64> {
            let both = rows[0].iter().zip(&rows[1]);
            match index {
                0 | 1 => rows[index].clone(),
                2 => both.map(|(a, b)| a + b).collect(),
                3 => vec![0.0; columns],
                _ => both.map(|(a, b)| a + 1e-4 * b).collect(),
            }
        };
        for shape in [[5, columns], [columns, 5]] {
            let wide: Vec<f64> = (0..5).flat_map(row).collect();
            let matrix = DMatrix::from_row_slice(5, columns, &wide);
            let values = if shape[0] == 5 { wide } else { matrix.as_slice().to_vec() };
            let found = whole(&nearest(&weight(values, &shape), 1, None), 1);
            let values = found.singular_values();
            let ones = values.iter().filter(|value| (*value - 1.0).abs() < 1e-12).count();
            let zeros = values.iter().filter(|value| value.abs() < 1e-12).count();
            assert_eq!((ones, zeros), (2, 3), "{values}");
        }
    }

    #[test]
    fn small_singular_values_become_ones_too() {
        let scales = [1.0, 1e-1, 1e-3, 1e-5];
        let values = Stream::new(5, "rows").normal(4 * 40);
        let scaled = values.chunks(40).zip(scales).flat_map(|(row, scale)| row.iter().map(move |value| value * scale));
        let found = whole(&nearest(&weight(scaled.collect(), &[4, 40]), 1, None), 1);
        let worst = found.singular_values().iter().map(|value| (value - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-12, "{worst:e}");
    }

    #[test]
    fn zero_stays_zero_and_what_is_not_finite_stays_so() {
        let zero = nearest(&weight(vec![0.0; 12], &[3, 4]), 1, None);
        assert_eq!(ops::host(zero.values()), vec![0.0; 12]);
        for wrong in [f64::NAN, f64::INFINITY] {
            let found = nearest(&weight([vec![wrong], vec![1.0; 11]].concat(), &[3, 4]), 1, None);
            assert!(ops::host(found.values()).iter().all(|value| value.is_nan()));
        }
    }
}
