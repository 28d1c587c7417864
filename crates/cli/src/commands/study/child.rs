//! One run of a study, in a process of its own: the other side of [`super::pool`].
//!
//! The process ends with its parent: it reads standard input, which closes when the parent is gone, however that happened.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use burn::tensor::DType;
use foregrad::study::{Attempt, Planned, execute};
use foregrad::train::{Observer, StepReport};
use serde::{Deserialize, Serialize};

use crate::{Ending, device, output, process, version};

/// Between two lines of progress.
const PERIOD: Duration = Duration::from_millis(200);

/// What a child tells its parent, a line of JSON each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A step is done.
    Step {
        /// Steps done and steps of the whole run.
        steps: [u64; 2],
        /// The network's loss.
        loss: f64,
    },
    /// The run has ended, and has a row.
    Ended,
    /// Another process, on this host, holds the run.
    Held(String),
    /// It was asked to stop.
    Stopped,
}

/// Works on a run until it ends.
pub fn run(study: &Path, planned: &Planned) -> Result<Ending> {
    device::set_threads(planned.config.threads)?;
    let control = process::requests()?;
    let orphaned = control.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        orphaned.stop();
    });
    let placement = device::placement(&planned.config.device, DType::F32)?;
    let attempt = execute(study, planned, placement, version::FULL, &control, &mut Reporter { told: None })?;
    let message = match attempt {
        Attempt::Ended(_) => Message::Ended,
        Attempt::Held(holder) => Message::Held(format!("process {} on {}", holder.process, holder.host)),
        Attempt::Stopped => Message::Stopped,
    };
    tell(&message);
    Ok(Ending::Done)
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
    fn step(&mut self, report: &StepReport) {
        if self.told.is_none_or(|told| told.elapsed() >= PERIOD) {
            self.told = Some(Instant::now());
            tell(&Message::Step { steps: report.steps, loss: report.loss });
        }
    }
}
