//! A run's settings: complete, so that a file of them reruns the run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::BudgetConfig;
use crate::data::{self, LoadOptions};
use foregrad::estimate::EstimatorConfig;
use foregrad::files;
use foregrad::models::ModelConfig;
use foregrad::optim::{OptimizerConfig, OptimizerKind, ScheduleConfig};
use foregrad::settings::{Choices, Settings, Value};
use foregrad::{Error, Result, settings};

/// The names of [`data::DATASETS`] for a setting.
fn datasets() -> Choices {
    data::DATASETS.iter().map(|entry| (entry.name, entry.about.into())).collect()
}

settings! {
    /// Which images.
    pub struct DataConfig {
        /// The data set, or your own data and where they are.
        dataset: String = "glyphs".into() => flag("dataset", "NAME", datasets),
        /// Folder (or archive) of the data set's files.
        #[serde(serialize_with = "as_text")]
        dir: Option<PathBuf> = None => flag("data-dir", "DIR"),
        /// At most this many training images (generated sets make as many).
        train_limit: Option<usize> = None => flag("train-limit", "N"),
        /// At most this many test images.
        test_limit: Option<usize> = None => flag("test-limit", "N"),
        /// Images held back from the training set, drawn by the seed.
        validation: usize = 0 => flag("validation", "N"),
        /// The part of your own data that is the test set, drawn by the seed, where they have none (off: a fifth).
        test_part: Option<f64> = None => flag("test-part", "P"),
        /// Side of the square that your own pictures are scaled and cut to (off: they have one size).
        image_size: Option<usize> = None => flag("image-size", "N"),
        /// No random crops and flips; by default the data set decides.
        augment: Option<bool> = None => switch("no-augment", "off"),
    }
}

fn as_text<S: Serializer>(dir: &Option<PathBuf>, target: S) -> std::result::Result<S::Ok, S::Error> {
    dir.as_ref().map(|dir| dir.to_string_lossy()).serialize(target)
}

impl DataConfig {
    /// What to load, under a seed.
    pub fn load_options(&self, seed: u64) -> LoadOptions {
        let Self { dir, train_limit, test_limit, validation, test_part, image_size, .. } = self.clone();
        LoadOptions { dir, train_limit, test_limit, validation, seed, test_part, image_size, normalisation: None }
    }
}

/// Stands for data and a network that a program brings itself, in the settings of its runs.
pub(super) const OWN: &str = "own";

/// Bounds that keep the number of all steps far from the largest integer.
pub(super) const MOST_EPOCHS: u64 = 1_000_000;
const MOST_IMAGES: usize = 1 << 30;

settings! {
    /// All settings of a run.
    pub struct RunConfig {
        /// Passes over the training images.
        epochs: u64 = 4 => flag("epochs", "N"),
        /// Images a step.
        batch: usize = 128 => flag("batch", "N"),
        /// Equal parts of a batch that one process computes one after the other, in the memory of one: the update is the mean of theirs.
        micro_batches: usize = 1 => flag("micro-batches", "M"),
        /// Processes that share a batch, each with its own parts: those that a launcher has started.
        ranks: usize = 1 => file,
        /// Names every random draw.
        seed: u64 = 0 => flag("seed", "S"),
        /// Worker threads (0: one a core).
        threads: usize = 0 => flag("threads", "N"),
        /// cpu (the whole test suite runs on it); wgpu, or wgpu:N for the discrete GPU N (tested on a GPU that is software); cuda or cuda:N
        /// (type-checked, not run); vulkan, metal, rocm (not tested).
        device: String = "cpu".into() => flag("device", "NAME"),
        /// Steps between two probes of alignment and deviation (0: none).
        probe_every: u64 = 0 => flag("probe-every", "N"),
        /// Epochs between two checkpoints (0: only at the end).
        checkpoint_every: u64 = 1 => flag("checkpoint-every", "N"),
        /// Steps between two checkpoints, besides (0: none).
        checkpoint_steps: u64 = 0 => flag("checkpoint-steps", "N"),
        /// Minutes between two checkpoints, besides (0: none).
        checkpoint_minutes: f64 = 0.0 => flag("checkpoint-minutes", "N"),
        /// Checkpoints to keep.
        keep_checkpoints: usize = 2 => flag("keep-checkpoints", "N"),
        /// What it may cost.
        budget: BudgetConfig = BudgetConfig::default() => table,
        /// Which images.
        data: DataConfig = DataConfig::default() => table,
        /// The network.
        model: ModelConfig = ModelConfig { width: 0.25, ..Default::default() } => table,
        /// The gradient's estimate.
        estimator: EstimatorConfig = EstimatorConfig::default() => table,
        /// The update rule.
        optimizer: OptimizerConfig = OptimizerConfig::default() => table,
        /// The learning rate over time.
        schedule: ScheduleConfig = ScheduleConfig::default() => table,
    }
}

