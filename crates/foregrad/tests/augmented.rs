//! Heads that copy later blocks: what they copy, and what they are where they copy all.

mod common;

use common::{Case, double, relative};
use foregrad::estimate::{EstimatorConfig, Horizon, Mode};
use foregrad::layers::{Conv2dConfig, Sequential};
use foregrad::losses::LabelKind;
use foregrad::models::{
    BlockSpec, HeadKind, ModelConfig, Network, NetworkSpec, Norm, PlannedHead, Registry, head_prefix,
};
use foregrad::rng::Stream;
use foregrad::vector::ParamVector;

/// The heads of a network for images of 3x32x32 and 10 classes.
fn heads(config: &ModelConfig) -> Vec<Option<PlannedHead>> {
    let planned = config.plan([3, 32, 32], 10, &Registry::default()).expect("a network");
    planned.blocks.into_iter().map(|block| block.head).collect()
}

fn augmented(depth: usize) -> ModelConfig {
    ModelConfig { head: HeadKind::Augmented, head_depth: Some(depth), ..Default::default() }
}

/// ResNet-32 for small images, one unit a block: a stem, and five residual units of 16, 32 and 64 channels each.
fn resnet32() -> ModelConfig {
    let conv = |outputs: usize, stride: usize| {
        format!("{{ layer = 'conv2d', outputs = {outputs}, kernel = 3, padding = 1, stride = {stride} }}")
    };
    let unit = |unit: usize| {
        let (outputs, stride) = (16 << (unit / 5), if unit > 0 && unit.is_multiple_of(5) { 2 } else { 1 });
        let projection =
            format!("[{{ layer = 'conv2d', outputs = {outputs}, kernel = 1, stride = {stride} }}, 'norm']");
        let shortcut = if stride == 2 { format!(", shortcut = {projection}") } else { String::new() };
        let body = format!("[{}, 'norm', 'relu', {}, 'norm']", conv(outputs, stride), conv(outputs, 1));
        format!("{{ layers = [{{ layer = 'residual', body = {body}{shortcut} }}, 'relu'] }}")
    };
    let units: Vec<String> = (0..15).map(unit).collect();
    let text =
        format!("name = 'units'\nblocks = [{{ layers = [{}, 'norm', 'relu'] }}, {}]", conv(16, 1), units.join(", "));
    let spec = NetworkSpec::from_toml(&text).expect("a network");
    ModelConfig { name: spec.name.clone(), network: Some(spec), ..Default::default() }
}

/// Depth, head, and the weights and operations of the published auxiliary network there, as `networks/auxiliary_nets.py` makes it.
const PUBLISHED: [(usize, usize, u64, u64); 12] = [
    (1, 0, 48266, 24118528),
    (1, 9, 58506, 7341312),
    (1, 14, 74762, 9438464),
    (2, 0, 72906, 14681344),
    (2, 4, 72906, 14681344),
    (2, 9, 132362, 16778496),
    (2, 14, 74634, 9438464),
    (3, 0, 77578, 24118528),
    (3, 4, 146890, 24118528),
    (5, 9, 298890, 45090048),
    (9, 0, 272010, 80741632),
    (9, 5, 424522, 80741632),
];

#[test]
fn heads_of_resnet_32_are_as_large_as_the_published_ones() {
    for (depth, block, weights, flop) in PUBLISHED {
        let config = ModelConfig { head: HeadKind::Augmented, head_depth: Some(depth), ..resnet32() };
        let head = heads(&config)[block].clone().expect("a head");
        assert_eq!((head.weights, head.flop), (weights, flop), "depth {depth}, block {block}");
    }
}

/// Block, and the weights of the published heads of its channels (16, 32 or 64) there, hidden layers without their biases.
const PUBLISHED_DGL: [(usize, HeadKind, u64); 5] = [
    (0, HeadKind::Dgl, 3 * (16 * 16 + 32) + 2 * (64 * 64 + 128) + 650),
    (6, HeadKind::Dgl, 3 * (32 * 32 + 64) + 2 * (128 * 128 + 256) + 1290),
    (14, HeadKind::Dgl, 3 * (64 * 64 + 128) + 2 * (256 * 256 + 512) + 2570),
    (0, HeadKind::DglMlp, 3 * (64 * 64 + 128) + 650),
    (14, HeadKind::DglCnn, 2 * (9 * 64 * 64 + 128) + 128 + 2570),
];

