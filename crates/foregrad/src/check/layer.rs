//! The identities of a layer, or of any chain of layers.

use burn::tensor::Tensor;

use super::{Entry, Limits};
use crate::estimate::Block;
use crate::estimate::guess::low_rank;
use crate::layers::{Phase, Wanted};
use crate::ops;
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// Draws before a check gives up finding a direction along which no rectifier or maximum switches.
const DRAWS: u64 = 40;

/// Directions that are checked stacked.
const DIRECTIONS: u64 = 3;

/// Checks a layer's identities on an input of a shape.
pub fn check_layer(
    name: &str,
    block: &mut Block,
    input: [usize; 4],
    phase: Phase,
    placement: &Placement,
    seed: u64,
) -> Vec<Entry> {
    let limits = Limits::of(placement.dtype);
    let stream = Stream::new(seed, "check").named(name);
    let entry = |identity, worst, limit| Entry { group: "layer", name: name.to_string(), identity, worst, limit };
    let check = LayerCheck { input, phase, placement, stream };
    vec![
        entry("adjoint", check.adjoint(block), limits.adjoint),
        entry("difference", check.difference(block, limits), limits.difference),
        entry("stacked", check.stacked(block), limits.agreement.min(limits.adjoint * 10.0)),
    ]
}

struct LayerCheck<'a> {
    input: [usize; 4],
    phase: Phase,
    placement: &'a Placement,
    stream: Stream,
}

/// A random direction in the space of some parameters.
pub(super) fn direction(like: &ParamVector, stream: Stream) -> ParamVector {
    like.filled_like(|path, shape| stream.named(path).normal(shape.iter().product()))
}

/// The same with matrices of rank one, given by their factors.
fn factored(like: &ParamVector, stream: Stream) -> ParamVector {
    like.drawn_like(|path, shape, placement| low_rank::draw(stream.named(path), shape, placement))
}

fn norm(tensor: &Tensor<4>) -> f64 {
    ops::dot(tensor, tensor).sqrt()
}

/// `|a - b| / |b|`; infinite if `a` is not finite, `|a|` if `b` is 0.
pub(super) fn relative(a: &Tensor<4>, b: &Tensor<4>) -> f64 {
    let difference = norm(&(a.clone() - b.clone()));
    let size = norm(b);
    let error = if size > 0.0 { difference / size } else { difference };
    if error.is_finite() { error } else { f64::INFINITY }
}

