//! The `foregrad` binary: arguments, dispatch, exit codes; no algorithm.

fn main() {}
