//! What a loss costs by Burn's operations: `cargo run --release --package foregrad --example losses`.
//!
//! Prints microseconds of softmax cross-entropy over ten classes: value with gradient, and one tangent; the fastest of 200.

#![allow(clippy::print_stdout, reason = "an example prints what it measures")]

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{DType, Device};
use foregrad::losses::{CrossEntropy, Labels, Loss};
use foregrad::rng::{Placement, Stream};

const CLASSES: usize = 10;

fn main() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    for samples in [64, 128] {
        let draw = |name: &str| Stream::new(0, name).normal_tensor([samples, CLASSES, 1, 1], &placement);
        let (z, z_dot) = (draw("z"), draw("z_dot"));
        let labels = Labels::classes((0..samples).map(|sample| sample % CLASSES).collect(), CLASSES);
        let loss = CrossEntropy::default();
        let value = fastest(|| _ = black_box(loss.forward(z.clone(), &labels)));
        let (_, saved) = loss.forward(z.clone(), &labels);
        let tangent = fastest(|| _ = black_box(loss.tangent(&saved, z_dot.clone())));
        println!("{samples} samples: value and gradient {value:.1} us, tangent {tangent:.1} us");
    }
}

/// The least microseconds of 200 calls.
fn fastest(mut call: impl FnMut()) -> f64 {
    let microseconds = |_| {
        let start = Instant::now();
        call();
        1e6 * start.elapsed().as_secs_f64()
    };
    (0..200).map(microseconds).fold(f64::INFINITY, f64::min)
}
