//! The error at the network's outputs, fed back to each block by a matrix of its own: `e_i B_j`, a direction at the block's output.
//!
//! `e_i` is the gradient of sample `i`'s part of the network's loss at the outputs `z_i`, and `B_j`, `[outputs, c, h, w]`, stands for the
//! Jacobian of the outputs with respect to block `j`'s. What the matrix follows, and how:
//! ```text
//! jacobian         G = B - mean_i d_i (x) p_ij      d_i = z_dot_i along gaussian noise p_i1, p_i2, ... at all blocks' outputs at once
//! kolen-pollack    G = sum_i e_i (x) y_ij           as the weights of a last layer on y_j would move
//! mean             B <- B - a (G + w B)
//! adam             B <- B - a Adam(G + w B)
//! ```
//! with the rate `a` and the decay `w`. `E[p_ik p_ij^T]` is 1 for `k = j` and 0 otherwise, so that `d_i (x) p_ij` has the expectation
//! `d z_i / d y_ij`, and `B` by `mean` is a running mean of these; one that begins at zero is corrected for its beginning,
//! `a_t = a / (1 - (1 - a)^t)`. Where batch norm couples samples, their cross terms are noise of mean zero.
//!
//! The error exists only at the end, so that trunk and classifier are rehearsed once. Directions are made of `B` before its step. Of the
//! same form are:
//! ```text
//! forward gradients by feedback   source error, follows jacobian          (start zero, rule adam, rate 1e-4 in the published code)
//! direct feedback alignment       source error, start uniform, rate 0
//! direct random target projection source label, start uniform, rate 0     known while at the block: no rehearsal
//! direct Kolen-Pollack            source error, follows kolen-pollack     (start zero, rule adam, rate 1e-4, decay 1e-6)
//! ```
//! With `label` the wanted outputs stand for the error: `e_i = - t_i / n`, which is its part that does not depend on the outputs. The
//! published code has the other sign, which a matrix symmetric about zero does not see.
//!
//! Source: Bacho & Chu, *Low-variance forward gradients using direct feedback alignment and momentum* (2024) and its code (FDFA); Nøkland,
//! *Direct feedback alignment provides learning in deep neural networks* (2016); Frenkel et al., *Learning without feedback: fixed random
//! learning signals allow for feedforward training of deep neural networks* (2021); Webster et al., *Learning the connections in direct
//! feedback alignment* (2021). Theirs follow every layer's output, ours the blocks'.

use burn::tensor::Tensor;

use super::{Context, Directions, Gradients, Guess, Needs, Support};
use crate::estimate::{EstimatorConfig, EstimatorState};
use crate::losses::LabelKind;
use crate::optim::{Optimizer, OptimizerConfig, OptimizerKind};
use crate::vector::ParamVector;
use crate::{Error, Result, names, ops, settings};

names! {
    /// What the guess `feedback` feeds back.
    "source of feedback" pub enum FeedbackSource {
        /// The gradient at the network's outputs.
        Error = "error",
        /// The wanted outputs, which are known at once (direct random target projection).
        Label = "label",
    }
}

names! {
    /// What the matrices of the guess `feedback` begin as.
    "start of feedback" pub enum FeedbackStart {
        /// Zero.
        Zero = "zero",
        /// Uniform numbers within sqrt(6 / (c h w)).
        Uniform = "uniform",
    }
}

names! {
    /// What the matrices of the guess `feedback` follow.
    "aim of feedback" pub enum FeedbackFollows {
        /// The Jacobian of the outputs, from their tangent along noise.
        Jacobian = "jacobian",
        /// The weights that a last layer on the block's output would have (direct Kolen-Pollack).
        KolenPollack = "kolen-pollack",
    }
}

names! {
    /// The rule by which the matrices of the guess `feedback` move.
    "rule of feedback" pub enum FeedbackRule {
        /// By the rate times the gradient: of what they follow, a running mean.
        Mean = "mean",
        /// By Adam's step along the gradient.
        Adam = "adam",
    }
}

