//! Independent standard normal numbers.
//!
//! Source: Fournier et al. (2023), Guesses; Baydin et al. (2022).

use super::{BOTH, Origin, Support};
use crate::rng::{Placement, Stream};
use crate::vector::ParamTensor;

pub(super) const SUPPORT: Support = Support {
    name: "gaussian",
    about: "independent standard normal numbers",
    origin: Origin::Random(draw),
    spaces: BOTH,
    several: true,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};

pub(in crate::estimate) fn draw(stream: Stream, shape: &[usize], placement: &Placement) -> ParamTensor {
    ParamTensor::shaped(stream.normal_tensor([shape.iter().product()], placement), shape)
}
