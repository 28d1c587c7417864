//! Flags that several commands share, and how they change a run's settings.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;
use foregrad::estimate::{EstimatorConfig, GUESSES, HORIZONS};
use foregrad::models::{HEADS, HeadKind, MODELS, ModelConfig, Norm};
use foregrad::optim::SCHEDULES;
use foregrad_lab::data::DATASETS;
use foregrad_lab::train::RunConfig;

/// A list of names with what each is, for a flag's help.
fn listing<'a>(title: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines: Vec<String> = names.map(|(name, about)| format!("  {name:<14} {about}")).collect();
    format!("{title}:\n{}", lines.join("\n"))
}

fn datasets() -> String {
    listing("Data set", DATASETS.iter().map(|entry| (entry.name, entry.about)))
}

fn models() -> String {
    listing("Network", MODELS.iter().copied())
}

fn heads() -> String {
    listing("Auxiliary heads", HEADS.iter().map(|(name, _, about)| (*name, *about)))
}

fn targets() -> String {
    let named = HORIZONS.iter().map(|(name, _, about)| (*name, *about));
    listing("Whose loss the target is the gradient of, or a number of blocks", named)
}

fn guesses() -> String {
    listing("Direction the target is measured along", GUESSES.iter().map(|support| (support.name, support.about)))
}

fn schedules() -> String {
    listing("Learning rate over time", SCHEDULES.iter().map(|(name, _, about)| (*name, *about)))
}

/// Which images.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Data")]
pub struct DataFlags {
    #[arg(long, value_name = "NAME", help = datasets())]
    dataset: Option<String>,
    /// Folder (or archive) of the data set's files [default: $FOREGRAD_DATA]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// At most this many training images (generated sets make as many)
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
    /// At most this many test images
    #[arg(long, value_name = "N")]
    test_limit: Option<usize>,
    /// Images held back from the training set, drawn by the seed
    #[arg(long, value_name = "N")]
    validation: Option<usize>,
    /// No random crops and flips
    #[arg(long)]
    no_augment: bool,
}

/// Which network.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Network")]
pub struct ModelFlags {
    #[arg(long, value_name = "NAME", help = models())]
    model: Option<String>,
    /// Factor on the channels of trunk and heads [default: 1, or 0.25 if no --model is named]
    #[arg(long, value_name = "W")]
    width: Option<f64>,
    /// Normalisation of the trunk: batch or group
    #[arg(long, value_name = "NAME")]
    norm: Option<String>,
    /// No average pools in `small-net`
    #[arg(long)]
    no_pool: bool,
    /// Residual blocks a stage of `resnet18-8b` (2 is ResNet-18)
    #[arg(long, value_name = "N")]
    blocks_per_stage: Option<usize>,
    /// A normalisation before the classifier's pool, as in the paper's code
    #[arg(long)]
    classifier_norm: bool,
    #[arg(long, value_name = "NAME", help = heads())]
    aux: Option<String>,
    /// Normalisation of the heads: batch or group
    #[arg(long, value_name = "NAME")]
    head_norm: Option<String>,
    /// Label smoothing of every cross-entropy
    #[arg(long, value_name = "S")]
    label_smoothing: Option<f64>,
}

/// How the gradient is estimated.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Gradient estimate")]
pub struct EstimatorFlags {
    #[arg(long, value_name = "H", help = targets())]
    target: Option<String>,
    #[arg(long, value_name = "NAME", help = guesses())]
    guess: Option<String>,
    /// Where target and guess live: weight or activity
    #[arg(long, value_name = "NAME")]
    space: Option<String>,
    /// What one scalar covers: tensor, block, network (weight); sample, batch (activity)
    /// [default: sample; in weight space tensor (oracle), network (forward, global target, no mixing) or block]
    #[arg(long, value_name = "NAME")]
    granularity: Option<String>,
    /// How many blocks further on the guess's loss stands
    #[arg(long, value_name = "R")]
    guess_horizon: Option<String>,
    /// Tangents that carry every slot's guess with random signs, or `off` [default: off]
    #[arg(long, value_name = "M")]
    mix: Option<String>,
    /// Whether mixing subtracts running means: on or off [default: on]
    #[arg(long, value_name = "on|off")]
    mix_baseline: Option<String>,
    /// Directions a slot
    #[arg(long, value_name = "K")]
    directions: Option<usize>,
    /// How several directions are combined: mean or projection
    #[arg(long, value_name = "NAME")]
    combination: Option<String>,
    /// forward: directional derivatives; oracle: exact targets by reverse mode; checkpointed: the same for the exact guess,
    /// computing each block again on the way back
    #[arg(long, value_name = "NAME")]
    mode: Option<String>,
    /// Tangents that go through a block in one call (0: all)
    #[arg(long, value_name = "N")]
    tangents_at_once: Option<usize>,
    /// Activity space: recompute a block's saved values, or keep them
    #[arg(long, value_name = "NAME")]
    memory: Option<String>,
    /// Whether heads learn from their own loss: auto, yes or no
    #[arg(long, value_name = "NAME")]
    train_heads: Option<String>,
    /// What the last block and the classifier learn from: exact or estimated
    #[arg(long, value_name = "NAME")]
    last_block: Option<String>,
    /// Whether tangents go through batch norm's statistics: coupled or detached
    #[arg(long, value_name = "NAME")]
    batch_norm_tangent: Option<String>,
}

