//! Heads: a block's auxiliary net with its loss. The classifier is one too.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::planned_head::PlannedNet;
use super::{AnyHead, NextBlock, mean_linear};
use crate::layers::{AnyLayer, AnySaved, Cotangent, Layer, Linear, Pass, Sequential, Wanted, size_text, stacked};
use crate::losses::{AnyLoss, CrossEntropy, LabelKind, Labels, MeanSquaredError, rows};
use crate::metrics::{self, Measured, Metric};
use crate::ops::{self, Parts};
use crate::rng::Stream;
use crate::vector::ParamVector;
use crate::{Error, Result};

/// The loss of a net whose outputs stand for labels of a kind: softmax cross-entropy of classes, mean squared error of values.
pub fn loss_for(labels: LabelKind, smoothing: f64) -> AnyLoss {
    match labels {
        LabelKind::Classes(_) => CrossEntropy { smoothing }.into(),
        LabelKind::Values(_) => MeanSquaredError.into(),
    }
}

/// One net and its loss.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub name: String,
    pub weight: f64,
    pub net: Sequential,
    pub loss: AnyLoss,
}

impl Branch {
    /// Whether nothing goes back through its last layer, whose weights are 0.
    fn is_silent(&self) -> bool {
        let last = self.net.iter().next_back().and_then(|(_, layer)| layer.downcast_ref::<Linear>());
        last.is_some_and(|linear| ops::host(linear.weight()).iter().all(|weight| *weight == 0.0))
    }

    /// Adds the branch's cotangents to those of all.
    fn add_cotangent(&self, all: &mut Cotangent, part: Cotangent) {
        all.x_bar = stacked::add(all.x_bar.take(), part.x_bar);
        all.theta_bar.extend(part.theta_bar.prefixed(&self.name));
    }
}

/// An auxiliary net with its loss: the weighted sum of one or more branches.
#[derive(Debug, Clone)]
pub struct Head {
    branches: Vec<Branch>,
    /// What judges the outputs of separable branches; none for the first of the metrics that takes the labels.
    metric: Option<Arc<dyn Metric>>,
    /// The labels that the outputs stand for, where that is known.
    labels: Option<LabelKind>,
    /// What it was made of, to be made again.
    plan: Option<Arc<PlannedNet>>,
}

/// What a head's forward map keeps.
#[derive(Debug)]
struct Saved {
    branches: Vec<(Vec<AnySaved>, AnySaved)>,
    samples: usize,
}

/// A head's loss on a mini-batch, and what else its outputs are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evaluation {
    /// The loss, a mean over the batch (cross-entropies in nats).
    pub loss: f64,
    /// A metric of the outputs, if one takes such labels.
    pub metric: Option<Measured>,
}

/// What is known at the outputs of a head's net, `[n, outputs]`.
#[derive(Debug, Clone)]
pub struct AtOutputs {
    /// The gradient of the loss, row `i` that of sample `i`'s part of it.
    pub error: Tensor<2>,
    /// The tangent of the outputs; `None` is zero.
    pub tangent: Option<Tensor<2>>,
}

