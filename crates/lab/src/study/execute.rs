//! One run of a study: claimed, begun or resumed, and its row written.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::claim::{Claim, Holder, Sighting};
use super::planned_run::PlannedRun;
use super::results::run_folder;
use super::{Machine, Row};
use crate::ranks::Team;
use crate::train::{Changes, Control, Observer, Outcome, RunFolder, Trainer};
use crate::{Error, Result};
use foregrad::rng::Placement;

/// How an attempt at a run ended.
#[derive(Debug)]
pub enum Attempt {
    /// The run has ended, and this is its row.
    Ended(Box<Row>),
    /// Another process works on it.
    Held(Holder),
    /// It was asked to stop, and continues from its checkpoint the next time.
    Stopped,
    /// Its claim is lost, and why; nothing was written since that was known.
    Lost(String),
}

/// What an attempt needs to know besides the run's settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Terms {
    /// The program's version and source revision, for the row.
    pub version: String,
    /// Whether a run that failed is tried again, if it would not fail in the same way to the last bit.
    pub retry_failed: bool,
    /// The claim that a [`super::Watch`] saw unchanged for its whole waiting time, and that may be taken over.
    pub silent: Option<Sighting>,
}

/// Runs one run of a study's folder to its end: from its newest checkpoint if it has one. A run that has a row is left alone.
///
/// A run that cannot continue (its loss is not finite) ends with a row that says so. Of several processes the root claims the run and writes
/// its row, the others train with it.
///
/// # Errors
/// Whatever has nothing to do with the run itself: data that is missing, a damaged checkpoint, a full disk. There is no row
/// then, and the run can be tried again.
pub fn execute(
    team: &Team,
    study: &Path,
    planned: &PlannedRun,
    placement: Placement,
    terms: &Terms,
    control: &Arc<Control>,
    observer: &mut dyn Observer,
) -> Result<Attempt> {
    let folder = run_folder(study, &planned.name);
    if !team.is_root() {
        return follow(team, &folder, planned, placement, control, observer);
    }
    let abandoned = control.clone();
    let claim = match Claim::take(&folder, terms.silent.as_ref(), move || abandoned.abandon())? {
        Ok(claim) => claim,
        Err(holder) => {
            Beginning::Nothing.told(team)?;
            return Ok(Attempt::Held(holder));
        }
    };
    // Looked for only now: whoever held the run before may have ended it.
    if let Some(row) = Row::read(&folder)? {
        let machine = Machine::this(&planned.config, &terms.version);
        if !terms.retry_failed || !row.is_failed() || row.is_replayed(&folder, &planned.config, &machine)? {
            Beginning::Nothing.told(team)?;
            return Ok(Attempt::Ended(Box::new(row)));
        }
        Row::remove(&folder)?;
    }
    let beginning = if RunFolder::has_checkpoint(&folder)? { Beginning::Checkpoint } else { Beginning::Start };
    beginning.told(team)?;
    let outcome = train(beginning, team, &folder, planned, placement, control, observer);
    // Looked at anew: what follows writes.
    let loss = match claim.loss() {
        Ok(loss) => loss,
        Err(unknown) => return Err(outcome.err().unwrap_or(unknown)),
    };
    if let Some(loss) = loss {
        let after = outcome.err().filter(|error| !matches!(error, Error::Stopped));
        return Ok(Attempt::Lost(after.map_or(loss.clone(), |error| format!("{loss}; {error}"))));
    }
    let machine = Machine::this(&planned.config, &terms.version);
    let row = match outcome {
        Ok(false) => return Ok(Attempt::Stopped),
        Ok(true) => Row::done(planned, &RunFolder::epochs(&folder)?, machine)
            .ok_or_else(|| Error::bad_file(&folder, "a finished run", "one without epochs"))?,
        Err(error @ Error::NotFinite { .. }) => Row::failed(planned, &error, machine),
        Err(error) => return Err(error),
    };
    row.write(&folder)?;
    Ok(Attempt::Ended(Box::new(row)))
}

/// How a run begins, which the root decides for all.
#[derive(Clone, Copy, PartialEq)]
enum Beginning {
    /// There is nothing to do.
    Nothing,
    /// From the newest checkpoint.
    Checkpoint,
    /// From fresh weights.
    Start,
}

