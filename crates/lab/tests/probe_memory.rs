//! Peak memory of a probe beside that of the step it looks at.
#![allow(clippy::print_stdout, reason = "the memory is worth reading under --nocapture")]

use burn::tensor::{DType, Device};
use foregrad::estimate::{self, EstimatorConfig, EstimatorState, Mode, Space, StepInput};
use foregrad::layers::{Layer, Phase};
use foregrad::losses::Labels;
use foregrad::models::{HeadKind, ModelConfig};
use foregrad::rng::{Placement, Stream};
use foregrad_lab::train;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Peak bytes above what lived before.
fn peak_of<R>(work: impl FnOnce() -> R) -> f64 {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    let above = ALLOCATOR.peak_usage().saturating_sub(before) as f64;
    drop(result);
    above
}

// On one thread: how many buffers of convolutions are alive at once would otherwise depend on how threads are scheduled.
#[test]
fn of_a_spans_directions_a_probe_keeps_one_a_block() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(compare);
}

fn compare() {
    const SAMPLES: usize = 32;
    let placement = Placement { device: Device::flex(), dtype: DType::F32 };
    let model = ModelConfig {
        name: "resnet18-8b".into(),
        width: 0.0625,
        blocks_per_stage: 2,
        head: HeadKind::Linear,
        ..Default::default()
    };
    let network = model.init([3, 32, 32], 10, 0, &placement).expect("a model");
    let images = Stream::new(0, "memory").normal_tensor([SAMPLES, 3, 32, 32], &placement);
    let labels = Labels::classes((0..SAMPLES).map(|sample| sample % 10).collect(), 10);
    let input = StepInput::new(images.clone(), &labels, 0, 0);
    let state = EstimatorState::default();
    let directions = 16;
    let config = EstimatorConfig {
        guess: "span".parse().expect("a guess"),
        space: Space::Activity,
        directions,
        ..Default::default()
    };
    let [forward, oracle] = [Mode::Forward, Mode::Oracle].map(|mode| {
        let config = EstimatorConfig { mode, ..config.clone() };
        peak_of(|| estimate::step(&config, &network, &input, &state).expect("a step"))
    });
    let probed = peak_of(|| train::probe(&config, &network, &input, &state).expect("a probe"));
    let mut x = images;
    let outputs = network.blocks.iter().map(|block| {
        x = block.forward(x.clone(), Phase::Eval.into()).0;
        4.0 * x.dims().iter().product::<usize>() as f64
    });
    let kept = (probed - forward.max(oracle)) / outputs.sum::<f64>();
    println!("a probe keeps {kept:.2} outputs of every block beside a step's");
    assert!(kept < 4.0, "{directions} directions a block, of which one is read: {kept:.2} are kept");
}
