//! One run of a study: claimed, begun or gone on with, and written down.

use std::path::Path;

use super::claim::{Claim, Holder};
use super::planned::Planned;
use super::results::run_folder;
use super::{Machine, Row};
use crate::rng::Placement;
use crate::train::{Changes, Control, Observer, Outcome, RunFolder, Trainer};
use crate::{Error, Result};

/// How an attempt at a run ended.
#[derive(Debug)]
pub enum Attempt {
    /// The run has ended, and this is its row.
    Ended(Box<Row>),
    /// Another process holds it.
    Held(Holder),
    /// It was asked to stop, and goes on from its checkpoint the next time.
    Stopped,
}

/// Runs one run of a study's folder to its end: from its newest checkpoint if it has one. A run that has a row is left alone.
///
/// A run that cannot go on (a loss that is not finite) ends with a row that says so.
///
/// # Errors
/// Whatever has nothing to do with the run itself: data that is missing, a damaged checkpoint, a full disk. There is no row
/// then, and the run can be tried again.
pub fn execute(
    study: &Path,
    planned: &Planned,
    placement: Placement,
    version: &str,
    control: &Control,
    observer: &mut dyn Observer,
) -> Result<Attempt> {
    let folder = run_folder(study, &planned.name);
    let claim = match Claim::take(study, &folder)? {
        Ok(claim) => claim,
        Err(holder) => return Ok(Attempt::Held(holder)),
    };
    // Looked for only now: whoever held the run before may have ended it.
    if let Some(row) = Row::read(&folder)? {
        return Ok(Attempt::Ended(Box::new(row)));
    }
    let outcome = train(&folder, planned, placement, control, observer);
    if claim.is_lost() {
        return Ok(Attempt::Stopped);
    }
    let machine = Machine::this(&planned.config, version);
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

/// Trains a run to its end; false if it was asked to stop.
fn train(
    folder: &Path,
    planned: &Planned,
    placement: Placement,
    control: &Control,
    observer: &mut dyn Observer,
) -> Result<bool> {
    let config = &planned.config;
    let mut trainer = if RunFolder::has_checkpoint(folder)? {
        let changes = Changes { epochs: None, data_dir: config.data.dir.clone() };
        Trainer::resume(folder, None, &changes, placement)?
    } else {
        Trainer::start(config, placement, folder, true)?
    };
    if trainer.is_complete() {
        return Ok(true);
    }
    Ok(matches!(trainer.run(control, observer)?, Outcome::Done(_)))
}