#[test]
fn heads_of_decoupled_greedy_learning_are_as_large_as_the_published_ones() {
    for (block, head, weights) in PUBLISHED_DGL {
        let found = heads(&ModelConfig { head, ..resnet32() })[block].clone().expect("a head").weights;
        assert_eq!(found, weights, "{head}, block {block}");
    }
}

#[test]
fn a_pyramid_takes_copies_from_later_heads() {
    let of = |depth, pyramid| {
        let (head_depth, head_pyramid) = (Some(depth), pyramid);
        let config = ModelConfig { head: HeadKind::Augmented, head_depth, head_pyramid, ..resnet32() };
        heads(&config).into_iter().flatten().map(|head| head.weights).collect::<Vec<_>>()
    };
    // The published depths for d = 9, c = 1 and d = 6, c = 0.5.
    for (depth, pyramid, depths) in [
        (9, 1.0, [9, 8, 8, 7, 7, 6, 6, 5, 4, 4, 3, 3, 2, 2, 1]),
        (6, 0.5, [6, 6, 6, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4]),
    ] {
        let lessened = of(depth, Some(pyramid));
        for (block, own) in depths.into_iter().enumerate() {
            assert_eq!(lessened[block], of(own, None)[block], "c = {pyramid}, block {block}");
        }
    }
    assert_eq!(of(3, Some(0.0)), of(3, None));
}

#[test]
fn a_head_is_made_as_wide_as_is_asked_for() {
    let weights = |head_width| {
        let config = ModelConfig { width: 0.5, head_width, ..augmented(2) };
        heads(&config).into_iter().flatten().map(|head| head.weights).collect::<Vec<_>>()
    };
    let (usual, half) = (weights(None), weights(Some(0.25)));
    assert_eq!(usual, weights(Some(0.5)));
    assert!(half.iter().zip(&usual).all(|(half, usual)| 5 * half < 3 * usual), "{half:?} {usual:?}");
}

/// The paths of later blocks' parameters, with those of their copies behind a block.
fn pairs(spec: &NetworkSpec, block: usize) -> Vec<(String, String)> {
    let of_block = |(number, later): (usize, &BlockSpec)| {
        let path = later.path.clone().unwrap_or_else(|| format!("blocks.{number}"));
        let before = if path.is_empty() { path } else { format!("{path}.") };
        let copy = format!("{}.{}", head_prefix(block), number - block - 1);
        let layer = move |(layer, own): (usize, &foregrad::layers::LayerSpec)| {
            let name = own.name.clone().unwrap_or_else(|| layer.to_string());
            (format!("{before}{name}"), format!("{copy}.{layer}"))
        };
        later.layers.iter().enumerate().map(layer).collect::<Vec<_>>()
    };
    let later = spec.blocks.iter().enumerate().skip(block + 1);
    let classifier = ("fc".to_string(), format!("{}.output", head_prefix(block)));
    later.flat_map(of_block).chain([classifier]).collect()
}

/// The weights of later blocks and of the classifier under the paths of a head's copies.
fn of_the_trunk(network: &Network, spec: &NetworkSpec, block: usize) -> ParamVector {
    let (state, mut all) = (network.state(), ParamVector::default());
    pairs(spec, block).iter().for_each(|(own, copy)| all.extend(state.scoped(own).prefixed(copy)));
    all
}

