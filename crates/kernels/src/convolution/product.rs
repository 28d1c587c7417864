//! The two products at the heart of a convolution, on registers.

use pulp::Simd;

use crate::Real;

/// One panel of packed pixels, a row of it: vectors of pixels side by side.
pub(crate) type PanelRow<T, S, const P: usize> = [<T as Real>::Vector<S>; P];

/// Vectors of a panel. With as many [`rows`] of sums beside them they fill the registers, but for one that broadcasts: a sum
/// that has no register of its own would go to memory and back at every step.
pub(crate) const fn panel<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 3 } else { 2 }
}

/// Output channels of a tile of the outer product: 8 x 3 sums, 3 pixels' vectors and a weight take 28 of 32 registers,
/// 6 x 2 sums with theirs 15 of 16.
pub(crate) const fn rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// `c[m] += sum_k a[k][m] b[k]`: weights broadcast against pixels side by side.
///
/// Reads `M + P` registers' worth for `M P` multiplications, so the multipliers are the limit and not the loads.
#[inline(always)]
pub(crate) fn outer<T: Real, S: Simd, const M: usize, const P: usize>(
    simd: S,
    a: &[[T; M]],
    b: &[PanelRow<T, S, P>],
    c: &mut [PanelRow<T, S, P>; M],
) {
    let mut sums = *c;
    for (a, &b) in a.iter().zip(b) {
        for (sum, &a) in sums.iter_mut().zip(a) {
            let a = T::splat(simd, a);
            for (sum, b) in sum.iter_mut().zip(b) {
                *sum = T::multiply_add(simd, a, b, *sum);
            }
        }
    }
    *c = sums;
}

/// Rows of the left operand of [`inner`]: 4 x 6 sums with 32 registers, 2 x 6 with 16.
pub(crate) const fn left<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// Rows of the right operand of [`inner`].
pub(crate) const RIGHT: usize = 6;

/// Sums of products, lane by lane, of `L` rows and [`RIGHT`] rows.
pub(crate) type Lanes<T, S, const L: usize> = [[<T as Real>::Vector<S>; L]; RIGHT];

/// `sums[r][l] += sum over panels of a[l] b[r]`: a pixel's products stay in its lane.
#[inline(always)]
pub(crate) fn inner<T: Real, S: Simd, const L: usize, const P: usize>(
    simd: S,
    a: &[[PanelRow<T, S, P>; L]],
    b: &[[PanelRow<T, S, P>; RIGHT]],
    sums: &mut Lanes<T, S, L>,
) {
    let mut registers = *sums;
    for (a, b) in a.iter().zip(b) {
        step::<T, S, L, P, 0>(simd, a, b, &mut registers);
        step::<T, S, L, P, 1>(simd, a, b, &mut registers);
        if P > 2 {
            step::<T, S, L, P, 2>(simd, a, b, &mut registers);
        }
    }
    *sums = registers;
}

/// One vector of every row; apart, so that the compiler keeps all sums in registers.
#[inline(always)]
fn step<T: Real, S: Simd, const L: usize, const P: usize, const VECTOR: usize>(
    simd: S,
    a: &[PanelRow<T, S, P>; L],
    b: &[PanelRow<T, S, P>; RIGHT],
    sums: &mut Lanes<T, S, L>,
) {
    // Not `map`: a closure would not be compiled for the instruction set.
    let mut left = [T::splat(simd, T::default()); L];
    for (left, a) in left.iter_mut().zip(a) {
        *left = a[VECTOR % P];
    }
    for (sums, b) in sums.iter_mut().zip(b) {
        for (sum, &a) in sums.iter_mut().zip(&left) {
            *sum = T::multiply_add(simd, a, b[VECTOR % P], *sum);
        }
    }
}
