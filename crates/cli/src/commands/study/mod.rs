//! `foregrad study`.

mod child;
mod estimate;
mod pool;

pub use child::{Task as RunTask, run as run_one};
pub use estimate::measure as estimate_one;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use foregrad::Error;
use foregrad_lab::data;
use foregrad_lab::report::{self, Summary};
use foregrad_lab::study::{self, PRESETS, PlannedRun, Results, Row, Study, prepare, run_folder};
use foregrad_lab::train::network_for;
use indicatif::ProgressBar;

use crate::commands::trial::Meter;
use crate::flags::{Flags, Machine, data_folder};
use crate::{Exit, device, output, place, version};

/// The arguments of `study`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[arg(value_name = "FILE|NAME", help = presets())]
    study: String,
    /// Folder of the results [default: runs/STUDY]; the same folder goes on where it stopped
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// List the runs with an estimate of time and memory, and run none
    #[arg(long, conflicts_with = "verify")]
    list: bool,
    /// Check that every run can exist, and run none
    #[arg(long)]
    verify: bool,
    /// Runs at once, each in a process of its own with its share of --threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: u32,
    /// Every Nth run from the Ith on, counted from 0: for several machines with one shared folder
    #[arg(long, value_name = "I/N", default_value = "0/1", value_parser = Shard::parse)]
    shard: Shard,
    /// Run those again that failed, where the program's version, threads, device, instruction set or data folder is another
    #[arg(long)]
    retry_failed: bool,
    /// Folder of the data set's files [default: $FOREGRAD_DATA]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The rows as JSON on standard output, one a line
    #[arg(long)]
    json: bool,
    /// No progress and no messages
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    machine: Flags<Machine>,
}

const EXAMPLES: &str = "Examples:
  foregrad study quick                                       four kinds of guess on drawn glyphs, then a report
  foregrad study table3 --list --data-dir DATA               the runs of a table of the paper, with time and memory
  foregrad study table3 --data-dir DATA --jobs 4 --threads 16
  foregrad study cost --shard 0/2 --out SHARED/cost          on one machine, and --shard 1/2 on another
  foregrad study mine.toml --verify                          a study of your own: see docs/studies.md";

fn presets() -> String {
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    format!("A study's file, or one that comes with the program: {}", names.join(", "))
}

/// A part of a study's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 0 to N - 1, such as 0/4".into()),
        }
    }
}

impl Arguments {
    /// Settings that belong to the machine and not to the study.
    fn applied(&self, mut planned: PlannedRun) -> Result<PlannedRun> {
        let config = &mut planned.config;
        config.data.dir = data_folder(self.data_dir.clone().or(config.data.dir.take()));
        config.data.dataset = data::absolute(std::mem::take(&mut config.data.dataset));
        self.machine.apply(config)?;
        Ok(planned)
    }

    /// Threads of all runs together; 0 is one a core.
    fn threads(&self) -> Result<usize> {
        Ok(self.machine.config()?.threads)
    }

    /// Threads of one of the runs at once.
    fn share(&self) -> Result<usize> {
        let all = Some(self.threads()?).filter(|threads| *threads > 0).unwrap_or_else(rayon::current_num_threads);
        Ok((all / self.jobs as usize).max(1))
    }

