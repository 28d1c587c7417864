//! A layer that this library does not know stands wherever its own do: in a chain, in a residual sum, in a network's block.

use burn::tensor::{DType, Device, Tensor};
use foregrad::check;
use foregrad::estimate::{EstimatorConfig, EstimatorState, Mode, StepInput, View, step_on};
use foregrad::layers::{AnyLayer, Conv2dConfig, Cotangent, Layer, Pass, Phase, Relu, Residual, Sequential, Wanted};
use foregrad::losses::Labels;
use foregrad::models::ModelConfig;
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;

/// `y = scale * sin(x)`, one scale for all.
#[derive(Debug, Clone)]
struct Wave {
    scale: Tensor<1>,
    /// Makes the wrong cotangent: one that forgets the cosine.
    is_wrong: bool,
}

impl Wave {
    fn new(placement: &Placement, is_wrong: bool) -> Self {
        Self { scale: placement.tensor(vec![0.7], [1]), is_wrong }
    }

    fn scaled(&self, x: Tensor<4>) -> Tensor<4> {
        x * self.scale.clone().reshape([1, 1, 1, 1])
    }
}

impl Layer for Wave {
    /// The input.
    type Saved = Tensor<4>;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Tensor<4>) {
        (self.scaled(x.clone().sin()), x)
    }

    fn tangent(&self, x: &Tensor<4>, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let count = x_dot.as_ref().map_or(theta_dot.len(), |x_dot| x_dot.dims()[0] / x.dims()[0]);
        let along_input = x_dot.map(|x_dot| self.scaled(x_dot * Tensor::cat(vec![x.clone().cos(); count], 0)));
        let along_scale = (!theta_dot.is_empty()).then(|| {
            let one = |theta_dot: &ParamVector| match theta_dot.get::<1>("scale") {
                Some(scale_dot) => x.clone().sin() * scale_dot.reshape([1, 1, 1, 1]),
                None => x.zeros_like(),
            };
            Tensor::cat(theta_dot.iter().map(one).collect(), 0)
        });
        match (along_input, along_scale) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }

    fn cotangent(&self, x: &Tensor<4>, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let mut cotangent = Cotangent::default();
        if wanted.parameters {
            cotangent.theta_bar.insert::<1>("scale", (x.clone().sin() * y_bar.clone()).sum());
        }
        let slope = if self.is_wrong { x.ones_like() } else { x.clone().cos() };
        cotangent.x_bar = wanted.input.then(|| self.scaled(y_bar * slope));
        cotangent
    }

    fn parameters(&self) -> ParamVector {
        let mut parameters = ParamVector::default();
        parameters.insert::<1>("scale", self.scale.clone());
        parameters
    }

    fn assign(&mut self, values: &ParamVector) {
        if let Some(scale) = values.get::<1>("scale") {
            self.scale = scale;
        }
    }
}

fn double() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F64 }
}

/// The identities that a chain with the layer breaks.
fn broken(is_wrong: bool) -> Vec<&'static str> {
    let (placement, stream) = (double(), Stream::new(0, "own layer"));
    let conv = |name: &str| Conv2dConfig::new([2, 2], 3).padding(1).init(stream.named(name), &placement);
    let body = Sequential::new().with("conv", conv("body")).with("wave", Wave::new(&placement, is_wrong));
    let chain = Sequential::new().then(conv("first")).then(Relu).then(Residual::new(body, Sequential::new()));
    check::layer(chain, [2, 2, 3, 5]).broken().map(|entry| entry.identity).collect()
}

#[test]
fn a_layer_of_ones_own_passes_the_checks_and_a_wrong_one_does_not() {
    assert_eq!(broken(false), [""; 0]);
    assert!(!broken(true).is_empty(), "a cotangent without its slope passed");
}

#[test]
fn a_network_with_a_layer_of_ones_own_has_the_same_update_in_both_modes() {
    let placement = double();
    let model = ModelConfig { name: "mlp".into(), width: 0.02, ..Default::default() };
    let mut network = model.init([1, 3, 3], 3, 0, &placement).expect("a network");
    network.blocks[1] = std::mem::take(&mut network.blocks[1]).with("wave", Wave::new(&placement, false));
    let images = Stream::new(0, "images").normal_tensor([4, 1, 3, 3], &placement);
    let labels = Labels::classes(vec![0, 1, 2, 0], 3);
    let update = |mode| {
        let config =
            EstimatorConfig { mode, granularity: Some("block".parse().expect("a name")), ..Default::default() };
        let input = StepInput::new(images.clone(), &labels, 0, 0);
        let step = step_on(&config, &View::new(&network), &input, &EstimatorState::default());
        step.expect("a step").update
    };
    let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(update);
    assert!(forward.entry("blocks.1.wave.scale").is_some(), "its parameter learns");
    assert!(forward.axpy(-1.0, &oracle).norm() < 1e-10 * oracle.norm());
}

#[test]
#[should_panic(expected = "was given what another one saved")]
fn saved_values_of_another_layer_are_refused() {
    let placement = double();
    let x: Tensor<4> = placement.tensor(vec![1.0], [1, 1, 1, 1]);
    let (_, saved) = AnyLayer::from(Relu).forward(x.clone(), Phase::Train.into());
    AnyLayer::from(Wave::new(&placement, false)).cotangent(&saved, x, Wanted::BOTH);
}

/// The identity, which says that it exchanges height and width.
#[derive(Debug, Clone)]
struct Turned;

impl Layer for Turned {
    type Saved = ();

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, ()) {
        (x, ())
    }

    fn tangent(&self, (): &(), x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot
    }

    fn cotangent(&self, (): &(), y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        Cotangent { x_bar: wanted.input.then_some(y_bar), ..Default::default() }
    }

    fn output(&self, [channels, height, width]: [usize; 3]) -> foregrad::Result<[usize; 3]> {
        Ok([channels, width, height])
    }
}

#[test]
fn a_layer_that_says_another_shape_than_it_gives_is_refused() {
    let error = check::layer(Turned, [2, 2, 3, 5]).into_result().expect_err("a wrong shape").to_string();
    assert!(error.contains("Turned: shape is off") && error.contains("height and width exchanged"), "{error}");
}
