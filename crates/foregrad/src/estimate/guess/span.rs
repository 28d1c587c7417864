//! Each sample's target projected on the span of the batch's local guesses.
//!
//! The directions are the uncentred right singular vectors of the row-normalised guesses of the batch; `k = n` is the
//! paper's. In forward mode each sample carries `sign_i v` and its scalar is multiplied by `sign_i`, so that batch norm's
//! cross terms do not add up coherently.
//!
//! Source: `paper.md`, Guesses; Table 6.

use super::{Origin, Support};
use crate::estimate::Space;

pub(super) const SUPPORT: Support = Support {
    name: "span",
    about: "span of the batch's local guesses (activity space; k principal directions)",
    origin: Origin::BatchSpan,
    spaces: &[Space::Activity],
    several: true,
    least_directions: 1,
    projection_only: true,
    forward_any_target: true,
};
