//! A batch in equal parts, one after the other or on several processes: what a part is told, and the step made of all of them.
//!
//! With `P` parts of `n / P` samples the update is the mean of the parts' updates: guesses, scalars and batch statistics are each part's own
//! (ghost batch norm), so that memory is that of one part. What belongs to the step is shared: weights, the state (read by all parts as it
//! was before the step; the next is the mean of what each part makes of it), directions and heads drawn by seed and step. Draws with a
//! sample axis go by the sample's place in the whole batch.
//!
//! Where guesses do not depend on the batch, a slot's target enters by its scalars alone, so that these are averaged, and the update is made
//! once: `mean_p <t_p, G_d>` is all that a part has to tell of it. (For a combination that is linear in the scalars that is the mean of the
//! parts' updates; max and selection see the mean scalar, as one large batch would.)
//!
//! Sums follow one binary tree over the parts' numbers ([`Tree`]), so that processes with `2^m` consecutive parts each, whatever their
//! number, give the bits of a single one.
//!
//! Source: ghost batch norm after Hoffer et al., *Train longer, generalize better* (2017).

use burn::tensor::Tensor;

use super::engine::Engine;
use super::sum::Sum;
use super::{Collect, EstimatorConfig, EstimatorState, Space, StepInput, StepOutput, step};
use crate::losses::Labels;
use crate::models::Network;
use crate::rng::Stream;
use crate::{Error, Result};

/// A part of a batch, by its place among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MicroBatch {
    /// Its number, from 0.
    pub index: usize,
    /// The number of parts, of all processes.
    pub count: usize,
}

impl MicroBatch {
    /// A batch that is not cut.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether there is no other part.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Refuses to look into guesses and targets of a part: they are not those of the step.
    pub(super) fn validate(self, collect: Collect) -> Result<()> {
        if self.index >= self.count {
            let expected = format!("below their number, {}", self.count);
            return Err(Error::out_of_range("the number of a micro-batch", self.index, expected));
        }
        if self.is_whole() || collect == Collect::Nothing {
            return Ok(());
        }
        let reason = "guesses and targets are each micro-batch's own, so the step has none to show";
        Err(Error::meaningless(reason, "`micro-batches = 1`"))
    }
}

impl Default for MicroBatch {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// Sums in the order of one binary tree over the terms' numbers, made as the terms come: at most one sum a level waits.
///
/// ```
/// use foregrad::estimate::Tree;
/// let tree = ["a", "b", "c", "d", "e"].into_iter().fold(Tree::default(), |tree, term| {
///     tree.with(term.to_string(), |left, right| format!("({left}{right})"))
/// });
/// assert_eq!(tree.total(|left, right| format!("({left}{right})")).as_deref(), Some("(((ab)(cd))e)"));
/// ```
#[derive(Debug)]
pub struct Tree<T> {
    /// Sums of `2^level` terms, the first terms' first.
    waiting: Vec<(u32, T)>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { waiting: Vec::new() }
    }
}

impl<T> Tree<T> {
    /// With one more term; `add` takes the sum of earlier terms first.
    pub fn with(mut self, mut term: T, add: impl Fn(T, T) -> T) -> Self {
        let mut level = 0;
        while let Some((_, earlier)) = self.waiting.pop_if(|(own, _)| *own == level) {
            term = add(earlier, term);
            level += 1;
        }
        self.waiting.push((level, term));
        self
    }

    /// The sum of all terms; none without any.
    pub fn total(self, add: impl Fn(T, T) -> T) -> Option<T> {
        self.waiting.into_iter().map(|(_, sum)| sum).rev().reduce(|later, earlier| add(earlier, later))
    }
}

/// One step of a batch in `count` equal parts, one after the other; with one it is [`step`].
///
/// # Errors
/// As [`step`]; a number of parts that does not divide the batch; guesses and targets that are asked for of several parts.
pub fn step_in_parts(
    config: &EstimatorConfig,
    network: &Network,
    input: &StepInput<'_>,
    count: usize,
    state: &EstimatorState,
) -> Result<StepOutput> {
    if count == 1 {
        return step(config, network, input, state);
    }
    sum_of_parts(config, network, input, (MicroBatch { index: 0, count }, count), state)?
        .finish(config, network, input, state)
}

/// The sum of the `own` consecutive parts that `input` is cut into, of which `first` is the first among all parts of the whole batch.
///
/// # Errors
/// As [`step_in_parts`].
pub fn sum_of_parts(
    config: &EstimatorConfig,
    network: &Network,
    input: &StepInput<'_>,
    (first, own): (MicroBatch, usize),
    state: &EstimatorState,
) -> Result<Sum> {
    let samples = input.images.dims()[0];
    if own == 0 || !samples.is_multiple_of(own) {
        let expected = format!("a number that divides the {samples} samples");
        return Err(Error::out_of_range("micro-batches", own, expected));
    }
    if first.count < 2 {
        let expected = "at least 2: one part alone is a step";
        return Err(Error::out_of_range("the number of all parts", first.count, expected));
    }
    let each = samples / own;
    let mut tree = Tree::default();
    for part in 0..own {
        let (images, labels) = cut(input, part * each, each);
        let micro_batch = MicroBatch { index: first.index + part, ..first };
        let input = StepInput { images, labels: &labels, micro_batch, ..input.clone() };
        tree = tree.with(Sum::of(step(config, network, &input, state)?, config), Sum::plus);
    }
    Ok(tree.total(Sum::plus).expect("at least one part"))
}

/// Some consecutive samples of a batch.
fn cut(input: &StepInput<'_>, first: usize, count: usize) -> (Tensor<4>, Labels) {
    (input.images.clone().narrow(0, first, count), input.labels.of_samples(first..first + count))
}

impl EstimatorConfig {
    /// Whether guesses are the same for every part of a batch, so that their scalars alone tell of a part.
    pub fn shares_guesses(&self) -> bool {
        let support = self.along().support();
        self.space == Space::Weight && self.correct.is_none() && support.is_shared && self.is_measured()
    }
}

impl Engine<'_> {
    /// A stream whose draws are one sample's after another's, as far as these samples' own: a sample draws the same in whatever part of a batch
    /// it stands.
    pub fn by_samples(&self, stream: Stream, [_, each @ ..]: [usize; 4]) -> Stream {
        stream.after(self.input.first_sample() * each.iter().product::<usize>())
    }

    /// Whether scalars wait for those of the batch's other parts.
    pub fn awaits(&self) -> bool {
        !self.input.micro_batch.is_whole() && self.config.shares_guesses()
    }
}
