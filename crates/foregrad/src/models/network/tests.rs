use super::*;
use burn::tensor::{DType, Device};

fn network(name: &str, image: [usize; 3]) -> Network {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    ModelConfig { name: name.into(), ..Default::default() }.init(image, 10, 0, &placement).expect("a model")
}

#[test]
fn parameter_counts_are_the_published_ones() {
    assert_eq!(network("resnet18-8b", [3, 32, 32]).trunk_dimension(), 11_173_962);
    assert_eq!(network("resnet18-2b", [3, 32, 32]).trunk_dimension(), 11_173_962);
    assert_eq!(network("resnet18-16b", [3, 32, 32]).trunk_dimension(), 11_000_138);
    // The published network's, less one bias for each of 64 tokens in three blocks.
    let [embedding, grouped, blocks] = [48 * 512 + 512, 16 * 32 * 32 + 512, 3];
    let published = embedding + grouped + blocks * (64 * 64 + 64 + 512 * 512 + 512 + grouped) + 512 * 10 + 10;
    assert_eq!(network("local-mixer", [3, 32, 32]).trunk_dimension(), published - blocks * 64);
    assert_eq!(network("resnet32", [3, 32, 32]).trunk_dimension(), 466_906);
    assert_eq!(network("resnet110", [3, 32, 32]).trunk_dimension(), 1_730_714);
    // The published 8.9 and 11.6 millions, less the biases before the norms.
    assert_eq!(network("vgg8b", [3, 32, 32]).trunk_dimension(), 8_903_434 - (2_176 + 1_024));
    assert_eq!(network("vgg11b", [3, 32, 32]).trunk_dimension(), 11_559_946 - (2_944 + 1_024));
}

#[test]
fn blocks_are_joined_without_another_weight_and_only_where_they_can_be() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let joined = |name: &str, blocks| ModelConfig { name: name.into(), width: 0.25, blocks, ..Default::default() };
    let trunk = |blocks| {
        let network = joined("resnet32", blocks).init([3, 8, 8], 10, 0, &placement).expect("a model");
        (network.depth(), network.state().filtered(|path| !path.starts_with("heads.")))
    };
    let (depth, state) = trunk(None);
    assert_eq!(depth, 16);
    for blocks in [1, 4, 15] {
        let (depth, other) = trunk(Some(blocks));
        assert_eq!((depth, state.clone().axpy(-1.0, &other).norm()), (blocks, 0.0));
    }
    for (name, blocks, expected) in [
        ("resnet32", 0, "from 1 to 16 for resnet32"),
        ("resnet110", 56, "from 1 to 55 for resnet110"),
        ("vgg8b", 2, "those of resnet32 and resnet110 can be joined"),
    ] {
        let error = joined(name, Some(blocks)).validate().expect_err(expected).to_string();
        assert!(error.starts_with(&format!("model.blocks is {blocks}")) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_norm_before_a_pool_is_refused_where_the_classifier_has_none() {
    let config = ModelConfig { name: "vgg8b".into(), classifier_norm: true, ..Default::default() };
    let error = config.validate().expect_err("no pool").to_string();
    assert_eq!(error, "model.classifier-norm is on; expected off for vgg8b: its classifier has no pool");
}

#[test]
fn residual_networks_are_named_as_in_torchvision() {
    let state = network("resnet18-8b", [3, 32, 32]).state();
    for path in ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight"] {
        assert!(state.entry(path).is_some(), "{path} is missing");
    }
    assert_eq!(state.entry("fc.weight").expect("a classifier").shape(), [10, 512]);
    assert!(state.entry("heads.6.0.weight").is_some());
}

#[test]
fn every_model_takes_odd_images_of_one_channel() {
    for Model { name, .. } in MODELS {
        let network = network(name, [1, 28, 28]);
        assert_eq!(network.heads.len() + 1, network.depth(), "{name}");
    }
}

#[test]
fn assigning_its_own_state_changes_nothing_and_another_changes_all() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let config = ModelConfig { width: 0.1, ..Default::default() };
    let mut first = config.init([1, 12, 12], 10, 0, &placement).expect("a model");
    let second = config.init([1, 12, 12], 10, 1, &placement).expect("a model");
    first.assign(&second.state());
    assert_eq!(first.state().axpy(-1.0, &second.state()).norm(), 0.0);
}
