//! Several runs at once, each in a process of its own, so that a run's memory is its own and a crash takes nothing with it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use foregrad::study::{Planned, Row, held, run_folder};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Arguments;
use super::child::Message;
use crate::{Ending, output, process};

/// Between two looks at the children.
const PERIOD: Duration = Duration::from_millis(50);

/// Between two looks at runs that other processes hold.
const WAIT: Duration = Duration::from_secs(1);

/// Parts of a run that the bar of all runs counts in.
const PARTS: u64 = 1000;

/// Runs everything unfinished, and waits for what other processes hold.
pub fn run_all(arguments: &Arguments, out: &Path, runs: &[Planned], unfinished: &[Planned]) -> Result<Ending> {
    let control = process::requests()?;
    let stop = control.stopping();
    let mut pool = Pool::new(arguments, out, [runs.len(), unfinished.len()]);
    let mut pending: VecDeque<&Planned> = unfinished.iter().collect();
    loop {
        let elsewhere = pool.work_off(&mut pending, stop)?;
        if stop.load(Ordering::Relaxed) {
            pool.bars.clear().ok();
            output::remark("stopped; the same command goes on from the checkpoints");
            return Ok(Ending::Interrupted);
        }
        pending = pool.wait_for(elsewhere, stop)?.into();
        if pending.is_empty() && !stop.load(Ordering::Relaxed) {
            break;
        }
    }
    pool.bars.clear().ok();
    pool.ending(runs)
}

/// A child at work.
struct Running<'a> {
    planned: &'a Planned,
    child: Child,
    messages: Receiver<Message>,
    errors: JoinHandle<String>,
    bar: ProgressBar,
    last: Option<Message>,
}

struct Pool<'a> {
    arguments: &'a Arguments,
    out: &'a Path,
    bars: MultiProgress,
    all: ProgressBar,
    finished: u64,
    /// What went wrong with runs that have no row, and their exit codes.
    errors: Vec<(String, Option<i32>)>,
}

