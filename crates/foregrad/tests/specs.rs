//! Networks as data: the same bits by name and by spec, errors that name their place, and no spec that panics.

mod common;

use burn::tensor::{DType, Device, Tensor};
use common::{Case, double, largest_deviation};
use foregrad::check::layer_examples;
use foregrad::estimate::{EstimatorConfig, Mode};
use foregrad::layers::{Layer, Phase, Wanted};
use foregrad::models::{HeadKind, MODELS, Model, ModelConfig, NetworkSpec, Norm, Registry};
use foregrad::rng::{Placement, Stream};

/// A model that is a spec of this text.
fn model(text: &str) -> foregrad::Result<ModelConfig> {
    let spec = NetworkSpec::from_toml(text)?;
    Ok(ModelConfig { name: spec.name.clone(), network: Some(spec), ..Default::default() })
}

/// What is wrong with a spec for images of 3x8x8 and 10 classes.
fn wrong(text: &str) -> String {
    let planned = model(text).and_then(|model| model.plan([3, 8, 8], 10, &Registry::default()));
    planned.expect_err(text).to_string()
}

#[test]
fn a_network_by_name_and_by_its_spec_have_the_same_bits() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    for Model { name, .. } in MODELS {
        for (norm, head) in
            [(Norm::Batch, HeadKind::Cnn), (Norm::Group, HeadKind::Mlp), (Norm::Batch, HeadKind::Predsim)]
        {
            let named =
                ModelConfig { name: name.to_string(), width: 0.06, norm, head_norm: norm, head, ..Default::default() };
            let spec = NetworkSpec::from_toml(&named.spec().expect("a spec").to_toml()).expect("its own text");
            assert_eq!(spec, named.spec().expect("a spec"), "{name}");
            let written = ModelConfig { network: Some(spec), ..named.clone() };
            let state = |config: &ModelConfig| config.init([1, 17, 16], 4, 5, &placement).expect("a network").state();
            let [by_name, by_spec] = [&named, &written].map(state);
            assert_eq!(by_name.paths().collect::<Vec<_>>(), by_spec.paths().collect::<Vec<_>>());
            assert_eq!(by_name.axpy(-1.0, &by_spec).norm(), 0.0, "{name}");
        }
    }
}