/// A loss on a block's output, as the estimators see it: its three maps. Anything that implements it (and `Clone`) stands behind any block.
///
/// # Panics
/// The maps panic on an output of another shape than the head was made for, on labels that do not go with it, and on what another
/// head saved.
pub trait LossHead: std::fmt::Debug + Send + Sync {
    /// The loss at `y`, and what the other maps need: [`AnySaved::of`] a value of the head's own.
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved);

    /// The derivative of each sample's part of the loss along `k` stacked tangents, `[k][n]`; `[k][1]` if the loss is no sum.
    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>>;

    /// The derivative of each sample's part of the loss along each part of `k` stacked tangents by itself, 0 in all other parts, `[k][n parts]`:
    /// from one pass that keeps parts apart, where the head has one. `None` where each part has to be a tangent of its own.
    fn part_derivatives(&self, _saved: &AnySaved, _y_dot: &Tensor<4>, _parts: Parts) -> Option<Vec<Vec<f64>>> {
        None
    }

    /// The gradient of the loss with respect to `y` and to the head's parameters, as far as wanted.
    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent;

    /// [`cotangent`](LossHead::cotangent), where nobody will read what was saved any more.
    fn cotangent_once(&self, saved: AnySaved, wanted: Wanted) -> Cotangent {
        self.cotangent(&saved, wanted)
    }

    /// What is known between the net and the loss on its outputs, with the outputs' tangent along one tangent at the block's output;
    /// `None` of a head that is no single net with a loss behind it.
    fn at_outputs(&self, _saved: &AnySaved, _y_dot: Option<Tensor<4>>) -> Option<AtOutputs> {
        None
    }

    /// The trainable parameters, by path.
    fn parameters(&self) -> ParamVector {
        ParamVector::default()
    }

    /// Replaces the parameters and averages whose paths `values` holds.
    ///
    /// # Panics
    /// On a value of another rank.
    fn assign(&mut self, _values: &ParamVector) {}

    /// A copy in which the parameters and averages whose paths `values` holds are replaced; `None` where there is none. Asked of classifiers
    /// only.
    fn reassigned(&self, _values: &ParamVector) -> Option<AnyHead> {
        None
    }

    /// Whether the loss is a mean over samples.
    fn is_separable(&self) -> bool {
        true
    }

    /// Whether its gradient at the block's output is 0 whatever stands there, as before a readout that starts at 0 has learnt.
    fn is_silent(&self) -> bool {
        false
    }

    /// The moving averages, by path.
    fn averages(&self) -> ParamVector {
        ParamVector::default()
    }

    /// The statistics of the batch that `forward` saw, by path.
    fn statistics(&self, _saved: &AnySaved) -> ParamVector {
        ParamVector::default()
    }

    /// The same head with weights drawn afresh; `None` where it cannot be, as a classifier, or would be silent.
    fn redrawn(&self, _stream: Stream) -> Option<AnyHead> {
        None
    }

    /// Moves what follows the block after the head's own towards that block's parameters, by the block's own paths; onto them if it is new.
    /// Called after every update of the parameters.
    fn follow(&mut self, _next: &ParamVector, _is_new: bool) {}

    /// Refuses labels that the head does not take.
    ///
    /// # Errors
    /// What was expected instead.
    fn validate(&self, _labels: &Labels) -> Result<()> {
        Ok(())
    }

    /// Refuses a block's output of `[channels, height, width]`, or labels of a kind, that the head was not made for; asked when a network
    /// is built.
    ///
    /// # Errors
    /// What was expected instead.
    fn check(&self, _input: [usize; 3], _labels: LabelKind) -> Result<()> {
        Ok(())
    }
}

impl Head {
    /// A net with a loss.
    pub fn new(net: Sequential, loss: impl Into<AnyLoss>) -> Self {
        let branch = Branch { name: String::new(), weight: 1.0, net, loss: loss.into() };
        Self { branches: vec![branch], metric: None, labels: None, plan: None }
    }

    /// Branches that were made of a plan.
    pub(super) fn planned(branches: Vec<Branch>, labels: LabelKind, plan: Arc<PlannedNet>) -> Self {
        Self { branches, metric: None, labels: Some(labels), plan: Some(plan) }
    }

    /// With labels of this kind and no others.
    pub fn taking(self, labels: LabelKind) -> Self {
        Self { labels: Some(labels), ..self }
    }

    /// Judged by a metric of its own.
    ///
    /// # Panics
    /// If the metric is called `loss`, as what it stands beside in records.
    pub fn judged_by(self, metric: impl Metric + 'static) -> Self {
        assert_ne!(metric.name(), "loss", "a metric stands beside the loss in records, under a name of its own");
        Self { metric: Some(Arc::new(metric)), ..self }
    }

    fn measure(&self, z: &Tensor<4>, labels: &Labels) -> Option<Measured> {
        let measure = |metric: &dyn Metric| Some(Measured { name: metric.name(), sum: metric.sum(z, labels)? });
        match &self.metric {
            Some(own) => measure(&**own),
            None => metrics::DEFAULTS.iter().find_map(|metric| measure(*metric)),
        }
    }

    /// The parameters of its running copy of the next block, if it has one.
    fn running(&self) -> Option<ParamVector> {
        let mut layers = self.branches.iter().flat_map(|branch| branch.net.iter());
        layers.find_map(|(_, layer)| layer.downcast_ref::<NextBlock>().map(NextBlock::running))
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
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        let samples = y.dims()[0];
        let mut evaluation = Evaluation::default();
        let mut branches = Vec::new();
        for branch in &self.branches {
            let (z, net) = branch.net.forward(y.clone(), pass.named(&branch.name));
            if branch.loss.is_separable() {
                evaluation.metric = self.measure(&z, labels);
            }
            let (loss, saved) = branch.loss.forward(z, labels);
            evaluation.loss += branch.weight * loss;
            branches.push((net, saved));
        }
        (evaluation, AnySaved::of(Saved { branches, samples }))
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        let Saved { branches, samples } = saved.as_saved_by(self);
        let count = y_dot.as_ref().map_or(theta_dot.len(), |y_dot| y_dot.dims()[0] / samples);
        let width = if self.is_separable() { *samples } else { 1 };
        let mut derivatives = vec![vec![0.0; width]; count];
        for (branch, (net, loss)) in self.branches.iter().zip(branches) {
            let directions: Vec<_> = theta_dot.iter().map(|theta_dot| theta_dot.scoped(&branch.name)).collect();
            let Some(z_dot) = branch.net.tangent(net, y_dot.clone(), &directions) else { continue };
            for (sum, part) in derivatives.iter_mut().zip(branch.loss.tangent(loss, z_dot)) {
                add_scaled(sum, branch.weight, &part);
            }
        }
        derivatives
    }

