//! Squares of `f32` in the registers of AVX-512 and AVX2.
//!
//! Two rounds turn 4x4 elements within each 128 bits of four rows; what is 128 bits at a time changes places after that, or is read to its place.
//! All of it stays in registers.

use std::any::Any;
use std::arch::x86_64::{__m128, __m256, __m512};

use pulp::x86::{V3, V4};
use pulp::{Simd, bytemuck};

use crate::Real;

/// Turns rows that fill such registers; whether it has.
#[inline(always)]
pub(super) fn turn<T: Real, S: Simd, const N: usize>(
    simd: &S,
    rows: &[&[T; N]; N],
    columns: &mut [T::Vector<S>; N],
) -> bool {
    // What is asked here is known when this is compiled.
    if size_of::<T>() != size_of::<f32>() {
        return false;
    }
    let simd: &dyn Any = simd;
    match (N, simd.downcast_ref::<V4>(), simd.downcast_ref::<V3>()) {
        (16, Some(&simd), _) => turn_16(simd, rows, columns),
        (8, _, Some(&simd)) => turn_8(simd, rows, columns),
        _ => return false,
    }
    true
}

/// So many elements of a row, from a multiple of as many on.
#[inline(always)]
fn part<T: Real, const N: usize, const PART: usize>(row: &[T; N], number: usize) -> [f32; PART] {
    bytemuck::cast_slice::<T, f32>(row).as_chunks::<PART>().0[number]
}

#[inline(always)]
fn turn_16<T: Real, V: bytemuck::Pod, const N: usize>(simd: V4, from: &[&[T; N]; N], columns: &mut [V; N]) {
    let avx = simd.avx512f;
    let mut rows: [__m512; 16] = [avx._mm512_setzero_ps(); 16];
    for (row, from) in rows.iter_mut().zip(from) {
        *row = bytemuck::cast(part::<T, N, 16>(from, 0));
    }
    for four in rows.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *four;
        let (low, high) = (bytemuck::cast(avx._mm512_unpacklo_ps(a, b)), bytemuck::cast(avx._mm512_unpackhi_ps(a, b)));
        let (low_2, high_2) =
            (bytemuck::cast(avx._mm512_unpacklo_ps(c, d)), bytemuck::cast(avx._mm512_unpackhi_ps(c, d)));
        *four = [
            bytemuck::cast(avx._mm512_unpacklo_pd(low, low_2)),
            bytemuck::cast(avx._mm512_unpackhi_pd(low, low_2)),
            bytemuck::cast(avx._mm512_unpacklo_pd(high, high_2)),
            bytemuck::cast(avx._mm512_unpackhi_pd(high, high_2)),
        ];
    }
    for column in 0..4 {
        let [a, b, c, d] = [rows[column], rows[4 + column], rows[8 + column], rows[12 + column]];
        let [even, even_2] = [avx._mm512_shuffle_f32x4::<EVEN>(a, b), avx._mm512_shuffle_f32x4::<EVEN>(c, d)];
        let [odd, odd_2] = [avx._mm512_shuffle_f32x4::<ODD>(a, b), avx._mm512_shuffle_f32x4::<ODD>(c, d)];
        columns[column] = bytemuck::cast(avx._mm512_shuffle_f32x4::<EVEN>(even, even_2));
        columns[4 + column] = bytemuck::cast(avx._mm512_shuffle_f32x4::<EVEN>(odd, odd_2));
        columns[8 + column] = bytemuck::cast(avx._mm512_shuffle_f32x4::<ODD>(even, even_2));
        columns[12 + column] = bytemuck::cast(avx._mm512_shuffle_f32x4::<ODD>(odd, odd_2));
    }
}

/// Numbers of the 128 bits that are taken, two of each operand.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;

/// 128 bits of row `i` and as many of row `i + 4` are read to one register, whose halves then need not change places: first-generation EPYCs take
/// eight operations for that.
#[inline(always)]
fn turn_8<T: Real, V: bytemuck::Pod, const N: usize>(simd: V3, rows: &[&[T; N]; N], columns: &mut [V; N]) {
    let avx = simd.avx;
    for half in 0..2 {
        let [a, b] = [pair(simd, rows, 0, half), pair(simd, rows, 1, half)];
        let [c, d] = [pair(simd, rows, 2, half), pair(simd, rows, 3, half)];
        let (low, high) = (bytemuck::cast(avx._mm256_unpacklo_ps(a, b)), bytemuck::cast(avx._mm256_unpackhi_ps(a, b)));
        let (low_2, high_2) =
            (bytemuck::cast(avx._mm256_unpacklo_ps(c, d)), bytemuck::cast(avx._mm256_unpackhi_ps(c, d)));
        columns[4 * half] = bytemuck::cast(avx._mm256_unpacklo_pd(low, low_2));
        columns[4 * half + 1] = bytemuck::cast(avx._mm256_unpackhi_pd(low, low_2));
        columns[4 * half + 2] = bytemuck::cast(avx._mm256_unpacklo_pd(high, high_2));
        columns[4 * half + 3] = bytemuck::cast(avx._mm256_unpackhi_pd(high, high_2));
    }
}

/// The same 128 bits of rows `row` and `row + 4`.
#[inline(always)]
fn pair<T: Real, const N: usize>(simd: V3, rows: &[&[T; N]; N], row: usize, half: usize) -> __m256 {
    let low: __m128 = bytemuck::cast(part::<T, N, 4>(rows[row], half));
    let high: __m128 = bytemuck::cast(part::<T, N, 4>(rows[row + 4], half));
    simd.avx._mm256_insertf128_ps::<1>(simd.avx._mm256_castps128_ps256(low), high)
}
