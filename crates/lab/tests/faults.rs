//! Every call to the file system fails once, through training, checkpoints, resuming, a study and its report: nothing that was
//! finished is lost, every error names a file, and going on gives the bits of an undisturbed run.
//!
//! `FOREGRAD_FAULTS=all` tries every fault at every call; without it every call still fails once, with the faults in turn.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Device};
use foregrad::Result;
use foregrad::estimate::Space;
use foregrad::files::fault::{Fault, Injected, Injection, Operation, inject};
use foregrad::rng::Placement;
use foregrad_lab::ranks::Team;
use foregrad_lab::report;
use foregrad_lab::study::{Attempt, Ending, PlannedRun, Results, Row, Study, Terms, execute, prepare, run_folder};
use foregrad_lab::train::{Changes, Control, EpochRecord, RunConfig, RunFolder, Silent, Trainer};

/// Errors of a disk, of a network's file system, of rights; a signal; a call that does half; a process that dies.
const FAULTS: [Fault; 7] = [
    Fault::Error(libc::ENOSPC),
    Fault::Error(libc::EIO),
    Fault::Error(libc::EACCES),
    Fault::Error(libc::ESTALE),
    Fault::Error(libc::EINTR),
    Fault::Short,
    Fault::Crash,
];

const STUDY: &str = "
    name = 'faults'
    question = 'What is lost?'
    [base]
    epochs = 1
    batch = 20
    data = { dataset = 'glyphs', train-limit = 40, test-limit = 20 }
    model = { name = 'mlp', width = 0.1 }
    [[axis]]
    name = 'rate'
    key = 'optimizer.rate'
    values = [0.01, 0.02]
";

/// Work that files are needed for: begun in a folder, or gone on with wherever it stands there.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    go_on: fn(&Path) -> Result<()>,
    /// The folders of its runs.
    runs: fn(&Path) -> Vec<PathBuf>,
}

/// A run with checkpoints and probes.
const RUN: Work = Work { name: "a run", go_on: train, runs: |dir| vec![dir.join("run")] };

/// A study of two runs with its report.
const RUNS: Work = Work {
    name: "a study",
    go_on: run_study,
    runs: |dir| planned().iter().map(|planned| run_folder(dir, &planned.name)).collect(),
};

fn cpu() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F32 }
}

fn study() -> Study {
    Study::from_toml(STUDY, Path::new("faults.toml")).expect("a study")
}

fn planned() -> Vec<PlannedRun> {
    study().runs().expect("runs")
}

fn train(dir: &Path) -> Result<()> {
    let folder = dir.join("run");
    let mut trainer = if RunFolder::has_checkpoint(&folder)? {
        Trainer::resume(&folder, None, &Changes::default(), cpu())?
    } else {
        let config = planned().remove(0).config;
        let mut config = RunConfig { epochs: 3, keep_checkpoints: 1, probe_every: 2, ..config };
        // An estimator that learns tensors and numbers, which a checkpoint must bring back.
        config.estimator.guess = "feedback".parse().expect("a guess");
        config.estimator.space = Space::Activity;
        Trainer::start(&config, cpu(), &folder, true)?
    };
    if !trainer.is_complete() {
        trainer.run(&Control::default(), &mut Silent)?;
    }
    Ok(())
}

fn run_study(dir: &Path) -> Result<()> {
    prepare(dir, &study())?;
    let terms = Terms { version: "1".into(), retry_failed: false, silent: None };
    for planned in planned() {
        match execute(&Team::default(), dir, &planned, cpu(), &terms, &Arc::default(), &mut Silent)? {
            Attempt::Ended(_) => {}
            other => panic!("nobody else works here: {other:?}"),
        }
    }
    report::write(&Results::read(dir)?, dir)?;
    Ok(())
}

