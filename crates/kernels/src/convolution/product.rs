//! The two products at the heart of a convolution, on registers.

use pulp::Simd;

use super::pack::PANEL;
use crate::Real;

/// One panel of packed pixels, a row of it.
pub(crate) type PanelRow<T, S> = [<T as Real>::Vector<S>; PANEL];

/// Output channels of a tile of the outer product: 8 x 3 accumulators, 3 pixels' vectors and a weight fill 28 of 32 registers,
/// 4 x 3 fill 16 of 16.
pub(crate) const fn rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
}

/// `c[m] += sum_k a[k][m] b[k]`: weights broadcast against pixels side by side.
///
/// Reads `M + 3` registers' worth for `3 M` multiplications, so the multipliers are the limit and not the loads.
#[inline(always)]
pub(crate) fn outer<T: Real, S: Simd, const M: usize>(
    simd: S,
    a: &[[T; M]],
    b: &[PanelRow<T, S>],
    c: &mut [PanelRow<T, S>; M],
) {
    let mut sums = *c;
    for (a, &[b0, b1, b2]) in a.iter().zip(b) {
        for (sum, &a) in sums.iter_mut().zip(a) {
            let a = T::splat(simd, a);
            sum[0] = T::multiply_add(simd, a, b0, sum[0]);
            sum[1] = T::multiply_add(simd, a, b1, sum[1]);
            sum[2] = T::multiply_add(simd, a, b2, sum[2]);
        }
    }
    *c = sums;
}

/// Rows of the left operand of [`inner`].
pub(crate) const LEFT: usize = 4;

/// Rows of the right operand of [`inner`]: 4 x 6 accumulators with 32 registers, 4 x 2 with 16.
pub(crate) const fn right<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 6 } else { 2 }
}

/// Sums of products, lane by lane, of [`LEFT`] rows and `R` rows.
pub(crate) type Lanes<T, S, const R: usize> = [[<T as Real>::Vector<S>; LEFT]; R];

/// `sums[r][l] += sum over panels of a[l] b[r]`: a pixel's products stay in its lane.
#[inline(always)]
pub(crate) fn inner<T: Real, S: Simd, const R: usize>(
    simd: S,
    a: &[[PanelRow<T, S>; LEFT]],
    b: &[[PanelRow<T, S>; R]],
    sums: &mut Lanes<T, S, R>,
) {
    let mut registers = *sums;
    for (a, b) in a.iter().zip(b) {
        step::<T, S, R, 0>(simd, a, b, &mut registers);
        step::<T, S, R, 1>(simd, a, b, &mut registers);
        step::<T, S, R, 2>(simd, a, b, &mut registers);
    }
    *sums = registers;
}

/// One vector of every row; apart, so that the compiler keeps all sums in registers.
#[inline(always)]
fn step<T: Real, S: Simd, const R: usize, const VECTOR: usize>(
    simd: S,
    a: &[PanelRow<T, S>; LEFT],
    b: &[PanelRow<T, S>; R],
    sums: &mut [[T::Vector<S>; LEFT]; R],
) {
    // Not `map`: a closure would not be compiled for the instruction set.
    let [a0, a1, a2, a3] = [a[0][VECTOR], a[1][VECTOR], a[2][VECTOR], a[3][VECTOR]];
    for (sum, b) in sums.iter_mut().zip(b) {
        let b = b[VECTOR];
        sum[0] = T::multiply_add(simd, a0, b, sum[0]);
        sum[1] = T::multiply_add(simd, a1, b, sum[1]);
        sum[2] = T::multiply_add(simd, a2, b, sum[2]);
        sum[3] = T::multiply_add(simd, a3, b, sum[3]);
    }
}
