//! Rank-1 directions `a b^T` of standard normal `a` and `b`: unit covariance, and a tangent that is nearly free.
//!
//! A tensor's first axis (outputs) is `a`'s, all others together `b`'s; a vector is gaussian.
//! `E[a_i b_j a_k b_l] = delta_ik delta_jl`, so the covariance is that of independent numbers.
//!
//! Source: the identity `x (a b^T) = (x a) b^T`; rank-1 perturbations as in evolution strategies.

use super::{Context, Directions, Gradients, Guess, Support};
use crate::estimate::Space;
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;

/// The guess `low-rank`.
#[derive(Debug)]
pub(super) struct LowRank;

impl Guess for LowRank {
    fn name(&self) -> &str {
        "low-rank"
    }

    fn about(&self) -> &str {
        "rank-1 products of two normal vectors (weight space)"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::RANDOM }
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        context.drawn(draw)
    }
}

pub(crate) fn draw(stream: Stream, shape: &[usize], placement: &Placement) -> ParamTensor {
    match shape {
        [outputs, inner @ ..] if !inner.is_empty() => {
            let a = stream.named("left").normal_tensor([*outputs], placement);
            let b = stream.named("right").normal_tensor([inner.iter().product()], placement);
            ParamTensor::outer(a, b, shape)
        }
        _ => super::gaussian::draw(stream, shape, placement),
    }
}
