//! The identities of a head: its net and its loss together.

use burn::tensor::Tensor;

use super::layer::direction;
use super::{Entry, Limits};
use crate::layers::{Phase, Wanted};
use crate::losses::Labels;
use crate::models::{Head, LossHead};
use crate::ops;
use crate::rng::{Placement, Stream};

/// Draws before a check gives up finding a direction along which no rectifier switches.
const DRAWS: u64 = 40;

/// Checks a head's identities on a block's output of a shape.
pub fn check_head(name: &str, head: &mut Head, input: [usize; 4], placement: &Placement, seed: u64) -> Vec<Entry> {
    let limits = Limits::of(placement.dtype);
    let stream = Stream::new(seed, "check").named(name);
    let labels = Labels { indices: (0..input[0]).map(|sample| sample % 3).collect(), classes: 3 };
    let y: Tensor<4> = stream.named("y").normal_tensor(input, placement);
    let entry = |identity, worst, limit| Entry { group: "head", name: name.to_string(), identity, worst, limit };
    let mut entries = vec![entry("adjoint", adjoint(head, &y, &labels, stream, placement), limits.adjoint)];
    if limits.through_chains {
        let worst = difference(head, &y, &labels, stream, placement, limits);
        entries.push(entry("difference", worst, limits.difference));
    }
    entries
}

fn adjoint(head: &Head, y: &Tensor<4>, labels: &Labels, stream: Stream, placement: &Placement) -> f64 {
    let (_, saved) = head.forward(y.clone(), labels, Phase::Train);
    let part = head.cotangent(&saved, Wanted::BOTH);
    let directions = [0, 1].map(|k| stream.named("y_dot").at(k).normal_tensor::<4>(y.dims(), placement));
    let theta_dots = [0, 1].map(|k| direction(&head.parameters(), stream.named("theta_dot").at(k)));
    let derivatives = head.tangent(&saved, Some(Tensor::cat(directions.to_vec(), 0)), &theta_dots);
    let y_bar = part.x_bar.expect("the input's cotangent was asked for");
    let gap = |k: usize| {
        let (y_dot, theta_dot) = (&directions[k], &theta_dots[k]);
        let left: f64 = derivatives[k].iter().sum();
        let right = ops::dot(y_dot, &y_bar) + theta_dot.dot(&part.theta_bar);
        let size = ops::dot(y_dot, y_dot).sqrt() * ops::dot(&y_bar, &y_bar).sqrt()
            + theta_dot.norm() * part.theta_bar.norm()
            + left.abs();
        (left - right).abs() / size
    };
    let worst = gap(0).max(gap(1));
    if worst.is_finite() { worst } else { f64::INFINITY }
}

fn difference(
    head: &mut Head,
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
        let (_, saved) = head.forward(y.clone(), labels, Phase::Train);
        let derivative: f64 =
            head.tangent(&saved, Some(y_dot.clone()), std::slice::from_ref(&theta_dot))[0].iter().sum();
        let mut at = |h: f64| {
            head.assign(&theta.clone().axpy(h, &theta_dot));
            let loss = head.forward(y.clone() + y_dot.clone() * h, labels, Phase::Train).0.loss;
            head.assign(&theta);
            loss
        };
        let mut quotient = |h: f64| (at(h) - at(-h)) / (2.0 * h);
        let (whole, half) = (quotient(limits.step), quotient(limits.step / 2.0));
        // One number instead of many: compared with the size that the gradient would give it.
        let part = head.cotangent(&saved, Wanted::BOTH);
        let y_bar = part.x_bar.expect("the input's cotangent was asked for");
        let size = derivative.abs().max(ops::dot(&y_bar, &y_bar).sqrt() + part.theta_bar.norm());
        if (whole - half).abs() / size < limits.difference {
            return (derivative - whole).abs() / size;
        }
        best = best.min((whole - half).abs() / size);
    }
    best
}
