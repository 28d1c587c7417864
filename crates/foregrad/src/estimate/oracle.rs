//! Oracle mode: the same step with every target by reverse mode, so that its scalars are exact.
//!
//! With checkpoints the blocks are cut into segments of `s`. Of a segment only its input is kept, and all of it is computed again when the
//! cotangent comes back to its end: its values are alive together, one after the other gone. The last segment keeps its values, for its way
//! back begins at once.
//!
//! Source: Fournier et al. (2023), equations 4 and 5, as the paper's own code computes them; checkpoints: Chen et al. (2016).

use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::engine::Engine;
use super::finish::Kept;
use super::guess::Directions;
use super::merged::{Merged, finish_mixture, finish_network};
use super::mix::{self, MixedSlot};
use super::prepared::Prepared;
use super::stage::{Stage, Window};
use super::{EstimatorConfig, Granularity, Mode, Space, StepOutput};
use crate::layers::{Activation, AnySaved, Wanted};
use crate::vector::{self, ParamVector};
use crate::{Error, Result};

/// A step by reverse mode.
pub struct Oracle<'a> {
    engine: Engine<'a>,
    output: StepOutput,
    window: Window<'a>,
    /// What the blocks of the segment on its way back saved when they were computed again, the first block's first.
    again: Vec<Vec<AnySaved>>,
    /// Blocks whose scalars are combined at the end (network granularity, mixing).
    kept: BTreeMap<usize, Kept>,
    /// The network's single slot: its inner products, one a direction.
    network: Vec<f64>,
    /// A mixture: every slot's exact scalars and signs.
    mixed: BTreeMap<usize, Vec<(MixedSlot, Vec<f64>)>>,
    /// Of the guess that is the target: the blocks' gradients, whose norms are read at once at the end.
    exact: Vec<(usize, ParamVector)>,
}

/// The gradient that a block's guess is measured against.
struct Target {
    theta_bar: ParamVector,
    y_bar: Option<Tensor<4>>,
}

impl<'a> Oracle<'a> {
    /// One whole step.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped).
    pub fn run(engine: Engine<'a>) -> Result<StepOutput> {
        let output = engine.output();
        let mut oracle = Self {
            engine,
            output,
            window: Window::default(),
            again: Vec::new(),
            kept: BTreeMap::new(),
            network: Vec::new(),
            mixed: BTreeMap::new(),
            exact: Vec::new(),
        };
        let mut x = Activation::from(oracle.engine.input.images.clone());
        for block in 0..oracle.engine.plan.depth {
            oracle.engine.input.check_stop()?;
            let (mut stage, y) = oracle.engine.stage(&mut oracle.output, block, x, true)?;
            oracle.keep_checkpoint(&mut stage, block);
            oracle.window.push(stage);
            x = y;
        }
        let last = oracle.engine.plan.depth - 1;
        (0..=last).try_for_each(|loss| oracle.walk_back(loss))?;
        if oracle.engine.plan.estimates_classifier() {
            oracle.classifier();
        }
        oracle.end();
        Ok(oracle.output)
    }

    /// The gradient of one loss, back to every block whose target it is.
    fn walk_back(&mut self, loss: usize) -> Result<()> {
        let blocks = self.engine.plan.estimated.min(self.engine.plan.depth);
        let aimed: Vec<usize> = (0..blocks).filter(|block| self.engine.plan.target_loss[*block] == loss).collect();
        let Some(first) = aimed.first().copied() else { return Ok(()) };
        let mut y_bar = self.window.stage(loss).loss_bar.clone().expect("the gradient of a target's loss");
        for block in (first..=loss).rev() {
            self.engine.input.check_stop()?;
            let is_aimed = aimed.contains(&block);
            let weight = self.engine.config.space == Space::Weight || self.is_exact();
            let wanted = Wanted { input: block > first, parameters: is_aimed && weight };
            // A cotangent that nobody else holds is changed in place on its way.
            let kept = (is_aimed && self.engine.config.space == Space::Activity).then(|| y_bar.clone());
            let maps = self.engine.view.blocks[block];
            let part = match self.saved_again(block) {
                Some(saved) => maps.cotangent_once(saved, y_bar, wanted),
                None => maps.cotangent(&self.window.stage(block).saved, y_bar, wanted),
            };
            if is_aimed {
                self.measure(block, Target { theta_bar: part.theta_bar, y_bar: kept });
            }
            if self.is_last_walk(loss) {
                self.window.release(block);
            }
            let Some(x_bar) = part.x_bar else { break };
            y_bar = x_bar;
        }
        Ok(())
    }

