//! Parts of a sample: tiles and channel groups with a scalar each, measured by one pass where the loss keeps them apart.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::{Case, double, largest_deviation, relative};
use foregrad::Error;
use foregrad::estimate::{
    self, AnyCombination, Correction, EstimatorConfig, EstimatorState, Granularity, Horizon, Memory, Mode, Space,
    StepInput, StepOutput, View,
};
use foregrad::layers::{AnySaved, Cotangent, Pass, Wanted};
use foregrad::losses::Labels;
use foregrad::models::{AnyHead, Evaluation, HeadKind, LossHead, ModelConfig, NetworkSpec, Norm};
use foregrad::ops::{self, Parts};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// The granularities that cut a sample.
const CUTS: [Granularity; 3] = [Granularity::Patch, Granularity::Group, Granularity::PatchGroup];

/// Six blocks of 4 to 16 channels on maps whose sides the tiles do not divide.
fn case(head: HeadKind) -> Case {
    let norm = Norm::Group;
    let model = ModelConfig { width: 0.0625, norm, head_norm: norm, head, pool: false, ..Default::default() };
    Case::with(&model, [2, 7, 5], 3)
}

fn config(guess: &str, granularity: Granularity) -> EstimatorConfig {
    let patches = matches!(granularity, Granularity::Patch | Granularity::PatchGroup).then_some(3);
    let groups = matches!(granularity, Granularity::Group | Granularity::PatchGroup).then_some(2);
    let (guess, granularity) = (guess.parse().expect("a guess"), Some(granularity));
    EstimatorConfig { guess, space: Space::Activity, granularity, patches, groups, ..Default::default() }
}

fn of_block(output: &StepOutput, case: &Case, block: usize) -> ParamVector {
    let own = case.network.block_parameters(block);
    output.update.filtered(|path| own.entry(path).is_some())
}

/// A head that has a pass for all parts and no other, or none.
#[derive(Debug)]
struct Only<'a> {
    head: &'a AnyHead,
    has_one: bool,
}

impl LossHead for Only<'_> {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        self.head.forward(y, labels, pass)
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        assert!(!self.has_one, "a part as a tangent of its own");
        self.head.tangent(saved, y_dot, theta_dot)
    }

    fn part_derivatives(&self, saved: &AnySaved, y_dot: &Tensor<4>, parts: Parts) -> Option<Vec<Vec<f64>>> {
        self.has_one.then(|| self.head.part_derivatives(saved, y_dot, parts)).flatten()
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        self.head.cotangent(saved, wanted)
    }

    fn parameters(&self) -> ParamVector {
        self.head.parameters()
    }
}

#[test]
fn forward_mode_agrees_with_the_oracle_where_samples_stay_apart() {
    for (head, guesses, targets) in [
        (HeadKind::Mlp, &["local", "gaussian"][..], &[Horizon::LOCAL, Horizon::blocks(1), Horizon::GLOBAL][..]),
        (HeadKind::MeanLinear, &["local+rademacher"], &[Horizon::LOCAL, Horizon::blocks(1)]),
        (HeadKind::Predsim, &["local"], &[Horizon::LOCAL, Horizon::GLOBAL]),
    ] {
        let case = case(head);
        for guess in guesses {
            for granularity in CUTS {
                targets.iter().for_each(|target| assert_agree(&case, &config(guess, granularity), *target));
            }
        }
    }
}

