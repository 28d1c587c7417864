//! Whole runs: they learn, go on for longer, and fail without losing what is done.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

use std::sync::Arc;

use foregrad::Error;
use foregrad::estimate::{AnyGuess, EstimatorConfig, GUESSES, Mode, Space};
use foregrad::weights;
use foregrad_lab::data::{Dataset, Source};
use foregrad_lab::train::{Changes, Control, Outcome, RunConfig, RunFolder, Score, Silent, Trainer, of_network};
use runs::{checkpoints, cpu, run, tensors, tiny};
#[test]
fn a_folder_that_cannot_be_listed_is_not_taken_for_empty() {
    use foregrad::files::fault::{Fault, Injection, Operation, inject};
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("run");
    run(&tiny(), &folder);
    let before = checkpoints(&folder);
    // The n-th call fails, for every n up to the first listing.
    for at in 0.. {
        // One that passes: nothing after it would notice.
        let injected = inject(Injection { under: folder.clone(), at, fault: Fault::Error(libc_eio()), lasting: false });
        let started = Trainer::start(&tiny(), cpu(), &folder, false).err();
        let started = started.unwrap_or_else(|| panic!("call {at} failed, and the run was started anew"));
        let struck = injected.struck();
        drop(injected);
        assert_eq!(checkpoints(&folder), before, "{started}");
        if struck.is_some_and(|(operation, _)| operation == Operation::List) {
            assert!(matches!(started, Error::Io { .. }), "{started}");
            return;
        }
    }
}

/// `EIO`.
fn libc_eio() -> i32 {
    5
}

#[test]
fn a_line_that_cannot_be_read_is_told_and_one_cut_short_is_left_out() {
    let dir = tempfile::tempdir().expect("a folder");
    run(&tiny(), dir.path());
    let metrics = dir.path().join("metrics.jsonl");
    let whole = std::fs::read_to_string(&metrics).expect("metrics");
    let first = checkpoints(dir.path()).remove(0);
    std::fs::write(&metrics, format!("{whole}{{\"epoch\":3,\"st")).expect("a crash");
    Trainer::resume(dir.path(), None, &Changes::default(), cpu()).expect("a cut line is no loss");
    assert_eq!(std::fs::read_to_string(&metrics).expect("metrics"), whole, "lines are kept as they are");
    let damaged = whole.replacen("\"epoch\":1", "\"epoch\":x", 1);
    std::fs::write(&metrics, &damaged).expect("damage");
    let error =
        Trainer::resume(dir.path(), Some(&first), &Changes::default(), cpu()).err().expect("damage").to_string();
    assert!(error.contains("metrics.jsonl:1") && error.contains("a record"), "{error}");
    assert_eq!(std::fs::read_to_string(&metrics).expect("metrics"), damaged, "nothing was cut");
    // An older program wrote `null` for what is no number.
    let old = whole.replacen("\"rate\":0.05", "\"rate\":null", 1);
    std::fs::write(&metrics, &old).expect("an old file");
    Trainer::resume(dir.path(), None, &Changes::default(), cpu()).expect("an old file");
    assert_eq!(std::fs::read_to_string(&metrics).expect("metrics"), old);
    assert!(RunFolder::epochs(dir.path()).expect("records")[0].rate.is_nan());
}

/// The last update of an epoch is finite, and the network after it scores no number.
#[test]
fn a_network_that_scores_no_number_fails_after_its_record_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = RunConfig { epochs: 3, ..tiny() };
    config.model.name = "mlp".into();
    config.data.train_limit = Some(16);
    config.optimizer.rate = 1e30;
    let mut trainer = Trainer::start(&config, cpu(), dir.path(), false).expect("a run");
    let error = trainer.run(&Control::default(), &mut Silent).expect_err("no number");
    assert!(matches!(&error, Error::NotFinite { what, .. } if what == "the test loss of epoch 1"), "{error}");
    let [record] = &RunFolder::epochs(dir.path()).expect("records")[..] else { panic!("one record") };
    assert!(!of_network(&record.test).expect("a score").loss.is_finite());
    assert!(checkpoints(dir.path()).is_empty(), "what failed is nothing to go on from");
}

