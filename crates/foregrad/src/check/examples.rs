//! What is checked: every layer, head and model, on small odd shapes.

use crate::layers::{
    AdaptiveAvgPool, AnyLayer, AvgPool, BatchNorm, Conv2dConfig, Dropout, FeaturePool, Flatten, Gelu, GroupNorm,
    LayerNorm, LeakyRelu, Linear, MaxPool, Phase, PositionLinear, Relu, Residual, Sequential, SpatialDeviation,
};
use crate::losses::{AnyLoss, CrossEntropy, LabelKind, MeanSquaredError, Similarity};
use crate::models::{
    AnyHead, Head, HeadConfig, HeadKind, LossHead, MODELS, Model, ModelConfig, Network, NetworkSpec, NextBlock, Norm,
};
use crate::rng::{Placement, Stream};

/// A layer to check.
pub struct LayerExample {
    /// The layer's name in the list, and what is particular.
    pub name: String,
    /// The layer, alone in a chain.
    pub block: Sequential,
    /// Shape of the input.
    pub input: [usize; 4],
    /// Whether batch statistics are those of the batch.
    pub phase: Phase,
}

/// A head to check.
pub struct HeadExample {
    /// The head's name in the list, and what is particular.
    pub name: String,
    /// The head.
    pub head: AnyHead,
    /// Shape of the block's output.
    pub input: [usize; 4],
    /// The labels.
    pub labels: LabelKind,
}

/// A network to check.
pub struct NetworkExample {
    /// The model's name and normalisation.
    pub name: String,
    /// The network.
    pub network: Network,
    /// Shape of an image.
    pub image: [usize; 3],
    /// The labels.
    pub labels: LabelKind,
}