/// Forward mode and oracle have the same scalars, one a part, and updates of each block.
fn assert_agree(case: &Case, config: &EstimatorConfig, target: Horizon) {
    let config = &EstimatorConfig { target, ..config.clone() };
    let memory = if target == Horizon::GLOBAL { Memory::Keep } else { Memory::Recompute };
    let step = |mode| case.step(&EstimatorConfig { mode, memory, ..config.clone() });
    let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(step);
    let deviation = largest_deviation(&forward, &oracle);
    assert!(deviation < 1e-10, "{config:?}: {deviation:e}");
    for block in 0..case.depth() - 1 {
        let [forward, oracle] = [&forward, &oracle].map(|output| of_block(output, case, block));
        let deviation = relative(&forward, &oracle);
        assert!(deviation < 1e-10, "{config:?}, block {block}: {deviation:e}");
    }
    let shape = |values: &Vec<Vec<f64>>| (values.len(), values[0].len());
    let expected = (config.directions(), 3 * config.parts().count());
    assert!(oracle.scalars.iter().all(|scalars| shape(&scalars.values) == expected), "{expected:?}");
}

#[test]
fn a_loss_that_is_no_sum_is_refused_as_a_target_of_parts_beyond_its_block() {
    let case = case(HeadKind::Predsim);
    for granularity in CUTS {
        let config = EstimatorConfig { target: Horizon::blocks(1), ..config("local", granularity) };
        let error = config.validate_losses(&View::new(&case.network)).expect_err("no sum over samples").to_string();
        assert!(error.contains("estimator.granularity = batch"), "{error}");
    }
}

#[test]
fn corrected_guesses_are_cut_too() {
    let case = case(HeadKind::MeanLinear);
    for granularity in CUTS {
        let corrected = EstimatorConfig { correct: Some(Correction::Rademacher), ..config("local", granularity) };
        [Horizon::LOCAL, Horizon::GLOBAL].iter().for_each(|target| assert_agree(&case, &corrected, *target));
    }
}

#[test]
fn one_pass_for_all_parts_is_every_part_as_a_tangent_of_its_own() {
    let case = case(HeadKind::MeanLinear);
    let step = |config: &EstimatorConfig, has_one: bool| {
        let heads: Vec<_> = case.network.heads.iter().flatten().map(|head| Only { head, has_one }).collect();
        let mut view = View::new(&case.network);
        heads.iter().enumerate().for_each(|(block, head)| view.losses[block] = Some(head));
        estimate::step_on(config, &view, &case.input(), &EstimatorState::default()).expect("a valid estimator")
    };
    for granularity in CUTS {
        for (guess, directions) in [("local", 1), ("gaussian", 3)] {
            let config = EstimatorConfig { target: Horizon::LOCAL, directions, ..config(guess, granularity) };
            let fast = step(&config, true);
            for tangents_at_once in [0, 1, 5] {
                let slow = step(&EstimatorConfig { tangents_at_once, ..config.clone() }, false);
                let deviation = largest_deviation(&fast, &slow);
                assert!(deviation < 1e-12, "{granularity}, {guess}, {tangents_at_once} at once: {deviation:e}");
            }
        }
    }
}

#[test]
fn only_heads_whose_maps_keep_parts_apart_have_a_pass_for_all_of_them() {
    let placement = double();
    let [channels, height, width] = [4, 5, 3];
    for (head, has_one) in [
        ("\"mean-linear\"", true),
        ("[\"adaptive-avg-pool\", { layer = \"linear\", outputs = \"labels\" }]", true),
        ("[\"adaptive-avg-pool\", \"relu\", { layer = \"linear\", outputs = \"labels\" }]", false),
        (
            "[{ layer = \"adaptive-avg-pool\", bins = 2 }, \"flatten\", { layer = \"linear\", outputs = \"labels\" }]",
            false,
        ),
        ("{ layers = [\"adaptive-avg-pool\", { layer = \"linear\", outputs = 5 }], loss = \"similarity\" }", false),
        ("\"linear\"", false),
        ("\"predsim\"", false),
    ] {
        let conv = "{ layer = \"conv2d\", outputs = 4, kernel = 1 }";
        let text = format!("blocks = [{{ layers = [{conv}], head = {head} }}, {{ layers = [{conv}] }}]");
        let spec = NetworkSpec::from_toml(&text).expect(head);
        let model = ModelConfig { name: String::new(), network: Some(spec), ..Default::default() };
        let network = model.init([channels, height, width], 3, 0, &placement).expect(head);
        let own = network.heads[0].as_ref().expect("a head");
        let y: Tensor<4> = Stream::new(0, "y").normal_tensor([6, channels, height, width], &placement);
        let labels = Labels::classes(vec![0, 1, 2, 0, 1, 2], 3);
        let (_, saved) = own.forward(y.clone(), &labels, foregrad::layers::Phase::Train.into());
        let parts = Parts { tiles: 3, groups: 2 };
        let derivatives = own.part_derivatives(&saved, &y, parts);
        assert_eq!(derivatives.is_some(), has_one, "{head}");
        assert!(derivatives.is_none_or(|rows| rows.len() == 1 && rows[0].len() == 6 * parts.count()), "{head}");
    }
}

