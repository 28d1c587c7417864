//! From measured scalars to the update: guesses times coefficients, in activity space pulled back through the block.

use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::correct::Base;
use super::engine::Engine;
use super::gram::Gram;
use super::guess::Directions;
use super::prepared::Prepared;
use super::slot::Slot;
use super::stage::{Stage, Window};
use super::{Granularity, Memory, Scalars, Space, StepOutput};
use crate::account::{self, Role};
use crate::layers::{Activation, AnySaved, Wanted};
use crate::vector::ParamVector;

/// What is kept of a block between its guess and its scalars.
pub struct Kept {
    pub(super) block: usize,
    pub(super) slots: Vec<Slot>,
    /// What each direction was multiplied by, one a slot.
    pub(super) factors: Vec<Vec<f64>>,
    /// The guess itself, where the directions only correct it.
    pub(super) base: Option<Base>,
    grams: Vec<Gram>,
    /// The number of coordinates that a scalar covers: of each slot, or of each part of a sample.
    dimensions: Vec<usize>,
    /// Shape of the block's output, to redraw random directions.
    shape: Option<[usize; 4]>,
    /// The directions; none where they are redrawn, or where `theta` replaces them.
    directions: Option<Directions>,
    /// Granularity `batch`: the guesses' cotangents in the parameters.
    theta: Vec<ParamVector>,
    /// Activity space, `recompute`: the block's input.
    x: Option<Activation>,
    /// Activity space, `keep`: the block's saved values.
    saved: Option<Rc<Vec<AnySaved>>>,
}

impl Kept {
    /// The inner products of the directions of the block's first slot.
    pub fn gram(&self) -> Option<&Gram> {
        self.grams.first()
    }

    /// The directions, where they are not drawn again.
    pub fn directions(&self) -> Option<&Directions> {
        self.directions.as_ref()
    }

    /// The number of coordinates of all its slots.
    pub fn dimension(&self) -> usize {
        self.dimensions.iter().sum()
    }
}

impl<'a> Engine<'a> {
    /// Keeps of a measured guess no more than its update needs.
    pub fn keep(&self, prepared: Prepared, stage: Option<&Stage<'a>>) -> Kept {
        let Prepared { block, slots, directions, factors, base, grams } = prepared;
        let shape = stage.map(|stage| stage.shape);
        let mut kept = Kept {
            block,
            dimensions: self.dimensions(block, &slots, shape),
            slots,
            factors,
            base,
            grams,
            shape,
            directions: None,
            theta: Vec::new(),
            x: None,
            saved: None,
        };
        let is_batch = self.config.granularity() == Granularity::Batch;
        match (directions, stage) {
            (Directions::Activity(tensors), Some(stage)) if is_batch => {
                let maps = self.view.blocks[block];
                let pulled = |bar| maps.cotangent(&stage.saved, bar, Wanted::PARAMETERS).theta_bar;
                kept.theta = tensors.into_iter().map(pulled).collect();
                kept.theta.iter().for_each(|theta| account::give_vector(theta, Role::Guesses));
                kept.base = kept.base.map(|base| base.in_weights(pulled));
            }
            (directions, stage) => {
                kept.directions = (!self.redraws()).then_some(directions);
                if let (Space::Activity, Some(stage)) = (self.config.space, stage) {
                    match self.config.memory {
                        Memory::Recompute => kept.x.clone_from(&stage.x),
                        Memory::Keep => kept.saved = Some(stage.saved.clone()),
                    }
                }
            }
        }
        kept
    }

    /// Whether directions are drawn again once their scalars are known, instead of being kept.
    fn redraws(&self) -> bool {
        self.along.support().is_random
    }

    /// Adds the update of one slot in weight space from its scalars, one a direction.
    pub fn finish_weight(&self, output: &mut StepOutput, kept: &Kept, slot: usize, b: &[f64]) {
        if self.awaits() {
            return output.wait(&kept.slots[slot].name, b);
        }
        let scale = self.base_scale(&kept.slots[slot].name);
        let residual = self.residual(kept, slot, b, scale);
        let coefficients = self.coefficients(&residual, kept.grams.get(slot), kept.dimensions[slot]);
        output.record(&kept.slots[slot].name, b.iter().map(|b| vec![*b]).collect());
        self.learn_of_slot(output, kept, slot, (&[b], &coefficients));
        self.add_weight(output, kept, slot, &coefficients);
    }

    /// Adds `sum_d c_d G_d` of one slot in weight space, and the guess that the directions correct.
    pub fn add_weight(&self, output: &mut StepOutput, kept: &Kept, slot: usize, coefficients: &[f64]) {
        let redrawn;
        let directions = match &kept.directions {
            Some(directions) => directions,
            None => {
                redrawn = self.redraw(None, kept.block);
                &redrawn
            }
        };
        let Directions::Weight(vectors) = directions else { panic!("weight space has weight directions") };
        let slot = &kept.slots[slot];
        let parts: Vec<_> = vectors.iter().map(|vector| slot.part(vector)).collect();
        let update = account::within(Role::Update, || {
            let update = combination(&parts, coefficients);
            match &kept.base {
                Some(base) => update.axpy(self.base_scale(&slot.name), &slot.part(base.weights())),
                None => update,
            }
        });
        output.add(self.view.globalised(kept.block, update));
    }