/// All that must be the same however a run came to its end: final tensors, records and rows less what a machine took.
fn outcome(folders: &[PathBuf]) -> Vec<String> {
    let mut told = Vec::new();
    for folder in folders {
        let checkpoint = RunFolder::newest(folder, &cpu()).expect("a checkpoint");
        for (name, entry) in checkpoint.state.iter().chain(checkpoint.optimizer.iter()) {
            let bits: Vec<u64> = foregrad::ops::host(entry.values()).into_iter().map(f64::to_bits).collect();
            told.push(format!("{name} {bits:?}"));
        }
        for record in RunFolder::epochs(folder).expect("epochs") {
            let EpochRecord { epoch, step, rate, train, test, zero_guesses, .. } = record;
            told.push(format!("{epoch} {step} {rate} {train:?} {test:?} {zero_guesses}"));
        }
        told.extend(RunFolder::probes(folder).expect("probes").iter().map(|probe| format!("{probe:?}")));
        let row = Row::read(folder).expect("no damaged row");
        told.extend(row.map(|row| format!("{} {} {:?}", row.run, row.seed, row.ending)));
    }
    told
}

/// Rows and checkpoints that are there are whole, and no run failed.
fn assert_whole(folders: &[PathBuf], place: &str) {
    for folder in folders {
        let row = Row::read(folder).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!(row.is_none_or(|row| matches!(row.ending, Ending::Done { .. })), "{place}");
        if RunFolder::has_checkpoint(folder).expect("a folder") {
            RunFolder::newest(folder, &cpu()).unwrap_or_else(|error| panic!("{place}: {error}"));
        }
    }
}

fn inject_at(dir: &Path, at: usize, fault: Fault, lasting: bool) -> Injected {
    inject(Injection { under: dir.to_path_buf(), at, fault, lasting })
}

/// What a fault at one call does to the work, and to going on with it.
fn try_fault(work: Work, at: usize, fault: Fault, lasting: bool, whole: &[String]) {
    let dir = tempfile::tempdir().expect("a folder");
    let injected = inject_at(dir.path(), at, fault, lasting);
    let result = (work.go_on)(dir.path());
    let (operation, path) = injected.struck().expect("every call is struck");
    drop(injected);
    let place = format!("call {at}, {operation:?} of {}, {fault:?}", path.display());
    let passes = matches!(fault, Fault::Short | Fault::Error(libc::EINTR));
    // A folder that cannot be synced, and a claim that cannot be given back in words (its lock is), are warnings.
    let is_claim = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("claim-"));
    let is_told_only = operation == Operation::SyncFolder;
    match result {
        Ok(()) => assert!(passes || is_told_only || is_claim, "{place}: it was swallowed"),
        Err(error) => {
            let goes_on = passes || (is_told_only && !lasting && fault != Fault::Crash);
            assert!(!goes_on, "{place}: {error}");
            let text = error.to_string();
            assert!(text.contains(&dir.path().display().to_string()), "{place}: no file in `{text}`");
        }
    }
    let folders = (work.runs)(dir.path());
    assert_whole(&folders, &place);
    (work.go_on)(dir.path()).unwrap_or_else(|error| panic!("{place}: it does not go on: {error}"));
    assert_eq!(outcome(&folders), whole, "{place}");
}

/// Tries every call of some work.
fn try_every_call(work: Work) {
    let dir = tempfile::tempdir().expect("a folder");
    let counted = inject_at(dir.path(), usize::MAX, Fault::Short, false);
    (work.go_on)(dir.path()).expect("undisturbed work");
    let calls = counted.calls();
    drop(counted);
    let whole = outcome(&(work.runs)(dir.path()));
    let all = std::env::var("FOREGRAD_FAULTS").is_ok_and(|faults| faults == "all");
    let mut tried = 0;
    for at in 0..calls {
        let faults = if all { &FAULTS[..] } else { &FAULTS[at % FAULTS.len()..][..1] };
        for fault in faults {
            try_fault(work, at, *fault, false, &whole);
        }
        // A disk that stays full until somebody makes room.
        let stays_full = all || at % FAULTS.len() == 0;
        if stays_full {
            try_fault(work, at, FAULTS[0], true, &whole);
        }
        tried += faults.len() + usize::from(stays_full);
    }
    // Past the test harness, which holds back what a test that passes prints.
    writeln!(std::io::stderr(), "{tried} faults at {calls} calls of {}", work.name).expect("a place for counts");
    assert!(calls > 50, "{calls} calls");
}

#[test]
fn a_fault_at_any_call_of_a_run_loses_nothing() {
    try_every_call(RUN);
}

#[test]
fn a_fault_at_any_call_of_a_study_loses_nothing() {
    try_every_call(RUNS);
}
