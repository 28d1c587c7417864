//! Values instead of classes: a network that learns a function by mean squared error.
//!
//! `cargo run --release --package foregrad --example regression`
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use burn::tensor::{DType, Device};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, StepInput};
use foregrad::layers::{Gelu, Linear, Sequential};
use foregrad::losses::{LabelKind, Labels};
use foregrad::models::{HeadKind, Network};
use foregrad::optim::{Optimizer, OptimizerConfig};
use foregrad::rng::{Placement, Stream};

fn main() -> foregrad::Result<()> {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let block =
        |name, sizes| Sequential::new().then(Linear::new(sizes, true, Stream::new(0, name), &placement)).then(Gelu);
    let mut network = Network::builder([2, 1, 1], LabelKind::Values(1))
        .block(block("first", [2, 16]))
        .head(HeadKind::Linear)
        .block(block("second", [16, 16]))
        .build(0, &placement)?;

    // The distance of points in the square from its middle.
    let points = Stream::new(0, "points").uniform(2 * 128, -1.0, 1.0);
    let distances = points.chunks(2).map(|point| point[0].hypot(point[1])).collect();
    let (inputs, labels) = (placement.tensor(points, [128, 2, 1, 1]), Labels::values(distances, 1));
    let (estimator, mut optimizer) = (EstimatorConfig::default(), Optimizer::new(&OptimizerConfig::default()));
    let (mut state, mut errors) = (EstimatorState::default(), Vec::new());
    for step in 0..200 {
        let output = estimate::step(&estimator, &network, &StepInput::new(inputs.clone(), &labels, 0, step), &state)?;
        network.assign(&optimizer.step(0.05, &network.parameters(), &output.update));
        let metric = output.evaluations.last().copied().flatten().and_then(|evaluation| evaluation.metric);
        errors.extend(metric.map(|metric| metric.sum / 128.0));
        state = output.state;
    }
    println!("the mean absolute error fell from {:.3} to {:.3}", errors[0], errors[199]);
    assert!(errors[199] < 0.3 * errors[0]);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("a network that learns");
}
