//! A batch in parts: the whole batch's step where samples are treated alone, the mean of the parts' elsewhere, and the same bits however the
//! parts are shared out.

mod common;

use common::{Case, largest_deviation, relative};
use foregrad::Result;
use foregrad::estimate::{
    self, Collect, EstimatorConfig, EstimatorState, METHODS, Method, MicroBatch, StepInput, StepOutput, Sum,
};
use foregrad::models::{HeadKind, ModelConfig, Norm};
use foregrad::settings::Settings;
use foregrad::vector::ParamVector;

const SAMPLES: usize = 12;

fn case(norm: Norm) -> Case {
    let head = HeadKind::Linear;
    let config =
        ModelConfig { name: "small-net".into(), width: 0.1, norm, head_norm: norm, head, ..Default::default() };
    Case::with(&config, [2, 9, 11], SAMPLES)
}

fn config(settings: &str) -> EstimatorConfig {
    let mut config = EstimatorConfig::default();
    for (name, value) in settings.split_whitespace().map(|setting| setting.split_once('=').expect("a setting")) {
        config.set(name, value).expect("a value");
    }
    config
}

/// A named method, whose parts of a sample the narrow network's outputs can be cut into.
fn of(method: &Method) -> EstimatorConfig {
    let config = method.config();
    EstimatorConfig { groups: config.groups.map(|_| 1), patches: config.patches.map(|_| 1), ..config }
}

fn in_parts(case: &Case, config: &EstimatorConfig, count: usize, state: &EstimatorState) -> StepOutput {
    estimate::step_in_parts(config, &case.network, &case.input(), count, state).expect("a step")
}

/// The output of one part alone.
fn part(case: &Case, config: &EstimatorConfig, [index, count]: [usize; 2], state: &EstimatorState) -> StepOutput {
    let each = SAMPLES / count;
    let labels = case.labels.of_samples(index * each..(index + 1) * each);
    let input = StepInput {
        images: case.images.clone().narrow(0, index * each, each),
        labels: &labels,
        micro_batch: MicroBatch { index, count },
        ..case.input()
    };
    estimate::step(config, &case.network, &input, state).expect("a step")
}

#[test]
fn where_samples_are_alone_parts_make_the_step_of_the_whole_batch() {
    let case = case(Norm::Group);
    for settings in [
        "guess=exact mode=oracle",
        "guess=gaussian last-block=estimated",
        "guess=gaussian directions=3 combination=projection",
        "guess=gaussian directions=3 combination=max",
        "guess=rademacher granularity=tensor mode=oracle",
        "guess=low-rank granularity=block",
        "guess=momentum directions=3",
        "guess=gaussian+rademacher:2",
        "guess=gaussian granularity=block mix=3",
        "guess=gaussian mode=finite-difference",
        "guess=local space=activity",
        "guess=local space=activity mix=2",
        "guess=gaussian space=activity directions=2",
        "guess=rademacher space=activity granularity=patch",
        "guess=upstream space=activity",
        "guess=feedback space=activity guesses.feedback.rule=mean guesses.feedback.rate=0.25",
        "guess=feedback space=activity guesses.feedback.follows=kolen-pollack guesses.feedback.rule=mean",
        "guess=local space=activity correct=rademacher",
    ] {
        let config = config(settings);
        let whole = in_parts(&case, &config, 1, &EstimatorState::default());
        for count in [2, 3, 4] {
            let parts = in_parts(&case, &config, count, &EstimatorState::default());
            // The scalar of the exact guess is its norm, which does not add up.
            let is_exact = config.guess.to_string() == "exact";
            let deviation =
                if is_exact { relative(&parts.update, &whole.update) } else { largest_deviation(&parts, &whole) };
            // Finite differences lose digits to the difference of two losses.
            let most = if settings.contains("finite") { 1e-7 } else { 1e-9 };
            assert!(deviation < most, "{settings}, {count} parts: {deviation}");
            let states = [&parts, &whole].map(|output| output.state.tensors.clone());
            assert!(states[1].is_empty() || relative(&states[0], &states[1]) < 1e-9, "{settings}: the state");
            let losses = [&parts, &whole].map(|output| output.evaluations.last().copied().flatten().expect("a loss"));
            assert!((losses[0].loss - losses[1].loss).abs() < 1e-12, "{settings}: the loss");
            assert_eq!(losses[0].metric, losses[1].metric, "{settings}: the metric");
        }
    }
}

#[test]
fn dropout_draws_by_the_place_in_the_whole_batch() {
    let model = ModelConfig {
        name: "vgg8b".into(),
        width: 0.1,
        norm: Norm::Group,
        head_norm: Norm::Group,
        ..Default::default()
    };
    let case = Case::with(&model, [3, 32, 32], 4);
    let config = config("guess=exact mode=oracle");
    let [whole, parts] = [1, 2].map(|count| in_parts(&case, &config, count, &EstimatorState::default()));
    assert!(relative(&parts.update, &whole.update) < 1e-9);
}

