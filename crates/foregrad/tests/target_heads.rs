//! Heads of another kind for the target: what guesses are made of is one loss, what they are measured by another.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{Case, double, largest_deviation, relative};
use foregrad::estimate::{
    Collect, EstimatorConfig, EstimatorState, Granularity, Horizon, Mode, Space, StepInput, StepOutput, TrainHeads,
    step,
};
use foregrad::models::{HeadKind, ModelConfig, Network, NetworkSpec, Norm, is_of_head};
use foregrad::vector::ParamVector;
use foregrad::weights;

fn model(head: HeadKind, target_head: Option<HeadKind>) -> ModelConfig {
    // Samples stay apart, so that each has a scalar of its own.
    let norm = Norm::Group;
    ModelConfig { width: 0.125, norm, head_norm: norm, head, target_head, ..Default::default() }
}

fn case(head: HeadKind, target_head: Option<HeadKind>) -> Case {
    Case::with(&model(head, target_head), [2, 9, 11], 5)
}

fn local(guess: &str) -> EstimatorConfig {
    EstimatorConfig { target: Horizon::LOCAL, guess: guess.parse().expect("a guess"), ..Default::default() }
}

/// Estimates in both spaces, one of parts that a `mean-linear` target takes apart by itself.
fn estimates(guess: &str) -> Vec<EstimatorConfig> {
    let in_space = |space, granularity| EstimatorConfig { space, granularity: Some(granularity), ..local(guess) };
    let all = [
        in_space(Space::Weight, Granularity::Tensor),
        in_space(Space::Weight, Granularity::Block),
        in_space(Space::Activity, Granularity::Sample),
        in_space(Space::Activity, Granularity::Batch),
        EstimatorConfig { patches: Some(2), groups: Some(2), ..in_space(Space::Activity, Granularity::PatchGroup) },
    ];
    let further = all.iter().map(|config| EstimatorConfig { target: Horizon::blocks(1), ..config.clone() });
    all.iter().cloned().chain(further).collect()
}

/// One kind of vector of heads under the paths of the other.
fn moved(vector: &ParamVector, from: &str, to: &str) -> ParamVector {
    vector.scoped(from).prefixed(to)
}

fn of_trunk(vector: &ParamVector) -> ParamVector {
    vector.filtered(|path| !is_of_head(path))
}

fn stepped(config: &EstimatorConfig, network: &Network, case: &Case, given: Option<&ParamVector>) -> StepOutput {
    let input = StepInput { given, collect: Collect::Everything, ..case.input() };
    step(config, network, &input, &EstimatorState::default()).expect("a valid estimator")
}

#[test]
fn forward_mode_agrees_with_the_oracle() {
    for (head, target) in [
        (HeadKind::Mlp, HeadKind::Linear),
        (HeadKind::Linear, HeadKind::MeanLinear),
        (HeadKind::Predsim, HeadKind::Cnn),
    ] {
        let case = case(head, Some(target));
        for guess in ["local", "ntk", "fixed-ntk", "local+gaussian:2"] {
            for config in estimates(guess) {
                let in_mode = |mode| case.step(&EstimatorConfig { mode, ..config.clone() });
                let deviation = largest_deviation(&in_mode(Mode::Forward), &in_mode(Mode::Oracle));
                assert!(deviation < 1e-10, "{head}, {target}, {config:?}: {deviation:e}");
            }
        }
    }
}

#[test]
fn a_target_of_the_same_structure_and_weights_gives_the_step_without_one() {
    let without = case(HeadKind::Linear, None);
    let mut network = without.network.clone();
    network.target_heads.clone_from(&network.heads);
    for guess in ["local", "fixed-ntk", "local+gaussian:2", "exact"] {
        for config in estimates(guess).into_iter().filter(|config| config.validate(6).is_ok()) {
            let [one, two] = [&without.network, &network].map(|network| stepped(&config, network, &without, None));
            assert_eq!(of_trunk(&one.update).axpy(-1.0, &of_trunk(&two.update)).norm(), 0.0, "{config:?}");
            assert_eq!(one.scalars, two.scalars, "{config:?}");
        }
    }
}

