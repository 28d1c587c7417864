//! A loss, a metric and a head that this library does not know stand wherever its own do, and wrong ones are refused.

use burn::tensor::{DType, Device, Tensor};
use foregrad::check;
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, Mode, StepInput};
use foregrad::layers::{AnySaved, Cotangent, Pass, Phase, Wanted};
use foregrad::losses::{LabelKind, Labels, Loss};
use foregrad::metrics::{Measured, Metric};
use foregrad::models::{Evaluation, Head, LossHead, ModelConfig, Network};
use foregrad::ops;
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;

/// `l = mean over samples of the sum over outputs of log cosh(z - value)`.
#[derive(Debug, Clone)]
struct LogCosh {
    /// The mistake: a gradient that is not divided by the number of samples.
    is_wrong: bool,
}

/// `[n, outputs]`.
fn differences(z: Tensor<4>, labels: &Labels) -> Tensor<2> {
    let z: Tensor<2> = z.flatten(1, 3);
    z.clone() - labels.rows(&Placement::of(&z))
}

impl Loss for LogCosh {
    /// The gradient, shaped as the outputs.
    type Saved = Tensor<4>;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Tensor<4>) {
        let (samples, shape) = (z.dims()[0] as f64, z.dims());
        let difference = differences(z, labels);
        let loss: f64 = ops::host(difference.clone().cosh().log()).iter().sum();
        let divisor = if self.is_wrong { 1.0 } else { samples };
        (loss / samples, (difference.tanh() / divisor).reshape(shape))
    }

    fn tangent(&self, gradient: &Tensor<4>, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        z_dot.split(gradient.dims()[0], 0).iter().map(|z_dot| ops::row_dots(gradient, z_dot)).collect()
    }

    fn cotangent(&self, gradient: &Tensor<4>) -> Tensor<4> {
        gradient.clone()
    }
}

#[test]
fn a_loss_of_ones_own_passes_the_checks_and_a_wrong_one_is_told_what_is_wrong() {
    check::loss(LogCosh { is_wrong: false }, LabelKind::Values(3)).into_result().expect("a right loss");
    let error = check::loss(LogCosh { is_wrong: true }, LabelKind::Values(3)).into_result().expect_err("a wrong loss");
    let text = error.to_string();
    assert!(text.contains("LogCosh: samples is off") && text.contains("number of samples"), "{text}");
}

/// A sum over the batch, whose three maps belong together: no mean.
#[derive(Debug, Clone)]
struct Summed(LogCosh);

impl Loss for Summed {
    type Saved = Tensor<4>;

    fn forward(&self, z: Tensor<4>, labels: &Labels) -> (f64, Tensor<4>) {
        let samples = z.dims()[0] as f64;
        let (loss, gradient) = self.0.forward(z, labels);
        (loss * samples, gradient * samples)
    }

    fn tangent(&self, gradient: &Tensor<4>, z_dot: Tensor<4>) -> Vec<Vec<f64>> {
        self.0.tangent(gradient, z_dot)
    }

    fn cotangent(&self, gradient: &Tensor<4>) -> Tensor<4> {
        self.0.cotangent(gradient)
    }
}

#[test]
fn a_sum_that_says_it_is_a_mean_is_refused() {
    let report = check::loss(Summed(LogCosh { is_wrong: false }), LabelKind::Values(3));
    let broken: Vec<&str> = report.broken().map(|entry| entry.identity).collect();
    assert_eq!(broken, ["samples"], "{report}");
}

/// A head without parameters: a linear function of the mean pixel, whatever the labels.
#[derive(Debug, Clone)]
struct MeanPixel {
    is_wrong: bool,
}

