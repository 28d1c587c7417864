use proptest::prelude::*;

use super::{
    ChannelMap, Convolution, Source, dual, dual_in_place, input_cotangent, input_cotangent_in_place, is_faster_dual,
    reference, sum, sum_and_moments, sum_in_place, weight_cotangent, works_in_place,
};
use crate::Real;
use crate::channels::{self, Channels, Rectifier};
use crate::instructions::{Path, path};

mod moments;
mod tiles;

/// Ragged shapes: every branch of the layouts (rows of 16, 8, 4, 2 and odd), strides that do and do not divide, windows of
/// one, even and large size, groups, fewer and more channels than a tile, more pixels than a block, empty phases; from 16 or 32
/// channels on the 3x3 windows of stride 1 go through Winograd's tiles, with 272 and 288 a part of the channels at a time; one
/// output channel has a way of its own.
fn shapes() -> Vec<Convolution> {
    let shape = |samples, channels, size, kernel, (stride, padding, groups)| Convolution {
        samples,
        channels,
        size,
        kernel,
        stride,
        padding,
        groups,
    };
    vec![
        shape(2, [3, 5], [5, 7], [3, 3], (1, 1, 1)),
        shape(2, [48, 49], [5, 7], [3, 3], (1, 1, 1)),
        shape(1, [288, 272], [4, 4], [3, 3], (1, 1, 1)),
        shape(1, [840, 100], [4, 4], [3, 3], (1, 1, 1)),
        shape(3, [150, 130], [9, 10], [3, 3], (2, 1, 1)),
        shape(2, [262, 264], [5, 6], [3, 3], (1, 1, 2)),
        shape(70, [32, 33], [4, 4], [3, 3], (1, 1, 1)),
        shape(2, [17, 16], [12, 7], [3, 3], (1, 1, 1)),
        shape(2, [65, 130], [7, 8], [3, 3], (1, 1, 1)),
        shape(2, [36, 40], [9, 9], [3, 3], (1, 2, 1)),
        shape(20, [33, 48], [13, 12], [3, 3], (1, 1, 1)),
        shape(3, [50, 52], [8, 8], [3, 3], (1, 1, 1)),
        shape(1, [48, 48], [32, 32], [3, 3], (1, 1, 1)),
        shape(30, [49, 48], [4, 4], [3, 3], (1, 1, 1)),
        shape(2, [48, 48], [6, 9], [3, 3], (1, 0, 1)),
        shape(2, [48, 48], [3, 3], [3, 3], (1, 2, 1)),
        shape(2, [48, 48], [3, 3], [3, 3], (1, 3, 1)),
        shape(2, [96, 144], [6, 5], [3, 3], (1, 1, 2)),
        shape(1, [48, 48], [1, 1], [3, 3], (1, 1, 1)),
        shape(3, [4, 9], [8, 8], [3, 3], (1, 1, 1)),
        shape(5, [33, 8], [4, 4], [3, 3], (1, 1, 1)),
        shape(1, [2, 17], [16, 16], [3, 3], (1, 1, 1)),
        shape(2, [1, 4], [32, 32], [3, 3], (1, 1, 1)),
        shape(1, [2, 3], [6, 28], [3, 3], (1, 1, 1)),
        shape(4, [6, 10], [9, 8], [3, 3], (2, 1, 1)),
        shape(4, [6, 10], [8, 9], [3, 3], (2, 1, 1)),
        shape(7, [5, 6], [4, 4], [1, 1], (2, 0, 1)),
        shape(3, [7, 6], [5, 5], [1, 1], (1, 0, 1)),
        shape(2, [6, 9], [6, 7], [3, 3], (1, 1, 3)),
        shape(2, [4, 4], [7, 6], [3, 3], (2, 1, 4)),
        shape(2, [2, 3], [11, 10], [5, 4], (3, 2, 1)),
        shape(1, [2, 3], [3, 2], [7, 7], (1, 3, 1)),
        shape(1, [1, 1], [1, 1], [1, 1], (1, 0, 1)),
        shape(2, [2, 2], [4, 4], [2, 2], (2, 0, 1)),
        shape(1, [2, 2], [6, 6], [2, 2], (3, 0, 1)),
        shape(60, [3, 4], [6, 6], [3, 3], (1, 0, 1)),
        shape(1, [300, 3], [3, 3], [1, 1], (1, 0, 1)),
        shape(3, [9, 1], [5, 7], [3, 3], (1, 1, 1)),
        shape(2, [20, 1], [8, 9], [3, 3], (2, 1, 1)),
        shape(2, [21, 1], [6, 5], [5, 4], (3, 2, 1)),
        shape(1, [10, 1], [2, 3], [3, 3], (1, 3, 1)),
        shape(1, [2, 1], [2, 1], [1, 2], (3, 2, 1)),
        // Samples that fill registers: one a lane, in one band of rows and in several.
        shape(16, [8, 8], [9, 11], [3, 3], (1, 1, 1)),
        shape(16, [6, 20], [8, 8], [3, 3], (1, 0, 1)),
        shape(50, [9, 7], [5, 7], [3, 3], (1, 2, 1)),
        shape(16, [24, 16], [4, 4], [3, 3], (1, 1, 2)),
        shape(16, [8, 6], [33, 30], [3, 3], (1, 1, 1)),
        shape(32, [17, 33], [8, 8], [3, 3], (1, 1, 1)),
    ]
}

