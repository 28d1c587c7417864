//! How the process asks the system for memory, and arrays that are written only once.

use std::mem::MaybeUninit;

use aligned_vec::{AVec, ConstAlign};

use crate::Real;

/// An array that begins at a cache line, so that no vector lies on two.
pub(crate) type Aligned<T> = AVec<T, ConstAlign<64>>;

/// An array of `length` zeros.
pub(crate) fn aligned<T: Copy + Default>(length: usize) -> Aligned<T> {
    let mut values = AVec::new(64);
    values.resize(length, T::default());
    values
}

/// Keeps freed memory for the next step instead of handing every tensor back to the system.
///
/// A training step allocates and frees the same large arrays again and again; by default each of them is mapped afresh, and
/// the system clears every page on first touch. Kept memory is used again at once, and the peak is the same. Only glibc has
/// the switch; elsewhere nothing happens.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, libc::c_int::MAX), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX)] {
        // SAFETY: `mallopt` takes two integers and touches no memory of ours; it refuses values it does not know.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// An array of `length` elements that `write` writes: not cleared first, which would be a pass over memory for nothing.
///
/// # Safety
/// `write` must write every element. In tests, those that it does not are not numbers.
pub(crate) unsafe fn written<T: Real>(length: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    let elements = &mut values.spare_capacity_mut()[..length];
    if cfg!(test) {
        elements.fill(MaybeUninit::new(T::of_f64(f64::NAN)));
    }
    write(elements);
    // SAFETY: the capacity is there, and the caller promises that every element has been written.
    unsafe { values.set_len(length) };
    values
}
