//! What a guess is made from: the network with the blocks that have been passed, and the step's streams. Nothing of it can be changed.

use std::ops::Range;

use burn::tensor::Tensor;

use super::Guess;
use crate::account;
use crate::estimate::engine::Engine;
use crate::estimate::rehearsal::Rehearsal;
use crate::estimate::stage::Window;
use crate::estimate::{EstimatorConfig, EstimatorState, Space};
use crate::layers::Wanted;
use crate::losses::Labels;
use crate::rng::{Placement, Stream};
use crate::vector::{ParamTensor, ParamVector};

/// Said to a guess that reads what it has not asked for.
const NOT_ASKED: &str = "a guess is given what `Guess::needs` asks for";

/// The directions of one block: one vector, or one tensor at its output, a direction.
#[derive(Debug, Clone)]
pub enum Directions {
    /// In the block's parameters, by its own paths.
    Weight(Vec<ParamVector>),
    /// At the block's output, `[n, c, h, w]`.
    Activity(Vec<Tensor<4>>),
}

impl Directions {
    /// How many there are.
    pub(in crate::estimate) fn len(&self) -> usize {
        match self {
            Directions::Weight(vectors) => vectors.len(),
            Directions::Activity(tensors) => tensors.len(),
        }
    }

    /// Makes their arrays an owner's.
    pub(in crate::estimate) fn give(&self, owner: impl Into<account::Owner>) {
        let owner = owner.into();
        match self {
            Directions::Weight(vectors) => vectors.iter().for_each(|vector| account::give_vector(vector, owner)),
            Directions::Activity(tensors) => tensors.iter().for_each(|tensor| account::give(tensor, owner)),
        }
    }

    /// The space that they are in.
    pub(in crate::estimate) fn space(&self) -> Space {
        match self {
            Directions::Weight(_) => Space::Weight,
            Directions::Activity(_) => Space::Activity,
        }
    }

    /// Adds directions of the same space.
    pub(super) fn extend(&mut self, more: Directions) {
        match (self, more) {
            (Directions::Weight(all), Directions::Weight(more)) => all.extend(more),
            (Directions::Activity(all), Directions::Activity(more)) => all.extend(more),
            _ => unreachable!("each guess was seen to be in the estimate's space"),
        }
    }
}

/// The gradients of a loss that a guess is made of, `[n, c, h, w]`.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the network's own head.
    pub own: Option<Tensor<4>>,
    /// Of the heads drawn for the step, in the order in which they were asked for. The classifier is never drawn: its own gradient
    /// stands for each.
    pub drawn: Vec<Tensor<4>>,
}

impl Gradients {
    /// Each with `f` applied.
    pub(in crate::estimate) fn map(self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        Self { own: self.own.map(&f), drawn: self.drawn.into_iter().map(f).collect() }
    }
}

/// What a block's guess is made from.
#[derive(Clone)]
pub struct Context<'c, 'a> {
    engine: &'c Engine<'a>,
    window: &'c Window<'a>,
    block: usize,
    /// Of the block's output, also where its stage is no longer in the window.
    shape: Option<[usize; 4]>,
    /// The guess, whose own part of the state is seen.
    guess: &'c dyn Guess,
    directions: Range<usize>,
}

impl<'c, 'a> Context<'c, 'a> {
    pub(in crate::estimate) fn new(
        engine: &'c Engine<'a>,
        window: &'c Window<'a>,
        (block, shape): (usize, Option<[usize; 4]>),
        (guess, directions): (&'c dyn Guess, Range<usize>),
    ) -> Self {
        Self { engine, window, block, shape, guess, directions }
    }

    /// The block, from 0; the number after the last stands for the classifier (only random guesses are asked for it).
    pub fn block(&self) -> usize {
        self.block
    }

    /// The places of the wanted directions among all of the slot's: the index of a random direction's stream.
    pub fn directions(&self) -> Range<usize> {
        self.directions.clone()
    }

    /// The estimator.
    pub fn config(&self) -> &'a EstimatorConfig {
        self.engine.config
    }

    /// What [`Guess::learn`] has left, by the guess's own paths.
    pub fn state(&self) -> EstimatorState {
        self.engine.state.of_guess(self.guess.name())
    }

    /// The stream of this step's and block's guesses.
    pub fn stream(&self) -> Stream {
        self.engine.stream(self.block)
    }

    /// A stream of which every sample draws the same in whatever part of a batch it stands, for a tensor of this part's samples.
    pub fn by_samples(&self, stream: Stream, shape: [usize; 4]) -> Stream {
        self.engine.by_samples(stream, shape)
    }

    /// Where the step's tensors are.
    pub fn placement(&self) -> Placement {
        self.engine.placement()
    }

    /// The stream of this block's guesses that is the same at every step of the run.
    pub fn kept_stream(&self) -> Stream {
        Stream::new(self.engine.input.seed, "guess").named("kept").at(self.block as u64)
    }