/// A convolution of a window of 3x3, of a stride, padding and groups.
fn three_by_three(
    samples: usize,
    channels: [usize; 2],
    size: [usize; 2],
    (stride, padding, groups): (usize, usize, usize),
) -> Convolution {
    Convolution { samples, channels, size, kernel: [3, 3], stride, padding, groups }
}

/// All that are worth a look.
fn all_shapes() -> impl Iterator<Item = Convolution> {
    let of_tiles = tiles::shapes_of_stride_2().into_iter().chain(tiles::shapes_of_one_pixel());
    shapes().into_iter().chain(narrow_shapes()).chain(of_tiles)
}

/// Few channels, whose weights' cotangents put rows on lines: several lines and tasks, the last line shorter, rows longer than a register and
/// not filling one, every margin.
fn narrow_shapes() -> Vec<Convolution> {
    let shape =
        |samples, channels, size, padding, groups| three_by_three(samples, channels, size, (1, padding, groups));
    vec![
        shape(131, [3, 8], [16, 16], 1, 1),
        shape(67, [5, 12], [12, 21], 1, 1),
        shape(41, [8, 20], [10, 17], 0, 1),
        shape(37, [1, 4], [15, 13], 2, 1),
        shape(19, [40, 9], [8, 4], 1, 1),
        shape(23, [18, 24], [11, 34], 1, 3),
        shape(1, [2, 7], [4, 200], 1, 1),
    ]
}

fn values<T: Real>(count: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::of_f64((state >> 11) as f64 / (1u64 << 53) as f64 - 0.5)
    };
    (0..count).map(|_| next()).collect()
}

/// Every element lies within `limit` of the expected one, in units of the map's largest value or of `typical`, the largest
/// size that a sum of such terms has by chance: a sum that happens to cancel is as inexact as any other.
fn assert_near<T: Real>(
    what: &str,
    convolution: &Convolution,
    found: &[T],
    expected: &[f64],
    typical: f64,
    limit: f64,
) {
    assert_eq!(found.len(), expected.len(), "{what} {convolution:?}");
    let scale = expected.iter().fold(typical, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let gap = (found.to_f64() - expected).abs();
        assert!(gap <= limit * scale, "{what} {convolution:?}: element {index} is {}, not {expected}", found.to_f64());
    }
}

/// A map of the reference, and the largest root of the sum of its terms' squares.
fn reference_of<T: Real>(map: impl Fn(&[T], &[T]) -> Vec<f64>, a: &[T], b: &[T]) -> (Vec<f64>, f64) {
    let squares = |values: &[T]| values.iter().map(|value| *value * *value).collect::<Vec<T>>();
    let typical = map(&squares(a), &squares(b)).into_iter().fold(0.0, f64::max).sqrt();
    (map(a, b), typical)
}

