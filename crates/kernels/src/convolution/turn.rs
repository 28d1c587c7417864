//! Squares of elements turned round in registers.

use crate::Real;

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

/// Rows to columns: putting the second half of the rows between the first, `log2(N)` times, which the compiler makes
/// shuffles of.
#[inline(always)]
pub(super) fn turn<T: Real, const N: usize>(rows: &mut [[T; N]; N]) {
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
    use super::*;

    #[test]
    fn rows_become_columns() {
        let mut block = [[0.0f64; 8]; 8];
        block.as_flattened_mut().iter_mut().enumerate().for_each(|(index, value)| *value = index as f64);
        turn(&mut block);
        for (row, values) in block.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                assert!(value == (column * 8 + row) as f64);
            }
        }
    }
}
