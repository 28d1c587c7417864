//! The identities of a head: its net and its loss together.

use burn::tensor::Tensor;

use super::layer::direction;
use super::{Entry, Limits, worst};
use crate::layers::{Cotangent, Pass, Phase, Wanted};
use crate::losses::{LabelKind, Labels};
use crate::models::{AtOutputs, LossHead};
use crate::ops::{self, Parts};
use crate::rng::{Placement, Stream};

/// Draws before a check gives up finding a direction along which no rectifier switches.
const DRAWS: u64 = 40;

/// Checks the identities of a head on a block's output of a shape, with labels of a kind.
///
/// # Panics
/// If the head was made for another shape or other labels.
pub fn check_head(
    name: &str,
    head: &mut dyn LossHead,
    (input, labels): ([usize; 4], LabelKind),
    placement: &Placement,
    seed: u64,
) -> Vec<Entry> {
    let limits = Limits::of(placement.dtype);
    let stream = Stream::new(seed, "check").named(name);
    let labels = drawn_labels(labels, input[0], stream);
    let y: Tensor<4> = stream.named("y").normal_tensor(input, placement);
    let entry = |identity, worst, limit| Entry { group: "head", name: name.to_string(), identity, worst, limit };
    let mut entries = vec![entry("adjoint", adjoint(head, &y, &labels, stream, placement), limits.adjoint)];
    entries
        .extend(samples(head, &y, &labels, stream, limits).map(|worst| entry("samples", worst, limits.adjoint * 10.0)));
    entries.extend(at_outputs(head, &y, &labels, stream).map(|worst| entry("outputs", worst, limits.adjoint)));
    entries.extend(parts(head, &y, &labels, stream).map(|worst| entry("parts", worst, limits.adjoint * 10.0)));
    if limits.through_chains {
        let worst = difference(head, &y, &labels, stream, placement, limits);
        entries.push(entry("difference", worst, limits.difference));
    }
    entries
}

/// Labels of a kind: each class in turn, or random values.
pub(super) fn drawn_labels(kind: LabelKind, samples: usize, stream: Stream) -> Labels {
    match kind {
        LabelKind::Classes(classes) => Labels::classes((0..samples).map(|sample| sample % classes).collect(), classes),
        LabelKind::Values(width) => Labels::values(stream.named("values").normal(samples * width), width),
    }
}

fn adjoint(head: &dyn LossHead, y: &Tensor<4>, labels: &Labels, stream: Stream, placement: &Placement) -> f64 {
    let (_, saved) = head.forward(y.clone(), labels, Phase::Train.into());
    let Cotangent { x_bar: Some(y_bar), theta_bar } = head.cotangent(&saved, Wanted::BOTH) else {
        return f64::INFINITY;
    };
    let directions = [0, 1].map(|k| stream.named("y_dot").at(k).normal_tensor::<4>(y.dims(), placement));
    let theta_dots = [0, 1].map(|k| direction(&head.parameters(), stream.named("theta_dot").at(k)));
    let gaps = [(true, true), (true, false), (false, true)].map(|(moves_input, moves_parameters)| {
        let y_dot = moves_input.then(|| Tensor::cat(directions.to_vec(), 0));
        let derivatives = head.tangent(&saved, y_dot, if moves_parameters { &theta_dots } else { &[] });
        let gap = |k: usize| {
            let left: f64 = derivatives[k].iter().sum();
            let (y_dot, theta_dot) = (&directions[k], &theta_dots[k]);
            let size = ops::dot(y_dot, y_dot).sqrt() * ops::dot(&y_bar, &y_bar).sqrt();
            let along_y = if moves_input { [ops::dot(y_dot, &y_bar), size] } else { [0.0; 2] };
            let size = theta_dot.norm() * theta_bar.norm();
            let along_theta = if moves_parameters { [theta_dot.dot(&theta_bar), size] } else { [0.0; 2] };
            let (gap, size) = ((left - along_y[0] - along_theta[0]).abs(), along_y[1] + along_theta[1] + left.abs());
            // Nothing but a head without parameters has a size of 0, and then only where its input does not move.
            if size == 0.0 { gap } else { gap / size }
        };
        worst([gap(0), gap(1)])
    });
    worst(gaps)
}

