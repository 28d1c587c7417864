//! The two floating-point types that the kernels are generic over, and their vectors.

use std::ops::{Add, Div, Mul, Neg, Sub};

use pulp::{Simd, bytemuck::Pod};

use crate::convolution::Compiled;
use crate::random::Precision;

/// A real number a kernel computes with: `f32` in training, `f64` in the derivative tests.
pub trait Real:
    Pod
    + PartialOrd
    + Default
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Compiled
    + Precision
{
    /// A register of an instruction set.
    type Vector<S: Simd>: Pod + Send + Sync;

    /// The value as `f64`, in which long sums are accumulated.
    fn to_f64(self) -> f64;
    /// The nearest value.
    fn of_f64(value: f64) -> Self;
    /// A register of equal values.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    /// `a b + c`, lane by lane, rounded once.
    fn multiply_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    /// `a + b`, lane by lane.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a - b`, lane by lane.
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b`, lane by lane.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `0` where `y <= 0`, else `v`, lane by lane.
    fn gated<S: Simd>(simd: S, v: Self::Vector<S>, y: Self::Vector<S>) -> Self::Vector<S>;
    /// The sum of a register's lanes.
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
}

macro_rules! real {
    ($real:ident, $vector:ident, $splat:ident, $mul_add:ident, $add:ident, $sub:ident, $mul:ident, $sum:ident, $at_most:ident, $select:ident) => {
        impl Real for $real {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "rounding to the nearest value is what is wanted")]
            fn of_f64(value: f64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn multiply_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn gated<S: Simd>(simd: S, v: S::$vector, y: S::$vector) -> S::$vector {
                let zero = simd.$splat(0.0);
                simd.$select(simd.$at_most(y, zero), zero, v)
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$sum(a)
            }
        }
    };
}

real!(
    f32,
    f32s,
    splat_f32s,
    mul_add_e_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    reduce_sum_f32s,
    less_than_or_equal_f32s,
    select_f32s
);
real!(
    f64,
    f64s,
    splat_f64s,
    mul_add_e_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    reduce_sum_f64s,
    less_than_or_equal_f64s,
    select_f64s
);
