//! Ranks of an MPI job.

use std::sync::Arc;

use anyhow::{Context, Result};
use foregrad_lab::ranks::Ranks;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};

/// Bytes a message at most: MPI counts them in 31 bits. Longer ones are followed by their rest, to one that is shorter.
const PIECE: usize = 1 << 30;

/// The job's beginning and end.
pub struct Session {
    universe: Universe,
}

impl Session {
    /// Ends all processes of the job.
    pub fn abort(self, code: u8) -> ! {
        self.universe.world().abort(code.into())
    }
}

/// The world of a job: MPI ends all of it where a process is gone, so that no call fails.
#[derive(Debug)]
struct World {
    rank: usize,
    count: usize,
}

/// Joins the job.
///
/// # Errors
/// A library of message passing that has been started already.
pub fn joined() -> Result<(Session, Arc<dyn Ranks>)> {
    // Messages are sent by the thread that trains alone.
    let (universe, _) = mpi::initialize_with_threading(mpi::Threading::Serialized).context("MPI cannot be started")?;
    let world = universe.world();
    let ranks = World { rank: world.rank() as usize, count: world.size() as usize };
    Ok((Session { universe }, Arc::new(ranks)))
}

impl Ranks for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn send(&self, to: usize, message: Vec<u8>) -> foregrad::Result<()> {
        let world = SimpleCommunicator::world();
        let other = world.process_at_rank(to as i32);
        let mut rest = &message[..];
        while rest.len() >= PIECE {
            let (piece, after) = rest.split_at(PIECE);
            other.send(piece);
            rest = after;
        }
        other.send(rest);
        Ok(())
    }

    fn receive(&self, from: usize) -> foregrad::Result<Vec<u8>> {
        let world = SimpleCommunicator::world();
        let other = world.process_at_rank(from as i32);
        let (mut message, _) = other.receive_vec::<u8>();
        let mut is_whole = message.len() < PIECE;
        while !is_whole {
            let (piece, _) = other.receive_vec::<u8>();
            is_whole = piece.len() < PIECE;
            message.extend(piece);
        }
        Ok(message)
    }
}