impl Beginning {
    /// The root's.
    fn told(self, team: &Team) -> Result<Self> {
        let all = [Self::Nothing, Self::Checkpoint, Self::Start];
        let told = team.of_root((self as usize).to_string())?;
        let place = told.parse::<usize>().ok().and_then(|place| all.get(place).copied());
        place.ok_or_else(|| Error::Worker(format!("the root begins by `{told}`, which means nothing")))
    }
}

/// Trains with the root, which has the claim and writes the row.
fn follow(
    team: &Team,
    folder: &Path,
    planned: &PlannedRun,
    placement: Placement,
    control: &Control,
    observer: &mut dyn Observer,
) -> Result<Attempt> {
    let beginning = Beginning::Nothing.told(team)?;
    if beginning != Beginning::Nothing {
        match train(beginning, team, folder, planned, placement, control, observer) {
            // Of all ranks alike: the root's row says so.
            Ok(_) | Err(Error::NotFinite { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Attempt::Stopped)
}

/// Trains a run to its end; false if it was asked to stop.
fn train(
    beginning: Beginning,
    team: &Team,
    folder: &Path,
    planned: &PlannedRun,
    placement: Placement,
    control: &Control,
    observer: &mut dyn Observer,
) -> Result<bool> {
    let config = &planned.config;
    let mut trainer = if beginning == Beginning::Checkpoint {
        let changes = Changes {
            data_dir: config.data.dir.clone(),
            dataset: Some(config.data.dataset.clone()),
            ..Default::default()
        };
        Trainer::resume_among(team.clone(), folder, None, &changes, placement)?
    } else {
        match config.within_budget(observer) {
            // Whatever was measured was asked to end as well.
            Err(_) if control.is_stopping() => return Ok(false),
            within => Trainer::start_among(team.clone(), &within?, placement, folder, true)?,
        }
    };
    if trainer.is_complete() {
        return Ok(true);
    }
    Ok(matches!(trainer.run(control, observer)?, Outcome::Done(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Study;
    use crate::train::StepReport;

    const TEXT: &str = "
name = 's'
question = '?'
[base]
epochs = 2
batch = 20
checkpoint-every = 1
data = { dataset = 'glyphs', train-limit = 60, test-limit = 20 }
model = { name = 'mlp', width = 0.25 }
";

    fn on_cpu() -> Placement {
        Placement { device: Default::default(), dtype: burn::tensor::DType::F32 }
    }

    fn planned(text: &str) -> PlannedRun {
        Study::from_toml(text, Path::new("s.toml")).and_then(|study| study.runs()).expect("runs").remove(0)
    }

    fn attempt(study: &Path, planned: &PlannedRun, terms: &Terms, observer: &mut dyn Observer) -> Result<Attempt> {
        execute(&Team::default(), study, planned, on_cpu(), terms, &Arc::new(Control::default()), observer)
    }

    /// What a run's folder holds but for the claims, by name.
    fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|file| file.path());
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().to_string();
        let mut content: Vec<_> = files
            .map(|path| (name(&path), std::fs::read(&path).expect("a file")))
            .filter(|(name, _)| !name.starts_with("claim"))
            .collect();
        content.sort();
        content
    }

    /// Takes the run over from outside at the first step of the second epoch, and remembers what was there.
    struct Thief<'a> {
        folder: &'a Path,
        before: Vec<(String, Vec<u8>)>,
    }

    impl Observer for Thief<'_> {
        fn step(&mut self, report: &StepReport) {
            if report.epoch == 1 && self.before.is_empty() {
                std::fs::write(self.folder.join("claim-9.json"), "another's").expect("a file");
                self.before = content(self.folder);
            }
        }
    }

    #[test]
    fn a_run_that_is_lost_is_told_and_has_no_row() {
        let dir = tempfile::tempdir().expect("a folder");
        let planned = planned(TEXT);
        let folder = run_folder(dir.path(), &planned.name);
        let mut thief = Thief { folder: &folder, before: Vec::new() };
        let attempt = attempt(dir.path(), &planned, &Terms::default(), &mut thief).expect("an end");
        let Attempt::Lost(reason) = attempt else { panic!("{attempt:?}") };
        assert!(reason.contains("took it over"), "{reason}");
        assert_eq!(Row::read(&folder).expect("readable"), None);
        assert!(!thief.before.is_empty());
    }

    #[test]
    fn a_run_that_is_lost_tells_what_had_gone_wrong_before() {
        use foregrad::files::fault::{Fault, Injected, Injection, Operation, inject_into};
        /// As the thief, on a disk that is full from then on.
        struct Unlucky<'a>(Thief<'a>, Option<Injected>);
        impl Observer for Unlucky<'_> {
            fn step(&mut self, report: &StepReport) {
                self.0.step(report);
                if !self.0.before.is_empty() {
                    let under = self.0.folder.join("metrics.jsonl");
                    let plan = Injection { under, at: 0, fault: Fault::Error(libc::ENOSPC), lasting: true };
                    self.1.get_or_insert_with(|| inject_into(Operation::Write, plan));
                }
            }
        }
        let dir = tempfile::tempdir().expect("a folder");
        let planned = planned(TEXT);
        let folder = run_folder(dir.path(), &planned.name);
        let mut unlucky = Unlucky(Thief { folder: &folder, before: Vec::new() }, None);
        let attempt = attempt(dir.path(), &planned, &Terms::default(), &mut unlucky).expect("an end");
        let Attempt::Lost(reason) = attempt else { panic!("{attempt:?}") };
        assert!(reason.contains("took it over") && reason.contains("metrics.jsonl"), "{reason}");
    }

    #[test]
    fn a_run_that_may_be_lost_has_no_row() {
        use foregrad::files::fault::{Fault, Injected, Injection, Operation, inject_into};
        /// Nothing in the folder can be listed any more, from the first step on.
        struct Away<'a>(&'a Path, Option<Injected>);
        impl Observer for Away<'_> {
            fn step(&mut self, _: &StepReport) {
                let plan = Injection { under: self.0.into(), at: 0, fault: Fault::Error(libc::ESTALE), lasting: true };
                self.1.get_or_insert_with(|| inject_into(Operation::List, plan));
            }
        }
        let dir = tempfile::tempdir().expect("a folder");
        let planned = planned(&TEXT.replace("epochs = 2", "epochs = 2\noptimizer = { rate = 1e30 }"));
        let folder = run_folder(dir.path(), &planned.name);
        let mut away = Away(&folder, None);
        let attempt = attempt(dir.path(), &planned, &Terms::default(), &mut away);
        assert!(attempt.is_err(), "whose the run is cannot be known: {attempt:?}");
        drop(away.1);
        assert_eq!(Row::read(&folder).expect("readable"), None);
    }

    #[test]
    fn a_run_that_is_abandoned_writes_nothing_more() {
        /// Abandons the run at the first step of the second epoch.
        struct Leaver<'a> {
            control: &'a Control,
            folder: &'a Path,
            before: Vec<(String, Vec<u8>)>,
        }
        impl Observer for Leaver<'_> {
            fn step(&mut self, report: &StepReport) {
                if report.epoch == 1 && self.before.is_empty() {
                    self.before = content(self.folder);
                    self.control.abandon();
                }
            }
        }
        let dir = tempfile::tempdir().expect("a folder");
        let planned = planned(TEXT);
        let folder = run_folder(dir.path(), &planned.name);
        let control = Arc::new(Control::default());
        let mut leaver = Leaver { control: &control, folder: &folder, before: Vec::new() };
        let terms = Terms::default();
        let attempt = execute(&Team::default(), dir.path(), &planned, on_cpu(), &terms, &control.clone(), &mut leaver)
            .expect("an end");
        assert!(matches!(attempt, Attempt::Stopped), "{attempt:?}");
        assert_eq!(content(&folder), leaver.before);
    }

    #[test]
    fn a_failed_run_is_tried_again_where_that_can_make_a_difference() {
        let dir = tempfile::tempdir().expect("a folder");
        let planned = planned(&TEXT.replace("epochs = 2", "epochs = 2\noptimizer = { rate = 1e30 }"));
        /// Whether the run was run.
        struct Seen(bool);
        impl Observer for Seen {
            fn step(&mut self, _: &StepReport) {
                self.0 = true;
            }
        }
        let run = |version: &str, retry_failed| {
            let terms = Terms { version: version.into(), retry_failed, silent: None };
            let mut seen = Seen(false);
            let Attempt::Ended(row) = attempt(dir.path(), &planned, &terms, &mut seen).expect("an end") else {
                panic!("it ends")
            };
            assert!(row.is_failed());
            (row.machine.version, seen.0)
        };
        let tries = [("1", false), ("2", false), ("1", true), ("2", true)].map(|(version, retry)| run(version, retry));
        let expected = [("1", true), ("1", false), ("1", false), ("2", true)];
        assert_eq!(
            tries,
            expected.map(|(version, is_run)| (version.to_string(), is_run)),
            "version and whether it ran"
        );
    }
}
