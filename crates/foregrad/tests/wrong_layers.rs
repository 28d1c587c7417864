//! The checkers are checked: deliberately wrong layers must be rejected, each by the identity that sees the mistake.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::double;
use foregrad::check::{Entry, check_layer};
use foregrad::layers::{
    Activation, AnySaved, BatchNorm, Conv2dConfig, Cotangent, Dual, Layer, Linear, Pass, Phase, Relu, Sequential,
    Wanted,
};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// What is wrong with a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    TangentScaled,
    InputCotangentScaled,
    ParameterCotangentScaled,
    BothScaledAlike,
    BiasForgottenInTangent,
    BiasForgottenInCotangent,
    CotangentShifted,
    DirectionsSwapped,
    NotANumber,
    InputCotangentUnasked,
    /// Parameters' directions forgotten where the input does not move.
    ParametersForgottenAlone,
    /// The input's direction forgotten where parameters move.
    InputForgottenBeside,
    /// A bias forgotten where the weight does not move.
    BiasForgottenAlone,
    InputCotangentMissing,
    ParameterCotangentUnasked,
    CotangentOfNoParameter,
    NotANumberInOutput,
    NotANumberInInputCotangent,
    NotANumberInParameterCotangent,
    /// No multiple of a cotangent that is small enough.
    CotangentClipped,
    /// Values and tangents together differ from each by itself, where the input does not move.
    DualForgetsParametersAlone,
    /// Directions of the parameters swapped where the input does not move.
    DirectionsSwappedAlone,
    AssignsNothing,
    OutputOfOneSample,
    /// The map of an input that is computed on reading.
    MapForgotten,
    /// The same, in what is kept of the input only.
    MapForgottenInSaved,
}

#[derive(Debug)]
struct Wrong(Sequential, Mistake);

