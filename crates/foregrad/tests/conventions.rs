//! Conventions that no derivative identity pins: values at kinks, statistics, names, when heads are drawn.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]

mod common;

use burn::tensor::{DType, Device, Tensor};
use common::{Case, double};
use foregrad::estimate::{self, Collect, EstimatorConfig, EstimatorState, GuessSettings, NtkConfig, StepInput};
use foregrad::layers::{BatchNorm, Conv2dConfig, Layer, MaxPool, Phase, Relu, Wanted};
use foregrad::losses::{CrossEntropy, Labels, Loss};
use foregrad::models::{HeadKind, ModelConfig, Norm};
use foregrad::ops::{ConvShape, conv2d, host};
use foregrad::rng::{Placement, Stream};
use foregrad::vector::ParamVector;
use foregrad::weights;

fn map(values: Vec<f64>, shape: [usize; 4]) -> Tensor<4> {
    double().tensor(values, shape)
}

#[test]
fn a_rectifier_at_zero_is_off() {
    let (y, saved) = Relu.forward(map(vec![-1.0, 0.0, 2.0, 1e300], [1, 1, 2, 2]), Phase::Train.into());
    assert_eq!(host(y), [0.0, 0.0, 2.0, 1e300]);
    let ones = map(vec![1.0; 4], [1, 1, 2, 2]);
    assert_eq!(host(Relu.cotangent(&saved, ones, Wanted::INPUT).input()), [0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn of_equal_maxima_the_first_wins() {
    let pool = MaxPool::new(2, 2, 0);
    let (_, saved) = pool.forward(map(vec![3.0, 3.0, 1.0, 3.0], [1, 1, 2, 2]), Phase::Train.into());
    let one = map(vec![1.0], [1, 1, 1, 1]);
    assert_eq!(host(pool.cotangent(&saved, one, Wanted::INPUT).input()), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn extreme_outputs_have_a_finite_loss_and_gradient() {
    let loss = CrossEntropy { smoothing: 0.0 };
    let labels = Labels::classes(vec![0, 1], 2);
    let (value, saved) = loss.forward(map(vec![1e4, -1e4, 1e4, -1e4], [2, 2, 1, 1]), &labels);
    assert!((value - 1e4).abs() < 1e-8);
    assert!(host(loss.cotangent(&saved)).iter().all(|g| g.is_finite()));
}

#[test]
fn batch_norm_hands_out_the_mean_and_the_unbiased_variance_and_survives_a_constant_channel() {
    let norm = BatchNorm::new(2, 0.0, &double());
    let (y, saved) = norm.forward(map(vec![1.0, 5.0, 3.0, 5.0], [2, 2, 1, 1]), Phase::Train.into());
    let statistics = norm.statistics(&saved);
    assert_eq!(host(statistics.get::<1>("running_mean").expect("a mean")), [2.0, 5.0]);
    assert_eq!(host(statistics.get::<1>("running_var").expect("a variance")), [2.0, 0.0]);
    assert!(host(y)[1] == 0.0);
    let part = norm.cotangent(&saved, map(vec![1.0, 1.0, -1.0, 0.5], [2, 2, 1, 1]), Wanted::BOTH);
    assert!(host(part.input()).iter().all(|g| g.is_finite()));
    // The moving averages are the trainer's: nothing moved.
    assert_eq!(host(norm.averages().get::<1>("running_mean").expect("a mean")), [0.0, 0.0]);
}

#[test]
fn a_convolution_is_the_naive_sum() {
    for (kernel, stride, padding, groups, height, width) in
        [(3, 1, 1, 1, 5, 7), (3, 2, 1, 2, 6, 5), (1, 2, 0, 1, 5, 4), (3, 1, 0, 4, 3, 3)]
    {
        let (input, output) = (4, 8);
        let shape = ConvShape { stride, padding, groups };
        let stream = Stream::new(0, "conv");
        let config = Conv2dConfig { shape, ..Conv2dConfig::new([input, output], kernel) };
        let weight = config.init(stream, &double()).parameters().get::<4>("weight").expect("a weight");
        let x: Tensor<4> = stream.named("x").normal_tensor([2, input, height, width], &double());
        let y = conv2d(x.clone(), &weight, shape);
        let [_, _, rows, columns] = y.dims();
        let (x, weight, y) = (host(x), host(weight), host(y));
        let inner = input / groups;
        for (at, y) in y.iter().enumerate() {
            let (column, row) = (at % columns, at / columns % rows);
            let (channel, sample) = (at / columns / rows % output, at / columns / rows / output);
            let first = channel / (output / groups) * inner;
            let mut sum = 0.0;
            for tap in 0..inner * kernel * kernel {
                let (kx, ky, c) = (tap % kernel, tap / kernel % kernel, tap / kernel / kernel);
                let (r, l) = ((row * stride + ky).checked_sub(padding), (column * stride + kx).checked_sub(padding));
                if let (Some(r), Some(l)) = (r.filter(|r| *r < height), l.filter(|l| *l < width)) {
                    sum += x[((sample * input + first + c) * height + r) * width + l]
                        * weight[channel * inner * kernel * kernel + tap];
                }
            }
            assert!((sum - y).abs() < 1e-12, "kernel {kernel}, stride {stride}, output {at}: {y} against {sum}");
        }
    }
}

#[test]
fn torchvision_state_dicts_load_unchanged() {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let model = ModelConfig { name: "resnet18-8b".into(), width: 0.05, ..Default::default() };
    let state = model.init([3, 9, 9], 10, 1, &placement).expect("a model").state();
    let trunk = state.filtered(|path| !path.starts_with("heads."));
    // 62 parameters and 40 moving averages; torchvision's file has 20 counts of batches besides.
    assert_eq!(trunk.len(), 102);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let count = 7i64.to_le_bytes();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = trunk
        .iter()
        .map(|(name, entry)| {
            let values = host(entry.values()).into_iter().flat_map(|value| (value as f32).to_le_bytes());
            (name.to_string(), entry.shape().to_vec(), values.collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (
            name.clone(),
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).expect("a view"),
        )
    });
    let tracked = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![], &count).expect("a view");
    let all = views.chain([("bn1.num_batches_tracked".to_string(), tracked)]);
    std::fs::write(file.path(), safetensors::serialize(all, None).expect("bytes")).expect("a file");
    let mut other = model.init([3, 9, 9], 10, 2, &placement).expect("a model");
    let (tensors, _) = weights::load(file.path(), &placement).expect("weights");
    weights::assign(&mut other, &tensors, file.path()).expect("they fit");
    let loaded = other.state().filtered(|path| !path.starts_with("heads."));
    assert_eq!(loaded.axpy(-1.0, &trunk).norm(), 0.0);
}

/// Every layer and guess is in its list, and says where its formula comes from.
#[test]
fn folders_and_lists_hold_the_same_parts() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed_layers: Vec<String> = foregrad::layers::LAYERS.iter().map(|(name, _)| name.to_string()).collect();
    let guesses = foregrad::estimate::GUESSES.iter().map(|guess| guess.name().replace('-', "_"));
    let combinations = foregrad::estimate::COMBINATIONS.iter().map(|combination| combination.name().replace('-', "_"));
    for (folder, listed) in [
        ("layers", listed_layers),
        ("estimate/guess", guesses.collect()),
        ("estimate/combination", combinations.collect()),
    ] {
        for entry in std::fs::read_dir(source.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_string();
            let machinery = [
                "any",
                "context",
                "groups",
                "kind",
                "mod",
                "named",
                "norm",
                "normalised",
                "plan",
                "select",
                "sequential",
                "spec",
                "stacked",
            ];
            if machinery.contains(&name.as_str()) {
                continue;
            }
            assert!(listed.contains(&name), "{folder}/{name}.rs is not in the list");
            let text = std::fs::read_to_string(&path).expect("a file");
            assert!(text.contains("Source:"), "{folder}/{name}.rs does not say where it comes from");
        }
    }
}

#[test]
fn the_heads_of_ntk_stay_as_many_steps_as_they_are_asked_to() {
    let case = Case::new("mlp", Norm::Batch, Norm::Batch, HeadKind::Linear);
    let guesses = |redraw_every: u64| {
        let config = EstimatorConfig {
            guess: "ntk".parse().expect("a guess"),
            guesses: GuessSettings { ntk: NtkConfig { redraw_every }, ..Default::default() },
            ..Default::default()
        };
        let guess = |step| {
            let input = StepInput { step, collect: Collect::FirstGuess, ..case.input() };
            estimate::step(&config, &case.network, &input, &EstimatorState::default()).expect("a step").guesses
        };
        [0, 1, 2, 3].map(guess)
    };
    let differs = |a: &ParamVector, b: &ParamVector| a.clone().axpy(-1.0, b).norm() > 0.0;
    let [every_step, every_other] = [guesses(1), guesses(2)];
    assert!(every_step.windows(2).all(|pair| differs(&pair[0], &pair[1])), "the paper's are drawn at every step");
    let changes: Vec<bool> = every_other.windows(2).map(|pair| differs(&pair[0], &pair[1])).collect();
    assert_eq!(changes, [false, true, false]);
}
