//! Checkpointed backprop: whatever the distance between checkpoints, the same bits for as many forward maps as are needed.

mod common;

use common::Case;
use foregrad::check::count_maps;
use foregrad::estimate::{EstimatorConfig, Mode, StepOutput};
use foregrad::models::{HeadKind, ModelConfig, Norm};
use foregrad::ops;

fn backprop(mode: Mode, checkpoint_spacing: usize) -> EstimatorConfig {
    EstimatorConfig { guess: "exact".parse().expect("a guess"), mode, checkpoint_spacing, ..Default::default() }
}

/// Every number of an update, by path.
fn bits(output: &StepOutput) -> Vec<(String, Vec<u64>)> {
    let values = |values| ops::host::<1>(values).into_iter().map(f64::to_bits).collect();
    output.update.iter().map(|(path, entry)| (path.to_string(), values(entry.values()))).collect()
}

#[test]
fn any_distance_between_checkpoints_gives_the_bits_of_backprop() {
    // Without skips, with them, and with layers that draw.
    for (model, side) in [("small-net", 9), ("resnet18-8b", 9), ("vgg8b", 32)] {
        let config = ModelConfig { name: model.into(), width: 0.1, head: HeadKind::Linear, ..Default::default() };
        let case = Case::with(&config, [2, side, side], 4);
        let exact = case.step(&backprop(Mode::Oracle, 1));
        for distance in [1, 2, 3, 4, 5, case.depth() - 1, case.depth(), 100] {
            let again = case.step(&backprop(Mode::Checkpointed, distance));
            assert_eq!(bits(&again), bits(&exact), "{model}, every {distance} blocks");
            assert_eq!(again.evaluations, exact.evaluations, "{model}, every {distance} blocks");
        }
    }
}

/// What a checkpoint saves in memory costs forward maps: all blocks once more, less those of the last segment.
#[test]
fn every_block_before_the_last_segment_is_computed_twice() {
    let case = Case::new("resnet18-8b", Norm::Batch, Norm::Batch, HeadKind::Linear);
    assert_eq!(case.depth(), 8);
    for (distance, again) in [(1, 7), (2, 6), (3, 6), (4, 4), (5, 5), (7, 7), (8, 0), (100, 0)] {
        let counts = count_maps(&backprop(Mode::Checkpointed, distance), &case.network, &case.input());
        assert_eq!(counts.expect("a step").forward, 8 + again, "every {distance} blocks");
    }
}

#[test]
fn settings_without_a_distance_are_those_of_every_block() {
    let old: EstimatorConfig = serde_json::from_str(r#"{"guess": "exact", "mode": "checkpointed"}"#).expect("settings");
    assert_eq!(old, backprop(Mode::Checkpointed, 1));
    let refused = |mode, distance| backprop(mode, distance).validate(6).map_err(|error| error.to_string());
    assert!(refused(Mode::Checkpointed, 0).expect_err("no block").contains("checkpoint-spacing is 0"));
    assert!(refused(Mode::Oracle, 2).expect_err("no checkpoints").contains("estimator.mode = checkpointed"));
    assert_eq!([refused(Mode::Oracle, 1), refused(Mode::Checkpointed, 1000)], [Ok(()), Ok(())]);
}
