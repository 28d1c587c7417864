//! Noise pulled back through the next block: `J^T xi`, with `J` that block's Jacobian and `xi` gaussian.
//!
//! For a block of convolution and ReLU this is `W^T (mask * xi)`. It is made while at the next block: a guess horizon of 1.
//!
//! Source: Singhal et al. (2023): guesses in the span of the upstream weights, masked by the ReLU.

use super::{BOTH, Origin, Support};

pub(super) const SUPPORT: Support = Support {
    name: "upstream",
    about: "noise pulled back through the next block",
    origin: Origin::NextBlock,
    spaces: BOTH,
    several: true,
    least_directions: 1,
    projection_only: false,
    forward_any_target: true,
};
