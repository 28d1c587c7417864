//! The heads that have a name.
//!
//! Source: Fournier et al. (2023), the table of auxiliary nets. To add one: a list of layers and a name in [`HeadKind`].

use std::sync::Arc;

use super::planned_head::{HeadScope, PlannedBranch, PlannedHead, PlannedNet, without_specs};
use super::{Head, Norm, augmented, dgl, ema, loss_for, predsim_vgg};
use crate::layers::{
    AdaptiveAvgPoolSpec, Conv2dSpec, FlattenSpec, Kinds, LayerSpec, LinearSpec, NormSpec, ReluSpec,
    SpatialDeviationSpec, widened,
};
use crate::losses::{AnyLoss, LabelKind, Similarity};
use crate::rng::{Placement, Stream};
use crate::{Result, names};

names! {
    /// The structure of a head.
    "head" pub enum HeadKind {
        /// 1x1 convolution, three 3x3 stride-2 convolutions, 2x2 pool, linear.
        Cnn = "cnn",
        /// 2x2 pool, three hidden layers, linear.
        Mlp = "mlp",
        /// Norm, 2x2 pool, linear.
        Linear = "linear",
        /// Spatial mean, linear: parts of a sample stay apart up to the loss.
        MeanLinear = "mean-linear",
        /// Similarity matching (0.99) and prediction (0.01).
        Predsim = "predsim",
        /// The same as published for VGG: predicts from windows of the maps, by weights that start at 0.
        PredsimVgg = "predsim-vgg",
        /// Similarity matching of `predsim-vgg` alone.
        Similarity = "similarity",
        /// Prediction of `predsim-vgg` alone.
        Prediction = "prediction",
        /// Copies of later blocks (--head-depth, --head-pyramid), spatial mean, linear.
        Augmented = "augmented",
        /// 4 pixels a side to one, three 1x1 convolutions, 2x2 pool, two hidden layers, linear.
        Dgl = "dgl",
        /// 2x2 pool, three hidden layers of as many units as it has values, linear.
        DglMlp = "dgl-mlp",
        /// Two 3x3 convolutions, 2x2 pool, norm, linear.
        DglCnn = "dgl-cnn",
        /// A running copy of the next block (--head-decay) beside a trained one, then as mlp.
        Ema = "ema",
    }
}

/// Hidden units of `mlp` before the width factor.
const HIDDEN: usize = 1024;

/// Channels of `cnn` before the width factor.
const CHANNELS: usize = 32;

/// All that a head is built from.
#[derive(Debug, Clone, Copy)]
pub struct HeadConfig {
    /// Its structure.
    pub kind: HeadKind,
    /// The normalisation of its layers.
    pub norm: Norm,
    /// Hidden units of `mlp`.
    pub hidden: usize,
    /// Channels of `cnn`.
    pub channels: usize,
    /// Channels, height and width of the block's output.
    pub input: [usize; 3],
    /// What its outputs stand for.
    pub labels: LabelKind,
    /// Label smoothing of the cross-entropy.
    pub smoothing: f64,
}

impl HeadKind {
    /// Whether it is made of the blocks after its own, so that it stands in networks that are specs alone.
    pub fn looks_ahead(self) -> bool {
        matches!(self, Self::Augmented | Self::Ema)
    }

    /// A head of this kind behind a block's output.
    pub(super) fn plan(self, input: [usize; 3], scope: &HeadScope) -> Result<PlannedHead> {
        match self {
            HeadKind::Augmented => augmented::plan(input, scope),
            HeadKind::Ema => ema::plan(input, scope),
            _ => Ok(PlannedHead::of_net(self.config(input, scope).net()?)),
        }
    }

    /// All that it is built from.
    pub(super) fn config(self, input: [usize; 3], scope: &HeadScope) -> HeadConfig {
        HeadConfig {
            kind: self,
            norm: scope.norm,
            hidden: widened(HIDDEN, scope.width),
            channels: widened(CHANNELS, scope.width),
            input,
            labels: scope.labels,
            smoothing: scope.smoothing,
        }
    }
}

impl HeadConfig {
    /// The head with weights drawn from a stream.
    ///
    /// # Panics
    /// On sizes that no machine is asked to hold; of a kind that [looks ahead](HeadKind::looks_ahead).
    pub fn init(&self, stream: Stream, placement: &Placement) -> Head {
        let net = self.net().unwrap_or_else(|error| panic!("no such head: {error}"));
        Arc::new(net).make(stream, placement)
    }

