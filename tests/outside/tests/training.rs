//! Everything from here trains together, with probes and checkpoints, and goes on to the same bits.

use std::path::Path;

use burn::tensor::{DType, Device};
use foregrad::estimate::{AnyCombination, AnyGuess, EstimatorConfig};
use foregrad::losses::LabelKind;
use foregrad::optim::{OptimizerConfig, ScheduleConfig};
use foregrad::rng::Placement;
use foregrad::vector::ParamVector;
use foregrad_lab::data::Splits;
use foregrad_lab::train::{
    Control, EpochRecord, Observer, Outcome, RunFolder, Score, Silent, StepReport, Trainer, TrainerBuilder, of_network,
};
use outside::combination::Steepest;
use outside::data::Points;
use outside::guess::Trend;
use outside::network;

fn placement() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F32 }
}

/// A run of this crate's parts in a folder.
fn run(labels: LabelKind, guess: AnyGuess, folder: &Path) -> TrainerBuilder {
    run_along(labels, guess, 1, folder)
}

/// The same along several directions.
fn run_along(labels: LabelKind, guess: AnyGuess, directions: usize, folder: &Path) -> TrainerBuilder {
    let points = |count, seed| Points { count, seed, kind: labels };
    let network = network::by_value(labels, 0, &placement()).expect("a network");
    let steepest = AnyCombination::of(Steepest).expect("a name of its own");
    let combination = if guess.is_composite() { AnyCombination::PROJECTION } else { steepest };
    let estimator = EstimatorConfig { guess, combination, directions, ..Default::default() };
    let optimizer = OptimizerConfig { rate: 0.05, ..Default::default() };
    let data = Splits::new(points(320, 0), points(200, 1));
    let trainer = Trainer::new(network, data, estimator, optimizer, ScheduleConfig::default());
    trainer.epochs(4).batch(16).seed(5).probe_every(7).folder(folder)
}

/// Stops a run after some steps.
struct StopsAfter<'a>(u64, &'a Control);

impl Observer for StopsAfter<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] >= self.0 {
            self.1.stop();
        }
    }
}

fn done(mut trainer: Trainer) -> (Trainer, EpochRecord) {
    match trainer.run(&Control::default(), &mut Silent).expect("a run") {
        Outcome::Done(record) => (trainer, *record),
        other => panic!("{other:?}"),
    }
}

fn bits(state: &ParamVector) -> Vec<(String, Vec<f64>)> {
    let values = |entry: &foregrad::vector::ParamTensor| foregrad::ops::host(entry.values());
    state.iter().map(|(path, entry)| (path.to_string(), values(entry))).collect()
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bits() {
    let guess = || AnyGuess::of(Trend).expect("a name of its own");
    let [whole, parts] = [0, 1].map(|_| tempfile::tempdir().expect("a folder"));
    let labels = LabelKind::Classes(4);
    let (expected, record) = done(run(labels, guess(), whole.path()).start().expect("a run"));
    let control = Control::default();
    let mut first = run(labels, guess(), parts.path()).start().expect("a run");
    let outcome = first.run(&control, &mut StopsAfter(33, &control)).expect("a run");
    assert!(matches!(outcome, Outcome::Stopped(_)), "{outcome:?}");
    drop(first);
    let (found, again) = done(run(labels, guess(), parts.path()).resume().expect("a run that goes on"));
    assert_eq!(bits(&found.network().state()), bits(&expected.network().state()));
    assert_eq!(again.test, record.test);
    let probes = |folder: &Path| RunFolder::probes(folder).expect("probes");
    assert!(probes(whole.path()).len() == 12 && probes(whole.path()) == probes(parts.path()));
}

#[test]
fn parts_that_are_not_those_of_the_run_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = LabelKind::Classes(4);
    let mut trainer = run(labels, "local".parse().expect("a guess"), folder.path()).epochs(1).start().expect("a run");
    trainer.run(&Control::default(), &mut Silent).expect("a run");
    drop(trainer);
    let again = |guess: &str| run(labels, guess.parse().expect("a guess"), folder.path()).epochs(2);
    let refused = |trainer: TrainerBuilder| trainer.resume().map(drop).expect_err("refused").to_string();
    assert!(refused(again("gaussian")).contains("estimator.guess is gaussian; expected local"), "another guess");
    assert!(refused(again("local").seed(6)).contains("seed is 6; expected 5"), "another seed");
    again("local").resume().expect("the same parts");
}

#[test]
fn points_are_learnt_by_class_and_by_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = || "local+gaussian:2".parse().expect("guesses");
    let (_, record) = done(run(LabelKind::Classes(4), local(), folder.path()).epochs(30).start().expect("a run"));
    let accuracy = of_network(&record.test).and_then(Score::accuracy).expect("classes");
    assert!(accuracy > 0.8, "{accuracy} of four quadrants");
    let folder = tempfile::tempdir().expect("a folder");
    let (_, record) = done(run(LabelKind::Values(1), local(), folder.path()).epochs(30).start().expect("a run"));
    let near = of_network(&record.test).expect("a score").metrics["near"];
    assert!(near > 0.5, "{near} of the distances are near");
    // The steepest of four directions is chosen by this crate's combination.
    let folder = tempfile::tempdir().expect("a folder");
    let random = "gaussian".parse().expect("a guess");
    let (_, record) =
        done(run_along(LabelKind::Classes(4), random, 4, folder.path()).epochs(1).start().expect("a run"));
    assert!(of_network(&record.test).is_some_and(|score| score.loss.is_finite()));
}
