//! Oracle mode: the same step with every target by reverse mode, so that its scalars are exact.
//!
//! Source: Fournier et al. (2023), equations 4 and 5, as the paper's own code computes them.

use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::engine::Engine;
use super::finish::Kept;
use super::guess::Directions;
use super::merged::{Merged, finish_mixture, finish_network};
use super::mix::{self, MixedSlot};
use super::prepared::Prepared;
use super::stage::Window;
use super::{Granularity, Mode, Space, StepOutput};
use crate::Result;
use crate::layers::{AnySaved, Wanted};
use crate::vector::ParamVector;

/// A step by reverse mode.
pub struct Oracle<'a> {
    engine: Engine<'a>,
    output: StepOutput,
    window: Window<'a>,
    /// Blocks whose scalars are combined at the end (network granularity, mixing).
    kept: BTreeMap<usize, Kept>,
    /// The network's single slot: its inner products, one a direction.
    network: Vec<f64>,
    /// A mixture: every slot's exact scalars and signs.
    mixed: BTreeMap<usize, Vec<(MixedSlot, Vec<f64>)>>,
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
            kept: BTreeMap::new(),
            network: Vec::new(),
            mixed: BTreeMap::new(),
        };
        let mut x = oracle.engine.input.images.clone();
        for block in 0..oracle.engine.plan.depth {
            oracle.engine.input.check_stop()?;
            let (mut stage, y) = oracle.engine.stage(&mut oracle.output, block, x, true)?;
            // The last block's way back begins at once.
            if oracle.is_checkpointed() && block + 1 < oracle.engine.plan.depth {
                stage.saved = Rc::default();
            }
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
            let saved = self.saved(block);
            // A cotangent that nobody else holds is changed in place on its way.
            let kept = (is_aimed && self.engine.config.space == Space::Activity).then(|| y_bar.clone());
            let part = self.engine.view.blocks[block].cotangent(&saved, y_bar, wanted);
            drop(saved);
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

    /// What a block's forward map saved; with checkpoints, computed again from its input.
    fn saved(&self, block: usize) -> Rc<Vec<AnySaved>> {
        let stage = self.window.stage(block);
        if self.is_checkpointed() && block + 1 < self.engine.plan.depth {
            let x = stage.x.clone().expect("a block's input is there until its cotangent");
            return self.engine.view.blocks[block].forward(x, self.engine.pass(block)).1.into();
        }
        stage.saved.clone()
    }

    fn is_checkpointed(&self) -> bool {
        self.engine.config.mode == Mode::Checkpointed
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
            let norm = target.theta_bar.norm();
            self.output.record(&format!("blocks.{block}"), vec![vec![norm]]);
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
                    vectors.iter().map(|vector| vec![aim.dot(vector)]).collect()
                })
                .collect(),
            Directions::Activity(tensors) => {
                let y_bar = target.y_bar.as_ref().expect("a block has an output");
                vec![tensors.iter().map(|tensor| self.engine.config.dots(y_bar, tensor)).collect()]
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
        if self.engine.config.mix.is_some() {
            return self.end_mixture();
        }
        if Merged::new(self.engine.config).is_some() && self.engine.measured {
            finish_network(&self.engine, &mut self.output, &self.kept, &self.network);
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
