//! What forward and reverse mode share: a block with its losses, and the guesses that its estimate is made along.

use burn::tensor::Tensor;

use super::guess::{Draw, HeadSource, Origin, span};
use super::plan::Plan;
use super::stage::{LossRef, Stage, Window};
use super::view::View;
use super::{EstimatorConfig, Mode, Space, StepInput, StepOutput};
use crate::layers::{AnySaved, Dual, Pass, Wanted};
use crate::models::LossHead;
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// The directions of one block: one vector, or one tensor at its output, a direction.
#[derive(Debug, Clone)]
pub enum Directions {
    /// In the block's parameters.
    Weight(Vec<ParamVector>),
    /// At the block's output, `[n, c, h, w]`.
    Activity(Vec<Tensor<4>>),
}

/// A step under way.
pub struct Engine<'a> {
    pub view: &'a View<'a>,
    pub config: &'a EstimatorConfig,
    pub input: &'a StepInput<'a>,
    pub plan: Plan,
    pub output: StepOutput,
}

impl<'a> Engine<'a> {
    /// A step's beginning.
    pub fn new(config: &'a EstimatorConfig, view: &'a View<'a>, input: &'a StepInput<'a>) -> Self {
        let plan = Plan::new(config, view.depth());
        let output = StepOutput { evaluations: vec![None; plan.depth], ..Default::default() };
        Self { view, config, input, plan, output }
    }

    /// What a block's forward map is told, the same whenever it runs in this step.
    pub fn pass(&self, block: usize) -> Pass {
        Pass::new(self.config.phase(), Stream::new(self.input.seed, "pass").at(self.input.step).at(block as u64))
    }

    /// A block's forward map, its heads, and - at the end - the exact cotangents of classifier and last block.
    ///
    /// `target_bar` asks for the gradient of every loss that is a target (reverse mode).
    pub fn stage(&mut self, block: usize, x: Tensor<4>, target_bar: bool) -> (Stage<'a>, Tensor<4>) {
        let maps = self.view.blocks[block];
        let (y, saved) = maps.forward(x.clone(), self.pass(block));
        self.output.statistics.extend(self.view.globalised(block, maps.statistics(&saved)));
        let mut stage = Stage { x: Some(x), saved: saved.into(), ..Stage::at(&y) };
        self.evaluate_losses(&mut stage, &y, block, target_bar);
        (stage, y)
    }

    /// A block's value and tangents at once, and its heads: for guesses that need nothing of what its forward map would save.
    pub fn dual_stage(
        &mut self,
        block: usize,
        x: Tensor<4>,
        x_dot: Option<Tensor<4>>,
        theta_dot: &[ParamVector],
    ) -> (Stage<'a>, Tensor<4>, Option<Tensor<4>>) {
        let Dual { y, y_dot, statistics } = self.view.blocks[block].dual(x, x_dot, theta_dot, self.pass(block));
        self.output.statistics.extend(self.view.globalised(block, statistics));
        let mut stage = Stage::at(&y);
        self.evaluate_losses(&mut stage, &y, block, false);
        (stage, y, y_dot)
    }

    fn evaluate_losses(&mut self, stage: &mut Stage<'a>, y: &Tensor<4>, block: usize, target_bar: bool) {
        if block + 1 == self.plan.depth {
            self.classify(stage, y, target_bar);
        } else {
            self.own_head(stage, y, block, target_bar);
            self.drawn_heads(stage, y, block, target_bar);
        }
    }

    /// The classifier's loss, and the exact gradient of classifier and last block unless they are estimated.
    fn classify(&mut self, stage: &mut Stage<'a>, y: &Tensor<4>, target_bar: bool) {
        let last = self.plan.depth - 1;
        let classifier = self.view.losses[last];
        let saved = self.evaluate(classifier, y, last);
        let exact = !self.plan.estimates_classifier();
        let guesses = self.plan.guesses_from[last];
        if exact || guesses || target_bar {
            let part = classifier.cotangent(&saved, Wanted { input: true, parameters: exact });
            self.output.update.extend(part.theta_bar.clone());
            let y_bar = part.input();
            if exact {
                let theta_bar = self.view.blocks[last].cotangent(&stage.saved, y_bar.clone(), Wanted::PARAMETERS);
                self.output.update.extend(self.view.globalised(last, theta_bar.theta_bar));
            }
            stage.guess_bars.extend(guesses.then(|| y_bar.clone()));
            stage.loss_bar = target_bar.then_some(y_bar);
        }
        stage.loss = Some((LossRef::Own(classifier), saved));
    }

