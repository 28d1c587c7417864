//! Whose memory a step's arrays are: what `foregrad bench --memory` prints.
//!
//! The maps of blocks and heads know nothing of accounts: [`step`] hands an estimator the network with each map wrapped in its block's
//! name. Guesses and update are named where they are made. The account itself is [`foregrad_kernels::account`].

use std::fmt::Debug;
use std::ops::Deref;

use burn::tensor::Tensor;
use foregrad_kernels::account::hand_over;
pub use foregrad_kernels::account::{Movement, Owner, Role, close, is_open, length, open, within};

use crate::Result;
use crate::estimate::{self, Block, EstimatorConfig, EstimatorState, StepInput, StepOutput, View};
use crate::layers::{Activation, AnySaved, Cotangent, Dual, Layer, Pass, Wanted};
use crate::losses::Labels;
use crate::models::{AnyHead, AtOutputs, Evaluation, LossHead, Network};
use crate::ops::{self, Parts};
use crate::rng::Stream;
use crate::vector::ParamVector;

/// Makes a tensor's array an owner's.
pub fn give<const D: usize>(tensor: &Tensor<D>, owner: impl Into<Owner>) {
    if is_open()
        && let Some(address) = ops::address(tensor)
    {
        hand_over(address, owner);
    }
}

/// Makes a vector's arrays an owner's.
pub fn give_vector(vector: &ParamVector, owner: impl Into<Owner>) {
    let owner = owner.into();
    if is_open() {
        vector.tensors().for_each(|tensor| give(tensor, owner));
    }
}

/// Makes a network's arrays those of its weights and averages.
pub fn give_network(network: &Network) {
    give_vector(&network.parameters(), Role::Weights);
    give_vector(&network.averages(), Role::Averages);
}

/// [`estimate::step`], with every array in the name of what it is for.
///
/// # Errors
/// As [`estimate::step`].
///
/// # Panics
/// As [`estimate::step`].
pub fn step(
    config: &EstimatorConfig,
    network: &Network,
    input: &StepInput<'_>,
    state: &EstimatorState,
) -> Result<StepOutput> {
    let plain = View::new(network);
    let blocks: Vec<_> = plain.blocks.iter().enumerate().map(|(block, maps)| Named { maps: *maps, block }).collect();
    let (losses, targets) = (named(&plain.losses), named(&plain.targets));
    let view = View {
        blocks: blocks.iter().map(|block| block as &Block).collect(),
        losses: losses.iter().map(Named::of).collect(),
        targets: targets.iter().map(Named::of).collect(),
        prefixes: plain.prefixes.clone(),
    };
    estimate::step_on(config, &view, input, state)
}

/// Maps that allocate in the name of a block.
#[derive(Debug, Clone)]
struct Named<M> {
    maps: M,
    block: usize,
}

/// The heads of blocks, in order.
fn named<'a>(heads: &[Option<&'a dyn LossHead>]) -> Vec<Option<Named<&'a dyn LossHead>>> {
    let named = |(block, maps): (usize, &Option<&'a dyn LossHead>)| Some(Named { maps: (*maps)?, block });
    heads.iter().enumerate().map(named).collect()
}

impl<'a> Named<&'a dyn LossHead> {
    /// Its maps, where there is a head.
    fn of(head: &'a Option<Self>) -> Option<&'a dyn LossHead> {
        head.as_ref().map(|head| head as &dyn LossHead)
    }
}

impl Layer for Named<&Block<'_>> {
    type Saved = Vec<AnySaved>;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Self::Saved) {
        within(Role::Values.of(self.block), || self.maps.forward(x, pass))
    }

    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, Self::Saved) {
        within(Role::Values.of(self.block), || self.maps.forward_of(x, pass))
    }

    fn tangent(&self, saved: &Self::Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        within(Role::Tangents.of(self.block), || self.maps.tangent(saved, x_dot, theta_dot))
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let dual = within(Role::Values.of(self.block), || self.maps.dual(x, x_dot, theta_dot, pass));
        if let Some(y_dot) = &dual.y_dot {
            give(y_dot, Role::Tangents.of(self.block));
        }
        dual
    }

    fn cotangent(&self, saved: &Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        within(Role::Cotangents.of(self.block), || self.maps.cotangent(saved, y_bar, wanted))
    }

    fn cotangent_once(&self, saved: Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        within(Role::Cotangents.of(self.block), || self.maps.cotangent_once(saved, y_bar, wanted))
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(self.maps)
    }

    fn matrices(&self) -> Vec<(String, usize)> {
        self.maps.matrices()
    }

    fn averages(&self) -> ParamVector {
        self.maps.averages()
    }

    fn statistics(&self, saved: &Self::Saved) -> ParamVector {
        self.maps.statistics(saved)
    }

    fn output(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        self.maps.output(input)
    }

    fn reassigned(&self, values: &ParamVector) -> Option<Box<dyn Layer<Saved = Self::Saved> + '_>> {
        self.maps.reassigned(values)
    }
}

impl<M: Deref<Target: LossHead> + Debug + Send + Sync> LossHead for Named<M> {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        within(Role::Head.of(self.block), || self.maps.forward(y, labels, pass))
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        within(Role::Head.of(self.block), || self.maps.tangent(saved, y_dot, theta_dot))
    }

    fn part_derivatives(&self, saved: &AnySaved, y_dot: &Tensor<4>, parts: Parts) -> Option<Vec<Vec<f64>>> {
        within(Role::Head.of(self.block), || self.maps.part_derivatives(saved, y_dot, parts))
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        within(Role::Head.of(self.block), || self.maps.cotangent(saved, wanted))
    }

    fn cotangent_once(&self, saved: AnySaved, wanted: Wanted) -> Cotangent {
        within(Role::Head.of(self.block), || self.maps.cotangent_once(saved, wanted))
    }

    fn at_outputs(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>) -> Option<AtOutputs> {
        within(Role::Head.of(self.block), || self.maps.at_outputs(saved, y_dot))
    }

    fn parameters(&self) -> ParamVector {
        self.maps.parameters()
    }

    fn reassigned(&self, values: &ParamVector) -> Option<AnyHead> {
        self.maps.reassigned(values)
    }

    fn is_separable(&self) -> bool {
        self.maps.is_separable()
    }

    fn is_silent(&self) -> bool {
        self.maps.is_silent()
    }

    fn averages(&self) -> ParamVector {
        self.maps.averages()
    }

    fn statistics(&self, saved: &AnySaved) -> ParamVector {
        self.maps.statistics(saved)
    }

    fn redrawn(&self, stream: Stream) -> Option<AnyHead> {
        let maps = within(Role::Head.of(self.block), || self.maps.redrawn(stream))?;
        Some(Named { maps, block: self.block }.into())
    }

    fn validate(&self, labels: &Labels) -> Result<()> {
        self.maps.validate(labels)
    }
}
