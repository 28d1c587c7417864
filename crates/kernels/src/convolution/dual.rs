//! A convolution's value and its tangent at once: what they share, the input and the weight, is transformed once.

use std::mem::MaybeUninit;

use super::outer::Sizes;
use super::shape::Convolution;
use super::target::{Moments, Target};
use super::winograd::{self, Map, Product, Sums};
use super::{assert_lengths, channel_moments, plane_moments, works_in_place};
use crate::source::{ChannelMap, Input, Source};
use crate::{Real, memory};

/// Whether [`dual`] is a way to a convolution, and faster than one sum after another.
pub fn is_faster_dual(convolution: &Convolution) -> bool {
    winograd::is_faster_sums(convolution)
}

/// `y = x * w` and `y_dot = x_dot * w + x * w_dot`, with the bits of [`sum`](super::sum): `[y, y_dot]`; and the moments of the channels of `y`, as
/// [`sum_and_moments`](super::sum_and_moments) takes them, if they are wanted.
///
/// # Panics
/// If [`is_faster_dual`] says no, a slice's length is not that of its shape, or the shape is none of a convolution.
pub fn dual<T: Real>(
    convolution: &Convolution,
    (x, weight): (Source<'_, T>, &[T]),
    (x_dot, w_dot): (&[T], &[T]),
    wants_moments: bool,
) -> ([Vec<T>; 2], Option<Vec<Moments>>) {
    x.assert_fits(convolution.samples, convolution.channels[0]);
    assert_fits(convolution, [x.len(), x_dot.len()], [weight, w_dot]);
    let length = convolution.output_length();
    let mut of_planes = plane_moments(convolution, wants_moments);
    let write_both = |[y_dot, y]: [&mut [MaybeUninit<T>]; 2]| {
        let targets = [Target::plain(y_dot), Target { values: y, moments: &mut of_planes }];
        // SAFETY: the inputs have memory of their own.
        unsafe { write(convolution, [Input::Own(x_dot.into()), Input::Own(x)], [weight, w_dot], targets) };
    };
    let [y_dot, y] = match convolution.is_empty() {
        true => [(); 2].map(|()| vec![T::default(); length]),
        // SAFETY: tiles cover every pixel of both targets.
        false => unsafe { memory::written_each(length, write_both) },
    };
    let moments = wants_moments.then(|| channel_moments(convolution, &y, &of_planes));
    ([y, y_dot], moments)
}

/// [`dual`] in the memory of its inputs: `x <- x * w`, `x_dot <- x_dot * w + x * w_dot`, with `x` as it is or through a map.
///
/// # Panics
/// As [`dual`], and if the convolution does not work in place.
pub fn dual_in_place<T: Real>(
    convolution: &Convolution,
    (x, map, weight): (&mut [T], Option<ChannelMap<'_, T>>, &[T]),
    (x_dot, w_dot): (&mut [T], &[T]),
    wants_moments: bool,
) -> Option<Vec<Moments>> {
    assert!(works_in_place(convolution), "{convolution:?} does not work in place");
    assert_fits(convolution, [x.len(), x_dot.len()], [weight, w_dot]);
    Source::of(x, map).assert_fits(convolution.samples, convolution.channels[0]);
    let mut of_planes = plane_moments(convolution, wants_moments);
    let write_both = |x: &mut [MaybeUninit<T>]| {
        let write = |x_dot: &mut [MaybeUninit<T>]| {
            let targets = [Target::plain(x_dot), Target { values: x, moments: &mut of_planes }];
            // SAFETY: both have been written, and the output is as large as the input.
            unsafe { write(convolution, [Input::Target(None), Input::Target(map)], [weight, w_dot], targets) };
        };
        // SAFETY: tiles put numbers wherever they write.
        unsafe { memory::overwritten(x_dot, write) };
    };
    if !convolution.is_empty() {
        // SAFETY: as above.
        unsafe { memory::overwritten(x, write_both) };
    }
    wants_moments.then(|| channel_moments(convolution, x, &of_planes))
}

fn assert_fits<T>(convolution: &Convolution, inputs: [usize; 2], weights: [&[T]; 2]) {
    convolution.assert_has_meaning();
    assert!(is_faster_dual(convolution), "{convolution:?} is not for tiles");
    for (input, weight) in inputs.into_iter().zip(weights) {
        assert_lengths(convolution, input, weight.len(), convolution.output_length());
    }
}

/// Writes tangent and value, given `[x_dot, x]` and `[w, w_dot]`.
///
/// # Safety
/// Targets that hold an input must have been written, and be as large.
unsafe fn write<T: Real>(
    convolution: &Convolution,
    inputs: [Input<'_, T>; 2],
    weights: [&[T]; 2],
    mut targets: [Target<'_, T>; 2],
) {
    let product = |input, weight, target| Product { input, weight, target };
    let sums = Sums {
        inputs: inputs.to_vec(),
        weights: weights.map(|weight| (weight, convolution.strides())).to_vec(),
        products: vec![product(0, 0, 0), product(1, 1, 0), product(1, 0, 1)],
    };
    // SAFETY: the caller's promise; targets are in the order of the inputs.
    unsafe { T::sums_of_tiles(&Sizes::of(convolution), &Map::forward(convolution), &sums, &mut targets) };
}