impl RunConfig {
    /// Reads a file of settings; what it leaves out has its default.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds anything else; the same of a network's file that it names.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let mut config = Self::from_toml(&text).map_err(|found| Error::bad_file(path, "a run's settings", found))?;
        config.model.resolve()?;
        Ok(config)
    }

    /// Settings from text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_toml(text: &str) -> std::result::Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim().to_string())
    }

    /// The settings as text, all of them.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are plain values")
    }

    /// Refuses settings outside their ranges, before anything is loaded.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] and what the parts refuse.
    pub fn validate(&self) -> Result<()> {
        self.validate_training()?;
        if self.data.dataset == OWN {
            let expected =
                "a name: the run was begun by a program with data and a network of its own, and goes on there";
            return Err(Error::out_of_range("data.dataset", OWN, expected));
        }
        if let Some(dir) = self.data.dir.as_ref().filter(|dir| dir.to_str().is_none()) {
            let expected = "a path in UTF-8, as the file of settings is; a link of another name will do";
            return Err(Error::out_of_range("data.dir", dir.display(), expected));
        }
        self.model.validate()?;
        let losses = self.model.has_loss()?.into_iter().filter(|has| *has).count();
        self.estimator.validate(losses)?;
        if self.model.target_head.is_some() {
            self.estimator.validate_target_heads(losses)?;
        }
        self.data.load_options(self.seed).validate(&self.data.dataset)
    }

    /// Refuses settings outside their ranges, but for those of the network and of the data.
    pub(super) fn validate_training(&self) -> Result<()> {
        self.validate_counts()?;
        // More minutes than a clock can count are none that a run will see.
        if !(0.0..=1e9).contains(&self.checkpoint_minutes) {
            let expected = "a number of minutes from 0 to 1e9";
            return Err(Error::out_of_range("checkpoint-minutes", self.checkpoint_minutes, expected));
        }
        self.budget.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        let has_buffer = self.optimizer.kind == OptimizerKind::Sgd && self.optimizer.momentum > 0.0;
        if self.estimator.guess.support().needs_buffer && !has_buffer {
            let guess = &self.estimator.guess;
            let reason =
                format!("the guess `{guess}` needs the buffer of SGD with momentum, which this optimiser lacks");
            return Err(Error::meaningless(reason, "`optimizer.kind = sgd` `optimizer.momentum = 0.9`"));
        }
        Ok(())
    }

    /// Refuses a batch that cannot be cut into the parts of all processes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn validate_parts(&self) -> Result<()> {
        if self.micro_batches == 0 || !self.batch.is_multiple_of(self.micro_batches) {
            let expected = format!("a number that divides the batch of {}", self.batch);
            return Err(Error::out_of_range("micro-batches", self.micro_batches, expected));
        }
        let parts = self.ranks.saturating_mul(self.micro_batches);
        if parts == 0 || !self.batch.is_multiple_of(parts) {
            let expected = format!("a multiple of {parts}, the number of all processes' parts");
            return Err(Error::out_of_range("batch", self.batch, expected));
        }
        Ok(())
    }

    fn validate_counts(&self) -> Result<()> {
        if !(1..=MOST_EPOCHS).contains(&self.epochs) {
            return Err(Error::out_of_range("epochs", self.epochs, format!("from 1 to {MOST_EPOCHS}")));
        }
        if !(1..=MOST_IMAGES).contains(&self.batch) {
            return Err(Error::out_of_range("batch", self.batch, format!("from 1 to {MOST_IMAGES}")));
        }
        self.validate_parts()?;
        if self.keep_checkpoints == 0 {
            return Err(Error::out_of_range("keep-checkpoints", 0, "at least 1"));
        }
        let DataConfig { train_limit, validation, .. } = self.data;
        let images = train_limit.and_then(|limit| limit.checked_sub(validation)).filter(|images| *images > 0);
        if let Some(images) = images.filter(|images| self.batch > *images) {
            let expected = format!("at most the {images} training images");
            return Err(Error::out_of_range("batch", self.batch, expected));
        }
        Ok(())
    }
}

/// What belongs to the machine of a run and changes no result.
const OF_THE_MACHINE: [&str; 3] = ["data.dir", "threads", "device"];

/// Settings that may be others when a run goes on.
pub const FREE: [&str; 3] = ["epochs", "micro-batches", "ranks"];

/// A setting that two runs do not share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its place in a file of settings: `optimizer.rate`.
    pub setting: String,
    /// Its value in one run.
    pub own: String,
    /// Its value in the other.
    pub other: String,
}

impl Difference {
    /// Whether it is about what is kept of a run, and not about the run: its bits are the same.
    pub fn is_of_keeping(&self) -> bool {
        ["checkpoint-every", "checkpoint-steps", "checkpoint-minutes", "keep-checkpoints"]
            .contains(&self.setting.as_str())
    }
}