#[test]
fn the_parts_own_products_add_up_to_the_samples() {
    let case = case(HeadKind::Linear);
    for mode in [Mode::Forward, Mode::Oracle] {
        let scalars = |granularity| {
            let config = EstimatorConfig { mode, ..config("gaussian", granularity) };
            let mut scalars = case.step(&config).scalars;
            scalars.sort_by(|a, b| a.slot.cmp(&b.slot));
            (scalars, config.parts().count())
        };
        let (whole, _) = scalars(Granularity::Sample);
        for granularity in CUTS {
            let (cut, parts) = scalars(granularity);
            for (whole, cut) in whole.iter().zip(&cut) {
                let sums = cut.values[0].chunks_exact(parts).map(|own| own.iter().sum::<f64>());
                let size = whole.values[0].iter().map(|value| value * value).sum::<f64>().sqrt();
                for (sum, whole) in sums.zip(&whole.values[0]) {
                    assert!((sum - whole).abs() < 1e-12 * size, "{granularity}, {mode}, {}", cut.slot);
                }
            }
        }
    }
}

/// A projected guess that is the target itself is scaled to itself part by part; each part of an update has the length of its scalar.
#[test]
fn a_guess_is_divided_by_the_norm_of_each_part() {
    let case = case(HeadKind::MeanLinear);
    let exact = case.step(&EstimatorConfig {
        guess: "exact".parse().expect("a guess"),
        space: Space::Activity,
        target: Horizon::LOCAL,
        ..Default::default()
    });
    for granularity in CUTS {
        for mode in [Mode::Forward, Mode::Oracle] {
            let config = EstimatorConfig { target: Horizon::LOCAL, mode, ..config("local", granularity) };
            let own = case.step(&config);
            for block in 0..case.depth() - 1 {
                let [own, exact] = [&own, &exact].map(|output| of_block(output, &case, block));
                assert!(relative(&own, &exact) < 1e-12, "{granularity}, {mode}, block {block}");
            }
        }
    }
}

