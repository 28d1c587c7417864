//! The heads of decoupled greedy learning: as many channels, and hidden units a pixel, as the block has.
//!
//! For an output of `c` channels and `s` pixels a side:
//! ```text
//! dgl        pool to ceil(s / 4), three 1x1 convolutions to c, pool to 2, two hidden layers of 4 c units, linear
//! dgl-mlp    pool to ceil(s / 4), pool to 2, three hidden layers of 4 c units, linear
//! dgl-cnn    two 3x3 convolutions to c, pool to 2, norm, linear
//! ```
//! with a norm and a rectifier behind each convolution and hidden layer.
//!
//! Source: Belilovsky, Eickenberg & Oyallon, *Decoupled greedy learning of CNNs* (2020), MLP-SR-aux, MLP-aux and CNN-aux; eugenium/DGL,
//! `auxiliary_nets_study/models.py`, for the latter two; ChenxiangMA/AugLocal, `networks/auxiliary_nets.py`, for `dgl`, which has one hidden
//! layer less than the original. Departures: hidden layers have no bias, which the norm behind would take out; of two sides the shorter
//! counts.

use super::head_kind::{self, output};
use super::parts::{conv1, conv3, norm, relu};
use crate::layers::{AdaptiveAvgPoolSpec, LayerSpec};

/// Pixels a side that the first pool makes one of.
const REDUCTION: usize = 4;

/// Bins a side of the last pool.
const BINS: usize = 2;

/// `dgl`.
pub(super) fn reduced(input: [usize; 3]) -> Vec<LayerSpec> {
    let (channels, bins) = (input[0], BINS.min(reduced_side(input)));
    let convs = units(3, &conv1(channels, 1));
    [vec![reduction(input)], convs, head_kind::mlp(bins, 2, channels * bins * bins)].concat()
}

/// `dgl-mlp`.
pub(super) fn mlp(input: [usize; 3]) -> Vec<LayerSpec> {
    [vec![reduction(input)], head_kind::mlp(BINS, 3, input[0] * BINS * BINS)].concat()
}

/// `dgl-cnn`.
pub(super) fn cnn(channels: usize) -> Vec<LayerSpec> {
    let [pool, flatten, linear] = output(BINS).try_into().expect("a pool, flatten and linear");
    [units(2, &conv3(channels, 1)), vec![pool, norm(), flatten, linear]].concat()
}

/// Convolutions, each with a norm and a rectifier.
fn units(count: usize, conv: &LayerSpec) -> Vec<LayerSpec> {
    (0..count).flat_map(|unit| [conv.clone().drawn_from(format!("conv{unit}")), norm(), relu()]).collect()
}

fn reduced_side([_, height, width]: [usize; 3]) -> usize {
    height.min(width).div_ceil(REDUCTION)
}

fn reduction(input: [usize; 3]) -> LayerSpec {
    AdaptiveAvgPoolSpec { bins: reduced_side(input) }.into()
}