impl RunConfig {
    /// The settings in which another run differs, less those of the machine that change no result: data folder, threads and
    /// device.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let [mut own, mut others] = [self, other].map(Clone::clone);
        own.adopt_budget(other);
        others.adopt_budget(self);
        let [own, other] = [own, others].map(|config| config.comparable());
        // Networks of their own have a setting a block, and need not have as many.
        let settings: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
        let value =
            |values: &BTreeMap<_, String>, setting| values.get(setting).map_or("none", String::as_str).to_string();
        let pairs = settings.into_iter().map(|setting| (setting, value(&own, setting), value(&other, setting)));
        let differing = pairs.filter(|(_, own, other)| own != other);
        differing.map(|(setting, own, other)| Difference { setting: setting.clone(), own, other }).collect()
    }

    /// The settings that have to be the same in all processes of a run, as text.
    pub(super) fn differences_text(&self) -> String {
        self.comparable().into_iter().map(|(place, value)| format!("{place} = {value}\n")).collect()
    }

    /// Settings by their place, as text, without those of the machine.
    fn comparable(&self) -> BTreeMap<String, String> {
        let mut values = self.values();
        // Its text does not tell what is not said from what is switched off.
        let augment = self.data.augment.map_or("as the data set says".into(), |augment| augment.text());
        values.insert("data.augment".into(), augment);
        // Where data of one's own lie is the machine's; that they are the same is seen by what they hold.
        if let Some((kind, _)) = self.data.dataset.split_once(':') {
            values.insert("data.dataset".into(), format!("{kind}:"));
        }
        values.retain(|place, _| !OF_THE_MACHINE.contains(&place.as_str()) && place != "budget.met");
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_file() {
        let mut config = RunConfig { epochs: 7, ..Default::default() };
        config.data.dir = Some("somewhere".into());
        config.estimator.mix = Some(2);
        config.estimator.target = "3".parse().expect("a horizon");
        assert_eq!(RunConfig::from_toml(&config.to_toml()).expect("settings"), config);
        assert_eq!(RunConfig::from_toml("").expect("settings"), RunConfig::default());
    }

    #[test]
    fn unknown_keys_and_values_are_refused() {
        assert!(RunConfig::from_toml("epoch = 3").expect_err("a misspelt key").contains("epoch"));
        let text = "[estimator]\nguess = \"gausian\"";
        assert!(RunConfig::from_toml(text).expect_err("a misspelt guess").contains("did you mean `gaussian`"));
        let refused = |change: fn(&mut RunConfig), words: &str| {
            let mut config = RunConfig::default();
            change(&mut config);
            let error = config.validate().expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(|config| config.batch = 0, "batch is 0");
        refused(|config| config.data.train_limit = Some(20), "at most the 20 training images");
        refused(|config| config.data.train_limit = Some(1 << 40), "which are generated");
        refused(|config| config.epochs = u64::MAX, "epochs is 18446744073709551615");
        refused(|config| config.model.width = f64::NAN, "model.width is NaN");
        refused(
            |config| config.estimator.guess_horizon = "6".parse().expect("a horizon"),
            "estimator.guess-horizon is 6",
        );
        refused(|config| config.estimator.directions = 1 << 20, "estimator.directions is 1048576");
        refused(
            |config| config.optimizer = OptimizerConfig { nesterov: true, momentum: 0.0, ..Default::default() },
            "optimizer.nesterov",
        );
        let mut bufferless = RunConfig::default();
        bufferless.estimator.guess = "momentum".parse().expect("a guess");
        bufferless.optimizer.kind = OptimizerKind::Adam;
        assert!(bufferless.validate().expect_err("no buffer").to_string().contains("optimizer.kind = sgd"));
    }

    #[test]
    fn differences_name_every_setting_but_those_of_the_machine() {
        let saved = RunConfig::default();
        let mut given = RunConfig { threads: 7, device: "cuda:0".into(), epochs: 9, ..saved.clone() };
        given.data.dir = Some("elsewhere".into());
        given.optimizer.rate = 0.25;
        given.estimator.mix = Some(2);
        let named: Vec<_> = saved.differences(&given).into_iter().map(|d| [d.setting, d.own, d.other]).collect();
        let expected = [["epochs", "4", "9"], ["estimator.mix", "off", "2"], ["optimizer.rate", "0.05", "0.25"]];
        assert_eq!(named, expected.map(|row| row.map(String::from)));
        assert_eq!(saved.differences(&saved), []);
        let mut still = saved.clone();
        still.data.augment = Some(false);
        assert_eq!(saved.differences(&still)[0].setting, "data.augment", "switched off is not the same as not said");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_no_text_is_refused_and_never_a_panic() {
        use std::os::unix::ffi::OsStrExt;
        let mut config = RunConfig::default();
        config.data.dir = Some(std::ffi::OsStr::from_bytes(b"caf\xe9").into());
        assert!(config.to_toml().contains("caf"));
        let error = config.validate().expect_err("no UTF-8").to_string();
        assert!(error.contains("data.dir") && error.contains("UTF-8"), "{error}");
    }
}
