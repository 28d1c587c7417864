//! Parts of a sample by the binary: a scalar for each, and what cannot be cut.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use common::{run, write_batch};

/// Two images of 9x9 pixels become 2x2 tokens of 64 channels.
const NETWORK: &str = "--model local-mixer --width 0.125 --head mean-linear";

#[test]
fn a_step_has_a_scalar_for_every_part_of_a_sample() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, said) = run(dir.path(), &format!("init {NETWORK} --image 1x9x9 --classes 3 --out w.safetensors"));
    assert_eq!(code, Some(0), "{said}");
    write_batch(&dir.path().join("b.safetensors"), [2, 1, 9, 9], &[0, 2]);
    let step = format!("step {NETWORK} --weights w.safetensors --batch b.safetensors --out u.safetensors");
    for (flags, shape) in [
        ("--granularity patch", [1, 2 * 4]),
        ("--granularity patch --patches 1", [1, 2]),
        ("--granularity group --groups 8", [1, 2 * 8]),
        ("--granularity patch-group --patches 2 --groups 16 --directions 2", [2, 2 * 4 * 16]),
    ] {
        let (code, said) = run(dir.path(), &format!("{step} --space activity --target local --guess gaussian {flags}"));
        assert_eq!(code, Some(0), "{flags}: {said}");
        let read = std::fs::read(dir.path().join("u.safetensors")).expect("an update");
        let file = safetensors::SafeTensors::deserialize(&read).expect("safetensors");
        assert_eq!(file.tensor("scalar/blocks.1").expect("a slot's scalars").shape(), shape, "{flags}");
    }
    for (flags, expected) in [
        ("--granularity patch --patches 3", "--patches is 3; expected at most 2"),
        ("--granularity group --groups 5", "--groups is 5; expected a divisor of the 64 channels of block 0"),
        ("--patches 3", "--granularity patch or patch-group, or --patches off"),
    ] {
        let (code, said) = run(dir.path(), &format!("{step} --space activity {flags}"));
        assert!(code == Some(2) && said.contains(expected), "{flags}: {said}");
    }
}

#[test]
fn a_run_that_no_output_can_be_cut_for_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let train = "train --dataset glyphs --train-limit 16 --test-limit 16 --batch 8 --epochs 1 --model mlp --out run";
    let (code, said) = run(dir.path(), &format!("{train} --space activity --granularity patch"));
    assert!(code == Some(2) && said.contains("--patches is 2; expected at most 1"), "{said}");
    assert!(!dir.path().join("run").exists());
}
