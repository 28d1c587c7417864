//! Networks of parts that this library does not know: by value, and from a file by a registry.

use burn::tensor::{DType, Device, Tensor};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, Mode, StepInput};
use foregrad::layers::{Conv2dConfig, Flatten, Layer, LayerKind, Linear, Planned, Relu, Scope, Sequential};
use foregrad::layers::{Cotangent, Pass, Wanted};
use foregrad::losses::{Labels, MeanSquaredError};
use foregrad::models::{BlockHead, Head, HeadKind, ModelConfig, Network, NetworkSpec, Norm, PlannedHead, Registry};
use foregrad::rng::{Placement, Stream};
use foregrad::settings;
use foregrad::vector::ParamVector;

/// `y = factor x`, for features of any number.
#[derive(Debug, Clone)]
struct Times {
    factor: f64,
}

impl Layer for Times {
    type Saved = ();

    fn forward(&self, x: Tensor<4>, _pass: Pass) -> (Tensor<4>, ()) {
        (x * self.factor, ())
    }

    fn tangent(&self, _saved: &(), x_dot: Option<Tensor<4>>, _theta_dot: &[ParamVector]) -> Option<Tensor<4>> {
        x_dot.map(|x_dot| x_dot * self.factor)
    }

    fn cotangent(&self, _saved: &(), y_bar: Tensor<4>, wanted: Wanted) -> Cotangent {
        Cotangent { x_bar: wanted.input.then(|| y_bar * self.factor), theta_bar: ParamVector::default() }
    }

    fn parameters(&self) -> ParamVector {
        ParamVector::default()
    }

    fn assign(&mut self, _values: &ParamVector) {}
}

settings! {
    /// The layer in a spec.
    pub struct TimesSpec {
        /// What values are multiplied by.
        factor: f64 = 1.0 => file,
    }
}

impl LayerKind for TimesSpec {
    const NAME: &'static str = "times";
    const NEEDS: &'static [&'static str] = &["factor"];

    fn plan(&self, input: [usize; 3], _scope: &Scope) -> foregrad::Result<Planned> {
        Planned::of(Times { factor: self.factor }, input)
    }
}

fn double() -> Placement {
    Placement { device: Device::flex(), dtype: DType::F64 }
}

/// A head of its own: the squared error of a linear map.
fn squares(outputs: usize, input: [usize; 3], stream: Stream, placement: &Placement) -> Head {
    let sizes = [input.iter().product(), outputs];
    let net = Sequential::new().then(Flatten).then(Linear::new(sizes, true, stream, placement));
    Head::new(net, MeanSquaredError)
}

fn registry() -> Registry {
    Registry::default().with_layer::<TimesSpec>("a factor").with_head("squares", |input, scope| {
        let outputs = scope.labels.outputs();
        let weights = input.iter().product::<usize>() * outputs + outputs;
        Ok(PlannedHead::new(move |stream, placement| squares(outputs, input, stream, placement))
            .weights(weights as u64))
    })
}

const SPEC: &str = "
name = 'own'
blocks = [
    { head = 'squares', layers = [{ layer = 'conv2d', outputs = 4, kernel = 3 }, { layer = 'times', factor = 0.5 }, 'relu'] },
    { head = 'none', layers = [{ layer = 'times', factor = 2.0 }] },
    { layers = [{ layer = 'conv2d', outputs = 4, kernel = 3 }, 'relu'] },
]
";