impl LayerCheck<'_> {
    fn normal(&self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        self.stream.named(name).normal_tensor(shape, self.placement)
    }

    /// The worst gap with input and parameters moved together, each alone, along full directions and along those given by
    /// factors, and with parts of the cotangent left out.
    fn adjoint(&self, block: &Block) -> f64 {
        let (y, saved) = block.forward(self.normal("x", self.input), self.phase);
        let y_bar = self.normal("y_bar", y.dims());
        let x_dot = self.normal("x_dot", self.input);
        let full = direction(&block.parameters(), self.stream.named("theta_dot"));
        let factored = factored(&block.parameters(), self.stream.named("factored"));
        let both = block.cotangent(&saved, y_bar.clone(), Wanted::BOTH);
        let alone = block.cotangent(&saved, y_bar.clone(), Wanted::PARAMETERS);
        let mut worst: f64 = if alone.x_bar.is_some() { f64::INFINITY } else { 0.0 };
        let x_bar = both.x_bar.clone().expect("the input's cotangent was asked for");
        worst = worst.max(relative(&block.cotangent(&saved, y_bar.clone(), Wanted::INPUT).input(), &x_bar));
        worst = worst.max(alone.theta_bar.axpy(-1.0, &both.theta_bar).norm());
        let moves = [
            (true, None),
            (true, Some(&full)),
            (false, Some(&full)),
            (true, Some(&factored)),
            (false, Some(&factored)),
        ];
        for (moves_input, theta_dot) in moves {
            let x_dot = moves_input.then(|| x_dot.clone());
            let theta_dot = Vec::from_iter(theta_dot.cloned());
            let Some(y_dot) = block.tangent(&saved, x_dot.clone(), &theta_dot) else { continue };
            let along_x =
                x_dot.as_ref().map_or([0.0; 2], |x_dot| [ops::dot(x_dot, &x_bar), norm(x_dot) * norm(&x_bar)]);
            let along_theta = theta_dot.first().map_or([0.0; 2], |theta_dot| {
                [theta_dot.dot(&both.theta_bar), theta_dot.norm() * both.theta_bar.norm()]
            });
            let size = norm(&y_dot) * norm(&y_bar) + along_x[1] + along_theta[1];
            let gap = (ops::dot(&y_dot, &y_bar) - along_x[0] - along_theta[0]).abs() / size;
            worst = if gap.is_finite() { worst.max(gap) } else { f64::INFINITY };
        }
        worst
    }

    /// The error of the tangent against a central difference. A draw whose quotients at `h` and `h / 2` differ has a
    /// rectifier or maximum that switches in between, and is drawn again; a wrong tangent differs from both.
    fn difference(&self, block: &mut Block, limits: Limits) -> f64 {
        let theta = block.parameters();
        let x = self.normal("x", self.input);
        let mut best = f64::INFINITY;
        for draw in 0..DRAWS {
            let stream = self.stream.named("difference").at(draw);
            let x_dot: Tensor<4> = stream.normal_tensor(self.input, self.placement);
            let theta_dot = direction(&theta, stream);
            let saved = block.forward(x.clone(), self.phase).1;
            let Some(y_dot) = block.tangent(&saved, Some(x_dot.clone()), std::slice::from_ref(&theta_dot)) else {
                return f64::INFINITY;
            };
            let mut at = |h: f64| {
                block.assign(&theta.clone().axpy(h, &theta_dot));
                let y = block.forward(x.clone() + x_dot.clone() * h, self.phase).0;
                block.assign(&theta);
                y
            };
            let mut quotient = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            let (whole, half) = (quotient(limits.step), quotient(limits.step / 2.0));
            if relative(&whole, &half) < limits.difference {
                return relative(&y_dot, &whole);
            }
            best = best.min(relative(&whole, &half));
        }
        best
    }

    /// The error of stacked directions against each by itself, and of value and tangents at once against one after the other.
    fn stacked(&self, block: &Block) -> f64 {
        let x = self.normal("x", self.input);
        let (y, saved) = block.forward(x.clone(), self.phase);
        let theta = block.parameters();
        let x_dots: Vec<Tensor<4>> = (0..DIRECTIONS)
            .map(|k| self.stream.named("stacked").at(k).normal_tensor(self.input, self.placement))
            .collect();
        let draw = |k: u64| (if k == 1 { factored } else { direction })(&theta, self.stream.named("stack").at(k));
        let theta_dots: Vec<_> = (0..DIRECTIONS).map(draw).collect();
        let together = block.tangent(&saved, Some(Tensor::cat(x_dots.clone(), 0)), &theta_dots);
        let single = x_dots
            .iter()
            .cloned()
            .zip(&theta_dots)
            .filter_map(|(x_dot, theta_dot)| block.tangent(&saved, Some(x_dot), std::slice::from_ref(theta_dot)));
        let dual = block.dual(x, Some(Tensor::cat(x_dots.clone(), 0)), &theta_dots, self.phase);
        let (Some(together), Some(at_once)) = (together, dual.y_dot) else { return f64::INFINITY };
        let statistics = dual.statistics.axpy(-1.0, &block.statistics(&saved)).norm();
        let single = Tensor::cat(single.collect(), 0);
        let errors = [relative(&dual.y, &y), statistics, relative(&at_once, &single), relative(&together, &single)];
        errors.into_iter().fold(0.0, f64::max)
    }
}