/// All layers.
pub fn layer_examples(placement: &Placement) -> Vec<LayerExample> {
    let mut examples = Vec::new();
    let mut add = |name: &str, layer: AnyLayer, input| {
        let block = Sequential::new().then(layer);
        examples.push(LayerExample { name: name.to_string(), block, input, phase: Phase::Train });
    };
    let stream = Stream::new(0, "examples");
    let conv = |config: Conv2dConfig| -> AnyLayer { config.init(stream, placement).into() };
    add("conv2d 3x3", conv(Conv2dConfig::new([3, 4], 3)), [2, 3, 5, 7]);
    add("conv2d 3x3, padding, bias", conv(Conv2dConfig::new([3, 4], 3).padding(1).bias()), [2, 3, 5, 7]);
    add("conv2d 3x3, stride 2, padding", conv(Conv2dConfig::new([2, 5], 3).padding(1).stride(2)), [3, 2, 6, 7]);
    add("conv2d 3x3, stride 2", conv(Conv2dConfig::new([2, 3], 3).stride(2)), [2, 2, 8, 6]);
    add("conv2d 1x1, stride 2", conv(Conv2dConfig::new([3, 2], 1).stride(2)), [2, 3, 5, 6]);
    add("conv2d 3x3, groups, bias", conv(Conv2dConfig::new([4, 6], 3).groups(2).padding(1).bias()), [2, 4, 5, 3]);
    add("conv2d 3x3, groups, stride 2", conv(Conv2dConfig::new([4, 4], 3).groups(4).stride(2)), [2, 4, 7, 6]);
    // Enough channels for the kernels' tiles (Winograd), in sums and in the weight's cotangent; tiles reach over the border.
    add("conv2d 3x3, 32 channels", conv(Conv2dConfig::new([32, 33], 3).padding(1)), [2, 32, 4, 7]);
    add("conv2d 7x7, stride 2", conv(Conv2dConfig::new([1, 2], 7).padding(3).stride(2)), [2, 1, 11, 9]);
    add("batch_norm train", BatchNorm::new(3, 0.1, placement).into(), [3, 3, 2, 5]);
    add("batch_norm features", BatchNorm::new(5, 0.1, placement).into(), [4, 5, 1, 1]);
    add("group_norm", GroupNorm::new(6, 3, 0.1, placement).into(), [2, 6, 3, 2]);
    add("group_norm, one group", GroupNorm::new(5, 4, 0.1, placement).into(), [2, 5, 3, 2]);
    add("linear, bias", Linear::new([5, 3], true, stream, placement).into(), [4, 5, 1, 1]);
    add("linear", Linear::new([2, 3], false, stream, placement).into(), [3, 2, 1, 1]);
    add("relu", Relu.into(), [2, 3, 3, 5]);
    add("layer_norm", LayerNorm::new(5, 0.1, placement).into(), [2, 5, 3, 2]);
    let plain = LayerNorm::plain(6).groups(2);
    add("layer_norm, groups", LayerNorm::new(6, 0.1, placement).groups(3).into(), [2, 6, 3, 2]);
    add("layer_norm, groups, no scale and shift", plain.into(), [3, 6, 2, 3]);
    add("layer_norm features", LayerNorm::new(6, 0.1, placement).into(), [3, 6, 1, 1]);
    add("position_linear", PositionLinear::new([3, 2], [3, 2], false, stream, placement).into(), [2, 3, 3, 2]);
    let narrower = PositionLinear::new([3, 5], [1, 4], true, stream, placement);
    add("position_linear, other positions, bias", narrower.into(), [2, 2, 3, 5]);
    add("leaky_relu", LeakyRelu::new(0.1).into(), [2, 3, 3, 5]);
    add("dropout", Dropout::new(0.4).into(), [2, 3, 3, 5]);
    add("dropout of channels", Dropout::of_channels(0.4).into(), [3, 6, 2, 3]);
    add("gelu", Gelu.into(), [2, 3, 3, 5]);
    add("max_pool 2x2", MaxPool::new(2, 2, 0).into(), [2, 3, 6, 4]);
    add("max_pool 3x3, stride 2, padding", MaxPool::new(3, 2, 1).into(), [2, 2, 7, 5]);
    add("avg_pool 2x2", AvgPool::new(2, 2).into(), [2, 3, 6, 4]);
    add("avg_pool 2x2, odd image", AvgPool::new(2, 2).into(), [2, 2, 7, 5]);
    add("adaptive_avg_pool, uneven", AdaptiveAvgPool::new(2).into(), [2, 3, 5, 3]);
    add("adaptive_avg_pool, more bins than pixels", AdaptiveAvgPool::new(2).into(), [2, 3, 1, 1]);
    add("feature_pool, windows over the edge", FeaturePool::new(12).into(), [2, 3, 5, 7]);
    add("feature_pool, one pixel each", FeaturePool::new(60).into(), [2, 3, 4, 5]);
    add("spatial_deviation", SpatialDeviation.into(), [2, 3, 3, 4]);
    add("spatial_deviation of 1x1", SpatialDeviation.into(), [2, 3, 1, 1]);
    add("flatten", Flatten.into(), [2, 3, 2, 5]);
    examples.extend(composite_examples(placement, stream));
    examples
}

/// Layers that hold others, or that others go into, and statistics that are not the batch's.
fn composite_examples(placement: &Placement, stream: Stream) -> Vec<LayerExample> {
    let mut examples = Vec::new();
    let mut add = |name: &str, block: Sequential, input, phase| {
        examples.push(LayerExample { name: name.to_string(), block, input, phase });
    };
    let conv = |config: Conv2dConfig| config.init(stream, placement);
    let body = || Sequential::new().with("conv", conv(Conv2dConfig::new([3, 3], 3).padding(1)));
    let shortcut = Sequential::new().with("downsample.0", conv(Conv2dConfig::new([3, 3], 1)));
    // Samples enough for one a lane, whose moments the convolution takes for the norm behind it.
    let measured = body().with("norm", BatchNorm::new(3, 0.1, placement));
    add("conv2d before batch norm, 16 samples", measured, [16, 3, 4, 5], Phase::Train);
    let size = [2, 3, 4, 5];
    for (name, shortcut) in
        [("residual, identity shortcut", Sequential::new()), ("residual, convolution shortcut", shortcut)]
    {
        add(name, Sequential::new().then(Residual::new(body(), shortcut)), size, Phase::Train);
    }
    for (name, layer) in [
        ("batch_norm, rectified", AnyLayer::from(BatchNorm::new(3, 0.1, placement))),
        ("group_norm, rectified", GroupNorm::new(3, 1, 0.1, placement).into()),
        ("residual, rectified", Residual::new(body(), Sequential::new()).into()),
    ] {
        add(name, Sequential::new().then(layer).then(Relu), size, Phase::Train);
    }
    let block = |channels: [usize; 2]| {
        let layers = Sequential::new().then(conv(Conv2dConfig::new(channels, 3).stride(2).padding(1)));
        layers.then(BatchNorm::new(channels[1], 0.1, placement)).then(Relu)
    };
    let running = || NextBlock::new(block([3, 4]), 0.9);
    add("next block, running copy", Sequential::new().then(running()), size, Phase::Train);
    let both = body().then(running().beside(block([3, 4])));
    add("next block, running and trained copy", both, size, Phase::Train);
    add("batch_norm eval", Sequential::new().then(BatchNorm::new(3, 0.1, placement)), [3, 3, 2, 5], Phase::Eval);
    examples
}

