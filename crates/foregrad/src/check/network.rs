//! The identities of a whole network: every block, and the classifier's loss.

use burn::tensor::Tensor;

use super::head::drawn_labels;
use super::layer::direction;
use super::{Entry, Limits};
use crate::layers::{AnySaved, Layer, Phase, Wanted};
use crate::losses::{LabelKind, Labels};
use crate::models::{Network, is_of_head};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// Images in the batch.
const SAMPLES: usize = 4;

/// Draws before a check gives up finding a direction along which no rectifier switches.
const DRAWS: u64 = 40;

/// A network's loss with all that its derivatives need.
struct Passed {
    loss: f64,
    saved: Vec<Vec<AnySaved>>,
    head: AnySaved,
}

fn pass(network: &Network, images: &Tensor<4>, labels: &Labels) -> Passed {
    let mut x = images.clone();
    let mut saved = Vec::new();
    for block in &network.blocks {
        let (y, kept) = block.forward(x, Phase::Train.into());
        saved.push(kept);
        x = y;
    }
    let (evaluation, head) = network.classifier.forward(x, labels, Phase::Train.into());
    Passed { loss: evaluation.loss, saved, head }
}

fn derivative(network: &Network, passed: &Passed, theta_dot: &ParamVector) -> f64 {
    let mut x_dot = None;
    for (block, (maps, saved)) in network.blocks.iter().zip(&passed.saved).enumerate() {
        x_dot = maps.tangent(saved, x_dot, &[theta_dot.scoped(network.prefix(block))]);
    }
    network.classifier.tangent(&passed.head, x_dot, std::slice::from_ref(theta_dot))[0].iter().sum()
}

fn gradient(network: &Network, passed: &Passed) -> ParamVector {
    let part = network.classifier.cotangent(&passed.head, Wanted::BOTH);
    let mut all = part.theta_bar;
    let mut y_bar = part.x_bar.expect("the input's cotangent was asked for");
    for (block, (maps, saved)) in network.blocks.iter().zip(&passed.saved).enumerate().rev() {
        let part = maps.cotangent(saved, y_bar.clone(), Wanted::BOTH);
        all.extend(part.theta_bar.prefixed(network.prefix(block)));
        y_bar = part.x_bar.expect("the input's cotangent was asked for");
    }
    all
}

/// Checks the identities of a network on images of a shape, with labels of a kind.
///
/// # Panics
/// If the network was made for another shape or other labels.
pub fn check_network(
    name: &str,
    network: &mut Network,
    ([channels, height, width], labels): ([usize; 3], LabelKind),
    placement: &Placement,
    seed: u64,
) -> Vec<Entry> {
    let limits = Limits::of(placement.dtype);
    let stream = Stream::new(seed, "check").named(name);
    let images = stream.named("images").normal_tensor([SAMPLES, channels, height, width], placement);
    let labels = drawn_labels(labels, SAMPLES, stream);
    let theta = network.parameters().filtered(|path| !is_of_head(path));
    let entry = |identity, worst, limit| Entry { group: "network", name: name.to_string(), identity, worst, limit };
    let passed = pass(network, &images, &labels);
    let gradient = gradient(network, &passed);
    let theta_dot = direction(&theta, stream.named("theta_dot"));
    let along = derivative(network, &passed, &theta_dot);
    let gap = (along - theta_dot.dot(&gradient)).abs() / (theta_dot.norm() * gradient.norm() + along.abs());
    let mut entries = vec![
        // A derivative of exactly 0 would prove nothing.
        entry("adjoint", if gap.is_finite() && along != 0.0 { gap } else { f64::INFINITY }, limits.adjoint),
    ];
    if limits.through_chains {
        let worst = difference(network, &images, &labels, [&theta, &gradient], stream, limits);
        entries.push(entry("difference", worst, limits.difference));
    }
    entries
}

fn difference(
    network: &mut Network,
    images: &Tensor<4>,
    labels: &Labels,
    [theta, gradient]: [&ParamVector; 2],
    stream: Stream,
    limits: Limits,
) -> f64 {
    // Many rectifiers lie between the two sides of a large step.
    let step = limits.step / 10.0;
    let mut best = f64::INFINITY;
    for draw in 0..DRAWS {
        let theta_dot = direction(theta, stream.named("difference").at(draw));
        let along = derivative(network, &pass(network, images, labels), &theta_dot);
        let mut at = |h: f64| {
            network.assign(&theta.clone().axpy(h, &theta_dot));
            let loss = pass(network, images, labels).loss;
            network.assign(theta);
            loss
        };
        let mut quotient = |h: f64| (at(h) - at(-h)) / (2.0 * h);
        let (whole, half) = (quotient(step), quotient(step / 2.0));
        let size = along.abs().max(gradient.norm());
        if (whole - half).abs() / size < limits.difference {
            return (along - whole).abs() / size;
        }
        best = best.min((whole - half).abs() / size);
    }
    best
}