    /// Adds the update of a block in activity space from its scalars, `[k][n]`, `[k][n parts]`, or `[k][1]` for granularity `batch`.
    pub fn finish_activity(&self, output: &mut StepOutput, kept: &Kept, window: &Window<'a>, b: Vec<Vec<f64>>) {
        let scale = self.base_scale(&kept.slots[0].name);
        let by_unit = by_unit(&b);
        let coefficients: Vec<Vec<f64>> = by_unit
            .iter()
            .enumerate()
            .map(|(unit, b)| {
                let gram = kept.grams.get(unit).or(kept.grams.first());
                self.coefficients(
                    &self.residual(kept, unit, b, scale),
                    gram,
                    kept.dimensions[unit % kept.dimensions.len()],
                )
            })
            .collect();
        output.record(&kept.slots[0].name, b);
        self.learn_of_slot(output, kept, 0, (&by_unit, &coefficients[0]));
        self.add_activity(output, kept, window, &coefficients);
    }

    /// Adds what `sum_d c_di G_di` gives of a block in activity space, and the guess that the directions correct.
    pub fn add_activity(&self, output: &mut StepOutput, kept: &Kept, window: &Window<'a>, coefficients: &[Vec<f64>]) {
        let block = kept.block;
        let update = if kept.theta.is_empty() {
            let y_bar = self.weighted_guess(kept, coefficients);
            let saved = self.saved_again(kept, window);
            self.view.blocks[block].cotangent(&saved, y_bar, Wanted::PARAMETERS).theta_bar
        } else {
            let update = combination(&kept.theta, &coefficients[0]);
            match &kept.base {
                Some(base) => update.axpy(self.base_scale(&kept.slots[0].name), base.weights()),
                None => update,
            }
        };
        output.add(self.view.globalised(block, update));
    }

    /// `sum_d c_di G_di`, a cotangent at the block's output.
    fn weighted_guess(&self, kept: &Kept, coefficients: &[Vec<f64>]) -> Tensor<4> {
        let directions = kept.directions.clone().unwrap_or_else(|| self.redraw(kept.shape, kept.block));
        let Directions::Activity(tensors) = directions else { panic!("activity space has activity directions") };
        let parts = self.config.parts();
        let scaled = tensors.into_iter().enumerate().map(|(direction, tensor)| {
            let factors: Vec<f64> = coefficients.iter().map(|unit| unit[direction]).collect();
            if factors.iter().all(|factor| *factor == 1.0) { tensor } else { parts.scale(tensor, &factors) }
        });
        let base = kept.base.iter().map(|base| base.activity().mul_scalar(self.base_scale(&kept.slots[0].name)));
        scaled.chain(base).reduce(|sum, part| sum + part).expect("at least one direction")
    }

    /// A block's saved values: still there, kept, or computed again from its input.
    fn saved_again(&self, kept: &Kept, window: &Window<'a>) -> Rc<Vec<AnySaved>> {
        if let Some(stage) = window.get(kept.block) {
            return stage.saved.clone();
        }
        if let Some(saved) = &kept.saved {
            return saved.clone();
        }
        let x = kept.x.clone().expect("activity space keeps a block's input or its saved values");
        self.view.blocks[kept.block].forward_of(x, self.pass(kept.block)).1.into()
    }
}

impl StepOutput {
    /// Adds a part of the update.
    pub(super) fn add(&mut self, part: ParamVector) {
        account::give_vector(&part, Role::Update);
        self.update.extend(part);
    }

    /// Notes a slot's scalars, one a direction, until those of all parts of the batch are known.
    pub(super) fn wait(&mut self, slot: &str, b: &[f64]) {
        self.awaiting.push(Scalars { slot: slot.to_string(), values: b.iter().map(|b| vec![*b]).collect() });
    }

    /// Notes a slot's scalars.
    pub(super) fn record(&mut self, slot: &str, values: Vec<Vec<f64>>) {
        self.scalars.push(Scalars { slot: slot.to_string(), values });
    }
}

/// `sum_d c_d v_d`.
fn combination(vectors: &[ParamVector], coefficients: &[f64]) -> ParamVector {
    let mut pairs = vectors.iter().zip(coefficients);
    let Some((first, coefficient)) = pairs.next() else { return ParamVector::default() };
    pairs.fold(first.scaled(*coefficient), |sum, (vector, coefficient)| sum.axpy(*coefficient, vector))
}

/// Values by direction and unit as values by unit and direction.
pub fn by_unit(by_direction: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let units = by_direction.first().map_or(0, Vec::len);
    (0..units).map(|unit| by_direction.iter().map(|row| row[unit]).collect()).collect()
}

/// Sums over samples.
pub fn totals(derivatives: &[Vec<f64>]) -> Vec<f64> {
    derivatives.iter().map(|samples| samples.iter().sum()).collect()
}

/// The inner products of the network's single slot, summed over its blocks.
pub fn whole_gram(kept: &BTreeMap<usize, Kept>) -> Option<Gram> {
    let mut grams = kept.values().filter_map(Kept::gram);
    let first = grams.next()?.clone();
    Some(grams.fold(first, |mut sum, gram| {
        sum.add(gram);
        sum
    }))
}
