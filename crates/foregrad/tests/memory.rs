//! Peak memory of a step in forward mode: it does not grow with depth, where theory says so.
#![allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose")]
// The measured growth, for whoever runs it with `--nocapture`.
#![allow(clippy::print_stdout, reason = "the growth is worth reading under --nocapture")]

use burn::tensor::{DType, Device, Tensor};
use foregrad::estimate::{
    self, EstimatorConfig, EstimatorState, Granularity, Horizon, LastBlock, Method, Mode, StepInput,
};
use foregrad::layers::{Layer, Phase, Sequential};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, ModelConfig, Network};
use foregrad::rng::{Placement, Stream};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SAMPLES: usize = 256;

/// ResNet-18's blocks at a small width, `per_stage` of them in each of four stages.
fn network(per_stage: usize) -> Network {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let model = ModelConfig {
        name: "resnet18-8b".into(),
        width: 0.0625,
        blocks_per_stage: per_stage,
        head: HeadKind::Linear,
        ..Default::default()
    };
    model.init([3, 32, 32], 10, 0, &placement).expect("a model")
}

/// Random images with labels.
fn batch(samples: usize) -> (Tensor<4>, Labels) {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let images = Stream::new(0, "memory").normal_tensor([samples, 3, 32, 32], &placement);
    (images, Labels::classes((0..samples).map(|sample| sample % 10).collect(), 10))
}

/// Peak bytes above what lived before.
fn peak_of<R>(work: impl FnOnce() -> R) -> f64 {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    let above = ALLOCATOR.peak_usage().saturating_sub(before) as f64;
    drop(result);
    above
}

/// Peak bytes of one step above what lived before it, without the guesses and the update (each the size of the weights).
fn peak(network: &Network, config: &EstimatorConfig) -> f64 {
    let (images, labels) = batch(SAMPLES);
    let input = StepInput::new(images, &labels, 0, 0);
    let above = peak_of(|| {
        let output = estimate::step(config, network, &input, &EstimatorState::default()).expect("a step");
        assert!(output.update.dimension() > 0);
        output
    });
    above - 2.0 * 4.0 * network.parameters().dimension() as f64
}

/// Bytes of each block's output for a number of images.
fn outputs(network: &Network, samples: usize) -> Vec<f64> {
    let mut x = batch(1).0;
    let bytes = |block: &Sequential| {
        x = block.forward(x.clone(), Phase::Eval.into()).0;
        4.0 * (samples * x.dims().iter().product::<usize>()) as f64
    };
    network.blocks.iter().map(bytes).collect()
}

/// The peaks with 8 and with 16 residual blocks.
fn peaks(config: &EstimatorConfig) -> [f64; 2] {
    [2, 4].map(|per_stage| peak(&network(per_stage), config))
}

// One test on one thread: the allocator counts the whole process, and how many convolutions' buffers are alive at once
// would otherwise depend on how threads are scheduled.
#[test]
fn memory_grows_with_depth_only_where_it_must() {
    if foregrad_kernels::instructions::path() == foregrad_kernels::instructions::Path::Composed {
        return; // what layers keep is that of the kernels
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        compare_depths();
        // In this order of blocks: value and tangent twice; a block's values, its input and the cotangent in two places; the same with a
        // tangent on its way in the place of one; three values a block for all blocks. Buffers of the kernels and what late blocks keep,
        // guesses or updates as large as the weights, come on top.
        let limits = [
            ("jvp-weights", 4.0),
            ("backprop-checkpointed", 6.0),
            ("local-weight-network-forward", 6.5),
            ("backprop", 14.5),
        ];
        count_maps("resnet18-8b", &limits);
        // What a convolution and a norm read: no norm's output, in whichever block it is read.
        count_maps("small-net", &[("backprop", 3.0)]);
    });
}

