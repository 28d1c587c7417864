//! Heads: a block's auxiliary net with its loss. The classifier is one too.
//!
//! Source: Fournier et al. (2023), the table of auxiliary nets. To add a head: one net function and one name in [`HeadKind`].

use burn::tensor::Tensor;

use super::Norm;
use crate::layers::{
    AdaptiveAvgPool, AnySaved, Conv2dConfig, Cotangent, Flatten, Layer, Linear, Pass, Relu, Sequential,
    SpatialDeviation, Wanted, stacked,
};
use crate::losses::{self, AnyLoss, CrossEntropy, Labels, Loss, Similarity};
use crate::names;
use crate::ops;
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

names! {
    /// The structure of a head.
    "head" pub enum HeadKind {
        /// 1x1 convolution, three 3x3 stride-2 convolutions, 2x2 pool, linear.
        Cnn = "cnn",
        /// 2x2 pool, three hidden layers, linear.
        Mlp = "mlp",
        /// Norm, 2x2 pool, linear.
        Linear = "linear",
        /// Similarity matching (0.99) and prediction (0.01).
        Predsim = "predsim",
    }
}

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
    /// Classes.
    pub classes: usize,
    /// Label smoothing of the cross-entropy.
    pub smoothing: f64,
}

impl HeadConfig {
    /// The head with weights drawn from a stream.
    pub fn init(&self, stream: Stream, placement: &Placement) -> Head {
        let cross_entropy = AnyLoss::CrossEntropy(CrossEntropy { smoothing: self.smoothing });
        let branch = |name: &str, weight, net, loss| Branch { name: name.into(), weight, net, loss };
        let branches = match self.kind {
            HeadKind::Linear => vec![branch("", 1.0, self.linear(stream, placement), cross_entropy)],
            HeadKind::Mlp => vec![branch("", 1.0, self.mlp(stream, placement), cross_entropy)],
            HeadKind::Cnn => vec![branch("", 1.0, self.cnn(stream, placement), cross_entropy)],
            HeadKind::Predsim => {
                let similarity = AnyLoss::Similarity(Similarity);
                vec![
                    branch("similarity", 0.99, self.similarity(stream, placement), similarity),
                    branch("prediction", 0.01, self.prediction(stream, placement), cross_entropy),
                ]
            }
        };
        Head { branches, config: Some(*self) }
    }

    fn linear(&self, stream: Stream, placement: &Placement) -> Sequential {
        let [channels, ..] = self.input;
        let net = Sequential::new().then(self.norm.layer(channels, placement));
        self.output(net, channels, 2, stream, placement)
    }

    fn mlp(&self, stream: Stream, placement: &Placement) -> Sequential {
        let mut net = Sequential::new().then(AdaptiveAvgPool::new(2)).then(Flatten);
        let mut input = self.input[0] * 4;
        for layer in 0..3 {
            net = net
                .then(Linear::new([input, self.hidden], false, stream.at(layer), placement))
                .then(self.norm.layer(self.hidden, placement))
                .then(Relu);
            input = self.hidden;
        }
        net.then(Linear::new([input, self.classes], true, stream.named("output"), placement))
    }

    fn cnn(&self, stream: Stream, placement: &Placement) -> Sequential {
        let mut net = Sequential::new();
        let mut input = self.input[0];
        for layer in 0..4 {
            let (kernel, stride) = if layer == 0 { (1, 1) } else { (3, 2) };
            let conv = Conv2dConfig::new([input, self.channels], kernel).stride(stride).padding(kernel / 2);
            net = net
                .then(conv.init(stream.at(layer), placement))
                .then(self.norm.layer(self.channels, placement))
                .then(Relu);
            input = self.channels;
        }
        self.output(net, input, 2, stream, placement)
    }

    fn similarity(&self, stream: Stream, placement: &Placement) -> Sequential {
        let [channels, ..] = self.input;
        let conv = Conv2dConfig::new([channels, channels], 3).padding(1).init(stream.named("similarity"), placement);
        Sequential::new().then(conv).then(SpatialDeviation)
    }

    fn prediction(&self, stream: Stream, placement: &Placement) -> Sequential {
        let [channels, height, width] = self.input;
        // As many bins as give at most 2048 features, and no more than there are pixels.
        let bins = (1..=height.min(width)).rev().find(|bins| channels * bins * bins <= 2048).unwrap_or(1);
        self.output(Sequential::new(), channels, bins, stream, placement)
    }

    /// Average pool to `bins` by `bins`, flatten, linear.
    fn output(
        &self,
        net: Sequential,
        channels: usize,
        bins: usize,
        stream: Stream,
        placement: &Placement,
    ) -> Sequential {
        let sizes = [channels * bins * bins, self.classes];
        net.then(AdaptiveAvgPool::new(bins)).then(Flatten).then(Linear::new(
            sizes,
            true,
            stream.named("output"),
            placement,
        ))
    }
}

/// One net and its loss.
#[derive(Debug, Clone)]
struct Branch {
    name: String,
    weight: f64,
    net: Sequential,
    loss: AnyLoss,
}

/// An auxiliary net with its loss: the weighted sum of one or more branches.
#[derive(Debug, Clone)]
pub struct Head {
    branches: Vec<Branch>,
    config: Option<HeadConfig>,
}

/// What a head's forward map keeps.
#[derive(Debug)]
pub struct HeadSaved {
    branches: Vec<(Vec<AnySaved>, losses::AnySaved)>,
    samples: usize,
}

/// A head's loss on a mini-batch, and how many samples it classifies rightly.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evaluation {
    /// The loss, a mean over the batch (cross-entropies in nats).
    pub loss: f64,
    /// The number of samples whose largest output is that of their class.
    pub correct: usize,
}

