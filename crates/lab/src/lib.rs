#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose"))]
#![deny(clippy::print_stdout, clippy::print_stderr)]

/// The snippets of the repository's documents compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/extending.md")]
struct Documents;

pub mod data;
pub mod parsers;
pub mod ranks;
pub mod report;
pub mod study;
pub mod train;

pub use foregrad::{Error, Result};
