//! Finite differences: the derivative along a direction from two losses, the weights moved to either side. It is what forward mode has to
//! beat.
//!
//! ```text
//! <grad l, G> ~ (l(theta + s G) - l(theta - s G)) / (2 s)        s = eps sqrt(D) / |G|
//! ```
//! With `D` weights that move, the displacement `s G` is `eps sqrt(D)` long for every kind of direction: a weight moves by `eps`, root mean
//! square. In smooth networks the error is of order `eps^2`; the rounding of the losses, divided by `eps`, comes beside it.
//!
//! Both sides draw the same dropout; each has its own batch statistics, and the moving averages take the mean of all sides. Moved weights are
//! copies, of one block at a time; the network's own are never written. No more than one layer's activations are
//! alive in a pass with moved weights.
//!
//! What else a step needs is one more pass, at `theta` itself: guesses that are gradients of heads, heads that learn, the exact gradient
//! of the last block.
//!
//! Source: Spall, *Multivariate stochastic approximation using a simultaneous perturbation gradient approximation* (1992); Malladi et al.
//! (2023), MeZO, for networks, there with `s = eps` and gaussian directions, whose length is `sqrt(D)` nearly.

use std::collections::BTreeMap;

use burn::tensor::DType;

use super::engine::Engine;
use super::finish::Kept;
use super::guess::Directions;
use super::merged::finish_network;
use super::stage::Window;
use super::{EstimatorConfig, Granularity, Mode, Space, StepOutput, View};
use crate::layers::{Activation, Dual};
use crate::models::Evaluation;
use crate::vector::ParamVector;
use crate::{Error, Result};

/// A step by finite differences.
pub struct Differences<'a> {
    engine: Engine<'a>,
    output: StepOutput,
    kept: BTreeMap<usize, Kept>,
    /// `|G_d|^2`, over the blocks whose directions are known.
    squares: Vec<f64>,
    sides: Sides,
}

/// What the passes with moved weights have seen.
#[derive(Default)]
struct Sides {
    evaluations: Vec<Evaluation>,
    /// The sum of their batch statistics.
    statistics: ParamVector,
}

