//! One run of a study, in a process of its own: the other side of [`super::pool`].
//!
//! The parent asks by standard input: a line [`CHECKPOINT`] for a checkpoint, its end for an end. It ends with the parent
//! too, however that happened, so that no child outlives its parent for long.

use std::ffi::OsString;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use burn::tensor::DType;
use foregrad_lab::ranks::Team;
use foregrad_lab::study::{Attempt, PlannedRun, Terms, execute};
use foregrad_lab::train::{Control, Observer, RunConfig, StepReport, Trial};
use serde::{Deserialize, Serialize};

use crate::commands::trial::Meter;
use crate::{Exit, device, output, process};

/// Between two lines of progress.
const PERIOD: Duration = Duration::from_millis(200);

/// What the parent writes to have a checkpoint written.
pub const CHECKPOINT: &str = "checkpoint";

/// What a child tells its parent, a line of JSON each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A step is done.
    Step {
        /// Steps done and steps of the whole run.
        steps: [u64; 2],
        /// The network's loss.
        #[serde(with = "foregrad::numbers")]
        loss: f64,
    },
    /// The run has ended, and has a row.
    Ended,
    /// Another process holds the run: which one.
    Held(String),
    /// It was asked to stop.
    Stopped,
    /// The run may be another process's by now: why.
    Lost(String),
}

/// A run and all there is to know of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// The study's folder; its name may be no text.
    pub study: OsString,
    pub planned: PlannedRun,
    pub terms: Terms,
}

/// Works on a run until it ends.
pub fn run(Task { study, planned, terms }: &Task, team: &Team) -> Result<Exit> {
    device::set_threads(planned.config.threads)?;
    let control = process::requests()?;
    // The parent speaks to the root alone.
    if team.is_root() {
        let asked = control.clone();
        std::thread::spawn(move || listen(std::io::stdin().lock(), &asked));
    }
    let (placement, study) = (device::placement(&planned.config.device, DType::F32)?, Path::new(study));
    let observer: &mut dyn Observer = if team.is_root() { &mut Reporter { told: None } } else { &mut Meter };
    let attempt = execute(team, study, planned, placement, terms, &control, observer)?;
    if !team.is_root() {
        return Ok(Exit::Done);
    }
    let (message, ending) = match attempt {
        Attempt::Ended(_) => (Message::Ended, Exit::Done),
        Attempt::Held(holder) => (Message::Held(holder.to_string()), Exit::Done),
        Attempt::Stopped => (Message::Stopped, Exit::Done),
        Attempt::Lost(reason) => (Message::Lost(reason), Exit::Failed),
    };
    tell(&message);
    Ok(ending)
}

/// Does what the parent asks, until it asks for nothing more.
fn listen(parent: impl BufRead, control: &Arc<Control>) {
    for line in parent.lines().map_while(std::result::Result::ok) {
        if line == CHECKPOINT {
            control.checkpoint();
        }
    }
    control.stop();
}

/// Tells the parent, if it still listens.
fn tell(message: &Message) {
    // A parent that is gone has closed standard input too, which ends the run.
    let _ = output::line(serde_json::to_string(message).expect("a message is plain values"));
}

/// Passes steps on, not more often than a person reads.
struct Reporter {
    told: Option<Instant>,
}

impl Observer for Reporter {
    fn peak_memory(&self) -> u64 {
        Meter.peak_memory()
    }

    fn operations(&self) -> u64 {
        Meter.operations()
    }

    fn trial(&self, config: &RunConfig) -> foregrad::Result<Trial> {
        Meter.trial(config)
    }

    fn step(&mut self, report: &StepReport) {
        if self.told.is_none_or(|told| told.elapsed() >= PERIOD) {
            self.told = Some(Instant::now());
            tell(&Message::Step { steps: report.steps, loss: report.loss });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_asks_for_checkpoints_and_its_end_is_the_end() {
        let control = Arc::new(Control::default());
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let asked = control.clone();
        let listener = std::thread::spawn(move || listen(std::io::BufReader::new(reader), &asked));
        std::io::Write::write_all(&mut writer, b"checkpoint\nnonsense\n").expect("a listener");
        while !control.takes_checkpoint() {
            std::thread::yield_now();
        }
        assert!(!control.is_stopping());
        drop(writer);
        listener.join().expect("an end");
        assert!(control.is_stopping() && !control.is_abandoned());
    }

    #[test]
    fn every_loss_reaches_the_parent() {
        for loss in [f64::NAN, f64::INFINITY, 0.5] {
            let text = serde_json::to_string(&Message::Step { steps: [1, 2], loss }).expect("text");
            let Ok(Message::Step { loss: read, .. }) = serde_json::from_str(&text) else { panic!("{text}") };
            assert_eq!(read.to_bits(), loss.to_bits());
        }
    }
}
