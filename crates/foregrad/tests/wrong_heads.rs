//! As `wrong_layers.rs`: deliberately wrong heads must be rejected, each by the identity that sees the mistake.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::double;
use foregrad::check::check_head;
use foregrad::layers::{AnySaved, Cotangent, Pass, Wanted};
use foregrad::losses::{LabelKind, Labels};
use foregrad::models::{AnyHead, AtOutputs, Evaluation, Head, HeadConfig, HeadKind, LossHead, Norm};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    TangentScaled,
    BothScaledAlike,
    ParametersForgottenAlone,
    InputForgottenBeside,
    InputCotangentMissing,
    NotANumberInTangent,
    NotANumberInLoss,
    DirectionsSwapped,
    SamplesSwapped,
    AllInOneSample,
    ErrorScaled,
    OutputsOfOtherSamples,
}

#[derive(Debug)]
struct Wrong(Head, Mistake);

impl LossHead for Wrong {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        let (mut evaluation, saved) = self.0.forward(y, labels, pass);
        if self.1 == Mistake::NotANumberInLoss {
            evaluation.loss = f64::NAN;
        }
        (evaluation, saved)
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        let (is_still, beside) = (y_dot.is_none(), !theta_dot.is_empty());
        let y_dot = y_dot.filter(|_| !(beside && self.1 == Mistake::InputForgottenBeside));
        let mut derivatives = self.0.tangent(saved, y_dot, theta_dot);
        let factor = match self.1 {
            Mistake::TangentScaled | Mistake::BothScaledAlike => 1.001,
            Mistake::ParametersForgottenAlone if is_still => 0.0,
            Mistake::NotANumberInTangent => f64::NAN,
            _ => 1.0,
        };
        derivatives.iter_mut().flatten().for_each(|value| *value *= factor);
        match self.1 {
            Mistake::DirectionsSwapped => derivatives.reverse(),
            Mistake::SamplesSwapped => derivatives.iter_mut().for_each(|samples| samples.reverse()),
            Mistake::AllInOneSample => derivatives.iter_mut().for_each(|samples| {
                let total = samples.iter().sum();
                samples.fill(0.0);
                samples[0] = total;
            }),
            _ => {}
        }
        derivatives
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        let mut part = self.0.cotangent(saved, wanted);
        match self.1 {
            Mistake::InputCotangentMissing => part.x_bar = None,
            Mistake::BothScaledAlike => {
                part.x_bar = part.x_bar.map(|x_bar| x_bar * 1.001);
                part.theta_bar = part.theta_bar.scaled(1.001);
            }
            _ => {}
        }
        part
    }

    fn at_outputs(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>) -> Option<AtOutputs> {
        let AtOutputs { error, tangent } = self.0.at_outputs(saved, y_dot)?;
        Some(match self.1 {
            Mistake::ErrorScaled => AtOutputs { error: error * 1.001, tangent },
            Mistake::OutputsOfOtherSamples => AtOutputs { error, tangent: tangent.map(|tangent| tangent.flip([0])) },
            _ => AtOutputs { error, tangent },
        })
    }

    fn is_separable(&self) -> bool {
        self.0.is_separable()
    }

    fn statistics(&self, saved: &AnySaved) -> ParamVector {
        self.0.statistics(saved)
    }

    fn parameters(&self) -> ParamVector {
        self.0.parameters()
    }

    fn averages(&self) -> ParamVector {
        self.0.averages()
    }

    fn redrawn(&self, stream: Stream) -> Option<AnyHead> {
        self.0.redrawn(stream)
    }

    fn assign(&mut self, values: &ParamVector) {
        self.0.assign(values);
    }
}

/// The identities that reject a head with a mistake.
fn rejected_by(norm: Norm, mistake: Mistake) -> Vec<&'static str> {
    let config = HeadConfig {
        kind: HeadKind::Mlp,
        norm,
        hidden: 5,
        channels: 3,
        input: [2, 3, 3],
        labels: LabelKind::Classes(3),
        smoothing: 0.0,
    };
    let mut head = Wrong(config.init(Stream::new(0, "wrong"), &double()), mistake);
    let entries = check_head("wrong", &mut head, ([4, 2, 3, 3], LabelKind::Classes(3)), &double(), 3);
    entries.into_iter().filter(|entry| !entry.passed()).map(|entry| entry.identity).collect()
}

#[test]
fn every_mistake_is_seen_and_a_right_head_passes() {
    for norm in [Norm::Batch, Norm::Group] {
        assert_eq!(rejected_by(norm, Mistake::None), [""; 0], "{norm:?}");
        for (mistake, identity) in [
            (Mistake::TangentScaled, "adjoint"),
            (Mistake::TangentScaled, "difference"),
            (Mistake::BothScaledAlike, "difference"),
            (Mistake::ParametersForgottenAlone, "adjoint"),
            (Mistake::InputForgottenBeside, "adjoint"),
            (Mistake::InputCotangentMissing, "adjoint"),
            (Mistake::InputCotangentMissing, "difference"),
            (Mistake::NotANumberInTangent, "adjoint"),
            (Mistake::NotANumberInTangent, "difference"),
            (Mistake::NotANumberInLoss, "difference"),
            (Mistake::DirectionsSwapped, "adjoint"),
            (Mistake::ErrorScaled, "outputs"),
            (Mistake::OutputsOfOtherSamples, "outputs"),
        ] {
            let rejected = rejected_by(norm, mistake);
            assert!(rejected.contains(&identity), "{norm:?}, {mistake:?} was rejected by {rejected:?} only");
        }
    }
    // Their sum is right: only where samples stay apart can it be said which derivative is whose.
    for mistake in [Mistake::SamplesSwapped, Mistake::AllInOneSample] {
        assert_eq!(rejected_by(Norm::Group, mistake), ["samples", "outputs"], "{mistake:?}");
    }
}
