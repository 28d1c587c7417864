//! `foregrad train`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::tensor::DType;
use clap::Args;
use foregrad::{Error, files};
use foregrad_lab::data;
use foregrad_lab::ranks::Team;
use foregrad_lab::train::{
    Changes, Difference, EpochRecord, FREE, Outcome, RunConfig, RunFolder, Score, Trainer, of_network,
};

use crate::flags::{self, Data, Estimator, Flags, Machine, Model, Training};
use crate::job::Job;
use crate::progress::Progress;
use crate::{Exit, device, output, place, process, table};

/// The arguments of `train`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad train --epochs 2 --out runs/first
  foregrad train --resume --out runs/first
  foregrad train --resume --epochs 8 --out runs/first
  foregrad train --resume-or-start --checkpoint-minutes 10 --out runs/first      in the script of a job that may be requeued
  foregrad train --budget-seconds 600 --budget-memory 512 --out runs/small      as many epochs and as large a batch as that allows
  foregrad train --space activity --mix 1 --probe-every 50 --out runs/mixed
  foregrad train --micro-batches 4 --out runs/lean      a batch in four parts: memory of a quarter of it
  mpirun -n 4 foregrad train --out runs/shared      four processes (built with --features mpi), stopped by kill -USR2
  foregrad train --config runs/first/config.toml --seed 1 --out runs/second")]
pub struct Arguments {
    /// Settings to start from (as written into a run's folder); flags override them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the run [default: runs/DATASET-MODEL-GUESS-SPACE-SEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, from its newest checkpoint or the one given
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    resume: Option<Option<PathBuf>>,
    /// Go on with the run in --out if it has a checkpoint, else start it: the same command, however often it is run. Settings
    /// must be the run's, but for --epochs, --data-dir, --micro-batches, --threads and --device
    #[arg(long, conflicts_with_all = ["resume", "overwrite"])]
    resume_or_start: bool,
    /// Start again in a folder that already holds a run
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
    /// One JSON object an epoch on standard output; numbers that are not finite are "NaN", "Infinity", "-Infinity"
    #[arg(long)]
    json: bool,
    /// No progress and no messages
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    data: Flags<Data>,
    #[command(flatten)]
    model: Flags<Model>,
    #[command(flatten)]
    estimator: Flags<Estimator>,
    #[command(flatten)]
    training: Flags<Training>,
    #[command(flatten)]
    machine: Flags<Machine>,
}

impl Arguments {
    /// The settings: a file's or the defaults, then the flags.
    fn settings(&self, base: RunConfig) -> Result<RunConfig> {
        let budget = ["budget.flop", "budget.seconds"].into_iter().find(|place| self.training.text(place).is_some());
        if let (Some(place), Some(_)) = (budget, self.training.text("epochs")) {
            bail!("--epochs and {} both say how long the run is; give one of them", flags::flag_of(place));
        }
        let mut config = base;
        self.data.apply(&mut config)?;
        self.model.apply(&mut config)?;
        self.estimator.apply(&mut config)?;
        self.training.apply(&mut config)?;
        self.machine.apply(&mut config)?;
        Ok(config)
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let job = Job::joined()?;
    let mut arguments = arguments;
    if !job.team.is_root() {
        (arguments.quiet, arguments.json) = (true, false);
    }
    let ending = run_among(&arguments, &job.team);
    job.ended(ending)
}

/// This process's part of a run.
fn run_among(arguments: &Arguments, team: &Team) -> Result<Exit> {
    let control = process::requests()?;
    let base = match &arguments.config {
        Some(file) => RunConfig::read(file)?,
        None => RunConfig::default(),
    };
    let config = arguments.settings(base)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_folder(&config));
    place::for_folder("--out", &out)?;
    let goes_on = arguments.resume.is_some() || (arguments.resume_or_start && has_begun(&out)?);
    // Others may look when the root has begun already.
    let goes_on = team.of_root(goes_on.to_string())? == true.to_string();
    let mut progress = Progress::new(arguments.quiet, arguments.json)?;
    let mut trainer = if goes_on {
        resume(arguments, team, &out, config, &progress)?
    } else {
        start(&config, team, &out, arguments.overwrite, &progress)?
    };
    if arguments.resume_or_start && trainer.is_complete() {
        return if team.is_root() { already_done(arguments, &out) } else { Ok(Exit::Done) };
    }
    let outcome = trainer.run(&control, &mut progress);
    progress.finish();
    match outcome? {
        Outcome::Done(_) if !team.is_root() => Ok(Exit::Done),
        Outcome::Done(record) => done(arguments, &out, &record),
        Outcome::Stopped(_) if !team.is_root() => Ok(Exit::Interrupted),
        Outcome::Stopped(checkpoint) => {
            let (out, checkpoint) = (files::pasted(&out), checkpoint.unwrap_or_default());
            let checkpoint = checkpoint.display();
            output::remark(format_args!("stopped; go on with `--resume --out {out}` ({checkpoint})"));
            Ok(Exit::Interrupted)
        }
        // Only a study's runs can be taken over by another process.
        Outcome::Abandoned => Ok(Exit::Interrupted),
    }
}

fn done(arguments: &Arguments, out: &Path, record: &EpochRecord) -> Result<Exit> {
    if !arguments.json {
        output::line(summary(record))?;
    }
    if !arguments.quiet {
        output::remark(format_args!("the run is in {}", out.display()));
    }
    Ok(Exit::Done)
}