impl Layer for Wrong {
    type Saved = Vec<AnySaved>;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Self::Saved) {
        let (y, saved) = self.0.forward(x, pass);
        match self.1 {
            Mistake::NotANumberInOutput => (y * f64::NAN, saved),
            _ => (y, saved),
        }
    }

    fn forward_of(&self, x: Activation, pass: Pass) -> (Activation, Self::Saved) {
        let without_map = |x: &Activation| self.0.forward(x.tensor() * 0.5, pass);
        match self.1 {
            Mistake::MapForgotten => {
                let (y, saved) = without_map(&x);
                (y.into(), saved)
            }
            Mistake::MapForgottenInSaved => (self.forward(x.tensor(), pass).0.into(), without_map(&x).1),
            _ => {
                let (y, saved) = self.forward(x.into_tensor(), pass);
                (y.into(), saved)
            }
        }
    }

    fn dual(&self, x: Activation, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector], pass: Pass) -> Dual {
        let (is_still, y) = (x_dot.is_none(), self.0.forward(x.tensor(), pass).0);
        let mut dual = self.0.dual(x, x_dot, theta_dot, pass);
        match self.1 {
            Mistake::DualForgetsParametersAlone if is_still => dual.y_dot = None,
            Mistake::OutputOfOneSample => dual.y = y.narrow(0, 0, 1).into(),
            _ => {}
        }
        dual
    }

    fn tangent(&self, saved: &Self::Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        let without_bias: Vec<_> = theta_dot.iter().map(|t| t.filtered(|path| !path.ends_with("bias"))).collect();
        let theta_dot = if self.1 == Mistake::BiasForgottenInTangent { &without_bias } else { theta_dot };
        let is_still = x_dot.is_none();
        let x_dot = x_dot.filter(|_| self.1 != Mistake::InputForgottenBeside || theta_dot.is_empty());
        if is_still && self.1 == Mistake::ParametersForgottenAlone {
            return None;
        }
        let only_bias = theta_dot.iter().all(|t| t.paths().all(|path| path.ends_with("bias")));
        if is_still && only_bias && self.1 == Mistake::BiasForgottenAlone {
            return None;
        }
        let y_dot = self.0.tangent(saved, x_dot, theta_dot)?;
        Some(match self.1 {
            Mistake::DirectionsSwappedAlone if is_still => y_dot.flip([0]),
            Mistake::TangentScaled | Mistake::BothScaledAlike => y_dot * 1.001,
            Mistake::NotANumber => y_dot * f64::NAN,
            Mistake::DirectionsSwapped => y_dot.flip([0]),
            _ => y_dot,
        })
    }

    fn cotangent(&self, saved: &Self::Saved, y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        let wanted = match self.1 {
            Mistake::InputCotangentUnasked => Wanted { input: true, ..wanted },
            Mistake::ParameterCotangentUnasked => Wanted { parameters: true, ..wanted },
            _ => wanted,
        };
        let y_bar = if self.1 == Mistake::CotangentClipped { y_bar.clamp(-4.0, 4.0) } else { y_bar };
        let mut part = self.0.cotangent(saved, y_bar, wanted);
        match self.1 {
            Mistake::InputCotangentMissing => part.x_bar = None,
            Mistake::NotANumberInInputCotangent => part.x_bar = part.x_bar.map(|x_bar| x_bar * f64::NAN),
            Mistake::NotANumberInParameterCotangent => part.theta_bar = part.theta_bar.scaled(f64::NAN),
            Mistake::CotangentOfNoParameter => {
                part.theta_bar.insert("0.unknown", Tensor::<1>::zeros([1], (&double().device, double().dtype)));
            }
            Mistake::InputCotangentScaled => part.x_bar = part.x_bar.map(|x_bar| x_bar * 1.001),
            Mistake::ParameterCotangentScaled => part.theta_bar = part.theta_bar.scaled(1.001),
            Mistake::BothScaledAlike => {
                part.x_bar = part.x_bar.map(|x_bar| x_bar * 1.001);
                part.theta_bar = part.theta_bar.scaled(1.001);
            }
            Mistake::BiasForgottenInCotangent => {
                part.theta_bar = part.theta_bar.filtered(|path| !path.ends_with("bias"));
            }
            Mistake::CotangentShifted => {
                part.x_bar = part.x_bar.map(|x_bar| {
                    let width = x_bar.dims()[3];
                    let (first, rest) = (x_bar.clone().narrow(3, 0, 1), x_bar.narrow(3, 1, width - 1));
                    Tensor::cat(vec![rest, first], 3)
                });
            }
            _ => {}
        }
        part
    }

    fn parameters(&self) -> ParamVector {
        self.0.parameters()
    }

    fn assign(&mut self, values: &ParamVector) {
        if self.1 != Mistake::AssignsNothing {
            self.0.assign(values);
        }
    }
}

/// The identities that reject a layer with a mistake.
fn rejected_by(chain: Sequential, input: [usize; 4], mistake: Mistake) -> Vec<&'static str> {
    rejected(check_layer("wrong", &mut Wrong(chain, mistake), input, Phase::Train, &double(), 3))
}

fn rejected(entries: Vec<Entry>) -> Vec<&'static str> {
    entries.into_iter().filter(|entry| !entry.passed()).map(|entry| entry.identity).collect()
}

fn conv() -> Sequential {
    Sequential::new().then(Conv2dConfig::new([2, 3], 3).padding(1).bias().init(Stream::new(0, "wrong"), &double()))
}

#[test]
fn a_right_layer_passes_every_identity() {
    assert_eq!(rejected_by(conv(), [2, 2, 4, 5], Mistake::None), [""; 0]);
}

