//! A run's settings: complete, so that a file of them reruns the run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::data::{self, LoadOptions};
use crate::{Error, Result};
use foregrad::estimate::{EstimatorConfig, Origin};
use foregrad::files;
use foregrad::models::ModelConfig;
use foregrad::optim::{OptimizerConfig, OptimizerKind, ScheduleConfig};

/// Which images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// A name of [`data::DATASETS`].
    pub dataset: String,
    /// The folder of its files; a path that is no UTF-8 is refused by [`RunConfig::validate`].
    #[serde(serialize_with = "as_text")]
    pub dir: Option<PathBuf>,
    /// At most this many training images.
    pub train_limit: Option<usize>,
    /// At most this many test images.
    pub test_limit: Option<usize>,
    /// Images held back from the training set.
    pub validation: usize,
    /// Whether training images are cropped and flipped; by default as the data set says.
    pub augment: Option<bool>,
}

impl Default for DataConfig {
    fn default() -> Self {
        let dataset = "glyphs".into();
        Self { dataset, dir: None, train_limit: None, test_limit: None, validation: 0, augment: None }
    }
}

fn as_text<S: Serializer>(dir: &Option<PathBuf>, target: S) -> std::result::Result<S::Ok, S::Error> {
    dir.as_ref().map(|dir| dir.to_string_lossy()).serialize(target)
}

impl DataConfig {
    /// What to load, under a seed.
    pub fn load_options(&self, seed: u64) -> LoadOptions {
        let Self { dir, train_limit, test_limit, validation, .. } = self.clone();
        LoadOptions { dir, train_limit, test_limit, validation, seed }
    }

    /// Whether training images are moved.
    ///
    /// # Errors
    /// An unknown data set.
    pub fn augments(&self) -> Result<bool> {
        Ok(self.augment.unwrap_or(data::entry(&self.dataset)?.augment))
    }
}

/// Bounds that keep the number of all steps far from the largest integer.
const MOST_EPOCHS: u64 = 1_000_000;
const MOST_IMAGES: usize = 1 << 30;

/// All settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images a step.
    pub batch: usize,
    /// Names every random stream of the run.
    pub seed: u64,
    /// Worker threads; 0 is one a core.
    pub threads: usize,
    /// The device: `cpu`, `cuda:0`, `wgpu`, ...
    pub device: String,
    /// Steps between two probes; 0 is none.
    pub probe_every: u64,
    /// Epochs between two checkpoints; 0 is only at the end.
    pub checkpoint_every: u64,
    /// Steps between two checkpoints, besides; 0 is none.
    pub checkpoint_steps: u64,
    /// Minutes between two checkpoints, besides; 0 is none.
    pub checkpoint_minutes: f64,
    /// Checkpoints to keep.
    pub keep_checkpoints: usize,
    /// Which images.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The gradient's estimate.
    pub estimator: EstimatorConfig,
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate over time.
    pub schedule: ScheduleConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            epochs: 4,
            batch: 128,
            seed: 0,
            threads: 0,
            device: "cpu".into(),
            probe_every: 0,
            checkpoint_every: 1,
            checkpoint_steps: 0,
            checkpoint_minutes: 0.0,
            keep_checkpoints: 2,
            data: DataConfig::default(),
            model: ModelConfig { width: 0.25, ..Default::default() },
            estimator: EstimatorConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
        }
    }
}

impl RunConfig {
    /// Reads a file of settings; what it leaves out has its default.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds anything else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        Self::from_toml(&text).map_err(|found| Error::bad_file(path, "a run's settings", found))
    }

    /// Settings from text, or what is wrong with it.
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
        self.validate_counts()?;
        // More minutes than a clock can count are none that a run will see.
        if !(0.0..=1e9).contains(&self.checkpoint_minutes) {
            let expected = "a number of minutes from 0 to 1e9";
            return Err(Error::out_of_range("--checkpoint-minutes", self.checkpoint_minutes, expected));
        }
        if let Some(dir) = self.data.dir.as_ref().filter(|dir| dir.to_str().is_none()) {
            let expected = "a path in UTF-8, as the file of settings is; a link of another name will do";
            return Err(Error::out_of_range("--data-dir", dir.display(), expected));
        }
        self.optimizer.validate()?;
        self.schedule.validate()?;
        let has_buffer = self.optimizer.kind == OptimizerKind::Sgd && self.optimizer.momentum > 0.0;
        if matches!(self.estimator.guess.origin(), Origin::Buffer) && !has_buffer {
            let reason = "the guess `momentum` is the buffer of SGD with momentum, which this optimiser lacks";
            return Err(Error::meaningless(reason, "--optimizer sgd --momentum 0.9"));
        }
        self.model.validate()?;
        self.estimator.validate(self.model.depth()?)?;
        self.data.load_options(self.seed).validate(&self.data.dataset)
    }

    fn validate_counts(&self) -> Result<()> {
        if !(1..=MOST_EPOCHS).contains(&self.epochs) {
            return Err(Error::out_of_range("--epochs", self.epochs, format!("from 1 to {MOST_EPOCHS}")));
        }
        if !(1..=MOST_IMAGES).contains(&self.batch) {
            return Err(Error::out_of_range("--batch", self.batch, format!("from 1 to {MOST_IMAGES}")));
        }
        if self.keep_checkpoints == 0 {
            return Err(Error::out_of_range("--keep-checkpoints", 0, "at least 1"));
        }
        let DataConfig { train_limit, validation, .. } = self.data;
        let images = train_limit.and_then(|limit| limit.checked_sub(validation)).filter(|images| *images > 0);
        if let Some(images) = images.filter(|images| self.batch > *images) {
            let expected = format!("at most the {images} training images");
            return Err(Error::out_of_range("--batch", self.batch, expected));
        }
        Ok(())
    }
}

