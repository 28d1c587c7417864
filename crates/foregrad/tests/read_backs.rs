//! How often a step waits for a device. Burn's operations on the CPU stand for it: they are what runs on a GPU.

mod common;

use common::Case;
use foregrad::estimate::Method;
use foregrad::models::{HeadKind, Norm};
use foregrad::ops::read_backs;
use foregrad_kernels::instructions::{self, Path, VARIABLE};

/// A process chooses once what computes, so the test goes on in another one.
fn on_burns_operations(test: &str) -> bool {
    if instructions::path() == Path::Composed {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test's binary"));
    let done = child.args(["--exact", test, "--nocapture"]).env(VARIABLE, "composed").output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    false
}

#[test]
fn a_step_reads_a_few_times_a_block_whatever_its_tensors() {
    if !on_burns_operations("a_step_reads_a_few_times_a_block_whatever_its_tensors") {
        return;
    }
    let case = Case::new("small-net", Norm::Batch, Norm::Batch, HeadKind::Linear).learnt();
    let (blocks, tensors) = (case.depth() as u64 - 1, case.network.parameters().iter().count() as u64);
    assert!(tensors > 4 * blocks, "a read a tensor would be seen: {tensors} tensors in {blocks} blocks");
    let count = |name: &str| {
        let config = Method::named(name).expect("a method").config();
        let before = read_backs();
        case.step(&config);
        read_backs() - before
    };
    let of_a_loss = 2; // its value, and what its metric is computed of
    // The gradients' norms.
    assert_eq!(count("backprop"), of_a_loss + 1);
    // The loss along the direction.
    assert_eq!(count("gaussian-weight-network"), of_a_loss + 1);
    // With a loss for each block's head, and the square of each block's guess.
    assert_eq!(count("local-weight-network-forward"), of_a_loss + 1 + blocks * (of_a_loss + 1));
    // Each sample's guess is divided by its norm, after its largest magnitude, and its derivatives are read by themselves.
    assert_eq!(count("local-activity-forward"), of_a_loss + blocks * (of_a_loss + 3));
    // The norms of a block's parts are read together; each part's derivative is a tangent of its own.
    let parts = 3;
    assert_eq!(count("local-weight-tensor-forward"), of_a_loss + blocks * (of_a_loss + 1 + parts));
}