impl<'a> Pool<'a> {
    fn new(arguments: &'a Arguments, out: &'a Path, [total, unfinished]: [usize; 2]) -> Self {
        let bars = MultiProgress::new();
        if arguments.quiet {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{bar:24} {msg}  {eta} left").expect("a template without mistakes");
        let all = bars.add(ProgressBar::new(PARTS * total as u64).with_style(style));
        let finished = (total - unfinished) as u64;
        all.set_position(PARTS * finished);
        all.reset_eta();
        Self { arguments, out, bars, all, finished, errors: Vec::new() }
    }

    /// Runs what is pending, and gives back what other processes hold.
    fn work_off(&mut self, pending: &mut VecDeque<&'a Planned>, stop: &AtomicBool) -> Result<Vec<&'a Planned>> {
        let mut running: Vec<Running> = Vec::new();
        let mut elsewhere = Vec::new();
        while !(running.is_empty() && pending.is_empty()) {
            if stop.load(Ordering::Relaxed) {
                pending.clear();
                // A closed input asks the child to stop.
                running.iter_mut().for_each(|running| drop(running.child.stdin.take()));
            }
            while running.len() < self.arguments.jobs as usize {
                let Some(planned) = pending.pop_front() else { break };
                running.push(self.start(planned)?);
            }
            std::thread::sleep(PERIOD);
            self.show(&mut running);
            let (ended, going): (Vec<_>, Vec<_>) =
                running.into_iter().partition(|running| running.errors.is_finished());
            running = going;
            for ended in ended {
                elsewhere.extend(self.end(ended)?);
            }
        }
        Ok(elsewhere)
    }

    /// Starts a child; its output is read by threads, which end with it.
    fn start(&self, planned: &'a Planned) -> Result<Running<'a>> {
        let arguments = self.arguments;
        let threads =
            arguments.machine.threads.filter(|threads| *threads > 0).unwrap_or_else(rayon::current_num_threads);
        let share = (threads / arguments.jobs as usize).max(1);
        let mut command = process::this_program()?;
        command.args(["study", &arguments.study, "--one", &planned.name, "--threads", &share.to_string()]);
        command.arg("--out").arg(self.out);
        if let Some(folder) = &arguments.data_dir {
            command.arg("--data-dir").arg(folder);
        }
        if let Some(device) = &arguments.machine.device {
            command.args(["--device", device]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process")?;
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
        let style = ProgressStyle::with_template("{bar:24} step {pos}/{len}  {msg}  {eta} left");
        let bar = self.bars.insert_before(&self.all, ProgressBar::new(0).with_style(style.expect("a template")));
        bar.set_message(planned.name.clone());
        Ok(Running { planned, child, messages, errors, bar, last: None })
    }

    /// Brings all bars up to date.
    fn show(&self, running: &mut [Running]) {
        let mut parts = PARTS * self.finished;
        for running in running {
            while let Ok(message) = running.messages.try_recv() {
                if let Message::Step { steps: [step, total], loss } = message {
                    if running.bar.length() == Some(0) {
                        running.bar.set_length(total);
                        running.bar.set_position(step);
                        running.bar.reset_eta();
                    }
                    running.bar.set_position(step);
                    running.bar.set_message(format!("loss {loss:.4}  {}", running.planned.name));
                }
                running.last = Some(message);
            }
            let (done, length) = (running.bar.position(), running.bar.length().unwrap_or(0));
            parts += PARTS * done / length.max(1);
        }
        self.all.set_position(parts);
        self.all.set_message(format!("{} of {} runs", self.finished, self.all.length().unwrap_or(0) / PARTS));
    }

    /// What became of a child that is gone; the run if another process holds it.
    fn end(&mut self, mut running: Running<'a>) -> Result<Option<&'a Planned>> {
        let status = running.child.wait().context("cannot wait for a process")?;
        let reason = running.errors.join().unwrap_or_default();
        running.bar.finish_and_clear();
        self.bars.remove(&running.bar);
        // The reading thread ends with the child, and then the channel.
        let last = running.messages.iter().last().or(running.last);
        match (status.success(), last) {
            (true, Some(Message::Ended)) => {
                self.finished += 1;
                self.say(running.planned)?;
            }
            (true, Some(Message::Held(_))) => return Ok(Some(running.planned)),
            (true, Some(Message::Stopped)) => {}
            _ => {
                let reason = if reason.is_empty() { format!("its process ended with {status}") } else { reason };
                self.errors.push((format!("{}: {reason}", running.planned.name), status.code()));
            }
        }
        Ok(None)
    }

    /// A line for a run that has ended.
    fn say(&self, planned: &Planned) -> Result<()> {
        if self.arguments.quiet || self.arguments.json {
            return Ok(());
        }
        let Some(row) = Row::read(&run_folder(self.out, &planned.name))? else { return Ok(()) };
        let result =
            row.test_accuracy().map_or("failed".into(), |accuracy| format!("test accuracy {:.2} %", 100.0 * accuracy));
        self.bars.suspend(|| output::remark(format_args!("{}: {result}, {:.0} s", planned.name, row.machine.seconds)));
        Ok(())
    }

    /// Waits for runs that others hold; gives back those that were left.
    fn wait_for(&mut self, mut elsewhere: Vec<&'a Planned>, stop: &AtomicBool) -> Result<Vec<&'a Planned>> {
        while !elsewhere.is_empty() && !stop.load(Ordering::Relaxed) {
            let folder = |planned: &Planned| run_folder(self.out, &planned.name);
            let mut waiting = Vec::new();
            let mut left = Vec::new();
            for planned in elsewhere {
                if Row::read(&folder(planned))?.is_some() {
                    self.finished += 1;
                } else if held(&folder(planned)).is_some() {
                    waiting.push(planned);
                } else {
                    left.push(planned);
                }
            }
            if !left.is_empty() {
                left.extend(waiting);
                return Ok(left);
            }
            elsewhere = waiting;
            self.all.set_message(format!("waiting for {} runs of other processes", elsewhere.len()));
            self.all.set_position(PARTS * self.finished);
            std::thread::sleep(WAIT);
        }
        Ok(Vec::new())
    }

    /// The end: an error if a run could not be worked on, failed if one has failed.
    fn ending(&self, runs: &[Planned]) -> Result<Ending> {
        let failed = |planned: &&Planned| matches!(Row::read(&run_folder(self.out, &planned.name)), Ok(Some(row)) if row.is_failed());
        let failed: Vec<&str> = runs.iter().filter(failed).map(|planned| planned.name.as_str()).collect();
        if !failed.is_empty() {
            output::remark(format_args!("failed, see their rows: {}", failed.join(", ")));
        }
        if self.errors.is_empty() {
            return Ok(if failed.is_empty() { Ending::Done } else { Ending::Failed });
        }
        let reasons: Vec<&str> = self.errors.iter().map(|(reason, _)| reason.as_str()).collect();
        let text = format!("{} runs could not be worked on:\n{}", reasons.len(), reasons.join("\n"));
        // A full disk is a failed run, bad input is bad usage.
        if self.errors.iter().all(|(_, code)| *code == Some(2)) {
            bail!(text);
        }
        output::remark(format_args!("error: {text}"));
        Ok(Ending::Failed)
    }
}
