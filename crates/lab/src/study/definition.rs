//! A study's definition: a file of settings, axes to cross, and what is expected to come out.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::planned_run::{LONGEST_NAME, PlannedRun};
use crate::train::RunConfig;
use crate::{Error, Result};
use foregrad::files;

/// More runs than anybody means: axes multiply, and so does a slip.
const MOST_RUNS: usize = 10_000;

/// A grid of runs: every value of every axis with every seed, less what is excluded.
///
/// ```
/// use foregrad_lab::study::Study;
/// let study = Study::from_toml("
///     name = 'rates'
///     question = 'Which rate?'
///     seeds = [0, 1]
///     [base]
///     epochs = 2
///     [[axis]]
///     name = 'rate'
///     key = 'optimizer.rate'
///     values = [0.1, 0.01]
/// ", std::path::Path::new("rates.toml"))?;
/// let runs = study.runs()?;
/// assert_eq!(runs.len(), 4);
/// assert_eq!((runs[2].name.as_str(), runs[2].config.optimizer.rate), ("0.01-seed0", 0.01));
/// # Ok::<(), foregrad::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Study {
    /// A short name, also of the folder of its results.
    pub name: String,
    /// What it asks, in prose.
    pub question: String,
    /// What the answer is expected to be, in prose.
    #[serde(default)]
    pub expected: String,
    /// The tables of the paper whose figures belong beside the results: one number or a list.
    #[serde(default, rename = "table", deserialize_with = "one_or_many")]
    pub tables: Vec<u32>,
    /// Whether its runs are smaller than the paper's, so that figures stand beside results for their order alone.
    #[serde(default)]
    pub reduced: bool,
    /// Each combination runs once a seed, but for values with `seeds` of their own.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// The command that starts the processes of a run: `mpirun -n {ranks}`; none: runs of one process.
    #[serde(default)]
    pub launcher: String,
    /// Settings of all runs, as in a run's `config.toml`; what is left out has its default.
    #[serde(default = "no_settings")]
    base: Spanned<Table>,
    /// What is crossed, the slowest first.
    #[serde(default, rename = "axis")]
    pub axes: Vec<Axis>,
    /// Combinations that are left out: values by axis.
    #[serde(default, rename = "exclude")]
    exclusions: Vec<Spanned<BTreeMap<String, String>>>,
    /// The file's text, and where it is.
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    path: std::path::PathBuf,
}

/// One axis of a study.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Axis {
    /// Its name, a column of the report.
    pub name: String,
    /// The setting that plain values are values of, such as `optimizer.rate`.
    pub key: Option<String>,
    /// Whether the report shows the best value only, chosen by the validation images.
    #[serde(default)]
    pub search: bool,
    /// Plain values of `key`, or tables of settings with a `name` and perhaps `seeds` and what was `published` of it elsewhere.
    values: Vec<Spanned<Value>>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// A number, or a list of numbers.
fn one_or_many<'de, D: serde::Deserializer<'de>>(source: D) -> std::result::Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the number of a table, or a list of such numbers")]
    enum Numbers {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match Numbers::deserialize(source)? {
        Numbers::One(number) => vec![number],
        Numbers::Many(numbers) => numbers,
    })
}

fn no_settings() -> Spanned<Table> {
    Spanned::new(0..0, Table::new())
}

/// A value of an axis: its name and the settings it changes.
struct Choice<'a> {
    axis: &'a str,
    name: String,
    settings: Table,
    /// The seeds it runs with, if not the study's.
    seeds: Option<Vec<u64>>,
    /// Where it stands in the file.
    place: usize,
}

impl Study {
    /// A study from a file, or one that comes with the program by its name ([`super::PRESETS`]).
    ///
    /// # Errors
    /// No such file or name, or a file that is no study: the message names the line.
    pub fn load(name_or_file: &str) -> Result<Self> {
        if let Some((_, text)) = super::PRESETS.iter().find(|(name, _)| *name == name_or_file) {
            return Self::from_toml(text, Path::new(&format!("{name_or_file}.toml")));
        }
        let path = Path::new(name_or_file);
        if path.extension().is_none() && files::kind(path)?.is_none() {
            let names: Vec<_> = super::PRESETS.iter().map(|(name, _)| *name).collect();
            return Err(Error::unknown_name("study", name_or_file, &names));
        }
        Self::read(path)
    }

