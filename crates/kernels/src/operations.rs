//! How many floating-point operations were done: a multiplication and an addition are two.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{Real, instructions};

static DONE: AtomicU64 = AtomicU64::new(0);

/// Counts operations of the whole process; only products are counted (convolutions, matrices), as is the custom.
pub fn add(operations: u64) {
    DONE.fetch_add(operations, Ordering::Relaxed);
}

/// The operations counted since the last call.
pub fn take() -> u64 {
    DONE.swap(0, Ordering::Relaxed)
}

/// Fused multiply-adds in registers, all threads at once, in operations a second: the most any kernel here can reach.
pub fn measured_peak(time: Duration) -> f64 {
    /// Independent sums: enough to hide the latency of an addition, few enough for sixteen registers.
    const SUMS: usize = 12;
    const ROUNDS: usize = 100_000;
    struct Rounds;
    impl WithSimd for Rounds {
        type Output = f64;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f64 {
            let [a, b] = [0.999_f32, 0.001].map(|value| f32::splat(simd, std::hint::black_box(value)));
            let mut sums = [b; SUMS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = f32::multiply_add(simd, *sum, a, b);
                }
            }
            for sum in sums {
                std::hint::black_box(f32::sum(simd, sum));
            }
            (2 * ROUNDS * SUMS * size_of::<S::f32s>() / size_of::<f32>()) as f64
        }
    }
    let threads = rayon::current_num_threads();
    let start = Instant::now();
    let mut done = 0.0;
    while start.elapsed() < time {
        done += (0..threads).into_par_iter().with_max_len(1).map(|_| instructions::dispatch(Rounds)).sum::<f64>();
    }
    done / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_measured() {
        assert!(measured_peak(Duration::from_millis(5)) > 1e8, "slower than any machine this runs on");
    }
}
