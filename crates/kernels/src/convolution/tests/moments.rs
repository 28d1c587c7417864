//! Moments of what a sum writes, against the definition.

use super::*;
use crate::convolution::{sum_in_place_and_moments, winograd};

/// Mean and mean squared deviation of a channel, by the definition.
fn expected<T: Real>(convolution: &Convolution, y: &[T], channel: usize) -> [f64; 2] {
    let pixels = convolution.output().iter().product::<usize>();
    let planes = y.chunks_exact(pixels).skip(channel).step_by(convolution.channels[1]);
    let values: Vec<f64> = planes.flatten().map(|value| value.to_f64()).collect();
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mean = average(&values);
    [mean, average(&values.iter().map(|value| (value - mean).powi(2)).collect::<Vec<_>>())]
}

fn match_the_definition<T: Real>(convolution: &Convolution, shift: f64, limit: f64) {
    let weights = convolution.channels[1] * convolution.group()[0] * convolution.taps();
    let (x, w) = (values::<T>(convolution.input_length(), 1), values::<T>(weights, 2));
    let x: Vec<T> = x.into_iter().map(|x| x + T::of_f64(shift)).collect();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| sum_and_moments(convolution, ((&x).into(), &w)))
    };
    let (y, moments) = on(1);
    assert!(on(3) == (y.clone(), moments.clone()), "{convolution:?}: the same bits, however many threads");
    assert!(y == sum(convolution, &[((&x).into(), &w)]), "{convolution:?}: the same planes as without moments");
    for (channel, found) in moments.iter().enumerate() {
        let expected = expected(convolution, &y, channel);
        // A mean may be 0 by chance.
        let scale = [expected[0].abs().max(expected[1].sqrt()), expected[1]];
        for which in 0..2 {
            let gap = (found[which] - expected[which]).abs();
            assert!(gap <= limit * scale[which], "{convolution:?}: {found:?}, not {expected:?}");
        }
    }
    if works_in_place(convolution) {
        let mut in_place = x.clone();
        assert!(sum_in_place_and_moments(convolution, (&mut in_place, None, &w)) == moments && in_place == y);
    }
}

/// Whatever way the sum goes: by sample, by channel, by windows.
#[test]
fn moments_of_any_shape_match_the_definition() {
    for convolution in all_shapes().filter(|shape| shape.output().iter().product::<usize>() * shape.samples > 1) {
        match_the_definition::<f32>(&convolution, 0.0, 2e-6);
        match_the_definition::<f64>(&convolution, 0.0, 1e-14);
    }
}

/// Planes far from 0, as an input's mean makes them; what the border takes off is the first row's too.
#[test]
fn moments_of_planes_far_from_0_keep_their_digits() {
    for padding in [0, 1] {
        let convolution = three_by_three(24, [6, 9], [16, 20], (1, padding, 1));
        match_the_definition::<f32>(&convolution, 50.0, 1e-5);
    }
}

#[test]
fn moments_are_taken_in_cache_where_planes_lie_side_by_side() {
    let taken =
        |samples, channels, size| winograd::takes_moments(&three_by_three(samples, [channels; 2], size, (1, 1, 1)));
    let has_lanes = !matches!(path(), Path::Portable | Path::Composed);
    assert_eq!([taken(16, 8, [9, 11]), taken(16, 8, [4, 4]), taken(3, 8, [9, 11])], [has_lanes, has_lanes, false]);
    assert_eq!([taken(3, 70, [9, 11]), taken(3, 70, [4, 4])], [true, false]);
}
