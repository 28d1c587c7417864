#![doc = include_str!("../README.md")]
//!
//! # Glossary
//! | word | meaning |
//! |---|---|
//! | `x`, `y` | primal: a layer's input and output, `[n, channels, height, width]` |
//! | `x_dot`, `y_dot` | tangent: `k` of them are stacked along the batch axis, direction by direction, `[k n, ...]` |
//! | `x_bar`, `y_bar` | cotangent: the gradient of a scalar with respect to `x`, `y` |
//! | `theta`, `theta_dot`, `theta_bar` | parameters, a direction in their space, a gradient in their space |
//! | target | the gradient that is wanted, known only through inner products |
//! | guess | the direction along which it is measured |
//! | space | where target and guess live: `weight` or `activity` (a block's output) |
//! | slot | what one scalar covers: a tensor, a block, the network; a sample, the mini-batch |
//! | horizon | how many blocks further on the loss of a target, or of a guess, stands |
//! | JVP, VJP | Jacobian-vector product (a tangent pushed forward), vector-Jacobian product (a cotangent pulled back) |
//! | block, trunk, head | a stretch of the network; all of them; a block's auxiliary net with its loss |
//! | oracle | the same step with targets by reverse mode: exact, for comparison |
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose"))]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod account;
pub mod baseline;
pub mod check;
pub mod error;
pub mod estimate;
pub mod files;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod numbers;
pub mod ops;
pub mod optim;
pub mod rng;
mod saved;
pub mod settings;
pub mod vector;
pub mod weights;

pub use error::{Error, Result};
