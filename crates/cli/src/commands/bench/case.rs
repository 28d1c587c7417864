//! What a method of the bench works on, and its steps.

use std::sync::Arc;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use foregrad::account::{self, Role};
use foregrad::baseline;
use foregrad::estimate::{EstimatorConfig, EstimatorState, MicroBatch, StepInput};
use foregrad::losses::Labels;
use foregrad::models::Network;
use foregrad::optim::{Optimizer, OptimizerConfig};
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;
use foregrad_lab::data::{Augmentation, BatchOptions, Batches, Dataset, Order};
use foregrad_lab::ranks::{Asked, Team};

use super::row::LOADING;
use super::{CLASSES, MeasureTask};

/// What a method works on.
pub(super) struct Case {
    team: Team,
    network: Network,
    /// This rank's samples of the batch, and their labels.
    images: Tensor<4>,
    labels: Labels,
    micro_batches: usize,
    /// What one step leaves to the next.
    state: EstimatorState,
    /// What moves the network's weights after each step.
    optimizer: Option<Optimizer>,
    what: What,
}

/// So low that the weights stay near their first values, however many steps there are.
const RATE: f64 = 1e-5;

/// What is done again and again.
enum What {
    /// The network's loss alone.
    Forward,
    /// One batch of these images, before they are loaded.
    Loading(Arc<Dataset>),
    /// An estimator's step.
    Step(Box<EstimatorConfig>),
}

impl Case {
    pub fn new(task: &MeasureTask, team: Team, placement: &Placement) -> Result<Self> {
        let MeasureTask { row, config, image, .. } = task;
        let network = config.model.init(*image, CLASSES, config.seed, placement)?;
        account::give_network(&network);
        let ([channels, height, width], samples) = (*image, config.batch / team.count());
        let first = team.rank() * samples;
        let draws = Stream::new(config.seed, "bench").after(first * channels * height * width);
        let images = draws.normal_tensor([samples, channels, height, width], placement);
        account::give(&images, Role::Batch);
        let labels = Labels::classes((first..first + samples).map(|sample| sample % CLASSES).collect(), CLASSES);
        let what = match row.estimator(config) {
            Some(estimator) => What::Step(Box::new(estimator)),
            None if row.method == LOADING => What::Loading(random_set(*image, samples).into()),
            None => What::Forward,
        };
        let kind = |kind| Optimizer::new(&OptimizerConfig { kind, ..Default::default() });
        let (optimizer, state) = (task.optimizer.map(kind), EstimatorState::default());
        let micro_batches = config.micro_batches;
        Ok(Self { team, network, images, labels, micro_batches, state, optimizer, what })
    }

    /// Steps after which they come round again.
    pub fn period(&self) -> u64 {
        if let What::Step(config) = &self.what { config.measure_every } else { 1 }
    }

    pub fn once(&mut self, step: u64) -> Result<()> {
        let Self { team, network, images, labels, micro_batches, state, optimizer, what } = self;
        match what {
            What::Forward => drop(baseline::forward(network, images.clone(), labels)),
            What::Loading(set) => {
                let order = Order::Shuffled { seed: 0, epoch: step };
                let options = BatchOptions { size: set.len(), order, augment: true, skip: 0, part: MicroBatch::WHOLE };
                drop(Batches::new(set.clone(), options)?.next().context("the loader gave no batch")??);
            }
            What::Step(config) => {
                let momentum = optimizer.as_ref().map(|optimizer| optimizer.buffer().clone()).unwrap_or_default();
                let input = StepInput { momentum: Some(&momentum), ..StepInput::new(images.clone(), labels, 0, step) };
                let output = match account::is_open() {
                    true => Some(account::step(config, network, &input, state)?),
                    false => team.step(config, network, &input, (*micro_batches, state), Asked::default)?.1,
                };
                let output = output.context("a step of ranks that were not asked to stop")?;
                *state = output.state;
                drop(momentum);
                if let Some(optimizer) = optimizer {
                    update(optimizer, network, &output.update);
                }
            }
        }
        Ok(())
    }
}

/// Moves a network's weights.
fn update(optimizer: &mut Optimizer, network: &mut Network, gradient: &ParamVector) {
    account::within(Role::Optimizer, || {
        let updated = optimizer.step(RATE, &network.parameters(), gradient);
        account::give_vector(&optimizer.tensors(), Role::Optimizer);
        network.assign(&updated);
    });
    network.follow();
    account::give_network(network);
}

/// A data set of random pixels.
fn random_set(shape: [usize; 3], images: usize) -> Dataset {
    let pixels = images * shape.iter().product::<usize>();
    let channels = shape[0];
    Dataset {
        pixels: Stream::new(0, "bench pixels")
            .uniform(pixels, 0.0, 256.0)
            .into_iter()
            .map(|value| value as u8)
            .collect(),
        labels: vec![0; images],
        shape,
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        mean: vec![0.5; channels],
        deviation: vec![0.25; channels],
        augmentation: Augmentation::default(),
    }
}