/// A job that is requeued after its run has ended has nothing left to do.
fn already_done(arguments: &Arguments, out: &Path) -> Result<Exit> {
    if !arguments.quiet {
        output::remark("all epochs are done already");
    }
    match RunFolder::epochs(out)?.last() {
        Some(record) => done(arguments, out, record),
        None => Ok(Exit::Done),
    }
}

fn start(config: &RunConfig, team: &Team, out: &Path, overwrite: bool, progress: &Progress) -> Result<Trainer> {
    if !(team.is_alone() || config.budget.is_met()) {
        let expected =
            "none: what a step takes is measured by one process; run it alone first, and give its --epochs and --batch";
        return Err(Error::out_of_range("budget", "given to several processes", expected).into());
    }
    let config = within_budget(config, progress)?;
    device::set_threads(config.threads)?;
    let placement = device::placement(&config.device, DType::F32)?;
    Ok(Trainer::start_among(team.clone(), &config, placement, out, overwrite)?)
}

/// The settings with what their budget allows, which is measured now and told.
fn within_budget(config: &RunConfig, progress: &Progress) -> Result<RunConfig> {
    let within = config.within_budget(progress)?;
    if !config.budget.is_met() {
        progress.say(&format!("the budget allows {} epochs of batches of {}", within.epochs, within.batch));
    }
    Ok(within)
}

/// Whether a folder holds a run: its settings are the first that is written.
fn has_begun(out: &Path) -> Result<bool> {
    Ok(RunFolder::has_checkpoint(out)? || RunFolder::has_settings(out)?)
}

/// Goes on with a run under its own settings, or begins it again if it has no checkpoint yet and may be started.
fn resume(arguments: &Arguments, team: &Team, out: &Path, whole: RunConfig, progress: &Progress) -> Result<Trainer> {
    let saved = RunFolder::config(out)?;
    // What is not said with `--resume` stays; a command that may start a run says everything.
    let says_everything = arguments.resume_or_start || arguments.config.is_some();
    let mut given = if says_everything { whole } else { arguments.settings(saved.clone())? };
    given.adopt_budget(&saved);
    let fixed = saved.differences(&given).into_iter().find(|difference| !FREE.contains(&difference.setting.as_str()));
    if let Some(Difference { setting, own, other }) = fixed {
        let (flag, out) = (flags::flag_of(&setting), out.display());
        bail!(
            "{flag} is {other}, but {setting} of the run in {out} is {own}; a run that goes on keeps its settings, all but \
             --epochs, --data-dir, --micro-batches, --threads and --device"
        );
    }
    let from = arguments.resume.clone().flatten();
    if from.is_none() && !RunFolder::has_checkpoint(out)? {
        if !arguments.resume_or_start {
            let found = "none yet; begin it again with its first command, or use --resume-or-start";
            return Err(Error::bad_file(out, "a run with a checkpoint to go on from", found).into());
        }
        if !arguments.quiet {
            output::remark("the run has no checkpoint yet: it begins again");
        }
        return start(&given, team, out, false, progress);
    }
    device::set_threads(given.threads)?;
    let changes = Changes {
        epochs: Some(given.epochs),
        data_dir: given.data.dir,
        dataset: Some(given.data.dataset),
        micro_batches: Some(given.micro_batches),
    };
    let placement = device::placement(&given.device, DType::F32)?;
    Ok(Trainer::resume_among(team.clone(), out, from.as_deref(), &changes, placement)?)
}

fn default_folder(config: &RunConfig) -> PathBuf {
    let estimator = &config.estimator;
    let data = data::short_name(&config.data.dataset);
    let parts = [&data, &config.model.name, &estimator.guess.to_string(), &estimator.space.to_string()];
    let name = format!("{}-{}-{}-{}-{}", parts[0], parts[1], parts[2], parts[3], config.seed);
    // Not every file system takes the `:` of a composite guess.
    PathBuf::from("runs").join(name.replace(':', "-"))
}

/// A score's metric, less its name.
pub fn metric_of(score: &Score) -> String {
    score.metric().map_or("-".into(), |[_, value]| value)
}

/// The last epoch's scores by depth.
fn summary(record: &EpochRecord) -> String {
    let cells = |scores: &[Option<Score>], block: usize| {
        let score = scores.get(block).and_then(Option::as_ref);
        score.map_or(["-".to_string(), "-".to_string()], |score| [format!("{:.4}", score.loss), metric_of(score)])
    };
    let last = record.train.len().saturating_sub(1);
    let row = |block: usize| {
        let name = if block == last { "network".to_string() } else { format!("head {block}") };
        let [train_loss, train_metric] = cells(&record.train, block);
        let [test_loss, test_metric] = cells(&record.test, block);
        vec![name, train_loss, train_metric, test_loss, test_metric]
    };
    let rows: Vec<_> = (0..record.train.len()).map(row).collect();
    let learned = |row: &Vec<String>| row[1] != "-" || row[0] == "network";
    let rows: Vec<_> = rows.into_iter().filter(learned).collect();
    let metric = of_network(&record.train).and_then(Score::metric).map_or("metric".into(), |[name, _]| name);
    let header = ["loss of", "train loss", &format!("train {metric}"), "test loss", &format!("test {metric}")];
    table::render(&header, &rows)
}