/// All heads with both normalisations, and all losses by themselves.
pub fn head_examples(placement: &Placement) -> Vec<HeadExample> {
    let mut examples = Vec::new();
    for kind in HeadKind::ALL.iter().filter(|kind| !kind.looks_ahead()) {
        for norm in [Norm::Batch, Norm::Group] {
            examples.push(head_example(format!("{kind}, {norm} norm"), (*kind, norm), [6, 4, 5, 6], placement));
        }
    }
    for (name, input) in [("predsim-vgg of features", [5, 6, 1, 1]), ("predsim-vgg of windows", [5, 70, 7, 6])] {
        examples.push(head_example(name.into(), (HeadKind::PredsimVgg, Norm::Batch), input, placement));
    }
    examples.extend(copying_examples(placement));
    examples.extend(running_examples(placement));
    let (classes, values) = (LabelKind::Classes(3), LabelKind::Values(2));
    let losses = [
        ("cross-entropy", AnyLoss::from(CrossEntropy { smoothing: 0.0 }), classes),
        ("cross-entropy, smoothing", CrossEntropy { smoothing: 0.1 }.into(), classes),
        ("mean squared error", MeanSquaredError.into(), classes),
        ("mean squared error of values", MeanSquaredError.into(), values),
        ("similarity matching", Similarity.into(), classes),
    ];
    let example = |(name, loss, labels)| loss_example(&format!("{name} (loss)"), loss, labels, placement);
    examples.extend(losses.map(example));
    examples
}

/// A head that has learnt something: weights that start at 0 would be checked at 0 only.
fn head_example(
    name: String,
    (kind, norm): (HeadKind, Norm),
    [samples, channels, height, width]: [usize; 4],
    placement: &Placement,
) -> HeadExample {
    let (input, labels) = ([channels, height, width], LabelKind::Classes(3));
    let stream = Stream::new(0, "examples");
    let config = HeadConfig { kind, norm, hidden: 7, channels: 4, input, labels, smoothing: 0.1 };
    let mut head = config.init(stream, placement);
    let first = head.parameters();
    let learnt = first.filled_like(|path, shape| stream.named(path).normal(shape.iter().product()));
    head.assign(&learnt.filtered(|path| first.filtered(|own| own == path).norm() == 0.0));
    HeadExample { name, head: head.into(), input: [samples, channels, height, width], labels }
}

/// A residual sum with an identity for its shortcut, a pool, a stride, a layer of pixels and one of features.
const COPIED: &str = r#"
name = "copied"
blocks = [
    { layers = [{ layer = "conv2d", outputs = 4, kernel = 3, padding = 1 }] },
    { layers = [{ layer = "conv2d", outputs = 5, kernel = 3, padding = 1 }, "norm", "gelu", "max-pool"] },
    { layers = [{ layer = "residual", body = [{ layer = "conv2d", outputs = 5, kernel = 3, padding = 1 }, "norm"] }, "relu"] },
    { layers = [{ layer = "conv2d", outputs = 6, kernel = 3, stride = 2, padding = 1 }, "norm", "leaky-relu"] },
    { layers = [{ layer = "residual", body = ["norm", "position-linear", "gelu"] }] },
    { layers = ["flatten", { layer = "linear", outputs = 7 }, "gelu"] },
]
"#;

