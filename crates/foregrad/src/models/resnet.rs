//! ResNet-18 with a CIFAR stem, in 2 or 8 residual blocks, and the same depth in 16 blocks without skips.
//!
//! Source: Fournier et al. (2023), Networks; He et al. (2015). Paths are torchvision's (`layer1.0.conv1.weight`) in the residual nets.

use super::parts::{conv1, conv3, norm, relu};
use super::{BlockSpec, ModelConfig, NetworkSpec};
use crate::layers::{LayerSpec, ResidualSpec};

/// One residual block a block.
pub(super) fn eight_blocks(config: &ModelConfig) -> NetworkSpec {
    NetworkSpec::new("resnet18-8b", residual_blocks(config.blocks_per_stage).into_iter().map(unnamed).collect())
}

/// The eight residual blocks joined four by four.
pub(super) fn two_blocks(_config: &ModelConfig) -> NetworkSpec {
    let blocks = residual_blocks(2);
    NetworkSpec::new("resnet18-2b", blocks.chunks(4).map(|half| unnamed(half.concat())).collect())
}

/// A block whose layers have their whole paths as names.
fn unnamed(layers: Vec<LayerSpec>) -> BlockSpec {
    BlockSpec { path: Some(String::new()), ..BlockSpec::of(layers) }
}

/// The stem and `per_stage` residual blocks in each of four stages.
fn residual_blocks(per_stage: usize) -> Vec<Vec<LayerSpec>> {
    let stem = vec![conv3(64, 1).named("conv1"), norm().named("bn1"), relu().named("relu")];
    let mut blocks = Vec::new();
    let mut input = 64;
    for stage in 1..=4 {
        let output = 64 << (stage - 1);
        for position in 0..per_stage {
            let path = format!("layer{stage}.{position}");
            let stride = if stage > 1 && position == 0 { 2 } else { 1 };
            let before = if blocks.is_empty() { stem.clone() } else { Vec::new() };
            let sum = residual([input, output], stride).named(&path);
            blocks.push([before, vec![sum, relu().named(format!("{path}.relu"))]].concat());
            input = output;
        }
    }
    blocks
}

/// Two 3x3 convolutions around a skip; a 1x1 convolution on the skip where the shape changes.
fn residual([input, output]: [usize; 2], stride: usize) -> LayerSpec {
    let first = [conv3(output, stride).named("conv1"), norm().named("bn1"), relu().named("relu")];
    let second = [conv3(output, 1).named("conv2"), norm().named("bn2")];
    let sum = LayerSpec::from(ResidualSpec {}).holding("body", first.into_iter().chain(second).collect());
    if stride == 1 && input == output {
        return sum;
    }
    let shortcut = vec![conv1(output, stride).named("downsample.0"), norm().named("downsample.1")];
    sum.holding("shortcut", shortcut)
}

/// Sixteen blocks of one 3x3 convolution, norm and ReLU (the first holds two), without skips. The paper halves the heads.
pub(super) fn sixteen_blocks(_config: &ModelConfig) -> NetworkSpec {
    let block = |block: usize| {
        let stride = if block > 0 && block % 4 == 0 { 2 } else { 1 };
        let unit = [conv3(64 << (block / 4), stride), norm(), relu()];
        BlockSpec::of(std::iter::repeat_n(unit, if block == 0 { 2 } else { 1 }).flatten().collect())
    };
    NetworkSpec { head_width: 0.5, ..NetworkSpec::new("resnet18-16b", (0..16).map(block).collect()) }
}
