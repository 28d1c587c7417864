//! What can go wrong for a user: each error says what was expected, what was found and what to do.

use std::path::PathBuf;

/// A result whose error is a user's to mend.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the library; a programmer's shape mistake panics instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is in no list.
    #[error("unknown {kind} `{name}`{}; available: {available}", did_you_mean(.nearest))]
    UnknownName {
        /// What the name should have been the name of.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The most similar name that exists, if one is near.
        nearest: Option<String>,
        /// All the names there are.
        available: String,
    },
    /// A combination of settings that means nothing.
    #[error("{reason}; nearest combination that has a meaning: {nearest}")]
    Meaningless {
        /// Why it means nothing; settings stand by their place in backticks, with or without a value: `` `estimator.mix = 1` ``.
        reason: String,
        /// Settings that do mean something, written in the same way.
        nearest: String,
    },
    /// A setting outside its range.
    #[error("{name} is {found}; expected {expected}")]
    OutOfRange {
        /// The setting by its place: `optimizer.rate`.
        name: String,
        /// The value given.
        found: String,
        /// The values that are possible.
        expected: String,
    },
    /// What is wrong with a part of a network.
    #[error("{place}: {error}")]
    Within {
        /// The part: `block 2`.
        place: String,
        /// What is wrong there.
        error: Box<Error>,
    },
    /// A file whose content is not what it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A file or folder that could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A run that cannot go on: its loss or its update is no longer finite.
    #[error("{what} is not finite at step {step}: {advice}")]
    NotFinite {
        /// Which quantity.
        what: String,
        /// The optimiser step, from 0.
        step: u64,
        /// What to try, with settings as in [`Error::Meaningless`].
        advice: String,
    },
    /// Identities that a part of a network must keep, and does not.
    #[error("{0}")]
    Broken(String),
    /// A part of the program that ended before its work was done.
    #[error("{0}")]
    Worker(String),
    /// A step or an evaluation that was asked to stop; nothing of it counts.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// An [`Error::UnknownName`] with the nearest of `available`, if one is near.
    pub fn unknown_name(kind: &'static str, name: &str, available: &[&str]) -> Self {
        let nearest = available
            .iter()
            .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
            .filter(|(similarity, _)| *similarity > 0.7)
            .rev() // of equally near names the first
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, candidate)| candidate.to_string());
        Error::UnknownName { kind, name: name.into(), nearest, available: available.join(", ") }
    }

    /// An [`Error::Meaningless`] from its two texts.
    pub fn meaningless(reason: impl Into<String>, nearest: impl Into<String>) -> Self {
        Error::Meaningless { reason: reason.into(), nearest: nearest.into() }
    }

    /// An [`Error::OutOfRange`] from its parts.
    pub fn out_of_range(name: impl Into<String>, found: impl ToString, expected: impl Into<String>) -> Self {
        Error::OutOfRange { name: name.into(), found: found.to_string(), expected: expected.into() }
    }

    /// An [`Error::BadFile`] from its parts.
    pub fn bad_file(path: impl Into<PathBuf>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Error::BadFile { path: path.into(), expected: expected.into(), found: found.into() }
    }

    /// The error of a part, with the part's name before it.
    pub fn within(place: impl Into<String>, error: Error) -> Self {
        Error::Within { place: place.into(), error: Box::new(error) }
    }

    /// Wraps an input-output error: `.map_err(Error::io("read", &path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }

    /// The same error with its settings under other names: `name` gets a place and the value that stands beside it, if one does, and
    /// gives the text of both, or none for what is no setting.
    pub fn renamed(self, name: impl Fn(&str, Option<&str>) -> Option<String>) -> Self {
        let place = |text: String| name(&text, None).unwrap_or(text);
        match self {
            Error::OutOfRange { name, found, expected } => Error::OutOfRange { name: place(name), found, expected },
            Error::Meaningless { reason, nearest } => {
                let [reason, nearest] = [reason, nearest].map(|text| in_backticks(&text, &name));
                Error::Meaningless { reason, nearest }
            }
            Error::NotFinite { what, step, advice } => {
                Error::NotFinite { what, step, advice: in_backticks(&advice, &name) }
            }
            Error::UnknownName { kind: SETTING, name, nearest, available } => {
                let available = available.split(", ").map(|text| place(text.into())).collect::<Vec<_>>().join(", ");
                Error::UnknownName { kind: SETTING, name: place(name), nearest: nearest.map(place), available }
            }
            other => other,
        }
    }

    /// The places of the settings that it is about, the most telling first.
    pub fn settings(&self) -> Vec<String> {
        let (first, second) = match self {
            Error::OutOfRange { name, .. } => return vec![name.clone()],
            Error::Meaningless { reason, nearest } => (reason, nearest),
            _ => return Vec::new(),
        };
        let places = |text: &String| -> Vec<String> {
            text.split('`').skip(1).step_by(2).map(|piece| setting(piece).0.to_string()).collect()
        };
        [second, first].map(places).concat()
    }

    /// Whether this is the user's input (exit code 2) rather than a run that failed (exit code 1).
    pub fn is_usage(&self) -> bool {
        match self {
            Error::NotFinite { .. } | Error::Broken(_) | Error::Worker(_) | Error::Stopped => false,
            Error::Io { action, .. } => *action == "read",
            Error::Within { error, .. } => error.is_usage(),
            _ => true,
        }
    }
}

