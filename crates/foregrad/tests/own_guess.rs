//! A guess that this library does not know: it trains by its name, learns, and passes the checks; wrong ones do not.

#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Case, double, largest_deviation};
use foregrad::check;
use foregrad::estimate::guess::{HeadUse, Measured};
use foregrad::estimate::{
    self, AnyGuess, Context, Directions, EstimatorConfig, EstimatorState, Gradients, Granularity, Guess, Mode, Space,
    StepInput, Support,
};
use foregrad::models::{HeadKind, Norm};
use foregrad::rng::{Placement, Stream};
use foregrad::settings::Settings;
use foregrad::vector::ParamTensor;
use foregrad::weights;

/// A running mean of past updates; before the first, the gradient of the block's head.
#[derive(Debug)]
struct Trend {
    decay: f64,
}

impl Guess for Trend {
    fn name(&self) -> &str {
        "trend"
    }

    fn about(&self) -> &str {
        "a running mean of past updates"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::SINGLE }
    }

    fn heads(&self, _: Range<usize>) -> HeadUse {
        HeadUse::own()
    }

    fn directions(&self, context: &Context<'_, '_>, gradients: Gradients) -> Directions {
        match context.of_block(&context.state().tensors) {
            Some(mean) => Directions::Weight(vec![mean]),
            None => context.in_space(gradients.own),
        }
    }

    fn learn(&self, measured: &Measured<'_>, state: &mut EstimatorState) {
        let past = std::mem::take(&mut state.tensors).scaled(self.decay);
        state.tensors = past.axpy(1.0 - self.decay, measured.update);
        *state.numbers.entry("steps".into()).or_default() += 1.0;
    }
}

fn trend() -> AnyGuess {
    AnyGuess::of(Trend { decay: 0.9 }).expect("a name of its own")
}

fn case() -> Case {
    Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear)
}

/// Steps one after another, each from the state that the one before has left.
fn steps(config: &EstimatorConfig, numbers: Range<u64>, state: EstimatorState) -> Vec<estimate::StepOutput> {
    let case = case();
    let mut state = state;
    numbers
        .map(|step| {
            let input = StepInput { step, ..case.input() };
            let output = estimate::step(config, &case.network, &input, &state).expect("a valid estimator");
            state = output.state.clone();
            output
        })
        .collect()
}

#[test]
fn it_learns_alike_in_both_modes() {
    trend();
    for (guess, granularity) in [
        ("trend", Granularity::Tensor),
        ("trend", Granularity::Block),
        ("trend", Granularity::Network),
        ("trend+gaussian:2", Granularity::Block),
    ] {
        let config = EstimatorConfig {
            guess: guess.parse().expect("a name that is known"),
            granularity: Some(granularity),
            ..Default::default()
        };
        let [forward, oracle] = [Mode::Forward, Mode::Oracle]
            .map(|mode| steps(&EstimatorConfig { mode, ..config.clone() }, 0..3, EstimatorState::default()));
        for (step, (forward, oracle)) in forward.iter().zip(&oracle).enumerate() {
            let deviation = largest_deviation(forward, oracle);
            assert!(deviation < 1e-9, "{guess}, {granularity}, step {step}: {deviation:e}");
            assert_eq!(forward.state.numbers["guess.trend.steps"], step as f64 + 1.0);
            let mean = |output: &estimate::StepOutput| output.state.of_guess("trend").tensors;
            let gap = common::relative(&mean(forward), &mean(oracle));
            assert!(gap < 1e-9 && forward.state != EstimatorState::default(), "{guess}, {granularity}: {gap:e}");
        }
        let moved = forward[1].update.clone().axpy(-1.0, &forward[0].update).norm();
        assert!(moved > 0.0, "the second step's guess is another than the first's");
    }
}