impl<'a> Differences<'a> {
    /// One whole step.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn run(engine: Engine<'a>) -> Result<StepOutput> {
        let (output, directions) = (engine.output(), engine.config.directions());
        let (kept, squares, sides) = (BTreeMap::new(), vec![0.0; directions], Sides::default());
        let mut own = Self { engine, output, kept, squares, sides };
        own.look()?;
        let b = (0..directions).map(|direction| own.derivative(direction)).collect::<Result<Vec<f64>>>()?;
        own.note_sides();
        let kept = std::mem::take(&mut own.kept);
        finish_network(&own.engine, &mut own.output, kept, &b);
        Ok(own.output)
    }

    /// All directions, and whatever else needs the network at `theta`.
    fn look(&mut self) -> Result<()> {
        let (plan, is_random) = (&self.engine.plan, self.engine.config.guess.support().is_random);
        let (depth, estimates_classifier) = (plan.depth, plan.estimates_classifier());
        if is_random && estimates_classifier && !plan.trains.contains(&true) {
            (0..depth).for_each(|block| self.take(block, &mut Window::default()));
        } else {
            self.pass_at_rest(is_random)?;
        }
        if estimates_classifier {
            self.take(depth, &mut Window::default());
        }
        Ok(())
    }

    /// A pass at `theta`: heads, guesses, the exact gradients of last block and classifier.
    fn pass_at_rest(&mut self, is_random: bool) -> Result<()> {
        let (mut window, mut x) = (Window::default(), Activation::from(self.engine.input.images.clone()));
        let depth = self.engine.plan.depth;
        for block in 0..depth {
            self.engine.input.check_stop()?;
            let (stage, y) = if is_random && block + 1 < depth {
                let (stage, y, _) = self.engine.dual_stage(&mut self.output, block, x, None, &[])?;
                (stage, y)
            } else {
                self.engine.stage(&mut self.output, block, x, false)?
            };
            window.push(stage);
            let ready: Vec<usize> = self.engine.plan.ready_at(block).collect();
            ready.into_iter().for_each(|guessed| self.take(guessed, &mut window));
            window.keep_last(self.engine.plan.lag);
            x = y;
        }
        Ok(())
    }

    /// A block's directions: measured, and kept or drawn again.
    fn take(&mut self, block: usize, window: &mut Window<'a>) {
        let prepared = self.engine.prepare(&mut self.output, window, block);
        let Directions::Weight(vectors) = &prepared.directions else { panic!("weight space has weight directions") };
        self.squares.iter_mut().zip(vectors).for_each(|(square, vector)| *square += vector.dot(vector));
        let kept = self.engine.keep(prepared, window.get(block));
        self.kept.insert(block, kept);
    }

    /// `<grad l, G_d>` from both sides; 0 of a direction that is zero.
    fn derivative(&mut self, direction: usize) -> Result<f64> {
        let norm = self.squares[direction].sqrt();
        let dimension: usize = self.kept.values().map(Kept::dimension).sum();
        let step = self.engine.config.difference(self.engine.placement().dtype);
        let along = if norm == 0.0 { 0.0 } else { step * (dimension as f64).sqrt() / norm };
        let above = self.loss(direction, along)?;
        let below = self.loss(direction, -along)?;
        Ok(if along == 0.0 { 0.0 } else { (above - below) / (2.0 * along) })
    }

    /// The network's loss with its weights moved by `along G_d`.
    fn loss(&mut self, direction: usize, along: f64) -> Result<f64> {
        let (engine, depth) = (&self.engine, self.engine.plan.depth);
        let mut statistics = std::mem::take(&mut self.sides.statistics);
        let mut x = Activation::from(engine.input.images.clone());
        for block in 0..depth {
            engine.input.check_stop()?;
            let own = engine.view.blocks[block];
            let moved =
                self.moved(block, direction, along).map(|moved| own.reassigned(&moved).expect("a block to copy"));
            let dual = moved.as_deref().unwrap_or(own).dual(x, None, &[], engine.pass(block));
            let Dual { y, statistics: of_block, .. } = dual;
            statistics = statistics.axpy(1.0, &engine.view.globalised(block, of_block));
            x = y;
        }
        let own = engine.view.loss(depth - 1);
        let moved = self.moved(depth, direction, along).map(|moved| own.reassigned(&moved).expect("a loss to copy"));
        let classifier = moved.as_deref().unwrap_or(own);
        let (evaluation, saved) =
            classifier.forward(x.into_tensor(), engine.input.labels, engine.pass(depth - 1).named("head"));
        self.sides.statistics = statistics.axpy(1.0, &classifier.statistics(&saved));
        self.sides.evaluations.push(evaluation);
        Ok(evaluation.loss)
    }

    /// The weights of a block, or of the classifier, moved by `along G_d`; none where they stay.
    fn moved(&self, block: usize, direction: usize, along: f64) -> Option<ParamVector> {
        let kept = self.kept.get(&block)?;
        let vector = match kept.directions() {
            Some(Directions::Weight(vectors)) => vectors[direction].clone(),
            _ => self.engine.redraw_one(block, direction),
        };
        Some(self.engine.view.parameters(block).axpy(along, &vector))
    }

    /// The mean of all sides' batch statistics, and of their losses where there was no pass at `theta`.
    fn note_sides(&mut self) {
        let Sides { evaluations, statistics } = std::mem::take(&mut self.sides);
        let share = 1.0 / evaluations.len() as f64;
        self.output.statistics.extend(statistics.scaled(share));
        let mean = |of: &dyn Fn(&Evaluation) -> f64| evaluations.iter().map(of).sum::<f64>() * share;
        let mut all = evaluations[0];
        all.loss = mean(&|side| side.loss);
        if let Some(metric) = &mut all.metric {
            metric.sum = mean(&|side| side.metric.map_or(0.0, |metric| metric.sum));
        }
        self.output.evaluations.last_mut().expect("at least one block").get_or_insert(all);
    }
}

