//! Each sample's target projected on the span of the batch's local guesses.
//!
//! The directions are the uncentred right singular vectors of the row-normalised guesses of the batch; `k = n` is the
//! paper's. In forward mode each sample carries `sign_i v` and its scalar is multiplied by `sign_i`, so that batch norm's
//! cross terms do not add up coherently.
//!
//! Source: Fournier et al. (2023), Guesses; Table 6.

use std::ops::Range;

use burn::tensor::Tensor;
use nalgebra::{DMatrix, Dyn, SymmetricEigen};

use super::{Context, Directions, Gradients, Guess, HeadUse, Support};
use crate::estimate::gram::eigen;
use crate::estimate::{EstimatorConfig, Granularity, Space};
use crate::ops;
use crate::rng::{Placement, Stream};
use crate::{Error, Result};

/// Singular values below this part of the largest are rounding noise.
const RANK_TOLERANCE: f64 = 1e-6;

/// The guess `span`.
#[derive(Debug)]
pub(super) struct Span;

impl Guess for Span {
    fn name(&self) -> &str {
        "span"
    }

    fn about(&self) -> &str {
        "span of the batch's local guesses (activity space; k principal directions)"
    }

    fn support(&self) -> Support {
        // Its directions differ by a sign from sample to sample, which no inner product between them sees.
        Support { spaces: &[Space::Activity], projection_only: true, shares_products: true, ..Support::USUAL }
    }

    fn heads(&self, _: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        let guesses = gradients.own.expect("the gradient of the block's own head was asked for");
        let signs = context.by_samples(context.stream().named("span"), [guesses.dims()[0], 1, 1, 1]);
        Directions::Activity(principal(guesses, context.directions().len(), signs))
    }

    fn validate(&self, config: &EstimatorConfig) -> Result<()> {
        if config.granularity() != Granularity::Sample {
            let reason = "the span's coefficients are per sample";
            return Err(Error::meaningless(reason, "`estimator.guess = span` `estimator.granularity = sample`"));
        }
        Ok(())
    }
}

/// The first `count` principal directions of a batch of guesses `[n, c, h, w]`, each once a sample with the sample's sign, so that
/// all samples have the same inner products between directions.
///
/// With `A` the row-normalised guesses and `A A^T = U S^2 U^T`, the right singular vectors are `V^T = S^-1 U^T A`. Directions
/// beyond the rank are zero; of guesses that are not finite they are no numbers either.
fn principal(guesses: Tensor<4>, count: usize, stream: Stream) -> Vec<Tensor<4>> {
    let shape @ [samples, channels, height, width] = guesses.dims();
    let features = channels * height * width;
    let inverse_norm = |square: f64| if square > 0.0 { square.sqrt().recip() } else { 0.0 };
    let factors: Vec<f64> = ops::row_dots(&guesses, &guesses).into_iter().map(inverse_norm).collect();
    let rows = ops::scale_rows(guesses, &factors).reshape([samples, features]);
    let gram = ops::host(rows.clone().matmul(rows.clone().transpose()));
    let placement = Placement::of(&rows);
    let weights = match eigen(DMatrix::from_row_slice(samples, samples, &gram)) {
        Some(eigen) => weights_of(&eigen, count),
        None => vec![f64::NAN; count * samples],
    };
    let v = ops::matmul(placement.tensor(weights, [count, samples]), rows);
    let signs = stream.sign_tensor([samples, 1], &placement);
    (0..count).map(|position| signs.clone().matmul(v.clone().narrow(0, position, 1)).reshape(shape)).collect()
}

/// The first `count` rows of `S^-1 U^T`, one after another; 0 beyond the rank.
fn weights_of(SymmetricEigen { eigenvectors, eigenvalues }: &SymmetricEigen<f64, Dyn>, count: usize) -> Vec<f64> {
    let samples = eigenvalues.len();
    let mut order: Vec<usize> = (0..samples).collect();
    order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
    let largest = order.first().map_or(0.0, |first| eigenvalues[*first].max(0.0).sqrt());
    let mut weights = vec![0.0; count * samples];
    for (weights, index) in weights.chunks_exact_mut(samples).zip(&order) {
        let singular = eigenvalues[*index].max(0.0).sqrt();
        if singular > RANK_TOLERANCE * largest {
            weights.iter_mut().zip(eigenvectors.column(*index).iter()).for_each(|(weight, u)| *weight = u / singular);
        }
    }
    weights
}