fn maps_match_the_reference<T: Real>(convolution: &Convolution, seed: u64, limit: f64) {
    let (x_len, y_len) = (convolution.input_length(), convolution.output_length());
    let w_len = convolution.channels[1] * convolution.group()[0] * convolution.taps();
    let (x, other) = (values::<T>(x_len, seed), values::<T>(x_len, seed + 100));
    let (w, w_dot) = (values::<T>(w_len, seed + 200), values::<T>(w_len, seed + 300));
    let y_bar = values::<T>(y_len, seed + 400);
    let near = |what: &str, found: &[T], (expected, typical): &(Vec<f64>, f64)| {
        assert_near(what, convolution, found, expected, *typical, limit);
    };

    let forward = |x: &[T], w: &[T]| reference::forward(convolution, x, w);
    let [first, second] = [(&other, &w), (&x, &w_dot)].map(|(x, w)| reference_of(forward, x, w));
    let both: Vec<f64> = first.0.iter().zip(&second.0).map(|(a, b)| a + b).collect();
    let y = sum(convolution, &[((&other).into(), &w), ((&x).into(), &w_dot)]);
    near("sum", &y, &(both, first.1.max(second.1)));

    let y = sum(convolution, &[((&x).into(), &w)]);
    near("one term", &y, &reference_of(forward, &x, &w));

    let x_bar = input_cotangent(convolution, &y_bar, &w);
    let transposed = |y_bar: &[T], w: &[T]| reference::input_cotangent(convolution, y_bar, w);
    near("x_bar", &x_bar, &reference_of(transposed, &y_bar, &w));

    let w_bar = weight_cotangent(convolution, &x, &y_bar);
    let correlated = |x: &[T], y_bar: &[T]| reference::weight_cotangent(convolution, x, y_bar);
    near("w_bar", &w_bar, &reference_of(correlated, &x, &y_bar));
}

/// Random sizes, among them none at all; groups, strides, windows and margins of any kind.
fn any_convolution() -> impl Strategy<Value = Convolution> {
    let groups = prop_oneof![4 => Just(1_usize), 1 => 2..4_usize];
    let channels = || prop_oneof![1 => Just(1_usize), 3 => 0..9_usize, 2 => 15..40_usize];
    let window = prop_oneof![1 => [3..4_usize, 3..4_usize], 1 => [1..5_usize, 1..5_usize]];
    let size = prop_oneof![3 => [0..14_usize, 0..14_usize], 1 => [13..18_usize, 13..18_usize]];
    (0..4_usize, [channels(), channels()], size, window, (1..4_usize, 0..4_usize, groups))
        .prop_map(|(samples, channels, size, kernel, (stride, padding, groups))| {
            let channels = channels.map(|channels| channels * groups);
            Convolution { samples, channels, size, kernel, stride, padding, groups }
        })
        .prop_filter("the window fits", |shape| (0..2).all(|i| shape.kernel[i] <= shape.size[i] + 2 * shape.padding))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn maps_of_any_shape_match_the_reference(convolution in any_convolution(), seed in 0..1000_u64) {
        maps_match_the_reference::<f32>(&convolution, seed, 1e-5);
        maps_match_the_reference::<f64>(&convolution, seed, 1e-13);
    }

    /// A normalisation that is applied on reading gives the bits of one that was written first, with a value a channel or a channel of a sample.
    #[test]
    fn a_map_on_reading_is_one_before_reading(
        convolution in any_convolution(), seed in 0..1000_u64, is_rectified: bool, by_sample: bool,
    ) {
        mapped_on_reading::<f32>(&convolution, seed, (is_rectified, by_sample));
        mapped_on_reading::<f64>(&convolution, seed, (is_rectified, by_sample));
    }

    /// Slices that do not fit the sizes are refused by every map that takes them, and the sizes are named.
    #[test]
    fn a_slice_of_another_length_is_refused(convolution in any_convolution(), which in 0..3_usize, longer in any::<bool>()) {
        let weights = convolution.channels[1] * convolution.group()[0] * convolution.taps();
        let mut lengths = [convolution.input_length(), weights, convolution.output_length()];
        prop_assume!(longer || lengths[which] > 0);
        lengths[which] = if longer { lengths[which] + 1 } else { lengths[which] - 1 };
        let [x, w, y] = lengths.map(|length| vec![0.0_f32; length]);
        // Each map leaves one of the three slices out.
        let maps: [&dyn Fn() -> Vec<f32>; 3] = [
            &|| input_cotangent(&convolution, &y, &w),
            &|| weight_cotangent(&convolution, &x, &y),
            &|| sum(&convolution, &[((&x).into(), &w)]),
        ];
        for (_, map) in maps.iter().enumerate().filter(|(left_out, _)| *left_out != which) {
            let reason = reason_of(&mut || map());
            prop_assert!(reason.contains(&format!("{convolution:?}")), "{reason}");
        }
    }
}

