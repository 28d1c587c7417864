//! A rehearsal: trunk and classifier once before the step proper, for guesses that are made of what is known at the end only. No
//! update, evaluation or statistic comes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::engine::Engine;
use super::{Memory, Mode, Space};
use crate::layers::{Activation, AnySaved, Dual, stacked};
use crate::models::AtOutputs;
use crate::{Error, Result};

/// What a rehearsal has shown.
pub struct Rehearsal {
    /// The gradient of the network's loss at the network's outputs, `[n, outputs]`.
    pub error: Tensor<2>,
    /// The tangent of the outputs along the noise at the outputs of all estimated blocks, `[n, outputs]`.
    pub along_noise: Option<Tensor<2>>,
    /// What each block's forward map gave, where memory is there to keep it for the step.
    passed: RefCell<BTreeMap<usize, Passed>>,
}

/// A block's output, and what its forward map saved.
type Passed = (Activation, Rc<Vec<AnySaved>>);

impl Rehearsal {
    /// The rehearsal of a step, if its guess needs one.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::Meaningless`] of a classifier without outputs before its loss.
    pub fn run(engine: &Engine<'_>) -> Result<Option<Self>> {
        if !(engine.needs.error || engine.needs.noise) {
            return Ok(None);
        }
        let (mut x, mut x_dot, mut passed) = (Activation::from(engine.input.images.clone()), None, BTreeMap::new());
        for block in 0..engine.plan.depth {
            engine.input.check_stop()?;
            (x, x_dot) = pass(engine, block, x, x_dot, &mut passed);
            if engine.needs.noise && block < engine.plan.estimated {
                x_dot = stacked::add(x_dot, Some(engine.noise(block, x.dims())));
            }
        }
        let last = engine.plan.depth - 1;
        let classifier = engine.view.loss(last);
        let (_, saved) = classifier.forward(x.into_tensor(), engine.input.labels, engine.pass(last).named("head"));
        let AtOutputs { error, tangent } = classifier.at_outputs(&saved, x_dot).ok_or_else(no_outputs)?;
        let along_noise = engine.needs.noise.then(|| tangent.unwrap_or_else(|| error.zeros_like()));
        Ok(Some(Self { error, along_noise, passed: passed.into() }))
    }

    /// A block's output and what its forward map saved, if they were kept: once, so that the step keeps them no longer than any other's.
    pub fn take(&self, block: usize) -> Option<Passed> {
        self.passed.borrow_mut().remove(&block)
    }
}

/// A block's value and its tangent. Where everything is kept in the end, it is kept from here on.
fn pass(
    engine: &Engine<'_>,
    block: usize,
    x: Activation,
    x_dot: Option<Tensor<4>>,
    passed: &mut BTreeMap<usize, Passed>,
) -> (Activation, Option<Tensor<4>>) {
    let (maps, told) = (engine.view.blocks[block], engine.pass(block));
    let keeps = (engine.config.mode == Mode::Oracle && engine.needs_target())
        || (engine.config.space == Space::Activity && engine.config.memory == Memory::Keep);
    if !keeps && x_dot.is_some() {
        let Dual { y, y_dot, .. } = maps.dual(x, x_dot, &[], told);
        return (y, y_dot);
    }
    let (y, saved) = maps.forward_of(x, told);
    let y_dot = x_dot.and_then(|x_dot| maps.tangent(&saved, Some(x_dot), &[]));
    if keeps {
        passed.insert(block, (y.clone(), saved.into()));
    }
    (y, y_dot)
}

fn no_outputs() -> Error {
    let reason = "the classifier is no single net with a loss behind it, so nothing is known of its outputs";
    Error::meaningless(reason, "`estimator.guess = local`, or a classifier that is a net with a loss")
}
