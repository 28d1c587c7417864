//! The matrix products between the transforms, one for every point, on registers.

use pulp::Simd;

use crate::Real;

/// Rows of a tile of the product.
pub(super) const ROWS: usize = 6;

/// Rows of the product over tiles: a divisor of every vector's lanes times [`columns`].
pub(super) const CHANNELS: usize = 4;

/// Vectors of a tile of a product with as many: 6 x 4 sums fit 32 registers, 6 x 2 fit 16.
pub(super) const fn columns<S: Simd>(vectors: usize) -> usize {
    if S::REGISTER_COUNT >= 32 && vectors > 2 { 4 } else { 2 }
}

/// `sums[m] += sum_k a[m][k] b[k]`, with the rows of `a` one after the other.
#[inline(always)]
pub(super) fn over_channels<T: Real, S: Simd, const M: usize, const N: usize>(
    simd: S,
    a: &[T],
    b: &[[T::Vector<S>; N]],
    sums: &mut [[T::Vector<S>; N]; M],
) {
    let mut rows = [a; M];
    for (row, a) in rows.iter_mut().zip(a.chunks_exact(b.len())) {
        // As long as `b`, which the compiler sees: no test of an index below.
        *row = &a[..b.len()];
    }
    let mut registers = *sums;
    for (k, b) in b.iter().enumerate() {
        for (sums, row) in registers.iter_mut().zip(&rows) {
            let a = T::splat(simd, row[k]);
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = T::multiply_add(simd, a, b, *sum);
            }
        }
    }
    *sums = registers;
}

/// `sums[m] += sum_k a[k][m] b[k]`, with row `k` of `a` at `k stride`.
#[inline(always)]
pub(super) fn over_tiles<T: Real, S: Simd, const M: usize, const N: usize>(
    simd: S,
    a: &[T],
    stride: usize,
    b: &[[T::Vector<S>; N]],
    sums: &mut [[T::Vector<S>; N]; M],
) {
    let mut registers = *sums;
    for (a, b) in a.chunks(stride).zip(b) {
        let Some(a) = a.first_chunk::<M>() else { break };
        for (sums, &a) in registers.iter_mut().zip(a) {
            let a = T::splat(simd, a);
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum = T::multiply_add(simd, a, b, *sum);
            }
        }
    }
    *sums = registers;
}
