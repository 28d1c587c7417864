//! The laboratory around [`foregrad`]: data sets, the training loop, studies and their reports.
//!
//! A [`train::RunConfig`] says all of a run, a [`train::Trainer`] runs it into a folder; a [`study::Study`] is a grid of such runs,
//! and [`report::write`] makes tables, charts and a page of a study's folder.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make and damage files on purpose"))]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod data;
pub mod parsers;
pub mod report;
pub mod study;
pub mod train;

pub use foregrad::{Error, Result};
