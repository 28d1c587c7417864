//! What the fuzzer and the ordinary tests share: changes to files, and the repair of what would hide them.

pub mod mend;
pub mod mutate;
