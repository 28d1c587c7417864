//! Several processes that train one network - here threads - give the bits of one that computes all parts itself.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use foregrad::models::{HeadKind, Norm};
use foregrad::rng::Placement;
use foregrad::settings::Settings;
use foregrad::vector::ParamVector;
use foregrad_lab::Result;
use foregrad_lab::ranks::{Ranks, Team, threads};
use foregrad_lab::train::{
    Changes, Control, EpochRecord, Observer, Outcome, RunConfig, RunFolder, Silent, StepReport, Trainer,
};

fn placement() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F32 }
}

/// A short run: three steps an epoch.
fn config(norm: Norm, settings: &str) -> RunConfig {
    let mut config = RunConfig { epochs: 2, batch: 60, seed: 5, probe_every: 4, ..Default::default() };
    (config.data.train_limit, config.data.test_limit) = (Some(180), Some(300));
    (config.model.width, config.model.head) = (0.05, HeadKind::Linear);
    (config.model.norm, config.model.head_norm) = (norm, norm);
    for (place, value) in settings.split_whitespace().map(|setting| setting.split_once('=').expect("a setting")) {
        config.estimator.set(place, value).expect("a value");
    }
    config
}

/// What a run leaves: its weights and averages, and what its epochs measured.
#[derive(Debug, PartialEq)]
struct Left {
    weights: Vec<(String, Vec<u32>)>,
    records: Vec<EpochRecord>,
}

fn left(trainer: Trainer, folder: &Path) -> Left {
    let mut records = RunFolder::epochs(folder).expect("records");
    for record in &mut records {
        (record.images_per_second, record.seconds, record.peak_memory, record.bytes_a_step) = (0.0, 0.0, 0, 0);
    }
    Left { weights: bits(&trainer.into_network().state()), records }
}

fn bits(vector: &ParamVector) -> Vec<(String, Vec<u32>)> {
    let values = |tensor: burn::tensor::Tensor<1>| tensor.into_data().try_to_vec::<f32>().expect("numbers");
    vector
        .iter()
        .map(|(path, own)| (path.into(), values(own.values()).into_iter().map(f32::to_bits).collect()))
        .collect()
}

/// Runs `work` at every rank of a team.
fn each<R: Send>(ranks: usize, work: impl Fn(Team) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let start = |own: Arc<dyn Ranks>| scope.spawn(|| work(Team::new(own)));
        let running: Vec<_> = threads(ranks).into_iter().map(start).collect();
        running.into_iter().map(|thread| thread.join().expect("a rank's thread")).collect()
    })
}

/// A whole run by some ranks of some parts each.
fn run(config: &RunConfig, [ranks, micro_batches]: [usize; 2]) -> Vec<Left> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = RunConfig { micro_batches, ..config.clone() };
    each(ranks, |team| {
        let mut trainer = Trainer::start_among(team, &config, placement(), folder.path(), false).expect("a run");
        let outcome = trainer.run(&Control::default(), &mut Silent).expect("a run that ends");
        assert!(matches!(outcome, Outcome::Done(_)));
        left(trainer, folder.path())
    })
}

const METHODS: [&str; 12] = [
    "guess=exact mode=oracle",
    "guess=gaussian last-block=estimated",
    "guess=gaussian directions=3 combination=projection",
    "guess=low-rank granularity=block mix=2",
    "guess=momentum directions=2",
    "guess=rademacher mode=finite-difference",
    "guess=local",
    "guess=local measure-every=2",
    "guess=local granularity=block mix=2",
    "guess=local space=activity",
    "guess=local+gaussian:2 space=activity",
    "guess=feedback space=activity",
];

#[test]
fn ranks_give_the_bits_of_one_process_with_as_many_parts() {
    // Norms matter to guesses that all parts share, whose only tensors are the statistics.
    for (norm, methods) in [(Norm::Batch, &METHODS[..]), (Norm::Group, &METHODS[..4])] {
        for settings in methods {
            let config = config(norm, settings);
            let alone = &run(&config, [1, 4])[0];
            for split in [[2, 2], [4, 1]] {
                for (rank, left) in run(&config, split).into_iter().enumerate() {
                    assert_eq!(left.weights, alone.weights, "{settings}, {norm}: rank {rank} of {split:?}");
                    assert!(rank > 0 || left.records == alone.records, "{settings}, {norm}: the records of {split:?}");
                }
            }
        }
    }
}

#[test]
fn any_number_of_ranks_does_as_long_as_each_has_a_power_of_two_parts() {
    for settings in ["guess=gaussian last-block=estimated", "guess=local", "guess=local space=activity"] {
        let config = config(Norm::Batch, settings);
        for [ranks, parts] in [[3, 1], [5, 1], [3, 2], [5, 2]] {
            let alone = &run(&config, [1, ranks * parts])[0];
            let left = &run(&config, [ranks, parts])[0];
            assert_eq!(left, alone, "{settings}: {ranks} ranks of {parts} parts");
        }
    }
}

