//! Progress on standard error: a bar with images a second, the loss and the time left.

use foregrad::train::{EpochRecord, Observer, ProbeRecord, Score, StepReport};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Shows a run's progress, and hands its epochs to standard output as JSON lines if that is wanted.
pub struct Progress {
    bar: ProgressBar,
    json: bool,
    quiet: bool,
    began: std::time::Instant,
    done: u64,
}

impl Progress {
    /// Progress of a run; nothing is drawn if it is quiet or standard error is no terminal.
    pub fn new(quiet: bool, json: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("{bar:24} step {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.expect("a template without mistakes"));
        Self { bar, json, quiet, began: std::time::Instant::now(), done: 0 }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.bar.suspend(|| output::remark(line));
        }
    }
}

impl Observer for Progress {
    fn step(&mut self, report: &StepReport) {
        let [step, total] = report.steps;
        if self.done == 0 {
            // A run that goes on does not count the steps of its earlier part as done in no time.
            self.bar.set_length(total);
            self.bar.set_position(step - 1);
            self.bar.reset_eta();
        }
        self.done += 1;
        let rate = (self.done * report.batch as u64) as f64 / self.began.elapsed().as_secs_f64();
        self.bar.set_message(format!("{rate:.0} images/s  loss {:.4}", report.loss));
        self.bar.set_position(step);
    }

    fn probe(&mut self, record: &ProbeRecord) {
        let text = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
        let cells = record.blocks.iter().map(|block| {
            format!("{}: {} {}", block.block, text(block.guess_alignment), text(block.estimate_alignment))
        });
        self.say(&format!(
            "probe at step {}, alignment of guess and estimate by block  {}",
            record.step,
            cells.collect::<Vec<_>>().join("  ")
        ));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        if self.json {
            let line = serde_json::to_string(record).expect("a record is plain values");
            // The record is in the run's folder too: the run goes on without its reader.
            if let Err(error) = output::line(line) {
                output::remark(format_args!("{error:#}"));
                self.json = false;
            }
        }
        let last = |scores: &[Option<Score>]| scores.last().copied().flatten();
        let text = |score: Option<Score>| {
            score.map_or("-".to_string(), |score| {
                format!("loss {:.4} accuracy {:.2} %", score.loss, 100.0 * score.accuracy)
            })
        };
        self.say(&format!(
            "epoch {:>3}  train {}  test {}  {:.0} images/s",
            record.epoch,
            text(last(&record.train)),
            text(last(&record.test)),
            record.images_per_second
        ));
    }
}
