//! From blocks to a network that has learnt, with forward gradients.
//!
//! `cargo run --release --package foregrad --example own_network`
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use burn::tensor::{DType, Device};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, StepInput};
use foregrad::layers::{BatchNorm, Conv2dConfig, Relu, Sequential};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, Network};
use foregrad::optim::{Optimizer, OptimizerConfig};
use foregrad::rng::{Placement, Stream};

fn main() -> foregrad::Result<()> {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let block = |name, channels: [usize; 2]| {
        let convolution = Conv2dConfig::new(channels, 3).padding(1).init(Stream::new(0, name), &placement);
        Sequential::new().then(convolution).then(BatchNorm::new(channels[1], 0.0, &placement)).then(Relu)
    };
    let mut network = Network::builder([1, 8, 8], 4)
        .block(block("first", [1, 8]))
        .block(block("second", [8, 8]))
        .block(block("third", [8, 16]))
        .heads(HeadKind::Mlp)
        .head_width(0.05)
        .build(0, &placement)?;

    // Noise of four levels of brightness, one a class.
    let noise = Stream::new(0, "images").normal(32 * 64);
    let pixels = noise.iter().enumerate().map(|(place, noise)| (place / 64 % 4) as f64 + noise);
    let images = placement.tensor(pixels.collect(), [32, 1, 8, 8]);
    let labels = Labels::classes((0..32).map(|image| image % 4).collect(), 4);
    let (estimator, mut optimizer) = (EstimatorConfig::default(), Optimizer::new(&OptimizerConfig::default()));
    let (mut state, mut losses) = (EstimatorState::default(), Vec::new());
    for step in 0..60 {
        let output = estimate::step(&estimator, &network, &StepInput::new(images.clone(), &labels, 0, step), &state)?;
        network.assign(&optimizer.step(0.05, &network.parameters(), &output.update));
        losses.extend(output.evaluations.last().copied().flatten().map(|evaluation| evaluation.loss));
        state = output.state;
    }
    println!("the loss of 32 images fell from {:.3} to {:.3}", losses[0], losses[59]);
    assert!(losses[59] < 0.3 * losses[0]);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("a network that learns");
}
