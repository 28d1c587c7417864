//! What batch norm and a rectifier behind it cost: `cargo run --release --package foregrad-kernels --example channels`.
//!
//! Prints GB/s of a copy and of the two passes of a tangent, then the microseconds of a whole tangent with the rectifier in its
//! second pass and with one of its own: the fastest of forty.

#![allow(clippy::print_stdout, reason = "an example prints what it measures")]

use std::time::Instant;

use foregrad_kernels::channels::{self, Channels, Rectifier, Side};
use foregrad_kernels::{gate, instructions};
use rayon::prelude::*;

/// Elements that a thread copies at a time.
const CHUNK: usize = 1 << 15;

/// Sizes of ResNet-18 at an eighth of the width, which lie in cache, and at full width, which do not.
const SIZES: [Channels; 4] = [
    Channels { samples: 64, channels: 8, pixels: 1024 },
    Channels { samples: 64, channels: 64, pixels: 16 },
    Channels { samples: 128, channels: 64, pixels: 1024 },
    Channels { samples: 128, channels: 512, pixels: 16 },
];

/// The least seconds of forty calls.
fn fastest(mut call: impl FnMut()) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64()
    };
    (0..40).map(seconds).fold(f64::INFINITY, f64::min)
}

/// What is printed of one size.
fn measured(sizes: &Channels) -> [f64; 5] {
    let count = sizes.samples * sizes.channels * sizes.pixels;
    let wave = |step: f32| (0..count).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
    let (x, y, mut v) = (wave(0.7), wave(0.3), wave(1.3));
    let row = |value: f32| vec![value; sizes.channels];
    let (one, little, mean) = (row(1.0), row(1e-9), row(0.1));
    let rectifier = Rectifier { scale: &one, shift: &mean };
    let gigabytes = |passes: usize, seconds: f64| (passes * count * size_of::<f32>()) as f64 / seconds / 1e9;
    let parts = [&one[..], &little, &little];
    let copy = fastest(|| v.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(v, x)| v.copy_from_slice(x)));
    let sums = fastest(|| _ = std::hint::black_box(channels::sums(sizes, &v, &x, &mean, None)));
    let combine = fastest(|| channels::combine(sizes, &mut v, &x, parts, None));
    let apart = fastest(|| {
        std::hint::black_box(channels::sums(sizes, &v, &x, &mean, None));
        channels::combine(sizes, &mut v, &x, parts, None);
        gate::gate(&mut v, &y);
    });
    let fused = fastest(|| {
        std::hint::black_box(channels::sums(sizes, &v, &x, &mean, None));
        channels::combine(sizes, &mut v, &x, parts, Some((Side::Result, rectifier)));
    });
    [gigabytes(2, copy), gigabytes(2, sums), gigabytes(3, combine), 1e6 * fused, 1e6 * apart]
}

fn main() {
    println!("instructions: {}", instructions::name());
    let titles = ["copy, GB/s", "sums, GB/s", "combine, GB/s", "tangent, us", "two passes, us"];
    println!("{:>20}{}", "sizes", titles.map(|title| format!("{title:>16}")).concat());
    for sizes in SIZES {
        let measured = measured(&sizes).map(|value| format!("{value:>16.1}")).concat();
        let Channels { samples, channels, pixels } = sizes;
        println!("{:>20}{measured}", format!("{samples} x {channels} x {pixels}"));
    }
}
