//! Residual networks with a stem for small images: ResNet-18 in 2 or 8 blocks, ResNet-32 and ResNet-110 in any number, and the depth of
//! ResNet-18 in 16 blocks without skips.
//!
//! Source: He et al., *Deep residual learning for image recognition* (2015), ResNet-32 and ResNet-110 in section 4.2 with 1x1 convolutions
//! on the skips where the shape changes (its option B); Fournier et al. (2023), Networks; how blocks are shared out: Wang et al., *Revisiting
//! locally supervised learning* (2021; InfoPro-Pytorch, `networks/configs.py`), and Ma et al., *AugLocal* (2024; `networks/configs.py`).
//! Paths are torchvision's (`layer1.0.conv1.weight`) in the residual nets.

use super::parts::{conv1, conv3, norm, relu};
use super::{BlockSpec, ModelConfig, NetworkSpec};
use crate::layers::{LayerSpec, ResidualSpec};

/// One residual block a block.
pub(super) fn eight_blocks(config: &ModelConfig) -> NetworkSpec {
    let per_stage = config.blocks_per_stage;
    residual_network("resnet18-8b", elements(64, 4, per_stage), 4 * per_stage)
}

/// The eight residual blocks joined four by four.
pub(super) fn two_blocks(_config: &ModelConfig) -> NetworkSpec {
    residual_network("resnet18-2b", elements(64, 4, 2), 2)
}

/// Fifteen residual blocks.
pub(super) fn thirty_two(config: &ModelConfig) -> NetworkSpec {
    residual_network("resnet32", elements(16, 3, 5), config.blocks.unwrap_or(DEPTH_32))
}

/// Fifty-four residual blocks.
pub(super) fn hundred_and_ten(config: &ModelConfig) -> NetworkSpec {
    residual_network("resnet110", elements(16, 3, 18), config.blocks.unwrap_or(DEPTH_110))
}

/// Blocks of `resnet32` at most: its stem and every residual block.
pub(super) const DEPTH_32: usize = 1 + 3 * 5;
/// Those of `resnet110`.
pub(super) const DEPTH_110: usize = 1 + 3 * 18;

/// A network of a stem and residual blocks that are shared out among `units`; its layers have their whole paths as names.
fn residual_network(name: &str, elements: Vec<Vec<LayerSpec>>, units: usize) -> NetworkSpec {
    let mut elements = elements.into_iter();
    let sizes = shares(elements.len(), units);
    let block = |size: usize| {
        let layers = elements.by_ref().take(size).flatten().collect();
        BlockSpec { path: Some(String::new()), ..BlockSpec::of(layers) }
    };
    NetworkSpec::new(name, sizes.into_iter().map(block).collect())
}

/// How many of `elements`, the first of which is the stem, each unit has.
///
/// Where the residual blocks are a multiple of the units, each unit has as many of them, and the first has the stem as well; else the stem counts
/// as one of them, and the last units are those that have one more. These are the published divisions.
fn shares(elements: usize, units: usize) -> Vec<usize> {
    let is_even = (elements - 1).is_multiple_of(units);
    let size = |unit: usize| {
        let larger = elements % units;
        let is_larger = if is_even { unit < larger } else { unit >= units - larger };
        elements / units + usize::from(is_larger)
    };
    (0..units).map(size).collect()
}

/// The stem, and each of `per_stage` residual blocks in each of the stages; a stage has twice the channels of that before it.
fn elements(channels: usize, stages: usize, per_stage: usize) -> Vec<Vec<LayerSpec>> {
    let mut elements = vec![vec![conv3(channels, 1).named("conv1"), norm().named("bn1"), relu().named("relu")]];
    let mut input = channels;
    for stage in 1..=stages {
        let output = channels << (stage - 1);
        for position in 0..per_stage {
            let path = format!("layer{stage}.{position}");
            let stride = if stage > 1 && position == 0 { 2 } else { 1 };
            let sum = residual([input, output], stride).named(&path);
            elements.push(vec![sum, relu().named(format!("{path}.relu"))]);
            input = output;
        }
    }
    elements
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
        let stride = if block > 0 && block.is_multiple_of(4) { 2 } else { 1 };
        let unit = [conv3(64 << (block / 4), stride), norm(), relu()];
        BlockSpec::of(std::iter::repeat_n(unit, if block == 0 { 2 } else { 1 }).flatten().collect())
    };
    NetworkSpec { head_width: 0.5, ..NetworkSpec::new("resnet18-16b", (0..16).map(block).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The units that end after the residual block `position` of `stage` in InfoPro-Pytorch's `networks/configs.py`; 0 0 is the stem.
    const PUBLISHED: [(usize, &[[usize; 2]]); 9] = [
        (5, &[[2, 1]]),
        (5, &[[1, 4], [2, 4]]),
        (5, &[[1, 2], [2, 1], [3, 0]]),
        (5, &[[1, 0], [1, 2], [1, 4], [2, 1], [2, 3], [3, 0], [3, 2]]),
        (18, &[[2, 8]]),
        (18, &[[1, 17], [2, 17]]),
        (18, &[[1, 11], [2, 7], [3, 3]]),
        (18, &[[1, 4], [1, 11], [2, 0], [2, 7], [2, 14], [3, 3], [3, 10]]),
        (
            18,
            &[
                [1, 1],
                [1, 4],
                [1, 7],
                [1, 10],
                [1, 13],
                [1, 16],
                [2, 1],
                [2, 4],
                [2, 7],
                [2, 11],
                [2, 15],
                [3, 1],
                [3, 5],
                [3, 9],
                [3, 13],
            ],
        ),
    ];

    #[test]
    fn blocks_are_shared_out_as_published() {
        for (per_stage, ends) in PUBLISHED {
            let elements = 1 + 3 * per_stage;
            let mut sum = 0;
            let ends_at: Vec<usize> = shares(elements, ends.len() + 1)
                .into_iter()
                .map(|size| {
                    sum += size;
                    sum
                })
                .collect();
            let expected = ends.iter().map(|[stage, position]| 1 + (stage - 1) * per_stage + position + 1);
            assert_eq!(ends_at, expected.chain([elements]).collect::<Vec<_>>());
        }
        assert_eq!(shares(16, 16), [1; 16]);
    }

    #[test]
    fn every_block_is_in_one_unit_and_units_differ_by_one_at_most() {
        for elements in [DEPTH_32, DEPTH_110] {
            for units in 1..=elements {
                let shares = shares(elements, units);
                let [least, most] = [shares.iter().min(), shares.iter().max()].map(|size| *size.expect("a unit"));
                assert_eq!((shares.len(), shares.iter().sum::<usize>()), (units, elements));
                assert!(most - least <= 1 && least > 0, "{shares:?}");
            }
        }
    }
}
