//! The subcommands, one a file.

pub mod bench;
pub mod check;
pub mod data;
pub mod eval;
pub mod init;
pub mod methods;
pub mod model;
pub mod report;
pub mod shell;
pub mod step;
pub mod study;
pub mod train;
pub mod trial;
pub mod work;
