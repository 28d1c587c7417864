//! The optimiser's momentum buffer, and gaussian directions beside it, by orthogonal projection.
//!
//! Alone the buffer could never learn anything new, so there are at least two directions; a zero buffer is replaced by a
//! gaussian direction.
//!
//! Source: Fournier et al. (2023), Other estimators of the field: candidate directions instead of noise (Silver et al. 2022).

use super::{Origin, Support};
use crate::estimate::Space;

pub(super) const SUPPORT: Support = Support {
    name: "momentum",
    about: "the optimiser's buffer and k - 1 gaussian directions, projected (weight space)",
    origin: Origin::Buffer,
    spaces: &[Space::Weight],
    several: true,
    least_directions: 2,
    projection_only: true,
    forward_any_target: true,
};