#[test]
fn elsewhere_they_make_the_mean_of_their_own_steps() {
    let case = case(Norm::Batch);
    for method in METHODS {
        let config = of(method);
        if config.shares_guesses() || config.mix.is_some() {
            continue;
        }
        let parts = in_parts(&case, &config, 3, &EstimatorState::default());
        let own = [0, 1, 2].map(|index| part(&case, &config, [index, 3], &EstimatorState::default()));
        let mean = |of: fn(&StepOutput) -> &ParamVector| {
            own.iter().fold(ParamVector::default(), |sum, own| sum.axpy(1.0 / 3.0, of(own)))
        };
        assert!(relative(&parts.update, &mean(|own| &own.update)) < 1e-12, "{method:?}");
        assert!(relative(&parts.statistics, &mean(|own| &own.statistics)) < 1e-12, "{method:?}");
    }
}

#[test]
fn shared_guesses_take_the_mean_of_the_parts_scalars_and_tell_nothing_else() {
    let case = case(Norm::Batch);
    let config = config("guess=gaussian directions=2 last-block=estimated");
    let parts = in_parts(&case, &config, 2, &EstimatorState::default());
    let own = [0, 1].map(|index| part(&case, &config, [index, 2], &EstimatorState::default()));
    assert!(own.iter().all(|own| own.update.is_empty() && own.scalars.is_empty()));
    for direction in 0..2 {
        let mean = own.iter().map(|own| own.awaiting[0].values[direction][0]).sum::<f64>() / 2.0;
        assert!((parts.scalars[0].values[direction][0] - mean).abs() < 1e-15);
    }
    assert!(parts.awaiting.is_empty() && parts.update.norm() > 0.0);
}

#[test]
fn the_state_is_read_as_it_was_and_moves_once_by_the_mean() {
    let case = case(Norm::Batch);
    for settings in
        ["guess=local measure-every=4", "guess=local granularity=block mix=2", "guess=local correct=gaussian"]
    {
        let config = config(settings);
        let first = in_parts(&case, &config, 2, &EstimatorState::default()).state;
        assert!(!first.numbers.is_empty(), "{settings} keeps something");
        let second = in_parts(&case, &config, 2, &first).state;
        let own = [0, 1].map(|index| part(&case, &config, [index, 2], &first).state.numbers);
        for (path, number) in &second.numbers {
            let mean = own.iter().map(|own| own[path]).sum::<f64>() / 2.0;
            assert!((number - mean).abs() <= 1e-12 * mean.abs(), "{settings}, {path}: {number} against {mean}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_who_has_which_parts() -> Result<()> {
    for norm in [Norm::Batch, Norm::Group] {
        let case = case(norm);
        for method in METHODS {
            let (config, state) = (of(method), EstimatorState::default());
            let sum = |[first, own]: [usize; 2], count: usize| {
                let each = SAMPLES / count;
                let labels = case.labels.of_samples(first * each..(first + own) * each);
                let images = case.images.clone().narrow(0, first * each, own * each);
                let input = StepInput { images, labels: &labels, ..case.input() };
                let first = MicroBatch { index: first, count };
                estimate::sum_of_parts(&config, &case.network, &input, (first, own), &state)
            };
            let finished = |sum: Sum| sum.finish(&config, &case.network, &case.input(), &state);
            let alone = finished(sum([0, 4], 4)?)?;
            let two = finished(sum([0, 2], 4)?.plus(sum([2, 2], 4)?))?;
            let four = finished(sum([0, 1], 4)?.plus(sum([1, 1], 4)?).plus(sum([2, 1], 4)?.plus(sum([3, 1], 4)?)))?;
            for other in [two, four] {
                assert_eq!(bits(&alone.update), bits(&other.update), "{method:?}");
                assert_eq!(alone.state, other.state, "{method:?}");
                assert_eq!(alone.scalars, other.scalars, "{method:?}");
            }
        }
    }
    Ok(())
}

fn bits(vector: &ParamVector) -> Vec<(String, Vec<u64>)> {
    let values = |entry: &foregrad::vector::ParamTensor| foregrad::ops::host(entry.values());
    vector.iter().map(|(path, entry)| (path.into(), values(entry).into_iter().map(f64::to_bits).collect())).collect()
}

#[test]
fn parts_that_do_not_divide_a_batch_and_looks_into_them_are_refused() {
    let case = case(Norm::Group);
    let (config, state) = (EstimatorConfig::default(), EstimatorState::default());
    let refused = |input: &StepInput<'_>, count| {
        estimate::step_in_parts(&config, &case.network, input, count, &state).expect_err("refused").to_string()
    };
    assert!(refused(&case.input(), 5).contains("micro-batches is 5; expected a number that divides the 12 samples"));
    assert!(refused(&case.input(), 0).contains("micro-batches is 0"));
    let looking = StepInput { collect: Collect::FirstGuess, ..case.input() };
    assert!(refused(&looking, 2).contains("each micro-batch's own"));
}

#[test]
fn the_baselines_of_mixed_shared_guesses_move_by_the_mean_scalar() {
    let case = case(Norm::Group);
    let config = config("guess=gaussian granularity=block mix=2");
    let mut states = [1, 3].map(|count| in_parts(&case, &config, count, &EstimatorState::default()).state);
    for _ in 0..2 {
        for path in states[0].numbers.keys() {
            let [whole, parts] = [&states[0], &states[1]].map(|state| state.numbers[path]);
            assert!((whole - parts).abs() < 1e-9 * whole.abs(), "{path}: {whole} against {parts}");
        }
        assert_eq!(states[0].numbers.len(), states[1].numbers.len());
        states = [(1, &states[0]), (3, &states[1])].map(|(count, state)| in_parts(&case, &config, count, state).state);
    }
}