/// The guess is that of a network with the guess's heads; measured in a network with the target's, it gives the same update.
#[test]
fn guesses_are_of_one_head_and_measured_by_the_other() {
    let both = case(HeadKind::Mlp, Some(HeadKind::Linear));
    let state = both.network.state();
    let mut guessing = case(HeadKind::Mlp, None).network;
    guessing.assign(&state.filtered(|path| !path.starts_with("target-heads.")));
    let mut aiming = case(HeadKind::Linear, None).network;
    aiming.assign(&of_trunk(&state));
    aiming.assign(&moved(&state, "target-heads", "heads"));
    for config in estimates("local") {
        let found = stepped(&config, &both.network, &both, None);
        let guess = stepped(&config, &guessing, &both, None);
        assert_eq!(found.guesses.clone().axpy(-1.0, &guess.guesses).norm(), 0.0, "{config:?}: the guess's head");
        let measured = stepped(&config, &aiming, &both, Some(&guess.guesses));
        let gap = relative(&of_trunk(&found.update), &of_trunk(&measured.update));
        assert!(gap < 1e-12, "{config:?}: the target's head: {gap:e}");
        assert!(relative(&of_trunk(&found.update), &of_trunk(&guess.update)) > 0.01, "{config:?}");
        // No block's target is the loss of head 0 where targets are one block further on.
        let aims = |path: &str| config.target == Horizon::LOCAL || !path.starts_with("target-heads.0.");
        let mut expected = guess.update.filtered(is_of_head);
        expected.extend(moved(&measured.update, "heads", "target-heads").filtered(aims));
        let gap = relative(&found.update.filtered(is_of_head), &expected);
        assert_eq!(gap, 0.0, "{config:?}: each head learns from its own loss");
        assert_eq!(found.evaluations, guess.evaluations, "the losses are those of the guess's heads");
    }
}

#[test]
fn heads_learn_where_they_serve() {
    let case = case(HeadKind::Mlp, Some(HeadKind::Linear));
    for (guess, train_heads, [own, target]) in [
        ("local", TrainHeads::Auto, [true, true]),
        ("local", TrainHeads::No, [false, false]),
        ("ntk", TrainHeads::Auto, [false, true]),
        ("ntk", TrainHeads::Yes, [true, true]),
        ("fixed-ntk", TrainHeads::Auto, [false, true]),
    ] {
        let output = case.step(&EstimatorConfig { train_heads, ..local(guess) });
        let learns = |prefix: &str| output.update.paths().any(|path| path.starts_with(prefix));
        let found = ["heads.", "target-heads."].map(learns);
        assert_eq!(found, [own, target], "{guess}, {train_heads}");
        assert!(output.evaluations.iter().all(Option::is_some), "{guess}");
    }
}

#[test]
fn state_survives_a_file_and_whole_heads_may_be_missing_from_it() {
    let first = model(HeadKind::Linear, Some(HeadKind::Mlp)).init([1, 8, 8], 3, 0, &double()).expect("a network");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("w.safetensors");
    weights::save(&file, &first.state(), weights::Metadata::new()).expect("a file");
    let (read, _) = weights::load(&file, &double()).expect("a file");
    let mut other = model(HeadKind::Linear, Some(HeadKind::Mlp)).init([1, 8, 8], 3, 1, &double()).expect("a network");
    weights::assign(&mut other, &read, &file).expect("its own weights");
    assert_eq!(first.state().axpy(-1.0, &other.state()).norm(), 0.0);
    assert!(first.state().entry("target-heads.4.2.weight").is_some(), "{:?}", first.state());
    assert_eq!(
        first.trunk_dimension(),
        model(HeadKind::Linear, None).init([1, 8, 8], 3, 0, &double()).expect("a network").trunk_dimension()
    );
    weights::assign(&mut other, &read.filtered(|path| !path.starts_with("target-heads.")), &file)
        .expect("no such heads");
    let part = read.filtered(|path| path != "target-heads.1.2.weight");
    let error = weights::assign(&mut other, &part, &file).expect_err("a part of a head").to_string();
    assert!(error.contains("no `target-heads.1.2.weight`"), "{error}");
}

#[test]
fn heads_that_would_do_nothing_are_refused() {
    let refused = |config: &ModelConfig, words: &str| {
        let error = config.validate().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&model(HeadKind::Cnn, Some(HeadKind::Cnn)), "model.target-head is cnn; expected another kind");
    let spec = |head: &str| {
        let layers = format!("{{ layers = ['relu'], head = '{head}' }}");
        let spec = NetworkSpec::from_toml(&format!("blocks = [{layers}, {layers}, {{ layers = ['relu'] }}]"));
        let network = Some(spec.expect("a network"));
        ModelConfig { network, ..model(HeadKind::Cnn, Some(HeadKind::Linear)) }
    };
    refused(&spec("linear"), "model.target-head is linear; expected another kind");
    refused(&spec("none"), "no block of this network has a head");
    spec("mlp").validate().expect("two kinds");
    for (config, words) in [
        (EstimatorConfig::default(), "the target is the network's loss"),
        (local("gaussian"), "the guess `gaussian` is made of no head"),
        (local("exact"), "the guess `exact` is made of no head of its own"),
    ] {
        let error = config.validate_target_heads(6).expect_err(words).to_string();
        assert!(error.contains(words) && error.contains("model.target-head = off"), "{error}");
    }
    local("local+gaussian:2").validate_target_heads(6).expect("a guess of a head");
}
