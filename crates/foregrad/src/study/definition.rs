//! A study's definition: a file of settings, axes to cross, and what is expected to come out.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::planned::Planned;
use crate::train::RunConfig;
use crate::{Error, Result};

/// A grid of runs: every value of every axis with every seed, less what is excluded.
///
/// ```
/// use foregrad::study::Study;
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
    /// The table of the paper whose figures belong beside the results.
    pub table: Option<u32>,
    /// Each combination runs once a seed.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
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
    /// Plain values of `key`, or tables of settings with a `name`.
    values: Vec<Spanned<Value>>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

fn no_settings() -> Spanned<Table> {
    Spanned::new(0..0, Table::new())
}

/// A value of an axis: its name and the settings it changes.
struct Choice<'a> {
    axis: &'a str,
    name: String,
    settings: Table,
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
        if !path.exists() && path.extension().is_none() {
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
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::from_toml(&text, path)
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
    pub fn runs(&self) -> Result<Vec<Planned>> {
        let axes: Vec<Vec<Choice>> = self.axes.iter().map(|axis| self.choices(axis)).collect::<Result<_>>()?;
        let mut combinations: Vec<Vec<&Choice>> = vec![Vec::new()];
        for axis in &axes {
            let extended =
                |chosen: &Vec<_>| axis.iter().map(|choice| [&chosen[..], &[choice]].concat()).collect::<Vec<_>>();
            combinations = combinations.iter().flat_map(extended).collect();
        }
        combinations.retain(|chosen| !self.is_excluded(chosen));
        let runs = combinations.iter().flat_map(|chosen| self.seeds.iter().map(|seed| self.planned(chosen, *seed)));
        let runs: Vec<Planned> = runs.collect::<Result<_>>()?;
        if runs.is_empty() {
            return Err(self.wrong(0, "at least one run", "none: all combinations are excluded"));
        }
        let mut names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(self.wrong(0, "runs with names of their own", format!("two runs named `{}`", pair[0]))),
            None => Ok(runs),
        }
    }

    fn planned(&self, chosen: &[&Choice], seed: u64) -> Result<Planned> {
        let mut settings = self.base.get_ref().clone();
        let mut config = self.config(&settings, self.base.span().start)?;
        for choice in chosen {
            merge(&mut settings, &choice.settings);
            config = self.config(&settings, choice.place)?;
        }
        let choices: Vec<_> = chosen.iter().map(|choice| (choice.axis.to_string(), choice.name.clone())).collect();
        Ok(Planned::new(choices, RunConfig { seed, ..config }))
    }

    /// A run's settings from a table that was changed last by what stands at a place of the file.
    fn config(&self, settings: &Table, place: usize) -> Result<RunConfig> {
        let config: std::result::Result<RunConfig, _> = Value::Table(settings.clone()).try_into();
        config.map_err(|error| self.wrong(place, "settings of a run", error.to_string().trim().replace('\n', " ")))
    }

    fn choices<'a>(&self, axis: &'a Axis) -> Result<Vec<Choice<'a>>> {
        axis.values.iter().map(|value| self.choice(axis, value)).collect()
    }

    fn choice<'a>(&self, axis: &'a Axis, value: &Spanned<Value>) -> Result<Choice<'a>> {
        let place = value.span().start;
        let (name, settings) = match (value.get_ref(), &axis.key) {
            (Value::Table(table), _) => {
                let mut settings = table.clone();
                let Some(Value::String(name)) = settings.remove("name") else {
                    return Err(self.wrong(place, "a value with a `name`", format!("`{table}`")));
                };
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
        Ok(Choice { axis: &axis.name, name, settings, place })
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
        if self.seeds.is_empty() {
            return Err(self.wrong(0, "at least one seed", "none"));
        }
        let known: Vec<&str> = self.axes.iter().map(|axis| axis.name.as_str()).collect();
        if let Some(axis) = self.axes.iter().find(|axis| axis.values.is_empty()) {
            return Err(self.wrong(0, "axes with values", format!("axis `{}` with none", axis.name)));
        }
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

    /// An error that names the file and the line of a place in it.
    fn wrong(&self, place: usize, expected: &str, found: impl Into<String>) -> Error {
        let line = self.text.get(..place).map_or(1, |before| before.matches('\n').count() + 1);
        Error::bad_file(format!("{}:{line}", self.path.display()), expected, found)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "example"
question = "?"
seeds = [0, 1]

[base]
epochs = 2
model = { name = "mlp", width = 0.5 }

[[axis]]
name = "method"
values = [
    { name = "backprop", estimator.guess = "exact", estimator.mode = "oracle" },
    { name = "local guess" },
]

[[axis]]
name = "width"
key = "model.width"
values = [0.5, 0.25]

[[exclude]]
method = "backprop"
width = "0.25"
"#;

    fn study(text: &str) -> Result<Study> {
        Study::from_toml(text, Path::new("example.toml"))
    }

    fn refused(text: &str) -> String {
        study(text).and_then(|study| study.runs()).expect_err("no study").to_string()
    }

    #[test]
    fn axes_are_crossed_less_what_is_excluded() {
        let runs = study(TEXT).and_then(|study| study.runs()).expect("runs");
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        let of_local =
            ["local-guess-0.5-seed0", "local-guess-0.5-seed1", "local-guess-0.25-seed0", "local-guess-0.25-seed1"];
        assert_eq!(names, [&["backprop-0.5-seed0", "backprop-0.5-seed1"][..], &of_local[..]].concat());
        let last = &runs[5].config;
        assert_eq!((last.model.name.as_str(), last.model.width, last.epochs, last.seed), ("mlp", 0.25, 2, 1));
        assert_eq!(runs[0].config.estimator.guess.to_string(), "exact");
        assert_eq!(runs[3].choices, [("method".into(), "local guess".into()), ("width".into(), "0.5".into())]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let misspelt = refused(&TEXT.replace("estimator.guess", "estimator.gues"));
        assert!(misspelt.contains("example.toml:13") && misspelt.contains("gues"), "{misspelt}");
        let value = refused(&TEXT.replace("\"exact\"", "\"exakt\""));
        assert!(value.contains("example.toml:13") && value.contains("did you mean `exact`"), "{value}");
        let axis = refused(&TEXT.replace("width = \"0.25\"", "depth = \"0.25\""));
        assert!(axis.contains("example.toml:22") && axis.contains("unknown axis `depth`"), "{axis}");
        let unnamed = refused(&TEXT.replace("name = \"backprop\", ", ""));
        assert!(unnamed.contains("example.toml:13") && unnamed.contains("`name`"), "{unnamed}");
        let keyless = refused(&TEXT.replace("key = \"model.width\"", ""));
        assert!(keyless.contains("a `key` for axis `width`"), "{keyless}");
        let twice = refused(&TEXT.replace("values = [0.5, 0.25]", "values = [0.25, 0.25]"));
        assert!(twice.contains("two runs named"), "{twice}");
        let nothing =
            refused(&format!("{TEXT}\n[[exclude]]\nmethod = \"local guess\"\n[[exclude]]\nwidth = \"0.5\"\n"));
        assert!(nothing.contains("at least one run"), "{nothing}");
        let unknown = refused(&TEXT.replace("seeds", "seed"));
        assert!(unknown.contains("unknown field `seed`"), "{unknown}");
    }

    #[test]
    fn a_search_needs_images_that_are_not_the_test_set() {
        let text = TEXT.replace("key = \"model.width\"", "key = \"model.width\"\nsearch = true");
        assert!(refused(&text).contains("data.validation"));
        let text = text.replace("epochs = 2", "epochs = 2\ndata = { validation = 10 }");
        assert!(study(&text).is_ok());
    }

    #[test]
    fn every_preset_is_a_study() {
        for (name, _) in crate::study::PRESETS {
            let study = Study::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(study.name, *name);
            let runs = study.runs().unwrap_or_else(|error| panic!("{error}"));
            for run in runs {
                run.config.validate().unwrap_or_else(|error| panic!("{name}, {}: {error}", run.name));
            }
        }
        let missing = Study::load("quik").expect_err("no such study").to_string();
        assert!(missing.contains("did you mean `quick`"), "{missing}");
    }
}