    /// What is wanted of the batch's outputs.
    pub fn labels(&self) -> &'a Labels {
        self.engine.input.labels
    }

    /// The gradient of the network's loss at the network's outputs, `[n, outputs]`, row `i` that of `l_i / n`.
    ///
    /// # Panics
    /// If [`Guess::needs`] does not ask for it.
    pub fn error(&self) -> Tensor<2> {
        self.rehearsal().error.clone()
    }

    /// The tangent of the network's outputs, `[n, outputs]`, along gaussian noise at the outputs of all blocks that are estimated at once.
    ///
    /// # Panics
    /// If [`Guess::needs`] does not ask for the noise.
    pub fn outputs_along_noise(&self) -> Tensor<2> {
        self.rehearsal().along_noise.clone().expect(NOT_ASKED)
    }

    /// The noise at this block's output, `[n, c, h, w]`.
    pub fn noise(&self) -> Tensor<4> {
        self.engine.noise(self.block, self.output_shape(self.block))
    }

    /// The block's output, `[n, c, h, w]`.
    ///
    /// # Panics
    /// If [`Guess::needs`] does not ask for it.
    pub fn output(&self) -> Tensor<4> {
        self.window.stage(self.block).y.clone().expect(NOT_ASKED)
    }

    fn rehearsal(&self) -> &'c Rehearsal {
        self.engine.rehearsal.as_ref().expect(NOT_ASKED)
    }

    /// The block's parameters, by its own paths.
    pub fn parameters(&self) -> ParamVector {
        self.engine.view.parameters(self.block)
    }

    /// The block's part of a vector that has the network's paths: by the block's own paths, zero where the vector has nothing; none if
    /// it holds none of them.
    pub fn of_block(&self, vector: &ParamVector) -> Option<ParamVector> {
        self.engine.view.of_block(self.block, vector)
    }

    /// The block's part of the optimiser's momentum buffer.
    pub fn buffer(&self) -> Option<ParamVector> {
        self.of_block(self.engine.input.momentum?)
    }

    /// The shape of the output of a block that has been passed.
    ///
    /// # Panics
    /// If it has not been passed, or no longer is in memory: see [`Guess::ready`].
    pub fn output_shape(&self, block: usize) -> [usize; 4] {
        match self.shape {
            Some(shape) if block == self.block => shape,
            _ => self.window.stage(block).shape,
        }
    }

    /// Directions drawn from this block's stream, in the space of the estimate.
    pub fn drawn(&self, draw: impl Fn(Stream, &[usize], &Placement) -> ParamTensor) -> Directions {
        match self.config().space {
            Space::Weight => {
                Directions::Weight(self.directions().map(|direction| self.drawn_weights(direction, &draw)).collect())
            }
            Space::Activity => {
                let (shape, stream) = (self.output_shape(self.block), self.stream().named("activity"));
                let stream = |direction| self.by_samples(stream.at(direction as u64), shape);
                let tensor = |direction| draw(stream(direction), &shape, &self.placement()).tensor();
                Directions::Activity(self.directions().map(tensor).collect())
            }
        }
    }

    /// One direction in the block's parameters, drawn from its stream.
    pub fn drawn_weights(
        &self,
        direction: usize,
        draw: impl Fn(Stream, &[usize], &Placement) -> ParamTensor,
    ) -> ParamVector {
        let stream = self.stream();
        self.parameters()
            .drawn_like(|path, shape, placement| draw(stream.named(path).at(direction as u64), shape, placement))
    }

    /// A cotangent at the output of block `from`, pulled back to this block's output.
    ///
    /// # Panics
    /// If block `from` has not been passed: see [`Guess::ready`].
    pub fn pulled_back(&self, y_bar: Tensor<4>, from: usize) -> Tensor<4> {
        self.window.pull_back(self.engine.view, y_bar, from, self.block)
    }

    /// Cotangents at the output of block `from`, pulled back to this block's output through copies of the blocks between, in which `weight` of
    /// a matrix and the number of its groups stands for every matrix ([`Layer::matrices`](crate::layers::Layer::matrices)).
    ///
    /// # Panics
    /// If block `from` has not been passed, or if a block cannot be copied: see [`Guess::ready`], [`Guess::needs`].
    pub fn pulled_back_with(
        &self,
        mut y_bars: Vec<Tensor<4>>,
        from: usize,
        weight: impl Fn(&ParamTensor, usize) -> ParamTensor,
    ) -> Vec<Tensor<4>> {
        for block in (self.block + 1..=from).rev() {
            let (own, saved) = (self.engine.view.blocks[block], &self.window.stage(block).saved);
            let (parameters, mut replaced) = (own.parameters(), ParamVector::default());
            for (path, groups) in own.matrices() {
                let matrix = parameters.entry(&path).expect("a matrix is a parameter");
                replaced.insert_entry(path, weight(matrix, groups));
            }
            let copy = own.reassigned(&replaced).expect("a block that can be copied");
            let back = |y_bar| copy.cotangent(saved, y_bar, Wanted::INPUT).input();
            y_bars = y_bars.into_iter().map(back).collect();
        }
        y_bars
    }

    /// Cotangents at the block's output, as directions in the space of the estimate: in weight space `J_theta^T y_bar`.
    pub fn in_space(&self, y_bars: impl IntoIterator<Item = Tensor<4>>) -> Directions {
        match self.config().space {
            Space::Activity => Directions::Activity(y_bars.into_iter().collect()),
            Space::Weight => {
                let (maps, saved) = (self.engine.view.blocks[self.block], &self.window.stage(self.block).saved);
                let theta_bar = |y_bar| maps.cotangent(saved, y_bar, Wanted::PARAMETERS).theta_bar;
                Directions::Weight(y_bars.into_iter().map(theta_bar).collect())
            }
        }
    }
}
