//! Speed of the convolution kernels on the layers of a ResNet-18 with batch 128: `cargo run --release --package foregrad-kernels --example convolution`.
//!
//! With arguments such as `64->64x3 weight` only that layer and that map are run; a third, such as `8`, is another batch.
//!
//! Prints GFLOP/s (padding taps counted) of the minimum of several runs, `moments` of the forward map that takes those of its channels too, for the full width and for an eighth of it.

#![allow(clippy::print_stdout, reason = "an example prints what it measures")]

use std::time::Instant;

use foregrad_kernels::convolution::{Convolution, input_cotangent, sum, sum_and_moments, weight_cotangent};

/// Runs at least, and seconds of them: the first ones also get their memory from the system.
const REPEATS: usize = 5;
const SECONDS: f64 = 0.3;

fn main() {
    let [layer, map, samples] = [1, 2, 3].map(|argument| std::env::args().nth(argument));
    let samples = samples.map_or(128, |samples| samples.parse().expect("a number of samples"));
    let is_wanted = |name: &str| map.as_deref().is_none_or(|map| map == name);
    println!("instructions: {}", foregrad_kernels::instructions::name());
    let names = ["channels", "size", "stride", "forward", "moments", "input", "weight"];
    println!("{}", names.map(|name| format!("{name:>10}")).concat());
    for [input, output, side, kernel, stride] in [
        [3, 64, 32, 3, 1],
        [64, 64, 32, 3, 1],
        [64, 128, 32, 3, 2],
        [64, 128, 32, 1, 2],
        [128, 128, 16, 3, 1],
        [128, 256, 16, 3, 2],
        [256, 256, 8, 3, 1],
        [256, 512, 8, 3, 2],
        [512, 512, 4, 3, 1],
        [3, 8, 32, 3, 1],
        [8, 8, 32, 3, 1],
        [32, 32, 32, 3, 2],
        [32, 32, 16, 3, 2],
        [8, 16, 32, 3, 2],
        [16, 16, 16, 3, 1],
        [32, 32, 8, 3, 1],
        [64, 64, 4, 3, 1],
    ] {
        if layer.as_deref().is_some_and(|layer| layer != format!("{input}->{output}x{kernel}")) {
            continue;
        }
        let convolution = Convolution {
            samples,
            channels: [input, output],
            size: [side, side],
            kernel: [kernel, kernel],
            stride,
            padding: kernel / 2,
            groups: 1,
        };
        let [height, width] = convolution.output();
        let x = vec![0.5f32; samples * input * side * side];
        let weight = vec![0.25f32; output * input * kernel * kernel];
        let y = vec![0.5f32; samples * output * height * width];
        let flops = 2.0 * (samples * output * height * width * input * kernel * kernel) as f64;
        let speed = |name: &str, operation: &mut dyn FnMut()| match is_wanted(name) {
            true => format!("{:.1}", flops / fastest(operation) * 1e-9),
            false => "-".to_string(),
        };
        let forward = speed("forward", &mut || drop(sum(&convolution, &[((&x).into(), &weight)])));
        let with_moments = speed("moments", &mut || drop(sum_and_moments(&convolution, ((&x).into(), &weight))));
        let to_input = speed("input", &mut || drop(input_cotangent(&convolution, &y, &weight)));
        let to_weight = speed("weight", &mut || drop(weight_cotangent(&convolution, &x, &y)));
        let channels = format!("{input}->{output}");
        println!("{channels:>10}{side:>10}{stride:>10}{forward:>10}{with_moments:>10}{to_input:>10}{to_weight:>10}");
    }
}

fn fastest(operation: &mut dyn FnMut()) -> f64 {
    let (begin, mut least) = (Instant::now(), f64::INFINITY);
    for repeat in 0.. {
        let start = Instant::now();
        operation();
        least = least.min(start.elapsed().as_secs_f64());
        if repeat >= REPEATS && begin.elapsed().as_secs_f64() > SECONDS {
            break;
        }
    }
    least
}
