//! A small network and batch in f64, shared by the estimators' tests.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod feedback;

use burn::tensor::{DType, Device, Tensor};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, StepInput, StepOutput};
use foregrad::layers::{AnySaved, Cotangent, Layer, Pass, Phase, Sequential, Wanted};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, ModelConfig, Network, Norm};
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;

/// A network with a batch.
pub struct Case {
    pub network: Network,
    pub images: Tensor<4>,
    pub labels: Labels,
    pub momentum: ParamVector,
}

/// The placement of derivative tests.
pub fn double() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F64 }
}

impl Case {
    /// A narrow network of a model on odd images.
    pub fn new(model: &str, norm: Norm, head_norm: Norm, head: HeadKind) -> Self {
        let config = ModelConfig { name: model.into(), width: 0.1, norm, head_norm, head, ..Default::default() };
        Self::with(&config, [2, 9, 11], 5)
    }

    /// A network of a configuration, and `samples` random images.
    pub fn with(config: &ModelConfig, image: [usize; 3], samples: usize) -> Self {
        let placement = double();
        let network = config.init(image, 3, 7, &placement).expect("a model");
        let [channels, height, width] = image;
        let images = Stream::new(1, "images").normal_tensor([samples, channels, height, width], &placement);
        let labels = Labels::classes((0..samples).map(|sample| sample % 3).collect(), 3);
        let momentum = network
            .parameters()
            .filled_like(|path, shape| Stream::new(2, "momentum").named(path).normal(shape.iter().product()));
        Self { network, images, labels, momentum }
    }

    /// With drawn numbers for weights that start at 0, as they are once they have learnt.
    pub fn learnt(mut self) -> Self {
        let first = self.network.parameters();
        let drawn = first.filled_like(|path, shape| Stream::new(5, path).normal(shape.iter().product()));
        self.network.assign(&drawn.filtered(|path| first.filtered(|own| own == path).norm() == 0.0));
        self
    }

    /// The number of blocks.
    pub fn depth(&self) -> usize {
        self.network.depth()
    }

    /// The batch as a step's input.
    pub fn input(&self) -> StepInput<'_> {
        let momentum = Some(&self.momentum);
        StepInput { momentum, ..StepInput::new(self.images.clone(), &self.labels, 3, 4) }
    }

    /// The shape of a block's output.
    pub fn images_after(&self, block: usize) -> [usize; 4] {
        let through = |x: Tensor<4>, block: &Sequential| block.forward(x, Phase::Train.into()).0;
        self.network.blocks[..=block].iter().fold(self.images.clone(), through).dims()
    }

    /// One step.
    pub fn step(&self, config: &EstimatorConfig) -> StepOutput {
        estimate::step(config, &self.network, &self.input(), &EstimatorState::default()).expect("a valid estimator")
    }

    /// The exact gradient of the network's loss.
    pub fn gradient(&self) -> ParamVector {
        let guess = "exact".parse().expect("a guess");
        self.step(&EstimatorConfig { guess, mode: estimate::Mode::Oracle, ..Default::default() }).update
    }
}

/// The largest relative difference of two steps' scalars and updates.
pub fn largest_deviation(a: &StepOutput, b: &StepOutput) -> f64 {
    let mut largest = relative(&a.update, &b.update);
    let mut sorted = [a, b].map(|output| output.scalars.clone());
    sorted.iter_mut().for_each(|scalars| scalars.sort_by(|a, b| a.slot.cmp(&b.slot)));
    let [a, b] = sorted;
    assert_eq!(a.len(), b.len(), "the numbers of slots differ");
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.slot, b.slot);
        let size: f64 = b.values.iter().flatten().map(|b| b * b).sum::<f64>().sqrt();
        let difference = a.values.iter().flatten().zip(b.values.iter().flatten()).map(|(a, b)| (a - b).powi(2));
        let difference: f64 = difference.sum::<f64>().sqrt();
        let gap = if size == 0.0 { difference } else { difference / size };
        // `max` drops what is not a number.
        largest = if gap.is_nan() { f64::INFINITY } else { largest.max(gap) };
    }
    largest
}

/// `|a - b| / |b|`, with the same paths in both.
pub fn relative(a: &ParamVector, b: &ParamVector) -> f64 {
    let paths = |vector: &ParamVector| vector.paths().map(str::to_string).collect::<Vec<_>>();
    assert_eq!(paths(a), paths(b), "the paths differ");
    a.clone().axpy(-1.0, b).norm() / b.norm()
}

/// A block that cannot be copied.
#[derive(Debug)]
pub struct Fixed<'a>(pub &'a Sequential);

impl Layer for Fixed<'_> {
    type Saved = Vec<AnySaved>;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Self::Saved) {
        self.0.forward(x, pass)
    }

    fn tangent(&self, saved: &Self::Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        self.0.tangent(saved, x_dot, theta_dot)
    }

    fn cotangent(&self, saved: &Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        self.0.cotangent(saved, y_bar, wanted)
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(self.0)
    }
}