    /// Its branches, not made yet.
    pub(super) fn net(&self) -> Result<PlannedNet> {
        let loss = loss_for(self.labels, self.smoothing);
        let branch = |name: &str, weight, layers: Vec<LayerSpec>, loss| self.branch(name, weight, &layers, loss);
        let branches = match self.kind {
            HeadKind::Linear => vec![branch("", 1.0, linear(), loss)?],
            HeadKind::MeanLinear => vec![branch("", 1.0, output(1), loss)?],
            HeadKind::Mlp => vec![branch("", 1.0, mlp(2, 3, self.hidden), loss)?],
            HeadKind::Cnn => vec![branch("", 1.0, cnn(self.channels), loss)?],
            HeadKind::Dgl => vec![branch("", 1.0, dgl::reduced(self.input), loss)?],
            HeadKind::DglMlp => vec![branch("", 1.0, dgl::mlp(self.input), loss)?],
            HeadKind::DglCnn => vec![branch("", 1.0, dgl::cnn(self.input[0]), loss)?],
            HeadKind::Augmented | HeadKind::Ema => return Err(without_specs()),
            HeadKind::Predsim => vec![
                branch("similarity", 0.99, similarity(self.input[0]), Similarity.into())?,
                branch("prediction", 0.01, prediction(self.input), loss)?,
            ],
            HeadKind::PredsimVgg => vec![
                branch("similarity", 0.99, predsim_vgg::similarity(self.input), Similarity.into())?,
                branch("prediction", 0.01, predsim_vgg::prediction(), loss)?,
            ],
            HeadKind::Similarity => vec![branch("", 1.0, predsim_vgg::similarity(self.input), Similarity.into())?],
            HeadKind::Prediction => vec![branch("", 1.0, predsim_vgg::prediction(), loss)?],
        };
        Ok(PlannedNet::new(branches, self.labels))
    }

    fn branch(&self, name: &str, weight: f64, layers: &[LayerSpec], loss: AnyLoss) -> Result<PlannedBranch> {
        // The sizes are those after the width factor.
        let Self { norm, labels, smoothing, .. } = *self;
        let scope = HeadScope { norm, smoothing, ..HeadScope::new(labels) };
        let net = scope.chain(layers, self.input, &Kinds::default())?;
        Ok(PlannedBranch { name: name.to_string(), weight, net, loss })
    }
}

fn linear() -> Vec<LayerSpec> {
    [vec![NormSpec {}.into()], output(2)].concat()
}

/// Average pool to `bins` by `bins`, flatten, so many hidden layers, linear.
pub(super) fn mlp(bins: usize, layers: usize, hidden: usize) -> Vec<LayerSpec> {
    let hidden = (0..layers).flat_map(|layer| {
        let linear = LayerSpec::from(LinearSpec { outputs: hidden.into(), bias: false, ..Default::default() });
        [linear.drawn_from(layer.to_string()), NormSpec {}.into(), ReluSpec {}.into()]
    });
    let pool = [AdaptiveAvgPoolSpec { bins }.into(), FlattenSpec {}.into()];
    pool.into_iter().chain(hidden).chain([to_labels()]).collect()
}

fn cnn(channels: usize) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for layer in 0..4 {
        let (kernel, stride) = if layer == 0 { (1, 1) } else { (3, 2) };
        let outputs = channels.into();
        let conv = LayerSpec::from(Conv2dSpec { outputs, kernel, stride, padding: kernel / 2, ..Default::default() });
        layers.extend([conv.drawn_from(layer.to_string()), NormSpec {}.into(), ReluSpec {}.into()]);
    }
    layers.extend(output(2));
    layers
}

fn similarity(channels: usize) -> Vec<LayerSpec> {
    let outputs = channels.into();
    let conv = LayerSpec::from(Conv2dSpec { outputs, kernel: 3, padding: 1, ..Default::default() });
    vec![conv.drawn_from("similarity"), SpatialDeviationSpec {}.into()]
}

fn prediction([channels, height, width]: [usize; 3]) -> Vec<LayerSpec> {
    // As many bins as give at most 2048 features, and no more than there are pixels.
    let bins = (1..=height.min(width)).rev().find(|bins| channels * bins * bins <= 2048).unwrap_or(1);
    output(bins)
}

/// Average pool to `bins` by `bins`, flatten, linear.
pub(super) fn output(bins: usize) -> Vec<LayerSpec> {
    vec![AdaptiveAvgPoolSpec { bins }.into(), FlattenSpec {}.into(), to_labels()]
}

fn to_labels() -> LayerSpec {
    LayerSpec::from(LinearSpec::default()).drawn_from("output")
}
