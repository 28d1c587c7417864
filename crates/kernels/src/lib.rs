#![doc = include_str!("../README.md")]
//!
//! The only `unsafe` is an array that is not cleared before it is written, or is overwritten in place (`memory.rs`), and the promises of
//! their callers to write what is read of it, and to read before they write.

pub mod account;
pub mod addition;
pub mod channels;
pub mod convolution;
pub mod gate;
pub mod instructions;
mod memory;
pub mod operations;
mod parallel;
pub mod pool;
pub mod projection;
pub mod random;
mod real;
mod source;

pub use real::Real;
pub use source::{ChannelMap, Source};
