//! What `init`, `check`, `eval`, `step` and `bench` refuse instead of guessing or ignoring it.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use std::path::Path;

use burn::tensor::{DType, Device};
use foregrad::rng::Placement;
use foregrad::weights;

use common::{run, succeeds, write_batch};

/// The command ends with exit code 2, says something, and writes nothing.
fn refused(dir: &Path, arguments: &str, expected: &str) {
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let (code, text) = run(dir, arguments);
    assert_eq!(code, Some(2), "`{arguments}`: {text}");
    assert!(text.contains(expected), "`{arguments}`: {text}");
    assert_eq!(names(), before, "`{arguments}` wrote something");
}

const INIT: &str = "init --width 0.05 --image 3x12x12 --classes 4 --out w.safetensors";
const STEP: &str = "step --weights w.safetensors --width 0.05 --out u.safetensors";

#[test]
fn names_and_sizes_that_mean_nothing_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for (arguments, expected) in [
        ("init --out w.safetensors --image 3x32x32xfoo", "--image is 3x32x32xfoo"),
        ("init --out w.safetensors --image 3x0x32", "--image is 3x0x32"),
        ("init --out w.safetensors --image 0x32x32", "--image is 0x32x32"),
        ("init --out w.safetensors --image 3x99999999x99999999", "at most 1073741824 values"),
        ("init --out w.safetensors --image 99999999999999999x32x32", "at most 1073741824 values"),
        ("init --out w.safetensors --classes 0", "invalid value '0' for '--classes <N>'"),
        ("init --out w.safetensors --classes 1", "invalid value '1' for '--classes <N>'"),
        ("init --out w.safetensors --classes 4000000000", "from 2 to 65536"),
        ("init --out w.safetensors --classes 99999999999", "invalid value '99999999999' for '--classes <N>'"),
        ("init --out w.safetensors --width 64", "--width is 64"),
        ("init --out w.safetensors --model resnet18-8b --blocks-per-stage 99999999", "--blocks-per-stage is 99999999"),
        ("check --only flaten", "did you mean `flatten`?"),
        ("check --only flatten,relu", "unknown part `flatten,relu`"),
        ("bench --methods backprp", "did you mean `backprop`?"),
        ("bench --methods forward,", "unknown method ``"),
        ("bench --methods forward --image 3x32", "--image is 3x32"),
        ("bench --methods forward --image 3x32x32xfoo", "--image is 3x32x32xfoo"),
        ("bench --methods forward --model resnet", "unknown model `resnet`"),
        ("bench --methods forward --steps 4294967295 --warm-up 4294967295", "for '--steps <N>'"),
        ("bench --methods forward --warm-up 100001", "for '--warm-up <N>'"),
        ("bench --methods forward --batch 4000000000", "for '--batch <N>'"),
        ("bench --methods forward --batch 0", "invalid value '0' for '--batch <N>'"),
    ] {
        refused(dir.path(), arguments, expected);
    }
}

#[test]
fn only_the_parts_that_are_named_are_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let json = succeeds(dir.path(), "check --only flatten --json --quiet");
    let report: serde_json::Value = serde_json::from_str(&json).expect("json");
    let entries = report["entries"].as_array().expect("entries");
    assert!(entries.len() == 3 && entries.iter().all(|entry| entry["name"] == "flatten"), "{entries:?}");
}

#[test]
fn a_batch_that_does_not_go_with_the_weights_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    succeeds(dir.path(), INIT);
    for (shape, labels, more, expected) in [
        ([2, 1, 12, 12], &[0, 1][..], "", "the weights of this network"),
        ([2, 4, 12, 12], &[0, 1], "", "the weights of this network"),
        ([2, 3, 4, 4], &[0, 1], "", "at least 2x2 pixels, the size of the window"),
        ([2, 3, 12, 0], &[0, 1], "", "`images` of shape"),
        ([0, 3, 12, 12], &[], "", "`images` of shape"),
        ([2, 3, 12, 12], &[0, 4], "", "expected labels from 0 to 3, found 4 of image 1"),
        ([2, 3, 12, 12], &[-1, 0], "", "expected labels from 0 to 3, found -1 of image 0"),
        ([2, 3, 12, 12], &[0], "", "expected 2 labels, one an image, found 1"),
        ([2, 3, 12, 12], &[0, 1, 2], "", "expected 2 labels, one an image, found 3"),
        ([2, 3, 12, 12], &[0, 1], "--classes 5", "the weights of this network"),
        ([2, 3, 12, 12], &[0, 1], "--classes 0", "invalid value '0' for '--classes <N>'"),
        ([2, 3, 12, 12], &[0, 1], "--model mlp", "the weights of this network"),
    ] {
        write_batch(&dir.path().join("b.safetensors"), shape, labels);
        refused(dir.path(), &format!("{STEP} --batch b.safetensors {more}"), expected);
    }
    write_batch(&dir.path().join("b.safetensors"), [2, 3, 12, 16], &[0, 1]);
    succeeds(dir.path(), &format!("{STEP} --batch b.safetensors"));
}