fn mapped_on_reading<T: Real>(convolution: &Convolution, seed: u64, (is_rectified, by_sample): (bool, bool)) {
    let Convolution { samples, channels: [input, output], size, .. } = *convolution;
    let x = values::<T>(convolution.input_length(), seed);
    let count = if by_sample { samples * input } else { input };
    let [scale, shift] = [1, 2].map(|which| values::<T>(count, seed + which));
    let map = ChannelMap { scale: &scale, shift: &shift, is_rectified };
    let sizes = match by_sample {
        true => Channels { samples: 1, channels: count, pixels: size[0] * size[1] },
        false => Channels { samples, channels: input, pixels: size[0] * size[1] },
    };
    let rectifier = is_rectified.then_some(Rectifier { scale: &scale, shift: &shift });
    let written = channels::affine(&sizes, &x, [&scale, &shift], rectifier);
    let w = values::<T>(output * convolution.group()[0] * convolution.taps(), seed + 3);
    let y_bar = values::<T>(convolution.output_length(), seed + 4);
    let mapped = Source::mapped(&x, map);
    assert!(sum(convolution, &[(mapped, &w)]) == sum(convolution, &[((&written).into(), &w)]));
    let two = |first| sum(convolution, &[((&x).into(), &w), (first, &w)]);
    assert!(two(mapped) == two((&written).into()));
    assert!(weight_cotangent(convolution, mapped, &y_bar) == weight_cotangent(convolution, &written, &y_bar));
}

/// In the memory of the first input, with groups, other terms, and so many channels that they are taken in parts.
#[test]
fn in_place_gives_the_same_bits() {
    let one = |channels, groups, size, samples| three_by_three(samples, [channels; 2], size, (1, 1, groups));
    let by_channel = [one(40, 1, [9, 11], 3), one(70, 2, [8, 8], 5), one(290, 1, [4, 4], 2)];
    let by_sample = [one(8, 1, [9, 11], 16), one(24, 2, [8, 8], 50), one(33, 1, [8, 9], 32)];
    // A register of one lane holds no samples side by side.
    let has_lanes = !matches!(path(), Path::Portable | Path::Composed);
    for convolution in by_channel.into_iter().chain(by_sample.into_iter().filter(|_| has_lanes)) {
        assert!(works_in_place(&convolution), "{convolution:?}");
        let length = convolution.input_length();
        let [x, other] = [1, 2].map(|seed| values::<f32>(length, seed));
        let weights = convolution.channels[1] * convolution.group()[0] * 9;
        let [w, w_dot] = [3, 4].map(|seed| values::<f32>(weights, seed));
        let rows = convolution.samples * convolution.channels[0];
        let [scale, shift] = [5, 6].map(|seed| values::<f32>(rows, seed));
        for count in [0, convolution.channels[0], rows] {
            let map = ChannelMap { scale: &scale[..count], shift: &shift[..count], is_rectified: true };
            let map = (count > 0).then_some(map);
            let mut y = x.clone();
            sum_in_place(&convolution, (&mut y, map, &w), &[((&other).into(), &w_dot)]);
            assert!(y == sum(&convolution, &[(Source::of(&x, map), &w), ((&other).into(), &w_dot)]));
        }
        let mut x_bar = x.clone();
        input_cotangent_in_place(&convolution, &mut x_bar, &w);
        assert!(x_bar == input_cotangent(&convolution, &x, &w));
    }
    let refused = [
        Convolution { stride: 2, ..one(40, 1, [9, 9], 1) },
        Convolution { padding: 0, ..one(40, 1, [9, 9], 1) },
        one(8, 1, [9, 9], 1),
        one(16, 1, [40, 40], 16),
    ];
    for convolution in refused {
        assert!(!works_in_place(&convolution), "{convolution:?}");
        let mut x = vec![0.0_f32; convolution.input_length()];
        let reason = reason_of(&mut || sum_in_place(&convolution, (&mut x, None, &[0.0; 14400]), &[]));
        assert!(reason.contains("does not work in place"), "{reason}");
    }
}