#[test]
fn a_registry_resolves_layers_and_heads_of_a_file() {
    let spec = NetworkSpec::from_toml(SPEC).expect("a spec");
    let model = ModelConfig { name: "own".into(), network: Some(spec), head_norm: Norm::Group, ..Default::default() };
    let error = model.init([2, 7, 7], 3, 0, &double()).expect_err("unknown here").to_string();
    assert!(error.contains("block 0: layer 1 (times): unknown layer `times`"), "{error}");
    let planned = model.plan([2, 7, 7], 3, &registry()).expect("a network");
    let network = planned.make(0, &double());
    let held = network.heads.iter().flatten().map(|head| head.parameters().dimension() as u64);
    assert_eq!(held.sum::<u64>(), planned.weights()[1]);
    assert_eq!(network.heads.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    assert!(agreement(&network, [2, 7, 7]) < 1e-10);
}

#[test]
fn layers_and_heads_of_another_crate_see_what_follows_a_block() {
    let copying = SPEC.replace("'squares'", "'augmented'").replace("'none'", "'counts'");
    let spec = NetworkSpec::from_toml(&copying).expect("a spec");
    let model = ModelConfig { name: "own".into(), network: Some(spec), head_depth: Some(2), ..Default::default() };
    let registry = registry().with_head("counts", |input, scope| {
        let ahead = scope.ahead.expect("a network that is a spec");
        assert_eq!((ahead.block, ahead.depth(), ahead.later.len()), (1, 3, 1));
        assert_eq!((ahead.later[0].input, ahead.later[0].output), ([4, 5, 5], [4, 3, 3]));
        let outputs = scope.labels.outputs();
        Ok(PlannedHead::new(move |stream, placement| squares(outputs, input, stream, placement)))
    });
    let network = model.plan([2, 7, 7], 3, &registry).expect("a network").make(0, &double());
    // A copy of the registry's layer, one of the convolution (4 to 4 channels), a linear layer.
    let head = network.heads[0].as_ref().expect("a head of copies");
    assert_eq!(head.parameters().dimension(), 4 * 4 * 9 + 4 * 3 + 3);
    assert!(agreement(&network, [2, 7, 7]) < 1e-10);
}

#[test]
fn layers_and_heads_by_value_make_a_network() {
    let placement = double();
    let stream = Stream::new(3, "own");
    let conv = |name, channels| Conv2dConfig::new(channels, 3).init(stream.named(name), &placement);
    let first = || Sequential::new().then(conv("first", [2, 4])).then(Times { factor: 0.5 }).then(Relu);
    let second = || Sequential::new().then(conv("second", [4, 4])).then(Relu);
    let network = Network::builder([2, 7, 7], 3)
        .heads(HeadKind::Linear)
        .head_norm(Norm::Group)
        .block(first())
        .head(squares(3, [4, 5, 5], stream, &placement))
        .block(Sequential::new().then(Times { factor: 2.0 }))
        .head(BlockHead::None)
        .block(Sequential::new().then(Relu))
        .block(second())
        .build(0, &placement)
        .expect("a network");
    assert_eq!(network.heads.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert!(network.parameters().entry("heads.2.3.weight").is_some(), "{:?}", network.parameters());
    assert!(agreement(&network, [2, 7, 7]) < 1e-10);
    let wrong = |builder: foregrad::models::NetworkBuilder, words: &str| {
        let error = builder.build(0, &placement).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let builder = || Network::builder([2, 7, 7], 3);
    wrong(builder(), "the number of blocks is 0");
    wrong(builder().block(second()), "block 0: layer 0: the input is 2x7x7; expected 4 channels");
    wrong(builder().block(first()).classifier(Sequential::new()), "classifier: the output is 4x5x5; expected 3x1x1");
    wrong(builder().block(first()).classifier(BlockHead::None), "the classifier is none");
    wrong(builder().block(first()).head(HeadKind::Cnn), "block 0: the head is given");
    for part in ["optimizer", "estimator", "module", "heads"] {
        let words = format!("the name of a parameter is `{part}.weight`; expected one without `{part}`");
        wrong(builder().block(first().with(part, conv("second", [4, 4]))), &words);
    }
    let four = squares(4, [4, 5, 5], stream, &placement);
    wrong(builder().block(first()).head(four).block(second()), "block 0: the output is 4x1x1; expected 3 outputs");
    let clash = Sequential::new().with("blocks.0.0", conv("first", [4, 4])).then(Flatten);
    let net = clash.with("out", Linear::new([36, 3], true, stream, &placement));
    wrong(builder().block(first()).classifier(net), "two parameters have the path `blocks.0.0.weight`");
}

/// How far the updates of both modes are apart.
fn agreement(network: &Network, [channels, height, width]: [usize; 3]) -> f64 {
    let images = Stream::new(0, "images").normal_tensor([4, channels, height, width], &double());
    let labels = Labels::classes(vec![0, 1, 2, 0], 3);
    let update = |mode| {
        let config =
            EstimatorConfig { mode, granularity: Some("block".parse().expect("a name")), ..Default::default() };
        let input = StepInput::new(images.clone(), &labels, 0, 0);
        estimate::step(&config, network, &input, &EstimatorState::default()).expect("a step").update
    };
    let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(update);
    forward.axpy(-1.0, &oracle).norm() / oracle.norm()
}
