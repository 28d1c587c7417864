//! Whole steps of the guess `feedback`: both modes, what runs, what is refused, and going on from files.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::Tensor;
use common::feedback::{ADAM, ALIGNMENT, KOLEN_POLLACK, MEAN, TARGETS, config};
use common::{Case, double, largest_deviation, relative};
use foregrad::check::count_maps;
use foregrad::estimate::{
    self, Collect, EstimatorConfig, EstimatorState, Granularity, Memory, Mode, Space, StepInput, StepOutput, View,
};
use foregrad::layers::{AnySaved, Cotangent, Pass, Wanted};
use foregrad::losses::Labels;
use foregrad::models::{Evaluation, HeadKind, LossHead, Norm};
use foregrad::ops;
use foregrad::vector::ParamVector;
use foregrad::weights;

#[test]
fn a_uniform_start_is_within_its_bound_and_the_same_at_every_step() {
    let case = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear);
    let step = |step| {
        let input = StepInput { step, ..case.input() };
        estimate::step(&config(ALIGNMENT), &case.network, &input, &EstimatorState::default()).expect("a step")
    };
    let (first, later) = (step(0), step(7));
    assert!(first.state == later.state && first.state.tensors.len() == case.depth() - 1);
    for (path, entry) in first.state.tensors.iter() {
        let shape = entry.shape();
        assert_eq!((shape.len(), shape[0]), (4, 3), "{path}");
        let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        let values = ops::host(entry.values());
        let (largest, square) =
            (values.iter().fold(0.0, |a: f64, b| a.max(b.abs())), values.iter().map(|b| b * b).sum::<f64>());
        assert!(largest < bound && largest > 0.9 * bound, "{path}");
        let variance = square / values.len() as f64 / (bound * bound / 3.0);
        assert!((variance - 1.0).abs() < 5.0 / (values.len() as f64).sqrt(), "{path}: {variance}");
    }
}

/// Forward mode, the oracle and both ways of memory, one step after another: `steps` of each from its own state.
fn assert_modes_agree(case: &Case, config: &EstimatorConfig) {
    let ways = [(Mode::Oracle, Memory::Recompute), (Mode::Forward, Memory::Recompute), (Mode::Forward, Memory::Keep)];
    let mut states = ways.map(|_| EstimatorState::default());
    for step in 0..3 {
        let outputs: Vec<StepOutput> = ways
            .iter()
            .zip(&states)
            .map(|((mode, memory), state)| {
                let granularity = Some(config.granularity());
                let config = EstimatorConfig { mode: *mode, memory: *memory, granularity, ..config.clone() };
                let input = StepInput { step, ..case.input() };
                estimate::step(&config, &case.network, &input, state).expect("a valid estimator")
            })
            .collect();
        for (output, way) in outputs.iter().zip(ways).skip(1) {
            let deviation = largest_deviation(output, &outputs[0]);
            assert!(deviation < 1e-10, "{config:?}, step {step}, {way:?}: {deviation:e}");
            let gap = relative(&output.state.tensors, &outputs[0].state.tensors);
            assert!(gap < 1e-10, "{config:?}, step {step}, {way:?}: the states differ by {gap:e}");
        }
        let stands_still = step > 0 && outputs[0].zero_guesses > 0;
        assert!(!stands_still, "{config:?}, step {step}: guesses of zero prove nothing");
        states = outputs.into_iter().map(|output| output.state).collect::<Vec<_>>().try_into().expect("as many");
    }
}

#[test]
fn forward_mode_and_the_oracle_agree_in_what_they_measure_and_learn() {
    let group = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear);
    for settings in [MEAN, ADAM, ALIGNMENT, TARGETS, KOLEN_POLLACK] {
        for granularity in [Granularity::Sample, Granularity::Batch] {
            assert_modes_agree(&group, &EstimatorConfig { granularity: Some(granularity), ..config(settings.clone()) });
        }
    }
    let unmeasured = EstimatorConfig { projection: false, ..config(MEAN) };
    assert_modes_agree(&group, &unmeasured);
    assert_modes_agree(&group, &EstimatorConfig { mix: Some(2), ..config(KOLEN_POLLACK) });
    let joined = "feedback+gaussian:2".parse().expect("a guess");
    assert_modes_agree(&group, &EstimatorConfig { guess: joined, ..config(MEAN) });
    let batch = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    for granularity in [Granularity::Tensor, Granularity::Block, Granularity::Network] {
        let weight = EstimatorConfig { space: Space::Weight, granularity: Some(granularity), ..config(MEAN) };
        assert_modes_agree(&batch, &weight);
    }
}

