//! A layer of one's own: three maps, the checks that they belong together, a network that learns with it.
//!
//! `cargo run --release --package foregrad --example own_layer`
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use burn::tensor::{Tensor, activation::sigmoid};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, StepInput};
use foregrad::layers::{Cotangent, Layer, Linear, Pass, Sequential, Wanted, stacked};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, Network};
use foregrad::rng::{Placement, Stream};
use foregrad::{Result, check, vector::ParamVector};

/// `y = x s(x)` with `s(x) = 1 / (1 + exp(-x))`.
#[derive(Debug, Clone)]
struct Swish;

impl Layer for Swish {
    /// `dy / dx = s + y (1 - s)`.
    type Saved = Tensor<4>;

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, Tensor<4>) {
        let s = sigmoid(x.clone());
        let y = x * s.clone();
        (y.clone(), s.clone() + y * (s.ones_like() - s))
    }

    fn tangent(&self, slope: &Tensor<4>, x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        Some(stacked::scale(x_dot?, slope.clone()))
    }

    fn cotangent(&self, slope: &Tensor<4>, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        Cotangent { x_bar: wanted.input.then(|| y_bar * slope.clone()), ..Default::default() }
    }
}

fn main() -> Result<()> {
    check::layer(Swish, [2, 3, 3, 5]).into_result()?;

    let (placement, stream) =
        (Placement { dtype: burn::tensor::DType::F32, ..check::placement() }, Stream::new(0, "own"));
    let block =
        |name, sizes| Sequential::new().then(Linear::new(sizes, true, stream.named(name), &placement)).then(Swish);
    let network = Network::builder([5, 1, 1], 3)
        .block(block("first", [5, 8]))
        .head(HeadKind::Linear)
        .block(block("second", [8, 8]));
    let network = network.build(0, &placement)?;
    let labels = Labels::classes(vec![0, 1, 2, 1], 3);
    let input = StepInput::new(stream.named("images").normal_tensor([4, 5, 1, 1], &placement), &labels, 0, 0);
    let output = estimate::step(&EstimatorConfig::default(), &network, &input, &EstimatorState::default())?;
    println!("an update of norm {:.3} in {} tensors", output.update.norm(), output.update.len());
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("a layer that is right");
}
