//! The inner products of directions, and the orthogonal projection on their span.

use std::cell::OnceCell;

use nalgebra::{DMatrix, DVector, Dyn, SymmetricEigen};

/// Iterations a row and column that an eigendecomposition gets: two or three are usual.
const ITERATIONS: usize = 100;

/// The eigenvectors and eigenvalues of a symmetric matrix; none if it is not finite, or if they are not found in a bounded time.
pub(super) fn eigen(matrix: DMatrix<f64>) -> Option<SymmetricEigen<f64, Dyn>> {
    if matrix.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let iterations = ITERATIONS * matrix.nrows().max(1);
    SymmetricEigen::try_new(matrix, f64::EPSILON, iterations)
}

/// Eigenvalues of a Gram matrix of unit vectors below this are rounding noise: directions that depend on others.
const RANK_TOLERANCE: f64 = 1e-9;

/// The pairs of directions that a Gram matrix is made of: each with itself and those before it.
pub(super) fn pairs(directions: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..directions).flat_map(|d| (0..=d).map(move |e| (d, e)))
}

/// The Gram matrix `B^T B` of the directions of one slot.
#[derive(Debug, Clone)]
pub struct Gram {
    products: DMatrix<f64>,
    /// Of the cosines, once a projection has asked for it.
    eigen: OnceCell<Option<SymmetricEigen<f64, Dyn>>>,
}

impl Gram {
    /// The matrix of all inner products `product(d, e)`.
    pub(super) fn new(directions: usize, product: impl Fn(usize, usize) -> f64) -> Self {
        let mut gram = DMatrix::zeros(directions, directions);
        for d in 0..directions {
            for e in 0..=d {
                let value = product(d, e);
                gram[(d, e)] = value;
                gram[(e, d)] = value;
            }
        }
        Self { products: gram, eigen: OnceCell::new() }
    }

    /// The matrix of the inner products of [`pairs`], in their order.
    pub(super) fn of(directions: usize, products: &[f64]) -> Self {
        Self::new(directions, |d, e| products[d * (d + 1) / 2 + e])
    }

    /// Adds the products of another part of the same vectors.
    pub(super) fn add(&mut self, other: &Gram) {
        self.products += &other.products;
        self.eigen = OnceCell::new();
    }

    /// `|G_d|^2`.
    pub fn square_norm(&self, direction: usize) -> f64 {
        self.products[(direction, direction)]
    }

    /// The coefficients `(B^T B)^+ b` of the orthogonal projection; not numbers where the matrix has no decomposition, so that
    /// the update is seen not to be finite.
    pub fn project(&self, b: &[f64]) -> Vec<f64> {
        let count = b.len();
        // Scaling every direction to norm 1 first keeps a short direction from being taken for a dependent one.
        let inverse = |square: f64| if square > 0.0 { square.sqrt().recip() } else { 0.0 };
        let inverse_norm: Vec<f64> = (0..count).map(|d| inverse(self.square_norm(d))).collect();
        let cosine = |d: usize, e: usize| self.products[(d, e)] * inverse_norm[d] * inverse_norm[e];
        let eigen = self.eigen.get_or_init(|| eigen(DMatrix::from_fn(count, count, cosine)));
        let Some(SymmetricEigen { eigenvectors, eigenvalues }) = eigen else { return vec![f64::NAN; count] };
        let scaled = DVector::from_fn(count, |d, _| b[d] * inverse_norm[d]);
        let mut along = eigenvectors.transpose() * scaled;
        for (value, eigenvalue) in along.iter_mut().zip(eigenvalues.iter()) {
            *value = if *eigenvalue > RANK_TOLERANCE { *value / eigenvalue } else { 0.0 };
        }
        let solution = eigenvectors * along;
        solution.iter().zip(&inverse_norm).map(|(c, inverse_norm)| c * inverse_norm).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Gram matrix of plain vectors.
    fn gram(vectors: &[[f64; 3]]) -> Gram {
        Gram::new(vectors.len(), |d, e| vectors[d].iter().zip(&vectors[e]).map(|(a, b)| a * b).sum())
    }

    fn projected(vectors: &[[f64; 3]], target: [f64; 3]) -> [f64; 3] {
        let b: Vec<f64> = vectors.iter().map(|v| v.iter().zip(&target).map(|(a, b)| a * b).sum()).collect();
        let c = gram(vectors).project(&b);
        [0, 1, 2].map(|i| vectors.iter().zip(&c).map(|(v, c)| c * v[i]).sum())
    }

    fn assert_close(a: [f64; 3], b: [f64; 3]) {
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-9), "{a:?} against {b:?}");
    }

    #[test]
    fn projection_on_a_whole_basis_is_the_target_itself() {
        let basis = [[1.0, 2.0, 0.0], [0.0, 1e-6, 1e-6], [3.0, 0.0, 1.0]];
        assert_close(projected(&basis, [1.0, -2.0, 3.0]), [1.0, -2.0, 3.0]);
    }

    #[test]
    fn dependent_and_zero_directions_do_not_disturb_a_projection() {
        let twice = [[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]];
        assert_close(projected(&twice, [5.0, 1.0, 1.0]), [5.0, 0.0, 0.0]);
    }

    #[test]
    fn a_matrix_that_is_not_finite_gives_coefficients_that_are_none_and_ends() {
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for place in 0..3 {
                let mut vectors = [[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [3.0, 0.0, 1.0]];
                vectors[1][place] = wrong;
                let coefficients = gram(&vectors).project(&[1.0, 1.0, 1.0]);
                assert!(coefficients.iter().all(|c| c.is_nan()), "{wrong} at {place}: {coefficients:?}");
            }
        }
    }
}
