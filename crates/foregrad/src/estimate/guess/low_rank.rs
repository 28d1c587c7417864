//! Rank-1 directions `a b^T` of standard normal `a` and `b`: unit covariance, and a tangent that is nearly free.
//!
//! A tensor's first axis (outputs) is `a`'s, all others together `b`'s; a vector is gaussian.
//! `E[a_i b_j a_k b_l] = delta_ik delta_jl`, so the covariance is that of independent numbers.
//!
//! Source: the identity `x (a b^T) = (x a) b^T`; rank-1 perturbations as in evolution strategies.

use super::{Origin, Support};
use crate::estimate::Space;
use crate::rng::Stream;

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

fn draw(stream: Stream, shape: &[usize]) -> Vec<f64> {
    let [outputs, inner @ ..] = shape else { return stream.normal(1) };
    if inner.is_empty() {
        return stream.normal(*outputs);
    }
    let a = stream.named("left").normal(*outputs);
    let b = stream.named("right").normal(inner.iter().product());
    a.iter().flat_map(|a| b.iter().map(move |b| a * b)).collect()
}