#[test]
fn a_head_of_all_later_blocks_with_their_weights_is_the_rest_of_the_network() {
    // Not resnet18-2b: its second block has a stride of 4, a copy one of 2.
    for name in ["small-net", "resnet18-8b", "resnet18-16b", "mlp", "local-mixer"] {
        let (width, head_width) = (0.125, (name == "resnet18-16b").then_some(0.25));
        let config = ModelConfig { name: name.into(), width, head_width, ..augmented(16) };
        let mut case = Case::with(&config, [2, 9, 11], 5);
        let spec = config.spec().expect("a network with a name");
        for block in 0..case.depth() - 1 {
            let weights = of_the_trunk(&case.network, &spec, block);
            let head = case.network.state().scoped(&head_prefix(block));
            assert_eq!(
                head.dimension(),
                weights.dimension(),
                "{name}, head {block} holds the later blocks and no more"
            );
            case.network.assign(&weights);
        }
        let exact = |target| EstimatorConfig {
            guess: "exact".parse().expect("a guess"),
            mode: Mode::Oracle,
            target,
            ..Default::default()
        };
        let [local, global] = [Horizon::LOCAL, Horizon::GLOBAL].map(|target| case.step(&exact(target)).update);
        for block in 0..case.depth() - 1 {
            let own = case.network.block_parameters(block);
            let [local, global] = [&local, &global].map(|update| update.filtered(|path| own.entry(path).is_some()));
            let gap = relative(&local, &global);
            assert!(gap < 1e-12, "{name}, block {block}: {gap:e}");
        }
    }
}

#[test]
fn weights_of_a_head_depend_on_no_other_head() {
    let state = |heads: [&str; 2]| {
        let spec = ModelConfig { pool: false, ..Default::default() }.spec().expect("small-net");
        let mut spec = NetworkSpec { name: "edited".into(), ..spec };
        for (block, head) in heads.into_iter().enumerate() {
            spec.blocks[block].head = Some(foregrad::models::HeadSpec::Named(head.into()));
        }
        let config = ModelConfig { name: "edited".into(), network: Some(spec), width: 0.1, ..augmented(2) };
        config.init([1, 8, 8], 3, 5, &double()).expect("a network").state()
    };
    let [all, other, none] = [["augmented", "augmented"], ["dgl", "augmented"], ["none", "augmented"]].map(state);
    let beyond = |state: &ParamVector| state.filtered(|path| !path.starts_with("heads.0."));
    assert!(all.entry("heads.0.0.0.weight").is_some() && none.entry("heads.0.0.0.weight").is_none());
    assert_eq!(relative(&beyond(&all), &beyond(&other)), 0.0);
    assert_eq!(relative(&beyond(&all), &none), 0.0);
}

#[test]
fn copies_of_one_layer_start_with_weights_of_their_own() {
    let case = Case::with(&ModelConfig { name: "mlp".into(), width: 0.1, ..augmented(2) }, [2, 3, 3], 4);
    let weight = |path: &str| case.network.state().filtered(|own| own == path).prefixed("");
    let [first, second, later] = ["heads.0.0.0.weight", "heads.0.1.0.weight", "heads.1.0.0.weight"].map(weight);
    let [first, second, later] = [first, second, later].map(|one| one.norm());
    assert!(first > 0.0 && first != second && first != later, "{first} {second} {later}");
}

#[test]
fn images_and_blocks_of_any_kind_have_heads_of_every_depth() {
    for name in ["small-net", "resnet18-8b", "resnet18-16b", "resnet18-2b", "mlp", "local-mixer"] {
        for image in [[1, 8, 8], [3, 33, 31], [2, 9, 11]] {
            for depth in 0..6 {
                let config = ModelConfig { name: name.into(), width: 0.0625, ..augmented(depth) };
                for labels in [LabelKind::Classes(3), LabelKind::Values(2)] {
                    let possible = config.validate_for(image, labels);
                    possible.unwrap_or_else(|error| panic!("{name}, {image:?}, {depth}: {error}"));
                }
            }
        }
    }
}

#[test]
fn a_copy_sees_as_many_pixels_as_its_block_where_their_number_counts() {
    let text = "name = 'flat'\nblocks = [
        { layers = [{ layer = 'conv2d', outputs = 8, kernel = 3, padding = 1 }, 'relu'] },
        { layers = [{ layer = 'conv2d', outputs = 8, kernel = 3, padding = 1 }, 'relu', { layer = 'max-pool', kernel = 4 }] },
        { layers = ['flatten', { layer = 'linear', outputs = 20 }, 'relu'] },
    ]";
    let spec = NetworkSpec::from_toml(text).expect("a network");
    let config = |depth| ModelConfig { name: "flat".into(), network: Some(spec.clone()), ..augmented(depth) };
    let weights = |depth: usize, block: usize| heads(&config(depth))[block].clone().expect("a head").weights;
    // 8 channels of 8x8 pixels, as behind the pool; a norm and a linear layer of 20 features.
    assert_eq!(weights(1, 0), 512 * 20 + 20 + 40 + 210);
    assert_eq!(weights(1, 0), weights(1, 1));
    assert_eq!(weights(2, 0), 8 * 8 * 9 + 512 * 20 + 20 + 210);
}