    fn part_derivatives(&self, saved: &AnySaved, y_dot: &Tensor<4>, parts: Parts) -> Option<Vec<Vec<f64>>> {
        let Saved { branches, samples } = saved.as_saved_by(self);
        let ([branch], [(_, loss)]) = (self.branches.as_slice(), branches.as_slice()) else { return None };
        let linear = mean_linear::linear_of(&branch.net).filter(|_| branch.loss.is_separable())?;
        let z_dot = mean_linear::part_tangents(linear, y_dot, *samples, parts);
        let mut derivatives = branch.loss.tangent(loss, z_dot);
        derivatives.iter_mut().flatten().for_each(|derivative| *derivative *= branch.weight);
        Some(parts.by_sample(&derivatives))
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        let Saved { branches, .. } = saved.as_saved_by(self);
        let mut all = Cotangent::default();
        for (branch, (net, loss)) in self.branches.iter().zip(branches) {
            let z_bar = branch.loss.cotangent(loss).mul_scalar(branch.weight);
            branch.add_cotangent(&mut all, branch.net.cotangent(net, z_bar, wanted));
        }
        all
    }

    fn cotangent_once(&self, saved: AnySaved, wanted: Wanted) -> Cotangent {
        let Saved { branches, .. } = saved.into_saved_by(self);
        let mut all = Cotangent::default();
        for (branch, (net, loss)) in self.branches.iter().zip(branches) {
            let z_bar = branch.loss.cotangent(&loss).mul_scalar(branch.weight);
            branch.add_cotangent(&mut all, branch.net.cotangent_once(net, z_bar, wanted));
        }
        all
    }

    fn at_outputs(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>) -> Option<AtOutputs> {
        let Saved { branches, .. } = saved.as_saved_by(self);
        let ([branch], [(net, loss)]) = (self.branches.as_slice(), branches.as_slice()) else { return None };
        Some(AtOutputs {
            error: rows(branch.loss.cotangent(loss).mul_scalar(branch.weight)),
            tangent: branch.net.tangent(net, y_dot, &[]).map(rows),
        })
    }

    fn is_separable(&self) -> bool {
        self.branches.iter().all(|branch| branch.loss.is_separable())
    }

    fn is_silent(&self) -> bool {
        self.branches.iter().all(Branch::is_silent)
    }

    fn statistics(&self, saved: &AnySaved) -> ParamVector {
        let Saved { branches, .. } = saved.as_saved_by(self);
        let mut all = ParamVector::default();
        for (branch, (net, _)) in self.branches.iter().zip(branches) {
            all.extend(branch.net.statistics(net).prefixed(&branch.name));
        }
        all
    }

    fn parameters(&self) -> ParamVector {
        self.gather(|branch| branch.net.parameters())
    }

    fn averages(&self) -> ParamVector {
        self.gather(|branch| branch.net.averages())
    }

    fn redrawn(&self, stream: Stream) -> Option<AnyHead> {
        let plan = self.plan.as_ref()?;
        let mut fresh = plan.make(stream, &self.parameters().placement()?);
        // What nothing learns is not drawn.
        if let Some(running) = self.running() {
            fresh.follow(&running, true);
        }
        (!plan.starts_silent(&fresh)).then(|| Head { metric: self.metric.clone(), ..fresh }.into())
    }

    fn follow(&mut self, next: &ParamVector, is_new: bool) {
        let layers = self.branches.iter_mut().flat_map(|branch| branch.net.layers_mut());
        layers.filter_map(AnyLayer::downcast_mut::<NextBlock>).for_each(|copy| copy.follow(next, is_new));
    }

    fn assign(&mut self, values: &ParamVector) {
        for branch in &mut self.branches {
            branch.net.assign(&values.scoped(&branch.name));
        }
    }

    fn reassigned(&self, values: &ParamVector) -> Option<AnyHead> {
        let mut copy = self.clone();
        copy.assign(values);
        Some(copy.into())
    }

    fn validate(&self, labels: &Labels) -> Result<()> {
        if let Some(own) = self.labels.filter(|own| *own != labels.kind()) {
            return Err(Error::out_of_range(
                "the labels",
                labels.kind(),
                format!("{own}, as the network has outputs for"),
            ));
        }
        self.branches.iter().try_for_each(|branch| branch.loss.validate(labels))
    }

    fn check(&self, input: [usize; 3], labels: LabelKind) -> Result<()> {
        for branch in &self.branches {
            let output = branch.net.output(input)?;
            let wanted = labels.outputs();
            if branch.loss.is_separable() && output.iter().product::<usize>() != wanted {
                let expected = format!("{wanted} outputs, for {labels}");
                return Err(Error::out_of_range("the output", size_text(output), expected));
            }
        }
        Ok(())
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