#[test]
fn every_mistake_is_seen() {
    let seen = |mistake, identity: &str| {
        let rejected = rejected_by(conv(), [2, 2, 4, 5], mistake);
        assert!(rejected.contains(&identity), "{mistake:?} was rejected by {rejected:?} only");
    };
    seen(Mistake::TangentScaled, "adjoint");
    seen(Mistake::TangentScaled, "difference");
    seen(Mistake::InputCotangentScaled, "adjoint");
    seen(Mistake::ParameterCotangentScaled, "adjoint");
    // Both transposes agree with each other: only the difference quotient sees it.
    seen(Mistake::BothScaledAlike, "difference");
    seen(Mistake::BiasForgottenInTangent, "adjoint");
    seen(Mistake::BiasForgottenInTangent, "difference");
    seen(Mistake::BiasForgottenInCotangent, "adjoint");
    seen(Mistake::CotangentShifted, "adjoint");
    seen(Mistake::DirectionsSwapped, "stacked");
    seen(Mistake::NotANumber, "adjoint");
    seen(Mistake::NotANumber, "difference");
    seen(Mistake::InputCotangentUnasked, "adjoint");
    seen(Mistake::ParametersForgottenAlone, "adjoint");
    seen(Mistake::InputForgottenBeside, "adjoint");
    seen(Mistake::InputForgottenBeside, "difference");
    seen(Mistake::BiasForgottenAlone, "adjoint");
    seen(Mistake::InputCotangentMissing, "adjoint");
    seen(Mistake::ParameterCotangentUnasked, "adjoint");
    seen(Mistake::CotangentOfNoParameter, "adjoint");
    seen(Mistake::NotANumberInOutput, "difference");
    seen(Mistake::NotANumberInOutput, "stacked");
    seen(Mistake::NotANumberInInputCotangent, "adjoint");
    seen(Mistake::NotANumberInParameterCotangent, "adjoint");
    seen(Mistake::CotangentClipped, "adjoint");
    seen(Mistake::DualForgetsParametersAlone, "stacked");
    seen(Mistake::OutputOfOneSample, "stacked");
    seen(Mistake::DirectionsSwappedAlone, "stacked");
    seen(Mistake::MapForgotten, "adjoint");
    seen(Mistake::MapForgottenInSaved, "adjoint");
    seen(Mistake::AssignsNothing, "difference");
}

#[test]
fn a_rectifier_shifted_by_a_pixel_and_a_scaled_linear_layer_are_rejected() {
    let relu = Sequential::new().then(Relu);
    assert!(rejected_by(relu, [2, 2, 4, 5], Mistake::CotangentShifted).contains(&"adjoint"));
    let linear = Sequential::new().then(Linear::new([4, 3], true, Stream::new(0, "wrong"), &double()));
    assert!(rejected_by(linear, [3, 4, 1, 1], Mistake::TangentScaled).contains(&"adjoint"));
}

/// Batch norm whose statistics do not move is not the derivative of the layer: the checkers must say so.
#[test]
fn a_detached_batch_norm_is_no_derivative_but_has_its_own_transpose() {
    let norm = BatchNorm::new(3, 0.0, &double());
    let mut chain = Sequential::new().then(norm.clone());
    let rejected = rejected(check_layer("detached", &mut chain, [3, 3, 2, 5], Phase::Detached, &double(), 3));
    assert!(rejected.contains(&"adjoint") && rejected.contains(&"difference"), "{rejected:?}");

    let stream = Stream::new(1, "detached");
    let draw = |name: &str| stream.named(name).normal_tensor::<4>([3, 3, 2, 5], &double());
    let saved = norm.forward(draw("x"), Phase::Detached.into()).1;
    let theta_dot =
        Layer::parameters(&norm).filled_like(|path, shape| stream.named(path).normal(shape.iter().product()));
    let (x_dot, y_bar) = (draw("x_dot"), draw("y_bar"));
    let y_dot = norm.tangent(&saved, Some(x_dot.clone()), std::slice::from_ref(&theta_dot)).expect("a tangent");
    let part = norm.frozen_cotangent(&saved, y_bar.clone(), Wanted::BOTH);
    let dot = foregrad::ops::dot::<4>;
    let right = dot(&x_dot, &part.x_bar.clone().expect("asked for")) + theta_dot.dot(&part.theta_bar);
    assert!((dot(&y_dot, &y_bar) - right).abs() < 1e-12 * right.abs().max(1.0));
}