#[test]
fn what_has_no_copies_is_refused_with_what_to_do() {
    let named = |name: &str| ModelConfig { name: name.into(), ..Default::default() };
    let eights = "name = 'eights'\nblocks = [{ layers = ['relu'] }, \
                  { layers = [{ layer = 'conv2d', outputs = 24, kernel = 3, groups = 3, padding = 1 }] }]";
    let eights = NetworkSpec::from_toml(eights).expect("a network");
    let halved =
        ModelConfig { name: "eights".into(), network: Some(eights), head_width: Some(1.0 / 3.0), ..augmented(1) };
    for (config, words) in [
        (
            ModelConfig { head_depth: Some(2), ..named("mlp") },
            &["copies later blocks, so none has a depth", "`model.head = augmented`, or `model.head-depth = off`"][..],
        ),
        (
            ModelConfig { head_pyramid: Some(0.5), ..named("small-net") },
            &["none has a pyramid", "model.head-pyramid = off"],
        ),
        (ModelConfig { head_pyramid: Some(0.5), ..augmented(1) }, &["heads of depth 1", "`model.head-depth = 2`"]),
        (ModelConfig { head_pyramid: Some(-0.5), ..augmented(2) }, &["model.head-pyramid is -0.5", "at least 0"]),
        (ModelConfig { head_pyramid: Some(f64::NAN), ..augmented(2) }, &["model.head-pyramid is NaN"]),
        (augmented(5000), &["model.head-depth is 5000; expected at most 64"]),
        (
            halved,
            &[
                "block 0: head: the head is augmented; expected mlp or cnn",
                "the copy of block 1: layer 0 (conv2d): groups is 3; expected a divisor of 3 input and 8 output channels",
            ],
        ),
    ] {
        let error = config.validate_for([3, 8, 8], 10).expect_err(words[0]).to_string();
        assert!(words.iter().all(|words| error.contains(words)), "{error}");
    }
    let own = NetworkSpec::from_toml(
        "name = 'own'\nblocks = [{ layers = ['relu'], head = 'augmented' }, { layers = ['relu'] }]",
    );
    let own = ModelConfig { name: "own".into(), network: own.ok(), head_depth: Some(1), ..Default::default() };
    own.validate_for([3, 8, 8], 10).expect("a head of its own has the depth");
}

#[test]
fn a_network_of_blocks_by_value_is_told_what_has_copies() {
    let conv = |name: &str| Conv2dConfig::new([2, 2], 1).init(Stream::new(0, name), &double());
    let block = |name: &str| Sequential::new().then(conv(name));
    let built = Network::builder([2, 3, 3], 3).block(block("a")).head(HeadKind::Augmented).block(block("b"));
    let error = built.build(0, &double()).expect_err("no specs").to_string();
    assert!(error.contains("block 0: ") && error.contains("by value") && error.contains("mlp"), "{error}");
}

#[test]
fn copies_may_be_drawn_afresh_and_group_norm_keeps_samples_apart_in_them() {
    let config = ModelConfig { width: 0.125, norm: Norm::Group, head_norm: Norm::Group, ..augmented(2) };
    let case = Case::with(&config, [2, 9, 11], 5);
    let mut updates = Vec::new();
    for name in ["local", "ntk", "fixed-ntk"] {
        let guess: foregrad::estimate::AnyGuess = name.parse().expect("a guess");
        let config = EstimatorConfig { guess, space: foregrad::estimate::Space::Activity, ..Default::default() };
        let step = |mode| case.step(&EstimatorConfig { mode, ..config.clone() }).update;
        let (forward, oracle) = (step(Mode::Forward), step(Mode::Oracle));
        let gap = relative(&forward, &oracle);
        assert!(gap < 1e-10, "{name}: {gap:e}");
        updates.push(forward.scoped("blocks.0").norm());
    }
    assert!(updates[0] != updates[1] && updates[0] == updates[2], "only ntk draws other copies: {updates:?}");
}
