//! Three hidden layers.

use super::parts::{norm, relu};
use super::{BlockSpec, ModelConfig, NetworkSpec};
use crate::layers::{FlattenSpec, LayerSpec, LinearSpec};

/// Units of a hidden layer before the width factor.
const WIDTH: usize = 512;

/// Three blocks of linear (no bias), norm and ReLU; the first flattens the image.
pub(super) fn spec(_config: &ModelConfig) -> NetworkSpec {
    let block = |block: usize| {
        let flatten = (block == 0).then(|| LayerSpec::from(FlattenSpec {}));
        let linear = LayerSpec::from(LinearSpec { outputs: WIDTH.into(), bias: false, ..Default::default() });
        let linear = linear.drawn_from(format!("blocks.{block}"));
        BlockSpec::of(flatten.into_iter().chain([linear, norm(), relu()]).collect())
    };
    NetworkSpec::new("mlp", (0..3).map(block).collect())
}
