//! Inner products with a fixed order of addition: what a directional derivative, a norm or an alignment is made of.
//!
//! Sums are accumulated in `f64` over chunks of [`CHUNK`] elements and the chunks are added in order, so the result is the
//! same for any number of threads. One product reads `2 len` elements and does `2 len` operations: memory is the limit.

use rayon::prelude::*;

use crate::Real;

/// Elements per partial sum: large enough to pay for a thread's work, small enough to spread over all of them.
pub const CHUNK: usize = 1 << 15;

/// Independent accumulators in the inner loop, so that additions overlap and vectorise.
const LANES: usize = 8;

/// `sum_i a_i b_i`, accumulated in `f64`; the specification of [`dot`].
///
/// # Panics
/// If the slices differ in length.
pub fn dot_reference<E: Real>(a: &[E], b: &[E]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot: {} elements against {}", a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// `sum_i a_i b_i`, accumulated in `f64` over fixed chunks, in parallel.
///
/// # Panics
/// If the slices differ in length.
pub fn dot<E: Real>(a: &[E], b: &[E]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot: {} elements against {}", a.len(), b.len());
    if a.len() <= CHUNK {
        return dot_chunk(a, b);
    }
    let partial: Vec<f64> = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).map(|(a, b)| dot_chunk(a, b)).collect();
    partial.iter().sum()
}

/// The inner product of every row of `a` with the same row of `b`; both are `[rows, len / rows]`, row by row.
///
/// # Panics
/// If the slices differ in length, or the length is not a multiple of `rows`.
pub fn row_dots<E: Real>(a: &[E], b: &[E], rows: usize) -> Vec<f64> {
    assert_eq!(a.len(), b.len(), "row_dots: {} elements against {}", a.len(), b.len());
    if rows == 0 {
        return Vec::new();
    }
    assert_eq!(a.len() % rows, 0, "row_dots: {} elements do not make {rows} rows", a.len());
    let width = a.len() / rows;
    if width == 0 {
        return vec![0.0; rows];
    }
    a.par_chunks(width).zip(b.par_chunks(width)).map(|(a, b)| dot_chunk(a, b)).collect()
}

/// The largest magnitude, 0 for an empty slice; not a number if any element is not.
pub fn largest_magnitude<E: Real>(a: &[E]) -> f64 {
    if a.len() <= CHUNK {
        return largest_of_chunk(a);
    }
    a.par_chunks(CHUNK).map(largest_of_chunk).reduce(|| 0.0, larger)
}

/// The larger of two magnitudes; not a number if either is not.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

fn largest_of_chunk<E: Real>(a: &[E]) -> f64 {
    let mut largest = [0.0; LANES];
    let (lanes, rest) = a.as_chunks::<LANES>();
    for a in lanes {
        for (largest, a) in largest.iter_mut().zip(a) {
            *largest = larger(*largest, a.to_f64().abs());
        }
    }
    let rest = rest.iter().map(|a| a.to_f64().abs());
    largest.into_iter().chain(rest).fold(0.0, larger)
}

fn dot_chunk<E: Real>(a: &[E], b: &[E]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane].to_f64() * b[lane].to_f64();
        }
    }
    sums.iter().sum::<f64>() + dot_reference(a_rest, b_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(length: usize) -> Vec<f64> {
        (0..length).map(|i| ((i * 37 + 11) % 101) as f64 / 50.0 - 1.0).collect()
    }

    #[test]
    fn dot_agrees_with_its_reference_on_ragged_lengths() {
        for length in [0, 1, 7, 8, 63, 64, 65, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let (a, b) = (ramp(length), ramp(length + 3)[3..].to_vec());
            let (fast, slow) = (dot(&a, &b), dot_reference(&a, &b));
            let limit = 4.0 * f64::EPSILON * (length as f64).sqrt() * dot_reference(&a, &a).max(1.0);
            assert!((fast - slow).abs() <= limit, "length {length}: {fast} against {slow}");
        }
    }

    #[test]
    fn dot_is_bitwise_the_same_for_any_number_of_threads() {
        let a: Vec<f32> = ramp(5 * CHUNK + 3).into_iter().map(|x| x as f32).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            pool.install(|| dot(&a, &a).to_bits())
        };
        assert_eq!(with(1), with(2));
        assert_eq!(with(1), with(5));
    }

    #[test]
    fn row_dots_are_the_dots_of_the_rows() {
        let (a, b) = (ramp(35), ramp(70)[35..].to_vec());
        let rows = row_dots(&a, &b, 5);
        for (i, row) in rows.iter().enumerate() {
            assert!((row - dot_reference(&a[7 * i..7 * i + 7], &b[7 * i..7 * i + 7])).abs() < 1e-14);
        }
        assert_eq!(row_dots::<f32>(&[], &[], 3), vec![0.0; 3]);
    }

    #[test]
    fn largest_magnitude_sees_negative_values_and_not_a_number() {
        assert_eq!(largest_magnitude(&[1.0f32, -3.0, 2.0]), 3.0);
        assert_eq!(largest_magnitude::<f64>(&[]), 0.0);
        assert!(largest_magnitude(&[1.0f32, f32::NAN, 2.0]).is_nan());
        // In a lane, after the lanes, and in another chunk.
        for place in [0, 5, 8 * LANES, CHUNK - 1, CHUNK, 2 * CHUNK + 4] {
            let mut values = vec![-1.0f32; 2 * CHUNK + 5];
            values[place] = -7.0;
            assert_eq!(largest_magnitude(&values), 7.0);
            values[place] = f32::NAN;
            assert!(largest_magnitude(&values).is_nan());
            assert!(largest_magnitude(&values[..=place]).is_nan());
        }
    }

    #[test]
    #[should_panic(expected = "3 elements against 2")]
    fn lengths_that_differ_are_named() {
        dot(&[1.0f32; 3], &[1.0f32; 2]);
    }
}