settings! {
    /// Settings of the guess `feedback`.
    pub struct FeedbackConfig {
        /// What the guess `feedback` feeds back to the blocks.
        source: FeedbackSource = FeedbackSource::Error => flag("guess-feedback-source", "NAME"),
        /// What its matrices begin as.
        start: FeedbackStart = FeedbackStart::Zero => flag("guess-feedback-start", "NAME"),
        /// What its matrices follow.
        follows: FeedbackFollows = FeedbackFollows::Jacobian => flag("guess-feedback-follows", "NAME"),
        /// The rule by which its matrices move.
        rule: FeedbackRule = FeedbackRule::Adam => flag("guess-feedback-rule", "NAME"),
        /// The rate of that rule; 0 keeps the matrices as they begin.
        rate: f64 = 1e-4 => flag("guess-feedback-rate", "A"),
        /// Pull of its matrices towards 0.
        decay: f64 = 0.0 => flag("guess-feedback-decay", "W"),
    }
}

impl FeedbackConfig {
    /// Refuses settings outside their ranges, whichever guess is chosen.
    pub(in crate::estimate) fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.rate) {
            let place = "estimator.guesses.feedback.rate";
            return Err(Error::out_of_range(place, self.rate, "a number from 0 to 1"));
        }
        if !(self.decay.is_finite() && self.decay >= 0.0) {
            let place = "estimator.guesses.feedback.decay";
            return Err(Error::out_of_range(place, self.decay, "a number not below 0"));
        }
        Ok(())
    }

    fn follows(&self, aim: FeedbackFollows) -> bool {
        self.rate > 0.0 && self.follows == aim
    }

    /// The rate of a step, from 1.
    fn rate_at(&self, step: f64) -> f64 {
        let is_mean = self.rule == FeedbackRule::Mean && self.follows == FeedbackFollows::Jacobian;
        if is_mean && self.start == FeedbackStart::Zero {
            return self.rate / -(step * (-self.rate).ln_1p()).exp_m1();
        }
        self.rate
    }

    /// One step of a block's matrix along a gradient; what the rule carries is in `state`, beside the matrix.
    fn step(&self, state: &mut EstimatorState, path: &str, before: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
        let kind = match self.rule {
            FeedbackRule::Mean => OptimizerKind::Sgd,
            FeedbackRule::Adam => OptimizerKind::Adam,
        };
        let mut rule =
            Optimizer::new(&OptimizerConfig { kind, momentum: 0.0, weight_decay: self.decay, ..Default::default() });
        let steps = state.numbers.entry(format!("steps.{path}")).or_default();
        rule.restore(&state.tensors, &[(path.to_string(), *steps as usize)].into());
        *steps += 1.0;
        let only = |tensor| {
            let mut vector = ParamVector::default();
            vector.insert::<4>(path, tensor);
            vector
        };
        let after = rule.step(self.rate_at(*steps), &only(before), &only(gradient));
        state.tensors.extend(rule.tensors());
        after.get(path).expect("a matrix with a gradient")
    }
}

/// The guess `feedback`.
#[derive(Debug)]
pub(super) struct Feedback;

impl Guess for Feedback {
    fn name(&self) -> &str {
        "feedback"
    }

    fn about(&self) -> &str {
        "the error at the network's outputs, fed back by a matrix a block that is learnt forward"
    }

    fn support(&self) -> Support {
        Support { is_gradient: true, ..Support::SINGLE }
    }

    fn needs(&self, config: &EstimatorConfig) -> Needs {
        let settings = &config.guesses.feedback;
        Needs {
            error: settings.source == FeedbackSource::Error,
            noise: settings.follows(FeedbackFollows::Jacobian),
            output: settings.follows(FeedbackFollows::KolenPollack),
            ..Needs::default()
        }
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        let shape @ [samples, channels, height, width] = context.output_shape(context.block());
        let error = fed_back(context);
        let [_, outputs] = error.dims();
        let matrix = matrix(context).reshape([outputs, channels * height * width]);
        debug_assert_eq!(error.dims()[0], samples, "a row a sample");
        context.in_space([ops::matmul(error, matrix).reshape(shape)])
    }

