//! Memory that convolutions of stride 2 work in: a part of their maps, and less of a block's than its values at a training step's peak.
// What was found, for whoever runs it with `--nocapture`.
#![allow(clippy::print_stdout, reason = "what was found is worth reading under --nocapture")]

use foregrad_kernels::convolution::{Convolution, input_cotangent, sum, weight_cotangent};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MEBIBYTE: f64 = (1 << 20) as f64;

/// Threads, each of which has memory of its own.
const THREADS: usize = 2;

/// The convolution between two stages of a residual network, 3x3 of stride 2, on a batch of 128 images.
fn between(channels: [usize; 2], size: usize) -> Convolution {
    Convolution { samples: 128, channels, size: [size; 2], kernel: [3, 3], stride: 2, padding: 1, groups: 1 }
}

/// MiB at the most that `work` takes beside its result, and those that are left once that is gone.
fn scratch(work: impl FnOnce() -> Vec<f32>) -> [f64; 2] {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    let most = ALLOCATOR.peak_usage() - before;
    let own = std::mem::size_of_val(&result[..]);
    drop(result);
    [most - own, ALLOCATOR.current_usage().saturating_sub(before)].map(|bytes| bytes as f64 / MEBIBYTE)
}

// One test: the allocator counts the whole process.
#[test]
fn stride_2_works_in_little_memory_and_leaves_none_of_it() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("threads");
    // The output, the input's cotangent, the weight's. With many channels nearly all of it are transformed weights (all of them for the
    // output) and products of all samples, or a task's sums.
    let limits = [(between([64, 128], 32), [3.5, 3.5, 7.0]), (between([256, 512], 8), [33.0, 25.0, 17.0])];
    for (convolution, limits) in limits {
        let [input, output] = convolution.channels;
        let x = vec![1.0; convolution.input_length()];
        let w = vec![1.0; input * output * 9];
        let y_bar = vec![1.0; convolution.output_length()];
        let found = pool.install(|| {
            [
                scratch(|| sum(&convolution, &[((&x).into(), &w)])),
                scratch(|| input_cotangent(&convolution, &y_bar, &w)),
                scratch(|| weight_cotangent(&convolution, &x, &y_bar)),
            ]
        });
        println!("{:?}: {found:.2?} MiB", convolution.channels);
        for ([most, left], limit) in found.into_iter().zip(limits) {
            assert!(most < limit, "{convolution:?} works in {most:.2} MiB, expected at most {limit}");
            assert!(left < 0.1, "{convolution:?} leaves {left:.2} MiB");
        }
    }
}
