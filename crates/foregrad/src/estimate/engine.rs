//! What forward and reverse mode share: a block with its losses, and the guesses that its estimate is made along.
//!
//! An [`Engine`] is what a step reads; what it writes is a [`StepOutput`] that its methods are given.

use std::rc::Rc;

use burn::tensor::Tensor;

use super::given::{CORRECTED, noise_path};
use super::guess::{AnyGuess, Directions, Gradients, HeadUse, Needs};
use super::plan::Plan;
use super::rehearsal::Rehearsal;
use super::stage::{LossRef, Stage, Window};
use super::view::View;
use super::{Collect, EstimatorConfig, EstimatorState, Mode, Space, StepInput, StepOutput};
use crate::account;
use crate::layers::{Activation, AnySaved, Cotangent, Dual, Pass, Wanted};
use crate::models::{Evaluation, LossHead};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;
use crate::{Error, Result};

/// What a head of the network is there for in a step.
#[derive(Clone, Copy)]
struct Role {
    /// It learns from its own loss.
    trains: bool,
    /// Guesses are made of its gradient.
    guesses: bool,
    /// It is a target's.
    aims: bool,
}

/// What a step reads.
pub struct Engine<'a> {
    pub view: &'a View<'a>,
    pub config: &'a EstimatorConfig,
    pub input: &'a StepInput<'a>,
    pub state: &'a EstimatorState,
    pub plan: Plan,
    /// The heads that the guess is made of.
    pub heads: HeadUse,
    /// What else the guess asks for.
    pub needs: Needs,
    /// What is known of the network's outputs before the step, where the guess asks for it.
    pub rehearsal: Option<Rehearsal>,
    /// What the target is measured along: the guess, or the directions that correct it.
    pub along: AnyGuess,
    /// Whether the step measures its target at all.
    pub measured: bool,
}

impl<'a> Engine<'a> {
    /// What a step that begins will read.
    ///
    /// # Errors
    /// As [`Rehearsal::run`].
    pub fn new(
        config: &'a EstimatorConfig,
        view: &'a View<'a>,
        input: &'a StepInput<'a>,
        state: &'a EstimatorState,
    ) -> Result<Self> {
        let plan = Plan::new(config, view);
        let measured = config.is_measured_at(view, &plan, input.step, state);
        let (heads, needs) = (config.guess.heads(config.guess_directions()), config.guess.needs(config));
        let along = config.along();
        let mut engine = Self { view, config, input, state, plan, heads, needs, rehearsal: None, along, measured };
        engine.rehearsal = Rehearsal::run(&engine)?;
        Ok(engine)
    }

    /// Whether the step needs its target.
    pub fn needs_target(&self) -> bool {
        self.measured || self.input.collect.has_targets() || self.config.guess.support().is_target
    }

    /// A step's output, before anything is in it.
    pub fn output(&self) -> StepOutput {
        let evaluations = vec![None; self.plan.depth];
        StepOutput { evaluations, state: self.state.clone(), ..Default::default() }
    }

    /// What a block's forward map is told, the same whenever it runs in this step.
    pub fn pass(&self, block: usize) -> Pass {
        let stream = Stream::new(self.input.seed, "pass").at(self.input.step).at(block as u64);
        Pass { first: self.input.first_sample(), ..Pass::new(self.config.phase(), stream) }
    }

    /// A block's forward map, its heads, and - at the end - the exact cotangents of classifier and last block.
    ///
    /// `target_bar` asks for the gradient of every loss that is a target (reverse mode).
    ///
    /// # Errors
    /// [`Error::Meaningless`] of a head that should be drawn afresh and cannot be, [`Error::OutOfRange`] of an output that cannot be cut into
    /// the parts that are asked for.
    pub fn stage(
        &self,
        output: &mut StepOutput,
        block: usize,
        x: Activation,
        target_bar: bool,
    ) -> Result<(Stage<'a>, Activation)> {
        let maps = self.view.blocks[block];
        let (mut y, saved) = self.forward(block, x.clone());
        if block < self.plan.estimated {
            let [_, size @ ..] = y.dims();
            self.config.check_parts(block, size)?;
        }
        output.statistics.extend(self.view.globalised(block, maps.statistics(&saved)));
        let mut stage = Stage { x: Some(x), y: self.needs.output.then(|| y.written()), saved, ..Stage::at(&y) };
        self.evaluate_losses(output, &mut stage, &mut y, block, target_bar)?;
        Ok((stage, y))
    }

