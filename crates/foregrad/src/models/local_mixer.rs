//! A mixer whose blocks are made for losses of their own: few weights between two losses, and channels in groups.
//!
//! Source: Ren et al., *Scaling forward gradient with local losses* (2023), LocalMixer M/8/16 for CIFAR-10 (4 blocks, 8x8 patches, 512
//! channels, 16 groups); google-research, `local_forward_gradient/mixer_lib.py` and its training script, with their default settings.
//! Departures: patches have 4x4 pixels whatever the image, token mixing has no bias (the norm over channels would remove it), weights are
//! uniform and no readout starts at 0, biases start at 0.01, and the last block learns from the classifier alone, where theirs has a head of
//! its own.

use super::parts::relu;
use super::{BlockSpec, ModelConfig, NetworkSpec};
use crate::layers::{Conv2dSpec, Groups, LayerNormSpec, LayerSpec, PositionLinearSpec, ResidualSpec, widened};

/// Blocks.
const BLOCKS: usize = 4;
/// Channels before the width factor.
const CHANNELS: usize = 512;
/// Groups at most: a narrower network has the largest number that divides its channels.
const GROUPS: usize = 16;
/// Pixels a side of a patch: 8x8 patches of a CIFAR image.
const PATCH: usize = 4;

/// Linear layers, each followed by a norm over channels without scale and shift, and ReLU. Patches are embedded and mixed within groups of
/// channels in the first block; every other mixes tokens, channels, and channels within their groups, around a skip.
pub(super) fn spec(config: &ModelConfig) -> NetworkSpec {
    let channels = widened(CHANNELS, config.width);
    let groups = (1..=GROUPS).rev().find(|groups| channels.is_multiple_of(*groups)).unwrap_or(1);
    let block = |block: usize| {
        let layers = if block == 0 {
            [linear(PATCH, 1), vec![relu()], linear(1, groups)].concat()
        } else {
            let tokens = vec![PositionLinearSpec { bias: false, ..Default::default() }.into(), norm(1), relu()];
            let body = [tokens, linear(1, 1), vec![relu()], linear(1, groups)].concat();
            vec![LayerSpec::from(ResidualSpec {}).holding("body", body)]
        };
        BlockSpec::of([layers, vec![relu()]].concat())
    };
    NetworkSpec::new("local-mixer", (0..BLOCKS).map(block).collect())
}

/// A linear layer on every patch of a side, within each group of channels, and the norm of each group.
fn linear(side: usize, groups: usize) -> Vec<LayerSpec> {
    let conv = Conv2dSpec {
        outputs: CHANNELS.into(),
        kernel: side,
        stride: side,
        groups: Groups::Number(groups),
        bias: true,
        ..Default::default()
    };
    vec![conv.into(), norm(groups)]
}

/// The norm over the channels of each group of a pixel.
fn norm(groups: usize) -> LayerSpec {
    LayerNormSpec { groups, affine: false, ..Default::default() }.into()
}
