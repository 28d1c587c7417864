//! The target itself: no projection, the plain gradient of the target's loss.
//!
//! With the global target this is end-to-end training, with the local one local learning.
//!
//! Source: Fournier et al. (2023), the rows with `guess=exact`.

use super::{BOTH, Origin, Support};

pub(super) const SUPPORT: Support = Support {
    name: "exact",
    about: "the target itself, without projection (forward mode: local target only)",
    origin: Origin::Target,
    spaces: BOTH,
    several: false,
    least_directions: 1,
    projection_only: false,
    forward_any_target: false,
};
