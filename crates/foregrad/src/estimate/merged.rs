//! Tangents that every block adds to: the network's single slot, or a mixture with random signs.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::engine::Engine;
use super::finish::{Kept, totals, whole_gram};
use super::guess::Directions;
use super::mix::{self, MixedSlot};
use super::prepared::Prepared;
use super::stage::{Stage, Window, through};
use super::{EstimatorConfig, Granularity, Space, StepOutput};
use crate::Result;
use crate::layers::{Activation, stacked};
use crate::ops;
use crate::vector::ParamVector;

/// A fixed number of tangents, whatever the depth.
#[derive(Default)]
pub struct Merged {
    /// Stacked; `None` before the first block.
    y_dot: Option<Tensor<4>>,
    /// The signs of every slot in a mixture, by block, in the order of the slots.
    slots: BTreeMap<usize, Vec<MixedSlot>>,
}

impl Merged {
    /// The merged tangents of an estimator that has some.
    pub fn new(config: &EstimatorConfig) -> Option<Self> {
        (config.granularity() == Granularity::Network || config.mix.is_some()).then(Self::default)
    }

    /// Through a block, with what the guesses that became known there add.
    ///
    /// A guess in the block's own parameters enters together with the tangents; any other is brought here by itself.
    pub fn pass(&mut self, engine: &Engine, window: &Window, block: usize, prepared: &[Prepared]) {
        prepared.iter().for_each(|prepared| self.note_signs(engine, prepared));
        let at_once = engine.config.tangents_at_once;
        let own = |prepared: &&Prepared| prepared.block == block && engine.config.space == Space::Weight;
        let theta = prepared.iter().find(own).map(|prepared| self.theta_dot(engine, prepared)).unwrap_or_default();
        let y_dot = self.y_dot.take();
        if y_dot.is_some() || !theta.is_empty() {
            self.y_dot = through(engine.view, window.stage(block), block, y_dot, &theta, at_once);
        }
        for prepared in prepared.iter().filter(|prepared| !own(prepared)) {
            let from = prepared.block;
            let start = match &prepared.directions {
                Directions::Weight(_) => {
                    let theta = self.theta_dot(engine, prepared);
                    through(engine.view, window.stage(from), from, None, &theta, at_once)
                }
                Directions::Activity(tensors) => Some(self.signed(from, &tensors[0])),
            };
            let arrived = window.push_forward(engine.view, start, from, block, at_once);
            self.y_dot = stacked::add(self.y_dot.take(), arrived);
        }
    }

    /// Whether a block's value and tangents can go through it at once, with nothing saved: its guess is there before it is
    /// passed, and no gradient goes back through it.
    pub fn carries(engine: &Engine, block: usize) -> bool {
        let config = engine.config;
        let tangents = config.mix.unwrap_or(config.directions());
        let at_once = config.tangents_at_once == 0 || tangents <= config.tangents_at_once;
        config.space == Space::Weight && config.guess.support().is_random && at_once && block < engine.plan.estimated
    }

