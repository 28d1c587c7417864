//! Peak memory of a step in forward mode: it does not grow with depth, where theory says so.

// The measured growth, for whoever runs it with `--nocapture`.
#![allow(clippy::print_stdout, reason = "the growth is worth reading under --nocapture")]

use burn::tensor::{DType, Device};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, Granularity, Horizon, LastBlock, Mode, StepInput};
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
        aux: HeadKind::Linear,
        ..Default::default()
    };
    model.init([3, 32, 32], 10, 0, &placement).expect("a model")
}

/// Peak bytes of one step above what lived before it, without the guesses and the update (each the size of the weights).
fn peak(network: &Network, config: &EstimatorConfig) -> f64 {
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let images = Stream::new(0, "memory").normal_tensor([SAMPLES, 3, 32, 32], &placement);
    let labels = Labels { indices: (0..SAMPLES).map(|sample| sample % 10).collect(), classes: 10 };
    let input = StepInput::new(images, &labels, 0, 0);
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let output = estimate::step(config, network, &input, &EstimatorState::default()).expect("a step");
    let above = ALLOCATOR.peak_usage().saturating_sub(before) as f64;
    let weights = 4.0 * network.parameters().dimension() as f64;
    assert!(output.update.dimension() > 0);
    above - 2.0 * weights
}

/// The peak with 16 residual blocks over that with 8.
fn growth(config: &EstimatorConfig) -> f64 {
    let [shallow, deep] = [2, 4].map(|per_stage| peak(&network(per_stage), config));
    deep / shallow
}

// One test on one thread: the allocator counts the whole process, and how many convolutions' buffers are alive at once
// would otherwise depend on how threads are scheduled.
#[test]
fn memory_grows_with_depth_only_where_it_must() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(compare_depths);
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
        ("block, horizon 1", EstimatorConfig { target: Horizon::blocks(1), ..block.clone() }),
    ];
    for (name, config) in constant {
        let growth = growth(&config);
        println!("{name}: {growth:.3}");
        assert!((growth - 1.0).abs() < 0.10, "{name}: twice the depth takes {growth:.3} times the memory");
    }
    let tensor = EstimatorConfig { granularity: Some(Granularity::Tensor), ..Default::default() };
    let exact = EstimatorConfig { guess: guess("exact"), mode: Mode::Oracle, ..Default::default() };
    let checkpointed = EstimatorConfig { mode: Mode::Checkpointed, ..exact.clone() };
    let [kept, again] = [&exact, &checkpointed].map(growth);
    println!("backprop: {kept:.3}; checkpointed: {again:.3}");
    assert!(kept > 1.0, "backprop: expected growth with depth, measured {kept:.3}");
    assert!(again < kept, "checkpoints grow less with depth: {again:.3} against {kept:.3}");
    for (name, config) in [("block, global target", block), ("tensor, global target", tensor)] {
        let growth = growth(&config);
        println!("{name}: {growth:.3}");
        assert!(growth > 1.0, "{name}: expected growth with depth, measured {growth:.3}");
    }
}
