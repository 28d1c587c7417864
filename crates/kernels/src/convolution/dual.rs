//! A convolution's value and its tangents at once: what they share, the input and the weight, is transformed once.

use std::mem::MaybeUninit;

use super::outer::Sizes;
use super::shape::Convolution;
use super::source::Source;
use super::winograd::{self, Map, Product, Sums};
use super::{assert_lengths, works_in_place};
use crate::{Real, memory};

/// Directions taken at a time: with the value, a thread holds so many transformed inputs, and as many products, in cache.
const AT_ONCE: usize = 1;

/// Whether [`dual`] is a way to a convolution, and faster than one sum after another.
pub fn is_faster_dual(convolution: &Convolution) -> bool {
    winograd::is_faster_sums(convolution)
}

/// `y = x * w`, and `y_dot = x_dot * w + x * w_dot` of every direction, one after the other as in `x_dot`; `w_dot` is none for a direction
/// that does not move the weight. Gives `[y, y_dot]`, with the bits of [`sum`](super::sum).
///
/// # Panics
/// If [`is_faster_dual`] says no, there is no direction, a slice's length is not that of its shape, or the shape is none of a convolution.
pub fn dual<T: Real>(
    convolution: &Convolution,
    (x, weight): (&[T], &[T]),
    (x_dot, w_dot): (&[T], &[Option<&[T]>]),
) -> [Vec<T>; 2] {
    assert_fits(convolution, (x.len(), weight), (x_dot.len(), w_dot));
    let length = convolution.output_length();
    if convolution.is_empty() {
        return [vec![T::default(); length], vec![T::default(); w_dot.len() * length]];
    }
    let mut y = Vec::new();
    let write = |y_dot: &mut [MaybeUninit<T>]| {
        // SAFETY: tiles cover every pixel of every target. The inputs have memory of their own.
        y = unsafe {
            memory::written(length, |y| write(convolution, (Some(x), Some(x_dot)), (weight, w_dot), (y, y_dot)))
        };
    };
    // SAFETY: as above.
    let y_dot = unsafe { memory::written(w_dot.len() * length, write) };
    [y, y_dot]
}

/// [`dual`] in the memory of its inputs: `x <- x * w`, `x_dot <- x_dot * w + x * w_dot`.
///
/// # Panics
/// As [`dual`], and if the convolution does not work in place.
pub fn dual_in_place<T: Real>(
    convolution: &Convolution,
    (x, weight): (&mut [T], &[T]),
    (x_dot, w_dot): (&mut [T], &[Option<&[T]>]),
) {
    assert!(works_in_place(convolution), "{convolution:?} does not work in place");
    assert_fits(convolution, (x.len(), weight), (x_dot.len(), w_dot));
    if convolution.is_empty() {
        return;
    }
    let write = |x: &mut [MaybeUninit<T>]| {
        // SAFETY: tiles put numbers wherever they write. Both hold numbers, and the output is as large as the input.
        unsafe {
            memory::overwritten(x_dot, |x_dot| write(convolution, (None, None), (weight, w_dot), (x, x_dot)));
        }
    };
    // SAFETY: as above.
    unsafe { memory::overwritten(x, write) };
}

fn assert_fits<T>(convolution: &Convolution, (x, weight): (usize, &[T]), (x_dot, w_dot): (usize, &[Option<&[T]>])) {
    convolution.assert_has_meaning();
    assert!(is_faster_dual(convolution), "{convolution:?} is not for tiles");
    assert!(!w_dot.is_empty(), "no direction for {convolution:?}");
    for weight in w_dot.iter().flatten().chain([&weight]) {
        assert_lengths(convolution, x, weight.len(), convolution.output_length());
    }
    assert_eq!(x_dot, w_dot.len() * x, "x_dot does not fit {} directions of {convolution:?}", w_dot.len());
}

/// Writes the tangents, some directions at a time, and with the last of them the value.
///
/// # Safety
/// Inputs that are none are in their targets, each of which must have been written and be as large.
unsafe fn write<T: Real>(
    convolution: &Convolution,
    (x, x_dot): (Option<&[T]>, Option<&[T]>),
    (weight, w_dot): (&[T], &[Option<&[T]>]),
    (y, y_dot): (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]),
) {
    let (sizes, map) = (Sizes::of(convolution), Map::forward(convolution));
    let [input, output] = [convolution.input_length(), convolution.output_length()];
    let parts = w_dot.len().div_ceil(AT_ONCE);
    let targets = w_dot.chunks(AT_ONCE).zip(y_dot.chunks_mut(AT_ONCE * output));
    for (part, (w_dot, y_dot)) in targets.enumerate() {
        let of_direction = |one: usize| Some((&x_dot?[(part * AT_ONCE + one) * input..][..input]).into());
        let mut inputs: Vec<Option<Source<'_, T>>> = (0..w_dot.len()).map(of_direction).collect();
        let mut targets: Vec<_> = y_dot.chunks_exact_mut(output).collect();
        let is_last = part + 1 == parts;
        if is_last {
            inputs.push(x.map(Source::from));
            targets.push(&mut *y);
        } else {
            // SAFETY: the caller's promise; the value's target is written at last.
            inputs.push(Some(x.unwrap_or_else(|| unsafe { y.assume_init_ref() }).into()));
        }
        let (weights, products) = shared(weight, w_dot, is_last);
        let weights = weights.into_iter().map(|weight| (weight, convolution.strides())).collect();
        // SAFETY: the caller's promise; the targets are in the order of the inputs.
        unsafe { T::sums_of_tiles(&sizes, &map, &Sums { inputs, weights, products }, &mut targets) };
    }
}

/// The weights, and what is added to every direction's target, then to the value's if it has one: the input and target of a number are
/// a direction's, the last is the value's.
fn shared<'a, T>(weight: &'a [T], w_dot: &[Option<&'a [T]>], with_value: bool) -> (Vec<&'a [T]>, Vec<Product>) {
    let (mut weights, mut products, value) = (vec![weight], Vec::new(), w_dot.len());
    for (direction, w_dot) in w_dot.iter().enumerate() {
        products.push(Product { input: direction, weight: 0, target: direction });
        if let Some(w_dot) = w_dot {
            products.push(Product { input: value, weight: weights.len(), target: direction });
            weights.push(w_dot);
        }
    }
    if with_value {
        products.push(Product { input: value, weight: 0, target: value });
    }
    (weights, products)
}