/// What a name in no list of settings is called.
pub(crate) const SETTING: &str = "setting";

/// A piece in backticks as a setting's place and the value beside it.
fn setting(piece: &str) -> (&str, Option<&str>) {
    piece.split_once(" = ").map_or((piece, None), |(place, value)| (place, Some(value)))
}

/// A text whose pieces in backticks are replaced by what `name` makes of a place and the value beside it.
fn in_backticks(text: &str, name: &impl Fn(&str, Option<&str>) -> Option<String>) -> String {
    let piece = |(number, piece): (usize, &str)| {
        if number % 2 == 0 {
            return piece.to_string();
        }
        let (place, value) = setting(piece);
        name(place, value).unwrap_or_else(|| format!("`{piece}`"))
    };
    text.split('`').enumerate().map(piece).collect()
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_suggests_the_nearest_and_lists_all() {
        let text = Error::unknown_name("guess", "gausian", &["gaussian", "local"]).to_string();
        assert_eq!(text, "unknown guess `gausian` (did you mean `gaussian`?); available: gaussian, local");
        let far = Error::unknown_name("guess", "zzz", &["gaussian", "local"]).to_string();
        assert_eq!(far, "unknown guess `zzz`; available: gaussian, local");
    }

    #[test]
    fn settings_take_the_names_that_a_program_has_for_them() {
        let flag = |place: &str, value: Option<&str>| {
            let flag = place.strip_prefix("estimator.").map(|key| format!("--{key}"))?;
            Some(value.map_or(flag.clone(), |value| format!("{flag} {value}")))
        };
        let error = Error::meaningless("`estimator.guess` of `span` is odd", "`estimator.mix = 1`, or `a.b = 2`");
        assert_eq!(error.settings(), ["estimator.mix", "a.b", "estimator.guess", "span"]);
        let expected = "--guess of `span` is odd; nearest combination that has a meaning: --mix 1, or `a.b = 2`";
        assert_eq!(error.renamed(flag).to_string(), expected);
        let error = Error::out_of_range("estimator.mix", 0, "at least 1");
        assert_eq!(error.renamed(flag).to_string(), "--mix is 0; expected at least 1");
    }

    #[test]
    fn reading_fails_as_usage_and_writing_as_a_failed_run() {
        let system = || std::io::Error::other("x");
        assert!(Error::io("read", "a")(system()).is_usage());
        assert!(!Error::io("write", "a")(system()).is_usage());
    }
}