/// Stops a run, or asks for a checkpoint, once a step is done.
struct At<'c> {
    step: u64,
    control: &'c Control,
}

impl Observer for At<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] == self.step {
            self.control.stop();
        }
    }
}

#[test]
fn a_stop_at_any_rank_stops_all_and_any_number_of_ranks_goes_on() {
    let config = config(Norm::Batch, "guess=local granularity=block mix=2");
    let alone = &run(&config, [1, 4])[0];
    for (asked, step) in [(0, 1), (1, 2), (3, 4)] {
        let folder = tempfile::tempdir().expect("a folder");
        let stopped = each(4, |team| {
            let rank = team.rank();
            let mut trainer = Trainer::start_among(team, &config, placement(), folder.path(), false).expect("a run");
            let control = Control::default();
            let step = if rank == asked { step } else { u64::MAX };
            trainer.run(&control, &mut At { step, control: &control }).expect("a run that ends")
        });
        assert!(stopped.iter().all(|outcome| matches!(outcome, Outcome::Stopped(_))), "{stopped:?}");
        let [ranks, parts] = [2, 2];
        let changes = Changes { micro_batches: Some(parts), ..Default::default() };
        let left = each(ranks, |team| {
            let mut trainer =
                Trainer::resume_among(team, folder.path(), None, &changes, placement()).expect("a run that goes on");
            trainer.run(&Control::default(), &mut Silent).expect("a run that ends");
            left(trainer, folder.path())
        });
        assert_eq!(&left[0], alone, "stopped by rank {asked} after step {step}");
        assert_eq!(left[1].weights, alone.weights);
    }
}

/// Bytes a step that a rank sends.
fn sent(config: &RunConfig, ranks: usize) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    each(ranks, |team| {
        let mut trainer = Trainer::start_among(team, config, placement(), folder.path(), false).expect("a run");
        trainer.run(&Control::default(), &mut Silent).expect("a run that ends");
    });
    RunFolder::epochs(folder.path()).expect("records")[0].bytes_a_step
}

#[test]
fn shared_guesses_cost_a_few_numbers_a_step_and_all_others_an_update() {
    let weights = |config: &RunConfig| -> [usize; 2] {
        let network = config.model.init([1, 28, 28], 10, 0, &placement()).expect("a network");
        [network.parameters().dimension(), network.averages().dimension()]
    };
    for ranks in [2, 3] {
        for directions in [1, 16] {
            let mut group = config(Norm::Group, "guess=gaussian last-block=estimated");
            group.estimator.directions = directions;
            assert_eq!(sent(&group, ranks), 8 * (directions as u64 + 2), "{directions} directions");
            let mut batch = config(Norm::Batch, "guess=gaussian last-block=estimated");
            batch.estimator.directions = directions;
            // Means and variances of every channel of the trunk, in single precision.
            let network = batch.model.init([1, 28, 28], 10, 0, &placement()).expect("a network");
            let averages = network.averages().filtered(|path| !foregrad::models::is_of_head(path)).dimension() as u64;
            assert_eq!(sent(&batch, ranks), 8 * (directions as u64 + 2) + 4 * averages);
        }
        let exact = config(Norm::Group, "guess=exact mode=oracle train-heads=no");
        let [parameters, _] = weights(&exact);
        let bytes = sent(&exact, ranks);
        assert!(bytes <= 4 * parameters as u64 + 8 * 100, "backprop sends an update: {bytes} of {parameters} weights");
        let local = sent(&config(Norm::Group, "guess=local"), ranks);
        assert!((4 * parameters as u64..5 * parameters as u64).contains(&local), "{local}");
    }
}

#[test]
fn other_settings_and_batches_that_cannot_be_shared_out_are_refused() {
    let config = config(Norm::Group, "guess=local");
    let folder = tempfile::tempdir().expect("a folder");
    let refused: Vec<Result<()>> = each(2, |team| {
        let rate = if team.is_root() { 0.1 } else { 0.2 };
        let mut config = config.clone();
        config.optimizer.rate = rate;
        let mut trainer = Trainer::start_among(team, &config, placement(), folder.path(), false)?;
        trainer.run(&Control::default(), &mut Silent).map(|_| ())
    });
    for refused in refused {
        let error = refused.expect_err("another rate").to_string();
        assert!(error.contains("settings and data of rank 1"), "{error}");
    }
    let odd = each(7, |team| Trainer::start_among(team, &config, placement(), folder.path(), true).map(|_| ()));
    for odd in odd {
        assert!(odd.expect_err("60 images").to_string().contains("batch is 60; expected a multiple of 7"));
    }
}
