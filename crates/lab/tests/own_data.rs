//! Data and a network that the library does not know: they train, stop in the middle of an epoch and go on to the same bits.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

use std::path::Path;

use foregrad::estimate::EstimatorConfig;
use foregrad::layers::{Dropout, Flatten, LeakyRelu, Linear, Sequential};
use foregrad::losses::LabelKind;
use foregrad::models::{HeadKind, ModelConfig, Network};
use foregrad::optim::{OptimizerConfig, ScheduleConfig};
use foregrad::rng::Stream;
use foregrad_lab::data::{Label, Source, Splits};
use foregrad_lab::train::{Control, Observer, Outcome, RunFolder, Silent, StepReport, Trainer, TrainerBuilder};
use runs::{checkpoints, cpu, records, tensors};

/// Waves whose frequency is to be told; the phase varies from epoch to epoch.
struct Waves {
    count: usize,
    seed: u64,
}

const TRAIN: Waves = Waves { count: 48, seed: 7 };

impl Source for Waves {
    fn len(&self) -> usize {
        self.count
    }

    fn shape(&self) -> [usize; 3] {
        [1, 1, 16]
    }

    fn kind(&self) -> LabelKind {
        LabelKind::Values(1)
    }

    fn sample(&self, index: usize, vary: Option<Stream>, input: &mut [f32]) -> foregrad::Result<Label> {
        let frequency = Stream::new(self.seed, "waves").at(index as u64).uniform(1, 0.1, 1.0)[0];
        let phase = vary.map_or(0.0, |draws| draws.uniform(1, 0.0, 1.0)[0]);
        input.iter_mut().enumerate().for_each(|(place, out)| *out = (frequency * place as f64 + phase).sin() as f32);
        Ok(Label::Values(vec![frequency]))
    }
}

/// A network of layers by value, one of which draws.
fn network(width: usize) -> Network {
    let linear = |name: &str, sizes| Linear::new(sizes, true, Stream::new(0, name), &cpu());
    let wide = |name: &str, input| Sequential::new().then(linear(name, [input, width])).then(LeakyRelu::new(0.1));
    let network = Network::builder([1, 1, 16], LabelKind::Values(1))
        .block(Sequential::new().then(Flatten).then(linear("first", [16, width])).then(LeakyRelu::new(0.1)))
        .block(wide("second", width).then(Dropout::new(0.1)))
        .block(wide("third", width))
        .heads(HeadKind::Linear);
    network.build(0, &cpu()).expect("a network")
}

fn builder(train: Waves, network: Network, folder: &Path) -> TrainerBuilder {
    let splits = Splits::new(train, Waves { count: 8, seed: 8 });
    let optimizer = OptimizerConfig { rate: 0.02, momentum: 0.9, ..Default::default() };
    let trainer = Trainer::new(network, splits, EstimatorConfig::default(), optimizer, ScheduleConfig::default());
    trainer.epochs(3).batch(8).seed(5).probe_every(2).folder(folder)
}

/// Asks for a stop at a step.
struct StopAt<'a>(u64, &'a Control);

impl Observer for StopAt<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] == self.0 {
            self.1.stop();
        }
    }
}

fn whole(mut trainer: Trainer) -> f64 {
    let outcome = trainer.run(&Control::default(), &mut Silent).expect("a whole run");
    let Outcome::Done(record) = outcome else { panic!("{outcome:?}") };
    record.test.last().and_then(Option::as_ref).expect("a score").loss
}

/// A run that was stopped in the middle of its second epoch.
fn stopped(folder: &Path) {
    let control = Control::default();
    let mut trainer = builder(TRAIN, network(24), folder).start().expect("a run");
    let outcome = trainer.run(&control, &mut StopAt(8, &control)).expect("a part");
    assert!(matches!(&outcome, Outcome::Stopped(Some(file)) if file.ends_with("checkpoint-00000008.safetensors")));
}

#[test]
fn a_run_of_ones_own_parts_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    let [once, parts] = ["once", "parts"].map(|name| dir.path().join(name));
    let loss = whole(builder(TRAIN, network(24), &once).start().expect("a run"));
    assert!(loss.is_finite() && loss < 0.5, "the frequencies' own mean square is a third: {loss}");
    stopped(&parts);
    assert_eq!(whole(builder(TRAIN, network(24), &parts).resume().expect("the rest")), loss);
    assert_eq!(tensors(&once), tensors(&parts));
    for name in ["metrics.jsonl", "probes.jsonl"] {
        assert_eq!(records(&once, name), records(&parts, name), "{name}");
    }
    assert_eq!(RunFolder::probes(&parts).expect("probes").len(), 9);
}

