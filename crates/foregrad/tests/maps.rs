//! Which maps run: forward-only methods call no cotangent, and nothing crosses a block's border backward.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::Case;
use foregrad::check::count_maps;
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, Granularity, Horizon, LastBlock, Space};
use foregrad::layers::{AnySaved, Cotangent, Layer, Pass, Sequential, Wanted};
use foregrad::losses::Labels;
use foregrad::models::{AnyHead, Evaluation, HeadKind, LossHead, Norm};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// A block without a cotangent.
#[derive(Debug)]
struct ForwardOnly<'a>(&'a Sequential);

impl Layer for ForwardOnly<'_> {
    type Saved = Vec<AnySaved>;

    fn forward(&self, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Self::Saved) {
        self.0.forward(x, pass)
    }

    fn tangent(&self, saved: &Self::Saved, x_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        self.0.tangent(saved, x_dot, theta_dot)
    }

    fn cotangent(&self, _: &Self::Saved, _: Tensor<4>, _: Wanted) -> Cotangent {
        panic!("a block's cotangent was called");
    }

    fn parameters(&self) -> ParamVector {
        Layer::parameters(self.0)
    }
}

/// A head that may not be used at all, or a classifier without a cotangent.
#[derive(Debug)]
struct Forbidden<'a> {
    head: &'a dyn LossHead,
    entirely: bool,
}

impl LossHead for Forbidden<'_> {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        assert!(!self.entirely, "a head was called");
        self.head.forward(y, labels, pass)
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        self.head.tangent(saved, y_dot, theta_dot)
    }

    fn cotangent(&self, _: &AnySaved, _: Wanted) -> Cotangent {
        panic!("a loss's cotangent was called");
    }

    fn is_separable(&self) -> bool {
        true
    }

    fn statistics(&self, saved: &AnySaved) -> ParamVector {
        self.head.statistics(saved)
    }

    fn parameters(&self) -> ParamVector {
        self.head.parameters()
    }

    fn redrawn(&self, _: Stream) -> Option<AnyHead> {
        panic!("a head was drawn")
    }

    fn assign(&mut self, _: &ParamVector) {
        panic!("a head was changed")
    }
}

fn case() -> Case {
    Case::new("resnet18-8b", Norm::Batch, Norm::Batch, HeadKind::Linear)
}

#[test]
fn one_random_tangent_trains_everything_without_any_cotangent_or_head() {
    let case = case();
    let blocks: Vec<_> = case.network.blocks.iter().map(ForwardOnly).collect();
    let heads: Vec<_> =
        case.network.heads.iter().flatten().map(|head| Forbidden { head: &**head, entirely: true }).collect();
    let classifier = Forbidden { head: &*case.network.classifier, entirely: false };
    let view = estimate::View {
        blocks: blocks.iter().map(|block| block as &estimate::Block).collect(),
        losses: heads.iter().chain([&classifier]).map(|head| Some(head as &dyn LossHead)).collect(),
        prefixes: (0..case.depth()).map(|block| case.network.prefix(block)).collect(),
        targets: Vec::new(),
    };
    for guess in ["gaussian", "rademacher", "low-rank"] {
        let config = EstimatorConfig {
            guess: guess.parse().expect("a guess"),
            last_block: LastBlock::Estimated,
            ..Default::default()
        };
        let output = estimate::step_on(&config, &view, &case.input(), &EstimatorState::default()).expect("a step");
        let trunk = case.network.parameters().filtered(|path| !path.starts_with("heads."));
        assert!(trunk.paths().all(|path| output.update.entry(path).is_some()), "{guess} leaves weights out");
        assert!(output.update.entry("fc.bias").is_some());
    }
}

#[test]
fn a_global_target_with_guess_horizon_0_sends_nothing_backward_across_a_border() {
    let case = case();
    for (space, granularity, mix) in [
        (Space::Weight, Granularity::Network, None),
        (Space::Weight, Granularity::Block, None),
        (Space::Weight, Granularity::Tensor, None),
        (Space::Weight, Granularity::Block, Some(2)),
        (Space::Activity, Granularity::Sample, None),
        (Space::Activity, Granularity::Batch, None),
        (Space::Activity, Granularity::Sample, Some(1)),
    ] {
        let config = EstimatorConfig { space, granularity: Some(granularity), mix, ..Default::default() };
        let counts = count_maps(&config, &case.network, &case.input()).expect("a step");
        assert_eq!(counts.cotangent_across, 0, "{config:?}: {counts:?}");
        assert!(counts.tangent > 0 && counts.cotangent_inside >= case.depth(), "{counts:?}");
    }
}

#[test]
fn a_guess_that_looks_further_and_backprop_do_cross_borders() {
    let case = case();
    let further = EstimatorConfig { guess_horizon: Horizon::blocks(1), ..Default::default() };
    let counts = count_maps(&further, &case.network, &case.input()).expect("a step");
    assert_eq!(counts.cotangent_across, case.depth() - 1);
    let exact = EstimatorConfig {
        guess: "exact".parse().expect("a guess"),
        mode: estimate::Mode::Oracle,
        ..Default::default()
    };
    assert!(count_maps(&exact, &case.network, &case.input()).expect("a step").cotangent_across > 0);
}
