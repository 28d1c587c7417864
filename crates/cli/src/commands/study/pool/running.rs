//! A child at work, as its parent sees it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use foregrad_lab::study::PlannedRun;
use indicatif::ProgressBar;

use super::super::child::{CHECKPOINT, Message, Task};
use super::super::estimate::duration;
use crate::commands::work;
use crate::process;

/// A child at work; dropping it asks it to stop and waits for its checkpoint.
pub struct Running<'a> {
    pub planned: &'a PlannedRun,
    child: Child,
    messages: Receiver<Message>,
    errors: Option<JoinHandle<String>>,
    pub bar: ProgressBar,
    /// Steps done and steps of the whole run, and the loss, as last told.
    told: Option<([u64; 2], f64)>,
    /// The step of the first message, and when it came.
    first: Option<(u64, Instant)>,
    last: Option<Message>,
}

impl<'a> Running<'a> {
    /// Starts a child; its output is read by threads, which end with it.
    pub fn start(planned: &'a PlannedRun, task: Task, launcher: &[String], bar: ProgressBar) -> Result<Self> {
        let mut child = process::start(&work::Task::Run(Box::new(task)), launcher)?;
        let (sender, messages) = channel();
        let lines = BufReader::new(child.stdout.take().context("a child without output")?).lines();
        std::thread::spawn(move || {
            for message in lines.map_while(std::result::Result::ok).filter_map(|line| serde_json::from_str(&line).ok())
            {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().context("a child without messages")?;
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().trim_start_matches("error: ").to_string()
        });
        bar.set_message(planned.name.clone());
        Ok(Self { planned, child, messages, errors: Some(errors), bar, told: None, first: None, last: None })
    }

    /// Asks for a checkpoint; a child that is ending has no use for it.
    pub fn ask_for_checkpoint(&mut self) {
        if let Some(input) = &mut self.child.stdin {
            let _ = writeln!(input, "{CHECKPOINT}");
        }
    }

    /// Asks for an end: a closed input.
    pub fn ask_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Whether the child is gone.
    pub fn has_ended(&self) -> bool {
        self.errors.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Reads what the child has told since the last time.
    pub fn update(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            if let Message::Step { steps: [step, total], loss } = message {
                if self.first.is_none() {
                    self.first = Some((step, Instant::now()));
                    self.bar.set_length(total);
                    self.bar.set_position(step);
                    self.bar.reset_eta();
                }
                self.told = Some(([step, total], loss));
                self.bar.set_position(step);
                self.bar.set_message(format!("loss {loss:.4}  {}", self.planned.name));
            }
            self.last = Some(message);
        }
    }

    /// The part of the run that is done, 0 to 1.
    pub fn part(&self) -> f64 {
        self.told.map_or(0.0, |([step, total], _)| step as f64 / total.max(1) as f64)
    }

    /// How far the run is, as a sentence without a terminal.
    pub fn line(&self, now: Instant) -> String {
        line(&self.planned.name, self.told, self.first.map(|(step, since)| (step, (now - since).as_secs_f64())))
    }

    /// Waits for the end: how, the last message, and the reason if one was given.
    pub fn end(mut self) -> Result<(ExitStatus, Option<Message>, String)> {
        let status = self.child.wait().context("cannot wait for a process")?;
        let reason = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        self.bar.finish_and_clear();
        // The reading thread ends with the child, and then the channel.
        let last = self.messages.iter().last().or(self.last.take());
        Ok((status, last, reason))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.ask_to_stop();
        // Gone already, if it was waited for before.
        let _ = self.child.wait();
    }
}

/// A run's name, steps, loss and time left, which the steps since the first message tell.
fn line(name: &str, told: Option<([u64; 2], f64)>, first: Option<(u64, f64)>) -> String {
    let (Some(([step, total], loss)), Some((first, seconds))) = (told, first) else {
        return format!("{name}: not begun yet");
    };
    let left = (step > first).then(|| seconds / (step - first) as f64 * total.saturating_sub(step) as f64);
    let left = left.map_or(String::new(), |left| format!(", {} left", duration(left)));
    format!("{name}: step {step} of {total}, loss {loss:.4}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_a_run_is() {
        assert_eq!(line("a", None, None), "a: not begun yet");
        assert_eq!(line("a", Some(([10, 40], 0.5)), Some((10, 0.0))), "a: step 10 of 40, loss 0.5000");
        assert_eq!(line("a", Some(([20, 40], f64::NAN)), Some((10, 30.0))), "a: step 20 of 40, loss NaN, 60 s left");
    }
}