impl LossHead for MeanPixel {
    fn forward(&self, y: Tensor<4>, labels: &Labels, _pass: Pass) -> (Evaluation, AnySaved) {
        let metric = Some(Measured { name: "samples", sum: labels.len() as f64 });
        (Evaluation { loss: ops::host(y.clone().mean())[0], metric }, AnySaved::of(y.dims()))
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        let shape: &[usize; 4] = saved.as_saved_by(self);
        let Some(y_dot) = y_dot else { return vec![vec![0.0; shape[0]]; theta_dot.len()] };
        let one = y_dot.clone().narrow(0, 0, shape[0]).ones_like() / shape.iter().product::<usize>() as f64;
        y_dot.split(shape[0], 0).iter().map(|y_dot| ops::row_dots(&one, y_dot)).collect()
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        let shape: &[usize; 4] = saved.as_saved_by(self);
        let count = if self.is_wrong { shape[0] } else { shape.iter().product() };
        let y_bar = check::placement().ones(*shape) / count as f64;
        Cotangent { x_bar: wanted.input.then_some(y_bar), theta_bar: ParamVector::default() }
    }
}

#[test]
fn a_head_of_ones_own_passes_the_checks_and_a_wrong_one_does_not() {
    check::head(MeanPixel { is_wrong: false }, [4, 2, 3, 5], 3).into_result().expect("a right head");
    let error = check::head(MeanPixel { is_wrong: true }, [4, 2, 3, 5], 3).into_result().expect_err("a wrong head");
    assert!(error.to_string().contains("MeanPixel: adjoint is off"), "{error}");
}

/// The largest error of any output.
#[derive(Debug)]
struct Worst;

impl Metric for Worst {
    fn name(&self) -> &'static str {
        "worst"
    }

    fn sum(&self, z: &Tensor<4>, labels: &Labels) -> Option<f64> {
        let errors = ops::host(differences(z.clone(), labels).abs().max_dim(1));
        Some(errors.iter().sum())
    }
}

/// A small network for two values, and a batch.
fn regression() -> (Network, Tensor<4>, Labels) {
    let placement = Placement { device: Device::flex(), dtype: DType::F64 };
    let model = ModelConfig { width: 0.05, ..Default::default() };
    let network = model.init([1, 9, 9], LabelKind::Values(2), 0, &placement).expect("a network");
    let images = Stream::new(0, "images").normal_tensor([4, 1, 9, 9], &placement);
    (network, images, Labels::values(Stream::new(0, "values").normal(8), 2))
}

#[test]
fn values_are_learnt_in_both_modes_alike() {
    let (network, images, labels) = regression();
    let update = |mode| {
        let granularity = Some("block".parse().expect("a name"));
        let config = EstimatorConfig { mode, granularity, ..Default::default() };
        let input = StepInput::new(images.clone(), &labels, 0, 0);
        estimate::step(&config, &network, &input, &EstimatorState::default()).expect("a step")
    };
    let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(update);
    assert!(forward.update.clone().axpy(-1.0, &oracle.update).norm() < 1e-10 * oracle.update.norm());
    let metric = forward.evaluations.last().expect("the network's").expect("it ran").metric.expect("a metric");
    assert_eq!(metric.name, "mean-absolute-error");
    check::network(&network, [1, 9, 9], LabelKind::Values(2)).into_result().expect("a network for values");
}

#[test]
fn a_head_is_judged_by_the_metric_that_it_was_given() {
    let (_, images, labels) = regression();
    let linear = foregrad::layers::Linear::new([81, 2], true, Stream::new(0, "linear"), &check::placement());
    let net = foregrad::layers::Sequential::new().then(foregrad::layers::Flatten).then(linear);
    let head = Head::new(net, LogCosh { is_wrong: false }).judged_by(Worst);
    let (evaluation, _) = head.forward(images, &labels, Phase::Train.into());
    assert_eq!(evaluation.metric.expect("a metric").name, "worst");
}

#[test]
fn labels_that_a_network_has_no_outputs_for_are_refused() {
    let (network, images, _) = regression();
    for (wrong, words) in [
        (Labels::classes(vec![0, 1, 0, 1], 2), "the labels is 2 classes; expected 2 values"),
        (Labels::values(vec![0.0; 4], 1), "the labels is 1 value; expected 2 values"),
        (Labels::values(vec![0.0; 6], 2), "the number of labels is 3; expected 4"),
    ] {
        let input = StepInput::new(images.clone(), &wrong, 0, 0);
        let step = estimate::step(&EstimatorConfig::default(), &network, &input, &EstimatorState::default());
        let error = step.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
}