/// How parameters are moved.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Training")]
pub struct TrainingFlags {
    /// Passes over the training images
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Images a step
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// sgd, adam or adamw
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// Learning rate
    #[arg(long, value_name = "R")]
    lr: Option<f64>,
    /// SGD's momentum
    #[arg(long, value_name = "M")]
    momentum: Option<f64>,
    /// SGD looks ahead along its buffer
    #[arg(long)]
    nesterov: bool,
    /// Pull of the parameters towards 0
    #[arg(long, value_name = "W")]
    weight_decay: Option<f64>,
    /// Largest norm of the whole gradient (0: any)
    #[arg(long, value_name = "NORM")]
    clip: Option<f64>,
    #[arg(long, value_name = "NAME", help = schedules())]
    schedule: Option<String>,
    /// Epochs between two steps of `--schedule step`
    #[arg(long, value_name = "N")]
    schedule_every: Option<u64>,
    /// Factor of a step or a plateau
    #[arg(long, value_name = "G")]
    gamma: Option<f64>,
    /// Epochs without improvement that make a plateau
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
    /// Epochs of a straight line up from 0
    #[arg(long, value_name = "N")]
    warm_up: Option<f64>,
    /// Steps between two probes of alignment and deviation (0: none)
    #[arg(long, value_name = "N")]
    probe_every: Option<u64>,
    /// Epochs between two checkpoints (0: only at the end)
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,
    /// Steps between two checkpoints, besides (0: none)
    #[arg(long, value_name = "N")]
    checkpoint_steps: Option<u64>,
    /// Minutes between two checkpoints, besides (0: none)
    #[arg(long, value_name = "N")]
    checkpoint_minutes: Option<f64>,
    /// Checkpoints to keep
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<usize>,
}

/// The machine.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Machine")]
pub struct MachineFlags {
    /// Names every random draw
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Worker threads (0: one a core)
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// cpu, cuda, cuda:N, wgpu, vulkan, metal or rocm
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
}

/// Sets a value if the flag was given.
fn set<T>(value: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *value = flag;
    }
}

/// Sets a value from a flag's text if it was given.
fn parse<T: FromStr<Err = foregrad::Error>>(value: &mut T, flag: &Option<String>, name: &'static str) -> Result<()> {
    if let Some(text) = flag {
        *value = text.parse().context(name)?;
    }
    Ok(())
}

fn norm(value: &mut Norm, flag: &Option<String>) -> Result<()> {
    match flag.as_deref() {
        None => {}
        Some("batch") => *value = Norm::Batch,
        Some("group") => *value = Norm::Group,
        Some(other) => return Err(foregrad::Error::unknown_name("normalisation", other, &["batch", "group"]).into()),
    }
    Ok(())
}

fn on_off(value: &mut bool, flag: &Option<String>) -> Result<()> {
    match flag.as_deref() {
        None => {}
        Some("on") => *value = true,
        Some("off") => *value = false,
        Some(other) => return Err(foregrad::Error::unknown_name("switch", other, &["on", "off"]).into()),
    }
    Ok(())
}

/// Names the folder of data sets where neither a flag nor a file of settings does.
pub const DATA_FOLDER: &str = "FOREGRAD_DATA";