#[test]
fn settings_of_names_are_in_the_spec_and_refused_beside_it() {
    let named = ModelConfig { pool: false, classifier_norm: true, ..Default::default() };
    let text = named.spec().expect("a spec").to_toml();
    assert!(!text.contains("\"avg-pool\""), "{text}");
    let of_spec = model(&text).expect("its own text");
    assert_eq!(of_spec.spec().expect("a spec").classifier.len(), 3);
    for (config, words) in [
        (ModelConfig { pool: false, ..of_spec.clone() }, "model.pool is off; expected no value"),
        (ModelConfig { blocks_per_stage: 3, ..of_spec.clone() }, "model.blocks-per-stage is 3"),
        (ModelConfig { classifier_norm: true, ..of_spec.clone() }, "model.classifier-norm is on"),
        (ModelConfig { blocks: Some(2), ..of_spec.clone() }, "model.blocks is 2; expected no value"),
        (ModelConfig { name: "mlp".into(), ..of_spec }, "model.name is mlp; expected `small-net`"),
    ] {
        let error = config.validate().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn heads_have_a_width_of_their_own() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let narrow = ModelConfig { width: 0.125, ..Default::default() };
    let state = |head_width| {
        let config = ModelConfig { head_width, ..narrow.clone() };
        config.init([1, 12, 10], 4, 5, &placement).expect("a network").state()
    };
    let [same, own, wide] = [None, Some(0.125), Some(0.5)].map(state);
    assert_eq!(same.axpy(-1.0, &own).norm(), 0.0, "the heads are as wide as the trunk");
    let channels = |state: &foregrad::vector::ParamVector| state.entry("heads.2.0.weight").expect("a head").shape()[0];
    assert_eq!([channels(&own), channels(&wide)], [4, 16]);
    let trunk = |state: foregrad::vector::ParamVector| state.filtered(|path| !path.starts_with("heads."));
    assert_eq!(trunk(wide).axpy(-1.0, &trunk(own)).norm(), 0.0, "the trunk is the same");
}

/// Specs that mean nothing, each with what must be said of it.
const BROKEN: &[(&str, &str)] = &[
    ("blocks = []", "the number of blocks is 0"),
    ("blocks = [{ layers = [] }]", "block 0: the number of layers is 0"),
    (
        "blocks = [{ layers = ['conv3d'] }]",
        "block 0: layer 0 (conv3d): unknown layer `conv3d` (did you mean `conv2d`?)",
    ),
    (
        "blocks = [{ layers = ['relu', { layer = 'conv2d', outputs = 4, kernel = 3, strid = 2 }] }]",
        "block 0: layer 1 (conv2d): unknown setting `strid` (did you mean `stride`?)",
    ),
    ("blocks = [{ layers = [{ layer = 'conv2d', kernel = 3 }] }]", "block 0: layer 0 (conv2d): outputs is missing"),
    (
        "blocks = [{ layers = ['relu'] }, { layers = ['relu', { layer = 'linear', outputs = 5 }] }]",
        "block 1: layer 1 (linear): the input is 3x8x8; expected features, Nx1x1: put a `flatten`",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 4, kernel = 3, stride = 0 }] }]",
        "block 0: layer 0 (conv2d): stride is 0; expected at least 1",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 4, kernel = 0 }] }]",
        "block 0: layer 0 (conv2d): kernel is 0; expected at least 1",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 0, kernel = 3 }] }]",
        "(conv2d): outputs is 0; expected a number",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 4, kernel = 9 }] }]",
        "block 0: layer 0 (conv2d): the input is 3x8x8; expected at least 9x9 pixels",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 4, kernel = 3, padding = 3 }] }]",
        "(conv2d): padding is 3; expected less than the kernel, 3",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 4, kernel = 3, groups = 2 }] }]",
        "(conv2d): groups is 2; expected a divisor of 3 input and 4 output channels",
    ),
    (
        "blocks = [{ layers = [{ layer = 'group-norm', groups = 2 }] }]",
        "(group-norm): groups is 2; expected a divisor of 3",
    ),
    (
        "blocks = [{ layers = [{ layer = 'layer-norm', groups = 2, affine = false }] }]",
        "(layer-norm): groups is 2; expected a divisor of 3",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 4, kernel = 3, groups = 'many' }] }]",
        "(conv2d): groups is many; expected a number, or `inputs`",
    ),
    ("blocks = [{ layers = [{ layer = 'dropout', rate = 1.0 }] }]", "layer 0 (dropout): rate is 1; expected from 0"),
    ("blocks = [{ layers = [{ layer = 'dropout', rate = nan }] }]", "expected a finite number, text, or a list"),
    ("blocks = [{ layers = [{ layer = 'adaptive-avg-pool', bins = 0 }] }]", "(adaptive-avg-pool): bins is 0"),
    (
        "blocks = [{ layers = [{ layer = 'max-pool', padding = 2 }] }]",
        "(max-pool): padding is 2; expected at most half",
    ),
    (
        "blocks = [{ layers = [{ layer = 'max-pool', kernel = 9 }] }]",
        "(max-pool): the input is 3x8x8; expected at least 9x9",
    ),
    ("blocks = [{ layers = [{ layer = 'position-linear', height = 0 }] }]", "(position-linear): height is 0"),
    (
        "blocks = [{ layers = [{ name = 'a', layer = 'relu' }, { name = 'a', layer = 'relu' }] }]",
        "block 0: layer a (relu): the name is `a`; expected one that no other layer of the chain has",
    ),
    (
        "blocks = [{ path = 'x', layers = ['layer-norm'] }, { path = 'x', layers = ['layer-norm'] }]",
        "block 1: layer 0 (layer-norm): the path is `x.0`",
    ),
    ("blocks = [{ layers = [{ name = 'a b', layer = 'relu' }] }]", "the name is `a b`; expected letters"),
    (
        "blocks = [{ path = 'heads', layers = ['relu'] }]",
        "block 0: the name is `heads`; expected a name without `heads`",
    ),
    ("blocks = [{ path = 'module.a', layers = ['relu'] }]", "a name without `module`"),
    ("blocks = [{ path = 'estimator', layers = ['relu'] }]", "a name without `estimator`"),
    ("blocks = [{ layers = [{ layer = 'relu', name = 'optimizer' }] }]", "a name without `optimizer`"),
    (
        "blocks = [{ layers = [{ layer = 'residual', body = ['flatten'] }] }]",
        "block 0: layer 0 (residual): the output of the body is 192x1x1; expected that of the shortcut, 3x8x8",
    ),
    (
        "blocks = [{ layers = [{ layer = 'residual', body = [{ layer = 'linear', outputs = 2 }] }] }]",
        "block 0: layer 0 (residual): body: layer 0 (linear): the input is 3x8x8",
    ),
    (
        "blocks = [{ layers = [{ layer = 'residual', bodi = ['relu'] }] }]",
        "unknown list of layers `bodi` (did you mean `body`?)",
    ),
    ("blocks = [{ layers = [{ layer = 'relu', body = ['relu'] }] }]", "unknown list of layers `body`"),
    (
        "blocks = [{ layers = ['relu'] }]\nclassifier = ['flatten']",
        "classifier: the output is 192x1x1; expected 10x1x1",
    ),
    ("blocks = [{ layers = ['relu'], head = 'cnn' }]", "block 0: head: the head is given; expected none"),
    (
        "blocks = [{ layers = ['relu'], head = 'cnm' }, { layers = ['relu'] }]",
        "block 0: head: unknown head `cnm` (did you mean `cnn`?); available: cnn, mlp, linear, mean-linear, predsim, predsim-vgg, similarity, prediction, augmented, dgl, dgl-mlp, dgl-cnn, ema, none",
    ),
    (
        "blocks = [{ layers = ['relu'], head = ['flatten'] }, { layers = ['relu'] }]",
        "block 0: head: the output is 192x1x1; expected 10x1x1, for 10 classes",
    ),
    (
        "blocks = [{ layers = ['relu'], head = { loss = 'hinge', layers = ['relu'] } }, { layers = ['relu'] }]",
        "block 0: head: unknown loss `hinge`",
    ),
    ("head-width = 0\nblocks = [{ layers = ['relu'] }]", "head-width is 0"),
    ("name = '../out'\nblocks = [{ layers = ['relu'] }]", "the name of the network is `../out`"),
    ("blocks = [{ layer = ['relu'] }]", "unknown field `layer`, expected one of `path`, `head`, `layers`"),
    ("blocks = [{ layers = [3] }]", "expected a layer, its kind's name or a table with `layer`, found 3"),
    ("blocks = [{ layers = [{ outputs = 3 }] }]", "expected a layer with its kind"),
    ("blocks = [{ layers = ['relu'], head = 3 }]", "expected a head: a name"),
    // Sizes that no machine is asked to hold.
    (
        "blocks = [{ layers = ['flatten', { layer = 'linear', outputs = 9000000000000000000 }] }]",
        "layer 1 (linear): the output is 9000000000000000000x1x1",
    ),
    (
        "blocks = [{ layers = ['flatten', { layer = 'linear', outputs = 1000000000 }] }]",
        "layer 1 (linear): the number of weights is 193000000000",
    ),
    (
        "blocks = [{ layers = [{ layer = 'conv2d', outputs = 8, kernel = 9000000000000000000, padding = 8999999999999999999 }] }]",
        "block 0: layer 0 (conv2d): the output is 8x",
    ),
    (
        "blocks = [{ layers = [{ layer = 'adaptive-avg-pool', bins = 5000000000000000000 }] }]",
        "the output is 3x5000000000000000000x",
    ),
    (
        "blocks = [{ layers = [{ layer = 'position-linear', height = 9000000000000000000, width = 9 }] }]",
        "the output is 3x9",
    ),
];

