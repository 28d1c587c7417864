//! Heads that copy the structure of blocks further on, so that a block's own loss sees what the network will do with its output.
//!
//! Of `K` blocks, numbered from 0, the head behind block `j` with depth `d` copies the blocks
//! ```text
//! round(j + (K - 1 - j) i / d),  i = 1 .. d      halves to the even number; all later blocks where d >= K - 1 - j
//! ```
//! with weights of its own, and ends with the mean over all pixels, a norm where `d <= 1`, and a linear layer. A copy has the channels of
//! its block and a stride of at most 2; what it leaves of the down-sampling from the block before, those in between included, is for the
//! next. A pyramid of coefficient `c` takes depth from the later heads:
//! ```text
//! d_j = max(1, round(d (1 - j c / (K - 2)) + j c / (K - 2)))
//! ```
//! Source: Ma, Wu, Si & Tan, *Scaling supervised local learning with augmented auxiliary networks* (AugLocal, ICLR 2024);
//! ChenxiangMA/AugLocal, `networks/auxiliary_nets.py` and `networks/resnet.py`. Departures: theirs trains the last `d + 1` blocks as one,
//! and counts the pyramid's `K` without `d` of them; there down-sampling is read off the channels (one halving for each doubling), here off
//! the strides of convolutions and pools; the norm is that of the settings.

use super::copies::{Copier, stride_of_all};
use super::planned_head::{HeadScope, PlannedBranch, PlannedHead, PlannedNet};
use super::{Ahead, HeadKind, ModelConfig, NetworkSpec, loss_for};
use crate::layers::{AdaptiveAvgPoolSpec, LayerSpec, LinearSpec, NormSpec};
use crate::{Error, Result};

/// Copies of a head where nothing else is said.
pub(super) const USUAL_DEPTH: usize = 2;

/// Copies of a head at most: more than the deepest network that was published with them has blocks.
const MOST_COPIES: usize = 64;

impl ModelConfig {
    /// Refuses a depth or a pyramid that no head could have, and one that no head has.
    pub(super) fn validate_copies(&self, spec: &NetworkSpec) -> Result<()> {
        let (depth, pyramid) = (self.head_depth.unwrap_or(USUAL_DEPTH), self.head_pyramid.unwrap_or(0.0));
        if depth > MOST_COPIES {
            let expected = format!("at most {MOST_COPIES}, or `off`");
            return Err(Error::out_of_range("model.head-depth", depth, expected));
        }
        if !(pyramid.is_finite() && pyramid >= 0.0) {
            let expected = "a number of at least 0: 1 leaves the last head one copy; or `off`";
            return Err(Error::out_of_range("model.head-pyramid", pyramid, expected));
        }
        let given = [("depth", self.head_depth.is_some()), ("pyramid", self.head_pyramid.is_some())];
        let unused = given.iter().find(|(_, is_given)| *is_given && !self.has_head(spec, HeadKind::Augmented));
        if let Some((name, _)) = unused {
            let reason = format!("no head of this network copies later blocks, so none has a {name}");
            return Err(Error::meaningless(reason, format!("`model.head = augmented`, or `model.head-{name} = off`")));
        }
        if pyramid > 0.0 && depth <= 1 {
            let reason = format!("heads of depth {depth} have no copy to lose towards the last one");
            return Err(Error::meaningless(reason, "`model.head-depth = 2`, or `model.head-pyramid = off`"));
        }
        Ok(())
    }
}

/// A head of copies behind a block's output.
pub(super) fn plan(input: [usize; 3], scope: &HeadScope) -> Result<PlannedHead> {
    let ahead = scope.ahead()?;
    let depth = pyramid(scope.depth, scope.pyramid, &ahead);
    let nearest =
        |error| Error::out_of_range("the head", "augmented", format!("mlp or cnn, which copy nothing: {error}"));
    let mut layers = copies(input, scope, &ahead, depth).map_err(nearest)?;
    layers.extend(output(depth));
    let net = scope.chain(&layers, input, ahead.kinds).map_err(nearest)?;
    let loss = loss_for(scope.labels, scope.smoothing);
    let branches = vec![PlannedBranch { name: String::new(), weight: 1.0, net, loss }];
    Ok(PlannedHead::of_net(PlannedNet::new(branches, scope.labels)))
}

/// `d_j`.
fn pyramid(depth: usize, coefficient: f64, ahead: &Ahead) -> usize {
    if coefficient == 0.0 || ahead.block == 0 {
        return depth;
    }
    let part = ahead.block as f64 * coefficient / (ahead.depth() - 2) as f64;
    ((depth as f64 * (1.0 - part) + part).round_ties_even() as usize).max(1)
}

/// The blocks that are copied, by their places among the later ones.
fn places(depth: usize, ahead: &Ahead) -> Vec<usize> {
    let (block, later) = (ahead.block, ahead.later.len());
    if depth >= later {
        return (0..later).collect();
    }
    (1..=depth).map(|copy| rounded(block * depth + later * copy, depth) - block - 1).collect()
}

/// A quotient rounded to the nearest whole number, halves to the even one.
fn rounded(numerator: usize, denominator: usize) -> usize {
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    let is_up = 2 * rest > denominator || (2 * rest == denominator && !whole.is_multiple_of(2));
    whole + usize::from(is_up)
}

/// The layers of all copies.
fn copies(input: [usize; 3], scope: &HeadScope, ahead: &Ahead, depth: usize) -> Result<Vec<LayerSpec>> {
    let mut copier = Copier { scope, kinds: ahead.kinds, size: input, stride: 1 };
    let (mut layers, mut passed) = (Vec::new(), 0);
    for (number, place) in places(depth, ahead).into_iter().enumerate() {
        for between in &ahead.later[passed..place] {
            copier.stride = copier.stride.saturating_mul(stride_of_all(between.layers));
        }
        passed = place + 1;
        let copy = copier.copy(&ahead.later[place]);
        let copy = copy.map_err(|error| Error::within(format!("the copy of block {}", ahead.block + passed), error))?;
        layers.extend(copy.into_iter().enumerate().map(|(layer, spec)| spec.named(format!("{number}.{layer}"))));
    }
    Ok(layers)
}

/// Mean, norm where there is a single copy or none, linear.
fn output(depth: usize) -> Vec<LayerSpec> {
    let norm = (depth <= 1).then(|| LayerSpec::from(NormSpec {}).named("norm"));
    let pool = LayerSpec::from(AdaptiveAvgPoolSpec { bins: 1 }).named("pool");
    let linear = LayerSpec::from(LinearSpec::default()).named("output");
    [pool].into_iter().chain(norm).chain([linear]).collect()
}