#[test]
fn guesses_that_no_slot_takes_are_refused_with_the_nearest_name() {
    let dir = tempfile::tempdir().expect("a folder");
    succeeds(dir.path(), INIT);
    write_batch(&dir.path().join("b.safetensors"), [2, 3, 12, 12], &[0, 1]);
    let step = format!("{STEP} --batch b.safetensors --guess gaussian");
    succeeds(dir.path(), &step);
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let (own, _) = weights::load(&dir.path().join("u.safetensors"), &placement).expect("a step's output");
    let guessed = |path: &str| path.starts_with("guess/");
    assert!(own.paths().any(guessed));
    succeeds(dir.path(), &format!("{step} --guess-file u.safetensors"));
    let first = own.paths().find(|path| guessed(path)).expect("a guess").to_string();
    let given = |to: &str| {
        let mut changed = own.filtered(|path| path != first);
        changed.insert_entry(to, own.entry(&first).expect("a guess").clone());
        weights::save(&dir.path().join("g.safetensors"), &changed, weights::Metadata::new()).expect("a file");
    };
    let wanted = first.trim_start_matches("guess/").replace('/', ".");
    for (to, expected) in [
        (first.replace("weight", "wieght"), format!("did you mean `{wanted}`?")),
        (first.replace("guess/0", "guess/1"), "unknown guess `1.".into()),
        (first.replace("guess/0/", "guess/0."), "tensors named guess/D/PATH".into()),
        (first.replace("guess", "gues"), "tensors named guess/D/PATH".into()),
    ] {
        assert_ne!(to, first);
        given(&to);
        refused(dir.path(), &format!("{step} --guess-file g.safetensors"), &expected);
    }
    let none = own.filtered(|path| !guessed(path));
    weights::save(&dir.path().join("g.safetensors"), &none, weights::Metadata::new()).expect("a file");
    refused(dir.path(), &format!("{step} --guess-file g.safetensors"), "tensors named guess/D/PATH");
}

/// The heads of a run that trains none have their first weights, and a score of those would be taken for theirs.
#[test]
fn heads_that_never_learnt_have_no_score() {
    let dir = tempfile::tempdir().expect("a folder");
    const TINY: &str = "--width 0.05 --train-limit 32 --test-limit 20 --batch 16 --epochs 1 --quiet";
    for (name, flags, heads) in [
        ("without", "--guess gaussian", 0),
        ("with", "--guess local", 5),
        ("forced", "--guess gaussian --train-heads yes", 5),
    ] {
        succeeds(dir.path(), &format!("train {TINY} {flags} --out {name}"));
        let checkpoint = format!("eval --weights {name}/checkpoint-00000002.safetensors");
        let scores: serde_json::Value =
            serde_json::from_str(&succeeds(dir.path(), &format!("{checkpoint} --json"))).expect("json");
        let scored = scores.as_array().expect("scores").iter().filter(|score| !score.is_null()).count();
        assert_eq!(scored, heads + 1, "{flags}: {scores}");
        assert_eq!(succeeds(dir.path(), &checkpoint).matches("head ").count(), heads, "{flags}");
    }
}

#[test]
fn a_launcher_of_several_processes_is_refused_without_message_passing() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, value) in [("OMPI_COMM_WORLD_SIZE", "2"), ("PMIX_RANK", "0"), ("PMI_SIZE", "3")] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_foregrad"));
        let output = command.arg("train").env(name, value).current_dir(dir.path()).output().expect("the program");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        assert!(text.contains(name) && text.contains("--features mpi"), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}