/// Heads of no copy, one, some, and all, behind the first block of a network.
fn copying_examples(placement: &Placement) -> Vec<HeadExample> {
    let spec = NetworkSpec::from_toml(COPIED).expect("a network");
    let labels = LabelKind::Classes(3);
    let example = |(depth, norm): (usize, Norm)| {
        let model = ModelConfig {
            name: spec.name.clone(),
            network: Some(spec.clone()),
            head: HeadKind::Augmented,
            head_norm: norm,
            head_depth: Some(depth),
            label_smoothing: 0.1,
            ..Default::default()
        };
        let network = model.init([2, 5, 6], labels, 1, placement).expect("a network for these images");
        let head = network.heads.into_iter().next().flatten().expect("a head behind the first block");
        HeadExample { name: format!("augmented, depth {depth}, {norm} norm"), head, input: [6, 4, 5, 6], labels }
    };
    let depths = [0, 1, 2, 3, 5].into_iter();
    depths.flat_map(|depth| [(depth, Norm::Batch), (depth, Norm::Group)]).map(example).collect()
}

/// Heads with a running copy of the next block, which has a stride, behind the third block of a network.
fn running_examples(placement: &Placement) -> Vec<HeadExample> {
    let labels = LabelKind::Classes(3);
    let example = |norm: Norm| {
        let head = HeadKind::Ema;
        let model =
            ModelConfig { width: 0.05, norm, head, head_norm: norm, label_smoothing: 0.1, ..Default::default() };
        let network = model.init([2, 20, 24], labels, 1, placement).expect("a network for these images");
        let head = network.heads.into_iter().nth(2).flatten().expect("a head behind the third block");
        HeadExample { name: format!("ema, {norm} norm"), head, input: [6, 6, 10, 12], labels }
    };
    [Norm::Batch, Norm::Group].map(example).into()
}

/// A loss behind a linear map.
pub(super) fn loss_example(
    name: &str,
    loss: impl Into<AnyLoss>,
    labels: LabelKind,
    placement: &Placement,
) -> HeadExample {
    let linear = Linear::new([6, labels.outputs()], true, Stream::new(0, "examples"), placement);
    let head = Head::new(Sequential::new().then(Flatten).then(linear), loss).into();
    HeadExample { name: name.to_string(), head, input: [5, 2, 3, 1], labels }
}

/// Token mixing with dropout, whose masks must be the same in every map, and a block without a head.
const MIXER: &str = r#"
name = "mixer"
blocks = [
    { head = "none", layers = [{ layer = "conv2d", outputs = 50, kernel = 3, stride = 3, bias = true }] },
    { layers = [
        { layer = "residual", body = ["layer-norm", "position-linear", "gelu", { layer = "dropout", rate = 0.3 }] },
        { layer = "dropout", rate = 0.2, channels = true },
        { layer = "leaky-relu", slope = 0.1 },
    ] },
    { head = [{ layer = "group-norm", groups = 1 }, "flatten", { layer = "linear", outputs = "labels" }], layers = ["relu"] },
    { layers = [{ layer = "position-linear", height = 2, width = 1 }, "gelu"] },
]
"#;

/// All models with both normalisations, and one that is a spec.
pub fn network_examples(placement: &Placement) -> Vec<NetworkExample> {
    let mut examples = Vec::new();
    let mut add = |name: String, config: &ModelConfig| {
        let labels = LabelKind::Classes(3);
        let of_image = |image| Some((image, config.init(image, labels, 1, placement).ok()?));
        // Networks with many pools take no smaller images.
        let (image, network) =
            [[2, 9, 11], [2, 17, 16]].into_iter().find_map(of_image).expect("a network for these images");
        examples.push(NetworkExample { name, network, image, labels });
    };
    for Model { name, .. } in MODELS {
        for norm in [Norm::Batch, Norm::Group] {
            let config =
                ModelConfig { name: name.to_string(), width: 0.1, norm, head_norm: norm, ..Default::default() };
            add(format!("{name}, {norm} norm"), &config);
        }
    }
    let spec = NetworkSpec::from_toml(MIXER).expect("a network");
    let config = ModelConfig { name: spec.name.clone(), network: Some(spec), width: 0.1, ..Default::default() };
    add("mixer, dropout".into(), &config);
    examples
}
