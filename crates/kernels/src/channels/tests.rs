//! Against the definitions, and fused rectifiers against a pass of their own.

use proptest::prelude::*;

use super::*;

/// One pixel, of few channels and of more than are added up side by side and of more rows than a thread's chunk; fewer pixels than a chunk of lanes,
/// more, and more planes than a thread's chunk.
const SIZES: [Channels; 5] = [
    Channels { samples: 3, channels: 2, pixels: 1 },
    Channels { samples: CHUNK / 100, channels: 150, pixels: 1 },
    Channels { samples: 2, channels: 3, pixels: 7 },
    Channels { samples: 2, channels: 5, pixels: 77 },
    Channels { samples: 5, channels: 3, pixels: 9000 },
];

fn values(count: usize, step: f64) -> Vec<f64> {
    (0..count).map(|i| (i as f64 * step).sin() + 3.0).collect()
}

fn of_channel(sizes: &Channels, values: &[f64], channel: usize) -> Vec<f64> {
    (0..sizes.samples).flat_map(|sample| values[sizes.plane(sample, channel)].to_vec()).collect()
}

#[test]
fn statistics_are_those_of_the_definition() {
    for sizes in SIZES {
        let count = sizes.samples * sizes.channels * sizes.pixels;
        let (x, v) = (values(count, 0.7), values(count, 1.3));
        let mean: Vec<f64> = (0..sizes.channels).map(|channel| 0.5 + channel as f64).collect();
        let (found, pairs) = (moments(&sizes, &x), sums(&sizes, &v, &x, &mean, None));
        for channel in 0..sizes.channels {
            let (x, v) = (of_channel(&sizes, &x, channel), of_channel(&sizes, &v, channel));
            let average = x.iter().sum::<f64>() / x.len() as f64;
            let deviation = x.iter().map(|x| (x - average).powi(2)).sum::<f64>() / x.len() as f64;
            assert!((found[channel][0] - average).abs() < 1e-12);
            assert!((found[channel][1] - deviation).abs() < 1e-12);
            let product: f64 = v.iter().zip(&x).map(|(v, x)| v * (x - mean[channel])).sum();
            assert!((pairs[channel][0] - v.iter().sum::<f64>()).abs() < 1e-9);
            assert!((pairs[channel][1] - product).abs() < 1e-12 * product.abs().max(1.0) * x.len() as f64);
        }
    }
}

/// Of planes far from one another, and from 0.
#[test]
fn moments_of_channels_are_made_of_those_of_planes() {
    let sizes = Channels { samples: 5, channels: 3, pixels: 7 };
    let x: Vec<f64> = values(105, 0.7).iter().enumerate().map(|(i, x)| x + 1e4 * (i / 7) as f64).collect();
    let of_planes: Vec<_> = (0..15)
        .flat_map(|plane| moments(&Channels { samples: 1, channels: 1, pixels: 7 }, &x[plane * 7..][..7]))
        .collect();
    for (found, expected) in moments_of_planes(3, &of_planes).iter().flatten().zip(moments(&sizes, &x).iter().flatten())
    {
        assert!((found - expected).abs() < 1e-12 * expected, "{found}, not {expected}");
    }
}

#[test]
fn features_have_the_bits_of_planes_of_one_pixel() {
    let (channels, samples) = (150, 37);
    let x: Vec<f32> = values(samples * channels, 0.7).into_iter().map(|x| x as f32).collect();
    let found = sums::of_pixels(channels, (&x, &x), |channel| Products { mean: channel as f32 });
    for (channel, found) in found.into_iter().enumerate() {
        let planes = (0..samples).map(|sample| &x[sample * channels + channel..][..1]).map(|plane| (plane, plane));
        assert_eq!(found, sums::of_planes(planes, Products { mean: channel as f32 }));
    }
}

#[test]
fn planes_are_scaled_by_their_own_channel() {
    for sizes in SIZES {
        let count = sizes.samples * sizes.channels * sizes.pixels;
        let (x, v) = (values(count, 0.7), values(count, 1.3));
        let [a, b, d] = [1.0, 10.0, 100.0].map(|s| (0..sizes.channels).map(|c| s * (c + 1) as f64).collect::<Vec<_>>());
        let (y, mut w) = (affine(&sizes, &x, [&a, &d], None), v.clone());
        combine(&sizes, &mut w, &x, [&a, &b, &d], None);
        for i in 0..count {
            let c = i / sizes.pixels % sizes.channels;
            assert!((y[i] - (a[c] * x[i] + d[c])).abs() < 1e-12);
            assert!((w[i] - (a[c] * v[i] + b[c] * x[i] + d[c])).abs() < 1e-10);
        }
    }
}

