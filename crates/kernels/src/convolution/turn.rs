//! Squares of elements turned round in registers.

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

/// Rows, which lie anywhere, to columns, one register each: as many as a register has lanes ([`with_lanes`]).
#[inline(always)]
pub(super) fn turned<T: Real, S: Simd, const N: usize>(simd: S, rows: &[&[T; N]; N]) -> [T::Vector<S>; N] {
    let mut columns = [T::splat(simd, T::default()); N];
    #[cfg(target_arch = "x86_64")]
    if x86::turn(&simd, rows, &mut columns) {
        return columns;
    }
    let mut square = [[T::default(); N]; N];
    for (square, &row) in square.iter_mut().zip(rows) {
        *square = *row;
    }
    shuffled(&mut square);
    let elements: &mut [T] = bytemuck::cast_slice_mut(&mut columns);
    elements.copy_from_slice(square.as_flattened());
    columns
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
                let mut rows = [[T::default(); LANES]; LANES];
                rows.as_flattened_mut().iter_mut().enumerate().for_each(|(index, value)| *value = T::of_f64(index as f64));
                let columns = turned::<T, S, LANES>(simd, &rows.each_ref());
                for (row, values) in bytemuck::cast_slice::<_, T>(&columns).chunks_exact(LANES).enumerate() {
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
