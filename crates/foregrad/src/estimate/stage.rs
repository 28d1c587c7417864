//! A block on its way: what its forward map saved, the loss on its output, and the transport of tangents and cotangents.

use std::collections::VecDeque;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::guess::Gradients;
use super::view::View;
use crate::layers::{Activation, AnySaved, Wanted};
use crate::models::{AnyHead, LossHead};
use crate::rng::Placement;
use crate::vector::ParamVector;

/// A loss on a block's output: the block's own head, one drawn afresh, or the classifier.
pub enum LossRef<'a> {
    /// Of the network.
    Own(&'a dyn LossHead),
    /// Drawn for this step.
    Drawn(AnyHead),
}

impl LossRef<'_> {
    /// Its maps.
    pub fn maps(&self) -> &dyn LossHead {
        match self {
            LossRef::Own(head) => *head,
            LossRef::Drawn(head) => &**head,
        }
    }
}

/// A block after its forward map.
pub struct Stage<'a> {
    /// The block's input, until it is released.
    pub x: Option<Activation>,
    /// The block's output, where a guess learns from it.
    pub y: Option<Tensor<4>>,
    /// Where its tensors are.
    pub placement: Placement,
    /// What its forward map saved.
    pub saved: Rc<Vec<AnySaved>>,
    /// Shape of its output.
    pub shape: [usize; 4],
    /// The loss that is a target on its output, with what that saved.
    pub loss: Option<(LossRef<'a>, AnySaved)>,
    /// The gradient of that loss at the output, where it was wanted.
    pub loss_bar: Option<Tensor<4>>,
    /// The gradients at the output that guesses are made of.
    pub gradients: Gradients,
}

impl Stage<'_> {
    /// Of a block's output alone.
    pub fn at(y: &Activation) -> Self {
        Stage {
            x: None,
            y: None,
            placement: y.placement(),
            saved: Rc::default(),
            shape: y.dims(),
            loss: None,
            loss_bar: None,
            gradients: Gradients::default(),
        }
    }

    /// The derivatives of the loss along stacked tangents at the output: per direction, per sample.
    pub fn derivatives(&self, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        let (loss, saved) = self.loss.as_ref().expect("a target's loss was evaluated");
        loss.maps().tangent(saved, y_dot, theta_dot)
    }
}

/// The last few stages, by the number of their block.
#[derive(Default)]
pub struct Window<'a> {
    stages: VecDeque<Stage<'a>>,
    first: usize,
}

impl<'a> Window<'a> {
    /// Adds the next block's stage.
    pub fn push(&mut self, stage: Stage<'a>) {
        self.stages.push_back(stage);
    }

    /// Drops all but the last `count` stages.
    pub fn keep_last(&mut self, count: usize) {
        while self.stages.len() > count {
            self.stages.pop_front();
            self.first += 1;
        }
    }

    /// Drops a block's input and output and what its forward map saved; its shape and losses stay.
    pub fn release(&mut self, block: usize) {
        if let Some(stage) = block.checked_sub(self.first).and_then(|place| self.stages.get_mut(place)) {
            (stage.saved, stage.x, stage.y) = (Rc::default(), None, None);
        }
    }

    /// The gradients at a block's output that guesses are made of; they are dropped here if this is their last guess.
    pub fn gradients(&mut self, block: usize, last: bool) -> Gradients {
        let place = block.checked_sub(self.first).and_then(|place| self.stages.get_mut(place));
        let gradients = &mut place.unwrap_or_else(|| panic!("{}", missing(block))).gradients;
        if last { std::mem::take(gradients) } else { gradients.clone() }
    }

    /// The stage of a block, if it is still there.
    pub fn get(&self, block: usize) -> Option<&Stage<'a>> {
        self.stages.get(block.checked_sub(self.first)?)
    }

    /// The stage of a block.
    ///
    /// # Panics
    /// If it was dropped, which is a mistake in the plan.
    pub fn stage(&self, block: usize) -> &Stage<'a> {
        self.get(block).unwrap_or_else(|| panic!("{}", missing(block)))
    }

    /// Stacked tangents at the output of block `from`, pushed to the output of block `to`, `at_once` of them a call.
    pub fn push_forward(
        &self,
        view: &View,
        x_dot: Option<Tensor<4>>,
        from: usize,
        to: usize,
        at_once: usize,
    ) -> Option<Tensor<4>> {
        (from + 1..=to).fold(x_dot, |x_dot, block| through(view, self.stage(block), block, x_dot, &[], at_once))
    }

    /// A cotangent at the output of block `from`, pulled back to the output of block `to`.
    pub fn pull_back(&self, view: &View, y_bar: Tensor<4>, from: usize, to: usize) -> Tensor<4> {
        let back =
            |y_bar, block: usize| view.blocks[block].cotangent(&self.stage(block).saved, y_bar, Wanted::INPUT).input();
        (to + 1..=from).rev().fold(y_bar, back)
    }
}

/// Said of a block that is not there: a mistake in the plan, or of a guess.
fn missing(block: usize) -> String {
    format!(
        "block {block} has not been passed, or is no longer in memory: a guess is made when `Guess::ready` says that it is known"
    )
}

/// Stacked tangents through one block, at most `at_once` of them in a call (0: all).
pub fn through(
    view: &View,
    stage: &Stage,
    block: usize,
    x_dot: Option<Tensor<4>>,
    theta_dot: &[ParamVector],
    at_once: usize,
) -> Option<Tensor<4>> {
    let samples = stage.shape[0];
    let count = x_dot.as_ref().map_or(theta_dot.len(), |x_dot| x_dot.dims()[0] / samples);
    let maps = view.blocks[block];
    if at_once == 0 || count <= at_once {
        return maps.tangent(&stage.saved, x_dot, theta_dot);
    }
    let mut parts = Vec::new();
    for start in (0..count).step_by(at_once) {
        let end = (start + at_once).min(count);
        let x_dot = x_dot.as_ref().map(|x_dot| x_dot.clone().narrow(0, start * samples, (end - start) * samples));
        let theta_dot = if theta_dot.is_empty() { theta_dot } else { &theta_dot[start..end] };
        let part = maps.tangent(&stage.saved, x_dot, theta_dot);
        let [_, channels, height, width] = stage.shape;
        let zero = || stage.placement.zeros([(end - start) * samples, channels, height, width]);
        parts.push(part.unwrap_or_else(zero));
    }
    Some(Tensor::cat(parts, 0))
}
