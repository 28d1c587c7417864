//! Runs of several processes, which a launcher starts.

use super::Study;
use crate::Result;
use crate::study::PlannedRun;

/// Stands for a run's number of processes in its launcher.
const RANKS: &str = "{ranks}";

impl Study {
    /// The words before the program's own that start a run's processes; none for a run of one process by itself.
    pub fn launch(&self, run: &PlannedRun) -> Vec<String> {
        let ranks = run.config.ranks.to_string();
        self.launcher.split_whitespace().map(|word| word.replace(RANKS, &ranks)).collect()
    }

    /// Several processes are started by a launcher that is told how many.
    pub(super) fn check_launcher(&self, runs: &[PlannedRun]) -> Result<()> {
        let Some(run) = runs.iter().find(|run| run.config.ranks > 1) else { return Ok(()) };
        if self.launcher.contains(RANKS) {
            return Ok(());
        }
        let found =
            format!("`launcher = \"{}\"` and a run with {} ranks, `{}`", self.launcher, run.config.ranks, run.name);
        Err(self.wrong(0, &format!("a launcher with {RANKS}, such as `launcher = \"mpirun -n {RANKS}\"`"), found))
    }
}
