//! Several runs at once, each in a process of its own, so that a run's memory is its own and a crash takes nothing with it.

mod running;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use foregrad_lab::study::{PlannedRun, Row, Sighting, Standing, Study, Terms, Watch, run_folder};
use foregrad_lab::train::Control;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Arguments;
use super::child::{Message, Task};
use crate::{Exit, output, process, version};
use running::Running;

/// Between two looks at the children.
const PERIOD: Duration = Duration::from_millis(50);

/// Between two looks at runs that other processes hold.
const WAIT: Duration = Duration::from_secs(1);

/// Between two lines of progress where there is no terminal.
const MINUTE: Duration = Duration::from_secs(60);

/// Parts of a run that the bar of all runs counts in.
const PARTS: u64 = 1000;

/// Runs everything unfinished, and waits for what other processes hold.
pub fn run_all(
    arguments: &Arguments,
    study: &Study,
    out: &Path,
    runs: &[PlannedRun],
    unfinished: &[PlannedRun],
) -> Result<Exit> {
    let control = process::requests()?;
    let mut pool = Pool::new(arguments, study, out, [runs.len(), unfinished.len()]);
    let mut pending: VecDeque<&PlannedRun> = unfinished.iter().collect();
    loop {
        let elsewhere = pool.work_off(&mut pending, &control)?;
        if !control.is_stopping() {
            pending = pool.wait_for(elsewhere, &control)?.into();
        }
        if control.is_stopping() {
            pool.bars.clear().ok();
            output::remark("stopped; the same command goes on from the checkpoints");
            return Ok(Exit::Interrupted);
        }
        if pending.is_empty() {
            break;
        }
    }
    pool.bars.clear().ok();
    pool.ending(runs)
}

struct Pool<'a> {
    arguments: &'a Arguments,
    study: &'a Study,
    out: &'a Path,
    bars: MultiProgress,
    all: ProgressBar,
    lines: Option<Lines>,
    finished: u64,
    /// What is known of runs that others hold, by name.
    watches: BTreeMap<&'a str, Watch>,
    silent: BTreeMap<&'a str, Sighting>,
    named: BTreeSet<&'a str>,
    /// What went wrong with runs that have no row, and their exit codes.
    errors: Vec<(String, Option<i32>)>,
}

