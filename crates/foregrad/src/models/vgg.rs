//! VGG-like networks, every layer with weights a block: those on which layers that learn by losses of their own are published as equal to
//! backpropagation.
//!
//! Source: Nokland & Eidnes, *Training neural networks with local error signals* (2019), section 4; the published `train.py` (`cfg`,
//! `VGGn`) with its settings for CIFAR-10, `--nonlin leakyrelu --dropout 0.2`. A block's head reads what the rectifier gives; dropout and
//! pool, which change only what goes on, stand before the next block's weights. Departures: no bias before a norm, which would remove
//! it, and a classifier with drawn weights (theirs start at 0 where losses are local).

use super::parts::{conv3, norm};
use super::{BlockSpec, ModelConfig, NetworkSpec};
use crate::layers::{DropoutSpec, FlattenSpec, LayerSpec, LeakyReluSpec, LinearSpec, MaxPoolSpec};

/// Channels of the convolutions of `vgg8b` before the width factor, from each pool to the next.
const EIGHT: [&[usize]; 4] = [&[128, 256], &[256, 512], &[512], &[512]];
/// Those of `vgg11b`.
const ELEVEN: [&[usize]; 4] = [&[128, 128, 128, 256], &[256, 512], &[512, 512], &[512]];
/// Units of the fully connected layer before the width factor.
const UNITS: usize = 1024;
/// The part of the channels that are dropped.
const DROPPED: f64 = 0.2;

/// Six convolutions and a fully connected layer.
pub(super) fn eight(_config: &ModelConfig) -> NetworkSpec {
    spec("vgg8b", EIGHT)
}

/// Nine convolutions and a fully connected layer.
pub(super) fn eleven(_config: &ModelConfig) -> NetworkSpec {
    spec("vgg11b", ELEVEN)
}

/// Convolutions with a 2x2 maximum pool behind each group of them, and the fully connected layer: each with norm and leaky rectifier.
fn spec(name: &str, groups: [&[usize]; 4]) -> NetworkSpec {
    let mut blocks: Vec<Vec<LayerSpec>> = Vec::new();
    for (group, channels) in groups.iter().enumerate() {
        for (position, outputs) in channels.iter().enumerate() {
            let pool = (group > 0 && position == 0).then(pool);
            let dropout = (!blocks.is_empty()).then(dropout);
            blocks.push([dropout.into_iter().chain(pool).collect(), rectified(conv3(*outputs, 1))].concat());
        }
    }
    let units = LinearSpec { outputs: UNITS.into(), bias: false, ..Default::default() };
    blocks.push([vec![dropout(), pool(), FlattenSpec {}.into()], rectified(units.into())].concat());
    let classifier = vec![dropout().named("dropout"), LayerSpec::from(LinearSpec::default()).named("fc")];
    NetworkSpec { classifier, ..NetworkSpec::new(name, blocks.into_iter().map(BlockSpec::of).collect()) }
}

fn rectified(weights: LayerSpec) -> Vec<LayerSpec> {
    vec![weights, norm(), LeakyReluSpec::default().into()]
}

fn dropout() -> LayerSpec {
    DropoutSpec { rate: DROPPED, channels: true }.into()
}

fn pool() -> LayerSpec {
    MaxPoolSpec::default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_read_what_is_neither_dropped_nor_pooled() {
        for (network, pools) in
            [(eight(&ModelConfig::default()), [2, 4, 5, 6]), (eleven(&ModelConfig::default()), [4, 6, 8, 9])]
        {
            for (number, block) in network.blocks.iter().enumerate() {
                let kinds: Vec<&str> = block.layers.iter().map(|layer| layer.kind.as_str()).collect();
                assert!(kinds.ends_with(&["norm", "leaky-relu"]), "{kinds:?}");
                assert_eq!(kinds.contains(&"max-pool"), pools.contains(&number), "block {number}: {kinds:?}");
                let dropouts = block.layers.iter().filter(|layer| layer.kind == "dropout");
                assert!(
                    dropouts.clone().all(|layer| layer.settings["channels"] == true && layer.settings["rate"] == 0.2)
                );
                assert_eq!(dropouts.count(), usize::from(number > 0));
            }
        }
    }
}