/// Fused with the rectifier every function gives the same bits as with a pass of its own.
#[test]
fn a_rectifier_is_that_of_its_own_pass() {
    for sizes in SIZES {
        let count = sizes.samples * sizes.channels * sizes.pixels;
        let (x, v) = (values(count, 0.7), values(count, 1.3));
        // Values by channel, so that a wrong channel is seen.
        let by_channel =
            |first: f64, step: f64| (0..sizes.channels).map(|c| first + step * c as f64).collect::<Vec<_>>();
        let [a, b, d, mean] =
            [[1.0, 0.1], [-0.3, 0.2], [-3.1, 0.3], [0.5, 0.4]].map(|[first, step]| by_channel(first, step));
        let (scale, shift) = (by_channel(1.0, -0.05), by_channel(-3.0, 0.1));
        let rectifier = Rectifier { scale: &scale, shift: &shift };
        let plain = affine(&sizes, &x, [&scale, &shift], None);
        let gated = |mut v: Vec<f64>| {
            crate::gate::gate(&mut v, &plain);
            v
        };
        let fused = Some(rectifier);
        assert!(plain.iter().any(|y| *y > 0.0) && plain.iter().any(|y| *y < 0.0));
        assert_eq!(affine(&sizes, &x, [&a, &d], fused), gated(affine(&sizes, &x, [&a, &d], None)));
        assert_eq!(sums(&sizes, &v, &x, &mean, fused), sums(&sizes, &gated(v.clone()), &x, &mean, None));
        let combined = |mut v: Vec<f64>, rectifier| {
            combine(&sizes, &mut v, &x, [&a, &b, &d], rectifier);
            v
        };
        let side = |side| fused.map(|rectifier| (side, rectifier));
        assert_eq!(combined(v.clone(), side(Side::Operand)), combined(gated(v.clone()), None));
        assert_eq!(combined(v.clone(), side(Side::Result)), gated(combined(v, None)));
    }
}

proptest! {
    /// Planes of any size, none too: every element is written, and by its own channel.
    #[test]
    fn scaled_planes_are_those_of_the_definition(samples in 0..5_usize, channels in 0..9_usize, pixels in 0..70_usize) {
        let sizes = Channels { samples, channels, pixels };
        let x: Vec<f32> = values(samples * channels * pixels, 0.7).into_iter().map(|x| x as f32).collect();
        let [a, d]: [Vec<f32>; 2] = [2.0, -3.0].map(|s| (0..channels).map(|c| s * (c + 1) as f32).collect());
        let rectifier = Rectifier { scale: &a, shift: &d };
        let rectified = affine(&sizes, &x, [&a, &d], Some(rectifier));
        for (i, y) in affine(&sizes, &x, [&a, &d], None).into_iter().enumerate() {
            let c = i / pixels % channels;
            prop_assert!((y - (a[c] * x[i] + d[c])).abs() < 1e-5 * (1.0 + d[c].abs()), "{i}: {y}");
            prop_assert_eq!(rectified[i], y.max(0.0));
        }
    }
}

#[test]
fn every_channel_adds_its_share_of_the_direction_s_plane() {
    for sizes in SIZES {
        for directions in [1, 3] {
            let Channels { samples, channels, pixels } = sizes;
            let y = values(directions * samples * channels * pixels, 0.7);
            let (a, s) = (values(directions * channels, 0.4), values(samples * directions * pixels, 1.3));
            let mut sum = y.clone();
            add_outer(&sizes, &mut sum, &a, &s);
            for (place, (sum, y)) in sum.iter().zip(&y).enumerate() {
                let (pixel, channel) = (place % pixels, place / pixels % channels);
                let (sample, direction) =
                    (place / (pixels * channels) % samples, place / (pixels * channels * samples));
                let share = a[direction * channels + channel] * s[(sample * directions + direction) * pixels + pixel];
                assert!((sum - y - share).abs() < 1e-14);
            }
        }
    }
}

#[test]
#[should_panic(
    expected = "a does not have a value for each channel of Channels { samples: 1, channels: 2, pixels: 3 }"
)]
fn a_missing_channel_is_an_error() {
    affine(&Channels { samples: 1, channels: 2, pixels: 3 }, &[0.0_f32; 6], [&[1.0], &[0.0; 2]], None);
}

#[test]
fn a_large_mean_does_not_drown_the_deviation() {
    let sizes = Channels { samples: 2, channels: 1, pixels: 500 };
    let x: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 1000.5 } else { 1001.5 }).collect();
    let [[mean, deviation]] = moments(&sizes, &x)[..] else { panic!("one channel") };
    assert!((mean - 1001.0).abs() < 1e-9 && (deviation - 0.25).abs() < 1e-9, "{mean} {deviation}");
}

#[test]
fn a_first_sample_far_from_the_others_does_not_drown_the_deviation() {
    for pixels in [1, 64] {
        let sizes = Channels { samples: 100, channels: 2, pixels };
        let mut x: Vec<f32> = values(200 * pixels, 0.7).into_iter().map(|x| x as f32).collect();
        x[..2 * pixels].iter_mut().for_each(|x| *x += 3000.0);
        let exact: Vec<f64> = x.iter().copied().map(f64::from).collect();
        for ([mean, deviation], expected) in moments(&sizes, &x).into_iter().zip(moments(&sizes, &exact)) {
            assert!((mean / expected[0] - 1.0).abs() < 1e-5, "{mean} and {expected:?}");
            assert!((deviation / expected[1] - 1.0).abs() < 1e-5, "{deviation} and {expected:?}");
        }
    }
}