    /// With checkpoints: drops all of a block that is computed again, but for the input of its segment.
    fn keep_checkpoint(&self, stage: &mut Stage<'a>, block: usize) {
        if let Some(first) = self.checkpoint(block) {
            stage.saved = Rc::default();
            stage.x = stage.x.take().filter(|_| first == block);
        }
    }

    /// The first block of a block's segment, whose input is its checkpoint; none of a block that is not computed again.
    fn checkpoint(&self, block: usize) -> Option<usize> {
        let EstimatorConfig { mode, checkpoint_spacing, .. } = *self.engine.config;
        let first = block / checkpoint_spacing * checkpoint_spacing;
        let is_last = self.engine.plan.depth - first <= checkpoint_spacing;
        (mode == Mode::Checkpointed && !is_last).then_some(first)
    }

    /// What a block's forward map saves, computed again with its segment when the way back comes to it; none where it has been kept.
    fn saved_again(&mut self, block: usize) -> Option<Vec<AnySaved>> {
        let first = self.checkpoint(block)?;
        if self.again.is_empty() {
            let input = self.window.stage(first).x.clone();
            let mut x = input.expect("a segment's input is there until its first block's cotangent");
            for again in first..=block {
                let (y, saved) = self.engine.view.blocks[again].forward_of(x, self.engine.pass(again));
                self.again.push(saved);
                x = y;
            }
        }
        self.again.pop()
    }

    /// Whether no block's saved values are needed once this loss's gradient has passed it: no other loss comes, no guess is
    /// pulled back through it, and nothing is finished later.
    fn is_last_walk(&self, loss: usize) -> bool {
        let is_last = loss + 1 == self.engine.plan.depth;
        is_last && (self.is_exact() || (self.engine.plan.lag == 0 && self.engine.config.mix.is_none()))
    }

    fn is_exact(&self) -> bool {
        self.engine.config.guess.support().is_target
    }

    fn classifier(&mut self) {
        let depth = self.engine.plan.depth;
        let (loss, saved) = self.window.stage(depth - 1).loss.as_ref().expect("the classifier's loss");
        let theta_bar = loss.maps().cotangent(saved, Wanted::PARAMETERS).theta_bar;
        self.measure(depth, Target { theta_bar, y_bar: None });
    }

    /// A block's scalars and, unless they are combined at the end, its update.
    fn measure(&mut self, block: usize, target: Target) {
        if self.engine.input.collect.has_targets() {
            self.collect_target(block, &target);
        }
        if self.is_exact() {
            self.exact.push((block, target.theta_bar.clone()));
            let update = self.engine.view.globalised(block, target.theta_bar);
            return self.output.add(update);
        }
        let prepared = self.engine.prepare(&mut self.output, &mut self.window, block);
        if !self.engine.measured {
            return self.engine.finish_unmeasured(&mut self.output, prepared, &self.window);
        }
        let products = self.products(&prepared, &target);
        let signs = self.engine.config.mix.is_some().then(|| self.engine.mixed_slots(&prepared));
        let kept = self.engine.keep(prepared, self.window.get(block));
        if let Some(signs) = signs {
            let scalars = products.into_iter().map(|slot| slot.into_iter().next().unwrap_or_default());
            self.mixed.insert(block, signs.into_iter().zip(scalars).collect());
            self.kept.insert(block, kept);
        } else if self.engine.config.granularity() == Granularity::Network {
            self.network.resize(self.engine.config.directions(), 0.0);
            self.network.iter_mut().zip(&products[0]).for_each(|(sum, b)| *sum += b[0]);
            self.kept.insert(block, kept);
        } else {
            self.finish(&kept, products);
        }
    }

