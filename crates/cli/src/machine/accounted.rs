//! An allocator that tells an account of memory of each of its arrays.

#![allow(unsafe_code, reason = "an allocator hands out addresses")]

use std::alloc::{GlobalAlloc, Layout};

use foregrad_kernels::account;

/// Another allocator, with its arrays noted as long as an account is open.
pub struct Accounted<A>(pub A);

// SAFETY: every array is the other allocator's, asked for and given back by the caller's own layout.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Accounted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        noted(unsafe { self.0.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        noted(unsafe { self.0.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, array: *mut u8, layout: Layout) {
        // Before another thread can be given the same address.
        account::freed(array.addr(), layout.size());
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(array, layout) };
    }

    unsafe fn realloc(&self, array: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        account::freed(array.addr(), layout.size());
        // SAFETY: the caller's promise.
        let moved = unsafe { self.0.realloc(array, layout, size) };
        if moved.is_null() {
            noted(array, layout.size());
        }
        noted(moved, size)
    }
}

fn noted(array: *mut u8, size: usize) -> *mut u8 {
    if !array.is_null() {
        account::allocated(array.addr(), size);
    }
    array
}