#[test]
fn every_broken_spec_names_its_place() {
    let fault = |(text, words): &(&str, &str)| {
        let error = wrong(text);
        (!error.contains(words)).then(|| format!("{text}\nsays  {error}\nlacks {words}"))
    };
    let faults: Vec<_> = BROKEN.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    let deep = (0..20).fold("'relu'".to_string(), |inner, _| format!("{{ layer = 'residual', body = [{inner}] }}"));
    let error = wrong(&format!("blocks = [{{ layers = [{deep}] }}]"));
    assert!(error.contains("the nesting is 17; expected at most 16 layers in each other"), "{error}");
    let wide = ModelConfig { name: "resnet18-8b".into(), width: 40.0, ..Default::default() };
    let error = wide.validate_for([3, 32, 32], 10).expect_err("too wide").to_string();
    assert!(error.starts_with("model.width is 40; expected a smaller factor: "), "{error}");
}

/// Sizes at and beyond the borders of what layers take.
const SIZES: [usize; 8] = [0, 1, 2, 3, 4, 7, 8, 100];

#[test]
fn what_is_not_refused_works_in_all_three_maps() {
    let pick = |stream: Stream, count: usize| stream.permutation(count)[0];
    let (mut made, mut refused) = (0, 0);
    for draw in 0..400u64 {
        let stream = Stream::new(0, "specs").at(draw);
        let size = |name: &str| SIZES[pick(stream.named(name), SIZES.len())];
        let [outputs, kernel, stride, padding, groups] = ["outputs", "kernel", "stride", "padding", "groups"].map(size);
        let layer = match draw % 4 {
            0 | 1 => format!(
                "{{ layer = 'conv2d', outputs = {outputs}, kernel = {kernel}, stride = {stride}, padding = {padding}, groups = {groups} }}"
            ),
            2 => format!("{{ layer = 'max-pool', kernel = {kernel}, stride = {stride}, padding = {padding} }}"),
            _ => format!("{{ layer = 'avg-pool', kernel = {kernel}, stride = {stride} }}"),
        };
        let model = model(&format!("blocks = [{{ layers = [{layer}] }}]")).expect("a spec");
        let image = [4, [1, 5, 8][pick(stream.named("height"), 3)], [2, 8][pick(stream.named("width"), 2)]];
        let Ok(planned) = model.plan(image, 3, &Registry::default()) else {
            refused += 1;
            continue;
        };
        made += 1;
        let network = planned.make(0, &double());
        let [channels, height, width] = image;
        let x: Tensor<4> = stream.normal_tensor([2, channels, height, width], &double());
        let (y, saved) = network.blocks[0].forward(x.clone(), Phase::Train.into());
        assert_eq!(y.dims()[1..], planned.blocks[0].layers.output(), "{layer} of {image:?}");
        let y_dot = network.blocks[0].tangent(&saved, Some(x), &[]).expect("a tangent");
        assert_eq!(y_dot.dims(), y.dims(), "{layer} of {image:?}");
        network.blocks[0].cotangent(&saved, y, Wanted::BOTH);
    }
    assert!(made > 40 && refused > 40, "{made} made, {refused} refused");
}