    fn learn_block(&self, context: &Context<'_, '_>, state: &mut EstimatorState) {
        let settings = &context.config().guesses.feedback;
        let (before, path) = (matrix(context), path(context.block()));
        let after = match settings.follows {
            _ if settings.rate == 0.0 => before,
            FeedbackFollows::Jacobian => {
                let samples = context.labels().len() as f64;
                let estimate = outer(context.outputs_along_noise(), context.noise()).div_scalar(samples);
                settings.step(state, &path, before.clone(), before - estimate)
            }
            FeedbackFollows::KolenPollack => {
                let gradient = outer(fed_back(context), context.output());
                settings.step(state, &path, before, gradient)
            }
        };
        state.tensors.insert(path, after);
    }

    fn validate(&self, config: &EstimatorConfig) -> Result<()> {
        let FeedbackConfig { start, rate, .. } = config.guesses.feedback;
        if start == FeedbackStart::Zero && rate == 0.0 {
            let nearest = "`estimator.guesses.feedback.start = uniform`, or `estimator.guesses.feedback.rate = 1e-4`";
            return Err(Error::meaningless("feedback that begins at zero and never learns stays zero", nearest));
        }
        Ok(())
    }

    fn validate_state(&self, state: &EstimatorState, outputs: &[[usize; 3]], labels: LabelKind) -> Result<()> {
        for (block, [channels, height, width]) in outputs.iter().enumerate() {
            let shape = [labels.outputs(), *channels, *height, *width];
            let flat = [shape.iter().product()];
            let path = path(block);
            for (place, wanted) in [("", &shape[..]), ("moment_1.", &flat), ("moment_2.", &flat)] {
                let Some(entry) = state.tensors.entry(&format!("{place}{path}")) else { continue };
                if entry.shape() != wanted {
                    let found = format!("of shape {:?}", entry.shape());
                    let expected = format!("shape {wanted:?}; feedback is for outputs of one size");
                    return Err(Error::out_of_range(
                        format!("the state guess.feedback.{place}{path}"),
                        found,
                        expected,
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The place of a block's matrix in the state.
fn path(block: usize) -> String {
    format!("blocks.{block}")
}

/// What is fed back, a row a sample.
fn fed_back(context: &Context<'_, '_>) -> Tensor<2> {
    match context.config().guesses.feedback.source {
        FeedbackSource::Error => context.error(),
        FeedbackSource::Label => {
            let labels = context.labels();
            labels.rows(&context.placement()).div_scalar(-(labels.len() as f64))
        }
    }
}

/// A block's matrix before the step, `[outputs, c, h, w]`.
fn matrix(context: &Context<'_, '_>) -> Tensor<4> {
    context.state().tensors.get(&path(context.block())).unwrap_or_else(|| {
        let [_, channels, height, width] = context.output_shape(context.block());
        let shape @ [outputs, ..] = [context.labels().kind().outputs(), channels, height, width];
        let features = channels * height * width;
        match context.config().guesses.feedback.start {
            FeedbackStart::Zero => context.placement().zeros(shape),
            FeedbackStart::Uniform => {
                let bound = (6.0 / features as f64).sqrt();
                let values = context.kept_stream().named("feedback").uniform(outputs * features, -bound, bound);
                context.placement().tensor(values, shape)
            }
        }
    })
}

/// `sum_i a_i (x) b_i`.
fn outer(a: Tensor<2>, b: Tensor<4>) -> Tensor<4> {
    let ([_, outputs], [samples, channels, height, width]) = (a.dims(), b.dims());
    let b = b.reshape([samples, channels * height * width]);
    ops::matmul(a.transpose(), b).reshape([outputs, channels, height, width])
}
