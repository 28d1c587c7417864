//! Runs that are stopped, killed or lost: they go on to the same bits, or leave everything as it is.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

use std::path::Path;

use foregrad::Error;
use foregrad::estimate::{EstimatorConfig, Mode};
use foregrad_lab::train::{Changes, Control, Observer, Outcome, RunConfig, Silent, StepReport, Trainer};
use runs::{checkpoints, cpu, records, run, tensors, tiny};
/// Asks to stop after a number of steps.
struct StopAfter<'a>(u64, &'a Control);

impl Observer for StopAfter<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] >= self.0 {
            self.1.stop();
        }
    }
}

/// Asks for a checkpoint after a number of steps, and to stop once it is written.
struct SaveThenStop<'a>(u64, &'a Control);

impl Observer for SaveThenStop<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] == self.0 {
            self.1.checkpoint();
        }
    }

    fn checkpoint(&mut self, _path: &Path) {
        self.1.stop();
    }
}

#[test]
fn a_stopped_run_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, change) in [
        ("sgd, mixing", (|config: &mut RunConfig| config.estimator.mix = Some(1)) as fn(&mut RunConfig)),
        ("adam", |config| config.optimizer.kind = foregrad::optim::OptimizerKind::Adam),
        ("momentum guess", |config| {
            config.estimator.guess = "momentum".parse().expect("a guess");
            config.estimator.directions = 2;
            config.optimizer.rate = 0.01;
        }),
        ("feedback", |config| {
            config.estimator.guess = "feedback".parse().expect("a guess");
            config.estimator.space = foregrad::estimate::Space::Activity;
        }),
        ("measured every third step", |config| config.estimator.measure_every = 3),
        ("corrected", |config| {
            config.estimator.correct = Some(foregrad::estimate::Correction::Rademacher);
        }),
        ("plateau", |config| {
            config.schedule.kind = foregrad::optim::ScheduleKind::Plateau;
            config.schedule.patience = 0;
            config.optimizer.rate = 0.5;
        }),
    ] {
        let mut config = RunConfig { probe_every: 3, ..tiny() };
        config.schedule.kind = foregrad::optim::ScheduleKind::Cosine;
        change(&mut config);
        let (whole, parts) = (dir.path().join(format!("{name} whole")), dir.path().join(format!("{name} parts")));
        run(&config, &whole);
        // Stopped inside each epoch and at the end of its steps, so that every kind of position is resumed from.
        let mut trainer = Trainer::start(&config, cpu(), &parts, false).expect("a run");
        for stop_at in [1, 2, 5, 7, 9] {
            let control = Control::default();
            let outcome = trainer.run(&control, &mut StopAfter(stop_at, &control)).expect("a part");
            assert!(matches!(outcome, Outcome::Stopped(_)), "{name}: {outcome:?}");
            drop(trainer);
            trainer = Trainer::resume(&parts, None, &Changes::default(), cpu()).expect("a run to resume");
        }
        trainer.run(&Control::default(), &mut Silent).expect("the rest");
        assert_eq!(tensors(&whole), tensors(&parts), "{name}");
        for file in ["metrics.jsonl", "probes.jsonl"] {
            assert_eq!(records(&whole, file), records(&parts, file), "{name}, {file}");
        }
    }
}

/// Kills are imitated by dropping the trainer: what a later process finds are the checkpoints by steps, the last of them
/// written before its epoch's scores.
#[test]
fn checkpoints_by_steps_are_gone_on_from_inside_an_epoch() {
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    run(&tiny(), &whole);
    let config = RunConfig { checkpoint_every: 0, checkpoint_steps: 1, keep_checkpoints: 20, ..tiny() };
    run(&config, &parts);
    for step in [9, 8, 6, 5, 4, 3, 1] {
        let from = parts.join(format!("checkpoint-{step:08}.safetensors"));
        let mut trainer = Trainer::resume(&parts, Some(&from), &Changes::default(), cpu()).expect("a checkpoint");
        trainer.run(&Control::default(), &mut Silent).expect("the rest");
        assert_eq!(tensors(&whole), tensors(&parts), "from step {step}");
        assert_eq!(records(&whole, "metrics.jsonl"), records(&parts, "metrics.jsonl"), "from step {step}");
    }
}

/// Minutes so short that they have passed whenever the run looks.
#[test]
fn checkpoints_by_minutes_are_written_wherever_the_run_can_be_gone_on_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = RunConfig { checkpoint_every: 0, checkpoint_minutes: 1e-9, keep_checkpoints: 20, ..tiny() };
    run(&config, dir.path());
    let names = (0..=10).map(|step| dir.path().join(format!("checkpoint-{step:08}.safetensors")));
    assert_eq!(checkpoints(dir.path()), names.collect::<Vec<_>>(), "one before every step, and the last");
}

#[test]
fn a_checkpoint_that_is_asked_for_is_written_and_the_run_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let control = Control::default();
    let config = RunConfig { checkpoint_every: 0, ..tiny() };
    let mut trainer = Trainer::start(&config, cpu(), dir.path(), false).expect("a run");
    let outcome = trainer.run(&control, &mut SaveThenStop(3, &control)).expect("a part");
    let Outcome::Stopped(Some(checkpoint)) = outcome else { panic!("{outcome:?}") };
    // Asked for after step 3 and written there; the stop that came then ended the run within step 4, which is dropped.
    assert!(checkpoint.ends_with("checkpoint-00000003.safetensors"), "{checkpoint:?}");
}

