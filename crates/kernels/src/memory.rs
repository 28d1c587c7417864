//! Arrays that begin at a cache line, and arrays that are written only once.

use std::mem::MaybeUninit;

use aligned_vec::{AVec, ConstAlign};
use pulp::Simd;

use crate::Real;
use crate::account::{self, Role};

/// An array that begins at a cache line, so that no vector lies on two.
pub(crate) type Aligned<T> = AVec<T, ConstAlign<64>>;

/// An array of `length` zeros.
pub(crate) fn aligned<T: Copy + Default>(length: usize) -> Aligned<T> {
    let mut values = AVec::new(64);
    values.resize(length, T::default());
    values
}

/// Makes an array as long, with whatever elements. One that is too small goes first, and the new one has no room to spare.
pub(crate) fn resize<T: Real>(values: &mut Aligned<T>, length: usize) {
    resize_with(values, length, T::default());
}

/// [`resize`] with some element where there is none yet.
fn resize_with<E: Copy>(values: &mut Aligned<E>, length: usize, element: E) {
    if values.capacity() < length {
        *values = AVec::new(64);
        values.reserve_exact(length);
    }
    values.resize(length, element);
}

/// An array to work in, from a cache line on. It is not cleared: whoever works in it writes what is read.
pub(crate) type Scratch<T> = Aligned<MaybeUninit<T>>;

/// An empty one.
pub(crate) fn scratch<T>() -> Scratch<T> {
    AVec::new(64)
}

/// Makes a scratch as long. Zeros where some of it is left out when it is written; otherwise, in tests, what is left out is not a number.
pub(crate) fn lay_out<T: Real>(scratch: &mut Scratch<T>, length: usize, has_gaps: bool) {
    resize_with(scratch, length, MaybeUninit::uninit());
    if has_gaps {
        scratch.fill(MaybeUninit::new(T::default()));
    } else if cfg!(test) {
        scratch.fill(MaybeUninit::new(T::of_f64(f64::NAN)));
    }
}

/// Elements of a scratch as registers.
///
/// # Panics
/// If they are no whole registers.
#[inline(always)]
pub(crate) fn registers_mut<T: Real, S: Simd>(elements: &mut [MaybeUninit<T>]) -> &mut [MaybeUninit<T::Vector<S>>] {
    let length = elements.len();
    // SAFETY: a register is made of elements, and neither needs to have been written; one that is written leaves elements.
    let (before, registers, behind) = unsafe { elements.align_to_mut() };
    assert!(before.is_empty() && behind.is_empty(), "{length} elements are no whole registers");
    registers
}

/// Places that registers are put to; what is there may never have been written.
pub(crate) struct Places<'a, V>(&'a mut [MaybeUninit<V>]);

impl<'a, V> Places<'a, V> {
    #[inline(always)]
    pub fn new(places: &'a mut [MaybeUninit<V>]) -> Self {
        Self(places)
    }

    /// Those of an array that has been written.
    #[inline(always)]
    pub fn over(values: &'a mut [V]) -> Self {
        // SAFETY: the same values, borrowed for as long, under a type of the same layout; nothing but values is ever put there.
        Self(unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) })
    }

    #[inline(always)]
    pub fn put(&mut self, place: usize, value: V) {
        self.0[place].write(value);
    }

    /// [`put`](Self::put) without a look at how many there are.
    ///
    /// # Safety
    /// The place must be one of them.
    #[inline(always)]
    pub unsafe fn put_unchecked(&mut self, place: usize, value: V) {
        // SAFETY: the caller's promise.
        unsafe { self.0.get_unchecked_mut(place) }.write(value);
    }

    /// How many there are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Those from one on.
    #[inline(always)]
    pub fn from(&mut self, place: usize) -> Places<'_, V> {
        Places(&mut self.0[place..])
    }
}

/// An array with zeros between the elements that are written: cleared when they come to lie otherwise, and not as long as the same are
/// overwritten.
pub(crate) struct Cleared<T, L> {
    pub values: Aligned<T>,
    /// How they lie. The default stands for no way: an `Option`'s `None` would be compared by a content that was never written, which does no
    /// harm and is reported by valgrind.
    layout: L,
}

impl<T: Real, L: Copy + Default + PartialEq> Cleared<T, L> {
    /// No elements.
    pub fn new() -> Self {
        Self { values: aligned(0), layout: L::default() }
    }

    /// As many elements that lie in a way, which is not the default.
    #[inline(always)]
    pub fn lay_out(&mut self, layout: L, length: usize) {
        if self.layout != layout {
            self.values.clear();
            resize(&mut self.values, length);
            self.layout = layout;
        }
    }

    /// As many elements for anything else.
    #[inline(always)]
    pub fn spoil(&mut self, length: usize) {
        resize(&mut self.values, length);
        self.layout = L::default();
    }
}

/// The first elements of an array, which is made longer if it has to be: whoever needs more and less in turn clears nothing twice.
pub(crate) fn first<T: Real>(values: &mut Aligned<T>, length: usize) -> &mut [T] {
    if values.len() < length {
        resize(values, length);
    }
    &mut values[..length]
}

/// Bytes that arrays take, with the room that they have to spare.
pub(crate) fn bytes<T, const N: usize>(arrays: [&Aligned<T>; N]) -> usize {
    arrays.iter().map(|values| values.capacity() * size_of::<T>()).sum()
}

/// Lets `write` put new elements in place of the old.
///
/// # Safety
/// `write` must leave an element wherever there was one.
pub(crate) unsafe fn overwritten<T: Real>(values: &mut [T], write: impl FnOnce(&mut [MaybeUninit<T>])) {
    let (start, length) = (values.as_mut_ptr().cast(), values.len());
    // SAFETY: the same elements, borrowed for as long, under a type of the same layout; the caller promises that none is taken away.
    let elements = unsafe { std::slice::from_raw_parts_mut(start, length) };
    account::within(Role::Scratch, || write(elements));
}

/// An array of `length` elements that `write` writes: not cleared first, which would be a pass over memory for nothing.
///
/// # Safety
/// `write` must write every element. In tests, those that it does not are not numbers.
pub(crate) unsafe fn written<T: Real>(length: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    // SAFETY: the caller's promise.
    let [values] = unsafe { written_each(length, |[elements]| write(elements)) };
    values
}

/// Several such arrays, which are written together.
///
/// # Safety
/// As [`written`].
pub(crate) unsafe fn written_each<T: Real, const N: usize>(
    length: usize,
    write: impl FnOnce([&mut [MaybeUninit<T>]; N]),
) -> [Vec<T>; N] {
    let mut arrays = [(); N].map(|()| Vec::with_capacity(length));
    let elements = arrays.each_mut().map(|values| &mut values.spare_capacity_mut()[..length]);
    account::within(Role::Scratch, || {
        write(elements.map(|elements| {
            if cfg!(test) {
                elements.fill(MaybeUninit::new(T::of_f64(f64::NAN)));
            }
            elements
        }));
    });
    for values in &mut arrays {
        // SAFETY: the capacity is there, and the caller promises that every element has been written.
        unsafe { values.set_len(length) };
    }
    arrays
}
