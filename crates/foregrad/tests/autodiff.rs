//! Cotangents equal Burn's own autodiff away from ties: an oracle that shares no code with ours.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::{double, relative as relative_vectors};
use foregrad::check::{NetworkExample, layer_examples, network_examples};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, Mode, StepInput};
use foregrad::layers::{Layer, Wanted};
use foregrad::losses::Labels;
use foregrad::ops;
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;

/// Relative difference of the two gradients in f64.
const LIMIT: f64 = 1e-10;

/// The same parameters on the autodiff device, each asking for its gradient.
fn tracked(values: &ParamVector) -> ParamVector {
    values.map(|_, values| Tensor::from_inner(values).require_grad())
}

fn gradients(tracked: &ParamVector, gradients: &burn::tensor::Gradients) -> ParamVector {
    let mut found = ParamVector::default();
    for (path, entry) in tracked.iter() {
        let gradient = entry.values().grad(gradients).unwrap_or_else(|| entry.values().inner().zeros_like());
        found.insert_entry(path, entry.with_values(gradient));
    }
    found
}

#[test]
fn every_layers_cotangents_are_those_of_autodiff() {
    for example in layer_examples(&double()) {
        let stream = Stream::new(2, "autodiff").named(&example.name);
        let x: Tensor<4> = stream.named("x").normal_tensor(example.input, &double());
        let (y, saved) = example.block.forward(x.clone(), example.phase.into());
        let y_bar: Tensor<4> = stream.named("y_bar").normal_tensor(y.dims(), &double());
        let ours = example.block.cotangent(&saved, y_bar.clone(), Wanted::BOTH);

        let mut twin = example.block.clone();
        let parameters = tracked(&example.block.parameters());
        let averages = example.block.averages().map(|_, values| Tensor::from_inner(values));
        twin.assign(&parameters);
        twin.assign(&averages);
        let x = Tensor::from_inner(x).require_grad();
        let (y, _) = twin.forward(x.clone(), example.phase.into());
        let loss = (y * Tensor::from_inner(y_bar)).sum();
        let found = loss.backward();
        let x_bar = x.grad(&found).expect("the input's gradient");
        let difference = x_bar.clone() - ours.x_bar.expect("asked for");
        let error = (ops::dot(&difference, &difference) / ops::dot(&x_bar, &x_bar)).sqrt();
        assert!(error < LIMIT, "{}: the input's cotangent is off by {error:e}", example.name);
        if !parameters.is_empty() {
            let error = relative_vectors(&ours.theta_bar, &gradients(&parameters, &found));
            assert!(error < LIMIT, "{}: the parameters' cotangent is off by {error:e}", example.name);
        }
    }
}

#[test]
fn every_networks_gradient_is_that_of_autodiff() {
    let placement = Placement { device: double().device.autodiff(), ..double() };
    // What a step drops is drawn from the step's own stream; the networks called vgg drop too.
    let draws_nothing = |example: &NetworkExample| !["dropout", "vgg"].iter().any(|name| example.name.contains(name));
    for example in network_examples(&double()).into_iter().filter(draws_nothing) {
        let [channels, height, width] = example.image;
        let images = Stream::new(2, "autodiff").normal_tensor([4, channels, height, width], &double());
        let labels = Labels::classes(vec![0, 1, 2, 0], 3);
        let exact = "exact".parse().expect("a guess");
        let config = EstimatorConfig { guess: exact, mode: Mode::Oracle, ..Default::default() };
        let input = StepInput::new(images.clone(), &labels, 0, 0);
        let ours = estimate::step(&config, &example.network, &input, &EstimatorState::default()).expect("a step");

        let mut twin = example.network.clone();
        let parameters = tracked(&example.network.parameters().filtered(|path| !path.starts_with("heads.")));
        twin.assign(&parameters);
        twin.assign(&example.network.averages().map(|_, values| Tensor::from_inner(values)));
        let mut x = Tensor::from_inner(images);
        for block in &twin.blocks {
            x = block.forward(x, foregrad::layers::Phase::Train.into()).0;
        }
        // The classifier's loss by plain Burn operations: its head's value is a number, which autodiff cannot follow.
        let logits = classify(&twin, x);
        let log_p = burn::tensor::activation::log_softmax(logits, 1);
        let loss = (log_p * labels.rows(&placement)).sum() / -4.0;
        let found = loss.backward();
        let error = relative_vectors(&ours.update, &gradients(&parameters, &found));
        assert!(error < LIMIT, "{}: the gradient is off by {error:e}", example.name);
    }
}

/// Mean over pixels, then the linear map `fc`.
fn classify(network: &foregrad::models::Network, x: Tensor<4>) -> Tensor<2> {
    let [samples, channels, height, width] = x.dims();
    let pooled = x.reshape([samples, channels, height * width]).mean_dim(2).reshape([samples, channels]);
    let parameters = network.classifier.parameters();
    let weight = parameters.get::<2>("fc.weight").expect("a weight");
    let bias = parameters.get::<1>("fc.bias").expect("a bias");
    pooled.matmul(weight.transpose()) + bias.unsqueeze()
}
