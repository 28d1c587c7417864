//! The maps at the type of their elements, compiled in this crate.
//!
//! Whether the compiler keeps a product's sums in registers hangs on what else it compiles beside it: a generic kernel that is compiled in the
//! crate that calls it has been seen to take seven times as long. So the generic functions end here, and a program gets the same machine code
//! whatever else it is made of.

use std::mem::MaybeUninit;

use super::inner;
use super::outer::{self, Sizes, Term};
use super::shape::{Convolution, Grid};
use super::target::Target;
use super::winograd::{self, Map, Sums};
use crate::source::Source;

/// What convolutions are made of, for one type of elements.
pub trait Compiled: Sized {
    /// As `outer::sum`.
    #[doc(hidden)]
    fn sum_of_windows(sizes: &Sizes, grid: &Grid, terms: &[Term<'_, Self>], target: &mut [MaybeUninit<Self>]);

    /// As `winograd::sum`.
    ///
    /// # Safety
    /// As there.
    #[doc(hidden)]
    unsafe fn sum_of_tiles(sizes: &Sizes, map: &Map, terms: &[Term<'_, Self>], target: Target<'_, Self>);

    /// As `winograd::sums`.
    ///
    /// # Safety
    /// As there.
    #[doc(hidden)]
    unsafe fn sums_of_tiles(sizes: &Sizes, map: &Map, sums: &Sums<'_, Self>, targets: &mut [Target<'_, Self>]);

    /// As `inner::weight_cotangent`.
    #[doc(hidden)]
    fn weight_cotangent_of_windows(convolution: &Convolution, x: Source<'_, Self>, y_bar: &[Self]) -> Vec<Self>;

    /// As `winograd::weight_cotangent`.
    #[doc(hidden)]
    fn weight_cotangent_of_tiles(convolution: &Convolution, x: Source<'_, Self>, y_bar: &[Self]) -> Vec<Self>;
}

macro_rules! compiled {
    ($($real:ident),*) => {$(
        impl Compiled for $real {
            fn sum_of_windows(sizes: &Sizes, grid: &Grid, terms: &[Term<'_, $real>], target: &mut [MaybeUninit<$real>]) {
                outer::sum(sizes, grid, terms, target);
            }

            unsafe fn sum_of_tiles(sizes: &Sizes, map: &Map, terms: &[Term<'_, $real>], target: Target<'_, $real>) {
                // SAFETY: the caller's promise.
                unsafe { winograd::sum(sizes, map, terms, target) };
            }

            unsafe fn sums_of_tiles(
                sizes: &Sizes,
                map: &Map,
                sums: &Sums<'_, $real>,
                targets: &mut [Target<'_, $real>],
            ) {
                // SAFETY: the caller's promise.
                unsafe { winograd::sums(sizes, map, sums, targets) };
            }

            fn weight_cotangent_of_windows(convolution: &Convolution, x: Source<'_, $real>, y_bar: &[$real]) -> Vec<$real> {
                inner::weight_cotangent(convolution, x, y_bar)
            }

            fn weight_cotangent_of_tiles(
                convolution: &Convolution,
                x: Source<'_, $real>,
                y_bar: &[$real],
            ) -> Vec<$real> {
                winograd::weight_cotangent(convolution, x, y_bar)
            }
        }
    )*};
}

compiled!(f32, f64);