#[test]
fn a_step_and_an_evaluation_end_at_the_block_at_which_they_are_asked_to() {
    let config = tiny();
    let splits = foregrad_lab::data::load("glyphs", &config.data.load_options(0)).expect("glyphs");
    let (network, plan) = foregrad_lab::train::network_for(&config, &splits, &cpu()).expect("a network");
    let mut blocks = 0;
    let mut pause = || {
        blocks += 1;
        if blocks == 3 { Err(Error::Stopped) } else { Ok(()) }
    };
    let scored = foregrad_lab::train::evaluate_pausing(&network, &splits.test, &plan.trains, &cpu(), &mut pause);
    assert!(matches!(scored, Err(Error::Stopped)) && blocks == 3, "{blocks} blocks");
    let stop = std::sync::atomic::AtomicBool::new(true);
    let labels = foregrad::losses::Labels::classes(vec![1, 2], 10);
    let images = burn::tensor::Tensor::zeros([2, 1, 28, 28], &cpu().device);
    for mode in [Mode::Forward, Mode::Oracle] {
        let estimator = EstimatorConfig { mode, ..config.estimator.clone() };
        let mut input = foregrad::estimate::StepInput::new(images.clone(), &labels, 0, 0);
        input.stop = Some(&stop);
        let stepped = foregrad::estimate::step(&estimator, &network, &input, &Default::default());
        assert!(matches!(stepped, Err(Error::Stopped)), "{mode:?}");
    }
}

/// Asks for a checkpoint at an epoch's last step and at every one that is written: the second is written in the evaluation.
struct StopInEvaluation<'a>(u64, usize, &'a Control);

impl Observer for StopInEvaluation<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] == self.0 {
            self.2.checkpoint();
        }
    }

    fn checkpoint(&mut self, _path: &Path) {
        self.1 += 1;
        if self.1 == 2 { self.2.stop() } else { self.2.checkpoint() }
    }
}

#[test]
fn an_evaluation_that_is_stopped_does_not_count_and_is_done_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    run(&tiny(), &whole);
    let control = Control::default();
    let mut trainer = Trainer::start(&tiny(), cpu(), &parts, false).expect("a run");
    let outcome = trainer.run(&control, &mut StopInEvaluation(5, 0, &control)).expect("a part");
    assert!(
        matches!(&outcome, Outcome::Stopped(Some(path)) if path.ends_with("checkpoint-00000005.safetensors")),
        "{outcome:?}"
    );
    assert!(records(&parts, "metrics.jsonl").is_empty(), "the evaluation went on to its end");
    drop(trainer);
    let mut trainer = Trainer::resume(&parts, None, &Changes::default(), cpu()).expect("a run to resume");
    trainer.run(&Control::default(), &mut Silent).expect("the rest");
    assert_eq!(tensors(&whole), tensors(&parts));
    assert_eq!(records(&whole, "metrics.jsonl"), records(&parts, "metrics.jsonl"));
}

/// Lets go of the folder after a number of steps.
struct AbandonAfter<'a>(u64, &'a Control);

impl Observer for AbandonAfter<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.steps[0] == self.0 {
            self.1.abandon();
        }
    }
}

#[test]
fn a_run_whose_folder_is_lost_writes_nothing_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = RunConfig { checkpoint_steps: 1, probe_every: 1, ..tiny() };
    // In the middle of an epoch, and at its last step.
    for step in [3, 5] {
        let folder = dir.path().join(step.to_string());
        let control = Control::default();
        let mut trainer = Trainer::start(&config, cpu(), &folder, false).expect("a run");
        let outcome = trainer.run(&control, &mut AbandonAfter(step, &control)).expect("an end");
        assert_eq!(outcome, Outcome::Abandoned);
        let newest = checkpoints(&folder).pop().expect("a checkpoint");
        assert!(newest.ends_with(format!("checkpoint-{:08}.safetensors", step - 1)), "{newest:?}");
        assert_eq!(
            [records(&folder, "metrics.jsonl").len(), records(&folder, "probes.jsonl").len()],
            [0, step as usize]
        );
    }
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut trainer = Trainer::start(&tiny(), cpu(), dir.path(), false).expect("a run");
    let refused = |trainer: foregrad::Result<Trainer>| trainer.err().expect("another trains there").to_string();
    assert!(refused(Trainer::start(&tiny(), cpu(), dir.path(), true)).contains("no other process trains"));
    trainer.run(&Control::default(), &mut Silent).expect("a whole run");
    let resumed = Trainer::resume(dir.path(), None, &Changes::default(), cpu());
    assert!(refused(resumed).contains("no other process trains"));
    drop(trainer);
    Trainer::resume(dir.path(), None, &Changes::default(), cpu()).expect("it is free");
}

#[test]
fn a_file_system_without_locks_is_trained_on() {
    use foregrad::files::fault::{Fault, Injection, Operation, inject_into};
    for number in [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP] {
        let dir = tempfile::tempdir().expect("a folder");
        let plan = Injection { under: dir.path().into(), at: 0, fault: Fault::Error(number), lasting: true };
        let _without = inject_into(Operation::Lock, plan);
        let started = Trainer::start(&tiny(), cpu(), dir.path(), false);
        started.unwrap_or_else(|error| panic!("without locks ({number}): {error}"));
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_starts_again() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(Trainer::start(&tiny(), cpu(), dir.path(), false).expect("a run"));
    let mut other = tiny();
    other.optimizer.rate = 0.125;
    let error = Trainer::start(&other, cpu(), dir.path(), false).err().expect("another run is there").to_string();
    assert!(error.contains("optimizer.rate is 0.05, not 0.125"), "{error}");
    run(&tiny(), dir.path());
}
