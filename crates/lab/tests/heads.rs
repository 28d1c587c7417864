//! Runs whose heads are more than one net a block.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod runs;

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
