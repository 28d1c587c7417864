#![doc = include_str!("../README.md")]
//!
//! The only `unsafe` is an array that is not cleared before it is written (`memory.rs`), and the promise of each of its callers to
//! write all of it.

pub mod account;
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
