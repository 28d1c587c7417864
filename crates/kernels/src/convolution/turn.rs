//! Squares of elements turned round in registers.

use std::ops::{Deref, DerefMut};

use pulp::{Simd, bytemuck};

use crate::Real;

#[cfg(target_arch = "x86_64")]
mod x86;

/// An expression with the number of a register's lanes as a constant of the given name.
macro_rules! with_lanes {
    ($real:ty, $simd:ty, $lanes:ident => $work:expr) => {
        match size_of::<<$real as $crate::Real>::Vector<$simd>>() / size_of::<$real>() {
            16 => with_lanes!($lanes, 16, $work),
            8 => with_lanes!($lanes, 8, $work),
            4 => with_lanes!($lanes, 4, $work),
            2 => with_lanes!($lanes, 2, $work),
            _ => with_lanes!($lanes, 1, $work),
        }
    };
    ($lanes:ident, $count:literal, $work:expr) => {{
        const $lanes: usize = $count;
        $work
    }};
}
pub(super) use with_lanes;

/// A square of elements. Each row that fills a register lies in one cache line: a thread whose stack lies otherwise would be a third slower.
#[repr(align(64))]
pub(super) struct Square<T, const N: usize>([[T; N]; N]);

impl<T: Real, const N: usize> Square<T, N> {
    #[inline(always)]
    pub(super) fn zeros() -> Self {
        Self([[T::default(); N]; N])
    }

    /// Rows to columns.
    #[inline(always)]
    pub(super) fn turn<S: Simd>(&mut self, simd: S) {
        turn(simd, &mut self.0);
    }

    /// Its rows, as registers of as many lanes.
    #[inline(always)]
    pub(super) fn registers<S: Simd>(&mut self) -> &mut [T::Vector<S>] {
        bytemuck::cast_slice_mut(self.0.as_flattened_mut())
    }
}

impl<T, const N: usize> Deref for Square<T, N> {
    type Target = [[T; N]; N];

    #[inline(always)]
    fn deref(&self) -> &[[T; N]; N] {
        &self.0
    }
}

impl<T, const N: usize> DerefMut for Square<T, N> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [[T; N]; N] {
        &mut self.0
    }
}

/// Rows to columns, where they lie; each that fills a register in one cache line, if that is to be fast.
#[inline(always)]
pub(super) fn turn<T: Real, S: Simd, const N: usize>(simd: S, rows: &mut [[T; N]; N]) {
    #[cfg(target_arch = "x86_64")]
    if x86::turn(&simd, rows) {
        return;
    }
    let _ = simd;
    shuffled(rows);
}

/// Rows to columns on any machine: the second half of the rows is put between the first, `log2(N)` times, which the compiler makes shuffles of,
/// but with the square in memory between them.
#[inline(always)]
fn shuffled<T: Real, const N: usize>(rows: &mut [[T; N]; N]) {
    let mut left = N;
    while left > 1 {
        let mut merged = [[T::default(); N]; N];
        let (first, second) = rows.as_flattened().split_at(N * N / 2);
        let (pairs, _) = merged.as_flattened_mut().as_chunks_mut::<2>();
        for ((pair, &first), &second) in pairs.iter_mut().zip(first).zip(second) {
            *pair = [first, second];
        }
        *rows = merged;
        left /= 2;
    }
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::instructions;

    /// Turns a square of a register's lanes on the instruction set in use.
    struct Turn<T>(T);

    impl<T: Real> WithSimd for Turn<T> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            with_lanes!(T, S, LANES => {
                let mut block = Square::<T, LANES>::zeros();
                block.as_flattened_mut().iter_mut().enumerate().for_each(|(index, value)| *value = T::of_f64(index as f64));
                block.turn(simd);
                for (row, values) in block.iter().enumerate() {
                    for (column, value) in values.iter().enumerate() {
                        assert!(value.to_f64() == (column * LANES + row) as f64, "{LANES} lanes, [{row}, {column}]");
                    }
                }
            });
        }
    }

    #[test]
    fn rows_become_columns() {
        instructions::dispatch(Turn(0.0f32));
        instructions::dispatch(Turn(0.0f64));
    }
}
