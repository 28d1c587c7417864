//! The program's version.

/// Version and source revision.
pub const FULL: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FOREGRAD_REVISION"), ")");
