//! Budgets by the binary: what they come to, runs that go on, studies, and what is too small.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::path::Path;

use common::{fails, run, succeeds};
use foregrad_lab::train::RunConfig;

/// 160 images, 20 a step.
const TINY: &str = "--dataset glyphs --model mlp --width 0.25 --train-limit 160 --test-limit 20 --batch 20 --threads 1";

fn config(run: &Path) -> RunConfig {
    RunConfig::read(&run.join("config.toml")).expect("settings")
}

/// Operations of the run's epochs.
fn operations(run: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("json")["operations"].as_u64();
    text.lines().map(|text| line(text).expect("a count")).collect()
}

fn weights(run: &Path) -> Vec<u8> {
    let names = std::fs::read_dir(run).expect("a folder").map(|entry| entry.expect("an entry").path());
    let newest = names.filter(|path| path.to_string_lossy().contains("checkpoint-")).max().expect("a checkpoint");
    let bytes = std::fs::read(newest).expect("a file");
    // The header holds seconds, which differ.
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    bytes[8 + header as usize..].to_vec()
}

#[test]
fn operations_become_epochs_and_a_run_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a folder");
    succeeds(dir.path(), &format!("train {TINY} --epochs 1 --out one --quiet"));
    let epoch = operations(&dir.path().join("one"))[0];
    assert!(epoch > 0, "operations are counted");
    let budget = format!("{TINY} --budget-flop {}", 3 * epoch + epoch / 2);
    succeeds(dir.path(), &format!("train {budget} --out whole --quiet"));
    let whole = dir.path().join("whole");
    assert_eq!((config(&whole).epochs, operations(&whole)), (3, vec![epoch; 3]), "three epochs and a half are three");
    // The same command, stopped inside: what is found for it once is not found again.
    let (code, said) =
        run(dir.path(), "train --config whole/config.toml --epochs 1 --schedule constant --out part --quiet");
    assert_eq!(code, Some(0), "{said}");
    succeeds(dir.path(), "train --resume --epochs 3 --out part --quiet");
    assert_eq!(weights(&dir.path().join("part")), weights(&whole), "the bits of the run that was not stopped");
    let said = succeeds(dir.path(), &format!("train --resume-or-start {budget} --out whole"));
    assert!(said.contains("network"), "{said}");
    let refused =
        fails(dir.path(), &format!("train --resume-or-start {TINY} --budget-flop {} --out whole", 9 * epoch), 2);
    assert!(refused.contains("--budget-flop is"), "{refused}");
}

#[test]
fn memory_becomes_a_batch_and_seconds_epochs_that_are_written_down() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, said) = run(dir.path(), &format!("train {TINY} --budget-memory 1000000 --budget-seconds 0.5 --out all"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the budget allows ") && said.contains("batches of 20"), "{said}");
    let all = config(&dir.path().join("all"));
    assert_eq!(all.batch, 20);
    assert!(all.epochs >= 1 && all.budget.is_met());
    let said = fails(dir.path(), &format!("train {TINY} --budget-memory 1 --out none"), 2);
    assert!(said.contains("--budget-memory is 1; expected at least ") && said.contains("one image"), "{said}");
    let said = fails(dir.path(), &format!("train {TINY} --budget-seconds 1e-9 --out none"), 2);
    assert!(said.contains("--budget-seconds is ") && said.contains("an epoch of 8 steps"), "{said}");
    let said = fails(dir.path(), &format!("train {TINY} --budget-seconds 1 --epochs 2 --out none"), 2);
    assert!(said.contains("--epochs and --budget-seconds"), "{said}");
    assert!(!dir.path().join("none").exists());
}

#[test]
fn runs_of_a_study_have_their_budgets_too() {
    let dir = tempfile::tempdir().expect("a folder");
    succeeds(dir.path(), &format!("train {TINY} --epochs 1 --out one --quiet"));
    let epoch = operations(&dir.path().join("one"))[0];
    write_study(dir.path(), 2 * epoch, "{ name = 'usual' }, { name = 'narrow', model.width = 0.1 }");
    assert!(succeeds(dir.path(), "study s.toml --verify").contains("can exist"));
    let planned = succeeds(dir.path(), "study s.toml --list");
    assert!(planned.lines().any(|line| line.contains("usual-seed0") && line.contains(" 16 ")), "{planned}");
    succeeds(dir.path(), "study s.toml --out runs");
    let epochs = |run: &str| operations(&dir.path().join("runs/runs").join(run)).len();
    assert_eq!(epochs("usual-seed0"), 2);
    assert!(epochs("narrow-seed0") > 2, "an epoch of a narrower network costs less");
    // Nothing is left to do, and the settings found are those of the study.
    succeeds(dir.path(), "study s.toml --out runs");
    let rows = std::fs::read_to_string(dir.path().join("runs/rows.csv")).expect("rows");
    assert!(rows.contains(&(2 * epoch).to_string()), "{rows}");
}

#[test]
fn runs_that_cannot_pay_for_an_epoch_are_named_before_and_leave_the_others_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    succeeds(dir.path(), &format!("train {TINY} --epochs 1 --out one --quiet"));
    let epoch = operations(&dir.path().join("one"))[0];
    write_study(dir.path(), 2 * epoch, "{ name = 'wide', model.width = 2.0 }, { name = 'usual' }");
    let said = fails(dir.path(), "study s.toml --verify", 2);
    assert!(said.contains("1 of 2 runs cannot exist") && said.contains("wide-seed0: "), "{said}");
    assert!(said.contains("an epoch of 8 steps"), "{said}");
    let (code, said) = run(dir.path(), "study s.toml --out runs");
    assert_eq!(code, Some(2), "{said}");
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("{words}: {said}"));
    assert!(place("wide-seed0: ") < place("usual-seed0: test"), "said when it happens: {said}");
    assert_eq!(operations(&dir.path().join("runs/runs/usual-seed0")).len(), 2);
}

/// A study of runs of the size of [`TINY`], with so many operations each.
fn write_study(folder: &Path, operations: u64, values: &str) {
    let text = format!(
        "name = 's'\nquestion = '?'\n[base]\nbatch = 20\nthreads = 1\nbudget.flop = {operations}.0\n\
         data = {{ dataset = 'glyphs', train-limit = 160, test-limit = 20 }}\nmodel = {{ name = 'mlp', width = 0.25 }}\n\
         [[axis]]\nname = 'size'\nvalues = [ {values} ]\n"
    );
    std::fs::write(folder.join("s.toml"), text).expect("a file");
}