/// How many outputs of the first stage are alive at the peak of a step, where convolutions are wide enough for tiles, which work in place.
fn count_maps(name: &str, limits: &[(&str, f64)]) {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let model = ModelConfig { name: name.into(), width: 0.5, ..Default::default() };
    let network = model.init([3, 32, 32], 10, 0, &placement).expect("a model");
    let samples = 64;
    let weights = 4.0 * network.parameters().dimension() as f64;
    let map = outputs(&network, samples)[0];
    let (images, labels) = batch(samples);
    let maps = |config: &EstimatorConfig| {
        let input = StepInput::new(images.clone(), &labels, 0, 0);
        let above = peak_of(|| estimate::step(config, &network, &input, &EstimatorState::default()).expect("a step"));
        above / map
    };
    let named = |name: &str| Method::named(name).expect("a method").config();
    for (method, most) in limits {
        let found = maps(&named(method)) - weights / map;
        println!("{method} of {name}: {found:.2} maps of the first stage");
        assert!(found < most + 0.9, "{method}: {found:.2} maps of the first stage at the peak, expected about {most}");
    }
}

fn compare_depths() {
    let guess = |name: &str| name.parse().expect("a guess");
    let block = EstimatorConfig { granularity: Some(Granularity::Block), ..Default::default() };
    let constant = [
        ("network", EstimatorConfig::default()),
        ("mixing", EstimatorConfig { mix: Some(1), ..Default::default() }),
        ("one random tangent", EstimatorConfig { guess: guess("gaussian"), ..Default::default() }),
        (
            "one random tangent, last block estimated",
            EstimatorConfig { guess: guess("rademacher"), last_block: LastBlock::Estimated, ..Default::default() },
        ),
        (
            "finite differences",
            EstimatorConfig { guess: guess("gaussian"), mode: Mode::FiniteDifference, ..Default::default() },
        ),
        ("block, horizon 1", EstimatorConfig { target: Horizon::blocks(1), ..block.clone() }),
    ];
    for (name, config) in constant {
        let [shallow, deep] = peaks(&config);
        let growth = deep / shallow;
        println!("{name}: {growth:.3}");
        assert!((growth - 1.0).abs() < 0.10, "{name}: twice the depth takes {growth:.3} times the memory");
    }
    growing(&block);
}

/// What is kept for every block is seen: its bytes are counted, so that a meter that sees nothing fails here.
fn growing(block: &EstimatorConfig) {
    let [shallow, deep] = [2, 4].map(|per_stage| outputs(&network(per_stage), SAMPLES));
    let added: f64 = deep.iter().sum::<f64>() - shallow.iter().sum::<f64>();
    let in_outputs = |(name, config): (&str, &EstimatorConfig)| {
        let [shallow, deep] = peaks(config);
        let outputs = (deep - shallow) / added;
        println!("{name}: {:.3}, {outputs:.2} outputs of each added block", deep / shallow);
        outputs
    };
    let exact = EstimatorConfig { guess: "exact".parse().expect("a guess"), mode: Mode::Oracle, ..Default::default() };
    let checkpointed = EstimatorConfig { mode: Mode::Checkpointed, ..exact.clone() };
    let [kept, again] = [("backprop", &exact), ("checkpointed", &checkpointed)].map(in_outputs);
    // Two norms in a block keep an input each, and the sum its rectified output, which the first convolution of the next block reads; the
    // second convolution's input is the first norm's output, computed again. A checkpoint is the block's input alone, and is gone when the
    // widest blocks, where the peak is, are computed again.
    assert!((2.5..3.3).contains(&kept), "backprop keeps three outputs a block: {kept:.2}");
    assert!(again < 1.0, "a checkpoint is no more than one output a block: {again:.2}");
    // At the end of the first stage every block of it has a tangent on its way, one output large.
    let first_stage = 2.0 * deep[0];
    let tensor = EstimatorConfig { granularity: Some(Granularity::Tensor), ..block.clone() };
    for case in [("block, global target", block), ("tensor, global target", &tensor)] {
        let tangents = in_outputs(case) * added / first_stage;
        assert!(tangents > 0.9, "{}: a tangent for each block: {tangents:.2}", case.0);
    }
}