impl<'a> Pool<'a> {
    fn new(arguments: &'a Arguments, study: &'a Study, out: &'a Path, [total, unfinished]: [usize; 2]) -> Self {
        let bars = MultiProgress::new();
        if arguments.quiet {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{bar:24} {msg}  {eta} left").expect("a template without mistakes");
        let all = bars.add(ProgressBar::new(PARTS * total as u64).with_style(style));
        let finished = (total - unfinished) as u64;
        all.set_position(PARTS * finished);
        all.reset_eta();
        let has_lines = !arguments.quiet && !std::io::stderr().is_terminal();
        Self {
            arguments,
            study,
            out,
            bars,
            all,
            lines: has_lines.then(|| Lines { last: Instant::now() }),
            finished,
            watches: BTreeMap::new(),
            silent: BTreeMap::new(),
            named: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    /// Runs what is pending, and gives back what other processes hold.
    fn work_off(&mut self, pending: &mut VecDeque<&'a PlannedRun>, control: &Control) -> Result<Vec<&'a PlannedRun>> {
        let mut running: Vec<Running> = Vec::new();
        let mut elsewhere = Vec::new();
        while !(running.is_empty() && pending.is_empty()) {
            if control.is_stopping() {
                pending.clear();
                running.iter_mut().for_each(Running::ask_to_stop);
            } else if control.takes_checkpoint() {
                running.iter_mut().for_each(Running::ask_for_checkpoint);
            }
            while running.len() < self.arguments.jobs as usize {
                let Some(planned) = pending.pop_front() else { break };
                running.push(self.start(planned)?);
            }
            std::thread::sleep(PERIOD);
            self.show(&mut running, 0);
            let (ended, going): (Vec<_>, Vec<_>) = running.into_iter().partition(Running::has_ended);
            running = going;
            for ended in ended {
                elsewhere.extend(self.end(ended)?);
            }
        }
        Ok(elsewhere)
    }

    /// Starts a child with its run, on its share of the threads.
    fn start(&mut self, planned: &'a PlannedRun) -> Result<Running<'a>> {
        let silent = self.silent.remove(planned.name.as_str());
        let terms = Terms { version: version::FULL.into(), retry_failed: self.arguments.retry_failed, silent };
        let mut task = Task { study: self.out.into(), planned: planned.clone(), terms };
        task.planned.config.threads = (self.arguments.share()? / planned.config.ranks).max(1);
        let style = ProgressStyle::with_template("{bar:24} step {pos}/{len}  {msg}  {eta} left");
        let bar = self.bars.insert_before(&self.all, ProgressBar::new(0).with_style(style.expect("a template")));
        Running::start(planned, task, &self.study.launch(planned), bar)
    }

    /// Brings all bars up to date, or says how far the runs are.
    fn show(&mut self, running: &mut [Running], waiting: usize) {
        running.iter_mut().for_each(Running::update);
        let parts: f64 = running.iter().map(Running::part).sum();
        self.all.set_position(PARTS * self.finished + (PARTS as f64 * parts) as u64);
        let mut state = format!("{} of {} runs", self.finished, self.all.length().unwrap_or(0) / PARTS);
        if waiting > 0 {
            state = format!("{state}, waiting for {waiting} of other processes");
        }
        self.all.set_message(state.clone());
        let now = Instant::now();
        if self.lines.as_mut().is_some_and(|lines| lines.is_due(now)) {
            let lines = [state].into_iter().chain(running.iter().map(|running| running.line(now)));
            output::remark(lines.collect::<Vec<_>>().join("; "));
        }
    }

    /// What became of a child that is gone; the run if another process holds it.
    fn end(&mut self, running: Running<'a>) -> Result<Option<&'a PlannedRun>> {
        let (planned, bar) = (running.planned, running.bar.clone());
        let (status, last, reason) = running.end()?;
        self.bars.remove(&bar);
        match (status.success(), last) {
            (true, Some(Message::Ended)) => {
                self.finished += 1;
                self.say(planned)?;
            }
            (true, Some(Message::Held(holder))) => {
                if self.named.insert(&planned.name) && !self.arguments.quiet {
                    self.remark(&format!("{}: {holder} works on it", planned.name));
                }
                return Ok(Some(planned));
            }
            (_, Some(Message::Lost(reason))) => {
                self.remark(&format!(
                    "{}: this process has lost the run and writes nothing more: {reason}",
                    planned.name
                ));
                return Ok(Some(planned));
            }
            (true, Some(Message::Stopped)) => {}
            _ => {
                let reason = if reason.is_empty() { format!("its process ended with {status}") } else { reason };
                let text = format!("{}: {reason}", planned.name);
                if !self.arguments.quiet {
                    self.remark(&text);
                }
                self.errors.push((text, status.code()));
            }
        }
        Ok(None)
    }

    fn remark(&self, text: &str) {
        self.bars.suspend(|| output::remark(text));
    }

    /// A line for a run that has ended.
    fn say(&self, planned: &PlannedRun) -> Result<()> {
        if self.arguments.quiet || self.arguments.json {
            return Ok(());
        }
        let Some(row) = Row::read(&run_folder(self.out, &planned.name))? else { return Ok(()) };
        let score = row.test_score().filter(|_| !row.is_failed());
        let result = score.map_or("failed".into(), |score| format!("test {}", score.judged()));
        self.remark(&format!("{}: {result}, {:.0} s", planned.name, row.machine.seconds));
        Ok(())
    }

    /// Waits for runs that others hold; gives back those that were left.
    fn wait_for(&mut self, mut elsewhere: Vec<&'a PlannedRun>, control: &Control) -> Result<Vec<&'a PlannedRun>> {
        while !elsewhere.is_empty() && !control.is_stopping() {
            let (mut waiting, mut left) = (Vec::new(), Vec::new());
            for planned in elsewhere {
                let folder = run_folder(self.out, &planned.name);
                // Whoever wrote the row may have died before giving the run back.
                if self.is_finished(&folder)? {
                    self.finished += 1;
                    continue;
                }
                match self.watches.entry(&planned.name).or_default().look(&folder)? {
                    Standing::Held(_) => waiting.push(planned),
                    Standing::Free => left.push(planned),
                    Standing::Silent(sighting) => {
                        self.silent.insert(&planned.name, sighting);
                        left.push(planned);
                    }
                }
            }
            if !left.is_empty() {
                left.extend(waiting);
                return Ok(left);
            }
            elsewhere = waiting;
            self.show(&mut [], elsewhere.len());
            std::thread::sleep(WAIT);
        }
        Ok(Vec::new())
    }

    /// Whether a run's row stands; whether a failed one is tried again is its child's to say.
    fn is_finished(&self, folder: &Path) -> Result<bool> {
        Ok(Row::read(folder)?.is_some_and(|row| !(self.arguments.retry_failed && row.is_failed())))
    }

    /// The end: an error if a run could not be worked on, failed if one has failed.
    fn ending(&self, runs: &[PlannedRun]) -> Result<Exit> {
        let mut failed = Vec::new();
        for planned in runs {
            if Row::read(&run_folder(self.out, &planned.name))?.is_some_and(|row| row.is_failed()) {
                failed.push(planned.name.as_str());
            }
        }
        if !failed.is_empty() {
            output::remark(format_args!("failed, see their rows: {}", failed.join(", ")));
        }
        if self.errors.is_empty() {
            return Ok(if failed.is_empty() { Exit::Done } else { Exit::Failed });
        }
        let reasons: Vec<&str> = self.errors.iter().map(|(reason, _)| reason.as_str()).collect();
        let text = format!("{} runs could not be worked on:\n{}", reasons.len(), reasons.join("\n"));
        // A full disk is a failed run, bad input is bad usage.
        if self.errors.iter().all(|(_, code)| *code == Some(2)) {
            bail!(text);
        }
        output::remark(format_args!("error: {text}"));
        Ok(Exit::Failed)
    }
}

/// When the next line is due where there is no terminal.
struct Lines {
    last: Instant,
}

impl Lines {
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now.duration_since(self.last) >= MINUTE;
        if is_due {
            self.last = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_every_minute() {
        let begin = Instant::now();
        let mut lines = Lines { last: begin };
        let due = [0, 59, 60, 61, 119, 120, 600].map(|seconds| lines.is_due(begin + Duration::from_secs(seconds)));
        assert_eq!(due, [false, false, true, false, false, true, true]);
    }

    #[test]
    fn lines_stand_in_for_bars_that_nobody_sees() {
        use clap::Parser;
        let has_lines = |flags: &[&str]| {
            let words = [&["foregrad", "study", "quick"], flags].concat();
            let crate::Command::Study(arguments) = crate::Cli::parse_from(words).command else { panic!("a study") };
            let study = Study::load("quick").expect("a study");
            Pool::new(&arguments, &study, Path::new("."), [1, 1]).lines.is_some()
        };
        assert_eq!([has_lines(&[]), has_lines(&["--quiet"])], [!std::io::stderr().is_terminal(), false]);
    }
}
