//! The processes that a launcher has started to train one network together.
//!
//! With the feature `mpi` they are the ranks of an MPI job; without it a launcher's processes would each train by themselves into the same
//! folder, which is refused.

use std::time::Duration;

use anyhow::Result;
use foregrad_kernels::instructions;
use foregrad_lab::ranks::Team;

use crate::{Exit, exit_code, output, process, told, version};

#[cfg(feature = "mpi")]
mod message_passing;

/// What launchers tell a process of its job: OpenMPI's own, and those that it and others start processes by.
const OF_LAUNCHERS: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_SIZE", "PMI_RANK"];

/// How long another rank waits with an error, so that one that all have is told once, by the root.
const ROOT_FIRST: Duration = Duration::from_secs(5);

/// This process's place in a job.
pub struct Job {
    /// All processes of it.
    pub team: Team,
    #[cfg(feature = "mpi")]
    session: Option<message_passing::Session>,
}

impl Job {
    /// Joins the job that a launcher has started this process for; alone without any.
    ///
    /// # Errors
    /// A launcher and a program built without message passing; other ranks with another build or other instructions.
    pub fn joined() -> Result<Self> {
        let launcher = OF_LAUNCHERS.into_iter().find(|name| std::env::var_os(name).is_some());
        let job = Self::launched(launcher)?;
        job.team.agree("the program", &format!("foregrad {} with {}", version::FULL, instructions::name()))?;
        Ok(job)
    }

    #[cfg(feature = "mpi")]
    fn launched(launcher: Option<&str>) -> Result<Self> {
        let Some(_) = launcher else { return Ok(Self { team: Team::default(), session: None }) };
        let (session, ranks) = message_passing::joined()?;
        Ok(Self { team: Team::new(ranks), session: Some(session) })
    }

    #[cfg(not(feature = "mpi"))]
    fn launched(launcher: Option<&str>) -> Result<Self> {
        let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
        let is_single = || sizes.into_iter().find_map(|name| std::env::var(name).ok()).is_some_and(|size| size == "1");
        match launcher {
            Some(name) if !is_single() => anyhow::bail!(
                "a launcher has started this program as one of several ({name} is set), but it was built without message passing; \
                 build it with `--features mpi`, or start it by itself"
            ),
            _ => Ok(Self { team: Team::default() }),
        }
    }

    /// Ends this process's part: together with the others, or, after an error, all of them at once.
    ///
    /// # Errors
    /// That of a process that is alone.
    pub fn ended(self, ending: Result<Exit>) -> Result<Exit> {
        if self.team.is_alone() {
            return ending;
        }
        match ending {
            Ok(exit) => {
                // A launcher ends all of a job once one process has left with a code other than 0: none leaves before the root has written.
                self.team.wait()?;
                Ok(exit)
            }
            Err(error) => {
                if !self.team.is_root() {
                    std::thread::sleep(ROOT_FIRST);
                }
                let code = exit_code(&error);
                output::remark(format_args!("error: rank {}: {}", self.team.rank(), told(error)));
                self.abort(code)
            }
        }
    }

    #[cfg(feature = "mpi")]
    fn abort(self, code: u8) -> ! {
        match self.session {
            Some(session) => session.abort(code),
            None => process::leave(code),
        }
    }

    #[cfg(not(feature = "mpi"))]
    fn abort(self, code: u8) -> ! {
        process::leave(code)
    }
}