    /// The runs of this shard.
    fn runs(&self, study: &Study) -> Result<Vec<PlannedRun>> {
        let runs = study.runs()?.into_iter().map(|planned| self.applied(planned));
        runs.skip(self.shard.index).step_by(self.shard.count).collect()
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    if arguments.machine.text("seed").is_some() {
        return Err(Error::out_of_range("--seed", "given", "none: a study's file names its seeds").into());
    }
    let study = Study::load(&arguments.study)?;
    let runs = arguments.runs(&study)?;
    let out = arguments.out.clone().unwrap_or_else(|| Path::new("runs").join(&study.name));
    if arguments.verify {
        return verify(&study, &runs);
    }
    if arguments.list {
        return estimate::list(&arguments, &runs);
    }
    can_exist(&arguments, &study, &out, &runs)?;
    prepare(&out, &study)?;
    let unfinished = unfinished(&arguments, &out, &runs)?;
    let ending = pool::run_all(&arguments, &study, &out, &runs, &unfinished)?;
    finish(&arguments, &out, ending)
}

/// Refuses what can be told without the images, before a folder is made for it.
fn can_exist(arguments: &Arguments, study: &Study, out: &Path, runs: &[PlannedRun]) -> Result<()> {
    place::for_folder("--out", out)?;
    device::set_threads(arguments.threads()?)?;
    for run in runs {
        if Row::read(&run_folder(out, &run.name))?.is_some() {
            continue;
        }
        let config = &run.config;
        let checked = || -> Result<()> {
            config.validate().map_err(|error| study.located(run, error))?;
            config.data.load_options(config.seed).find(&config.data.dataset)?;
            device::placement(&config.device, burn::tensor::DType::F32)?;
            Ok(())
        };
        checked().with_context(|| run.name.clone())?;
    }
    Ok(())
}

/// The runs without a row, and those that are tried again. Every row is read before anything runs, so that a damaged one is
/// told at once.
fn unfinished(arguments: &Arguments, out: &Path, runs: &[PlannedRun]) -> Result<Vec<PlannedRun>> {
    let (mut unfinished, mut replayed) = (Vec::new(), Vec::new());
    for run in runs {
        let folder = run_folder(out, &run.name);
        match Row::read(&folder)? {
            Some(row) if arguments.retry_failed && row.is_failed() => {
                let threads = arguments.share()?;
                let machine = study::Machine { threads, ..study::Machine::this(&run.config, version::FULL) };
                let is_replayed = row.is_replayed(&folder, &run.config, &machine)?;
                if is_replayed { replayed.push(run.name.as_str()) } else { unfinished.push(run.clone()) }
            }
            Some(_) => {}
            None => unfinished.push(run.clone()),
        }
    }
    if replayed.is_empty() {
        return Ok(unfinished);
    }
    let found =
        format!("given for runs that would fail again in the same way, to the last bit: {}", replayed.join(", "));
    let expected = "another --device, --threads, instruction set, data folder or version of the program than the one that \
                    failed; a value with other settings is a run of its own under a name of its own";
    Err(Error::out_of_range("--retry-failed", found, expected).into())
}

/// Checks every run: settings, data, network, estimate, and that its budget is enough for an epoch.
fn verify(study: &Study, runs: &[PlannedRun]) -> Result<Exit> {
    let bar = ProgressBar::new(runs.len() as u64);
    let mut loaded: Option<(foregrad_lab::train::DataConfig, u64, data::Splits)> = None;
    let (mut wrong, mut affordable) = (Vec::new(), BTreeSet::new());
    for run in runs {
        let config = &run.config;
        let checked = (|| -> Result<()> {
            let is_loaded = loaded.as_ref().is_some_and(|(data, seed, _)| *data == config.data && *seed == config.seed);
            if !is_loaded {
                config.validate().map_err(|error| study.located(run, error))?;
                let splits = data::load(&config.data.dataset, &config.data.load_options(config.seed))?;
                loaded = Some((config.data.clone(), config.seed, splits));
            }
            let placement = device::placement(&config.device, burn::tensor::DType::F32)?;
            let (_, _, splits) = loaded.as_ref().expect("it was loaded above");
            network_for(config, splits, &placement)?;
            let kind = estimate::kind_of(config);
            if !affordable.contains(&kind) {
                config.within_budget(&Meter)?;
                affordable.insert(kind);
            }
            Ok(())
        })();
        wrong.extend(checked.err().map(|error| format!("{}: {error:#}", run.name)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if wrong.is_empty() {
        output::line(format_args!("all {} runs of `{}` can exist", runs.len(), study.name))?;
        return Ok(Exit::Done);
    }
    anyhow::bail!("{} of {} runs cannot exist:\n{}", wrong.len(), runs.len(), wrong.join("\n"))
}

/// Rows or the report's table on standard output, and the report itself.
fn finish(arguments: &Arguments, out: &Path, ending: Exit) -> Result<Exit> {
    let results = Results::read(out)?;
    let files = report::write(&results, out)?;
    let summary = Summary::of(&results);
    if arguments.json {
        for row in results.runs.iter().filter_map(|run| run.row.as_ref()) {
            output::line(serde_json::to_string(row)?)?;
        }
    } else {
        output::line(super::report::shown(&summary))?;
    }
    if !arguments.quiet {
        let page = files.first().map_or(out, PathBuf::as_path);
        output::remark(format_args!("{} The report is {}", summary.progress(), page.display()));
    }
    Ok(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_and_refused() {
        assert_eq!(Shard::parse("1/4"), Ok(Shard { index: 1, count: 4 }));
        for wrong in ["4/4", "1", "a/b", "-1/2", "0/0"] {
            assert!(Shard::parse(wrong).expect_err("no shard").contains("I/N"), "{wrong}");
        }
    }
}