    /// A study from a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no study: the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_toml(&files::read_text(path)?, path)
    }

    /// A study from text; `path` is named in errors.
    ///
    /// # Errors
    /// Text that is no study: the message names the line.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self> {
        let parsed: std::result::Result<Self, _> = toml::from_str(text);
        let mut study = parsed.map_err(|error| Error::bad_file(path, "a study", error.to_string().trim()))?;
        (study.text, study.path) = (text.to_string(), path.to_path_buf());
        study.check()?;
        Ok(study)
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All runs, in order: the last axis changes fastest but for the seed.
    ///
    /// # Errors
    /// Settings that no run has: the message names the line of the study that asks for them.
    pub fn runs(&self) -> Result<Vec<PlannedRun>> {
        let axes: Vec<Vec<Choice>> = self.axes.iter().map(|axis| self.choices(axis)).collect::<Result<_>>()?;
        let size = axes.iter().try_fold(1usize, |size, axis| size.checked_mul(axis.len()));
        let too_many = || self.wrong(0, &format!("at most {MOST_RUNS} runs"), "more");
        if size.is_none_or(|size| size > MOST_RUNS) {
            return Err(too_many());
        }
        let mut combinations: Vec<Vec<&Choice>> = vec![Vec::new()];
        for axis in &axes {
            let extended =
                |chosen: &Vec<_>| axis.iter().map(|choice| [&chosen[..], &[choice]].concat()).collect::<Vec<_>>();
            combinations = combinations.iter().flat_map(extended).collect();
        }
        combinations.retain(|chosen| !self.is_excluded(chosen));
        let seeds = |chosen: &[&Choice]| -> Vec<u64> {
            let own = chosen.iter().rev().find_map(|choice| choice.seeds.clone());
            own.unwrap_or_else(|| self.seeds.clone())
        };
        let runs =
            combinations.iter().flat_map(|chosen| seeds(chosen).into_iter().map(|seed| self.planned(chosen, seed)));
        let runs: Vec<PlannedRun> = runs.take(MOST_RUNS + 1).collect::<Result<_>>()?;
        if runs.len() > MOST_RUNS {
            return Err(too_many());
        }
        if runs.is_empty() {
            return Err(self.wrong(0, "at least one run", "none: all combinations are excluded"));
        }
        self.check_names(&runs)?;
        self.check_launcher(&runs)?;
        Ok(runs)
    }

    /// Every run has a folder of its own, whose name a file system can hold.
    fn check_names(&self, runs: &[PlannedRun]) -> Result<()> {
        if let Some(run) = runs.iter().find(|run| run.name.len() > LONGEST_NAME) {
            let expected = format!("names of runs of at most {LONGEST_NAME} bytes, which a file's name may have");
            let found = format!("{} in `{}`; give the values shorter names", run.name.len(), run.name);
            return Err(self.wrong(0, &expected, found));
        }
        let mut known: BTreeMap<&str, &PlannedRun> = BTreeMap::new();
        for run in runs {
            if let Some(other) = known.insert(&run.name, run) {
                return Err(self.wrong(0, "runs with names of their own", clash(other, run)));
            }
        }
        Ok(())
    }

    fn planned(&self, chosen: &[&Choice], seed: u64) -> Result<PlannedRun> {
        let mut settings = self.base.get_ref().clone();
        let mut config = self.config(&settings, self.base.span().start)?;
        for choice in chosen {
            merge(&mut settings, &choice.settings);
            config = self.config(&settings, choice.place)?;
        }
        let choices: Vec<_> = chosen.iter().map(|choice| (choice.axis.to_string(), choice.name.clone())).collect();
        Ok(PlannedRun::new(choices, RunConfig { seed, ..config }))
    }

    /// A run's settings from a table that was changed last by what stands at a place of the file.
    fn config(&self, settings: &Table, place: usize) -> Result<RunConfig> {
        let config: std::result::Result<RunConfig, _> = Value::Table(settings.clone()).try_into();
        let wrong = |error: String| self.wrong(place, "settings of a run", error.trim().replace('\n', " "));
        let mut config = config.map_err(|error| wrong(error.to_string()))?;
        config.model.resolve().map_err(|error| wrong(error.to_string()))?;
        Ok(config)
    }

    fn choices<'a>(&self, axis: &'a Axis) -> Result<Vec<Choice<'a>>> {
        axis.values.iter().map(|value| self.choice(axis, value)).collect()
    }

    fn choice<'a>(&self, axis: &'a Axis, value: &Spanned<Value>) -> Result<Choice<'a>> {
        let place = value.span().start;
        let mut seeds = None;
        let (name, settings) = match (value.get_ref(), &axis.key) {
            (Value::Table(table), _) => {
                let mut settings = table.clone();
                let Some(Value::String(name)) = settings.remove("name") else {
                    return Err(self.wrong(place, "a value with a `name`", format!("`{table}`")));
                };
                if let Some(own) = settings.remove("seeds") {
                    let numbers: Option<Vec<u64>> = own.clone().try_into().ok();
                    let numbers = numbers.filter(|numbers| !numbers.is_empty());
                    seeds = Some(
                        numbers.ok_or_else(|| self.wrong(place, "`seeds` as a list of numbers", own.to_string()))?,
                    );
                }
                if let Some(own) = settings.remove("published").filter(|own| !own.is_str()) {
                    return Err(self.wrong(place, "`published` as a text", own.to_string()));
                }
                (name, settings)
            }
            (plain, Some(key)) => {
                let name = plain.as_str().map_or_else(|| plain.to_string(), str::to_string);
                let mut parts = key.rsplit('.');
                let last = parts.next().unwrap_or_default();
                let innermost = Table::from_iter([(last.to_string(), plain.clone())]);
                (name, parts.fold(innermost, |inner, part| Table::from_iter([(part.to_string(), Value::Table(inner))])))
            }
            (plain, None) => {
                let expected = format!("a table of settings, or a `key` for axis `{}`", axis.name);
                return Err(self.wrong(place, &expected, format!("`{plain}`")));
            }
        };
        Ok(Choice { axis: &axis.name, name, settings, seeds, place })
    }

    /// What was published elsewhere of a combination of values, with its source and setting, as far as the file says it.
    pub fn published(&self, choices: &[(String, String)]) -> Option<String> {
        let of_choice = |(axis, name): &(String, String)| {
            let axis = self.axes.iter().find(|own| own.name == *axis)?;
            let is_named = |value: &&Value| value.get("name").and_then(Value::as_str) == Some(name);
            axis.values.iter().map(Spanned::get_ref).find(is_named)?.get("published")?.as_str()
        };
        let texts: Vec<&str> = choices.iter().filter_map(of_choice).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn is_excluded(&self, chosen: &[&Choice]) -> bool {
        self.exclusions.iter().any(|excluded| {
            excluded.get_ref().iter().all(|(axis, name)| chosen.iter().any(|c| c.axis == axis && c.name == *name))
        })
    }

    /// What a reader of the file can get wrong beyond its form.
    fn check(&self) -> Result<()> {
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !is_name(&self.name) || self.name.starts_with('.') {
            return Err(self.wrong(0, "a name of letters, digits, `-` and `_`", format!("`{}`", self.name)));
        }
        if self.name.len() > LONGEST_NAME {
            let expected = format!("a name of at most {LONGEST_NAME} bytes, which a folder's may have");
            return Err(self.wrong(0, &expected, format!("{}", self.name.len())));
        }
        if self.seeds.is_empty() {
            return Err(self.wrong(0, "at least one seed", "none"));
        }
        self.check_axes()?;
        let known: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        for excluded in &self.exclusions {
            for (name, value) in excluded.get_ref() {
                let place = excluded.span().start;
                let Some(axis) = self.axes.iter().find(|axis| axis.name == *name) else {
                    return Err(self.wrong(
                        place,
                        "a known axis",
                        Error::unknown_name("axis", name, &known).to_string(),
                    ));
                };
                let choices = self.choices(axis)?;
                let names: Vec<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
                if !names.contains(&value.as_str()) {
                    return Err(self.wrong(
                        place,
                        "a known value",
                        Error::unknown_name("value", value, &names).to_string(),
                    ));
                }
            }
        }
        let runs = self.runs()?;
        let searches = self.axes.iter().find(|axis| axis.search);
        if let (Some(axis), Some(run)) = (searches, runs.iter().find(|run| run.config.data.validation == 0)) {
            let found =
                format!("run `{}` without any, so that `{}` could only be chosen on the test set", run.name, axis.name);
            return Err(self.wrong(0, "`data.validation` images for a search", found));
        }
        Ok(())
    }

    /// Every axis has values, and a name that no other has.
    fn check_axes(&self) -> Result<()> {
        for (number, axis) in self.axes.iter().enumerate() {
            let Some(first) = axis.values.first() else {
                return Err(self.wrong(0, "axes with values", format!("axis `{}` with none", axis.name)));
            };
            if self.axes[..number].iter().any(|other| other.name == axis.name) {
                let found = format!("a second axis `{}` with these values", axis.name);
                return Err(self.wrong(first.span().start, "axes with names of their own", found));
            }
        }
        Ok(())
    }

    /// An error that names the file and the line of a place in it.
    fn wrong(&self, place: usize, expected: &str, found: impl Into<String>) -> Error {
        let line = self.text.get(..place).map_or(1, |before| before.matches('\n').count() + 1);
        Error::bad_file(format!("{}:{line}", self.path.display()), expected, found)
    }
}

/// How two runs come to one name.
fn clash(one: &PlannedRun, other: &PlannedRun) -> String {
    let differing = one.choices.iter().zip(&other.choices).find(|(one, other)| one != other);
    let why = differing.map_or_else(
        || "a value or a seed is given twice".to_string(),
        |((axis, one), (_, other))| {
            format!(
                "values `{one}` and `{other}` of axis `{axis}` differ only in what a folder's name cannot tell apart \
                 (signs, spaces, capital letters); name them otherwise"
            )
        },
    );
    format!("two runs named `{}`: {why}", one.name)
}

/// Sets the values of `changes`, table by table.
fn merge(settings: &mut Table, changes: &Table) {
    for (key, change) in changes {
        match (settings.get_mut(key), change) {
            (Some(Value::Table(inner)), Value::Table(change)) => merge(inner, change),
            _ => drop(settings.insert(key.clone(), change.clone())),
        }
    }
}

mod launch;
mod located;
#[cfg(test)]
mod tests;