/// The folder of the data: a flag's, else that of the settings, else `FOREGRAD_DATA`. It is absolute, so that a run goes on
/// from any folder.
pub fn data_folder(flag: &Option<PathBuf>, settings: Option<PathBuf>) -> Option<PathBuf> {
    let named = || std::env::var_os(DATA_FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = flag.clone().or(settings).or_else(named)?;
    // An empty path, or a current folder that is gone: it will be refused when it is looked into.
    Some(std::path::absolute(&folder).unwrap_or(folder))
}

impl DataFlags {
    /// Changes a run's data.
    pub fn apply(&self, config: &mut RunConfig) {
        let data = &mut config.data;
        set(&mut data.dataset, self.dataset.clone());
        data.dir = data_folder(&self.data_dir, data.dir.take());
        data.train_limit = self.train_limit.or(data.train_limit);
        data.test_limit = self.test_limit.or(data.test_limit);
        set(&mut data.validation, self.validation);
        if self.no_augment {
            data.augment = Some(false);
        }
    }
}

impl ModelFlags {
    /// Changes a network.
    pub fn apply(&self, model: &mut ModelConfig) -> Result<()> {
        if let Some(name) = &self.model {
            // Only the network nobody asked for is narrow.
            (model.name, model.width) = (name.clone(), 1.0);
        }
        set(&mut model.width, self.width);
        norm(&mut model.norm, &self.norm).context("--norm")?;
        norm(&mut model.head_norm, &self.head_norm).context("--head-norm")?;
        model.pool &= !self.no_pool;
        model.classifier_norm |= self.classifier_norm;
        set(&mut model.blocks_per_stage, self.blocks_per_stage);
        set(&mut model.label_smoothing, self.label_smoothing);
        if let Some(aux) = &self.aux {
            model.aux = HeadKind::named(aux)?;
        }
        Ok(())
    }
}

impl EstimatorFlags {
    /// Changes an estimator.
    pub fn apply(&self, estimator: &mut EstimatorConfig) -> Result<()> {
        parse(&mut estimator.target, &self.target, "--target")?;
        parse(&mut estimator.guess, &self.guess, "--guess")?;
        parse(&mut estimator.space, &self.space, "--space")?;
        parse(&mut estimator.guess_horizon, &self.guess_horizon, "--guess-horizon")?;
        parse(&mut estimator.combination, &self.combination, "--combination")?;
        parse(&mut estimator.mode, &self.mode, "--mode")?;
        parse(&mut estimator.memory, &self.memory, "--memory")?;
        parse(&mut estimator.train_heads, &self.train_heads, "--train-heads")?;
        parse(&mut estimator.last_block, &self.last_block, "--last-block")?;
        on_off(&mut estimator.mix_baseline, &self.mix_baseline).context("--mix-baseline")?;
        set(&mut estimator.directions, self.directions);
        set(&mut estimator.tangents_at_once, self.tangents_at_once);
        if let Some(granularity) = &self.granularity {
            estimator.granularity = Some(granularity.parse().context("--granularity")?);
        }
        match self.mix.as_deref() {
            None => {}
            Some("off") => estimator.mix = None,
            Some(count) => {
                let count = count.parse().with_context(|| format!("--mix is `{count}`; expected a number or `off`"))?;
                estimator.mix = Some(count);
            }
        }
        parse(&mut estimator.batch_norm_tangent, &self.batch_norm_tangent, "--batch-norm-tangent")?;
        Ok(())
    }
}

impl TrainingFlags {
    /// Changes a run's training.
    pub fn apply(&self, config: &mut RunConfig) -> Result<()> {
        set(&mut config.epochs, self.epochs);
        set(&mut config.batch, self.batch);
        set(&mut config.probe_every, self.probe_every);
        set(&mut config.checkpoint_every, self.checkpoint_every);
        set(&mut config.checkpoint_steps, self.checkpoint_steps);
        set(&mut config.checkpoint_minutes, self.checkpoint_minutes);
        set(&mut config.keep_checkpoints, self.keep_checkpoints);
        let optimizer = &mut config.optimizer;
        parse(&mut optimizer.kind, &self.optimizer, "--optimizer")?;
        set(&mut optimizer.rate, self.lr);
        set(&mut optimizer.momentum, self.momentum);
        optimizer.nesterov |= self.nesterov;
        set(&mut optimizer.weight_decay, self.weight_decay);
        set(&mut optimizer.clip, self.clip);
        let schedule = &mut config.schedule;
        parse(&mut schedule.kind, &self.schedule, "--schedule")?;
        set(&mut schedule.every, self.schedule_every);
        set(&mut schedule.gamma, self.gamma);
        set(&mut schedule.patience, self.patience);
        set(&mut schedule.warm_up, self.warm_up);
        Ok(())
    }
}

impl MachineFlags {
    /// Changes a run's machine.
    pub fn apply(&self, config: &mut RunConfig) {
        set(&mut config.seed, self.seed);
        set(&mut config.threads, self.threads);
        set(&mut config.device, self.device.clone());
    }
}