#[test]
fn a_run_in_memory_has_the_same_weights_and_goes_on_after_a_stop() {
    let dir = tempfile::tempdir().expect("a folder");
    whole(builder(TRAIN, network(24), dir.path()).start().expect("a run"));
    let splits = Splits::new(TRAIN, Waves { count: 8, seed: 8 });
    let optimizer = OptimizerConfig { rate: 0.02, momentum: 0.9, ..Default::default() };
    let parts = Trainer::new(network(24), splits, EstimatorConfig::default(), optimizer, ScheduleConfig::default());
    let mut trainer = parts.epochs(3).batch(8).seed(5).start().expect("a run");
    let control = Control::default();
    let outcome = trainer.run(&control, &mut StopAt(8, &control)).expect("a part");
    assert_eq!(outcome, Outcome::Stopped(None));
    trainer.run(&Control::default(), &mut Silent).expect("the rest");
    let saved =
        foregrad::weights::load(&checkpoints(dir.path()).pop().expect("a checkpoint"), &cpu()).expect("a file").0;
    let saved = saved.filtered(|path| !path.starts_with("optimizer."));
    let trained = trainer.into_network().state();
    assert_eq!(trained.paths().collect::<Vec<_>>(), saved.paths().collect::<Vec<_>>());
    assert_eq!(trained.axpy(-1.0, &saved).norm(), 0.0);
}

#[test]
fn other_data_networks_and_settings_are_refused_with_what_has_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    stopped(dir.path());
    let refused = |builder: TrainerBuilder| builder.resume().err().expect("refused").to_string();
    let own = || builder(TRAIN, network(24), dir.path());
    let cases = [
        (builder(Waves { count: 49, ..TRAIN }, network(24), dir.path()), "training samples is 49; expected 48"),
        (builder(Waves { seed: 9, ..TRAIN }, network(24), dir.path()), "the digest of the training samples"),
        (builder(TRAIN, network(32), dir.path()), "expected the weights of this network"),
        (own().batch(4), "batch is 4; expected 8, as the run began"),
        (own().seed(6), "seed is 6; expected 5"),
        (own().epochs(0), "epochs is 0"),
        (own().augment(false), "data.augment is off"),
    ];
    for (builder, words) in cases {
        let error = refused(builder);
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = Trainer::resume(dir.path(), None, &Default::default(), cpu()).err().expect("unknown parts").to_string();
    assert!(error.contains("data.dataset is own") && error.contains("goes on there"), "{error}");
    whole(own().epochs(4).keep_checkpoints(1).resume().expect("more epochs"));
}

/// Samples of other shapes, or with other labels, than the waves.
struct Others([usize; 3], LabelKind);

impl Source for Others {
    fn len(&self) -> usize {
        4
    }

    fn shape(&self) -> [usize; 3] {
        self.0
    }

    fn kind(&self) -> LabelKind {
        self.1
    }

    fn sample(&self, index: usize, _vary: Option<Stream>, input: &mut [f32]) -> foregrad::Result<Label> {
        input.fill(index as f32);
        Ok(match self.1 {
            LabelKind::Classes(_) => Label::Class(0),
            LabelKind::Values(width) => Label::Values(vec![0.0; width]),
        })
    }
}

#[test]
fn samples_to_judge_by_must_be_of_the_kind_of_those_to_learn_from() {
    let waves = || (TRAIN.shape(), TRAIN.kind());
    for (others, words) in [
        (
            Others([1, 1, 17], waves().1),
            "a sample of the test set is 1x1x17 with 1 value; expected 1x1x16 with 1 value",
        ),
        (Others(waves().0, LabelKind::Values(2)), "1x1x16 with 2 values"),
        (Others(waves().0, LabelKind::Classes(3)), "1x1x16 with 3 classes"),
    ] {
        let optimizer = OptimizerConfig::default();
        let splits = Splits::new(TRAIN, others);
        let trainer =
            Trainer::new(network(24), splits, EstimatorConfig::default(), optimizer, ScheduleConfig::default());
        let error = trainer.batch(8).start().err().expect("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn parts_that_do_not_go_together_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let model = ModelConfig { name: "mlp".into(), width: 0.05, ..Default::default() };
    let classifier = model.init([1, 1, 16], 3, 0, &cpu()).expect("a network");
    let error = builder(TRAIN, classifier, dir.path()).start().err().expect("classes for values").to_string();
    assert!(error.contains("3 classes"), "{error}");
    let small = Network::builder([1, 1, 15], LabelKind::Values(1))
        .block(Sequential::new().then(Flatten).then(Linear::new([15, 4], true, Stream::new(0, "small"), &cpu())));
    let small = small.build(0, &cpu()).expect("a network");
    let error = builder(TRAIN, small, dir.path()).start().err().expect("other inputs").to_string();
    assert!(error.contains("block 0: layer 1") && error.contains("15"), "{error}");
    let error = builder(TRAIN, network(24), dir.path()).batch(49).start().err().expect("too large").to_string();
    assert!(error.contains("at most the 48 training images"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
}
