//! Progress on standard error: a bar with images a second, the loss and the time left; without a terminal a line a minute.

mod pace;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use foregrad_lab::train::{EpochRecord, Observer, ProbeRecord, RunConfig, Score, StepReport, Trial, of_network};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::commands::trial::Meter;
use crate::output;
use pace::Lines;

/// Shows a run's progress, and hands its epochs to standard output as JSON lines if that is wanted.
pub struct Progress {
    bar: ProgressBar,
    /// What is said in the bar's place.
    lines: Option<Lines>,
    json: bool,
    quiet: bool,
    began: Instant,
    done: u64,
}

impl Progress {
    /// Progress of a run; nothing is said if it is quiet.
    ///
    /// # Errors
    /// No thread for lines can be started.
    pub fn new(quiet: bool, json: bool) -> Result<Self> {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style = ProgressStyle::with_template("{bar:24} step {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.expect("a template without mistakes"));
        output::warn_beside(&bar);
        let lines = (!quiet && bar.is_hidden()).then(|| Lines::start(output::remark)).transpose()?;
        Ok(Self { bar, lines, json, quiet, began: Instant::now(), done: 0 })
    }

    /// Takes the bar away, once everything is said.
    pub fn finish(&mut self) {
        if let Some(lines) = self.lines.take() {
            lines.end();
        }
        self.bar.finish_and_clear();
    }

    /// Says a line beside the bar.
    pub fn say(&self, line: &str) {
        match &self.lines {
            Some(lines) => lines.say(line),
            None if !self.quiet => self.bar.suspend(|| output::remark(line)),
            None => {}
        }
    }
}

impl Observer for Progress {
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
        let [step, total] = report.steps;
        if self.done == 0 {
            // A run that goes on does not count the steps of its earlier part as done in no time.
            self.bar.set_length(total);
            self.bar.set_position(step - 1);
            self.bar.reset_eta();
        }
        self.done += 1;
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = (self.done * report.batch as u64) as f64 / seconds;
        let speed = format!("{rate:.0} images/s  loss {:.4}", report.loss);
        if let Some(lines) = &self.lines {
            let left = std::time::Duration::from_secs_f64(seconds / self.done as f64 * (total - step) as f64);
            lines.update(format!("step {step}/{total}  {speed}  {} left", HumanDuration(left)));
        }
        self.bar.set_message(speed);
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

    fn checkpoint(&mut self, path: &Path) {
        self.say(&format!("checkpoint written as asked: {}", path.display()));
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
        let text = |scores: &[Option<Score>]| {
            of_network(scores).map_or("-".into(), |score| format!("loss {:.4} {}", score.loss, score.judged()))
        };
        let sent = match record.bytes_a_step {
            0 => String::new(),
            bytes => format!("  {bytes} bytes sent a step"),
        };
        self.say(&format!(
            "epoch {:>3}  train {}  test {}  {:.0} images/s{}",
            record.epoch,
            text(&record.train),
            text(&record.test),
            record.images_per_second,
            sent
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::io::IsTerminal;

    use super::*;

    #[test]
    fn lines_stand_in_for_a_bar_that_nobody_sees() {
        let has_lines = |quiet| Progress::new(quiet, false).expect("a thread").lines.is_some();
        assert_eq!([has_lines(false), has_lines(true)], [!std::io::stderr().is_terminal(), false]);
    }
}