    /// The block's own head: its loss, its own gradient, and its gradient at the output where that is wanted.
    fn own_head(&mut self, stage: &mut Stage<'a>, y: &Tensor<4>, block: usize, target_bar: bool) {
        let (trains, drawn) = (self.plan.trains[block], self.draws_heads());
        let used = self.plan.runs[block] && !drawn;
        if !(trains || used) {
            return;
        }
        let head = self.view.losses[block];
        let saved = self.evaluate(head, y, block);
        let input = used && (self.plan.guesses_from[block] || target_bar);
        if trains || input {
            let part = head.cotangent(&saved, Wanted { input, parameters: trains });
            self.output.update.extend(self.view.globalised_loss(block, part.theta_bar));
            stage.guess_bars.extend(part.x_bar.clone().filter(|_| used && self.plan.guesses_from[block]));
            stage.loss_bar = part.x_bar.filter(|_| target_bar);
        }
        if used && self.measures_at(block, target_bar) {
            stage.loss = Some((LossRef::Own(head), saved));
        }
    }

    /// Heads drawn for this step, one a direction; the first is the target's too.
    fn drawn_heads(&mut self, stage: &mut Stage<'a>, y: &Tensor<4>, block: usize, target_bar: bool) {
        if !(self.draws_heads() && self.plan.runs[block]) {
            return;
        }
        let stream = self.config.guesses.ntk.stream(self.input.seed, self.input.step, block);
        for direction in 0..self.config.directions {
            let head = self.view.losses[block].redrawn(stream.at(direction as u64));
            let head = head.expect("only a classifier cannot be drawn afresh");
            let (evaluation, saved) = head.forward(y.clone(), self.input.labels, self.pass(block).named("head"));
            let y_bar = head.cotangent(&saved, Wanted::INPUT).input();
            if direction == 0 {
                self.output.evaluations[block].get_or_insert(evaluation);
                stage.loss_bar = target_bar.then(|| y_bar.clone());
                stage.loss = self.measures_at(block, target_bar).then_some((LossRef::Drawn(head), saved));
            }
            stage.guess_bars.push(y_bar);
        }
    }

    /// Whether tangents will be measured by a head's loss, so that what it saved must stay: never where its gradient serves.
    fn measures_at(&self, block: usize, target_bar: bool) -> bool {
        self.plan.measures[block] && !target_bar
    }

    fn draws_heads(&self) -> bool {
        matches!(self.config.guess.origin(), Origin::Head(HeadSource::Redrawn))
    }

    fn evaluate(&mut self, loss: &dyn LossHead, y: &Tensor<4>, block: usize) -> AnySaved {
        let (evaluation, saved) = loss.forward(y.clone(), self.input.labels, self.pass(block).named("head"));
        self.output.evaluations[block] = Some(evaluation);
        let statistics = self.view.globalised_loss(block, loss.statistics(&saved));
        self.output.statistics.extend(statistics);
        saved
    }

    /// A block's guesses as they are made, one a direction, before any scaling.
    pub fn guesses(&self, window: &mut Window<'a>, block: usize) -> Directions {
        if let Some(given) = self.given(block) {
            return given;
        }
        let ready = self.plan.ready.get(block).copied().unwrap_or(block);
        match self.config.guess.origin() {
            Origin::Random(_) => self.redraw(window.get(block).map(|stage| stage.shape), block),
            Origin::Buffer => Directions::Weight(self.buffer(block)),
            Origin::NextBlock => {
                let next = window.stage(block + 1);
                let stream = self.stream(block).named("upstream");
                let noise = |direction| stream.at(direction).normal_tensor(next.shape, &self.placement());
                let bars = (0..self.config.directions as u64)
                    .map(|direction| window.pull_back(self.view, noise(direction), block + 1, block));
                self.in_space(window, block, bars.collect())
            }
            Origin::BatchSpan => {
                let bar = window.pull_back(self.view, window.stage(ready).guess_bars[0].clone(), ready, block);
                Directions::Activity(span::directions(bar, self.config.directions, self.stream(block).named("span")))
            }
            Origin::Head(_) | Origin::Target => {
                let mut bars = window.guess_bars(ready, self.is_last_of(ready, block));
                while bars.len() < self.config.directions {
                    // The classifier is one loss, however many heads the directions have on the way.
                    bars.push(bars.last().expect("the gradient of a guess's loss").clone());
                }
                let back = bars.into_iter().map(|bar| window.pull_back(self.view, bar, ready, block));
                self.in_space(window, block, back.collect())
            }
        }
    }