/// A head whose moving averages are far off, which only its scores are made with.
#[test]
fn a_head_may_score_what_it_likes() {
    let dir = tempfile::tempdir().expect("a folder");
    run(&RunConfig { epochs: 1, batch: 80, ..tiny() }, dir.path());
    let newest = checkpoints(dir.path()).pop().expect("a checkpoint");
    let (mut tensors, metadata) = weights::load(&newest, &cpu()).expect("a checkpoint");
    for (end, value) in [("running_mean", -f64::from(f32::MAX)), ("running_var", 0.0)] {
        let is_head = |path: &&str| path.starts_with("heads.0.") && path.ends_with(end);
        let path = tensors.paths().find(is_head).expect("a head with batch norm").to_string();
        let shape = tensors.entry(&path).expect("an average").shape().to_vec();
        tensors.insert(path, cpu().tensor::<1>(vec![value; shape[0]], [shape[0]]));
    }
    weights::save(&newest, &tensors, metadata).expect("a file");
    let more = Changes { epochs: Some(2), ..Default::default() };
    let mut trainer = Trainer::resume(dir.path(), None, &more, cpu()).expect("a run to go on with");
    let outcome = trainer.run(&Control::default(), &mut Silent).expect("the network is well");
    let Outcome::Done(record) = outcome else { panic!("{outcome:?}") };
    let loss = |block: usize| record.test[block].as_ref().expect("a score").loss;
    assert!(!loss(0).is_finite() && loss(record.test.len() - 1).is_finite(), "{:?}", record.test);
}

#[test]
fn what_cannot_be_read_in_a_runs_folder_is_not_taken_for_missing() {
    use foregrad::files::fault::{Fault, Injection, Operation, inject_into};
    let dir = tempfile::tempdir().expect("a folder");
    let failing = |kind: Operation, name: &str| {
        let plan = Injection { under: dir.path().join(name), at: 0, fault: Fault::Error(libc::EIO), lasting: true };
        inject_into(kind, plan)
    };
    // Begun, and killed before its first checkpoint.
    drop(Trainer::start(&tiny(), cpu(), dir.path(), false).expect("a run"));
    let settings = std::fs::read(dir.path().join("config.toml")).expect("settings");
    {
        let _away = failing(Operation::Inspect, "config.toml");
        let error = Trainer::start(&RunConfig { epochs: 7, seed: 3, ..tiny() }, cpu(), dir.path(), false).err();
        assert!(matches!(&error, Some(Error::Io { .. })), "a run's settings: {error:?}");
    }
    assert_eq!(std::fs::read(dir.path().join("config.toml")).expect("settings"), settings, "they are left alone");
    for (kind, name) in [(Operation::List, ""), (Operation::Read, "metrics.jsonl"), (Operation::Open, "probes.jsonl")] {
        let _away = failing(kind, name);
        let read = match name {
            "metrics.jsonl" => RunFolder::epochs(dir.path()).map(drop),
            "probes.jsonl" => RunFolder::probes(dir.path()).map(drop),
            _ => RunFolder::has_checkpoint(dir.path()).map(drop),
        };
        assert!(
            matches!(&read, Err(Error::Io { .. })),
            "{kind:?} of `{name}` failed, and was taken for nothing there: {read:?}"
        );
    }
}

#[test]
fn an_evaluation_that_lacks_images_is_none() {
    let config = tiny();
    let splits = foregrad_lab::data::load("glyphs", &config.data.load_options(0)).expect("glyphs");
    let (network, plan) = foregrad_lab::train::network_for(&config, &splits, &cpu()).expect("a network");
    let (pixels, labels) = (vec![0u8; 10 * 28 * 28], vec![0; 20]);
    let (shape, classes) = (splits.test.shape(), splits.test.classes());
    let (mean, deviation, augmentation) = (vec![0.5], vec![0.5], Default::default());
    let broken: Arc<dyn Source> = Arc::new(Dataset { pixels, labels, shape, classes, mean, deviation, augmentation });
    let scored = foregrad_lab::train::evaluate(&network, &broken, &plan.trains, &cpu());
    assert!(matches!(&scored, Err(Error::Worker(_))), "10 of 20 images were scored as if they were all: {scored:?}");
}