/// The rows of a Hadamard matrix of `2^order`.
fn hadamard(order: u32) -> impl Iterator<Item = impl Fn(usize) -> f64> {
    let sign = |row: usize, column: usize| if (row & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    (0..1usize << order).map(move |row| move |column| sign(row, column))
}

#[test]
fn random_guesses_by_parts_are_unbiased_exactly() {
    let text = r#"
        blocks = [
            { layers = [{ layer = "conv2d", outputs = 4, kernel = 2, bias = true }, "gelu"], head = "mean-linear" },
            { layers = [{ layer = "conv2d", outputs = 4, kernel = 2 }, "gelu"] },
        ]
    "#;
    let spec = NetworkSpec::from_toml(text).expect("a network");
    let model = ModelConfig { name: String::new(), network: Some(spec), ..Default::default() };
    let case = Case::with(&model, [2, 4, 4], 2);
    let shape = [2, 4, 3, 3];
    let state = EstimatorState::default();
    for target in [Horizon::LOCAL, Horizon::GLOBAL] {
        let exact = EstimatorConfig {
            guess: "exact".parse().expect("a guess"),
            target,
            mode: Mode::Oracle,
            space: Space::Activity,
            ..Default::default()
        };
        let gradient = of_block(&case.step(&exact), &case, 0);
        for granularity in CUTS {
            let config = EstimatorConfig { target, patches: None, groups: None, ..config("rademacher", granularity) };
            let mut mean = ParamVector::default();
            for row in hadamard(7) {
                let mut given = ParamVector::default();
                given.insert::<4>("0.blocks.0", double().tensor((0..72).map(row).collect(), shape));
                let input = StepInput { given: Some(&given), ..case.input() };
                let output = estimate::step(&config, &case.network, &input, &state).expect("a valid estimator");
                mean = mean.axpy(1.0 / 128.0, &of_block(&output, &case, 0));
            }
            assert!(relative(&mean, &gradient) < 1e-12, "{granularity}, {target}");
        }
    }
}

/// As many projected directions as a part has elements give the gradient: inner products are the parts' own.
#[test]
fn directions_are_projected_part_by_part() {
    let case = case(HeadKind::Linear);
    let gradient = case.gradient();
    let first = |update: &ParamVector| update.filtered(|path| path.starts_with("blocks.0."));
    // 4 channels of 7x5 pixels in 25 tiles and 4 groups: one or two elements a part.
    let finest = EstimatorConfig { patches: Some(5), groups: Some(4), ..config("gaussian", Granularity::PatchGroup) };
    for (directions, is_exact) in [(1, false), (2, true)] {
        let combination = AnyCombination::PROJECTION;
        let config = EstimatorConfig { directions, combination, mode: Mode::Oracle, ..finest.clone() };
        let deviation = relative(&first(&case.step(&config).update), &first(&gradient));
        assert_eq!(deviation < 1e-8, is_exact, "{directions} directions: {deviation:e}");
    }
}

/// A projection is made longer by what each part has of coordinates: of directions in one part alone the whole update is.
#[test]
fn the_length_of_a_projection_is_that_of_each_part() {
    let case = case(HeadKind::Linear);
    let mean_length = |n: usize| (1..n).fold((2.0 / std::f64::consts::PI).sqrt(), |mean, n| n as f64 / mean);
    let parts = Parts { tiles: 3, groups: 2 };
    let drawn: Vec<Tensor<4>> =
        ["a", "b"].map(|name| Stream::new(4, name).normal_tensor([3, 4, 7, 5], &double())).into();
    for (part, size) in parts.sizes([4, 7, 5]).into_iter().enumerate() {
        let factors: Vec<f64> = (0..3 * 18).map(|unit| if unit % 18 == part { 1.0 } else { 0.0 }).collect();
        let mut given = ParamVector::default();
        for (direction, tensor) in drawn.iter().enumerate() {
            given.insert(format!("{direction}.blocks.0"), parts.scale(tensor.clone(), &factors));
        }
        let [plain, long] = ["projection", "projection-length"].map(|name| {
            let combination = name.parse().expect("a combination");
            let own = config("gaussian", Granularity::PatchGroup);
            let config = EstimatorConfig { directions: 2, combination, mode: Mode::Oracle, ..own };
            let input = StepInput { given: Some(&given), ..case.input() };
            let output = estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a step");
            of_block(&output, &case, 0)
        });
        let factor = mean_length(size) / mean_length(2.min(size));
        assert!(relative(&long, &plain.scaled(factor)) < 1e-12, "part {part} of {size}");
    }
}

#[test]
fn parts_that_an_output_does_not_have_are_refused_at_the_step() {
    let case = case(HeadKind::Linear);
    for mode in [Mode::Forward, Mode::Oracle] {
        for (patches, groups, granularity, said) in [
            (6, 4, Granularity::Patch, "estimator.patches is 6; expected at most 5"),
            (6, 4, Granularity::PatchGroup, "block 0, whose output is 4x7x5"),
            (usize::MAX, 4, Granularity::Patch, "estimator.patches is"),
            (2, 16, Granularity::Group, "estimator.groups is 16; expected a divisor of the 4 channels of block 0"),
            (2, 3, Granularity::PatchGroup, "estimator.groups is 3"),
            (0, 1, Granularity::Patch, "estimator.patches is 0; expected at least 1"),
            (1, 0, Granularity::Group, "estimator.groups is 0; expected at least 1"),
        ] {
            let usual = config("local", granularity);
            let (patches, groups) = (usual.patches.and(Some(patches)), usual.groups.and(Some(groups)));
            let config = EstimatorConfig { patches, groups, mode, ..usual };
            let refused = estimate::step(&config, &case.network, &case.input(), &EstimatorState::default());
            let error = refused.map(drop).expect_err(said);
            assert!(error.is_usage() && error.to_string().contains(said), "{error}");
        }
    }
}

#[test]
fn what_parts_have_no_meaning_with_is_refused_with_a_way_out() {
    let whole = |space, granularity| EstimatorConfig { space, granularity, ..Default::default() };
    for (config, reason, way_out) in [
        (
            EstimatorConfig { patches: Some(2), ..whole(Space::Activity, None) },
            "the granularity `sample` cuts no sample into patches",
            "`estimator.granularity = patch` or patch-group, or `estimator.patches = off`",
        ),
        (
            EstimatorConfig { groups: Some(2), ..whole(Space::Weight, None) },
            "the granularity `network` cuts no sample into groups",
            "`estimator.granularity = group` or patch-group, or `estimator.groups = off`",
        ),
        (
            EstimatorConfig { groups: Some(4), ..config("local", Granularity::Patch) },
            "the granularity `patch` cuts no sample into groups",
            "`estimator.groups = off`",
        ),
        (whole(Space::Weight, Some(Granularity::Group)), "does not exist in weight space", "granularity = tensor`"),
        (
            whole(Space::Activity, Some(Granularity::Tensor)),
            "does not exist in activity space",
            "granularity = sample`, batch, patch, group or patch-group",
        ),
        (
            EstimatorConfig { mix: Some(1), ..config("local", Granularity::PatchGroup) },
            "one sign a block and sample",
            "`estimator.granularity = sample`, or `estimator.mix = off`",
        ),
        (
            EstimatorConfig { directions: 3, ..config("span", Granularity::Patch) },
            "the span's coefficients are per sample",
            "`estimator.granularity = sample`",
        ),
    ] {
        let error = config.validate(6).expect_err(reason);
        assert!(matches!(error, Error::Meaningless { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(reason) && error.contains(way_out), "{error}");
    }
    config("local", Granularity::PatchGroup).validate(6).expect("a meaning");
}

/// Cut in another way, a step has another update: each of the two settings counts.
#[test]
fn every_number_of_parts_is_a_step_of_its_own() {
    let case = case(HeadKind::Mlp);
    let base = EstimatorConfig { groups: Some(4), ..config("local", Granularity::PatchGroup) };
    let update = |config: &EstimatorConfig| of_block(&case.step(config), &case, 0);
    let own = update(&base);
    for (patches, groups) in [(Some(2), Some(4)), (Some(3), Some(2)), (None, Some(4)), (Some(3), None)] {
        let other = update(&EstimatorConfig { patches, groups, ..base.clone() });
        assert!(relative(&other, &own) > 1e-6, "{patches:?}, {groups:?}");
    }
    let usual = EstimatorConfig { patches: None, groups: None, ..base.clone() };
    let two = EstimatorConfig { patches: Some(2), groups: Some(2), ..base };
    assert_eq!(
        ops::host(update(&usual).get::<4>("blocks.0.0.weight").expect("a weight")),
        ops::host(update(&two).get::<4>("blocks.0.0.weight").expect("a weight"))
    );
}