    /// A block's value and the tangents through it at once, with the block's guess added.
    ///
    /// # Errors
    /// As [`Engine::dual_stage`].
    pub fn carry<'a>(
        &mut self,
        engine: &Engine<'a>,
        output: &mut StepOutput,
        block: usize,
        x: Activation,
    ) -> Result<(Stage<'a>, Activation, Prepared)> {
        let prepared = engine.prepare(output, &mut Window::default(), block);
        self.note_signs(engine, &prepared);
        let theta = self.theta_dot(engine, &prepared);
        let (stage, y, y_dot) = engine.dual_stage(output, block, x, self.y_dot.take(), &theta)?;
        self.y_dot = y_dot;
        Ok((stage, y, prepared))
    }

    fn note_signs(&mut self, engine: &Engine, prepared: &Prepared) {
        if engine.config.mix.is_some() {
            self.slots.insert(prepared.block, engine.mixed_slots(prepared));
        }
    }

    /// A block's directions, one a merged tangent; in a mixture the one guess with each tangent's signs.
    fn theta_dot(&self, engine: &Engine, prepared: &Prepared) -> Vec<ParamVector> {
        let Directions::Weight(vectors) = &prepared.directions else { return Vec::new() };
        let Some(tangents) = engine.config.mix else { return vectors.clone() };
        let signs = &self.slots[&prepared.block];
        let mixed = |tangent: usize| {
            let mut all = ParamVector::default();
            for (slot, signs) in prepared.slots.iter().zip(signs) {
                all.extend(slot.part(&vectors[0]).scaled(signs.signs[tangent][0]));
            }
            all
        };
        (0..tangents).map(mixed).collect()
    }

    /// A guess at a block's output, once a tangent, with its signs.
    fn signed(&self, block: usize, guess: &Tensor<4>) -> Tensor<4> {
        let samples = guess.dims()[0];
        let tangents = self.slots[&block][0].signs.iter().map(|signs| match signs.as_slice() {
            [sign] => guess.clone().mul_scalar(*sign),
            signs => {
                assert_eq!(signs.len(), samples, "one sign a sample");
                ops::scale_rows(guess.clone(), signs)
            }
        });
        Tensor::cat(tangents.collect(), 0)
    }

    /// The derivatives at the network's loss: per tangent, and per sample for granularity `sample`.
    pub fn measure(&self, engine: &Engine, last: &Stage, classifier: &[ParamVector]) -> Vec<Vec<f64>> {
        let derivatives = last.derivatives(self.y_dot.clone(), classifier);
        match engine.config.granularity() {
            Granularity::Sample => derivatives,
            _ => totals(&derivatives).into_iter().map(|total| vec![total]).collect(),
        }
    }

    /// Turns the measured derivatives into every block's update.
    pub fn finish<'a>(
        self,
        engine: &Engine<'a>,
        output: &mut StepOutput,
        window: &Window<'a>,
        kept: BTreeMap<usize, Kept>,
        derivatives: Vec<Vec<f64>>,
    ) {
        if engine.config.mix.is_some() {
            return finish_mixture(engine, output, window, &kept, &self.slots, &derivatives);
        }
        let b = totals(&derivatives);
        finish_network(engine, output, kept, &b);
    }
}

/// The update of the network's single slot from one scalar a direction. A block's guesses are gone once its update is there.
pub fn finish_network(engine: &Engine, output: &mut StepOutput, kept: BTreeMap<usize, Kept>, b: &[f64]) {
    if engine.awaits() {
        return output.wait("network", b);
    }
    let gram = whole_gram(&kept);
    let dimension = kept.values().map(Kept::dimension).sum();
    let coefficients = engine.coefficients(&engine.whole_residual(&kept, b), gram.as_ref(), dimension);
    let norm = |direction: usize| gram.as_ref().map_or(1.0, |gram| gram.square_norm(direction).sqrt());
    let scalar = |(direction, b): (usize, &f64)| vec![if norm(direction) == 0.0 { 0.0 } else { b / norm(direction) }];
    output.zero_guesses += (0..b.len()).filter(|direction| norm(*direction) == 0.0).count();
    output.record("network", b.iter().enumerate().map(scalar).collect());
    engine.learn_of_network(output, &kept, (b, &coefficients));
    for kept in kept.into_values() {
        engine.add_weight(output, &kept, 0, &coefficients);
    }
}

/// Every slot's update from a mixture's derivatives, `[m][width]`.
pub fn finish_mixture<'a>(
    engine: &Engine<'a>,
    output: &mut StepOutput,
    window: &Window<'a>,
    kept: &BTreeMap<usize, Kept>,
    slots: &BTreeMap<usize, Vec<MixedSlot>>,
    derivatives: &[Vec<f64>],
) {
    let order: Vec<(usize, usize)> =
        slots.iter().flat_map(|(block, slots)| (0..slots.len()).map(|slot| (*block, slot))).collect();
    let all: Vec<MixedSlot> = slots.values().flatten().cloned().collect();
    let with_baseline = engine.config.mix_baseline;
    let scalars =
        mix::separate(derivatives, &all, |name| if with_baseline { engine.state.baseline(name) } else { 0.0 });
    for (((block, slot), mixed), scalars) in order.into_iter().zip(&all).zip(scalars) {
        if !engine.awaits() {
            output.state.observe(&mixed.name, &scalars);
        }
        match engine.config.space {
            Space::Weight => engine.finish_weight(output, &kept[&block], slot, &scalars),
            Space::Activity => engine.finish_activity(output, &kept[&block], window, vec![scalars]),
        }
    }
}