/// Direct feedback alignment: trunk and classifier twice, each block's own cotangent once, and no tangent but the noise's.
#[test]
fn without_a_projection_no_tangent_measures_anything() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let blocks = case.depth();
    for (settings, passes, noise) in [(MEAN, 2, blocks - 1), (ALIGNMENT, 2, 0), (TARGETS, 1, 0)] {
        let config = EstimatorConfig { projection: false, ..config(settings) };
        let counts = count_maps(&config, &case.network, &case.input()).expect("a step");
        assert_eq!((counts.forward, counts.tangent), (passes * blocks, noise), "{config:?}");
        assert_eq!((counts.cotangent_inside, counts.cotangent_across, counts.heads), (blocks, 0, 0), "{config:?}");
    }
}

/// Of `K` blocks: a rehearsal is a second pass, unless the first one's values are kept; labels need none.
#[test]
fn a_rehearsal_is_one_more_pass_and_only_where_it_is_needed() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let blocks = case.depth();
    let estimated = blocks - 1;
    for (settings, memory, forward, tangent) in [
        (MEAN, Memory::Recompute, 3 * blocks - 1, estimated),
        (MEAN, Memory::Keep, blocks, estimated),
        (ALIGNMENT, Memory::Recompute, 3 * blocks - 1, 0),
        (KOLEN_POLLACK, Memory::Recompute, 3 * blocks - 1, 0),
        (TARGETS, Memory::Recompute, 2 * blocks - 1, 0),
        (TARGETS, Memory::Keep, blocks, 0),
    ] {
        let config = EstimatorConfig { memory, mix: Some(1), ..config(settings) };
        let counts = count_maps(&config, &case.network, &case.input()).expect("a step");
        assert_eq!((counts.forward, counts.heads, counts.cotangent_across), (forward, 0, 0), "{config:?}");
        // One merged tangent goes through all blocks but the first.
        assert_eq!(counts.tangent, tangent + estimated, "{config:?}");
    }
}

/// A classifier that does not say what its outputs are.
#[derive(Debug)]
struct Closed<'a>(&'a dyn LossHead);

impl LossHead for Closed<'_> {
    fn forward(&self, y: Tensor<4>, labels: &Labels, pass: Pass) -> (Evaluation, AnySaved) {
        self.0.forward(y, labels, pass)
    }

    fn tangent(&self, saved: &AnySaved, y_dot: Option<Tensor<4>>, theta_dot: &[ParamVector]) -> Vec<Vec<f64>> {
        self.0.tangent(saved, y_dot, theta_dot)
    }

    fn cotangent(&self, saved: &AnySaved, wanted: Wanted) -> Cotangent {
        self.0.cotangent(saved, wanted)
    }
}

#[test]
fn a_classifier_without_outputs_is_refused_where_they_are_needed() {
    let case = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::Linear);
    let closed = Closed(&*case.network.classifier);
    let mut view = View::new(&case.network);
    *view.losses.last_mut().expect("the classifier") = Some(&closed);
    let step = |settings| estimate::step_on(&config(settings), &view, &case.input(), &EstimatorState::default());
    step(TARGETS).expect("labels need no outputs");
    for settings in [MEAN, ALIGNMENT, KOLEN_POLLACK] {
        let error = step(settings).map(drop).expect_err("no outputs");
        assert!(error.is_usage() && error.to_string().contains("nothing is known of its outputs"), "{error}");
    }
}

/// What a step tells of its noise makes the same step again, and the state that a file gives back goes on to the same bits.
#[test]
fn steps_go_on_from_files_to_the_same_bits() {
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear);
    for settings in [MEAN, ADAM, ALIGNMENT, KOLEN_POLLACK] {
        let config = config(settings);
        let step = |step, given, state: &EstimatorState| {
            let input = StepInput { step, given, collect: Collect::Everything, ..case.input() };
            estimate::step(&config, &case.network, &input, state).expect("a valid estimator")
        };
        let first = step(0, None, &EstimatorState::default());
        let file = tempfile::NamedTempFile::new().expect("a file");
        weights::save(file.path(), &first.state.tensors, weights::Metadata::new()).expect("a file");
        let (tensors, _) = weights::load(file.path(), &double()).expect("tensors");
        let restored = EstimatorState { tensors, numbers: first.state.numbers.clone() };
        assert!(restored == first.state && !restored.is_empty());
        let (whole, resumed) = (step(1, None, &first.state), step(1, None, &restored));
        assert!(whole.state == resumed.state, "{config:?}");
        assert_eq!(whole.update.clone().axpy(-1.0, &resumed.update).norm(), 0.0, "{config:?}");
        let noise = whole.guesses.filtered(|path| path.starts_with("noise."));
        assert_eq!(noise.is_empty(), ![MEAN, ADAM].contains(&config.guesses.feedback), "{config:?}");
        // Another step's draws, with this one's noise.
        let told = step(9, Some(&noise), &first.state);
        assert!(told.state == whole.state, "{config:?}");
    }
}