impl EstimatorConfig {
    /// How far a weight is moved, root mean square: as chosen, else between two errors.
    ///
    /// A rectifier that switches on the way makes an error of the order of the step itself, or worse. Of fresh small networks with batch norm
    /// the derivative was wrong by 12 to 40 % with MeZO's step of 1e-3 (for smooth networks in 16 bits), by 2 to 13 % with 1e-4, by 0.3 to 3 %
    /// with 1e-5. There the rounding of losses in `f32` begins to show, and in training, with smaller gradients, shows more.
    fn difference(&self, dtype: DType) -> f64 {
        self.finite_difference_step.unwrap_or(if dtype == DType::F64 { 1e-6 } else { 1e-4 })
    }

    /// Refuses what finite differences have no meaning with.
    pub(super) fn validate_differences(&self, losses: usize) -> Result<()> {
        if let Some(step) = self.finite_difference_step.filter(|step| !(*step > 0.0 && step.is_finite())) {
            return Err(Error::out_of_range("estimator.finite-difference-step", step, "a number above 0, or `off`"));
        }
        let refuse = |reason: &str, nearest: String| Err(Error::meaningless(reason, nearest));
        if self.mode != Mode::FiniteDifference {
            let nearest = "`estimator.mode = finite-difference`, or `estimator.finite-difference-step = off`";
            let is_unused = self.finite_difference_step.is_some();
            return if is_unused { refuse("no weight is moved by that step", nearest.into()) } else { Ok(()) };
        }
        let instead = |nearest: &str| format!("{nearest}, or `estimator.mode = forward`");
        if self.space != Space::Weight {
            return refuse("finite differences move weights, not outputs", instead("`estimator.space = weight`"));
        }
        if !self.target.is_global(losses) {
            let reason = "finite differences are of the network's loss, so the target must be global";
            return refuse(reason, instead("`estimator.target = global`"));
        }
        if self.mix.is_some() {
            return refuse(
                "finite differences know one slot, so there is nothing to mix",
                instead("`estimator.mix = off`"),
            );
        }
        if self.granularity() != Granularity::Network {
            let reason = "finite differences move all weights at once, so the network is one slot";
            return refuse(reason, instead("`estimator.granularity = network`"));
        }
        if self.guess.support().is_target {
            let reason = "the exact target needs no difference";
            return refuse(reason, "`estimator.guess = gaussian`, or `estimator.mode = oracle`".into());
        }
        Ok(())
    }

    /// Refuses a view whose parts cannot be copied with other weights, where the estimator needs copies.
    pub(super) fn validate_copies(&self, view: &View<'_>) -> Result<()> {
        let moves = self.mode == Mode::FiniteDifference;
        if !moves && !self.guess.needs(self).copies {
            return Ok(());
        }
        let nothing = ParamVector::default();
        if let Some(block) = view.blocks.iter().position(|block| block.reassigned(&nothing).is_none()) {
            let reason = format!("block {block} cannot be copied with other weights");
            let nearest = match moves {
                true => "`estimator.mode = forward`, or blocks with `Layer::reassigned`",
                false => "`estimator.guesses.upstream.weights = own`, or blocks with `Layer::reassigned`",
            };
            return Err(Error::meaningless(reason, nearest));
        }
        let estimates_classifier = moves && self.last_block == super::LastBlock::Estimated;
        if estimates_classifier && view.loss(view.depth() - 1).reassigned(&nothing).is_none() {
            let nearest = "`estimator.last-block = exact`, or a classifier with `LossHead::reassigned`";
            return Err(Error::meaningless("the classifier cannot be copied with other weights", nearest));
        }
        Ok(())
    }
}