    fn finish(&mut self, kept: &Kept, mut products: Vec<Vec<Vec<f64>>>) {
        match self.engine.config.space {
            Space::Activity => self.engine.finish_activity(&mut self.output, kept, &self.window, products.remove(0)),
            Space::Weight => {
                for (slot, b) in products.iter().enumerate() {
                    let b: Vec<f64> = b.iter().map(|b| b[0]).collect();
                    self.engine.finish_weight(&mut self.output, kept, slot, &b);
                }
            }
        }
    }

    /// `<target, guess>`: per slot, direction and unit (sample, part of one, or one for all).
    fn products(&self, prepared: &Prepared, target: &Target) -> Vec<Vec<Vec<f64>>> {
        match &prepared.directions {
            Directions::Weight(vectors) => prepared
                .slots
                .iter()
                .map(|slot| {
                    let aim = slot.part(&target.theta_bar);
                    let pairs: Vec<_> = vectors.iter().map(|vector| [&aim, vector]).collect();
                    vector::dots(&pairs).into_iter().map(|product| vec![product]).collect()
                })
                .collect(),
            Directions::Activity(tensors) => {
                let y_bar = target.y_bar.as_ref().expect("a block has an output");
                vec![self.engine.config.dots(y_bar, tensors)]
            }
        }
    }

    fn collect_target(&mut self, block: usize, target: &Target) {
        let view = self.engine.view;
        self.output.targets.extend(view.globalised(block, target.theta_bar.clone()));
        if let (Space::Activity, Some(y_bar)) = (self.engine.config.space, &target.y_bar) {
            self.output.targets.insert(format!("blocks.{block}"), y_bar.clone());
        }
    }

    fn end(&mut self) {
        let norms = vector::norms(&self.exact.iter().map(|(_, gradient)| gradient).collect::<Vec<_>>());
        for ((block, _), norm) in self.exact.drain(..).zip(norms) {
            self.output.record(&format!("blocks.{block}"), vec![vec![norm]]);
        }
        if self.engine.config.mix.is_some() {
            return self.end_mixture();
        }
        if Merged::new(self.engine.config).is_some() && self.engine.measured {
            let kept = std::mem::take(&mut self.kept);
            finish_network(&self.engine, &mut self.output, kept, &self.network);
        }
    }

    fn end_mixture(&mut self) {
        let tangents = self.engine.config.mix.unwrap_or(0);
        let (signs, scalars): (Vec<_>, Vec<_>) = self.mixed.values().flatten().cloned().unzip();
        let derivatives = mix::mixed(&scalars, &signs, tangents);
        let slots = self
            .mixed
            .iter()
            .map(|(block, slots)| (*block, slots.iter().map(|(signs, _)| signs.clone()).collect()))
            .collect();
        finish_mixture(&self.engine, &mut self.output, &self.window, &self.kept, &slots, &derivatives);
    }
}

impl EstimatorConfig {
    /// Refuses checkpoints where nothing is computed again.
    pub(super) fn validate_checkpoints(&self, losses: usize) -> Result<()> {
        if self.checkpoint_spacing == 0 {
            return Err(Error::out_of_range("estimator.checkpoint-spacing", 0, "at least 1 block"));
        }
        if self.mode != Mode::Checkpointed && self.checkpoint_spacing == 1 {
            return Ok(());
        }
        if self.mode != Mode::Checkpointed {
            let nearest =
                "`estimator.mode = checkpointed` `estimator.guess = exact`, or `estimator.checkpoint-spacing = 1`";
            return Err(Error::meaningless("only checkpointed backprop has a distance between checkpoints", nearest));
        }
        if !(self.guess.support().is_target && self.target.is_global(losses)) {
            let reason = "checkpoints are for plain backprop: the exact guess with the global target";
            let nearest = "`estimator.mode = checkpointed` `estimator.guess = exact` `estimator.target = global`, or `estimator.mode = oracle`";
            return Err(Error::meaningless(reason, nearest));
        }
        Ok(())
    }
}
