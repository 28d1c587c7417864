//! What is asked of Winograd's tiles beside the reference: the same bits on any number of threads and through a map on reading, and small errors.

use super::*;

/// Windows that tiles of stride 2 take: no row or column is left, or the last is read by no window; more or fewer pixels than whole tiles, and
/// so many channels that they are taken in parts. Among them are two that are too few for tiles: a pixel, and eight channels.
pub(super) fn shapes_of_stride_2() -> Vec<Convolution> {
    let shape =
        |samples, channels, size, padding, groups| three_by_three(samples, channels, size, (2, padding, groups));
    vec![
        shape(2, [36, 40], [8, 8], 1, 1),
        shape(3, [33, 35], [7, 14], 1, 1),
        shape(1, [16, 17], [13, 16], 1, 1),
        shape(7, [70, 32], [7, 7], 1, 1),
        shape(2, [33, 34], [9, 10], 0, 1),
        shape(5, [40, 34], [18, 17], 0, 1),
        shape(2, [35, 33], [5, 6], 2, 1),
        shape(3, [34, 50], [13, 14], 2, 1),
        shape(2, [70, 96], [15, 8], 1, 2),
        shape(1, [48, 48], [1, 1], 1, 1),
        shape(1, [288, 272], [8, 8], 1, 1),
        shape(16, [8, 8], [8, 8], 1, 1),
    ]
}

/// Windows of one pixel, with whole registers of channels and others, the last row or column read by none, and several tasks.
pub(super) fn shapes_of_one_pixel() -> Vec<Convolution> {
    let shape = |samples, channels, size, stride, groups| Convolution {
        kernel: [1, 1],
        ..three_by_three(samples, channels, size, (stride, 0, groups))
    };
    vec![
        shape(2, [32, 64], [8, 8], 1, 1),
        shape(2, [32, 64], [8, 8], 2, 1),
        shape(3, [17, 19], [5, 7], 2, 1),
        shape(3, [66, 54], [3, 5], 1, 3),
        shape(40, [16, 70], [6, 7], 2, 1),
        shape(70, [19, 16], [4, 4], 1, 1),
        shape(1, [16, 280], [1, 1], 1, 1),
    ]
}

#[test]
fn a_map_on_reading_is_one_before_reading() {
    let one = |samples, channels, stride, groups| three_by_three(samples, channels, [9, 10], (stride, 1, groups));
    let with_a_sample_a_lane = one(50, [9, 12], 1, 1);
    let strided = [one(3, [33, 40], 2, 1), one(2, [64, 68], 2, 2)].map(|two| Convolution { size: [13, 8], ..two });
    for convolution in [with_a_sample_a_lane].into_iter().chain(strided).chain(shapes_of_one_pixel()) {
        for kind in [(false, false), (true, false), (true, true)] {
            mapped_on_reading::<f32>(&convolution, 5, kind);
            mapped_on_reading::<f64>(&convolution, 5, kind);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let narrow = [(13, [10, 12], 1), (64, [10, 12], 1), (200, [10, 12], 1), (13, [16, 16], 1)];
    let wide = [(13, [33, 40], 1), (13, [280, 272], 1), (90, [33, 40], 2), (13, [280, 272], 2)];
    let of_three = |(samples, channels, stride)| three_by_three(samples, channels, [8, 8], (stride, 1, 1));
    for convolution in narrow.into_iter().chain(wide).map(of_three).chain(shapes_of_one_pixel()) {
        let x = values::<f32>(convolution.input_length(), 1);
        let w = values::<f32>(convolution.channels[1] * convolution.group()[0] * convolution.taps(), 2);
        let y_bar = values::<f32>(convolution.output_length(), 3);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
            pool.install(|| {
                let x_bar = input_cotangent(&convolution, &y_bar, &w);
                (sum(&convolution, &[((&x).into(), &w)]), x_bar, weight_cotangent(&convolution, &x, &y_bar))
            })
        };
        assert!(on(1) == on(3));
    }
}

/// The root mean square error in units of what rounding every product once would leave: `eps sqrt(terms)` times the root
/// mean square of a product, for values evenly spread over ±1/2 (a twelfth each, squared).
fn error_in_roundings(found: &[f32], expected: &[f64], terms: usize) -> f64 {
    let squares: f64 = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let rounding = f64::from(f32::EPSILON) / 2.0 * (terms as f64).sqrt() / 12.0;
    (squares / found.len() as f64).sqrt() / rounding
}

/// The documented errors of tiles in `f32`: sums 14 (64 channels) and 34 (512), where the plain kernels' are 7 and 15; weights'
/// cotangents 9 and 6, where those are 1. With stride 2: sums 10 and 25, cotangents of inputs 5 and 12, of weights 7 and 4.
#[test]
fn tiles_lose_few_bits() {
    let of_stride_1 = [[8, 32, 16], [64, 16, 1], [512, 4, 2]].map(|size| (size, 1));
    let of_stride_2 = [[64, 32, 1], [512, 8, 2]].map(|size| (size, 2));
    for ([channels, side, samples], stride) in of_stride_1.into_iter().chain(of_stride_2) {
        let convolution = three_by_three(samples, [channels; 2], [side; 2], (stride, 1, 1));
        let outputs = convolution.output_length() / channels;
        let (x, w) = (values::<f32>(convolution.input_length(), 7), values::<f32>(channels * channels * 9, 8));
        let y_bar = values::<f32>(convolution.output_length(), 9);
        let errors = [
            (sum(&convolution, &[((&x).into(), &w)]), reference::forward(&convolution, &x, &w), 9 * channels),
            (
                input_cotangent(&convolution, &y_bar, &w),
                reference::input_cotangent(&convolution, &y_bar, &w),
                9 * channels,
            ),
            (
                weight_cotangent(&convolution, &x, &y_bar),
                reference::weight_cotangent(&convolution, &x, &y_bar),
                outputs,
            ),
        ]
        .map(|(found, expected, terms)| error_in_roundings(&found, &expected, terms));
        assert!(errors.iter().all(|error| *error < 50.0), "{channels} channels: {errors:?} roundings");
    }
}
