//! The matrix products between the transforms, one for every point, on registers.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd, bytemuck};

use crate::{Real, instructions, memory};

/// Rows of a tile of the product.
const ROWS: usize = 6;

/// Vectors of a tile of a product with as many: 6 x 4 sums fit 32 registers, 6 x 2 fit 16.
pub(super) const fn columns<S: Simd>(vectors: usize) -> usize {
    if S::REGISTER_COUNT >= 32 && vectors > 2 { 4 } else { 2 }
}

/// The same for the product over tiles, which has a tile of 8 x 1 where one vector holds all input channels, else 8 x 2, 4 x 2 or 4 x 4.
pub(super) const fn columns_over_tiles<S: Simd>(vectors: usize) -> usize {
    if vectors > 1 { columns::<S>(vectors) } else { 1 }
}

/// A row of sums.
pub(super) type Row<T, S, const N: usize> = [MaybeUninit<<T as Real>::Vector<S>>; N];

/// `sums[m] = sum_k a[m][k] b[k]`, to which what was there is added if `adds`: an even number of rows of `a`, and rows of `b` and sums of `N` vectors,
/// each one after the other.
///
/// It is compiled as a function of its own: put in line in a larger one, the compiler has had a quarter of the sums in memory at every step.
///
/// # Safety
/// If `adds`, the sums must have been written.
pub(super) unsafe fn over_channels<T: Real, S: Simd, const N: usize>(
    simd: S,
    a: &[T],
    b: &[T],
    (sums, adds): (&mut [MaybeUninit<T>], bool),
) {
    instructions::apart(simd, OverChannels::<T, N> { a, b, sums, adds });
}

/// What [`over_channels`] is given, with its caller's promise.
struct OverChannels<'a, T, const N: usize> {
    a: &'a [T],
    b: &'a [T],
    sums: &'a mut [MaybeUninit<T>],
    adds: bool,
}

impl<T: Real, const N: usize> WithSimd for OverChannels<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (b, _) = bytemuck::cast_slice::<T, T::Vector<S>>(self.b).as_chunks::<N>();
        let (sums, _) = memory::registers_mut::<T, S>(self.sums).as_chunks_mut::<N>();
        for (a, sums) in self.a.chunks(ROWS * b.len()).zip(sums.chunks_mut(ROWS)) {
            // SAFETY: the caller's promise.
            unsafe {
                match sums.len() {
                    ROWS => rows_over_channels::<T, S, N, ROWS>(simd, a, b, (sums, self.adds)),
                    4 => rows_over_channels::<T, S, N, 4>(simd, a, b, (sums, self.adds)),
                    _ => rows_over_channels::<T, S, N, 2>(simd, a, b, (sums, self.adds)),
                }
            }
        }
    }
}

/// # Safety
/// As [`over_channels`].
#[inline(always)]
unsafe fn rows_over_channels<T: Real, S: Simd, const N: usize, const M: usize>(
    simd: S,
    a: &[T],
    b: &[[T::Vector<S>; N]],
    (sums, adds): (&mut [Row<T, S, N>], bool),
) {
    let Some(sums) = sums.first_chunk_mut::<M>() else { return };
    let depth = b.len();
    let rows: [&[T]; M] = std::array::from_fn(|m| &a[m * depth..][..depth]);
    // SAFETY: the caller's promise.
    let mut registers = unsafe { before::<T, S, N, M>(simd, sums, adds) };
    for (k, b) in b.iter().enumerate() {
        // Each value just before its products: had all been read first, the compiler would have run out of registers.
        for (a, sums) in rows.iter().zip(&mut registers) {
            add_multiple::<T, S, N>(simd, a[k], b, sums);
        }
    }
    sums.iter_mut().zip(&registers).for_each(|(sums, registers)| _ = sums.write_copy_of_slice(registers));
}

/// `sums[m] = sum_k a[k][first + m] b[k]`, to which what was there is added if `adds`, with rows of `width` in `a`.
///
/// # Safety
/// If `adds`, the sums must have been written.
#[inline(always)]
pub(super) unsafe fn over_tiles<T: Real, S: Simd, const N: usize, const M: usize>(
    simd: S,
    (a, width, first): (&[T], usize, usize),
    b: &[[T::Vector<S>; N]],
    (sums, adds): (&mut [Row<T, S, N>; M], bool),
) {
    // SAFETY: the caller's promise.
    let mut registers = unsafe { before::<T, S, N, M>(simd, sums, adds) };
    for (a, b) in a.chunks_exact(width).zip(b) {
        let Some(&a) = a[first..].first_chunk::<M>() else { break };
        for (sums, a) in registers.iter_mut().zip(a) {
            add_multiple::<T, S, N>(simd, a, b, sums);
        }
    }
    sums.iter_mut().zip(&registers).for_each(|(sums, registers)| _ = sums.write_copy_of_slice(registers));
}

/// What products are added to.
///
/// # Safety
/// As [`over_channels`].
#[inline(always)]
unsafe fn before<T: Real, S: Simd, const N: usize, const M: usize>(
    simd: S,
    sums: &[Row<T, S, N>; M],
    adds: bool,
) -> [[T::Vector<S>; N]; M] {
    let mut registers = [[T::splat(simd, T::default()); N]; M];
    if adds {
        for (register, sum) in registers.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            // SAFETY: the caller's promise.
            *register = unsafe { sum.assume_init() };
        }
    }
    registers
}

/// `sums += a b`.
#[inline(always)]
fn add_multiple<T: Real, S: Simd, const N: usize>(simd: S, a: T, b: &[T::Vector<S>; N], sums: &mut [T::Vector<S>; N]) {
    let a = T::splat(simd, a);
    for (sum, &b) in sums.iter_mut().zip(b) {
        *sum = T::multiply_add(simd, a, b, *sum);
    }
}
