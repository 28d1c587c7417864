//! Ranks that are threads of one program.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::Ranks;
use crate::{Error, Result};

/// One thread among several.
#[derive(Debug)]
struct Thread {
    rank: usize,
    /// To every rank, itself included.
    to: Vec<Mutex<Sender<Vec<u8>>>>,
    /// From every rank.
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

/// Ranks for as many threads, one each; whoever waits for a rank that has been dropped is told.
pub fn threads(count: usize) -> Vec<Arc<dyn Ranks>> {
    // The channel from `a` to `b` is the `a count + b`-th.
    let (to, from): (Vec<_>, Vec<_>) = (0..count * count).map(|_| channel()).unzip();
    let mut from: Vec<Option<Receiver<_>>> = from.into_iter().map(Some).collect();
    let mut own_ends = |rank: usize| {
        let mut end = |other: usize| Mutex::new(from[other * count + rank].take().expect("one rank a receiver"));
        (0..count).map(&mut end).collect()
    };
    let received: Vec<Vec<_>> = (0..count).map(&mut own_ends).collect();
    let mut to = to.into_iter().map(Mutex::new);
    let ranks = received.into_iter().enumerate();
    ranks.map(|(rank, from)| Arc::new(Thread { rank, to: to.by_ref().take(count).collect(), from }) as _).collect()
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.to.len()
    }

    fn send(&self, to: usize, message: Vec<u8>) -> Result<()> {
        let sender = self.to[to].lock().unwrap_or_else(PoisonError::into_inner);
        sender.send(message).map_err(|_| ended(to))
    }

    fn receive(&self, from: usize) -> Result<Vec<u8>> {
        let receiver = self.from[from].lock().unwrap_or_else(PoisonError::into_inner);
        receiver.recv().map_err(|_| ended(from))
    }
}

fn ended(rank: usize) -> Error {
    Error::Worker(format!("rank {rank} has ended"))
}