/// A setting that two runs do not share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its place in a file of settings: `optimizer.rate`.
    pub setting: String,
    /// Its value in one run; `none` where it is left out.
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
        let [own, other] = [self, other].map(Self::comparable);
        let paths: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
        let text =
            |values: &BTreeMap<String, String>, path: &String| values.get(path).map_or("none".into(), Clone::clone);
        let difference =
            |path: &String| Difference { setting: path.clone(), own: text(&own, path), other: text(&other, path) };
        paths.into_iter().map(difference).filter(|difference| difference.own != difference.other).collect()
    }

    /// Settings by their place, as text.
    fn comparable(&self) -> BTreeMap<String, String> {
        let mut config = Self { threads: 0, device: String::new(), ..self.clone() };
        config.data.dir = None;
        let mut settings = BTreeMap::new();
        flatten("", &toml::Value::try_from(config).expect("settings are plain values"), &mut settings);
        settings
    }
}

fn flatten(path: &str, value: &toml::Value, settings: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            table.iter().for_each(|(name, value)| flatten(&below(name), value, settings));
        }
        toml::Value::String(text) => drop(settings.insert(path.into(), text.clone())),
        value => drop(settings.insert(path.into(), value.to_string())),
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
        refused(|config| config.batch = 0, "--batch is 0");
        refused(|config| config.data.train_limit = Some(20), "at most the 20 training images");
        refused(|config| config.data.train_limit = Some(1 << 40), "which are generated");
        refused(|config| config.epochs = u64::MAX, "--epochs is 18446744073709551615");
        refused(|config| config.model.width = f64::NAN, "--width is NaN");
        refused(|config| config.estimator.guess_horizon = "6".parse().expect("a horizon"), "--guess-horizon is 6");
        refused(|config| config.estimator.directions = 1 << 20, "--directions is 1048576");
        refused(
            |config| config.optimizer = OptimizerConfig { nesterov: true, momentum: 0.0, ..Default::default() },
            "--nesterov",
        );
        let mut bufferless = RunConfig::default();
        bufferless.estimator.guess = "momentum".parse().expect("a guess");
        bufferless.optimizer.kind = OptimizerKind::Adam;
        assert!(bufferless.validate().expect_err("no buffer").to_string().contains("--optimizer sgd"));
    }

    #[test]
    fn differences_name_every_setting_but_those_of_the_machine() {
        let saved = RunConfig::default();
        let mut given = RunConfig { threads: 7, device: "cuda:0".into(), epochs: 9, ..saved.clone() };
        given.data.dir = Some("elsewhere".into());
        given.optimizer.rate = 0.25;
        given.estimator.mix = Some(2);
        let named: Vec<_> = saved.differences(&given).into_iter().map(|d| [d.setting, d.own, d.other]).collect();
        let expected = [["epochs", "4", "9"], ["estimator.mix", "none", "2"], ["optimizer.rate", "0.05", "0.25"]];
        assert_eq!(named, expected.map(|row| row.map(String::from)));
        assert_eq!(saved.differences(&saved), []);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_no_text_is_refused_and_never_a_panic() {
        use std::os::unix::ffi::OsStrExt;
        let mut config = RunConfig::default();
        config.data.dir = Some(std::ffi::OsStr::from_bytes(b"caf\xe9").into());
        assert!(config.to_toml().contains("caf"));
        let error = config.validate().expect_err("no UTF-8").to_string();
        assert!(error.contains("--data-dir") && error.contains("UTF-8"), "{error}");
    }
}