/// A loss on a block's output, as the estimators see it: its three maps.
///
/// # Panics
/// The maps panic on an output of another shape than the head was made for, on labels that do not go with it, and on what another
/// head saved.
pub trait LossHead: std::fmt::Debug {
    /// The loss at `y`, and what the other maps need.
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, HeadSaved);

    /// The derivative of each sample's part of the loss along `k` stacked tangents, `[k][n]`; `[k][1]` if the loss is no sum.
    fn tangent(&self, saved: &HeadSaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>>;

    /// The gradient of the loss with respect to `y` and to the head's parameters, as far as wanted.
    fn cotangent(&self, saved: &HeadSaved, wanted: Wanted) -> Cotangent;

    /// Whether the loss is a mean over samples.
    fn is_separable(&self) -> bool;

    /// The statistics of the batch that `forward` saw, by path.
    fn statistics(&self, saved: &HeadSaved) -> ParamVector;

    /// The trainable parameters, by path.
    fn parameters(&self) -> ParamVector;

    /// The same head with weights drawn afresh; `None` for a classifier.
    fn redrawn(&self, stream: Stream) -> Option<Head>;

    /// Replaces the parameters and averages whose paths `values` holds.
    ///
    /// # Panics
    /// On a value of another rank.
    fn assign(&mut self, values: &ParamVector);
}

impl Head {
    /// A classifier: a net and softmax cross-entropy.
    pub fn classifier(net: Sequential, smoothing: f64) -> Self {
        let loss = AnyLoss::CrossEntropy(CrossEntropy { smoothing });
        Self::with_loss(net, loss)
    }

    /// A net with any loss.
    pub fn with_loss(net: Sequential, loss: AnyLoss) -> Self {
        Self { branches: vec![Branch { name: String::new(), weight: 1.0, net, loss }], config: None }
    }

    /// The moving averages, by path.
    pub fn averages(&self) -> ParamVector {
        self.gather(|branch| branch.net.averages())
    }

    fn gather(&self, part: impl Fn(&Branch) -> ParamVector) -> ParamVector {
        let mut all = ParamVector::default();
        for branch in &self.branches {
            all.extend(part(branch).prefixed(&branch.name));
        }
        all
    }
}

impl LossHead for Head {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, HeadSaved) {
        let samples = y.dims()[0];
        let mut evaluation = Evaluation::default();
        let mut branches = Vec::new();
        for branch in &self.branches {
            let (z, net) = branch.net.forward(y.clone(), pass.named(&branch.name));
            if branch.loss.is_separable() {
                evaluation.correct = count_correct(z.clone(), labels);
            }
            let (loss, saved) = branch.loss.forward(z, labels);
            evaluation.loss += branch.weight * loss;
            branches.push((net, saved));
        }
        (evaluation, HeadSaved { branches, samples })
    }

    fn tangent(&self, saved: &HeadSaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        let count = y_dot.as_ref().map_or(theta_dot.len(), |y_dot| y_dot.dims()[0] / saved.samples);
        let width = if self.is_separable() { saved.samples } else { 1 };
        let mut derivatives = vec![vec![0.0; width]; count];
        for (branch, (net, loss)) in self.branches.iter().zip(&saved.branches) {
            let directions: Vec<_> = theta_dot.iter().map(|theta_dot| theta_dot.scoped(&branch.name)).collect();
            let Some(z_dot) = branch.net.tangent(net, y_dot.clone(), &directions) else { continue };
            for (sum, part) in derivatives.iter_mut().zip(branch.loss.tangent(loss, z_dot)) {
                add_scaled(sum, branch.weight, &part);
            }
        }
        derivatives
    }

    fn cotangent(&self, saved: &HeadSaved, wanted: Wanted) -> Cotangent {
        let mut all = Cotangent::default();
        for (branch, (net, loss)) in self.branches.iter().zip(&saved.branches) {
            let z_bar = branch.loss.cotangent(loss).mul_scalar(branch.weight);
            let part = branch.net.cotangent(net, z_bar, wanted);
            all.x_bar = stacked::add(all.x_bar, part.x_bar);
            all.theta_bar.extend(part.theta_bar.prefixed(&branch.name));
        }
        all
    }

    fn is_separable(&self) -> bool {
        self.branches.iter().all(|branch| branch.loss.is_separable())
    }

    fn statistics(&self, saved: &HeadSaved) -> ParamVector {
        let mut all = ParamVector::default();
        for (branch, (net, _)) in self.branches.iter().zip(&saved.branches) {
            all.extend(branch.net.statistics(net).prefixed(&branch.name));
        }
        all
    }

    fn parameters(&self) -> ParamVector {
        self.gather(|branch| branch.net.parameters())
    }

    fn redrawn(&self, stream: Stream) -> Option<Head> {
        let parameters = self.parameters();
        let (_, any) = parameters.iter().next()?;
        Some(self.config?.init(stream, &Placement::of(&any.values())))
    }

    fn assign(&mut self, values: &ParamVector) {
        for branch in &mut self.branches {
            branch.net.assign(&values.scoped(&branch.name));
        }
    }
}

/// Adds a branch's derivatives: sample by sample if both have them by sample, else their sum.
fn add_scaled(sum: &mut [f64], weight: f64, part: &[f64]) {
    if sum.len() == part.len() {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += weight * part);
    } else {
        sum[0] += weight * part.iter().sum::<f64>();
    }
}

/// Samples whose class has the largest output of all; one that shares it with another class counts as wrong.
fn count_correct(z: Tensor<4>, labels: &Labels) -> usize {
    let outputs = ops::host(z);
    let rows = outputs.chunks(labels.classes).zip(&labels.indices);
    rows.filter(|(row, label)| row.iter().enumerate().all(|(class, z)| *z < row[**label] || class == **label)).count()
}
