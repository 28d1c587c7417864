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
        /// Why it means nothing.
        reason: String,
        /// Flags that do mean something.
        nearest: String,
    },
    /// A setting outside its range.
    #[error("{name} is {found}; expected {expected}")]
    OutOfRange {
        /// The setting, as the user writes it.
        name: String,
        /// The value given.
        found: String,
        /// The values that are possible.
        expected: String,
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
        /// What to try.
        advice: String,
    },
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

    /// Wraps an input-output error: `.map_err(Error::io("read", &path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }

    /// Whether this is the user's input (exit code 2) rather than a run that failed (exit code 1).
    pub fn is_usage(&self) -> bool {
        match self {
            Error::NotFinite { .. } | Error::Worker(_) | Error::Stopped => false,
            Error::Io { action, .. } => *action == "read",
            _ => true,
        }
    }
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
    fn reading_fails_as_usage_and_writing_as_a_failed_run() {
        let system = || std::io::Error::other("x");
        assert!(Error::io("read", "a")(system()).is_usage());
        assert!(!Error::io("write", "a")(system()).is_usage());
    }
}