    /// A block's forward map, unless a rehearsal has kept what it gave.
    fn forward(&self, block: usize, x: Activation) -> (Activation, Rc<Vec<AnySaved>>) {
        let kept = self.rehearsal.as_ref().and_then(|rehearsal| rehearsal.take(block));
        kept.unwrap_or_else(|| {
            let (y, saved) = self.view.blocks[block].forward_of(x, self.pass(block));
            (y, saved.into())
        })
    }

    /// A block's value and tangents at once, and its heads: for guesses that need nothing of what its forward map would save.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn dual_stage(
        &self,
        output: &mut StepOutput,
        block: usize,
        x: Activation,
        x_dot: Option<Tensor<4>>,
        theta_dot: &[ParamVector],
    ) -> Result<(Stage<'a>, Activation, Option<Tensor<4>>)> {
        let Dual { mut y, y_dot, statistics } = self.view.blocks[block].dual(x, x_dot, theta_dot, self.pass(block));
        output.statistics.extend(self.view.globalised(block, statistics));
        let mut stage = Stage::at(&y);
        self.evaluate_losses(output, &mut stage, &mut y, block, false)?;
        Ok((stage, y, y_dot))
    }

    fn evaluate_losses(
        &self,
        output: &mut StepOutput,
        stage: &mut Stage<'a>,
        y: &mut Activation,
        block: usize,
        target_bar: bool,
    ) -> Result<()> {
        if block + 1 == self.plan.depth {
            self.classify(output, stage, y, target_bar);
        } else {
            self.own_heads(output, stage, y, block, target_bar);
            self.drawn_heads(output, stage, y, block, target_bar)?;
        }
        Ok(())
    }

    /// The classifier's loss, and the exact gradient of classifier and last block unless they are estimated.
    fn classify(&self, output: &mut StepOutput, stage: &mut Stage<'a>, y: &mut Activation, target_bar: bool) {
        let last = self.plan.depth - 1;
        let classifier = self.view.loss(last);
        let (evaluation, saved) = self.evaluated(classifier, y, last);
        output.evaluations[last] = Some(evaluation);
        output.statistics.extend(self.view.globalised_loss(last, classifier.statistics(&saved)));
        let exact = !self.plan.estimates_classifier();
        let guesses = self.plan.guesses_from[last];
        if exact || guesses || target_bar {
            let part = classifier.cotangent(&saved, Wanted { input: true, parameters: exact });
            output.add(part.theta_bar.clone());
            let y_bar = part.input();
            if exact {
                let theta_bar = self.view.blocks[last].cotangent(&stage.saved, y_bar.clone(), Wanted::PARAMETERS);
                output.add(self.view.globalised(last, theta_bar.theta_bar));
            }
            stage.gradients.own = guesses.then(|| y_bar.clone());
            stage.loss_bar = target_bar.then_some(y_bar);
        }
        stage.loss = Some((LossRef::Own(classifier), saved));
    }

    /// The block's own head, if it has one, and that for the target, if that is another.
    fn own_heads(
        &self,
        output: &mut StepOutput,
        stage: &mut Stage<'a>,
        y: &mut Activation,
        block: usize,
        target_bar: bool,
    ) {
        let (plan, view) = (&self.plan, self.view);
        let (guesses, has_target) = (plan.guesses_from[block], plan.has_target[block]);
        let used = plan.runs[block] && self.measures_by_own();
        if plan.trains[block] || used {
            let role = Role { trains: plan.trains[block], guesses: used && guesses, aims: used && !has_target };
            let prefixed = |vector| view.globalised_loss(block, vector);
            self.own_head(output, stage, y, (block, view.loss(block), &prefixed), role, target_bar);
        }
        let (trains, used) = (has_target && plan.target_trains[block], has_target && plan.target_runs[block]);
        if trains || used {
            // A guess that is the target itself is made of the target's head.
            let role = Role { trains, guesses: guesses && self.config.guess.support().is_target, aims: used };
            let prefixed = |vector| view.globalised_target(block, vector);
            self.own_head(output, stage, y, (block, view.target(block), &prefixed), role, target_bar);
        }
    }

    /// One head in its role: its loss, its own gradient, and its gradient at the output where that is wanted.
    fn own_head(
        &self,
        output: &mut StepOutput,
        stage: &mut Stage<'a>,
        y: &mut Activation,
        (block, head, prefixed): (usize, &'a dyn LossHead, &dyn Fn(ParamVector) -> ParamVector),
        Role { trains, guesses, aims }: Role,
        target_bar: bool,
    ) {
        let (evaluation, saved) = self.evaluated(head, y, block);
        output.evaluations[block].get_or_insert(evaluation);
        output.statistics.extend(prefixed(head.statistics(&saved)));
        let aims_bar = aims && target_bar;
        let wanted = Wanted { input: guesses || aims_bar, parameters: trains };
        let (part, saved) = head_cotangent(head, saved, wanted, aims && self.measures_at(block, target_bar));
        if let Some(saved) = saved {
            stage.loss = Some((LossRef::Own(head), saved));
        }
        output.add(prefixed(part.theta_bar));
        if guesses {
            stage.gradients.own.clone_from(&part.x_bar);
        }
        if aims_bar {
            stage.loss_bar = part.x_bar;
        }
    }

    /// Heads drawn for this step, one a direction; where none of the guesses is of the block's own, the first is the target's too.
    fn drawn_heads(
        &self,
        output: &mut StepOutput,
        stage: &mut Stage<'a>,
        y: &mut Activation,
        block: usize,
        target_bar: bool,
    ) -> Result<()> {
        let is_target = !self.measures_by_own() && !self.plan.has_target[block];
        let count = match self.plan.guesses_from[block] {
            true => self.heads.drawn.len(),
            false => usize::from(is_target && self.plan.runs[block]),
        };
        for (place, drawn) in self.heads.drawn.iter().take(count).enumerate() {
            let stream = (drawn.stream)(self.config, self.input.seed, self.input.step);
            let head = self.view.loss(block).redrawn(stream.at(block as u64).at(drawn.direction as u64));
            let head = head.ok_or_else(|| {
                let reason = format!("the head of block {block} cannot be drawn afresh");
                Error::meaningless(reason, "`estimator.guess = local`, or a head that can")
            })?;
            let (evaluation, saved) = self.evaluated(&*head, y, block);
            let is_target = place == 0 && is_target;
            let keeps = is_target && self.measures_at(block, target_bar);
            let (part, saved) = head_cotangent(&*head, saved, Wanted::INPUT, keeps);
            let y_bar = part.input();
            if is_target {
                output.evaluations[block].get_or_insert(evaluation);
                stage.loss_bar = target_bar.then(|| y_bar.clone());
                stage.loss = saved.map(|saved| (LossRef::Drawn(head), saved));
            }
            stage.gradients.drawn.push(y_bar);
        }
        Ok(())
    }

    /// Whether a head that is a target is the block's own, and not one drawn for the step.
    fn measures_by_own(&self) -> bool {
        self.heads.own || self.heads.drawn.is_empty()
    }

    /// Whether tangents will be measured by a head's loss, so that what it saved must stay: never where its gradient serves.
    fn measures_at(&self, block: usize, target_bar: bool) -> bool {
        self.measured && self.plan.measures[block] && !target_bar
    }

    fn evaluated(&self, loss: &dyn LossHead, y: &mut Activation, block: usize) -> (Evaluation, AnySaved) {
        loss.forward(y.written(), self.input.labels, self.pass(block).named("head"))
    }

    /// A block's guesses as they are made, one a direction, before any scaling.
    pub fn guesses(&self, window: &mut Window<'a>, block: usize) -> Directions {
        match self.given(block) {
            Some(given) => given,
            None => self.own_guess(window, block),
        }
    }

    /// A block's guess by the estimator's own guess, whatever the caller brought.
    pub fn own_guess(&self, window: &mut Window<'a>, block: usize) -> Directions {
        let gradients = self.gradients(window, block);
        let shape = window.get(block).map(|stage| stage.shape);
        self.config.guess.make(self, window, (block, shape), gradients, self.config.guess_directions())
    }

    /// The gradients that a block's guess is made of, at the block's output.
    pub fn gradients(&self, window: &mut Window<'a>, block: usize) -> Gradients {
        let Some(loss) = self.plan.guess_loss.get(block).copied().flatten() else { return Gradients::default() };
        // If no other guess will be made of them, they can be changed in place.
        let in_order = self.config.mode != Mode::Oracle && loss + 1 < self.plan.depth;
        let mut gradients = window.gradients(loss, in_order && self.plan.is_last_of_its_loss(block));
        let back = |y_bar| window.pull_back(self.view, y_bar, loss, block);
        gradients = gradients.map(back);
        if loss + 1 == self.plan.depth
            && let Some(own) = &gradients.own
        {
            // The classifier is one loss, however many heads the directions have on the way.
            gradients.drawn = vec![own.clone(); self.heads.drawn.len()];
        }
        gradients
    }

    /// Random directions: the same for the same step, however often they are drawn. `shape` is that of the block's output.
    pub fn redraw(&self, shape: Option<[usize; 4]>, block: usize) -> Directions {
        self.given(block).unwrap_or_else(|| {
            let (window, directions) = (Window::default(), self.config.directions());
            let make = || self.along.make(self, &window, (block, shape), Gradients::default(), directions);
            account::within(account::Role::Guesses, make)
        })
    }

    /// One of a block's random directions in weight space: the same as among all.
    pub fn redraw_one(&self, block: usize, direction: usize) -> ParamVector {
        match self.given(block) {
            Some(Directions::Weight(mut vectors)) => vectors.swap_remove(direction),
            _ => account::within(account::Role::Guesses, || self.along.draw_one(self, block, direction)),
        }
    }

    /// The guesses that the caller brought for a block, if any.
    fn given(&self, block: usize) -> Option<Directions> {
        self.given_under(block, (0..self.config.directions()).map(|direction| direction.to_string()))
    }

    /// The guess that the caller brought for a block to be corrected, if any.
    pub fn given_to_correct(&self, block: usize) -> Option<Directions> {
        self.given_under(block, std::iter::once(CORRECTED.to_string()))
    }

    fn given_under(&self, block: usize, names: impl Iterator<Item = String>) -> Option<Directions> {
        let given = self.input.given?;
        let directions = names.map(|name| given.scoped(&name));
        match self.config.space {
            Space::Activity => {
                let name = format!("blocks.{block}");
                let tensors: Option<_> = directions.map(|given| given.get::<4>(&name)).collect();
                tensors.map(Directions::Activity)
            }
            Space::Weight => {
                let vectors: Option<_> = directions.map(|given| self.view.of_block(block, &given)).collect();
                vectors.map(Directions::Weight)
            }
        }
    }

    /// The noise at a block's output along which the outputs' tangent is taken: brought by the caller, or drawn for the step.
    pub fn noise(&self, block: usize, shape: [usize; 4]) -> Tensor<4> {
        let given = self.input.given.and_then(|given| given.get(&noise_path(block)));
        let stream = || self.by_samples(self.stream(block).named("noise"), shape);
        given.unwrap_or_else(|| stream().normal_tensor(shape, &self.placement()))
    }

    /// Lets the guess learn what a block alone shows, once its directions are made.
    pub fn learn_block(&self, output: &mut StepOutput, window: &Window<'a>, block: usize) {
        let shape = window.get(block).map(|stage| stage.shape);
        if let (true, Some(shape)) = (self.needs.noise && self.input.collect == Collect::Everything, shape) {
            output.guesses.insert(noise_path(block), self.noise(block, shape));
        }
        self.config.guess.learn_block(self, window, (block, shape), &mut output.state);
    }

    /// The stream of a block's guesses.
    pub fn stream(&self, block: usize) -> Stream {
        Stream::new(self.input.seed, "guess").at(self.input.step).at(block as u64)
    }

    /// Where the step's tensors are.
    pub fn placement(&self) -> Placement {
        Placement::of(&self.input.images)
    }
}

/// A head's cotangents as far as wanted, and what it has saved, if tangents will be measured by it; else that goes on the way.
fn head_cotangent(head: &dyn LossHead, saved: AnySaved, wanted: Wanted, keeps: bool) -> (Cotangent, Option<AnySaved>) {
    if !(wanted.input || wanted.parameters) {
        return (Cotangent::default(), keeps.then_some(saved));
    }
    match keeps {
        true => (head.cotangent(&saved, wanted), Some(saved)),
        false => (head.cotangent_once(saved, wanted), None),
    }
}
