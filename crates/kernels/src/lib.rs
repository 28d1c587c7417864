//! Numeric kernels on plain slices: no tensors, no devices, no framework.
//!
//! Every kernel is generic over `f32` and `f64` and over the instruction set, and is tested over ragged shapes against a plain
//! specification. Reductions add in a fixed order that does not depend on the number of threads, so a result is bitwise the
//! same on one core or on sixty-four. The only `unsafe` is an array that is
//! not cleared before it is written (`memory.rs`), and the promise of each of its callers to write all of it.

pub mod channels;
pub mod convolution;
pub mod gate;
pub mod instructions;
mod memory;
pub mod operations;
pub mod pool;
pub mod projection;
pub mod random;
mod real;

pub use real::Real;