/// Value and tangent at once: with groups, more outputs than inputs, and so many channels that they are taken in parts.
#[test]
fn a_dual_has_the_bits_of_its_sums() {
    let one = |samples, channels, size, groups| three_by_three(samples, channels, size, (1, 1, groups));
    let shapes = [
        one(3, [40, 40], [9, 11], 1),
        one(5, [70, 70], [8, 8], 2),
        one(2, [290, 290], [4, 4], 1),
        one(1, [840, 100], [4, 4], 1),
        one(7, [33, 50], [8, 7], 1),
        Convolution { padding: 2, ..one(2, [64, 32], [6, 10], 1) },
        Convolution { stride: 2, ..one(3, [40, 70], [16, 15], 1) },
    ];
    for convolution in shapes {
        assert!(is_faster_dual(&convolution), "{convolution:?}");
        let (length, weights) =
            (convolution.input_length(), convolution.channels[1] * convolution.group()[0] * convolution.taps());
        let [x, x_dot] = [1, 2].map(|seed| values::<f32>(length, seed));
        let [w, w_dot] = [3, 4].map(|seed| values::<f32>(weights, seed));
        let rows = convolution.samples * convolution.channels[0];
        let [scale, shift] = [5, 6].map(|seed| values::<f32>(rows, seed));
        for map in [None, Some(ChannelMap { scale: &scale, shift: &shift, is_rectified: true })] {
            let read = Source::of(&x, map);
            let y = sum(&convolution, &[(read, &w)]);
            let y_dot = sum(&convolution, &[((&x_dot).into(), &w), (read, &w_dot)]);
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
                pool.install(|| dual(&convolution, (read, &w), (&x_dot, &w_dot), true))
            };
            let moments = Some(sum_and_moments(&convolution, (read, &w)).1);
            assert!(on(1) == ([y.clone(), y_dot.clone()], moments.clone()) && on(3) == on(1), "{convolution:?}");
            if works_in_place(&convolution) {
                let [mut value, mut tangent] = [x.clone(), x_dot.clone()];
                let found = dual_in_place(&convolution, (&mut value, map, &w), (&mut tangent, &w_dot), true);
                assert!(value == y && tangent == y_dot && found == moments, "{convolution:?} in place");
            }
        }
    }
    let convolution = one(2, [40, 40], [6, 6], 1);
    let (x, w) = (vec![0.0_f32; convolution.input_length()], vec![0.0_f32; 40 * 40 * 9]);
    let of_pixels = Convolution { kernel: [1, 1], ..convolution };
    let refused = [
        ("is not for tiles", reason_of(&mut || dual(&of_pixels, ((&x).into(), &w), (&x, &w), false))),
        ("weight does not fit", reason_of(&mut || dual(&convolution, ((&x).into(), &w), (&x, &w[1..]), false))),
        ("x does not fit", reason_of(&mut || dual(&convolution, ((&x).into(), &w), (&x[1..], &w), false))),
    ];
    for (expected, reason) in refused {
        assert!(reason.contains(expected), "{reason}");
    }
}

/// Why an operation panics.
fn reason_of<R: std::fmt::Debug>(operation: &mut dyn FnMut() -> R) -> String {
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(operation));
    *refused.expect_err("it should have been refused").downcast::<String>().expect("a reason with the sizes")
}

#[test]
fn sizes_that_are_no_convolution_are_refused() {
    let fine =
        Convolution { samples: 1, channels: [2, 2], size: [3, 3], kernel: [3, 3], stride: 1, padding: 0, groups: 1 };
    let wrong = [
        Convolution { kernel: [4, 3], ..fine },
        Convolution { kernel: [3, 0], ..fine },
        Convolution { size: [3, 2], ..fine },
        Convolution { stride: 0, ..fine },
        Convolution { groups: 0, ..fine },
        Convolution { channels: [2, 3], groups: 2, ..fine },
    ];
    for convolution in wrong {
        let reason = reason_of(&mut || sum(&convolution, &[([0.0; 18].as_slice().into(), &[0.0; 36])]));
        assert!(reason.contains(&format!("{convolution:?}")), "{reason}");
    }
}

#[test]
fn maps_match_the_reference_in_f64() {
    (1..).zip(all_shapes()).for_each(|(seed, convolution)| maps_match_the_reference::<f64>(&convolution, seed, 1e-13));
}

#[test]
fn maps_match_the_reference_in_f32() {
    (1..).zip(all_shapes()).for_each(|(seed, convolution)| maps_match_the_reference::<f32>(&convolution, seed, 1e-5));
}

/// `<x * w, y_bar> = <x, x_bar> = <w, w_bar>`, up to rounding.
fn assert_adjoint(convolution: &Convolution, seed: u64) {
    let x = values::<f64>(convolution.input_length(), seed);
    let w = values::<f64>(convolution.channels[1] * convolution.group()[0] * convolution.taps(), seed + 1);
    let y_bar = values::<f64>(convolution.output_length(), seed + 2);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let along = dot(&sum(convolution, &[((&x).into(), &w)]), &y_bar);
    let to_input = dot(&x, &input_cotangent(convolution, &y_bar, &w));
    let to_weight = dot(&w, &weight_cotangent(convolution, &x, &y_bar));
    let typical = (convolution.operations() as f64).sqrt();
    for back in [to_input, to_weight] {
        assert!((back - along).abs() <= 1e-13 * typical, "{convolution:?}: {back}, not {along}");
    }
}

#[test]
fn maps_are_each_others_transposes() {
    (1..).zip(all_shapes()).for_each(|(seed, convolution)| assert_adjoint(&convolution, seed));
}
