//! Flags that several commands share: they are the settings themselves, under the names that those give them.

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::path::PathBuf;

use burn::tensor::DType;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use foregrad::rng::Placement;
use foregrad::settings::{Given, Setting, Settings};
use foregrad_lab::data;
use foregrad_lab::train::RunConfig;

use crate::device;

/// Some of a run's settings, as a group of flags.
pub trait Group {
    /// What stands above them in help.
    const HEADING: &'static str;

    /// Whether a setting belongs to them, by its place.
    fn holds(place: &str) -> bool;
}

/// Declares groups of flags.
macro_rules! groups {
    ($($(#[$about:meta])* $name:ident $heading:literal: $holds:expr,)*) => {$(
        $(#[$about])*
        #[derive(Clone)]
        pub struct $name;

        impl Group for $name {
            const HEADING: &'static str = $heading;

            fn holds(place: &str) -> bool {
                let holds: fn(&str) -> bool = $holds;
                holds(place)
            }
        }
    )*};
}

groups! {
    /// Which images.
    Data "Data": |place| place.starts_with("data."),
    /// Which network.
    Model "Network": |place| place.starts_with("model."),
    /// What a network is built with, less which.
    Building "Network": |place| place.starts_with("model.") && place != "model.name",
    /// How the gradient is estimated.
    Estimator "Gradient estimate": |place| place.starts_with("estimator."),
    /// Where checkpointed backprop has its checkpoints.
    Checkpoints "Checkpoints": |place| place == "estimator.checkpoint-spacing",
    /// How parameters are moved.
    Training "Training": |place| {
        ["budget.", "optimizer.", "schedule."].iter().any(|table| place.starts_with(table))
            || !(place.contains('.') || Machine::holds(place))
    },
    /// The machine, and the seed of all draws.
    Machine "Machine": |place| ["seed", "threads", "device"].contains(&place),
}

/// The flags of a group that were given, with their texts.
#[derive(Clone)]
pub struct Flags<G> {
    /// By the settings' places.
    given: Vec<(String, String)>,
    group: PhantomData<G>,
}

impl<G: Group> Flags<G> {
    fn settings() -> impl Iterator<Item = (&'static str, Setting)> {
        let settings = RunConfig::settings().into_iter().filter(|setting| G::holds(&setting.place));
        settings.filter_map(|setting| Some((setting.flag?, setting)))
    }

    /// The text of a setting, if its flag was given.
    pub fn text(&self, place: &str) -> Option<&str> {
        self.given.iter().find(|(own, _)| own == place).map(|(_, text)| text.as_str())
    }

    /// Changes a run's settings.
    ///
    /// # Errors
    /// A network's file that cannot be read; all else was found when the flags were read.
    pub fn apply(&self, config: &mut RunConfig) -> foregrad::Result<()> {
        // Only the network nobody asked for is narrow.
        if self.text("model.name").is_some() {
            config.model.width = 1.0;
            config.model.network = None;
        }
        self.given.iter().try_for_each(|(place, text)| config.set(place, text))?;
        config.model.resolve()?;
        if G::holds("data.dir") {
            config.data.dir = data_folder(config.data.dir.take());
            config.data.dataset = data::absolute(std::mem::take(&mut config.data.dataset));
        }
        Ok(())
    }
}

impl Flags<Machine> {
    /// The defaults of a run with these flags.
    ///
    /// # Errors
    /// As [`Flags::apply`].
    pub fn config(&self) -> foregrad::Result<RunConfig> {
        let mut config = RunConfig::default();
        self.apply(&mut config)?;
        Ok(config)
    }

    /// Sets the threads up, and gives the device.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn prepared(&self, dtype: DType) -> anyhow::Result<Placement> {
        let config = self.config()?;
        device::set_threads(config.threads)?;
        device::placement(&config.device, dtype)
    }
}

impl<G: Group + Clone + Send + Sync + 'static> Args for Flags<G> {
    fn augment_args(command: Command) -> Command {
        Self::settings().fold(command, |command, (flag, setting)| command.arg(argument(flag, &setting, G::HEADING)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: Group> FromArgMatches for Flags<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |flag: &str, setting: &Setting| match setting.given {
            Given::Alone(value) => matches.get_flag(flag).then(|| value.to_string()),
            Given::Value(_) => matches.get_one::<String>(flag).cloned(),
        };
        let given =
            Self::settings().filter_map(|(flag, setting)| text(flag, &setting).map(|text| (setting.place, text)));
        Ok(Self { given: given.collect(), group: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a setting.
fn argument(flag: &'static str, setting: &Setting, heading: &'static str) -> Arg {
    let argument = Arg::new(flag).long(flag).help_heading(heading).help(help(setting)).long_help(long_help(setting));
    let argument = if flag == "head" { argument.alias("aux") } else { argument };
    match setting.given {
        Given::Alone(_) => argument.action(ArgAction::SetTrue),
        Given::Value(value) => argument.value_name(value).value_parser(Parser { place: setting.place.clone() }),
    }
}

/// What a setting is, and the names it can have.
fn help(setting: &Setting) -> String {
    let names: Vec<&str> = setting.choices.iter().map(|(name, _)| *name).collect();
    match setting.given {
        Given::Value(value) if !names.is_empty() && !value.contains('|') => {
            format!("{}: {}", setting.about, names.join(", "))
        }
        _ => setting.about.clone(),
    }
}

/// What a setting is, and each of the names it can have on a line of its own.
fn long_help(setting: &Setting) -> String {
    let explained: Vec<_> = setting.choices.iter().filter(|(_, about)| !about.is_empty()).collect();
    if explained.is_empty() {
        return help(setting);
    }
    let lines: Vec<String> = explained.iter().map(|(name, about)| format!("  {name:<14} {about}")).collect();
    format!("{}:\n{}", setting.about, lines.join("\n"))
}

/// Refuses what is no value of a setting, under its flag's name.
#[derive(Clone)]
struct Parser {
    place: String,
}

impl TypedValueParser for Parser {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let parsed = match value.to_str() {
            Some(text) => RunConfig::default().set(&self.place, text).map(|()| text.to_string()),
            None => {
                let expected = "text in UTF-8, as files of settings are; a link of another name will do";
                Err(foregrad::Error::out_of_range(&self.place, value.display(), expected))
            }
        };
        parsed.map_err(|error| {
            let named = |error: foregrad::Error| match error {
                foregrad::Error::UnknownName { .. } => format!("{}: {error}", flag_of(&self.place)),
                other => in_flags(other).to_string(),
            };
            clap::Error::raw(ErrorKind::ValueValidation, format!("{}\n", named(error))).with_cmd(command)
        })
    }
}

/// The flag of a setting by its place; the place itself if it has none.
pub fn flag_of(place: &str) -> String {
    as_flag(place, None).unwrap_or_else(|| place.to_string())
}

/// An error of the library with its settings under their flags.
pub fn in_flags(error: foregrad::Error) -> foregrad::Error {
    error.renamed(as_flag)
}

/// Settings of a download, which no run has.
const OF_DOWNLOADS: [&str; 1] = ["mirror"];

/// A setting as a flag, with a value if one is given; none if it has no flag.
pub fn as_flag(place: &str, value: Option<&str>) -> Option<String> {
    if OF_DOWNLOADS.contains(&place) {
        return Some(format!("--{place}"));
    }
    let setting = RunConfig::settings().into_iter().find(|setting| setting.place == place)?;
    let flag = setting.flag?;
    Some(match (setting.given, value) {
        (Given::Value(_), Some(value)) => format!("--{flag} {value}"),
        _ => format!("--{flag}"),
    })
}

/// A command whose flags show the defaults of a run's settings at the end of their help.
pub fn with_defaults(command: Command) -> Command {
    RunConfig::settings().into_iter().fold(command, |command, setting| {
        // A default that changes with other settings is told in the text.
        let Some(flag) = setting.flag.filter(|_| matches!(setting.given, Given::Value(_))) else { return command };
        let told = match (setting.place.as_str(), setting.default.as_str()) {
            ("data.dir", _) => format!("${DATA_FOLDER}"),
            ("model.width", narrow) => format!("1, or {narrow} if no --model is named"),
            (_, "off") => return command,
            (_, default) => default.to_string(),
        };
        command.mut_arg(flag, |argument| {
            // A listing has a line for every choice, and the default on one of its own.
            let (short, long) = (help(&setting), long_help(&setting));
            let space = if long.contains('\n') { "\n" } else { " " };
            argument.help(format!("{short} [default: {told}]")).long_help(format!("{long}{space}[default: {told}]"))
        })
    })
}

/// Names the folder of data sets where neither a flag nor a file of settings does.
pub const DATA_FOLDER: &str = "FOREGRAD_DATA";

/// The folder of the data: as named, else that of `FOREGRAD_DATA`. It is absolute, so that a run goes on from any folder.
pub fn data_folder(named: Option<PathBuf>) -> Option<PathBuf> {
    let of_variable = || std::env::var_os(DATA_FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = named.or_else(of_variable)?;
    // An empty path, or a current folder that is gone: it will be refused when it is looked into.
    Some(std::path::absolute(&folder).unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_stands_in_one_group_and_no_two_share_a_name() {
        let all = RunConfig::settings();
        let holds = [Data::holds, Model::holds, Estimator::holds, Training::holds, Machine::holds];
        for setting in &all {
            assert_eq!(holds.iter().filter(|holds| holds(&setting.place)).count(), 1, "{}", setting.place);
            let same = all.iter().filter(|other| other.flag.is_some() && other.flag == setting.flag);
            assert!(same.count() <= 1, "--{}", setting.flag.unwrap_or_default());
        }
    }

    #[test]
    fn errors_name_flags_where_there_are_any() {
        assert_eq!(
            ["optimizer.rate", "epochs", "model.name", "optimizer.betas"].map(flag_of),
            ["--lr", "--epochs", "--model", "optimizer.betas"]
        );
        let error =
            foregrad::Error::meaningless("`optimizer.nesterov` alone", "`model.pool = off` `schedule.gamma = 1`");
        assert!(in_flags(error).to_string().ends_with("--no-pool --gamma 1"));
    }

    #[test]
    fn every_default_of_train_is_shown() {
        let mut command = crate::command();
        let help = command.find_subcommand_mut("train").expect("train").render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in ["[default: small-net]", "[default: 0.05]", "[default: local]", "[default: $FOREGRAD_DATA]"] {
            assert!(help.contains(words), "{words} in:\n{help}");
        }
    }
}
