//! Squares of `f32` in the registers of AVX-512 and AVX2.
//!
//! Two rounds turn 4x4 elements within each 128 bits of four rows; then 128 bits at a time change places. All of it stays in registers.

use std::any::Any;
use std::arch::x86_64::{__m256, __m512};

use pulp::x86::{V3, V4};
use pulp::{Simd, bytemuck};

use crate::Real;

/// Turns a square that fills such registers; whether it has.
#[inline(always)]
pub(super) fn turn<T: Real, S: Simd, const N: usize>(simd: &S, rows: &mut [[T; N]; N]) -> bool {
    // What is asked here is known when this is compiled.
    let (simd, rows): (&dyn Any, &mut dyn Any) = (simd, rows);
    match (simd.downcast_ref::<V4>(), simd.downcast_ref::<V3>()) {
        (Some(&simd), _) => rows.downcast_mut().map(|rows| turn_16(simd, rows)).is_some(),
        (_, Some(&simd)) => rows.downcast_mut().map(|rows| turn_8(simd, rows)).is_some(),
        _ => false,
    }
}

#[inline(always)]
fn turn_16(simd: V4, square: &mut [[f32; 16]; 16]) {
    let avx = simd.avx512f;
    let mut rows: [__m512; 16] = bytemuck::cast(*square);
    for four in rows.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *four;
        let [low, high] = [avx._mm512_unpacklo_ps(a, b), avx._mm512_unpackhi_ps(a, b)].map(bytemuck::cast);
        let [low_2, high_2] = [avx._mm512_unpacklo_ps(c, d), avx._mm512_unpackhi_ps(c, d)].map(bytemuck::cast);
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
        rows[column] = avx._mm512_shuffle_f32x4::<EVEN>(even, even_2);
        rows[4 + column] = avx._mm512_shuffle_f32x4::<EVEN>(odd, odd_2);
        rows[8 + column] = avx._mm512_shuffle_f32x4::<ODD>(even, even_2);
        rows[12 + column] = avx._mm512_shuffle_f32x4::<ODD>(odd, odd_2);
    }
    *square = bytemuck::cast(rows);
}

/// Numbers of the 128 bits that are taken, two of each operand.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;

#[inline(always)]
fn turn_8(simd: V3, square: &mut [[f32; 8]; 8]) {
    let avx = simd.avx;
    let mut rows: [__m256; 8] = bytemuck::cast(*square);
    for four in rows.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *four;
        let [low, high] = [avx._mm256_unpacklo_ps(a, b), avx._mm256_unpackhi_ps(a, b)].map(bytemuck::cast);
        let [low_2, high_2] = [avx._mm256_unpacklo_ps(c, d), avx._mm256_unpackhi_ps(c, d)].map(bytemuck::cast);
        *four = [
            bytemuck::cast(avx._mm256_unpacklo_pd(low, low_2)),
            bytemuck::cast(avx._mm256_unpackhi_pd(low, low_2)),
            bytemuck::cast(avx._mm256_unpacklo_pd(high, high_2)),
            bytemuck::cast(avx._mm256_unpackhi_pd(high, high_2)),
        ];
    }
    for column in 0..4 {
        let [a, b] = [rows[column], rows[4 + column]];
        rows[column] = avx._mm256_permute2f128_ps::<FIRST>(a, b);
        rows[4 + column] = avx._mm256_permute2f128_ps::<SECOND>(a, b);
    }
    *square = bytemuck::cast(rows);
}

/// The first 128 bits of both operands, and the second.
const FIRST: i32 = 0x20;
const SECOND: i32 = 0x31;
