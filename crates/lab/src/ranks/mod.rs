//! Processes that train one network together, and what they tell each other.
//!
//! [`Ranks`] is what carries messages: a library of message passing, or threads of one program ([`threads`]). A [`Team`] is what a run makes
//! of it: sums by one binary tree over the ranks' numbers, so that all have the same bits, whatever arrives first.
//!
//! Sums go towards rank 0, the root: at every level of the tree a rank sends what it has to its neighbour below and is done. So every rank but
//! the root sends one message a sum. The total comes back from the root, small ones from it to all at once, large ones along the tree.

mod message;
mod step;
mod team;
mod threads;

use std::fmt::Debug;

use crate::Result;

use message::Turn;
pub use step::Asked;
pub use team::Team;
pub use threads::threads;

/// What carries messages between processes that train one network.
pub trait Ranks: Debug + Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn count(&self) -> usize;

    /// Sends a message, which arrives after earlier ones to the same rank.
    ///
    /// # Errors
    /// The other process has ended.
    fn send(&self, to: usize, message: Vec<u8>) -> Result<()>;

    /// The next message of a rank.
    ///
    /// # Errors
    /// The other process has ended.
    fn receive(&self, from: usize) -> Result<Vec<u8>>;
}

/// One process by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn send(&self, to: usize, _message: Vec<u8>) -> Result<()> {
        unreachable!("there is no rank {to} beside the only one")
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        unreachable!("there is no rank {from} beside the only one")
    }
}
