//! Runs whose heads are more than one net a block.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

use std::collections::BTreeMap;
use std::path::Path;

use foregrad::estimate::Horizon;
use foregrad::models::HeadKind;
use foregrad_lab::train::{Changes, Control, RunConfig, RunFolder, Silent, Trainer};
use runs::{cpu, records, run, tensors, tiny};

/// A run of two epochs, and one that was resumed after the first: the same bits.
fn resumes(config: &RunConfig) {
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    run(config, whole.path());
    run(&RunConfig { epochs: 1, ..config.clone() }, parts.path());
    let more = Changes { epochs: Some(2), ..Default::default() };
    let mut rest = Trainer::resume(parts.path(), None, &more, cpu()).expect("a run to go on with");
    rest.run(&Control::default(), &mut Silent).expect("the rest");
    assert_eq!(tensors(whole.path()), tensors(parts.path()));
    for file in ["metrics.jsonl", "probes.jsonl"] {
        assert_eq!(records(whole.path(), file), records(parts.path(), file), "{file}");
    }
}

#[test]
fn a_run_with_heads_for_the_target_is_resumed_to_the_same_bits() {
    let mut config = RunConfig { probe_every: 3, ..tiny() };
    config.estimator.target = Horizon::LOCAL;
    (config.model.head, config.model.target_head) = (HeadKind::Linear, Some(HeadKind::Mlp));
    resumes(&config);
    let dir = tempfile::tempdir().expect("a folder");
    run(&config, dir.path());
    let paths: Vec<String> = tensors(dir.path()).into_iter().map(|(path, _)| path).collect();
    for kept in ["heads.0.0.weight", "target-heads.0.2.weight", "optimizer.buffer.target-heads.0.2.weight"] {
        assert!(paths.iter().any(|path| path == kept), "{kept} in {paths:?}");
    }
    let probes = RunFolder::probes(dir.path()).expect("probes");
    let exact = |value: Option<f64>| value.is_some_and(|value| value < 1e-3);
    assert!(probes.iter().flat_map(|record| &record.blocks).all(|block| exact(block.deviation)), "{probes:?}");
}

#[test]
fn a_run_with_running_copies_is_resumed_to_the_same_bits() {
    let mut config = tiny();
    config.model.head = HeadKind::Ema;
    resumes(&config);
}

/// The weights of a run's newest checkpoint below a path.
fn below(folder: &Path, path: &str) -> BTreeMap<String, Vec<u32>> {
    let own = |name: String| Some(name.strip_prefix(path)?.strip_prefix('.')?.to_string());
    tensors(folder).into_iter().filter_map(|(name, bits)| Some((own(name)?, bits))).collect()
}

#[test]
fn running_copies_follow_the_weights_after_each_step() {
    for (decay, follows) in [(0.0, true), (0.5, false)] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = RunConfig { epochs: 1, ..tiny() };
        (config.model.head, config.model.head_decay) = (HeadKind::Ema, Some(decay));
        run(&config, dir.path());
        let next = below(dir.path(), "blocks.2");
        let copy = below(dir.path(), "heads.1.next.running");
        assert!(next.contains_key("0.weight") && next.keys().eq(copy.keys()), "{:?}", copy.keys());
        let weights = |of: &BTreeMap<String, Vec<u32>>| of["0.weight"].clone();
        assert_eq!(weights(&next) == weights(&copy), follows, "decay {decay}");
    }
}
