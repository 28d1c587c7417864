//! Numeric kernels on plain slices: no tensors, no devices, no framework.
//!
//! Every kernel file holds the *reference* first (generic over `f32` and `f64`, the specification and the fallback), then
//! whatever is faster with the same signature, then its tests over ragged shapes. Reductions add in a fixed order that does
//! not depend on the number of threads, so a result is bitwise the same on one core or on sixty-four.

pub mod channels;
pub mod convolution;
pub mod gate;
pub mod instructions;
pub mod memory;
pub mod operations;
pub mod projection;
mod real;

pub use real::Real;
