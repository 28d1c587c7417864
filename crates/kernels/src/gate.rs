//! The rectifier and its derivative, in place: one read, one write.

use rayon::prelude::*;

use crate::{Real, instructions};

/// Elements a thread takes at a time.
const CHUNK: usize = 1 << 15;

/// `x <- max(x, 0)`; what is not a number stays so.
pub fn rectify<T: Real>(x: &mut [T]) {
    let zero = T::default();
    x.par_chunks_mut(CHUNK).for_each(|x| {
        instructions::vectorised(
            #[inline(always)]
            || x.iter_mut().for_each(|x| *x = if *x <= zero { zero } else { *x }),
        );
    });
}

/// `v <- v where y > 0, else 0`, for as many vectors `v` as there are, one after the other.
///
/// # Panics
/// If `v` is no multiple of `y`.
pub fn gate<T: Real>(v: &mut [T], y: &[T]) {
    if v.is_empty() {
        return;
    }
    assert!(
        !y.is_empty() && v.len().is_multiple_of(y.len()),
        "gate: {} elements are no multiple of {}",
        v.len(),
        y.len()
    );
    let zero = T::default();
    for v in v.chunks_exact_mut(y.len()) {
        v.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(v, y)| {
            instructions::vectorised(
                #[inline(always)]
                || v.iter_mut().zip(y).for_each(|(v, &y)| *v = if y <= zero { zero } else { *v }),
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passed_the_rectifier_has_a_derivative() {
        let count = 2 * CHUNK + 5;
        let x: Vec<f32> = (0..count).map(|i| [0.0, -1.5, 2.0, -0.0, 1e-30][i % 5]).collect();
        let mut y = x.clone();
        rectify(&mut y);
        let mut v = vec![3.0; 2 * count];
        gate(&mut v, &y);
        for i in 0..count {
            assert_eq!(y[i], x[i].max(0.0));
            let expected = if x[i] > 0.0 { 3.0 } else { 0.0 };
            assert_eq!([v[i], v[count + i]], [expected; 2]);
        }
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        let mut x = [f64::NAN, -1.0];
        rectify(&mut x);
        assert!(x[0].is_nan() && x[1] == 0.0);
    }
}