    /// Whether no other guess will be made of the gradients at block `ready`: then they can be changed in place.
    fn is_last_of(&self, ready: usize, block: usize) -> bool {
        let in_order = self.config.mode == Mode::Forward && ready + 1 < self.plan.depth;
        in_order && self.plan.ready_at(ready).last() == Some(block)
    }

    /// Random directions: the same for the same step, however often they are drawn. `shape` is that of the block's output.
    pub fn redraw(&self, shape: Option<[usize; 4]>, block: usize) -> Directions {
        if let Some(given) = self.given(block) {
            return given;
        }
        let Origin::Random(draw) = self.config.guess.origin() else {
            panic!("the guess `{}` is not random", self.config.guess)
        };
        let count = self.config.directions as u64;
        match self.config.space {
            Space::Weight => Directions::Weight((0..count).map(|d| self.random_weights(block, d, draw)).collect()),
            Space::Activity => {
                let shape = shape.expect("the shape of a block that has been passed");
                let stream = self.stream(block).named("activity");
                let tensor = |direction| draw(stream.at(direction), &shape, &self.placement()).tensor();
                Directions::Activity((0..count).map(tensor).collect())
            }
        }
    }

    fn random_weights(&self, block: usize, direction: u64, draw: Draw) -> ParamVector {
        let stream = self.stream(block);
        self.view
            .parameters(block)
            .drawn_like(|path, shape, placement| draw(stream.named(path).at(direction), shape, placement))
    }

    /// The optimiser's buffer, then gaussian directions; gaussian throughout before the buffer holds anything.
    fn buffer(&self, block: usize) -> Vec<ParamVector> {
        let gaussian = |direction| self.random_weights(block, direction, super::guess::gaussian::draw);
        let parameters = self.view.parameters(block);
        let mine = self.input.momentum.map(|buffer| {
            let prefix = self.view.prefixes.get(block).copied().unwrap_or_default();
            buffer.scoped(prefix).filtered(|path| parameters.entry(path).is_some())
        });
        let first = match mine {
            Some(buffer) if buffer.norm() > 0.0 => parameters.zeros_like().axpy(1.0, &buffer),
            _ => gaussian(0),
        };
        std::iter::once(first).chain((1..self.config.directions as u64).map(gaussian)).collect()
    }

    /// Gradients at a block's output, as directions in the space of the estimate.
    fn in_space(&self, window: &Window, block: usize, bars: Vec<Tensor<4>>) -> Directions {
        match self.config.space {
            Space::Activity => Directions::Activity(bars),
            Space::Weight => {
                let (maps, saved) = (self.view.blocks[block], &window.stage(block).saved);
                let theta_bar = |bar| maps.cotangent(saved, bar, Wanted::PARAMETERS).theta_bar;
                Directions::Weight(bars.into_iter().map(theta_bar).collect())
            }
        }
    }

    /// The guesses that the caller brought for a block, if any.
    fn given(&self, block: usize) -> Option<Directions> {
        let given = self.input.given?;
        let at = |direction: usize| given.scoped(&direction.to_string());
        let directions = match self.config.space {
            Space::Activity => {
                let name = format!("blocks.{block}");
                let tensors: Option<_> = (0..self.config.directions).map(|d| at(d).get::<4>(&name)).collect();
                Directions::Activity(tensors?)
            }
            Space::Weight => {
                let prefix = self.view.prefixes.get(block).copied().unwrap_or_default();
                let parameters = self.view.parameters(block);
                let vector = |direction| {
                    let mine = at(direction).scoped(prefix).filtered(|path| parameters.entry(path).is_some());
                    (!mine.is_empty()).then(|| parameters.zeros_like().axpy(1.0, &mine))
                };
                let vectors: Option<_> = (0..self.config.directions).map(vector).collect();
                Directions::Weight(vectors?)
            }
        };
        Some(directions)
    }

    fn stream(&self, block: usize) -> Stream {
        Stream::new(self.input.seed, "guess").at(self.input.step).at(block as u64)
    }

    fn placement(&self) -> Placement {
        Placement::of(&self.input.images)
    }
}
