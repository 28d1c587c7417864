//! Formats of files: what a file is, whatever its name says, and every parser by name.

mod known;
mod parsers;

pub use known::{unlike, what_is};
pub use parsers::{Format, all};
