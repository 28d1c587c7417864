//! `foregrad train`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::tensor::DType;
use clap::Args;
use foregrad::files;
use foregrad::train::{Changes, EpochRecord, Outcome, RunConfig, RunFolder, Score, Trainer};

use crate::args::{DataFlags, EstimatorFlags, MachineFlags, ModelFlags, TrainingFlags, data_folder};
use crate::progress::Progress;
use crate::{Ending, device, output, place, process, table};

/// The arguments of `train`.
#[derive(Args)]
#[command(after_help = "Examples:
  foregrad train --epochs 2 --out runs/first
  foregrad train --resume --out runs/first
  foregrad train --resume --epochs 8 --out runs/first
  foregrad train --space activity --mix 1 --probe-every 50 --out runs/mixed
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
    /// Start again in a folder that already holds a run
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
    /// One JSON object an epoch on standard output
    #[arg(long)]
    json: bool,
    /// No progress and no messages
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    estimator: EstimatorFlags,
    #[command(flatten)]
    training: TrainingFlags,
    #[command(flatten)]
    machine: MachineFlags,
}

impl Arguments {
    /// The settings: a file's or the defaults, then the flags.
    fn settings(&self, base: RunConfig) -> Result<RunConfig> {
        let mut config = base;
        self.data.apply(&mut config);
        self.model.apply(&mut config.model)?;
        self.estimator.apply(&mut config.estimator)?;
        self.training.apply(&mut config)?;
        self.machine.apply(&mut config);
        Ok(config)
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Ending> {
    let base = match &arguments.config {
        Some(file) => RunConfig::read(file)?,
        None => RunConfig::default(),
    };
    let config = arguments.settings(base)?;
    let control = process::requests()?;
    let out = arguments.out.clone().unwrap_or_else(|| default_folder(&config));
    place::for_folder("--out", &out)?;
    device::set_threads(config.threads)?;
    let mut trainer = match &arguments.resume {
        None => {
            let placement = device::placement(&config.device, DType::F32)?;
            Trainer::start(&config, placement, &out, arguments.overwrite)?
        }
        Some(from) => resume(&arguments, &out, from.as_deref())?,
    };
    let mut progress = Progress::new(arguments.quiet, arguments.json);
    let outcome = trainer.run(&control, &mut progress);
    progress.finish();
    match outcome? {
        Outcome::Done(record) => {
            if !arguments.json {
                output::line(summary(&record))?;
            }
            if !arguments.quiet {
                output::remark(format_args!("the run is in {}", out.display()));
            }
            Ok(Ending::Done)
        }
        Outcome::Stopped(checkpoint) => {
            let (out, checkpoint) = (files::pasted(&out), checkpoint.display());
            output::remark(format_args!("stopped; go on with `--resume --out {out}` ({checkpoint})"));
            Ok(Ending::Interrupted)
        }
        // Only a study's runs are claimed.
        Outcome::Abandoned => Ok(Ending::Interrupted),
    }
}

/// A run that goes on keeps its settings: flags that would change them are refused.
fn resume(arguments: &Arguments, out: &Path, from: Option<&Path>) -> Result<Trainer> {
    if arguments.config.is_some() || arguments.settings(RunConfig::default())? != changeable(arguments) {
        bail!(
            "a resumed run keeps its settings; \
             with --resume give only --out, --epochs, --data-dir, --threads, --device, --json, --quiet"
        );
    }
    let changes = Changes { epochs: arguments.training.epochs, data_dir: arguments.data.data_dir.clone() };
    let saved = RunFolder::config(out)?;
    let device_name = arguments.machine.device.clone().unwrap_or(saved.device);
    if arguments.machine.threads.is_none() {
        device::set_threads(saved.threads)?;
    }
    Ok(Trainer::resume(out, from, &changes, device::placement(&device_name, DType::F32)?)?)
}

/// The settings if only flags were given that a resumed run takes.
fn changeable(arguments: &Arguments) -> RunConfig {
    let mut config = RunConfig::default();
    config.epochs = arguments.training.epochs.unwrap_or(config.epochs);
    config.data.dir = data_folder(&arguments.data.data_dir, None);
    MachineFlags { seed: None, ..arguments.machine.clone() }.apply(&mut config);
    config
}

fn default_folder(config: &RunConfig) -> PathBuf {
    let estimator = &config.estimator;
    let parts = [&config.data.dataset, &config.model.name, &estimator.guess.to_string(), &estimator.space.to_string()];
    let name = format!("{}-{}-{}-{}-{}", parts[0], parts[1], parts[2], parts[3], config.seed);
    PathBuf::from("runs").join(name)
}

/// The last epoch's scores by depth.
fn summary(record: &EpochRecord) -> String {
    let cells = |scores: &[Option<Score>], block: usize| {
        let score = scores.get(block).copied().flatten();
        score.map_or(["-".to_string(), "-".to_string()], |score| {
            [format!("{:.4}", score.loss), format!("{:.2} %", 100.0 * score.accuracy)]
        })
    };
    let last = record.train.len().saturating_sub(1);
    let row = |block: usize| {
        let name = if block == last { "network".to_string() } else { format!("head {block}") };
        let [train_loss, train_accuracy] = cells(&record.train, block);
        let [test_loss, test_accuracy] = cells(&record.test, block);
        vec![name, train_loss, train_accuracy, test_loss, test_accuracy]
    };
    let rows: Vec<_> = (0..record.train.len()).map(row).collect();
    let learned = |row: &Vec<String>| row[1] != "-" || row[0] == "network";
    let rows: Vec<_> = rows.into_iter().filter(learned).collect();
    table::render(&["loss of", "train loss", "train acc.", "test loss", "test acc."], &rows)
}