#[test]
fn its_state_is_saved_and_restored_to_the_same_bits() {
    let config = EstimatorConfig { guess: trend(), ..Default::default() };
    let whole = steps(&config, 0..4, EstimatorState::default());
    let file = tempfile::NamedTempFile::new().expect("a file");
    let half = &whole[1].state;
    weights::save(file.path(), &half.tensors, weights::Metadata::new()).expect("a file");
    let (tensors, _) = weights::load(file.path(), &double()).expect("tensors");
    let restored = EstimatorState { tensors, numbers: half.numbers.clone() };
    assert!(restored == *half && restored != whole[2].state);
    let rest = steps(&config, 2..4, restored);
    assert!(rest[1].state == whole[3].state);
    assert_eq!(rest[1].update.clone().axpy(-1.0, &whole[3].update).norm(), 0.0);
}

#[test]
fn its_name_is_known_once_it_has_been_made_and_is_its_alone() {
    let guess = trend();
    assert_eq!("trend".parse::<AnyGuess>().expect("a known name"), guess);
    let mut config = EstimatorConfig::default();
    config.set("guess", "trend").expect("a setting");
    let text = serde_json::to_string(&config).expect("settings");
    assert_eq!(serde_json::from_str::<EstimatorConfig>(&text).expect("settings"), config);
    assert!("trent".parse::<AnyGuess>().expect_err("no such name").to_string().contains("did you mean `trend`?"));
    AnyGuess::of(Trend { decay: 0.9 }).expect("the same guess again");
    let other = AnyGuess::of(Trend { decay: 0.5 }).expect_err("another guess of one name").to_string();
    assert!(other.contains("`trend`, the name of another guess") && other.contains("0.9"), "{other}");
    for name in ["local", "", "a+b", "a:2", "guess.x"] {
        let error = AnyGuess::of(Fickle::new(name)).expect_err(name).to_string();
        assert!(error.starts_with("the name of a guess is `"), "{error}");
    }
}

/// Claims that its directions can be drawn again, and draws others each time.
#[derive(Debug)]
struct Fickle {
    name: &'static str,
    drawn: AtomicU64,
}

impl Fickle {
    fn new(name: &'static str) -> Self {
        Self { name, drawn: AtomicU64::new(0) }
    }
}

impl Guess for Fickle {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        "a wrong guess"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::RANDOM }
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        let draw = |stream: Stream, shape: &[usize], placement: &Placement| {
            ParamTensor::shaped(stream.normal_tensor([shape.iter().product()], placement), shape)
        };
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed) as usize;
        Directions::Weight(
            context.directions().map(|direction| context.drawn_weights(direction + drawn, draw)).collect(),
        )
    }
}

#[test]
fn the_checks_pass_it_and_refuse_a_wrong_one() {
    check::guess(&trend()).into_result().expect("every identity holds");
    let report = check::guess(&AnyGuess::of(Fickle::new("fickle")).expect("a name of its own"));
    let broken: Vec<&str> = report.broken().map(|entry| entry.identity).collect();
    assert_eq!(broken, ["agreement", "state"].repeat(3), "{report}");
    assert!(report.to_string().contains("draws that depend on more than"), "{report}");
}

/// Gives one direction, however many it is asked for.
#[derive(Debug)]
struct Miser;

impl Guess for Miser {
    fn name(&self) -> &str {
        "miser"
    }

    fn about(&self) -> &str {
        "a wrong guess"
    }

    fn support(&self) -> Support {
        Support { spaces: &[Space::Weight], ..Support::USUAL }
    }

    fn directions(&self, context: &Context<'_, '_>, _: Gradients) -> Directions {
        Directions::Weight(vec![context.parameters()])
    }
}

#[test]
#[should_panic(expected = "the guess `miser` gave 1 directions in weight space instead of 2 in weight space")]
fn a_guess_that_gives_too_few_directions_is_named() {
    let guess = AnyGuess::of(Miser).expect("a name of its own");
    case().step(&EstimatorConfig { guess, directions: 2, ..Default::default() });
}
