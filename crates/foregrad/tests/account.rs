//! A step in the names of its blocks is the same step.

mod common;

use common::Case;
use foregrad::estimate::METHODS;
use foregrad::models::{HeadKind, Norm};
use foregrad::{account, ops};

#[test]
fn a_step_whose_arrays_have_owners_gives_the_same_bits() {
    let case = Case::new("small-net", Norm::Group, Norm::Group, HeadKind::MeanLinear);
    let outputs = (0..case.depth()).map(|block| {
        let [_, channels, height, width] = case.images_after(block);
        [channels, height, width]
    });
    let outputs: Vec<_> = outputs.collect();
    let mut compared = 0;
    for method in METHODS {
        let config = method.config();
        if config.validate_outputs(&outputs).is_err() {
            continue;
        }
        let (input, state) = (case.input(), Default::default());
        let plain = foregrad::estimate::step(&config, &case.network, &input, &state).expect("a step");
        let named = account::step(&config, &case.network, &input, &state).expect("a step");
        let bits = |update: &foregrad::vector::ParamVector| -> Vec<(String, Vec<u64>)> {
            let values = |values| ops::host::<1>(values).into_iter().map(f64::to_bits).collect();
            update.iter().map(|(path, tensor)| (path.to_string(), values(tensor.values()))).collect()
        };
        assert_eq!(bits(&plain.update), bits(&named.update), "{}", method.name);
        compared += 1;
    }
    assert!(compared > 20, "{compared} methods");
}
