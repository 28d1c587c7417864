//! Heads that copy later blocks by the binary: what their flags change, what they cost, and runs that go on.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const NETWORK: &str = "--model small-net --width 0.125";

/// Exit code, standard output and standard error.
fn run(dir: &Path, arguments: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foregrad"));
    let output = command.current_dir(dir).args(arguments.split_whitespace()).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn json(dir: &Path, arguments: &str) -> serde_json::Value {
    let (code, out, said) = run(dir, &format!("{arguments} --json"));
    assert_eq!(code, Some(0), "`{arguments}`: {said}");
    serde_json::from_str(&out).expect("json")
}

/// Operations of a step of local learning on two images, as they are counted and as they are planned.
fn operations(dir: &Path, heads: &str) -> [u64; 2] {
    let measured = "--methods local-learning --batch 2 --steps 1 --warm-up 0";
    let report = json(dir, &format!("bench {NETWORK} --image 3x16x16 {heads} {measured}"));
    let counted = report["methods"][0]["operations"].as_u64().expect("a count");
    let shown = json(dir, &format!("model show small-net --width 0.125 --image 3x16x16 {heads}"));
    let flop = |part: &serde_json::Value| part["flop"].as_u64().expect("a count");
    let classifier = shown["parts"].as_array().and_then(|parts| parts.last()).expect("a classifier");
    // Each block and its weights' cotangents; all three maps of heads; the classifier's own input cotangent, which the last block wants.
    let planned = 2 * flop(&shown["total"]) + flop(classifier) + 3 * flop(&shown["heads"]);
    [counted, 2 * planned]
}

#[test]
fn a_step_costs_what_is_planned_and_every_flag_changes_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut all = Vec::new();
    for heads in [
        "--head linear",
        "--head dgl",
        "--head dgl-mlp",
        "--head dgl-cnn",
        "--head augmented --head-depth 0",
        "--head augmented --head-depth 1",
        "--head augmented",
        "--head augmented --head-depth 3",
        "--head augmented --head-depth 3 --head-pyramid 1",
        "--head augmented --head-depth 3 --head-width 0.0625",
    ] {
        let [counted, planned] = operations(dir.path(), heads);
        assert_eq!(counted, planned, "{heads}");
        assert!(!all.contains(&counted) || heads.ends_with("--head-depth 0"), "{heads}: {counted} in {all:?}");
        all.push(counted);
    }
    assert_eq!(operations(dir.path(), "--head augmented --head-depth 2"), [all[6]; 2], "the usual depth is 2");
}

#[test]
fn a_run_that_goes_on_ends_with_the_weights_of_one_that_never_stopped() {
    let dir = tempfile::tempdir().expect("a folder");
    let heads = "--head augmented --head-depth 3 --head-pyramid 0.5";
    let tiny = format!("{NETWORK} {heads} --dataset glyphs --train-limit 40 --test-limit 20 --batch 20 --threads 1");
    let train = |arguments: &str| {
        let (code, _, said) = run(dir.path(), &format!("train {arguments}"));
        assert_eq!(code, Some(0), "{arguments}: {said}");
    };
    train(&format!("{tiny} --epochs 2 --out whole"));
    train(&format!("{tiny} --epochs 1 --out parts"));
    train("--resume --epochs 2 --out parts");
    let bytes =
        |folder: &str| std::fs::read(dir.path().join(folder).join("checkpoint-00000004.safetensors")).expect("one");
    let weights = |folder: &str| {
        let bytes = bytes(folder);
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.tensors().into_iter().filter(|(name, _)| !name.starts_with("optimizer."));
        tensors.map(|(name, tensor)| (name, tensor.data().to_vec())).collect::<BTreeMap<_, _>>()
    };
    let whole = weights("whole");
    assert!(whole.keys().any(|name| name.starts_with("heads.0.2.")), "the first head has three copies");
    let parts = weights("parts");
    let differ: Vec<_> = whole.iter().filter(|(name, bytes)| parts.get(*name) != Some(*bytes)).collect();
    assert!(whole.len() == parts.len() && differ.is_empty(), "{} tensors differ", differ.len());
}

#[test]
fn flags_of_copies_are_refused_where_nothing_is_copied() {
    let dir = tempfile::tempdir().expect("a folder");
    for (flags, words) in [
        ("--head-depth 2", "--head augmented, or --head-depth off"),
        ("--head mlp --head-pyramid 0.5", "--head augmented, or --head-pyramid off"),
        ("--head augmented --head-depth 1 --head-pyramid 0.5", "--head-depth 2, or --head-pyramid off"),
        ("--head augmented --head-depth 9999", "--head-depth is 9999; expected at most 64"),
        ("--head augmented --head-pyramid -1", "--head-pyramid is -1"),
    ] {
        for command in ["train", "bench", "model show small-net", "init --out w.safetensors --image 1x8x8"] {
            let (code, _, said) = run(dir.path(), &format!("{command} {flags}"));
            assert!(code == Some(2) && said.contains(words), "{command} {flags}: {said}");
        }
    }
}
