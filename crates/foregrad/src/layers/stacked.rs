//! Tangents of several directions stacked along the batch axis: `[k n, c, h, w]`, direction by direction.

use burn::tensor::Tensor;

use crate::vector::ParamVector;

/// `a + b`, where `None` is zero.
pub fn add(a: Option<Tensor<4>>, b: Option<Tensor<4>>) -> Option<Tensor<4>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// The directions of one parameter, one tensor of its shape a direction, or `None` if it is in no direction.
///
/// # Panics
/// If the parameter's rank is not `D`.
pub fn directions<const D: usize>(theta_dot: &[ParamVector], path: &str) -> Option<Vec<Tensor<D>>> {
    let present: Vec<_> = theta_dot.iter().map(|theta_dot| theta_dot.get::<D>(path)).collect();
    let like = present.iter().flatten().next()?.clone();
    Some(present.into_iter().map(|tensor| tensor.unwrap_or_else(|| like.zeros_like())).collect())
}

/// The directions of a parameter with one value a channel, as `[k, c]`.
pub fn channel_rows(theta_dot: &[ParamVector], path: &str) -> Option<Tensor<2>> {
    directions::<1>(theta_dot, path).map(|vectors| Tensor::stack(vectors, 0))
}

/// The directions of a scale `weight` and a shift `bias` with one value a channel, each `[k, c]`; zero where only the other moves.
pub fn channel_tangents(theta_dot: &[ParamVector]) -> Option<[Tensor<2>; 2]> {
    let rows = ["weight", "bias"].map(|path| channel_rows(theta_dot, path));
    let like = rows.iter().flatten().next()?.clone();
    Some(rows.map(|rows| rows.unwrap_or_else(|| like.zeros_like())))
}

/// The directions of a parameter with one value a channel, as `[k, 1, c, 1]`.
pub fn channel_directions(theta_dot: &[ParamVector], path: &str) -> Option<Tensor<4>> {
    let rows = channel_rows(theta_dot, path)?;
    let [count, channels] = rows.dims();
    Some(rows.reshape([count, 1, channels, 1]))
}

/// The `count` directions of a stack, one tensor each.
///
/// # Panics
/// If `count` is 0.
pub fn split(x_dot: Tensor<4>, count: usize) -> Vec<Tensor<4>> {
    if count == 1 { vec![x_dot] } else { x_dot.chunk(count, 0) }
}

/// A stack of directions.
///
/// # Panics
/// If there is none, or if their shapes differ.
pub fn join(mut directions: Vec<Tensor<4>>) -> Tensor<4> {
    if directions.len() == 1 { directions.remove(0) } else { Tensor::cat(directions, 0) }
}

/// `[k n, c, h, w]` as `[k, n, c, h w]`, for maps that broadcast what is shared by all directions.
///
/// # Panics
/// If the first axis is no multiple of `samples`.
pub fn by_direction(x_dot: Tensor<4>, samples: usize) -> Tensor<4> {
    let [stacked, channels, height, width] = x_dot.dims();
    assert_eq!(stacked % samples, 0, "{stacked} stacked tangents are no multiple of {samples} samples");
    x_dot.reshape([stacked / samples, samples, channels, height * width])
}

/// `[k, n, c, h w]` back as `[k n, c, h, w]`.
pub fn rejoin(x_dot: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [count, samples, channels, _] = x_dot.dims();
    x_dot.reshape([count * samples, channels, height, width])
}

/// What one primal value does to every direction: `x_dot * factor`, with `factor` shaped as the primal.
///
/// # Panics
/// If `x_dot` is no stack of tensors of the factor's shape.
pub fn scale(x_dot: Tensor<4>, factor: Tensor<4>) -> Tensor<4> {
    let [samples, _, height, width] = factor.dims();
    if x_dot.dims()[0] == samples {
        return x_dot * factor;
    }
    let factor = by_direction(factor, samples);
    rejoin(by_direction(x_dot, samples) * factor, [height, width])
}
