//! The identities of a layer, or of any chain of layers.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{Entry, Limits, worst};
use crate::estimate::Block;
use crate::estimate::guess::low_rank;
use crate::layers::{Activation, AnySaved, Cotangent, Phase, Wanted};
use crate::ops::{self, Affine};
use crate::rng::{Placement, Stream};
use crate::vector::ParamVector;

/// Draws before a check gives up finding a direction along which no rectifier or maximum switches.
const DRAWS: u64 = 40;

/// Directions that are checked stacked.
const DIRECTIONS: u64 = 3;

/// Checks a layer's identities on an input of a shape.
///
/// # Panics
/// If the layer takes no input of that shape.
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

/// `|a - b| / |b|`; infinite if one is not finite or the shapes differ, `|a|` if `b` is 0.
fn relative(a: &Tensor<4>, b: &Tensor<4>) -> f64 {
    if a.dims() != b.dims() {
        return f64::INFINITY;
    }
    let difference = norm(&(a.clone() - b.clone()));
    let size = norm(b);
    let error = if size > 0.0 { difference / size } else { difference };
    worst([error])
}

impl LayerCheck<'_> {
    fn normal(&self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        self.stream.named(name).normal_tensor(shape, self.placement)
    }

    /// The worst gap along directions of input and parameters together, each alone, along full directions and along those given by
    /// factors; and the worst deviation of cotangents of which parts are left out, which are taken of a sum, or whose input was computed on
    /// reading.
    fn adjoint(&self, block: &Block) -> f64 {
        let (y, saved) = block.forward(self.normal("x", self.input), self.phase.into());
        let y_bar = self.normal("y_bar", y.dims());
        let x_dot = self.normal("x_dot", self.input);
        let both = block.cotangent(&saved, y_bar.clone(), Wanted::BOTH);
        let Some(x_bar) = both.x_bar.as_ref().filter(|x_bar| x_bar.dims() == self.input) else { return f64::INFINITY };
        let moves = self.moves(&block.parameters());
        let gaps = moves.iter().map(|(moves_input, theta_dot)| {
            let x_dot = moves_input.then(|| x_dot.clone());
            // No tangent stands for one that is zero throughout.
            let y_dot = block.tangent(&saved, x_dot.clone(), theta_dot).unwrap_or_else(|| y_bar.zeros_like());
            if y_dot.dims() != y_bar.dims() {
                return f64::INFINITY;
            }
            let along_x = x_dot.as_ref().map_or([0.0; 2], |x_dot| [ops::dot(x_dot, x_bar), norm(x_dot) * norm(x_bar)]);
            let along_theta = theta_dot.first().map_or([0.0; 2], |theta_dot| {
                [theta_dot.dot(&both.theta_bar), theta_dot.norm() * both.theta_bar.norm()]
            });
            let size = norm(&y_dot) * norm(&y_bar) + along_x[1] + along_theta[1];
            let gap = (ops::dot(&y_dot, &y_bar) - along_x[0] - along_theta[0]).abs();
            // Nothing but a layer without parameters has a size of 0, and then only where its input does not move.
            if size == 0.0 { gap } else { gap / size }
        });
        let others = [self.parts(block, &saved, &y_bar, &both), self.linear(block, &saved, &y_bar, &both)];
        worst([worst(gaps), worst(others), self.read(block, &y, &y_bar, &both)])
    }

    /// What has a tangent: whether the input, and which parameters; each tensor by itself too, for a path that a direction lacks
    /// counts as zero.
    fn moves(&self, theta: &ParamVector) -> Vec<(bool, Vec<ParamVector>)> {
        let full = direction(theta, self.stream.named("theta_dot"));
        let factored = factored(theta, self.stream.named("factored"));
        let single = theta.paths().map(|only| full.filtered(|path| path == only));
        let directions: Vec<_> = single.chain([full.clone(), factored]).collect();
        let choices = directions.into_iter().flat_map(|theta_dot| [true, false].map(|x| (x, vec![theta_dot.clone()])));
        std::iter::once((true, Vec::new())).chain(choices).collect()
    }

    /// The deviation of each cotangent by itself from both together; infinite where one is given unasked, is missing, or is that
    /// of no parameter.
    fn parts(&self, block: &Block, saved: &Vec<AnySaved>, y_bar: &Tensor<4>, both: &Cotangent) -> f64 {
        let parameters = block.cotangent(saved, y_bar.clone(), Wanted::PARAMETERS);
        let input = block.cotangent(saved, y_bar.clone(), Wanted::INPUT);
        let known = block.parameters();
        let fits = both.theta_bar.iter().all(|(path, bar)| known.entry(path).is_some_and(|p| p.shape() == bar.shape()));
        if parameters.x_bar.is_some() || !input.theta_bar.is_empty() || !fits {
            return f64::INFINITY;
        }
        deviation(&Cotangent { x_bar: input.x_bar, theta_bar: parameters.theta_bar }, both)
    }

    /// The deviation of output and cotangents of an input that is computed on reading from those of one that is written.
    fn read(&self, block: &Block, y: &Tensor<4>, y_bar: &Tensor<4>, both: &Cotangent) -> f64 {
        let (again, saved) = block.forward_of(self.on_reading(), self.phase.into());
        let cotangent = block.cotangent(&saved, y_bar.clone(), Wanted::BOTH);
        worst([relative(&again.tensor(), y), deviation(&cotangent, both)])
    }

    /// The input `x`, computed on reading: `2 (x / 2)`, which rounds nothing.
    fn on_reading(&self) -> Activation {
        let [_, channels, ..] = self.input;
        let full = |value: f64| self.placement.tensor(vec![value; channels], [channels]);
        let twice = Affine { scale: full(2.0), shift: full(0.0) };
        Activation::normalised(self.normal("x", self.input) * 0.5, twice, false)
    }

    /// The deviation of the cotangents of `2 y_bar - 3 z_bar` from `2` times those of `y_bar` less `3` times those of `z_bar`.
    fn linear(&self, block: &Block, saved: &Vec<AnySaved>, y_bar: &Tensor<4>, of_y_bar: &Cotangent) -> f64 {
        let z_bar = self.normal("z_bar", y_bar.dims());
        let cotangent = |bar| block.cotangent(saved, bar, Wanted::BOTH);
        let of_z_bar = cotangent(z_bar.clone());
        let sum = cotangent(y_bar.clone() * 2.0 - z_bar * 3.0);
        let x_bars = of_y_bar.x_bar.clone().zip(of_z_bar.x_bar);
        let expected = Cotangent {
            x_bar: x_bars.map(|(of_y_bar, of_z_bar)| of_y_bar * 2.0 - of_z_bar * 3.0),
            theta_bar: of_y_bar.theta_bar.scaled(2.0).axpy(-3.0, &of_z_bar.theta_bar),
        };
        deviation(&sum, &expected)
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
            let saved = block.forward(x.clone(), self.phase.into()).1;
            let Some(y_dot) = block.tangent(&saved, Some(x_dot.clone()), std::slice::from_ref(&theta_dot)) else {
                return f64::INFINITY;
            };
            let mut takes_all = true;
            let mut at = |h: f64| {
                let changed = theta.clone().axpy(h, &theta_dot);
                block.assign(&changed);
                takes_all &= block.parameters().axpy(-1.0, &changed).norm() == 0.0;
                let y = block.forward(x.clone() + x_dot.clone() * h, self.phase.into()).0;
                block.assign(&theta);
                y
            };
            let mut quotient = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            let (whole, half) = (quotient(limits.step), quotient(limits.step / 2.0));
            if !takes_all {
                return f64::INFINITY;
            }
            if relative(&whole, &half) < limits.difference {
                return relative(&y_dot, &whole);
            }
            best = best.min(relative(&whole, &half));
        }
        best
    }

    /// The error of stacked directions against each by itself, and of value and tangents at once - of an input that is written, and of one
    /// that is computed on reading - against one after the other: of input and parameters together, and each alone.
    fn stacked(&self, block: &Block) -> f64 {
        let x = self.normal("x", self.input);
        let (y, saved) = block.forward(x.clone(), self.phase.into());
        let theta = block.parameters();
        let x_dots: Vec<Tensor<4>> = (0..DIRECTIONS)
            .map(|k| self.stream.named("stacked").at(k).normal_tensor(self.input, self.placement))
            .collect();
        let draw = |k: u64| (if k == 1 { factored } else { direction })(&theta, self.stream.named("stack").at(k));
        let theta_dots: Vec<_> = (0..DIRECTIONS).map(draw).collect();
        let errors = [(true, true), (true, false), (false, true)].map(|(moves_input, moves_parameters)| {
            let x_dot = |k: usize| moves_input.then(|| x_dots[k].clone());
            let theta_dot = |k: Range<usize>| if moves_parameters { &theta_dots[k] } else { &[] };
            let zero = || y.zeros_like();
            let single: Vec<_> = (0..x_dots.len())
                .map(|k| block.tangent(&saved, x_dot(k), theta_dot(k..k + 1)).unwrap_or_else(zero))
                .collect();
            let single = Tensor::cat(single, 0);
            let x_dot = moves_input.then(|| Tensor::cat(x_dots.clone(), 0));
            let together = block.tangent(&saved, x_dot.clone(), theta_dot(0..x_dots.len()));
            let of = |y_dot: Option<Tensor<4>>| relative(&y_dot.unwrap_or_else(|| single.zeros_like()), &single);
            let at_once = [x.clone().into(), self.on_reading()].map(|x: Activation| {
                let dual = block.dual(x, x_dot.clone(), theta_dot(0..x_dots.len()), self.phase.into());
                let statistics = dual.statistics.axpy(-1.0, &block.statistics(&saved)).norm();
                worst([relative(&dual.y.tensor(), &y), statistics, of(dual.y_dot)])
            });
            worst([worst(at_once), of(together)])
        });
        worst(errors)
    }
}

/// The larger relative error of two cotangents' parts; infinite where one lacks what the other has.
fn deviation(a: &Cotangent, b: &Cotangent) -> f64 {
    let (Some(x_a), Some(x_b)) = (&a.x_bar, &b.x_bar) else { return f64::INFINITY };
    let (difference, size) = (a.theta_bar.clone().axpy(-1.0, &b.theta_bar).norm(), b.theta_bar.norm());
    worst([relative(x_a, x_b), if size == 0.0 { difference } else { difference / size }])
}