#[test]
fn a_folder_is_cut_back_to_the_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("run");
    run(&RunConfig { probe_every: 1, ..tiny() }, &folder);
    let count = |name: &str| std::fs::read_to_string(folder.join(name)).expect("records").lines().count();
    assert_eq!([count("metrics.jsonl"), count("probes.jsonl")], [2, 10]);
    let [first, second] = checkpoints(&folder).try_into().expect("one checkpoint an epoch");
    let resumed = Trainer::resume(&folder, Some(&first), &Changes::default(), cpu());
    resumed.expect("the first epoch's checkpoint");
    assert_eq!([count("metrics.jsonl"), count("probes.jsonl")], [1, 5], "the second epoch's lines are cut");
    assert_eq!(checkpoints(&folder), [first], "the later one is no longer the run's newest");
    assert!(second.with_extension("safetensors.superseded").exists(), "but it is not lost");
    let names = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let events = names.filter(|name| name.to_string_lossy().starts_with("events.out.tfevents"));
    assert_eq!(events.count(), 1, "one event file, written again");
}

#[test]
fn a_run_that_is_done_goes_on_for_more_epochs() {
    let dir = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    run(&RunConfig { epochs: 3, ..tiny() }, &whole);
    run(&tiny(), &parts);
    let fewer = Changes { epochs: Some(1), ..Default::default() };
    let error = Trainer::resume(&parts, None, &fewer, cpu()).err().expect("two are done").to_string();
    assert!(error.contains("at least the 2 epochs"), "{error}");
    let more = Changes { epochs: Some(3), ..Default::default() };
    let mut trainer = Trainer::resume(&parts, None, &more, cpu()).expect("a run to go on with");
    trainer.run(&Control::default(), &mut Silent).expect("one more epoch");
    assert_eq!(tensors(&whole), tensors(&parts));
    assert_eq!(RunFolder::config(&parts).expect("settings").epochs, 3);
}

#[test]
fn the_rate_written_down_is_that_of_the_last_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = tiny();
    config.optimizer.rate = 0.1;
    config.schedule.kind = foregrad::optim::ScheduleKind::Linear;
    run(&config, dir.path());
    let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).expect("metrics");
    let rate = |line| serde_json::from_str::<serde_json::Value>(line).expect("json")["rate"].as_f64().expect("a rate");
    let rates: Vec<f64> = text.lines().map(rate).collect();
    // Two epochs of five steps: steps 4 and 9 of 10.
    assert!((rates[0] - 0.06).abs() < 1e-12 && (rates[1] - 0.01).abs() < 1e-12, "{rates:?}");
}

#[test]
fn every_guess_trains_in_every_space_it_has() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in GUESSES.iter().map(|guess| guess.name()).chain(["local+gaussian:4"]) {
        let guess: AnyGuess = name.parse().expect("a guess");
        let support = guess.support();
        for space in support.spaces {
            let mut config = RunConfig { epochs: 1, ..tiny() };
            config.data.train_limit = Some(32);
            config.optimizer.rate = 0.001;
            config.probe_every = 2;
            config.estimator = EstimatorConfig {
                directions: if guess.is_composite() { 1 } else { support.least_directions },
                guess: guess.clone(),
                space: *space,
                // The exact gradient of the network's loss is known to reverse mode only; it is probed all the same.
                mode: if support.is_target { Mode::Oracle } else { Mode::Forward },
                ..Default::default()
            };
            let folder = dir.path().join(format!("{name}-{space}"));
            run(&config, &folder);
            let probes = std::fs::read_to_string(folder.join("probes.jsonl")).expect("probes");
            let probe: serde_json::Value = serde_json::from_str(probes.lines().next().expect("a probe")).expect("json");
            let blocks = probe["blocks"].as_array().expect("blocks");
            assert_eq!(blocks.len(), 5, "{name} {space}");
            if support.is_target {
                assert!((blocks[0]["estimate_alignment"].as_f64().expect("an alignment") - 1.0).abs() < 1e-5);
            } else if *space == Space::Weight {
                // A guess that has yet to learn may be zero, and so its update.
                let is_still = blocks[0]["estimate_norm"].as_f64().expect("a norm") == 0.0;
                assert_eq!(is_still, name == "feedback", "{name} {space}");
                let deviation = blocks[0]["deviation"].as_f64();
                let agrees = deviation.map_or(is_still, |deviation| deviation < 0.05);
                assert!(agrees, "{name} {space}: forward and oracle differ by {deviation:?}");
            }
        }
    }
}

