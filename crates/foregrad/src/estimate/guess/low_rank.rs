//! Rank-1 directions `a b^T` of standard normal `a` and `b`: unit covariance, and a tangent that is nearly free.
//!
//! A tensor's first axis (outputs) is `a`'s, all others together `b`'s; a vector is gaussian.
//! `E[a_i b_j a_k b_l] = delta_ik delta_jl`, so the covariance is that of independent numbers.
//!
//! Source: the identity `x (a b^T) = (x a) b^T`; rank-1 perturbations as in evolution strategies.

use super::{Origin, Support};
use crate::estimate::Space;
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;

pub(super) const SUPPORT: Support = Support {
    name: "low-rank",
    about: "rank-1 products of two normal vectors (weight space)",
    origin: Origin::Random(draw),
    spaces: &[Space::Weight],
    several: true,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};

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