/// The error of each sample's derivative against that of the sample by itself; none where samples are coupled, so that the loss is
/// not the mean of the samples' own.
fn samples(head: &dyn LossHead, y: &Tensor<4>, labels: &Labels, stream: Stream, limits: Limits) -> Option<f64> {
    let count = labels.len();
    let y_dot: Tensor<4> = stream.named("samples").normal_tensor(y.dims(), &Placement::of(y));
    let (whole, saved) = head.forward(y.clone(), labels, Phase::Train.into());
    let single = |sample: usize| {
        let of_sample = |batch: &Tensor<4>| batch.clone().narrow(0, sample, 1);
        let label = labels.of_sample(sample);
        let pass = Pass { first: sample, ..Phase::Train.into() };
        let (evaluation, saved) = head.forward(of_sample(y), &label, pass);
        (evaluation.loss, head.tangent(&saved, Some(of_sample(&y_dot)), &[])[0][0] / count as f64)
    };
    let (losses, expected): (Vec<f64>, Vec<f64>) = (0..count).map(single).unzip();
    let mean = losses.iter().sum::<f64>() / count as f64;
    if !head.is_separable() {
        return None;
    }
    // The sharper limit: of coupled samples the mean comes within a hundredth by chance.
    if (mean - whole.loss).abs() > limits.adjoint * whole.loss.abs() {
        // A norm over the batch couples the samples; without one, the loss is no mean of theirs.
        return if head.averages().is_empty() { Some(f64::INFINITY) } else { None };
    }
    let found = head.tangent(&saved, Some(y_dot), &[]).swap_remove(0);
    let size = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
    let error = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs() / size);
    Some(if found.len() == count { worst(error) } else { f64::INFINITY })
}

/// The error of each sample's derivative against that of its outputs; none where a head does not say what its outputs are.
fn at_outputs(head: &dyn LossHead, y: &Tensor<4>, labels: &Labels, stream: Stream) -> Option<f64> {
    let y_dot: Tensor<4> = stream.named("outputs").normal_tensor(y.dims(), &Placement::of(y));
    let (_, saved) = head.forward(y.clone(), labels, Phase::Train.into());
    let AtOutputs { error, tangent } = head.at_outputs(&saved, Some(y_dot.clone()))?;
    let mut along = ops::row_dots(&error, &tangent.unwrap_or_else(|| error.zeros_like()));
    let derivatives = head.tangent(&saved, Some(y_dot), &[]).swap_remove(0);
    if derivatives.len() == 1 {
        along = vec![along.iter().sum()];
    }
    let size = derivatives.iter().map(|value| value * value).sum::<f64>().sqrt();
    Some(worst(derivatives.iter().zip(&along).map(|(derivative, along)| (derivative - along).abs() / size)))
}

/// The worst error of the derivatives along the parts of two stacked tangents, from the one pass of a head that has one, against those of each
/// part as a tangent of its own.
fn parts(head: &dyn LossHead, y: &Tensor<4>, labels: &Labels, stream: Stream) -> Option<f64> {
    let [_, channels, height, width] = y.dims();
    let (_, saved) = head.forward(y.clone(), labels, Phase::Train.into());
    let directions = [0, 1].map(|k| stream.named("parts").at(k).normal_tensor::<4>(y.dims(), &Placement::of(y)));
    let groups = (2..=channels).find(|groups| channels.is_multiple_of(*groups)).unwrap_or(1);
    let cuts = [[1, groups], [height.min(width), 1], [height.min(width).div_ceil(2), groups]];
    let error = |parts: Parts| {
        let found = head.part_derivatives(&saved, &Tensor::cat(directions.to_vec(), 0), parts)?.concat();
        let apart = directions
            .iter()
            .flat_map(|direction| head.tangent(&saved, Some(parts.apart(direction, 0..parts.count())), &[]));
        let expected = parts.by_sample(&apart.collect::<Vec<_>>()).concat();
        let size = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
        let error = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs() / size);
        Some(if found.len() == expected.len() { worst(error) } else { f64::INFINITY })
    };
    let errors: Option<Vec<f64>> = cuts.into_iter().map(|[tiles, groups]| error(Parts { tiles, groups })).collect();
    errors.map(worst)
}

fn difference(
    head: &mut dyn LossHead,
    y: &Tensor<4>,
    labels: &Labels,
    stream: Stream,
    placement: &Placement,
    limits: Limits,
) -> f64 {
    let theta = head.parameters();
    let mut best = f64::INFINITY;
    for draw in 0..DRAWS {
        let stream = stream.named("difference").at(draw);
        let y_dot: Tensor<4> = stream.normal_tensor(y.dims(), placement);
        let theta_dot = direction(&theta, stream);
        let (_, saved) = head.forward(y.clone(), labels, Phase::Train.into());
        let derivative: f64 =
            head.tangent(&saved, Some(y_dot.clone()), std::slice::from_ref(&theta_dot))[0].iter().sum();
        let mut at = |h: f64| {
            head.assign(&theta.clone().axpy(h, &theta_dot));
            let loss = head.forward(y.clone() + y_dot.clone() * h, labels, Phase::Train.into()).0.loss;
            head.assign(&theta);
            loss
        };
        let mut quotient = |h: f64| (at(h) - at(-h)) / (2.0 * h);
        let (whole, half) = (quotient(limits.step), quotient(limits.step / 2.0));
        // One number instead of many: compared with the size that the gradient would give it.
        let Cotangent { x_bar: Some(y_bar), theta_bar } = head.cotangent(&saved, Wanted::BOTH) else {
            return f64::INFINITY;
        };
        let size = derivative.abs().max(ops::dot(&y_bar, &y_bar).sqrt() + theta_bar.norm());
        if (whole - half).abs() / size < limits.difference {
            return (derivative - whole).abs() / size;
        }
        best = best.min((whole - half).abs() / size);
    }
    best
}