#[test]
fn local_guesses_learn_and_beat_chance() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = RunConfig { epochs: 6, batch: 32, ..tiny() };
    config.data.train_limit = Some(640);
    config.data.test_limit = Some(200);
    config.model.width = 0.1;
    let mut trainer = Trainer::start(&config, cpu(), &dir.path().join("run"), false).expect("a run");
    let outcome = trainer.run(&Control::default(), &mut Silent).expect("a whole run");
    let Outcome::Done(record) = outcome else { panic!("{outcome:?}") };
    let accuracy = of_network(&record.test).and_then(Score::accuracy).expect("an accuracy");
    assert!(accuracy > 0.2, "test accuracy {accuracy}, chance is 0.1");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = RunConfig { epochs: 40, ..tiny() };
    config.estimator =
        EstimatorConfig { guess: "exact".parse().expect("a guess"), mode: Mode::Oracle, ..Default::default() };
    config.optimizer.rate = 1e30;
    config.schedule.warm_up = 400.0;
    let folder = dir.path().join("run");
    let mut trainer = Trainer::start(&config, cpu(), &folder, false).expect("a run");
    let error = trainer.run(&Control::default(), &mut Silent).expect_err("it diverges");
    assert!(matches!(error, Error::NotFinite { .. }) && !error.is_usage(), "{error}");
    assert!(error.to_string().contains("optimizer.rate"), "{error}");
}

#[test]
fn folders_and_checkpoints_are_guarded() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("the run");
    run(&tiny(), &folder);
    let refused = Trainer::start(&tiny(), cpu(), &folder, false).err().expect("a run is there").to_string();
    assert!(refused.contains("--resume") && refused.contains("--overwrite"), "{refused}");
    let newest = checkpoints(&folder).pop().expect("a checkpoint");
    let bytes = std::fs::read(&newest).expect("bytes");
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).expect("damage");
    let error = RunFolder::newest(&folder, &cpu()).expect_err("it is damaged").to_string();
    let before = format!("--resume={}", foregrad::files::pasted(&checkpoints(&folder)[0]));
    assert!(error.contains("damaged") && error.contains(&before), "{error} does not say {before}");
    let sizes = [format!("{} bytes", bytes.len()), format!("{} bytes", bytes.len() / 2)];
    assert!(sizes.iter().all(|size| error.contains(size)), "{error} names no {sizes:?}");
    std::fs::write(&newest, bytes).expect("repaired");
    // A checkpoint of another model, put where this run's should be.
    let other = dir.path().join("other");
    let mut config = tiny();
    config.model.width = 0.1;
    run(&config, &other);
    let mut network = tiny().model.init([1, 28, 28], 10, 0, &cpu()).expect("a network");
    let (state, _) = weights::load(&checkpoints(&other)[0], &cpu()).expect("weights");
    let state = state.filtered(|path| !path.starts_with("optimizer."));
    let error = weights::assign(&mut network, &state, &other).expect_err("another width").to_string();
    assert!(error.contains("of shape") && error.contains("more differences"), "{error}");
    // Half a head is a mistake, no head is a plain state dict.
    let (own, _) = weights::load(&newest, &cpu()).expect("weights");
    let own = own.filtered(|path| !path.starts_with("optimizer."));
    let without = |part: &str| own.filtered(|path| !path.starts_with(part));
    let missing = own.paths().find(|path| path.starts_with("heads.1.")).expect("a head").to_string();
    let error = weights::assign(&mut network, &without(&missing), &folder).expect_err("half a head").to_string();
    assert!(error.contains(&missing), "{error}");
    weights::assign(&mut network, &without("heads."), &folder).expect("a trunk alone");
    let kept = folder.join("checkpoint-best.safetensors");
    std::fs::write(&kept, "a user's own copy").expect("a file");
    Trainer::start(&tiny(), cpu(), &folder, true).expect("it may be overwritten");
    assert_eq!(checkpoints(&folder), [kept], "the run's own checkpoints go, a user's file stays");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_failed_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").expect("a file");
    let error = Trainer::start(&tiny(), cpu(), &file.join("run"), false).err().expect("no folder can be made there");
    assert!(!error.is_usage(), "{error}");
}
