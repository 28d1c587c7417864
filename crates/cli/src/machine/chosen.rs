//! The allocator of this build: the program's own heap, or another that a feature names, to compare with.

use super::Accounted;

/// The allocator, with its arrays noted as long as an account is open.
pub type Chosen = Accounted<choice::Allocator>;

/// The one there is.
pub const CHOSEN: Chosen = Accounted(choice::ALLOCATOR);

/// The allocator's name, unless it is the program's own heap.
pub const NAME: Option<&str> = choice::NAME;

#[cfg(not(any(feature = "allocator-system", feature = "allocator-jemalloc", feature = "allocator-mimalloc")))]
mod choice {
    pub(super) use crate::machine::heap::Heap as Allocator;

    pub(super) const ALLOCATOR: Allocator = Allocator;
    pub(super) const NAME: Option<&str> = None;
}

#[cfg(feature = "allocator-system")]
mod choice {
    pub(super) use std::alloc::System as Allocator;

    pub(super) const ALLOCATOR: Allocator = Allocator;
    pub(super) const NAME: Option<&str> = Some("system");
}

#[cfg(all(feature = "allocator-jemalloc", not(feature = "allocator-system")))]
mod choice {
    pub(super) use tikv_jemallocator::Jemalloc as Allocator;

    pub(super) const ALLOCATOR: Allocator = Allocator;
    pub(super) const NAME: Option<&str> = Some("jemalloc");
}

#[cfg(all(feature = "allocator-mimalloc", not(any(feature = "allocator-system", feature = "allocator-jemalloc"))))]
mod choice {
    pub(super) use mimalloc::MiMalloc as Allocator;

    pub(super) const ALLOCATOR: Allocator = Allocator;
    pub(super) const NAME: Option<&str> = Some("mimalloc");
}