#[test]
fn a_layer_knows_the_shape_of_its_output() {
    for example in layer_examples(&double()) {
        let [_, channels, height, width] = example.input;
        let x: Tensor<4> = Stream::new(0, "x").normal_tensor(example.input, &double());
        let (y, _) = example.block.forward(x, example.phase.into());
        let told = example.block.output([channels, height, width]).expect("an input that it takes");
        assert_eq!(told, y.dims()[1..], "{}", example.name);
    }
}

/// Token mixing with dropout; one block has no head, another one of layers.
const MIXER: &str = "
name = 'mixer'
[[blocks]]
head = 'none'
layers = [{ layer = 'conv2d', outputs = 6, kernel = 3, stride = 3, bias = true }]
[[blocks]]
layers = [
    { layer = 'residual', name = 'tokens', body = ['layer-norm', 'position-linear', 'gelu', { layer = 'dropout', rate = 0.3 }] },
    { layer = 'residual', name = 'channels', body = ['layer-norm', { layer = 'conv2d', outputs = 6, kernel = 1 }, 'gelu'] },
]
[[blocks]]
head = ['flatten', { layer = 'linear', outputs = 'labels' }]
layers = ['layer-norm', { layer = 'dropout', rate = 0.2, channels = true }]
[[blocks]]
layers = ['position-linear']
";

#[test]
fn a_mixer_has_the_same_update_in_both_modes_in_every_space() {
    // Scalars of single samples are exact where no norm couples samples.
    let config = ModelConfig { head_norm: Norm::Group, ..model(MIXER).expect("a spec") };
    let case = Case::with(&config, [2, 9, 11], 5);
    assert_eq!(case.network.heads.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    for (space, granularity) in
        [("weight", "tensor"), ("weight", "block"), ("activity", "sample"), ("activity", "batch")]
    {
        for target in ["local", "1", "global"] {
            let step = |mode| {
                case.step(&EstimatorConfig {
                    mode,
                    space: space.parse().expect("a space"),
                    granularity: Some(granularity.parse().expect("a granularity")),
                    target: target.parse().expect("a target"),
                    ..Default::default()
                })
            };
            let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(step);
            let deviation = largest_deviation(&forward, &oracle);
            assert!(deviation < 1e-10, "{space}, {granularity}, {target}: {deviation:e}");
        }
    }
}
