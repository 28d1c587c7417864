use super::{Convolution, input_cotangent, reference, sum, weight_cotangent};
use crate::Real;

/// Ragged shapes: every branch of the layouts (rows of 16, 8, 4, 2 and odd), strides that do and do not divide, windows of
/// one, even and large size, groups, fewer and more channels than a tile, more pixels than a block, empty phases; from 48
/// channels on the 3x3 windows of stride 1 go through Winograd's tiles.
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

fn assert_near<T: Real>(what: &str, convolution: &Convolution, found: &[T], expected: &[f64], limit: f64) {
    assert_eq!(found.len(), expected.len(), "{what} {convolution:?}");
    let scale = expected.iter().fold(1e-3, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let gap = (found.to_f64() - expected).abs() / scale;
        assert!(gap <= limit, "{what} {convolution:?}: element {index} is {}, not {expected}", found.to_f64());
    }
}

fn all_maps_match_the_reference<T: Real>(limit: f64) {
    for (seed, convolution) in (1..).zip(shapes()) {
        let [input, output] = convolution.channels;
        let (size, out_size) = (convolution.size, convolution.output());
        let x_len = convolution.samples * input * size[0] * size[1];
        let y_len = convolution.samples * output * out_size[0] * out_size[1];
        let w_len = output * convolution.group()[0] * convolution.taps();
        let (x, other) = (values::<T>(x_len, seed), values::<T>(x_len, seed + 100));
        let (w, w_dot) = (values::<T>(w_len, seed + 200), values::<T>(w_len, seed + 300));
        let y_bar = values::<T>(y_len, seed + 400);

        let y = sum(&convolution, &[(&other, &w), (&x, &w_dot)]);
        let both =
            reference::forward(&convolution, &other, &w).into_iter().zip(reference::forward(&convolution, &x, &w_dot));
        let expected: Vec<f64> = both.map(|(a, b)| a + b).collect();
        assert_near("sum", &convolution, &y, &expected, limit);

        let x_bar = input_cotangent(&convolution, &y_bar, &w);
        assert_near("x_bar", &convolution, &x_bar, &reference::input_cotangent(&convolution, &y_bar, &w), limit);

        let w_bar = weight_cotangent(&convolution, &x, &y_bar);
        assert_near("w_bar", &convolution, &w_bar, &reference::weight_cotangent(&convolution, &x, &y_bar), limit);
    }
}

#[test]
fn maps_match_the_reference_in_f64() {
    all_maps_match_the_reference::<f64>(1e-13);
}

#[test]
fn maps_match_the_reference_in_f32() {
    all_maps_match_the_reference::<f32>(1e-5);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let convolution =
        Convolution { samples: 13, channels: [10, 12], size: [8, 8], kernel: [3, 3], stride: 1, padding: 1, groups: 1 };
    let x = values::<f32>(13 * 10 * 64, 1);
    let w = values::<f32>(12 * 10 * 9, 2);
    let y_bar = values::<f32>(13 * 12 * 64, 3);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| {
            let x_bar = input_cotangent(&convolution, &y_bar, &w);
            (sum(&convolution, &[(&x, &w)]), x_bar, weight_cotangent(&convolution, &x, &y_bar))
        })
    };
    assert!(on(1) == on(3));
}

/// The documented error: Winograd's tiles against plain sums, in `f32`, relative to the largest output.
#[test]
fn winograd_rounds_about_as_a_plain_sum_does() {
    let convolution = Convolution {
        samples: 1,
        channels: [64, 64],
        size: [16, 16],
        kernel: [3, 3],
        stride: 1,
        padding: 1,
        groups: 1,
    };
    let (x, w) = (values::<f32>(convolution.input_length(), 7), values::<f32>(64 * 64 * 9, 8));
    assert_near(
        "winograd",
        &convolution,
        &sum(&convolution, &[(&x, &w)]),
        &reference::forward(&convolution, &x, &w),
        2e-6,
    );
}
