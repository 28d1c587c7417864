//! From inner products to coefficients: the mean over directions, or the orthogonal projection on their span.
//!
//! With directions `G_1 .. G_k` and `b_d = <target, G_d>` the estimate is `sum_d c_d G_d`:
//! ```text
//! mean        c = b / k                  unit covariance, or |G_d| = 1
//! projection  c = (B^T B)^+ b            B = [G_1 .. G_k]
//! ```
//! Source: Fluegel et al. (2024); Fournier et al. (2023), equations 4 and 5, for one direction.

use std::cell::OnceCell;

use nalgebra::{DMatrix, DVector, Dyn, SymmetricEigen};

/// Eigenvalues of a Gram matrix of unit vectors below this are rounding noise: directions that depend on others.
const RANK_TOLERANCE: f64 = 1e-9;

/// The Gram matrix `B^T B` of the directions of one slot.
#[derive(Debug, Clone)]
pub struct Gram {
    products: DMatrix<f64>,
    /// Of the cosines, once a projection has asked for it.
    eigen: OnceCell<SymmetricEigen<f64, Dyn>>,
}

impl Gram {
    /// The matrix of all inner products `product(d, e)`.
    pub fn new(directions: usize, product: impl Fn(usize, usize) -> f64) -> Self {
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

    /// Adds the products of another part of the same vectors.
    pub fn add(&mut self, other: &Gram) {
        self.products += &other.products;
        self.eigen = OnceCell::new();
    }

    /// `|G_d|^2`.
    pub fn square_norm(&self, direction: usize) -> f64 {
        self.products[(direction, direction)]
    }

    /// The coefficients `(B^T B)^+ b` of the orthogonal projection.
    pub fn project(&self, b: &[f64]) -> Vec<f64> {
        let count = b.len();
        // Scaling every direction to norm 1 first keeps a short direction from being taken for a dependent one.
        let inverse = |square: f64| if square > 0.0 { square.sqrt().recip() } else { 0.0 };
        let inverse_norm: Vec<f64> = (0..count).map(|d| inverse(self.square_norm(d))).collect();
        let cosine = |d: usize, e: usize| self.products[(d, e)] * inverse_norm[d] * inverse_norm[e];
        let SymmetricEigen { eigenvectors, eigenvalues } =
            self.eigen.get_or_init(|| SymmetricEigen::new(DMatrix::from_fn(count, count, cosine)));
        let scaled = DVector::from_fn(count, |d, _| b[d] * inverse_norm[d]);
        let mut along = eigenvectors.transpose() * scaled;
        for (value, eigenvalue) in along.iter_mut().zip(eigenvalues.iter()) {
            *value = if *eigenvalue > RANK_TOLERANCE { *value / eigenvalue } else { 0.0 };
        }
        let solution = eigenvectors * along;
        solution.iter().zip(&inverse_norm).map(|(c, inverse_norm)| c * inverse_norm).collect()
    }
}

/// The coefficients of the mean, `c = b / k`.
pub fn mean(b: &[f64]) -> Vec<f64> {
    let count = b.len() as f64;
    b.iter().map(|b| b / count).collect()
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
    fn the_mean_of_one_direction_is_its_product() {
        assert_eq!(mean(&[3.0]), [3.0]);
        assert_eq!(mean(&[3.0, 1.0]), [1.5, 0.5]);
    }
}
